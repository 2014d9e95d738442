//! Everything that the engine writes, and how it is read.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ringmill::sdk::arrow_array::Array as _;

/// What is written somewhere.
pub(crate) struct Output {
    /// What it is, for the message of the test.
    pub name: &'static str,
    /// Whether a file below the run's directory is one.
    is: fn(&str) -> bool,
    /// What is in it besides the bytes that it has on disk.
    inside: fn(&Path) -> Vec<Vec<u8>>,
}

/// All kinds of output. A file that is none of these fails the test; so whoever makes the engine
/// write something new adds a line here.
pub(crate) const OUTPUTS: &[Output] = &[
    Output { name: "standard output", is: |name| name == "stdout", inside: nothing },
    Output { name: "standard error", is: |name| name == "stderr", inside: nothing },
    Output { name: "ledger", is: |name| name == "ledger.json", inside: nothing },
    Output { name: "status", is: |name| name == "status.json", inside: nothing },
    Output { name: "status, history", is: |name| name == "history.json", inside: nothing },
    Output { name: "status page", is: |name| name == "page.html", inside: nothing },
    Output { name: "metrics", is: |name| name == "metrics.txt", inside: nothing },
    Output { name: "manifest", is: |name| name.contains(".manifest.json"), inside: nothing },
    Output { name: "a sink of a plugin", is: |name| name == "loaded.jsonl", inside: nothing },
    Output { name: "jsonl", is: |name| name.ends_with(".jsonl"), inside: nothing },
    Output { name: "jsonl, compressed", is: |name| name.ends_with(".jsonl.zst"), inside: zstd },
    Output { name: "requests to elasticsearch", is: |name| name == REQUESTS, inside: nothing },
    Output { name: "parquet", is: |name| name.ends_with(".parquet"), inside: parquet },
    Output {
        name: "parquet, unfinished",
        is: |name| name.ends_with(".parquet.inprogress") || name.ends_with(".parquet.footers"),
        inside: nothing,
    },
    Output { name: "messages of kafka", is: |name| name == KAFKA, inside: nothing },
    Output { name: "spill", is: |name| name.ends_with(".spill"), inside: frames },
    Output { name: "dead letters", is: |name| name.ends_with(".arrows"), inside: nothing },
    Output { name: "spill, where it is", is: is_of_the_spill, inside: nothing },
];

/// The file that has what lies in the topics of a broker.
pub(crate) const KAFKA: &str = "messages.kafka";
/// The file that has what was sent over `_bulk`.
pub(crate) const REQUESTS: &str = "requests.elasticsearch";

/// A file that was written.
pub(crate) struct Written {
    pub output: &'static Output,
    /// Its bytes, and what is in it when it is read.
    pub bytes: Vec<u8>,
    pub inside: Vec<Vec<u8>>,
}

/// All files below a directory.
pub(crate) fn written(directory: &Path) -> Vec<Written> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(written(&path));
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let output = OUTPUTS.iter().find(|output| (output.is)(&name));
        let output = output.unwrap_or_else(|| panic!("{} is no known output", path.display()));
        // It may have got its final name just now.
        let Ok(bytes) = fs::read(&path) else { continue };
        let inside = (output.inside)(&path);
        all.push(Written { output, bytes, inside });
    }
    all
}

fn nothing(_: &Path) -> Vec<Vec<u8>> {
    Vec::new()
}

fn is_of_the_spill(name: &str) -> bool {
    matches!(name, "lock" | "cursor" | "cursor.new")
}

/// Every frame of zstd in a file, wherever it begins.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let begins = |at: &usize| bytes[*at..].starts_with(&0xfd2f_b528_u32.to_le_bytes());
    let plain = |at| {
        zstd::bulk::decompress(&bytes[at..], 64 << 20).or_else(|_| {
            let mut plain = Vec::new();
            let read = zstd::Decoder::new(&bytes[at..])?.single_frame().read_to_end(&mut plain);
            read.map(|_| plain)
        })
    };
    (0..bytes.len()).filter(begins).filter_map(|at| plain(at).ok()).collect()
}

fn zstd(path: &Path) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    // What a crash has cut is read as far as it goes.
    let _ = zstd::Decoder::new(File::open(path).unwrap()).unwrap().read_to_end(&mut bytes);
    vec![bytes]
}

/// The memory of every column, whatever its type: also what stands behind nulls.
fn parquet(path: &Path) -> Vec<Vec<u8>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    for batch in reader.build().unwrap() {
        let mut waiting: Vec<_> = batch.unwrap().columns().iter().map(|it| it.to_data()).collect();
        while let Some(data) = waiting.pop() {
            bytes.extend(data.buffers().iter().map(|buffer| buffer.as_slice().to_vec()));
            waiting.extend_from_slice(data.child_data());
        }
    }
    bytes
}
