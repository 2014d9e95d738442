//! The segments of one direction that came too early, in the order of their bytes.
//!
//! Whoever sends a head byte by byte in any order has each byte put into the middle of
//! hundreds. So the order lies apart from the segments: a few KiB to search and to move, while
//! what was stored stays where it is.

use std::collections::VecDeque;

use ringmill_sdk::prefetch;

use super::{segment::Segment, work::Spare};
use crate::rows::Seen;

/// A segment that came too early.
pub(super) struct Stored {
    seq: u32,
    ack: Option<u32>,
    bytes: Vec<u8>,
    wire: u32,
    seen: Seen,
}

impl Stored {
    pub(super) fn segment(&self) -> Segment<'_> {
        let Self { seq, ack, ref bytes, wire, seen } = *self;
        Segment { seq, ack, bytes, wire, seen }
    }

    /// The memory of its bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn size(&self) -> usize {
        size_of::<Place>() + size_of::<Slot>() + self.bytes.capacity()
    }
}

/// Where a segment begins, its length on the wire, and where it lies.
#[derive(Clone, Copy)]
struct Place {
    seq: u32,
    wire: u32,
    at: u32,
}

/// Where a segment lies.
enum Slot {
    Taken(Stored),
    /// The next free one and one more, 0 for none.
    Free(u32),
}

impl Slot {
    fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Taken(stored) => Some(stored),
            Self::Free(_) => None,
        }
    }
}

/// How many places lie in a cache line.
const TOGETHER: usize = 64 / size_of::<Place>();

/// Without overlaps.
#[derive(Default)]
pub(super) struct Early {
    order: VecDeque<Place>,
    stored: Vec<Slot>,
    /// The first free slot and one more, 0 for none.
    free: u32,
    /// Captured bytes of all.
    bytes: usize,
}

impl Early {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn capacity(&self) -> usize {
        self.order.capacity().max(self.stored.capacity())
    }

    /// The one whose bytes come first.
    pub(super) fn front(&self) -> Option<&Stored> {
        self.stored.get(self.order.front()?.at as usize)?.stored()
    }

    /// The sequence number of its first byte.
    #[inline]
    pub(super) fn front_seq(&self) -> Option<u32> {
        Some(self.order.front()?.seq)
    }

    /// All, in the order of their bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.order.iter().filter_map(|place| self.stored.get(place.at as usize)?.stored())
    }

    /// Takes the first one off, and says how much memory it took.
    pub(super) fn pop_front(&mut self) -> Option<(Stored, usize)> {
        let Place { at, .. } = self.order.pop_front()?;
        let slot = std::mem::replace(self.stored.get_mut(at as usize)?, Slot::Free(self.free));
        let Slot::Taken(stored) = slot else { return None };
        self.bytes -= stored.bytes.len();
        self.free = at + 1;
        if self.order.is_empty() {
            self.stored.clear();
            self.free = 0;
        }
        let size = stored.size();
        Some((stored, size))
    }

    /// Keeps what of a segment is not there yet: of bytes that came twice the first copy
    /// counts. `next` is awaited in this direction. How much memory it takes.
    pub(super) fn keep(&mut self, segment: &Segment<'_>, next: u32, spare: &mut Spare) -> usize {
        let offset = |seq: u32| seq.wrapping_sub(next);
        let (begin, end) = (offset(segment.seq), offset(segment.seq).saturating_add(segment.wire));
        let (mut from, mut kept) = (begin, 0);
        let mut at = self.order.partition_point(|it| offset(it.seq) + it.wire <= from);
        while from < end {
            let next_begin = self.order.get(at).map_or(end, |it| offset(it.seq));
            if next_begin > from {
                let to = next_begin.min(end);
                let slice = |at: u32| ((at - begin) as usize).min(segment.bytes.len());
                let piece = Stored {
                    seq: next.wrapping_add(from),
                    ack: segment.ack,
                    bytes: spare.copy(&segment.bytes[slice(from)..slice(to)]),
                    wire: to - from,
                    seen: segment.seen,
                };
                kept += piece.size();
                self.insert(at, piece);
                at += 1;
                from = to;
            }
            if let Some(there) = self.order.get(at).filter(|_| from < end) {
                from = offset(there.seq) + there.wire;
                at += 1;
            }
        }
        kept
    }

    #[allow(clippy::cast_possible_truncation, reason = "a direction has a few hundred")]
    fn insert(&mut self, place: usize, piece: Stored) {
        self.bytes += piece.bytes.len();
        let Stored { seq, wire, .. } = piece;
        let at = match self.free.checked_sub(1) {
            Some(at) => {
                let slot = std::mem::replace(&mut self.stored[at as usize], Slot::Taken(piece));
                self.free = if let Slot::Free(next) = slot { next } else { 0 };
                at
            }
            None => {
                // Most gaps are one segment long.
                if self.stored.capacity() == 0 {
                    self.stored.reserve_exact(1);
                }
                self.stored.push(Slot::Taken(piece));
                self.stored.len() as u32 - 1
            }
        };
        self.order.insert(place, Place { seq, wire, at });
    }

    /// Asks for what the next segment will need.
    #[inline]
    pub(super) fn prefetch(&self) {
        let (front, back) = self.order.as_slices();
        let lines = front.iter().step_by(TOGETHER).chain(back.iter().step_by(TOGETHER));
        lines.for_each(prefetch);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics to fail")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::tests::speed::seen;

    /// Against a map of single bytes, while segments come and go and places are used again.
    #[test]
    fn what_waits_comes_out_in_order() {
        let (mut early, mut expected) = (Early::default(), BTreeMap::new());
        let (mut held, mut most, mut next, mut state) = (0, 0, u32::MAX - 5000, 1_u64);
        let mut dice = |bound: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from((state >> 33) % u64::from(bound)).unwrap()
        };
        for round in 0..20_000_u32 {
            let (ahead, wire) = (1 + dice(300), 1 + dice(3));
            let bytes = vec![round.to_le_bytes()[0]; wire as usize];
            let seq = next.wrapping_add(ahead);
            let segment = Segment { seq, ack: None, bytes: &bytes, wire, seen: seen() };
            held += early.keep(&segment, next, &mut Spare::default());
            for at in 0..wire {
                expected.entry(u64::from(ahead + at)).or_insert(bytes[0]);
            }
            most = most.max(early.stored.len());
            assert_eq!(early.bytes(), expected.len(), "round {round}");
            if round % 100 == 99 {
                // All below a new beginning.
                let first = early.front().unwrap().segment().seq;
                let step = 150.max(first.wrapping_sub(next));
                while let Some(it) = early.front().map(Stored::segment)
                    && it.seq.wrapping_sub(next) <= step
                {
                    let offset = u64::from(it.seq.wrapping_sub(next));
                    for (byte, at) in it.bytes.iter().zip(offset..) {
                        assert_eq!(expected.remove(&at), Some(*byte), "round {round}");
                    }
                    held -= early.pop_front().unwrap().1;
                }
                let rest = std::mem::take(&mut expected);
                let moved = rest.into_iter().map(|(at, byte)| (at - u64::from(step), byte));
                expected = moved.collect();
                next = next.wrapping_add(step);
            }
        }
        while let Some((_, size)) = early.pop_front() {
            held -= size;
        }
        assert_eq!((held, early.bytes(), early.len()), (0, 0, 0));
        assert!(most <= 512, "{most} places");
    }
}
