//! What holds for every format: whole records are found wherever a file is cut, nothing
//! panics, wrong files are named, and other people's captures count as tshark counts them.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::samples::good_files;
use super::{FormatError, Reader, Step};

/// Walks bytes to the end: where each frame's record ended, and how it ended.
fn walk(bytes: &[u8]) -> Result<(Vec<usize>, usize, Option<FormatError>), FormatError> {
    let (mut reader, mut at) = Reader::detect_all(bytes)?;
    let mut ends = Vec::new();
    loop {
        match reader.step(&bytes[at..]) {
            Step::Frame { frame, used } => {
                assert!(used > frame.data.len());
                at += used;
                ends.push(at);
            }
            Step::Skip { used } => {
                assert!(used > 0);
                at += used;
            }
            Step::More => return Ok((ends, at, None)),
            Step::Damaged(error) => return Ok((ends, at, Some(error))),
        }
    }
}

#[test]
fn a_file_cut_anywhere_gives_every_whole_frame() {
    for (name, bytes) in good_files() {
        let (ends, end, error) = walk(&bytes).expect(&name);
        assert_eq!((ends.len(), end, error), (5, bytes.len(), None), "{name}");
        for cut in 0..bytes.len() {
            let expected = ends.iter().filter(|&&end| end <= cut).count();
            match walk(&bytes[..cut]) {
                Ok((found, _, error)) => {
                    assert_eq!((found.len(), error), (expected, None), "{name} cut at {cut}");
                }
                Err(FormatError::Empty) => assert_eq!(cut, 0, "{name}"),
                Err(FormatError::Short { bytes }) => {
                    assert_eq!(bytes, cut, "{name}");
                    assert!(cut < 24, "{name} cut at {cut}");
                }
                Err(error) => panic!("{name} cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn whole_finds_what_steps_find() {
    for (name, bytes) in good_files() {
        for cut in 24..bytes.len() {
            let (mut reader, used) = Reader::detect_all(&bytes).expect(&name);
            let (_, at, error) = walk(&bytes[..cut]).expect(&name);
            let (whole, same) = reader.whole(&bytes[used..cut]);
            assert_eq!((used + whole, same), (at, error), "{name} cut at {cut}");
            let (rest, none) = reader.whole(&bytes[at..]);
            assert_eq!((at + rest, none), (bytes.len(), None), "{name} from {at}");
        }
    }
}

#[test]
fn a_packet_cannot_grow_beyond_its_bytes_whatever_changes() {
    let files = good_files();
    // xorshift: the same damage on every machine.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).expect("below a usize")
    };
    let rounds = if cfg!(miri) { 200 } else { 200_000 };
    for round in 0..rounds {
        let mut bytes = files[round % files.len()].1.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = match random(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ 1 << random(8),
                _ => bytes[random(bytes.len())],
            };
        }
        if random(8) == 0 {
            bytes.truncate(random(bytes.len()));
        }
        if let Ok((ends, at, error)) = walk(&bytes) {
            assert!(at <= bytes.len() && ends.len() <= 64, "round {round}");
            // A sentence, whatever was found.
            assert!(error.is_none_or(|error| error.to_string().len() > 20));
        }
    }
}

#[test]
fn wrong_files_are_named() {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: &[(&[u8], &str)] = &[
        (b"", "there is nothing in it"),
        (b"\xd4\xc3\xb2", "it ends after 3 bytes"),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "it ends after 8 bytes"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00", "it ends after 6 bytes"),
        (
            b"PK\x03\x04\x14\0",
            "not a capture file: it begins with `50 4b 03 04` (zip: unpack it first); \
             ringmill reads pcap and pcapng, plain, .gz or .zst",
        ),
        (b"BZh91AY&SY", "`42 5a 68 39` (bzip2: decompress it first, with `bunzip2`)"),
        (b"\xfd7zXZ\0\0", "(xz: decompress it first"),
        (b"\x04\x22\x4d\x18", "(lz4: decompress it first"),
        (b"\x1f\x8b\x08\0", "(gzip inside"),
        (b"\x28\xb5\x2f\xfd", "(zstd inside"),
        (b"snoop\0\0\0\0\0\0\x02", "(snoop: rewrite it with `editcap"),
        (b"<!DOCTYPE html>", "(HTML or XML: perhaps an error page"),
        (b"\n<html>", "(HTML or XML"),
        (b"No.,Time,Source\r\n", "(text)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
        (&tar, "(tar: unpack it first)"),
        (&[0; 40], "`00 00 00 00` (zeros"),
        (b"\x01\x02\x03\x04", "`01 02 03 04`; ringmill reads"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0abcd", "`0a 0d 0d 0a`; ringmill reads"),
    ];
    for (bytes, words) in cases {
        let error = Reader::detect_all(bytes).map(|_| ()).expect_err(words);
        let text = error.to_string();
        assert!(text.contains(words), "{}: {text}", bytes.escape_ascii());
    }
}

#[test]
fn captures_of_others_have_as_many_packets_as_tshark_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    let Ok(truth) = fs::read_to_string(folder.join("truth.csv")) else {
        // Not by a macro: the test runner keeps what those print.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not here", folder.display());
        return;
    };
    let mut seen = 0;
    for row in truth.lines().skip(1) {
        let mut columns = row.split(',');
        let (Some(name), Some(packets)) = (columns.next(), columns.nth(3)) else {
            panic!("truth.csv: {row}");
        };
        let bytes = fs::read(folder.join(name)).expect(name);
        let (ends, at, error) = walk(&bytes).expect(name);
        assert_eq!(error, None, "{name}");
        assert_eq!(ends.len().to_string(), packets, "{name}");
        let cut_short = row.contains("file cut short");
        assert_eq!(at < bytes.len(), cut_short, "{name}: {at} of {}", bytes.len());
        seen += 1;
    }
    assert!(seen >= 28, "only {seen} captures in truth.csv");
}
