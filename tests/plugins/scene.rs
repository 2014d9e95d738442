//! A capture, a config and what comes of them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Writes a capture of `packets` packets and a config that reads it; `chain` is asked for the
/// stages and for the sinks.
pub(crate) fn config(
    directory: &Path,
    packets: usize,
    chain: impl Fn(&str, &mut String),
) -> PathBuf {
    let capture = directory.join("packets.pcap");
    fs::write(&capture, pcap(packets)).unwrap();
    let mut text = format!(
        "engine = {{ batch = 8, ledger = {:?} }}\n\n[capture]\nfrom = \"file\"\nfiles = \
         [{capture:?}]\n",
        directory.join("ledger.json")
    );
    chain("stage", &mut text);
    chain("sink", &mut text);
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Adds a stage or a sink.
pub(crate) fn entry(text: &mut String, kind: &str, plugin: &Path, name: &str, options: &str) {
    writeln!(text, "[[{kind}]]\nplugin = {plugin:?}\nuse = \"{name}\"").unwrap();
    if !options.is_empty() {
        writeln!(text, "{options}").unwrap();
    }
}

/// A capture file (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>) of frames
/// that carry nothing, from a thousand ports.
pub(crate) fn pcap(packets: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..u32::try_from(packets).unwrap() {
        let mut frame = [0_u8; 60];
        // Ethernet, IPv4 and UDP, from port 1024 + n to port 53.
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
        frame[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        let port = u16::try_from(1024 + number % 1000).unwrap();
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[37] = 53;
        for word in [1_700_000_000 + number / 1000, number % 1000 * 1000, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The ledger that the run wrote, if it did.
pub(crate) fn ledger(directory: &Path) -> Option<Value> {
    let text = fs::read_to_string(directory.join("ledger.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// The ledger in a line; empty where there is none.
pub(crate) fn books(directory: &Path) -> String {
    let Some(ledger) = ledger(directory) else { return String::new() };
    let worker = &ledger["workers"][0];
    let mut text = format!("received {}, passed {}", worker["received"], worker["passed"]);
    for (stage, reasons) in worker["dropped"].as_object().unwrap() {
        for (reason, count) in reasons.as_object().unwrap() {
            write!(text, ", {stage}.{reason} {count}").unwrap();
        }
    }
    write!(text, "; rows {}", ledger["rows"]).unwrap();
    for sink in ledger["sinks"].as_array().unwrap() {
        let name = sink["sink"].as_str().unwrap();
        write!(text, "; {name} acknowledged {}", sink["acknowledged"]).unwrap();
        for (reason, count) in sink["dropped"].as_object().unwrap() {
            write!(text, ", {reason} {count}").unwrap();
        }
    }
    text
}
