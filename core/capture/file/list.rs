//! A worker's packets of one piece, as places.

use std::mem;

use super::walk::Chunk;
use crate::capture::{format::Frame, input::prefetch, pcap, share};

/// Packets of a piece, and about how many bytes: what waits should lie in the caches, and a lock
/// and a wake-up should be lost in the work on it.
pub(super) const PIECE: usize = 8192;
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// So many packets ahead of the one that is taken the next ones are asked for.
const AHEAD: usize = 8;

/// How a packet is written in a list. Its place comes first: where its bytes begin, counted from
/// the begin of the piece.
#[derive(Clone, Default)]
pub(super) enum Form {
    /// Nothing else: the rest stands before its bytes, and this can read it.
    Place(pcap::Reader),
    /// All that only who walks knows: its length, that on the wire, link type and interface, time.
    #[default]
    Whole,
}

/// Words of a packet that is written whole.
const WHOLE: usize = 6;

impl Form {
    fn words(&self) -> usize {
        match self {
            Self::Place(_) => 1,
            Self::Whole => WHOLE,
        }
    }
}

/// One worker's packets of one piece.
#[derive(Default)]
pub(super) struct List {
    pub(super) chunk: Chunk,
    /// Number of the input.
    pub(super) input: usize,
    pub(super) piece: Piece,
    words: Vec<u32>,
    /// The first word that is not taken yet.
    next: usize,
}

/// Where a piece begins in its chunk, and how its packets are written.
#[derive(Clone, Default)]
pub(super) struct Piece {
    pub(super) begin: usize,
    pub(super) form: Form,
}

impl Piece {
    /// How many packets so many words are.
    pub(super) fn packets(&self, words: usize) -> usize {
        words / self.form.words()
    }
}

impl List {
    pub(super) fn new(chunk: Chunk, input: usize, piece: Piece, words: Vec<u32>) -> Self {
        Self { chunk, input, piece, words, next: 0 }
    }

    /// Packets that are not taken yet.
    pub(super) fn left(&self) -> usize {
        self.piece.packets(self.words.len() - self.next)
    }

    /// Its memory, to be used again.
    pub(super) fn recycle(&mut self) -> Vec<u32> {
        let mut words = mem::take(&mut self.words);
        words.clear();
        *self = Self::default();
        words
    }

    /// Takes packets for as long as `take` wants the next one.
    #[inline]
    pub(super) fn run<'a>(&'a mut self, mut take: impl FnMut(Frame<'a>) -> bool) {
        let Self { chunk, piece: Piece { begin, form }, words, next, .. } = self;
        let (bytes, step) = (chunk.bytes(), form.words());
        while let Some(&place) = words.get(*next) {
            let at = *begin + place as usize;
            let frame = match form {
                Form::Place(reader) => reader.packet(bytes, at),
                Form::Whole => whole(bytes, at, &words[*next + 1..]),
            };
            if let Some(&later) = words.get(*next + AHEAD * step) {
                prefetch::front(bytes, *begin + later as usize);
            }
            *next += step;
            if let Some(frame) = frame
                && !take(frame)
            {
                break;
            }
        }
    }
}

/// The packet that begins at `at` and is written whole.
#[inline]
fn whole<'a>(bytes: &'a [u8], at: usize, words: &[u32]) -> Option<Frame<'a>> {
    let [len, wire_len, kind, low, high, ..] = *words else { return None };
    let [l0, l1, i0, i1] = kind.to_ne_bytes();
    Some(Frame {
        time: (u64::from(high) << 32 | u64::from(low)).cast_signed(),
        data: bytes.get(at..at + len as usize)?,
        wire_len,
        link: u16::from_ne_bytes([l0, l1]),
        interface: u16::from_ne_bytes([i0, i1]),
    })
}

/// Writes what is found on the way to the lists of its owners.
pub(super) struct Writer<'a, 'b> {
    /// Those that are walked, from the begin of the piece.
    bytes: &'a [u8],
    lists: &'b mut [Vec<u32>],
    is_whole: bool,
    written: usize,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(super) fn new(chunk: &'a [u8], piece: &Piece, lists: &'b mut [Vec<u32>]) -> Self {
        let bytes = chunk.get(piece.begin..).unwrap_or_default();
        let is_whole = matches!(piece.form, Form::Whole);
        Self { bytes, lists, is_whole, written: 0 }
    }

    /// How many packets were written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Writes a packet; whether the piece has room for the next.
    #[inline(always)]
    pub(super) fn write(&mut self, frame: &Frame<'_>) -> bool {
        let at = frame.data.as_ptr().addr() - self.bytes.as_ptr().addr();
        let list = &mut self.lists[share::owner(frame.data, frame.link, self.lists.len())];
        list.push(word(at as u64));
        if self.is_whole {
            let [[l0, l1], [i0, i1]] = [frame.link.to_ne_bytes(), frame.interface.to_ne_bytes()];
            let kind = u32::from_ne_bytes([l0, l1, i0, i1]);
            let time = frame.time.cast_unsigned();
            let [low, high] = [word(time & u64::from(u32::MAX)), word(time >> 32)];
            let len = word(frame.data.len() as u64);
            list.extend_from_slice(&[len, frame.wire_len, kind, low, high]);
        }
        self.written += 1;
        self.written < PIECE && at < PIECE_BYTES
    }
}

/// A number that is less than 2^32: a walk ends before a piece is longer.
#[inline]
fn word(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
