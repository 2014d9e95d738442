//! What a capture file holds, whichever format it has.
//!
//! A [`Reader`] knows how to read the next record (byte order, clock, interfaces) and
//! nothing about where the bytes come from: the same reader walks a mapped file and a stream
//! of decompressed blocks. It borrows the packet where it lies and allocates nothing for it.
//!
//! We did not take a parser crate: those own their buffer or build a value for each block,
//! and one record here has to cost a handful of instructions, because one worker at a time
//! walks a file for all.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, and libpcap's `savefile.c` for
//! what is found in practice.

mod error;
mod guess;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use error::{Begins, Fault, FormatError};
pub(super) use guess::unknown;

use super::{pcap, pcapng};

/// The most bytes that one packet may have when the file does not announce more
/// (libpcap's `MAXIMUM_SNAPLEN`).
pub const USUAL_LIMIT: u32 = 262_144;

/// The most bytes that one packet may have whatever the file announces.
pub const HARD_LIMIT: u32 = 128 << 20;

/// One packet as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Nanoseconds since 1970, UTC.
    pub time: i64,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// How long the packet was on the wire.
    pub wire_len: u32,
    /// `LINKTYPE_` of what the bytes begin with.
    pub link: u16,
    /// Index into [`Reader::interfaces`]; 0 in a pcap file.
    pub interface: u16,
}

/// What a reader found at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A packet; its record is `used` bytes long.
    Frame {
        /// The packet.
        frame: Frame<'a>,
        /// Bytes from the front that belong to the record.
        used: usize,
    },
    /// A block that is no packet, or one that [`Reader::skipped`] counts.
    Skip {
        /// Bytes from the front that belong to the block.
        used: usize,
    },
    /// The bytes end before the record does (or there are none).
    More,
    /// The record cannot be right, and the next one cannot be found.
    Damaged(FormatError),
}

/// Packets that lie in well-framed blocks and can still not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Packets of an interface that the section never described.
    pub undeclared: u64,
    /// Packets that claim more bytes than their block holds.
    pub overlong: u64,
    /// Statistics whose options or interface cannot be read.
    pub statistics: u64,
}

/// The state of a capture format, without the bytes.
///
/// Calls must go forward: each `step` gets the bytes that follow what the one before used.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Classic pcap.
    Pcap(pcap::Reader),
    /// pcapng.
    PcapNg(pcapng::Reader),
}

impl Reader {
    /// Looks at the first bytes; `Ok(None)` asks for more of them.
    ///
    /// The number is what the file header used; the first record begins there.
    pub fn detect(bytes: &[u8]) -> Result<Option<(Self, usize)>, FormatError> {
        let Some(magic) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        if *magic == pcapng::MAGIC {
            // The section header is a block like any other; `step` reads it.
            return Ok(pcapng::Reader::detect(bytes)?.map(|reader| (Self::PcapNg(reader), 0)));
        }
        match pcap::Layout::of(*magic) {
            Some(layout) => Ok(pcap::Reader::new(layout, bytes)?
                .map(|reader| (Self::Pcap(reader), pcap::FILE_HEADER))),
            None => Err(unknown(bytes)),
        }
    }

    /// As [`Reader::detect`], for bytes after which nothing comes.
    pub fn detect_all(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        Self::detect(bytes)?.ok_or(match bytes.len() {
            0 => FormatError::Empty,
            bytes => FormatError::Short { bytes },
        })
    }

    /// Reads one record from the front of `bytes`.
    #[inline]
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        match self {
            Self::Pcap(reader) => reader.step(bytes),
            Self::PcapNg(reader) => reader.step(bytes),
        }
    }

    /// How many bytes at the front are whole records, and what is wrong with the next one if
    /// it is not just unfinished. A stream cuts its blocks here.
    pub fn whole(&mut self, bytes: &[u8]) -> (usize, Option<FormatError>) {
        let mut at = 0;
        loop {
            match self.step(&bytes[at..]) {
                Step::Frame { used, .. } | Step::Skip { used } => at += used,
                Step::More => return (at, None),
                Step::Damaged(error) => return (at, Some(error)),
            }
        }
    }

    /// The interfaces described so far, of all sections; none in a pcap file.
    pub fn interfaces(&self) -> &[pcapng::Interface] {
        match self {
            Self::Pcap(_) => &[],
            Self::PcapNg(reader) => reader.interfaces(),
        }
    }

    /// What was passed over so far though it was meant to be read.
    pub fn skipped(&self) -> Skipped {
        match self {
            Self::Pcap(_) => Skipped::default(),
            Self::PcapNg(reader) => reader.skipped(),
        }
    }
}
