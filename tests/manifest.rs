//! What output files say of the run that they came from: enough to describe it, nothing that
//! leads to a person.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{engine, heads, own_captures, python, rows, run, text, write_config};
use ringmill::manifest::{Manifest, OfFile, read};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The bytes of the key file, as they must not come out.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A whole chain with these stages behind `decode`, and two sinks of each kind: linked and
/// loaded.
fn whole_config(directory: &Path, top: &str, stages: &str) -> PathBuf {
    let (key, libraries) = (common::key_file(directory), common::plugins());
    let out = directory.join("out");
    let sink = |name: &str, plugin: &str, options: String| {
        let library = libraries.join(format!("lib{name}.so"));
        let plugin =
            if plugin.is_empty() { String::new() } else { format!("plugin = {library:?}\n") };
        format!("[[sink]]\nuse = {name:?}\n{plugin}{options}\n")
    };
    let sinks = ["", "loaded"].map(|plugin| {
        let file = out.join(if plugin.is_empty() { "a.jsonl" } else { "b.jsonl.zst" });
        let folder = out.join(if plugin.is_empty() { "a" } else { "b" });
        sink("jsonl", plugin, format!("path = {file:?}"))
            + &sink("parquet", plugin, format!("directory = {folder:?}"))
    });
    write_config(
        directory,
        &format!(
            "{top}[engine]\nworkers = 2\nledger = {:?}\n[capture]\nfrom = \"file\"\n\
             files = [\"tests/captures/*.pcap*\"]\n[[stage]]\nuse = \"decode\"\n{stages}\
             [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
             {}{}",
            directory.join("ledger.json"),
            if top.is_empty() {
                format!(
                    "[[stage]]\nuse = \"redact\"\nkey_file = {key:?}\n\
                     [[stage]]\nuse = \"crypto_pan\"\nkey_file = {key:?}\n"
                )
            } else {
                String::new()
            },
            sinks.concat()
        ),
    )
}

/// Every file that a run put under the folder, but the manifests beside some.
fn outputs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(outputs(&path)),
            false if path.to_string_lossy().ends_with(".manifest.json") => {}
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    let output = engine().arg("manifest").arg(path).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}: {err}", path.display());
    String::from_utf8(output.stdout).unwrap()
}

/// The document without what differs between the files of a run.
fn of_run(manifest: &Manifest) -> Value {
    let mut document = serde_json::to_value(manifest).unwrap();
    document.as_object_mut().unwrap().remove("ledger");
    document
}

#[test]
fn all_files_of_a_run_say_the_same_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let list = at.join("opt-outs");
    fs::write(&list, "198.18.7.0/24\n").unwrap();
    let stages = format!(
        "[[stage]]\nuse = \"exclude\"\nprefixes = [\"203.0.113.0/24\", \"2001:db8:77::/48\"]\n\
         file = {list:?}\n[[stage]]\nuse = \"sample\"\nprobability = 1.0\n\
         [[stage]]\nuse = \"classify\"\n"
    );
    run(&whole_config(at, "", &stages), &["--quiet"]);
    let files = outputs(&at.join("out"));
    assert_eq!(files.len(), 6, "{files:?}");
    let manifests: Vec<_> = files.iter().map(|path| read(path).unwrap()).collect();

    let first = of_run(&manifests[0]);
    for (path, manifest) in files.iter().zip(&manifests) {
        assert_eq!(of_run(manifest), first, "{}", path.display());
    }
    // The id is what anybody can calculate from the file.
    let mut document = first.clone();
    document.as_object_mut().unwrap().remove("id");
    let digest = Sha256::digest(document.to_string().as_bytes());
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(manifests[0].id, digest);

    // Whose packets these are.
    let mut secrets: BTreeSet<String> = own_captures()
        .iter()
        .flat_map(|capture| heads(capture))
        .flat_map(|row| ["src_ip", "dst_ip"].map(|name| text(&row, name).unwrap().to_owned()))
        .collect();
    assert!(secrets.len() > 4, "{secrets:?}");
    let more = [KEY, &KEY[..8], "test.key", "198.18.7", "203.0.113", "2001:db8", "opt-outs"];
    secrets.extend(more.map(str::to_owned));
    secrets.extend([at.to_str().unwrap(), "captures", "pcap", "password"].map(str::to_owned));
    for (path, manifest) in files.iter().zip(&manifests) {
        let all = serde_json::to_string(manifest).unwrap() + &manifest.to_string();
        for secret in &secrets {
            assert!(!all.contains(secret.as_str()), "{} tells {secret}: {all}", path.display());
        }
    }

    let cases = [
        ("/engine/version", env!("CARGO_PKG_VERSION").into()),
        ("/allow_identifiable", false.into()),
        ("/workers", 2.into()),
        ("/capture/from", "file".into()),
        ("/capture/inputs", own_captures().len().into()),
        ("/chain/1/use", "exclude".into()),
        ("/chain/1/facts/prefixes", "3".into()),
        ("/chain/1/options/prefixes", "set, not shown".into()),
        ("/chain/1/options/file", "set, not shown".into()),
        ("/chain/2/facts/probability", "1".into()),
        ("/chain/2/options/probability", 1.0.into()),
        ("/chain/4/options/reassemble", true.into()),
        ("/chain/6/options/credentials", "drop".into()),
        ("/chain/6/options/headers/0", "accept".into()),
        ("/chain/7/options/key_file", "set, not shown".into()),
        ("/chain/7/facts/key", "file".into()),
        ("/sinks", vec!["jsonl", "parquet", "jsonl_2", "parquet_2"].into()),
    ];
    for (pointer, expected) in cases {
        let expected: Value = expected;
        assert_eq!(first.pointer(pointer), Some(&expected), "{pointer} in {first}");
    }
}

