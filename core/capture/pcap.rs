//! The pcap file: one header, then records of sixteen bytes and a packet.
//!
//! Everything that the header decides (byte order, unit of the fraction, length of the record
//! header) is decided once, in [`Layout`]; a record then costs a few loads and one bound.
//!
//! A record with an impossible length ends the file: pcap has no mark by which the next record
//! could be found, and guessing one would invent packets.
//!
//! Source: draft-ietf-opsawg-pcap; the modified format after libpcap's `sf-pcap.c`.

use super::format::{FormatError, Frame, HARD_LIMIT, Step, USUAL_LIMIT};

/// Length of the file header.
pub const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Kuznetzov's patched libpcap adds the interface index, the protocol and the packet type.
const MODIFIED_EXTRA: usize = 8;

/// What the magic number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The writer's byte order is not this machine's.
    swapped: bool,
    /// Nanoseconds in a unit of the second timestamp field.
    unit: u32,
    /// Bytes between the record header and the packet.
    extra: usize,
}

impl Layout {
    /// `None` if no pcap file begins so.
    pub fn of(magic: [u8; 4]) -> Option<Self> {
        let native = u32::from_ne_bytes(magic);
        [(native, false), (native.swap_bytes(), true)].into_iter().find_map(|(magic, swapped)| {
            let (unit, extra) = match magic {
                0xa1b2_c3d4 => (1000, 0),
                0xa1b2_3c4d => (1, 0),
                0xa1b2_cd34 => (1000, MODIFIED_EXTRA),
                _ => return None,
            };
            Some(Self { swapped, unit, extra })
        })
    }

    #[inline]
    fn u32(self, bytes: [u8; 4]) -> u32 {
        let native = u32::from_ne_bytes(bytes);
        if self.swapped { native.swap_bytes() } else { native }
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        let native = u16::from_ne_bytes(bytes);
        if self.swapped { native.swap_bytes() } else { native }
    }
}

/// Reads the records of one pcap file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    layout: Layout,
    link: u16,
    limit: u32,
    /// Where the next record begins, so that damage can be said with its place.
    offset: u64,
}

impl Reader {
    /// Reads the file header; `Ok(None)` asks for more bytes.
    pub fn new(layout: Layout, bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let Some(head) = bytes.first_chunk::<FILE_HEADER>() else {
            return Ok(None);
        };
        let [_, _, _, _, a, b, c, d, .., s0, s1, s2, s3, l0, l1, l2, l3] = *head;
        let (major, minor) = (layout.u16([a, b]), layout.u16([c, d]));
        // Before 2.3 the two lengths of a record were the other way round.
        if major != 2 || minor < 3 {
            return Err(FormatError::Version { major, minor });
        }
        let snaplen = layout.u32([s0, s1, s2, s3]);
        // The upper half tells whether frames end with their FCS.
        let link = layout.u32([l0, l1, l2, l3]) & 0xffff;
        Ok(Some(Self {
            layout,
            link: u16::try_from(link).unwrap_or(u16::MAX),
            limit: snaplen.clamp(USUAL_LIMIT, HARD_LIMIT),
            offset: FILE_HEADER as u64,
        }))
    }

