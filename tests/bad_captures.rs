//! What an operator reads when a capture is not what it should be.
//!
//! Each row makes a file and says how the engine ends, what it says, and how many packets it
//! took all the same: a cut file is read as far as it is whole.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{fs, path::Path, process::Stdio};

use common::{engine, write_config};

const GOOD: &str = "tests/captures/curl-keepalive-ipv4.pcap";
const GZIP: &str = "tests/captures/nginx-chunked-gzip.pcap.gz";
const ZSTD: &str = "tests/captures/chromium-page.pcap.zst";
const PCAPNG: &str = "tests/captures/wget-range-ipv6.pcapng";

fn read(path: &str) -> Vec<u8> {
    fs::read(common::root().join(path)).unwrap()
}

fn first(path: &str, bytes: usize) -> Vec<u8> {
    read(path)[..bytes].to_vec()
}

fn without_last(path: &str, bytes: usize) -> Vec<u8> {
    let all = read(path);
    all[..all.len() - bytes].to_vec()
}

fn changed(path: &str, at: usize, to: &[u8]) -> Vec<u8> {
    let mut all = read(path);
    all[at..at + to.len()].copy_from_slice(to);
    all
}

/// Name, contents, exit status, what the engine says (`FILE` stands for the path), packets.
type Row = (&'static str, Vec<u8>, i32, &'static str, Option<u64>);

fn table() -> Vec<Row> {
    vec![
        (
            "empty.pcap",
            vec![],
            2,
            "`FILE`: there is nothing in it, not even a file header; run the capture again",
            None,
        ),
        (
            "header-cut.pcap",
            first(GOOD, 20),
            2,
            "`FILE`: it ends after 20 bytes, inside the file header; copy or capture it again",
            None,
        ),
        (
            "text.pcap",
            b"hello, this is no capture\n".to_vec(),
            2,
            "`FILE`: not a capture file: it begins with `68 65 6c 6c` (text); ringmill reads pcap \
             and pcapng, plain, .gz or .zst",
            None,
        ),
        (
            "zip.pcap",
            b"PK\x03\x04 and so on".to_vec(),
            2,
            "`FILE`: not a capture file: it begins with `50 4b 03 04` (zip: unpack it first); \
             ringmill reads pcap and pcapng, plain, .gz or .zst",
            None,
        ),
        (
            "xz.pcap",
            b"\xfd7zXZ\0 and so on".to_vec(),
            2,
            "`FILE`: not a capture file: it begins with `fd 37 7a 58` (xz: decompress it first, with \
             `unxz`); ringmill reads pcap and pcapng, plain, .gz or .zst",
            None,
        ),
        (
            "old.pcap",
            changed(GOOD, 4, &[2, 0, 2, 0]),
            2,
            "`FILE`: pcap version 2.2; ringmill reads 2.3 and 2.4: rewrite it with `editcap -F \
             pcap OLD NEW`",
            None,
        ),
        (
            "cut.pcap",
            without_last(GOOD, 5),
            0,
            "77 bytes from byte 13353 on were left: it was cut off inside a record; the packets \
             before it were all read",
            Some(46),
        ),
        (
            "cut-in-record-header.pcap",
            without_last(GOOD, 70),
            0,
            "12 bytes from byte 13353 on were left: it was cut off inside a record; the packets \
             before it were all read",
            Some(46),
        ),
        (
            "length.pcap",
            changed(GOOD, 24 + 8, &[0xff, 0xff, 0xff, 0x7f]),
            1,
            "`FILE`: damaged at byte 24: a packet that claims 2147483647 bytes, 262144 at most \
             are possible; everything before it was read, copy the file again if there should be \
             more",
            Some(0),
        ),
        (
            "cut.pcapng",
            without_last(PCAPNG, 3),
            0,
            "were left: it was cut off inside a record; the packets before it were all read",
            Some(102),
        ),
        (
            "cut.pcap.gz",
            without_last(GZIP, 1000),
            0,
            "were left: gzip: it was cut off; the packets before that were all read",
            None,
        ),
        (
            "corrupt.pcap.gz",
            changed(GZIP, 3000, &[0; 64]),
            1,
            "it cannot be decompressed any further (gzip: corrupt gzip stream does not have a \
             matching checksum); compress or copy it again",
            None,
        ),
        (
            "cut.pcap.zst",
            // One frame, and its only block is cut: there is not one packet.
            without_last(ZSTD, 100),
            2,
            "`FILE`: zstd: it was cut off; the packets before that were all read",
            None,
        ),
        (
            "link.pcap",
            changed(GOOD, 20, &[147, 0, 0, 0]),
            0,
            "dropped 47 packets: unknown_link_type 47",
            Some(47),
        ),
    ]
}

/// Exit status and standard error of a run over `files`.
fn run(directory: &Path, files: &[&str]) -> (Option<i32>, String) {
    let config = write_config(
        directory,
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = {files:?}\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n[[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            directory.join("out.jsonl")
        ),
    );
    let output = engine().arg("--config").arg(&config).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_bad_capture_has_its_sentence() {
    for (name, contents, status, says, packets) in table() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        fs::write(&file, contents).unwrap();
        let path = file.to_str().unwrap();
        let (code, err) = run(directory.path(), &[path]);
        assert_eq!(code, Some(status), "{name}: {err}");
        let says = says.replace("FILE", path);
        assert!(err.contains(&says), "{name} should say\n{says}\nbut says\n{err}");
        assert!(!err.contains("panicked"), "{name}: {err}");
        if status == 2 {
            assert_eq!(err.trim_end(), says, "{name}");
        } else {
            assert!(err.contains("the ledger balances"), "{name}: {err}");
        }
        if let Some(packets) = packets {
            assert!(err.contains(&format!(" {packets} packets")), "{name}: {packets} of\n{err}");
        }
    }
}

#[test]
fn names_that_lead_nowhere_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (
            &["nowhere.pcap"],
            "there is no file `nowhere.pcap`; relative names begin in the current directory",
        ),
        (&["nowhere/*.pcap"], "no file matches `nowhere/*.pcap` in the current directory"),
        (&["-", "-"], "standard input, `-`, is named twice; keep one"),
        (&["tests"], "`tests` is a directory; name the files in it, such as `tests/*.pcap`"),
        (&[GOOD, "nowhere.pcap"], "there is no file `nowhere.pcap`"),
    ];
    for (files, says) in cases {
        let (code, err) = run(directory.path(), files);
        assert_eq!(code, Some(2), "{files:?}: {err}");
        assert!(err.contains(says), "{files:?} should say\n{says}\nbut says\n{err}");
    }
    assert!(!Path::new(folder).join("out.jsonl").exists(), "nothing may have been written");
}

#[test]
fn one_bad_file_among_good_ones_does_not_stop_them() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("b.pcap");
    fs::write(&bad, "no capture").unwrap();
    let (code, err) = run(directory.path(), &[GOOD, bad.to_str().unwrap(), PCAPNG]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("not a capture file"), "{err}");
    assert!(err.contains("150 packets") && err.contains("the ledger balances"), "{err}");
}
