//! Blocks that a pcapng file may hold, good and bad.

use super::super::format::samples::NgFile;
use super::super::format::{Fault, FormatError, Frame, Reader, Skipped, Step};

fn frames(bytes: &[u8]) -> (Vec<Frame<'_>>, Reader, Option<FormatError>) {
    let (mut reader, mut at) = Reader::detect_all(bytes).expect("begins well");
    let mut frames = Vec::new();
    loop {
        match reader.step(&bytes[at..]) {
            Step::Frame { frame, used } => {
                frames.push(frame);
                at += used;
            }
            Step::Skip { used } => at += used,
            Step::More => return (frames, reader, None),
            Step::Damaged(error) => return (frames, reader, Some(error)),
        }
    }
}

fn frame(time: i64, data: &[u8], wire_len: u32, link: u16, interface: u16) -> Frame<'_> {
    Frame { time, data, wire_len, link, interface }
}

#[test]
fn every_packet_block_is_read_in_both_byte_orders() {
    for big in [false, true] {
        let mut file = NgFile::new(big);
        let hour = file.u64(3600);
        file.interface(1, 4, &[(2, b"eth2\0"), (9, &[9]), (14, &hour)]);
        file.interface(101, 0, &[]);
        file.enhanced(0, 5_000_000_001, b"nano", 900, &[(1, b"comment"), (2, &[0; 4])]);
        file.simple(b"simp", 60);
        file.enhanced(1, 7_000_001, b"micro", 5, &[]);
        file.obsolete(1, 8_000_000, b"old", 3);
        file.statistics(0, 10, 2);
        file.statistics(0, 1 << 40, 3);
        file.section(!big);
        file.interface(113, 0, &[]);
        file.simple(b"no limit", 8);
        file.enhanced(0, 1, b"", 0, &[]);
        let (found, reader, error) = frames(&file.bytes);
        let expected = [
            frame(3_605_000_000_001, b"nano", 900, 1, 0),
            frame(3_605_000_000_001, b"simp", 60, 1, 0),
            frame(7_000_001_000, b"micro", 5, 101, 1),
            frame(8_000_000_000, b"old", 3, 101, 1),
            frame(8_000_000_000, b"no limit", 8, 113, 2),
            frame(1000, b"", 0, 113, 2),
        ];
        assert_eq!((found.as_slice(), error), (&expected[..], None), "big: {big}");
        let told: Vec<_> = reader
            .interfaces()
            .iter()
            .map(|i| (i.name.as_deref(), i.received, i.dropped))
            .collect();
        let none = (None, None, None);
        assert_eq!(told, [(Some("eth2"), Some(1 << 40), Some(3)), none, none], "big: {big}");
        assert_eq!(reader.skipped(), Skipped::default(), "big: {big}");
    }
}

#[test]
fn a_bad_packet_in_a_good_block_is_counted_and_passed() {
    type Damage = fn(&mut NgFile);
    let cases: &[(&str, Damage, [u64; 3])] = &[
        ("no interface 1", |f| f.enhanced(1, 0, b"x", 1, &[]), [1, 0, 0]),
        ("no interface 2^32 - 1", |f| f.enhanced(u32::MAX, 0, b"x", 1, &[]), [1, 0, 0]),
        ("no interface 9, obsolete", |f| f.obsolete(9, 0, b"x", 1), [1, 0, 0]),
        ("one byte too many", |f| f.overlong(5, b"four"), [0, 1, 0]),
        ("far too many", |f| f.overlong(u32::MAX, b"four"), [0, 1, 0]),
        ("simple, too many", |f| f.simple(b"four", 5), [0, 1, 0]),
        ("statistics of nobody", |f| f.statistics(4, 1, 1), [0, 0, 1]),
        (
            "statistics cut",
            |f| f.block(5, &[[0; 12], [0, 4, 4, 0, 1, 1, 1, 1, 1, 1, 1, 1]].concat()),
            [0, 0, 1],
        ),
        (
            "a section that describes nothing",
            |f| {
                f.section(false);
                f.simple(b"x", 1);
                f.interface(1, 0, &[]);
            },
            [1, 0, 0],
        ),
        (
            "names, secrets, custom, unknown",
            |f| {
                for kind in [4, 10, 0xbad, 0x4000_0bad, 0x8000_0001, 0] {
                    f.block(kind, b"");
                }
            },
            [0, 0, 0],
        ),
    ];
    for (name, damage, [undeclared, overlong, statistics]) in cases {
        let mut file = NgFile::new(false);
        file.interface(1, 0, &[]);
        damage(&mut file);
        file.enhanced(0, 1, b"good", 4, &[]);
        let (found, reader, error) = frames(&file.bytes);
        assert_eq!(error, None, "{name}");
        assert_eq!(found.len(), 1, "{name}");
        let expected =
            Skipped { undeclared: *undeclared, overlong: *overlong, statistics: *statistics };
        assert_eq!(reader.skipped(), expected, "{name}");
    }
}

