//! The examples do what they say, and stay as short as they promise.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{collections::BTreeMap, fs, process::Command};

use common::{own_captures, plugins, rows, run, text, write_config};

#[test]
fn the_examples_are_short() {
    for (example, most) in [("custom_sink", 40), ("custom_anonymizer", 20)] {
        let path = common::root().join("examples").join(example).join("lib.rs");
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= most, "examples/{example} has {lines} lines, not {most}");
    }
}

#[test]
fn a_custom_sink_and_a_custom_anonymizer_work_from_a_config() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, out) = (plugins(), directory.path());
    let config = write_config(
        out,
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = {:?}\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nplugin = {:?}\nuse = \"site\"\n\
             [[sink]]\nplugin = {:?}\nuse = \"hosts\"\npath = {:?}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            own_captures(),
            folder.join("libcustom_anonymizer.so"),
            folder.join("libcustom_sink.so"),
            out.join("hosts.tsv"),
            out.join("out.jsonl"),
        ),
    );
    run(&config, &["--workers", "2"]);
    let rows = rows(&out.join("out.jsonl"));
    let mut hosts = BTreeMap::new();
    for row in &rows {
        let address = text(row, "src_ip").unwrap();
        assert!(address.ends_with(".0") || address.ends_with("::"), "{address}");
        if let Some(host) = text(row, "host") {
            *hosts.entry(host).or_insert(0) += 1;
        }
    }
    let list: String = hosts.iter().map(|(host, n)| format!("{n}\t{host}\n")).collect();
    assert!(hosts.len() > 5, "{list}");
    assert_eq!(fs::read_to_string(out.join("hosts.tsv")).unwrap(), list);
}

#[test]
fn the_engine_runs_inside_another_program() {
    let embed = plugins().join("embed");
    let output = Command::new(embed).args(own_captures()).output().unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for capture in own_captures() {
        for row in common::heads(&capture) {
            if let Some(status) = row.get("status_code").and_then(serde_json::Value::as_u64) {
                *expected.entry(status).or_default() += 1;
            }
        }
    }
    let expected: String = expected.iter().map(|(code, n)| format!("{code} {n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

/// The oldest compiler that the manifest promises is one that every dependency promises, too.
#[test]
fn no_dependency_needs_a_newer_compiler_than_we_say() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(common::root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let mut newest = (vec![], String::new());
    for package in metadata["packages"].as_array().unwrap() {
        if let Some(needs) = package["rust_version"].as_str() {
            newest = newest.max((version(needs), package["name"].to_string()));
        }
    }
    println!("the newest that a dependency needs: {newest:?}");
    assert!(newest.0 <= [ours.clone(), vec![0]].concat(), "{newest:?} is newer than {ours:?}");
}
