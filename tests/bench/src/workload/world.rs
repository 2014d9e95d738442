//! What all flows of a capture share while it is written.

use super::dice::Dice;
use super::mix::Shape;
use super::names::Names;
use super::payload::Pools;

/// 15 June 2025, 15:06:40 UTC, in microseconds since 1970.
const START: u64 = 1_750_000_000_000_000;
/// Mean gap between packets is half of this, microseconds. A gap is never 0, so that every
/// packet has a time of its own.
const LONGEST_GAP: u32 = 10;

/// Chance, time, tables, and the frame in the making.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) names: Names,
    pub(super) pools: Pools,
    pub(super) shape: &'static Shape,
    /// Client hosts.
    pub(super) clients: u32,
    /// The packet that a step leaves.
    pub(super) frame: Vec<u8>,
    /// Buffer for the payload of the packet.
    pub(super) payload: Vec<u8>,
    /// Buffer for a head.
    pub(super) head: String,
    /// Flows that have sent at least one packet.
    pub(super) flows: u64,
    pub(super) requests: u64,
    pub(super) responses: u64,
    /// Heads of which a second segment is to follow.
    pub(super) cut: u64,
    now: u64,
}

impl World {
    pub(super) fn new(shape: &'static Shape, seed: u64, flows: usize) -> Self {
        Self {
            dice: Dice::new(seed, 1),
            names: Names::new(),
            pools: Pools::new(&mut Dice::new(seed, 2)),
            shape,
            clients: u32::try_from(flows / 8).unwrap_or(u32::MAX).clamp(50, 0xffff),
            frame: Vec::with_capacity(2048),
            payload: Vec::with_capacity(2048),
            head: String::with_capacity(2048),
            flows: 0,
            requests: 0,
            responses: 0,
            cut: 0,
            now: START,
        }
    }

    /// Moves to the time of the next packet.
    pub(super) fn advance(&mut self) {
        self.now += u64::from(self.dice.between(1, LONGEST_GAP));
    }

    /// Seconds since 1970 and microseconds of that second.
    pub(super) fn time(&self) -> (u64, u64) {
        (self.now / 1_000_000, self.now % 1_000_000)
    }

    /// Milliseconds since the capture began.
    pub(super) fn milliseconds(&self) -> u32 {
        u32::try_from((self.now - START) / 1000).unwrap_or(u32::MAX >> 1)
    }

    pub(super) fn identification(&mut self) -> u16 {
        u16::try_from(self.dice.below(1 << 16)).unwrap_or(0)
    }

    /// Sees to it that a payload that is no head does not look like one.
    pub(super) fn disguise(&mut self) {
        if looks_like_head(&self.payload) {
            self.payload[0] ^= 0x80;
        }
    }
}

/// Whether a reader of first words would take this for a head.
pub(super) fn looks_like_head(payload: &[u8]) -> bool {
    [&b"GET "[..], b"POST", b"PUT ", b"DELE", b"PATC", b"HEAD", b"HTTP"]
        .iter()
        .any(|word| payload.starts_with(word))
}
