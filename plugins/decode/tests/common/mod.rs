//! Frames to test on: those of the captures at hand, and mutants of them.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{fs, path::Path};

/// A frame as a capture file has it.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) name: String,
    pub(crate) link: u16,
    pub(crate) wire_len: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The frames of all uncompressed captures in the repository and, where they are on this
/// machine, of the foreign ones beside it.
pub(crate) fn frames() -> Vec<Captured> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut frames = Vec::new();
    for folder in [root.join("tests/captures"), root.join("../shared/captures")] {
        let Ok(entries) = fs::read_dir(&folder) else {
            // Not by a macro: the test runner keeps what those print.
            let why = format!("SKIPPED: {} is not on this machine\n", folder.display());
            let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
            continue;
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".pcap") || name.ends_with(".pcapng") {
                frames.extend(read(&name, &fs::read(&path).unwrap()));
            }
        }
    }
    frames
}

/// The frames of a capture file, up to a last record that is not whole.
pub(crate) fn read(name: &str, file: &[u8]) -> Vec<Captured> {
    let mut frames = Vec::new();
    let mut add = |link: u16, wire_len: u32, bytes: &[u8]| {
        let name = format!("{name} frame {}", frames.len() + 1);
        frames.push(Captured { name, link, wire_len, bytes: bytes.to_vec() });
    };
    let big = matches!(file[..4], [0xa1, ..]);
    let word = |at: usize| {
        let bytes = file[at..at + 4].try_into().unwrap();
        if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let size = |at: usize| word(at) as usize;
    if word(0) == 0x0a0d_0d0a {
        assert_eq!(word(8), 0x1a2b_3c4d, "{name}: a big-endian pcapng");
        let (mut at, mut links) = (0, Vec::new());
        while at < file.len() {
            match word(at) {
                1 => links.push(word(at + 8) as u16),
                6 => {
                    let bytes = &file[at + 28..at + 28 + size(at + 20)];
                    add(links[size(at + 8)], word(at + 24), bytes);
                }
                _ => {}
            }
            at += size(at + 4);
        }
    } else {
        let (link, mut at) = (word(20) as u16, 24);
        while at + 16 <= file.len() {
            let Some(bytes) = file.get(at + 16..at + 16 + size(at + 8)) else { break };
            add(link, word(at + 12), bytes);
            at += 16 + bytes.len();
        }
    }
    frames
}

/// A row of numbers that is the same in every run (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    /// The frame with IPv4 options or an IPv6 extension header put in where they belong, if
    /// it is untagged Ethernet; now and then with an IP length of 0.
    fn lengthen(&mut self, frame: &mut Vec<u8>) {
        let (length, rest, extra) = match frame.get(12..15) {
            Some([0x08, 0x00, 0x45]) if frame.len() >= 34 => {
                let words = 1 + self.roll(10);
                frame[14] += words as u8;
                (16, 34, vec![1; words * 4])
            }
            Some([0x86, 0xdd, _]) if frame.len() >= 54 => {
                let kind = [0, 43, 44, 51, 60][self.roll(5)];
                let next = std::mem::replace(&mut frame[20], kind);
                // Eight bytes of options; a fragment header that does not fragment; or
                // sixteen bytes of authentication.
                let words = u8::from(kind == 51) * 2;
                (18, 54, [vec![next, words], vec![0; 6 + usize::from(words) * 4]].concat())
            }
            _ => return,
        };
        let old = u16::from_be_bytes([frame[length], frame[length + 1]]);
        let new = [old.wrapping_add(extra.len() as u16), 0][usize::from(self.roll(8) == 0)];
        frame[length..length + 2].copy_from_slice(&new.to_be_bytes());
        frame.splice(rest..rest, extra);
    }

    /// The frame with something odd or wrong in its headers.
    pub(crate) fn mutate(&mut self, frame: &Captured) -> Captured {
        let mut mutant = frame.clone();
        for _ in 0..=self.roll(2) {
            let near = mutant.bytes.len().min(90);
            match self.roll(7) {
                0 if near > 0 => mutant.bytes.truncate(self.roll(near + 1)),
                1 => mutant.bytes.extend(vec![0; self.roll(40)]),
                2 if near > 18 => {
                    let tpid = [0x8100_u16, 0x88a8, 0x9100][self.roll(3)].to_be_bytes();
                    let tag = [tpid[0], tpid[1], self.roll(256) as u8, self.roll(256) as u8];
                    mutant.bytes.splice(12..12, tag);
                }
                4 => self.lengthen(&mut mutant.bytes),
                // Lengths, offsets and protocols are small numbers: try those.
                3 if near > 0 => {
                    let at = self.roll(near);
                    mutant.bytes[at] = [0, 1, 4, 5, 6, 17, 43, 44, 51, 60, 69, 96][self.roll(12)];
                }
                _ if near > 0 => {
                    let at = self.roll(near);
                    mutant.bytes[at] ^= 1 << self.roll(8);
                }
                _ => {}
            }
        }
        mutant.wire_len = mutant.bytes.len() as u32 + [0, 0, 1, 700][self.roll(4)];
        mutant
    }
}