#[test]
fn the_ledger_of_the_only_file_is_that_of_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let classify = "[[stage]]\nuse = \"classify\"\n";
    run(&whole_config(at, "", classify), &["--quiet"]);
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let ledger = json(&at.join("ledger.json"));
    let sum = |name: &str| -> u64 {
        let workers = ledger["workers"].as_array().unwrap();
        workers.iter().map(|worker| worker[name].as_u64().unwrap()).sum()
    };
    let mut dropped = ringmill::ledger::Drops::new();
    for worker in ledger["workers"].as_array().unwrap() {
        let drops: ringmill::ledger::Drops =
            serde_json::from_value(worker["dropped"].clone()).unwrap();
        for (stage, reasons) in drops {
            let of_stage = dropped.entry(stage).or_default();
            reasons.into_iter().for_each(|(name, n)| *of_stage.entry(name).or_default() += n);
        }
    }
    assert!(sum("received") > 1000 && !dropped.is_empty(), "{ledger}");

    let (mut by_rows, out) = (0, at.join("out"));
    for path in outputs(&out) {
        let manifest = read(&path).unwrap();
        let of_file = manifest.ledger.unwrap();
        let (account, name) = (&of_file.run, path.display());
        let counts = [account.received, account.bytes, account.passed, account.rows];
        let expected = [sum("received"), sum("bytes"), sum("passed")];
        assert_eq!(counts[..3], expected, "{name}");
        assert_eq!(counts[3], ledger["rows"].as_u64().unwrap(), "{name}");
        assert_eq!(account.dropped, dropped, "{name}");
        assert_eq!(account.received, account.passed + account.all_dropped(), "{name}");
        for rows in &account.stages {
            let stages = ledger["stages"].as_array().unwrap();
            let stage = stages.iter().find(|stage| stage["stage"] == rows.stage.as_str()).unwrap();
            let counts = [&stage["rows_in"], &stage["rows_out"]].map(|n| n.as_u64().unwrap());
            assert_eq!([rows.rows_in, rows.rows_out], counts, "{name}: {}", rows.stage);
        }
        let file = ringmill::ledger::Account { at: account.at, ..of_file.file.clone() };
        assert_eq!(&file, account, "{name}");
        assert!(of_file.began <= of_file.ended, "{name}");
        by_rows += of_file.rows;
    }
    // Four sinks had each row once.
    assert_eq!(by_rows, 4 * ledger["rows"].as_u64().unwrap());

    let rows = rows(&out.join("a.jsonl"));
    let of_file = read(&out.join("a.jsonl")).unwrap().ledger.unwrap();
    let times: BTreeSet<_> = rows.iter().map(|row| text(row, "time").unwrap()).collect();
    assert_eq!(of_file.rows, rows.len() as u64);
    assert_eq!(of_file.first_row.as_deref(), times.first().copied());
    assert_eq!(of_file.last_row.as_deref(), times.last().copied());
}

