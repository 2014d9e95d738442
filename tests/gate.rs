//! No address leaves as it was, unless the config says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{path::Path, sync::Arc};

use common::{engine, rows, text, write_config};
use ringmill::{
    Engine, config,
    sdk::{Factory, arrow_array::FixedSizeBinaryArray, prelude::*},
};

const CAPTURE: &str = "tests/captures/curl-keepalive-ipv4.pcap";

/// A chain of these stages, of which none but the last may anonymize.
fn chain(directory: &Path, top: &str, last: &str) -> std::path::PathBuf {
    write_config(
        directory,
        &format!(
            "{top}[capture]\nfrom = \"file\"\nfiles = [{CAPTURE:?}]\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n{last}\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            directory.join("out.jsonl")
        ),
    )
}

#[test]
fn a_chain_without_an_anonymizer_is_refused_with_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let config = chain(directory.path(), "", "");
    for command in [&["check", "--config"][..], &["--config"]] {
        let output = engine().args(command).arg(&config).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {err}");
        for part in [
            "test.toml:11:7: column `src_ip` of `http_request` would reach this sink as it was on \
             the wire: no stage anonymizes it; put one before the sinks (`[[stage]] use = \
             \"crypto_pan\"` or `use = \"truncate\"`), or say `allow_identifiable = true` at the \
             top of the config",
            "  11 | use = \"jsonl\"\n",
        ] {
            assert!(err.contains(part), "{command:?} should say\n{part}\nbut says\n{err}");
        }
    }
    assert!(!directory.path().join("out.jsonl").exists(), "something was written");
}

#[test]
fn the_gate_opens_by_an_anonymizer_or_in_so_many_words() {
    let anonymizers =
        [("", "[[stage]]\nuse = \"truncate\"\n", ".0.0"), ("allow_identifiable = true\n", "", "")];
    for (top, last, ending) in anonymizers {
        let directory = tempfile::tempdir().unwrap();
        common::run(&chain(directory.path(), top, last), &["--quiet"]);
        let rows = rows(&directory.path().join("out.jsonl"));
        assert_eq!(rows.len(), 18, "{last}");
        for row in rows {
            let address = text(&row, "src_ip").unwrap();
            assert!(address.ends_with(ending), "{last}: {address}");
            assert_eq!(address.ends_with(".0.0"), !ending.is_empty(), "{last}: {address}");
        }
    }
}

/// Emits a column of addresses that it never announced.
struct Leak;

impl Stage for Leak {
    const NAME: &'static str = "leak";
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self)
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        let Some(packet) = batch.live().next() else { return Ok(()) };
        let address = packet.addresses().0;
        let column = FixedSizeBinaryArray::try_from_iter([address].into_iter())?;
        let schema = schema::record("leak", vec![schema::address("who")]);
        out.emit(RecordBatch::try_new(schema, vec![Arc::new(column)])?)
    }
}

#[test]
fn what_a_stage_did_not_announce_does_not_leak_either() {
    let directory = tempfile::tempdir().unwrap();
    // After the anonymizer, where nothing would catch it.
    let last = "[[stage]]\nuse = \"truncate\"\n[[stage]]\nuse = \"leak\"\n";
    let path = chain(directory.path(), "", last);
    let config = config::parse(&path, std::fs::read_to_string(&path).unwrap()).unwrap();
    let engine = Engine::with(config, &[Factory::stage::<Leak>()]).unwrap();
    let outcome = engine.run(|_| ()).unwrap();
    let failures = outcome.failures.join("\n");
    assert!(failures.contains("column `who` of `leak` left the chain as it was"), "{failures}");
    let leaked = rows(&directory.path().join("out.jsonl"));
    assert!(leaked.iter().all(|row| !row.contains_key("who")), "{leaked:?}");
}

#[test]
fn a_key_in_the_config_is_not_repeated_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let last = format!("[[stage]]\nuse = \"crypto_pan\"\nkey = \"{secret}\"\n");
    let config = chain(directory.path(), "", &last);
    let output = engine().args(["check", "--config"]).arg(&config).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("test.toml:12:7: ") && err.contains("key = \"****"), "{err}");
    assert!(!err.contains("0011") && !err.contains("eeff"), "{err}");
}
