//! A reader of spill logs that shares nothing with the engine's.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{fs, io::Cursor, path::Path};

use arrow_array::{RecordBatch, cast::AsArray as _};
use arrow_ipc::reader::StreamReader;

/// What lies in the spill log in `directory` from its cursor on. A frame that is torn ends it.
pub(crate) fn batches(directory: &Path) -> Vec<RecordBatch> {
    let cursor = fs::read(directory.join("cursor")).ok();
    let cursor = cursor.map_or(0, |bytes| u64::from_le_bytes(bytes[..8].try_into().unwrap()));
    let mut all = Vec::new();
    for path in files(directory, "spill") {
        let bytes = fs::read(path).unwrap();
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_first_chunk::<20>() {
            let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
            let sequence = u64::from_le_bytes(head[8..16].try_into().unwrap());
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            let crc = crc32fast::hash(&[&head[..16], payload].concat());
            if head[16..] != crc.to_le_bytes() {
                break;
            }
            if sequence >= cursor {
                let length = u32::from_le_bytes(payload[..4].try_into().unwrap()) as usize;
                let ipc = zstd::bulk::decompress(&payload[4..], length).unwrap();
                let mut reader = StreamReader::try_new(Cursor::new(ipc), None).unwrap();
                all.push(reader.next().unwrap().unwrap());
            }
            rest = behind;
        }
    }
    all
}

/// What was put aside in `directory`.
pub(crate) fn dead_letters(directory: &Path) -> Vec<RecordBatch> {
    let open = |path| StreamReader::try_new(fs::File::open(path).unwrap(), None).unwrap();
    files(&directory.join("dead"), "arrows")
        .into_iter()
        .flat_map(open)
        .map(Result::unwrap)
        .collect()
}

/// The ids of records, as text.
pub(crate) fn ids(records: &RecordBatch) -> Vec<String> {
    let column = records.column_by_name("record_id").unwrap().as_fixed_size_binary();
    let text = |id: Option<&[u8]>| {
        let mut out = Vec::new();
        ringmill::sdk::render::uuid(id.unwrap().try_into().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    };
    column.iter().map(text).collect()
}

/// Files with this ending, by name.
pub(crate) fn files(directory: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == ending))
        .collect();
    paths.sort();
    paths
}