#[test]
fn what_was_let_out_is_said_in_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let classify = "[[stage]]\nuse = \"classify\"\n";
    run(&whole_config(at, "allow_identifiable = true\n", classify), &["--quiet"]);
    let files = outputs(&at.join("out"));
    assert_eq!(files.len(), 6, "{files:?}");
    for path in files {
        let manifest = read(&path).unwrap();
        assert!(manifest.allow_identifiable, "{}", path.display());
        let columns = &manifest.as_on_the_wire["http_request"];
        for column in ["src_ip", "dst_ip", "uri", "extras"] {
            assert!(columns.iter().any(|known| known == column), "{column} of {columns:?}");
        }
        let text = shown(&path);
        assert!(text.starts_with("ATTENTION: "), "{text}");
        assert!(text.contains("http_request: ") && text.contains("src_ip"), "{text}");
    }
    // Said where it changed nothing, too.
    let typed = fs::read_to_string(whole_config(at, "", classify)).unwrap();
    fs::remove_dir_all(at.join("out")).unwrap();
    run(&write_config(at, &format!("allow_identifiable = true\n{typed}")), &["--quiet"]);
    let manifest = read(&at.join("out/a.jsonl")).unwrap();
    assert!(manifest.allow_identifiable && manifest.as_on_the_wire.is_empty(), "{manifest}");
    assert!(shown(&at.join("out/a.jsonl")).starts_with("ATTENTION: "));
}

#[test]
fn it_is_text_for_a_methods_section() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let stages = "[[stage]]\nuse = \"exclude\"\nprefixes = [\"203.0.113.0/24\"]\n\
                  [[stage]]\nuse = \"sample\"\nprobability = 0.5\n\
                  [[stage]]\nuse = \"classify\"\n";
    run(&whole_config(at, "", stages), &["--quiet"]);
    let out = at.join("out");
    let mut files = outputs(&out);
    files.push(out.join("a.jsonl.manifest.json"));
    for path in files {
        // Line breaks are where they are.
        let text = shown(&path).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "The data were recorded with Ringmill 0.1.0 (revision ",
            "from 15 capture files, in a run that began at 2",
            "Packets from and to the networks of an exclusion list (1 in all) were dropped",
            "each with probability 0.5, chosen by a keyed hash (key ",
            "bodies were not kept.",
            "URLs with a keyed hash for each value of their query.",
            "by Crypto-PAn (Xu et al., ICNP 2002) (key bbf21f3e, kept in a file).",
            "of 1,016 packets received, ",
            "decode: arp 4",
            "allow_identifiable false",
        ] {
            assert!(text.contains(part), "{} lacks\n{part}\n{text}", path.display());
        }
        assert!(!text.contains("ATTENTION"), "{text}");
    }
}

/// The engine knows none of them; they say it themselves.
#[test]
fn every_strategy_says_what_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        ("use = \"crypto_pan\"\nkey = \"ephemeral\"", "by Crypto-PAn (Xu et al., ICNP 2002)"),
        (
            "use = \"ipcrypt\"\nmode = \"deterministic\"\nkey = \"ephemeral\"",
            "were encrypted whole, by ipcrypt-deterministic",
        ),
        (
            "use = \"ipcrypt\"\nmode = \"prefix_preserving\"\nkey = \"ephemeral\"",
            "so that prefixes stay common, by ipcrypt-pfx",
        ),
        (
            "use = \"keyed_hash\"\nkey = \"ephemeral\"\nv4_bits = 24",
            "HMAC-SHA256, 24 of it for IPv4",
        ),
        ("use = \"truncate\"", "the first 16 bits of IPv4 and 32 bits of IPv6 were kept"),
        ("use = \"constant\"", "were replaced by one and the same"),
        (
            "use = \"constant\"\nspecial = \"keep\"",
            "the same; private, multicast and other special addresses (RFC 6890) were kept",
        ),
    ];
    let config = whole_config(directory.path(), "", "[[stage]]\nuse = \"classify\"\n");
    let typed = fs::read_to_string(config).unwrap();
    let (before, after) = typed.split_once("use = \"crypto_pan\"\n").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    for (strategy, sentence) in cases {
        let config = write_config(directory.path(), &format!("{before}{strategy}\n{after}"));
        let config = ringmill::config::load(&config).unwrap();
        let facts = ringmill::Engine::new(config).unwrap().facts();
        let facts = &facts.last().unwrap().facts;
        let said = facts.iter().find(|(name, _)| name == "methods").unwrap();
        assert!(said.1.contains(sentence), "{strategy} should say\n{sentence}\nbut says {said:?}");
    }
}

