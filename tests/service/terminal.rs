//! What is written where nobody looks on, where somebody does, and to the journal.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use ringmill_bench::play::{self, Plan};
use serde_json::Value;

use crate::{
    common::{self, plugins, root, skipped, write_config},
    net::Net,
};

const CAPTURE: &str = "tests/captures/curl-keepalive-ipv4.pcap";

/// A config of a stage of the fixtures over a capture file.
fn config(folder: &Path, stage: &str) -> std::path::PathBuf {
    let plugin = plugins().join("libmisbehave.so");
    let files = [root().join("tests/captures/chromium-page.pcap.zst")];
    write_config(
        folder,
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = {files:?}\n[[stage]]\nplugin = {plugin:?}\n\
             use = {stage:?}\n[[sink]]\nplugin = {plugin:?}\nuse = \"sink_counts\"\n"
        ),
    )
}

#[test]
fn the_journal_gets_priorities_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "good");
    let path = folder.path().join("journal");
    let journal = File::create(&path).unwrap();
    let stream = journal.metadata().unwrap();
    let status = common::engine()
        .arg("--config")
        .arg(config)
        .env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()))
        .stdout(Stdio::null())
        .stderr(journal)
        .status()
        .unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(status.success(), "{text}");
    let mut seen = Vec::new();
    for line in text.lines() {
        let (priority, object) = line.strip_prefix('<').unwrap().split_once('>').unwrap();
        let object: Value = serde_json::from_str(object).expect(line);
        let level = object["level"].as_str().unwrap().to_owned();
        let expected = match level.as_str() {
            "error" => "3",
            "warn" => "4",
            _ => "6",
        };
        assert_eq!(priority, expected, "{line}");
        if object["message"].as_str().unwrap().starts_with("saw ") {
            assert_eq!(
                (&object["stage"], &object["worker"]),
                (&"good".into(), &0.into()),
                "{line}"
            );
        }
        seen.push(level);
    }
    assert!(seen.contains(&"warn".to_owned()) && seen.contains(&"info".to_owned()), "{text}");
}

#[test]
fn a_stage_that_chatters_does_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "chatters");
    let output = common::engine().arg("--quiet").arg("--config").arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 61, "{said}");
    assert!(lines[59].contains("note=\"more like this are left out for a minute\""), "{said}");
    // The capture has 124 packets.
    assert!(lines[60].contains("64 more messages of stage `chatters` were left out"), "{said}");
}

/// A live capture on a terminal has a line that is written anew each second.
#[test]
fn a_terminal_shows_a_live_capture_in_a_line() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    if Command::new("script").arg("--version").output().is_err() {
        return skipped("there is no `script` to make a terminal");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        "[capture]\nfrom = \"af_packet\"\ninterface = \"cap0\"\n[[stage]]\nuse = \"decode\"\n\
         [[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n",
    );
    let line = format!(
        "timeout --foreground -s INT 4 {} --config {}",
        env!("CARGO_BIN_EXE_engine"),
        config.display()
    );
    let mut script = net.command(Path::new("script"));
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("COLUMNS", "120");
    let out = folder.path().join("out");
    let mut child = script.stdout(File::create(&out).unwrap()).spawn().unwrap();
    let file = fs::read(root().join(CAPTURE)).unwrap();
    let frames = play::frames(&file).unwrap();
    while child.try_wait().unwrap().is_none() {
        net.send("out0", &frames, Plan::default());
        thread::sleep(std::time::Duration::from_millis(50));
    }
    let shown = fs::read_to_string(out).unwrap();
    assert!(shown.contains("packets/s") && shown.contains("bit/s"), "{shown:?}");
    assert!(shown.contains("0 lost") && shown.contains("the ledger balances"), "{shown:?}");
    assert!(shown.matches("packets/s").count() >= 2, "{shown:?}");
}