    /// Reads record after record from offset `from` of `bytes` on, for as long as `take` wants the
    /// next one; it gets the offsets at which each begins and ends. Gives the offset that it came
    /// to: where no more is wanted, or what is not a whole record in this machine's byte order,
    /// of which [`step`](Self::step) says what it is.
    ///
    /// The same as steps, and a third of their instructions: most captures are read by this alone.
    #[inline]
    pub fn run<'a>(
        &mut self,
        bytes: &'a [u8],
        from: usize,
        mut take: impl FnMut(Frame<'a>, std::ops::Range<usize>) -> bool,
    ) -> usize {
        let Self { layout: Layout { swapped, unit, extra }, link, limit, .. } = *self;
        let mut at = from;
        while !swapped
            && let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk)
            && let captured = captured(head, u32::from_ne_bytes)
            && captured <= limit
            && let begin = at + RECORD_HEADER + extra
            && let Some(data) = bytes.get(begin..begin + captured as usize)
        {
            let end = begin + captured as usize;
            let wants_more = take(frame(head, data, unit, link, u32::from_ne_bytes), at..end);
            at = end;
            if !wants_more {
                break;
            }
        }
        self.offset += (at - from) as u64;
        at
    }

    /// Reads one record from the front of `bytes`.
    #[inline]
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        if self.layout.swapped {
            self.step_swapped(bytes)
        } else {
            self.read(bytes, u32::from_ne_bytes)
        }
    }

    /// Of a file from a machine of the other byte order, which are few: apart, so that the others
    /// do not pay for them.
    #[inline(never)]
    fn step_swapped<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        self.read(bytes, |bytes| u32::from_ne_bytes(bytes).swap_bytes())
    }

    #[inline(always)]
    fn read<'a>(&mut self, bytes: &'a [u8], u32: impl Fn([u8; 4]) -> u32) -> Step<'a> {
        let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEADER>() else {
            return Step::More;
        };
        let captured = captured(head, &u32);
        if captured > self.limit {
            return self.overlong(captured);
        }
        let extra = self.layout.extra;
        let end = extra + captured as usize;
        let Some(data) = rest.get(extra..end) else {
            return Step::More;
        };
        let used = RECORD_HEADER + end;
        self.offset += used as u64;
        Step::Frame { frame: frame(head, data, self.layout.unit, self.link, u32), used }
    }

    /// The packet whose bytes begin at offset `at` of `bytes`, of a record that was read before;
    /// `None` if there cannot be one.
    #[inline]
    pub fn packet<'a>(&self, bytes: &'a [u8], at: usize) -> Option<Frame<'a>> {
        let Layout { unit, extra, .. } = self.layout;
        let u32 = |bytes| self.layout.u32(bytes);
        let head = bytes.get(at.checked_sub(RECORD_HEADER + extra)?..)?.first_chunk()?;
        let data = bytes.get(at..)?.get(..captured(head, u32) as usize)?;
        Some(frame(head, data, unit, self.link, u32))
    }

    #[cold]
    fn overlong<'a>(&self, length: u32) -> Step<'a> {
        Step::Damaged(FormatError::Length { offset: self.offset, length, limit: self.limit })
    }
}

/// How many bytes of the packet follow a record's header.
#[inline(always)]
fn captured(head: &[u8; RECORD_HEADER], u32: impl Fn([u8; 4]) -> u32) -> u32 {
    let [_, _, _, _, _, _, _, _, c0, c1, c2, c3, ..] = *head;
    u32([c0, c1, c2, c3])
}