#[test]
fn a_bad_frame_ends_the_file_with_its_place() {
    type Damage = fn(&mut NgFile);
    let small = |length, least| Fault::Small { length, least };
    let cases: &[(&str, Damage, Fault)] = &[
        ("no multiple of 4", |f| f.raw(9, 14, b"ab", 14), Fault::Unaligned(14)),
        ("nothing", |f| f.raw(9, 0, b"", 0), small(0, 12)),
        ("8", |f| f.raw(9, 8, b"", 8), small(8, 12)),
        ("a packet without its fields", |f| f.raw(6, 28, &[0; 16], 28), small(28, 32)),
        ("an old packet without them", |f| f.raw(2, 28, &[0; 16], 28), small(28, 32)),
        ("a simple packet without one", |f| f.raw(3, 12, b"", 12), small(12, 16)),
        ("an interface without fields", |f| f.raw(1, 16, &[0; 4], 16), small(16, 20)),
        ("statistics without fields", |f| f.raw(5, 20, &[0; 8], 20), small(20, 24)),
        ("more than any packet", |f| f.raw(6, 0xffff_fff0, b"", 0), Fault::Huge(0xffff_fff0)),
        ("two lengths", |f| f.raw(9, 16, b"abcd", 20), Fault::Trailer { head: 16, tail: 20 }),
        (
            "a section of version 2",
            |f| f.block(0x0a0d_0d0a, b"\x4d\x3c\x2b\x1a\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
            Fault::Version { major: 2, minor: 0 },
        ),
        (
            "an option beyond the block",
            |f| f.block(1, b"\x01\0\0\0\0\0\0\0\x09\0\x08\0\x06\0\0\0"),
            Fault::Options,
        ),
        ("a clock without its byte", |f| f.interface(1, 0, &[(9, b"")]), Fault::Options),
        ("an offset of 4 bytes", |f| f.interface(1, 0, &[(14, b"abcd")]), Fault::Options),
        (
            "one interface too many",
            |f| (0..65_536).for_each(|_| f.interface(1, 0, &[])),
            Fault::Interfaces,
        ),
    ];
    for (name, damage, fault) in cases {
        let mut file = NgFile::new(false);
        file.interface(1, 0, &[]);
        file.enhanced(0, 1, b"good", 4, &[]);
        let mut offset = file.bytes.len() as u64;
        damage(&mut file);
        if *fault == Fault::Interfaces {
            offset = file.bytes.len() as u64 - 20;
        }
        let (found, _, error) = frames(&file.bytes);
        assert_eq!(found.len(), 1, "{name}");
        let expected = FormatError::Block { offset, fault: *fault };
        assert_eq!(error, Some(expected), "{name}");
    }
    let mut file = NgFile::new(false);
    file.bytes.extend(*b"\x0a\x0d\x0d\x0a\x1c\0\0\0abcd");
    let (_, _, error) = frames(&file.bytes);
    let text = error.expect("no byte order").to_string();
    assert!(text.contains("no byte-order mark (it has `61 62 63 64`)"), "{text}");
}
