//! No address and no header field leaves as it was, unless the config says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{path::Path, sync::Arc};

use common::{engine, rows, text, write_config};
use ringmill::{
    Engine, config,
    sdk::{
        Factory,
        arrow_array::{ArrayRef, FixedSizeBinaryArray, StringArray},
        prelude::*,
    },
};

const CAPTURE: &str = "tests/captures/curl-keepalive-ipv4.pcap";

const REDACT: &str = "[[stage]]\nuse = \"redact\"\n";

/// A chain of these stages, of which none but the last may anonymize and redact.
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

/// Of what is wrong, the first column in which it is.
#[test]
fn a_chain_without_the_header_policy_is_refused_with_what_is_missing() {
    let truncate = "[[stage]]\nuse = \"truncate\"\n";
    let agent = "[[stage]]\nuse = \"user_agent\"\n";
    let cases = [
        (truncate.to_owned(), "13:7", "method"),
        // It is no good where columns are added behind it.
        (format!("{REDACT}{agent}{truncate}"), "17:7", "user_agent_os_version"),
    ];
    for (last, place, column) in cases {
        let directory = tempfile::tempdir().unwrap();
        let config = chain(directory.path(), "", &last);
        let output = engine().args(["check", "--config"]).arg(&config).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{last}: {err}");
        let says = format!(
            "test.toml:{place}: column `{column}` of `http_request` would reach this sink as it \
             was on the wire: no stage chooses what of it comes out; put `[[stage]] use = \
             \"redact\"` behind the last stage that makes such columns, or say \
             `allow_identifiable = true` at the top of the config"
        );
        assert!(err.contains(&says), "it should say\n{says}\nbut says\n{err}");
    }
}

/// Columns that are made behind the anonymizer may name addresses, whoever redacts them.
#[test]
fn text_that_no_anonymizer_saw_is_refused() {
    let agent = "[[stage]]\nuse = \"user_agent\"\n";
    let truncate = "[[stage]]\nuse = \"truncate\"\n";
    let says = "column `user_agent_os_version` of `http_request` would reach this sink as it was \
                on the wire: no stage anonymizes the addresses that may stand in it; put an \
                anonymizer (`[[stage]] use = \"crypto_pan\"` or `use = \"truncate\"`) behind the \
                last stage that makes such columns, or say `allow_identifiable = true` at the top \
                of the config";
    let directory = tempfile::tempdir().unwrap();
    let check = |last: &str| {
        let config = chain(directory.path(), "", last);
        let output = engine().args(["check", "--config"]).arg(&config).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, err) = check(&format!("{truncate}{agent}{REDACT}"));
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains(says), "it should say\n{says}\nbut says\n{err}");
    // What came in the meantime is seen by a second one.
    let (status, err) = check(&format!("{truncate}{agent}{REDACT}{truncate}"));
    assert_eq!(status, Some(0), "{err}");
}

#[test]
fn what_drops_packets_behind_their_records_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let both = format!("{REDACT}[[stage]]\nuse = \"truncate\"\n");
    for (late, name) in [
        ("[[stage]]\nuse = \"exclude\"\nprefixes = [\"192.0.2.0/24\"]\n", "exclude"),
        ("[[stage]]\nuse = \"sample\"\nprobability = 0.5\n", "sample"),
    ] {
        let config = chain(directory.path(), "", &format!("{late}{both}"));
        let output = engine().args(["check", "--config"]).arg(&config).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        let says = format!(
            "test.toml:11:7: `{name}` drops packets, but `http` before it has made records of \
             them already; put it before `http`"
        );
        assert!(err.contains(&says), "it should say\n{says}\nbut says\n{err}");
    }
}

#[test]
fn the_gate_opens_by_an_anonymizer_or_in_so_many_words() {
    let both = format!("{REDACT}[[stage]]\nuse = \"truncate\"\n");
    let other_way_round = format!("[[stage]]\nuse = \"truncate\"\n{REDACT}");
    let chains = [
        ("", both.as_str(), ".0.0"),
        ("", other_way_round.as_str(), ".0.0"),
        ("allow_identifiable = true\n", "", ""),
    ];
    for (top, last, ending) in chains {
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

/// Emits a column of addresses, or of URLs, that it never announced.
struct Leak {
    url: bool,
    redacted: bool,
}

options! {
    struct LeakOptions {
        /// A column of URLs.
        url: bool = false,
        /// It was redacted, and may still name addresses.
        redacted: bool = false,
    }
}

impl Stage for Leak {
    const NAME: &'static str = "leak";
    type Config = LeakOptions;

    fn new(LeakOptions { url, redacted }: LeakOptions, _: &Host) -> Result<Self> {
        Ok(Self { url, redacted })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        let Some(packet) = batch.live().next() else { return Ok(()) };
        let address = packet.addresses().0;
        let (field, column): (_, ArrayRef) = if self.url {
            let field = schema::text("who", schema::Kind::Url);
            let field = if self.redacted { schema::redacted(&field, "leak") } else { field };
            (field, Arc::new(StringArray::from(vec!["/?q=me"])))
        } else {
            let column = FixedSizeBinaryArray::try_from_iter([address].into_iter())?;
            (schema::address("who"), Arc::new(column))
        };
        out.emit(RecordBatch::try_new(schema::record("leak", vec![field]), vec![column])?)
    }
}

#[test]
fn what_a_stage_did_not_announce_does_not_leak_either() {
    for options in ["", "url = true", "url = true\nredacted = true"] {
        let directory = tempfile::tempdir().unwrap();
        // After the anonymizer, where nothing would catch it.
        let last = format!(
            "{REDACT}[[stage]]\nuse = \"truncate\"\n[[stage]]\nuse = \"leak\"\n{options}\n"
        );
        let path = chain(directory.path(), "", &last);
        let config = config::parse(&path, std::fs::read_to_string(&path).unwrap()).unwrap();
        let engine = Engine::with(config, &[Factory::stage::<Leak>()]).unwrap();
        let outcome = engine.run(|_| ()).unwrap();
        let failures = outcome.failures.join("\n");
        assert!(failures.contains("column `who` of `leak` left the chain as it was"), "{failures}");
        let leaked = rows(&directory.path().join("out.jsonl"));
        assert!(leaked.iter().all(|row| !row.contains_key("who")), "{leaked:?}");
    }
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
