//! The same records come out for any number of workers, from the same stage linked or loaded.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    process::Stdio,
    thread,
    time::Duration,
};

use common::{engine, own_captures, plugins, shared_captures};

/// Runs a chain over `captures` and gives its lines, sorted.
fn lines(
    directory: &std::path::Path,
    captures: &[String],
    workers: usize,
    chain: &str,
) -> Vec<String> {
    let out = directory.join(format!("{workers}.jsonl"));
    let _ = fs::remove_file(&out);
    let text = format!(
        "[capture]\nfrom = \"file\"\nfiles = {captures:?}\n{chain}\n\
         [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n"
    );
    let config = common::write_config(directory, &text);
    let output = engine()
        .arg("--config")
        .arg(&config)
        .args(["--workers", &workers.to_string()])
        .output()
        .unwrap();
    let ledger = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{workers} workers: {ledger}");
    assert!(ledger.contains("the ledger balances"), "{workers} workers: {ledger}");
    let text = fs::read_to_string(&out).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

fn captures() -> Vec<String> {
    let mut all: Vec<String> =
        own_captures().iter().map(|path| path.to_string_lossy().into_owned()).collect();
    if let Some(shared) = shared_captures() {
        all.push(format!("{}/*.pcap*", shared.display()));
    }
    all
}

/// The chain of the demo, with keys that do not change; each stage from `plugin`'s folder.
fn chain(directory: &std::path::Path, folder: Option<&std::path::Path>) -> String {
    let key = common::key_file(directory);
    let stages = [
        ("decode", String::new()),
        ("classify", String::new()),
        ("http", format!("key_file = {key:?}\n")),
        ("user_agent", String::new()),
        ("redact", format!("key_file = {key:?}\n")),
        ("crypto_pan", format!("key_file = {key:?}\n")),
        ("truncate", String::new()),
    ];
    let table = |(name, options): &(&str, String)| {
        let plugin =
            folder.map(|folder| format!("plugin = {:?}\n", folder.join(format!("lib{name}.so"))));
        format!("[[stage]]\nuse = {name:?}\n{}{options}", plugin.unwrap_or_default())
    };
    stages.iter().map(table).collect()
}

#[test]
fn any_number_of_workers_gives_the_same_records() {
    let directory = tempfile::tempdir().unwrap();
    let (captures, chain) = (captures(), chain(directory.path(), None));
    let one = lines(directory.path(), &captures, 1, &chain);
    assert!(one.len() > 200, "only {} records", one.len());
    for workers in [2, 4, 7] {
        let many = lines(directory.path(), &captures, workers, &chain);
        assert_eq!(one.len(), many.len(), "{workers} workers");
        let first = one.iter().zip(&many).find(|(a, b)| a != b);
        assert_eq!(first, None, "{workers} workers");
    }
}

#[test]
fn every_record_has_an_id_of_its_own_and_the_name_of_the_sensor() {
    let directory = tempfile::tempdir().unwrap();
    let own: Vec<_> = own_captures().iter().map(|at| at.to_string_lossy().into_owned()).collect();
    let chain = chain(directory.path(), None);
    let sensor = |name: &str| format!("[engine]\nsensor = {name:?}\n{chain}");
    let north = lines(directory.path(), &own, 2, &sensor("north"));
    let value = |line: &str, key: &str| -> Option<String> {
        let row: common::Row = serde_json::from_str(line).unwrap();
        common::text(&row, key).map(ToOwned::to_owned)
    };
    assert!(north.iter().all(|line| value(line, "sensor").as_deref() == Some("north")));
    let ids = |lines: &[String]| -> std::collections::BTreeSet<String> {
        lines.iter().map(|line| value(line, "record_id").unwrap()).collect()
    };
    // Two of the captures have the same packets, from a tap of two kinds.
    let different: std::collections::BTreeSet<_> = north.iter().collect();
    assert!(different.len() > 200, "only {} different records", different.len());
    assert_eq!(ids(&north).len(), different.len(), "each has one of its own");
    assert_eq!(ids(&lines(directory.path(), &own, 3, &sensor("north"))), ids(&north));
    let south = lines(directory.path(), &own, 2, &sensor("south"));
    assert!(ids(&south).is_disjoint(&ids(&north)), "two sensors saw two things");
    let nameless = lines(directory.path(), &own, 2, &chain);
    assert!(nameless.iter().all(|line| value(line, "sensor").is_none()));
}

/// Packets are under way from one worker to others when the signal comes; what none has taken is
/// neither received nor lost.
#[test]
fn a_run_that_is_stopped_in_the_middle_balances() {
    let capture = fs::read(common::root().join("tests/captures/curl-keepalive-ipv4.pcap")).unwrap();
    let (header, records) = capture.split_at(24);
    for workers in ["1", "2", "4"] {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, out) = (directory.path().join("ledger"), directory.path().join("out"));
        let text = format!(
            "[engine]\nledger = {ledger:?}\n[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n{}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n",
            chain(directory.path(), None)
        );
        let mut child = engine()
            .arg("--config")
            .arg(common::write_config(directory.path(), &text))
            .args(["--workers", workers])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let (header, records) = (header.to_vec(), records.repeat(100));
        let writer = thread::spawn(move || {
            pipe.write_all(&header).unwrap();
            // Until nobody reads any more.
            while pipe.write_all(&records).is_ok() {}
        });
        thread::sleep(Duration::from_millis(700));
        common::signal(child.id(), "TERM");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{workers} workers: {said}");
        writer.join().unwrap();
        let ledger: serde_json::Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
        let received = ledger["workers"].as_array().unwrap().iter();
        let received: u64 = received.map(|worker| worker["received"].as_u64().unwrap()).sum();
        assert!(received > 0, "{workers} workers: {said}");
        assert_eq!(ledger["inputs"][0]["packets"], received, "{workers} workers: {said}");
        assert_eq!(ledger["inputs"][0]["complete"], false, "{workers} workers: {said}");
        assert!(said.contains("the ledger balances"), "{workers} workers: {said}");
    }
}

#[test]
fn loaded_stages_give_the_same_bytes_as_linked_ones() {
    let directory = tempfile::tempdir().unwrap();
    let captures = captures();
    let linked = lines(directory.path(), &captures, 1, &chain(directory.path(), None));
    let loaded = lines(directory.path(), &captures, 1, &chain(directory.path(), Some(plugins())));
    assert_eq!(linked.len(), loaded.len());
    let first = linked.iter().zip(&loaded).find(|(a, b)| a != b);
    assert_eq!(first, None);
}

#[test]
fn loaded_sinks_write_the_same_bytes_as_linked_ones() {
    let directory = tempfile::tempdir().unwrap();
    let run = |plugin: &str, name: &str| {
        let out = directory.path().join(name);
        let text = format!(
            "[capture]\nfrom = \"file\"\nfiles = {:?}\n{}\n[[sink]]\n{plugin}use = \"jsonl\"\npath = {out:?}\n",
            captures(),
            chain(directory.path(), None)
        );
        common::run(&common::write_config(directory.path(), &text), &["--quiet"]);
        fs::read(out).unwrap()
    };
    let plugin = format!("plugin = {:?}\n", plugins().join("libjsonl.so"));
    assert!(run("", "linked") == run(&plugin, "loaded"), "the files differ");
}
