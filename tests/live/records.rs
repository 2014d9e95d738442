//! What is sent, the chain that takes every head of it, and records that can be compared.

use std::path::{Path, PathBuf};

use crate::common::{Row, key_file, root, rows, run, write_config};

/// Captures that can be sent as they are, from every server and over IPv4 and IPv6, with tags and
/// without, and with frames that are longer than any network sends.
const CAPTURES: [&str; 6] = [
    "curl-keepalive-ipv4.pcap",
    "curl-long-cookie-split.pcap",
    "curl-methods-nginx-apache.pcap",
    "curl-qinq.pcap",
    "offload-left-on.pcap",
    "python-requests-vlan.pcap",
];

pub(crate) fn captures() -> Vec<PathBuf> {
    CAPTURES.iter().map(|name| root().join("tests/captures").join(name)).collect()
}

/// A config that takes every head; `capture` is its `[capture]`, `more` stands before `classify`.
pub(crate) fn config(workers: usize, capture: &str, more: &str, folder: &Path) -> String {
    let key = key_file(folder);
    format!(
        "allow_identifiable = true\n[engine]\nworkers = {workers}\n[capture]\n{capture}\n\
         [[stage]]\nuse = \"decode\"\n{more}\n[[stage]]\nuse = \"classify\"\n\
         [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n\
         [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
        folder.join("out.jsonl")
    )
}

/// The records that such a config wrote, in an order of their own and without the times, which
/// are those of the capture, and the ids, into which they go.
pub(crate) fn written(folder: &Path) -> Vec<String> {
    let timeless = |mut row: Row| {
        row.remove("time").expect("a record has a time");
        row.remove("ttfb");
        row.remove("record_id");
        serde_json::to_string(&row).unwrap()
    };
    let mut lines: Vec<_> = rows(&folder.join("out.jsonl")).into_iter().map(timeless).collect();
    lines.sort();
    lines
}

/// What a run over files gives; `more` follows them in `[capture]`.
pub(crate) fn from_files(files: &[PathBuf], more: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let capture = format!("from = \"file\"\nfiles = {files:?}\n{more}");
    let text = config(1, &capture, "", folder.path());
    run(&write_config(folder.path(), &text), &["--quiet"]);
    written(folder.path())
}