#[test]
fn a_stage_of_a_plugin_is_named_by_what_was_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let library = common::plugins().join("libcustom_anonymizer.so");
    let config = whole_config(at, "", "[[stage]]\nuse = \"classify\"\n");
    let typed = fs::read_to_string(config).unwrap();
    let (before, after) = typed.split_once("use = \"crypto_pan\"\nkey_file = ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let site = format!("{before}plugin = {library:?}\nuse = \"site\"\n{after}");
    run(&write_config(at, &site), &["--quiet"]);
    let manifest = read(&at.join("out/a.jsonl")).unwrap();
    let digest = Sha256::digest(fs::read(&library).unwrap());
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let stage = manifest.chain.last().unwrap();
    let plugin = stage.plugin.as_ref().unwrap();
    assert_eq!((stage.name.as_str(), &plugin.sha256), ("site", &digest));
    assert!(manifest.to_string().contains(&digest), "{manifest}");
    assert!(manifest.chain[..4].iter().all(|stage| stage.plugin.is_none()), "{manifest}");
}

#[test]
fn each_file_has_its_own_span_and_those_of_another_run_keep_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let config = whole_config(at, "", "[[stage]]\nuse = \"classify\"\n");
    let typed = fs::read_to_string(config).unwrap();
    let typed = typed.replace("use = \"http\"\n", "use = \"http\"\nrows = 8\n");
    let small = "use = \"parquet\"\nrotate_rows = 16\n";
    let config = write_config(at, &typed.replace("use = \"parquet\"\n", small));
    for _ in 0..2 {
        run(&config, &["--quiet"]);
    }
    let mut runs: BTreeMap<String, Vec<OfFile>> = BTreeMap::new();
    for path in outputs(&at.join("out")) {
        let manifest = read(&path).unwrap();
        runs.entry(manifest.id).or_default().push(manifest.ledger.unwrap());
    }
    assert_eq!(runs.len(), 2, "{:?}", runs.keys());
    for files in runs.values() {
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        assert!(files.len() > 20, "{}", files.len());
        assert_eq!(rows, 4 * 216);
        for file in files {
            let before = files.iter().filter(|other| other.ended <= file.began).count();
            let whole = file.file.received == file.run.received;
            assert!(before > 0 || whole, "a span begins with the run or behind another's");
            assert!(file.rows <= 216, "{}", file.rows);
        }
    }
}

#[test]
fn what_has_no_manifest_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    run(&whole_config(at, "", "[[stage]]\nuse = \"classify\"\n"), &["--quiet"]);
    let made = outputs(&at.join("out"));
    let parquet = made.iter().find(|path| path.extension().unwrap() == "parquet").unwrap();
    let bytes = fs::read(parquet).unwrap();
    let good = fs::read_to_string(at.join("out/a.jsonl.manifest.json")).unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = at.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let newer = good.replace("\"manifest\":1", "\"manifest\":2");
    assert_ne!(newer, good);
    file("cut.jsonl", b"{}\n");
    file("cut.jsonl.manifest.json", &good.as_bytes()[..good.len() / 2]);
    let cases = [
        (at.join("nothing.parquet"), "does not exist"),
        (at.to_owned(), "is a directory; name one of the files in it"),
        (file("cut.parquet", &bytes[..bytes.len() - 9]), "was cut off or is no Parquet file"),
        (file("short.parquet", b"PA"), "was cut off or is no Parquet file"),
        (file("other", b"PAR1 it is not"), "was cut off or is no Parquet file"),
        (file("a.csv", b"a,b\n"), "has no manifest: it is no Parquet file, and there is no"),
        (file("lone.jsonl", b"{}\n"), "lone.jsonl.manifest.json` beside it"),
        (at.join("cut.jsonl"), "cut.jsonl.manifest.json` was cut off or is no manifest"),
        (file("a.manifest.json", b"{}"), "is JSON, and no manifest"),
        (file("b.manifest.json", b"{\"manifest\":1}"), "is no whole manifest: missing field"),
        (file("c.manifest.json", b"\xff"), "cannot be read: "),
        (file("d.manifest.json", newer.as_bytes()), "of form 2, and this engine knows 1"),
    ];
    for (path, message) in cases {
        let output = engine().arg("manifest").arg(&path).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{}: {err}", path.display());
        assert!(err.contains(message), "{} should say\n{message}\nbut says\n{err}", path.display());
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(output.stdout.is_empty(), "{}", path.display());
    }
    let output = engine().arg("manifest").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn other_readers_see_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    run(&whole_config(at, "", "[[stage]]\nuse = \"classify\"\n"), &["--quiet"]);
    let files = outputs(&at.join("out"));
    let id = read(&files[0]).unwrap().id;
    for library in ["pyarrow", "duckdb"] {
        let Some(python) = python(library) else { continue };
        for path in files.iter().filter(|path| path.extension().unwrap() == "parquet") {
            let script = common::root().join("tests/readers/manifest.py");
            let output = Command::new(&python).arg(script).arg(library).arg(path).output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{library}: {err}");
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["id"], id.as_str(), "{library}: {}", path.display());
        }
    }
}
