//! The whole engine over the real library and its kernel module.

use std::path::{Path, PathBuf};

use crate::{
    common::{self, Row},
    net::{self, Net},
    wire::{self, has_double},
};

/// Captures that a veth pair can carry as they are.
const CAPTURES: [&str; 4] = [
    "curl-keepalive-ipv4.pcap",
    "curl-long-cookie-split.pcap",
    "curl-methods-nginx-apache.pcap",
    "python-requests-vlan.pcap",
];

fn captures() -> Vec<PathBuf> {
    CAPTURES.iter().map(|name| common::root().join("tests/captures").join(name)).collect()
}

fn config(folder: &Path, workers: usize, capture: &str) -> String {
    let key = common::key_file(folder);
    format!(
        "allow_identifiable = true\n[engine]\nworkers = {workers}\n[capture]\n{capture}\n\
         [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
         [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n\
         [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
        folder.join("out.jsonl")
    )
}

/// Without the times, which are those of the capture, and the interface.
fn sorted(rows: Vec<Row>) -> Vec<String> {
    let line = |mut row: Row| {
        row.retain(|name, _| !["time", "ttfb", "interface", "record_id"].contains(&name.as_str()));
        serde_json::to_string(&row).unwrap()
    };
    let mut lines: Vec<String> = rows.into_iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn every_packet_of_a_wire_comes_once_and_the_records_are_those_of_the_files() {
    if has_double() {
        common::skipped("a wire of the system needs the real libpfring and its kernel module");
        return;
    }
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = format!("from = \"file\"\nfiles = {:?}", captures());
    let text = config(folder.path(), 1, &files);
    common::run(&common::write_config(folder.path(), &text), &["--quiet"]);
    let expected = sorted(common::rows(&folder.path().join("out.jsonl")));
    for workers in [1, 2, 4] {
        let mut engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
        engine.env(pfring_sys::LIBRARY_VARIABLE, wire::path());
        let capture = "from = \"pf_ring\"\ninterface = \"cap0\"";
        let running = net::start(engine, |folder| config(folder, workers, capture));
        let sent = net.send_captures("out0", &captures());
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{workers} workers");
        let found = sorted(common::rows(&ended.folder().join("out.jsonl")));
        assert_eq!(found, expected, "{workers} workers");
        assert_eq!(net.promiscuity("cap0"), 0);
    }
}
