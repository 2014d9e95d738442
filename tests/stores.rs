//! What the sinks that write files cost and take, on records of the whole chain.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::Path,
    sync::Arc,
    time::Instant,
};

use arrow_array::RecordBatch;
use ringmill::{
    capture::{Filled, file::Files, input::Input},
    chain::{Blueprint, Outlet},
    config,
    host::{Board, Run},
    sdk::{Batch, Error, Sink, parse_config, testing::TestHost},
    sinks::Stamp,
};
use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Limit, Mix, generate},
};
use ringmill_jsonl::Jsonl;
use ringmill_parquet::Parquet;

/// Keeps what leaves the chain, as sinks get it.
struct Kept {
    stamp: Stamp,
    records: Vec<RecordBatch>,
}

impl Outlet for Kept {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        let schema = self.stamp.schema(records.schema_ref()).unwrap();
        self.records.push(self.stamp.put(records, schema)?);
        Ok(())
    }
}

/// The records of a capture of so many packets, half of which are heads.
fn records(directory: &Path, packets: u64) -> Vec<RecordBatch> {
    let path = directory.join("capture.pcap");
    let mut out = BufWriter::new(fs::File::create(&path).unwrap());
    generate(Mix::Heavy, Limit::Packets(packets), 3, &mut out).unwrap();
    out.flush().unwrap();
    let stages = ["decode", "classify", "http", "user_agent", "redact", "crypto_pan"];
    let stages = stages.map(|name| match name {
        "crypto_pan" => "[[stage]]\nuse = \"crypto_pan\"\nkey = \"ephemeral\"\n".to_owned(),
        _ => format!("[[stage]]\nuse = {name:?}\n"),
    });
    let text = format!(
        "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n{}[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n",
        stages.concat()
    );
    let config = config::parse(Path::new("test"), text).unwrap();
    let (run, board) = (Arc::new(Run::new(None).unwrap()), Arc::new(Board::default()));
    let mut chain =
        Blueprint::new(&config, &[]).unwrap().build_chain(&run, &board, Some(0)).unwrap();
    let files = Files::new(vec![Input::File(path.clone())], 1, usize::MAX, None).unwrap();
    let mut source = files.source(0, 256);
    let stamp = Stamp::new("0123456789ab8def", None);
    let (mut spare, mut kept) = (Batch::default(), Kept { stamp, records: Vec::new() });
    loop {
        let mut batch = spare.recycle();
        let filled = source.fill(&mut batch);
        chain.packets(&mut batch, &mut kept).unwrap();
        spare = batch.recycle();
        if filled == Filled::End {
            break;
        }
    }
    chain.finish(&mut kept).unwrap();
    fs::remove_file(path).unwrap();
    kept.records
}

/// Gives all to a sink. CPU seconds of this thread, those of them outside the kernel, CPU seconds
/// of all threads, seconds of the clock.
fn written<S: Sink>(options: &str, records: &[RecordBatch]) -> [f64; 4] {
    let (host, _) = TestHost::new(None);
    let mut sink = S::new(parse_config(options).unwrap(), &host).unwrap();
    let now = || (CpuTime::of_this_thread().unwrap(), CpuTime::of_this_process().unwrap());
    let ((own, all), clock) = (now(), Instant::now());
    records.iter().for_each(|batch| sink.write(batch).unwrap());
    sink.flush().unwrap();
    let (own, all) = (now().0.since(own), now().1.since(all));
    [own.total(), own.user, all.total(), clock.elapsed()].map(|time| time.as_secs_f64())
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.path().is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "figures to be read by people")]
fn parquet_is_faster_and_smaller_than_compressed_lines() {
    let timed = !cfg!(debug_assertions);
    let directory = tempfile::tempdir().unwrap();
    let records = records(directory.path(), if timed { 1_000_000 } else { 150_000 });
    let rows = records.iter().map(RecordBatch::num_rows).sum::<usize>() as f64;
    let columns: Vec<_> = records.iter().map(RecordBatch::num_columns).collect();
    let at = |name: &str| directory.path().join(name);
    let kinds = [
        ("parquet", format!("directory = {:?}", at("parquet"))),
        ("parquet, 2 writers", format!("directory = {:?}\nwriters = 2", at("parquet"))),
        ("jsonl", format!("path = {:?}", at("lines.jsonl"))),
        ("jsonl.zst", format!("path = {:?}", at("lines.jsonl.zst"))),
    ];
    let mut costs = [(); 4].map(|()| Vec::new());
    let mut sizes = [0; 4];
    for _ in 0..if timed { 7 } else { 1 } {
        for (n, (name, options)) in kinds.iter().enumerate() {
            let cost = match name.starts_with("parquet") {
                true => written::<Parquet>(options, &records),
                false => written::<Jsonl>(options, &records),
            };
            costs[n].push(cost);
            sizes[n] = bytes_below(directory.path());
            for entry in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
                match entry.is_dir() {
                    true => fs::remove_dir_all(entry).unwrap(),
                    false => fs::remove_file(entry).unwrap(),
                }
            }
        }
    }
    println!("{rows} rows, {:?} to {:?} columns", columns.iter().min(), columns.iter().max());
    let mut rates = Vec::new();
    for ((name, _), (costs, size)) in kinds.iter().zip(costs.iter().zip(sizes)) {
        let rate = |part: usize| rows / median(costs.iter().map(|cost| cost[part]));
        println!(
            "{name}: {:.0} rows a CPU second ({:.0} outside the kernel, {:.0} of all threads), \
             {:.0} a second, {:.1} bytes a row",
            rate(0),
            rate(1),
            rate(2),
            rate(3),
            size as f64 / rows
        );
        rates.push(rate(2));
    }
    let ratio = sizes[0] as f64 / sizes[3] as f64;
    // Lines keep each response near its request, whose URL they then need not repeat, and in small
    // files nothing comes often enough for a dictionary.
    assert!(
        ratio <= if timed { 0.6 } else { 0.7 },
        "Parquet takes {ratio:.3} of the bytes of zstd JSON Lines"
    );
    if timed {
        assert!(rates[0] > rates[3], "Parquet costs more CPU time than zstd JSON Lines");
    }
}