/// The packet behind a record's header.
#[inline(always)]
fn frame<'a>(
    head: &[u8; RECORD_HEADER],
    data: &'a [u8],
    unit: u32,
    link: u16,
    u32: impl Fn([u8; 4]) -> u32,
) -> Frame<'a> {
    let [s0, s1, s2, s3, f0, f1, f2, f3, _, _, _, _, w0, w1, w2, w3] = *head;
    // Two u32, at most 4.3e18 + 4.3e12: a fraction of more than a second just carries.
    let (seconds, fraction) = (u32([s0, s1, s2, s3]), u32([f0, f1, f2, f3]));
    Frame {
        time: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * i64::from(unit),
        data,
        wire_len: u32([w0, w1, w2, w3]),
        link,
        interface: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::samples::{PcapFile, PcapKind};
    use super::super::format::{self, FormatError, Step};
    use super::{FILE_HEADER, Layout, Reader};

    #[test]
    fn every_layout_is_read_alike() {
        for kind in PcapKind::ALL {
            let mut file = PcapFile::new(kind, 65_535, 0x1400_0071);
            file.packet(7, 123_456, b"abcde", 900);
            let (mut reader, used) = format::Reader::detect_all(&file.bytes).expect(kind.name);
            let Step::Frame { frame, used: more } = reader.step(&file.bytes[used..]) else {
                panic!("{}: no frame", kind.name);
            };
            assert_eq!(used + more, file.bytes.len(), "{}", kind.name);
            let unit = if kind.nanos { 1 } else { 1000 };
            assert_eq!(frame.time, 7_000_000_000 + 123_456 * unit, "{}", kind.name);
            assert_eq!(
                (frame.data, frame.wire_len, frame.link, frame.interface),
                (&b"abcde"[..], 900, 0x71, 0),
                "{}",
                kind.name
            );
            assert_eq!(reader.step(&[]), Step::More, "{}", kind.name);
        }
    }

    /// Whatever the layout, and wherever the file ends: a run is as many steps.
    #[test]
    fn a_run_takes_what_steps_would() {
        for kind in PcapKind::ALL {
            let mut file = PcapFile::new(kind, 65_535, 1);
            let packets: [&[u8]; 4] = [b"abc", b"", b"defgh", b"i"];
            for (packet, second) in packets.iter().zip(1..) {
                file.packet(second, 5, packet, 9);
            }
            let layout = Layout::of(file.bytes[..4].try_into().unwrap()).unwrap();
            for end in FILE_HEADER..=file.bytes.len() {
                let bytes = &file.bytes[..end];
                for most in 1..=packets.len() {
                    let start = Reader::new(layout, bytes).unwrap().unwrap();
                    let (mut steps, mut at, mut expected) = (start.clone(), FILE_HEADER, vec![]);
                    while expected.len() < most
                        && !layout.swapped
                        && let Step::Frame { frame, used } = steps.step(&bytes[at..])
                    {
                        expected.push((frame, at..at + used));
                        at += used;
                    }
                    let (mut run, mut got) = (start, vec![]);
                    let came_to = run.run(bytes, FILE_HEADER, |frame, place| {
                        got.push((frame, place));
                        got.len() < most
                    });
                    let case = format!("{}, {end} bytes, {most} packets", kind.name);
                    assert_eq!((got, came_to, run), (expected, at, steps), "{case}");
                }
            }
        }
    }

    #[test]
    fn times_never_overflow() {
        let cases: &[(&str, u32, u32, i64)] = &[
            ("the epoch", 0, 0, 0),
            ("a second and a half, as micros", 1, 1_500_000, 2_500_000_000),
            (
                "the largest fields",
                u32::MAX,
                u32::MAX,
                4_294_967_295_000_000_000 + 4_294_967_295_000,
            ),
        ];
        for (name, seconds, fraction, time) in cases {
            let mut file = PcapFile::new(PcapKind::ALL[0], 65_535, 1);
            file.packet(*seconds, *fraction, b"", 0);
            let (mut reader, used) = format::Reader::detect_all(&file.bytes).expect(name);
            let Step::Frame { frame, .. } = reader.step(&file.bytes[used..]) else {
                panic!("{name}: no frame");
            };
            assert_eq!(frame.time, *time, "{name}");
        }
    }

    #[test]
    fn a_length_is_believed_up_to_the_files_own_limit() {
        const MIB: u32 = 1 << 20;
        let cases: &[(&str, u32, u32, Option<u32>)] = &[
            ("usual", 65_535, 1500, None),
            ("more than its snaplen, as some writers do", 96, 262_144, None),
            ("more than libpcap allows", 65_535, 262_145, Some(262_144)),
            ("a snaplen of 0 means no limit of its own", 0, 262_145, Some(262_144)),
            ("its snaplen allows it", MIB, MIB, None),
            ("but not more", MIB, MIB + 1, Some(MIB)),
            ("no snaplen allows everything", u32::MAX, 128 * MIB + 1, Some(128 * MIB)),
            ("the largest", u32::MAX, u32::MAX, Some(128 * MIB)),
        ];
        for (name, snaplen, length, limit) in cases {
            let mut file = PcapFile::new(PcapKind::ALL[0], *snaplen, 1);
            file.packet(0, 0, b"x", 1);
            file.record_header(0, 0, *length, *length);
            let (mut reader, used) = format::Reader::detect_all(&file.bytes).expect(name);
            let (whole, error) = reader.whole(&file.bytes[used..]);
            assert_eq!(whole, 17, "{name}");
            let expected =
                limit.map(|limit| FormatError::Length { offset: 41, length: *length, limit });
            assert_eq!(error, expected, "{name}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        for (major, minor, good) in
            [(2, 4, true), (2, 3, true), (2, 2, false), (1, 0, false), (543, 0, false)]
        {
            for kind in PcapKind::ALL {
                let mut file = PcapFile::new(kind, 65_535, 1);
                file.version(major, minor);
                let found = format::Reader::detect_all(&file.bytes).map(|_| ());
                let expected =
                    if good { Ok(()) } else { Err(FormatError::Version { major, minor }) };
                assert_eq!(found, expected, "{} {major}.{minor}", kind.name);
            }
        }
    }
}
