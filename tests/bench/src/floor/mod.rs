//! The floor: the least work that finds HTTP heads in a mapped capture.
//!
//! A mapped file of large frames is bound by one dependent cache miss per record, because
//! the place of a record is known only from the record before. Prefetching the next record
//! does not help; prefetching every line of the file, some KiB ahead, does.
//!
//! One closure per depth is compiled into its own loop, so that no pass pays for a test of
//! an option.

mod frame;
mod map;

use std::collections::HashMap;
use std::hint::black_box;

use crate::floor::frame::Start;
pub use crate::floor::map::map;

/// Bytes between the record in hand and the furthest line asked for.
const AHEAD: usize = 4096;
/// Most header fields that `httparse` may return for a head.
const HEADERS: usize = 64;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET: u32 = 1;

/// How far a pass goes with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Read the record headers, nothing else.
    Walk,
    /// Find the TCP payload and look at its first four bytes.
    Find,
    /// Also parse each head with `httparse`.
    Parse,
    /// Also parse each user agent with `woothee`, once for each text.
    Agents,
}

/// What a pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets in the file.
    pub packets: u64,
    /// Captured bytes of all frames, without record headers.
    pub bytes: u64,
    /// TCP segments with at least one byte of payload.
    pub payloads: u64,
    /// Payloads that begin with a method.
    pub requests: u64,
    /// Payloads that begin with `HTTP`.
    pub responses: u64,
    /// Heads that `httparse` found complete; 0 unless asked to parse.
    pub complete: u64,
}

impl Counts {
    /// Requests and responses together.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.requests + self.responses
    }
}

/// Why a file cannot be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCapture {
    /// Not a little-endian pcap file of micro- or nanoseconds.
    NotPcap,
    /// Another link type than Ethernet.
    NotEthernet,
    /// The record at this byte of the file goes past the end.
    CutAt(usize),
}

impl std::fmt::Display for BadCapture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPcap => f.write_str("not a little-endian pcap file"),
            Self::NotEthernet => f.write_str("the link type is not Ethernet"),
            Self::CutAt(at) => write!(f, "the record at byte {at} goes past the end of the file"),
        }
    }
}

impl std::error::Error for BadCapture {}

/// Goes through a capture once.
///
/// # Errors
/// When `file` is not a whole Ethernet pcap file of this byte order.
pub fn pass(file: &[u8], depth: Depth, prefetch: bool) -> Result<Counts, BadCapture> {
    let mut counts = Counts::default();
    let walked = match depth {
        Depth::Walk => walk(file, prefetch, |_| {}),
        Depth::Find => walk(file, prefetch, |frame| {
            find(frame, &mut counts);
        }),
        Depth::Parse => walk(file, prefetch, |frame| {
            if let Some((start, payload)) = find(frame, &mut counts) {
                counts.complete += u64::from(parses(start, payload, |_| ()));
            }
        }),
        Depth::Agents => {
            let mut agents = Agents::default();
            walk(file, prefetch, |frame| {
                if let Some((start, payload)) = find(frame, &mut counts) {
                    let complete = parses(start, payload, |agent| agents.look(agent));
                    counts.complete += u64::from(complete);
                }
            })
        }
    }?;
    Ok(Counts { packets: walked.packets, bytes: walked.bytes, ..counts })
}

fn walk(file: &[u8], prefetch: bool, each: impl FnMut(&[u8])) -> Result<Counts, BadCapture> {
    if prefetch { records::<true>(file, each) } else { records::<false>(file, each) }
}

#[inline(always)]
fn records<const PREFETCH: bool>(
    file: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<Counts, BadCapture> {
    check_header(file)?;
    let mut counts = Counts::default();
    let mut at = FILE_HEADER;
    let mut asked = 0;
    while at < file.len() {
        if PREFETCH {
            while asked < at + AHEAD {
                map::prefetch(file, asked);
                asked += map::LINE;
            }
        }
        let cut = BadCapture::CutAt(at);
        let length = le32(file, at + 8).ok_or(cut)? as usize;
        let start = at + RECORD_HEADER;
        let frame = file.get(start..start + length).ok_or(cut)?;
        counts.packets += 1;
        counts.bytes += length as u64;
        each(frame);
        at = start + length;
    }
    Ok(counts)
}

#[inline(always)]
fn find<'a>(frame: &'a [u8], counts: &mut Counts) -> Option<(Start, &'a [u8])> {
    let payload = frame::tcp_payload(frame)?;
    counts.payloads += u64::from(!payload.is_empty());
    let start = frame::start(payload)?;
    match start {
        Start::Request => counts.requests += 1,
        Start::Response => counts.responses += 1,
    }
    Some((start, payload))
}

/// Every user agent that was seen; no bound, because a pass ends.
#[derive(Default)]
struct Agents {
    known: HashMap<Box<[u8]>, Option<Box<str>>>,
    parser: woothee::parser::Parser,
}

impl Agents {
    fn look(&mut self, agent: &[u8]) {
        if let Some(name) = self.known.get(agent) {
            black_box(name);
            return;
        }
        let text = String::from_utf8_lossy(agent);
        let parsed = black_box(self.parser.parse(&text));
        self.known.insert(agent.into(), parsed.map(|parsed| parsed.category.into()));
    }
}

/// Whether the head is complete. The result is hidden from the optimizer, which would
/// otherwise drop fields that nobody reads.
fn parses(start: Start, payload: &[u8], mut agent: impl FnMut(&[u8])) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let status = match start {
        Start::Request => {
            let mut request = httparse::Request::new(&mut headers);
            let status = request.parse(payload);
            black_box(&request);
            let named =
                |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("user-agent");
            if let Some(field) = request.headers.iter().find(named) {
                agent(field.value);
            }
            status
        }
        Start::Response => {
            let mut response = httparse::Response::new(&mut headers);
            let status = response.parse(payload);
            black_box(&response);
            status
        }
    };
    status.is_ok_and(|status| status.is_complete())
}

fn check_header(file: &[u8]) -> Result<(), BadCapture> {
    match (le32(file, 0), le32(file, 20)) {
        (Some(0xa1b2_c3d4 | 0xa1b2_3c4d), Some(ETHERNET)) => Ok(()),
        (Some(0xa1b2_c3d4 | 0xa1b2_3c4d), Some(_)) => Err(BadCapture::NotEthernet),
        _ => Err(BadCapture::NotPcap),
    }
}

#[inline(always)]
fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: u32, link: u32) -> Vec<u8> {
        let mut file = vec![0; FILE_HEADER];
        file[..4].copy_from_slice(&magic.to_le_bytes());
        file[20..].copy_from_slice(&link.to_le_bytes());
        file
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let good = header(0xa1b2_c3d4, 1);
        let cut = [good.clone(), vec![1; RECORD_HEADER]].concat();
        let cases: &[(&[u8], Result<u64, BadCapture>)] = &[
            (b"", Err(BadCapture::NotPcap)),
            (&good[..23], Err(BadCapture::NotPcap)),
            (&header(0xd4c3_b2a1, 1), Err(BadCapture::NotPcap)),
            (&header(0xa1b2_c3d4, 113), Err(BadCapture::NotEthernet)),
            (&good, Ok(0)),
            (&cut, Err(BadCapture::CutAt(FILE_HEADER))),
        ];
        for (file, expected) in cases {
            for depth in [Depth::Walk, Depth::Find, Depth::Parse, Depth::Agents] {
                let got = pass(file, depth, true).map(|counts| counts.packets);
                assert_eq!(got, *expected, "{depth:?} {file:?}");
            }
        }
    }
}
