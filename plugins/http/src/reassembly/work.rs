//! What has to wait: the beginnings of heads, segments that came too early, responses whose
//! request is still to come. Only few connections have any at a time, so it lies outside of the
//! flow table, in a pool.

use std::collections::VecDeque;

use ringmill_sdk::prefetch;

use super::{
    GAP, HOLD,
    before::Before,
    early::{Early, Stored},
    segment::{Segment, ahead},
    table::State,
};
use crate::{
    boundary::End,
    framing::Framing,
    head::{Flags, Kind},
    rows::Seen,
};

/// The most segments that wait in one direction: each that comes into the middle moves others.
const MOST_SEGMENTS: usize = 256;

/// A response whose request is still to come.
pub(super) struct Held {
    pub seen: Seen,
    pub seq: u32,
    pub ack: Option<u32>,
    /// It lies before where its direction was taken up.
    pub before: bool,
    pub head: Vec<u8>,
    pub flags: Flags,
    pub framing: Framing,
}

/// The head of which the beginning is there.
#[derive(Default)]
pub(super) struct Partial {
    pub bytes: Vec<u8>,
    pub end: End,
    /// `None` while its first bytes do not tell.
    pub kind: Option<Kind>,
    /// Of its first byte.
    pub seen: Option<Seen>,
    pub seq: u32,
    pub ack: Option<u32>,
}

impl Partial {
    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

/// What waits in one direction of one connection.
#[derive(Default)]
pub(super) struct Work {
    /// Number of the flow.
    pub owner: Option<u32>,
    /// Few have one, and it is large.
    pub partial: Option<Box<Partial>>,
    pub early: Early,
    /// In the order of their sequence numbers.
    pub held: VecDeque<Held>,
    pub before: Option<Before>,
    /// Nothing in it falls due before, so that most packets need not look for what does.
    due: i64,
}

const _: () = assert!(size_of::<Work>() <= 192, "three cache lines");

impl Work {
    /// Something falls due at this time.
    pub(super) fn falls_due(&mut self, time: i64) {
        self.due = self.due.min(time);
    }

    /// Remembers when the first of what is there falls due, whatever hinders it now.
    pub(super) fn look(&mut self) {
        let early = self.early.front().map(|early| gap_ends(&early.segment().seen));
        let held = self.held.front().map(|held| hold_ends(&held.seen));
        let before = self.before.as_ref().map(|before| before.until);
        self.due = [early, held, before].into_iter().flatten().min().unwrap_or(i64::MAX);
    }

    /// The segment before which bytes are missing: none are behind a response that waits for
    /// its request.
    pub(super) fn gap(&self, state: State) -> Option<&Stored> {
        self.early.front().filter(|_| state != State::Waiting)
    }

    fn is_empty(&self) -> bool {
        let Self { partial, early, held, before, .. } = self;
        partial.is_none() && early.is_empty() && held.is_empty() && before.is_none()
    }
}

/// Until when a segment that was seen then waits for those before it.
pub(super) fn gap_ends(seen: &Seen) -> i64 {
    seen.time.0.saturating_add(GAP)
}

/// Until when a response that was seen then waits for its request.
pub(super) fn hold_ends(seen: &Seen) -> i64 {
    seen.time.0.saturating_add(HOLD)
}

/// All of them, within a bound of bytes.
pub(super) struct Works {
    all: Vec<Work>,
    free: Vec<u32>,
    pub spare: Spare,
    /// Empty ones, to be used again.
    #[allow(clippy::vec_box, reason = "boxes are what is kept")]
    partials: Vec<Box<Partial>>,
    pub bytes: usize,
}

/// How many spare buffers there are at most, and of how many bytes.
const SPARE: usize = 4096;
const SPARE_BYTES: usize = 4096;
/// How many spare [`Partial`]s there are at most: about as many come and go in a batch.
const SPARE_PARTIALS: usize = 256;

/// Memory to be used again, so that a usual stream allocates nothing.
#[derive(Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// A copy of bytes, in memory that was used before.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut copy = self.take();
        copy.extend_from_slice(bytes);
        copy
    }

    /// Keeps the memory of what was taken.
    pub(super) fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.0.len() < SPARE && (1..=SPARE_BYTES).contains(&bytes.capacity()) {
            bytes.clear();
            self.0.push(bytes);
        }
    }
}

impl Works {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            spare: Spare::default(),
            partials: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Work> {
        self.all.get_mut(number as usize)
    }

    /// Whether something in it may be due.
    #[inline]
    pub(super) fn may_be_due(&self, number: u32, until: i64) -> bool {
        self.all.get(number as usize).is_some_and(|work| work.due <= until)
    }

    /// Asks for the lines that it lies in.
    #[inline]
    pub(super) fn prefetch(&self, number: u32) {
        if let Some(Work { owner, early, held, due, .. }) = self.all.get(number as usize) {
            prefetch(owner);
            prefetch(early);
            prefetch(held);
            prefetch(due);
        }
    }

    /// Asks for what it points to: a head, where segments lie, the first response.
    #[inline]
    pub(super) fn prefetch_more(&self, number: u32) {
        if let Some(Work { partial, early, held, .. }) = self.all.get(number as usize) {
            partial.as_deref().into_iter().for_each(prefetch);
            early.prefetch();
            held.front().into_iter().for_each(prefetch);
        }
    }

    /// Numbers from 0 up to this are in use or free.
    pub(super) fn made(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn add(&mut self, id: u32) -> u32 {
        self.bytes += size_of::<Work>();
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(Work::default());
            self.made() - 1
        });
        let work = &mut self.all[number as usize];
        (work.owner, work.due) = (Some(id), i64::MAX);
        number
    }

    /// Gives it back if nothing waits in it.
    pub(super) fn drop_empty(&mut self, number: u32) -> bool {
        let Some(work) = self.all.get_mut(number as usize) else { return true };
        if !work.is_empty() {
            return false;
        }
        self.bytes -= size_of::<Work>();
        // What was large once does not stay large, and few keep anything at all.
        let few = 8;
        work.owner = None;
        if self.free.len() >= SPARE || work.early.capacity() > few || work.held.capacity() > few {
            *work = Work::default();
        }
        self.free.push(number);
        true
    }

    /// A head begins to wait, of which no bytes are there yet.
    pub(super) fn begin(&mut self, number: u32, partial: Partial) {
        if let Some(work) = self.all.get_mut(number as usize) {
            self.bytes += partial.size();
            **work.partial.insert(self.partials.pop().unwrap_or_default()) = partial;
        }
    }

    /// The head that waits, if one does.
    pub(super) fn partial(&mut self, number: u32) -> Option<&mut Partial> {
        self.get(number)?.partial.as_deref_mut()
    }

    /// Adds bytes to a head; up to `most` in all. Whether all fit.
    pub(super) fn append(&mut self, number: u32, bytes: &[u8], most: usize) -> bool {
        let work = self.all.get_mut(number as usize);
        let Some(partial) = work.and_then(|work| work.partial.as_mut()) else { return false };
        let head = &mut partial.bytes;
        let before = head.capacity();
        if before == 0 {
            *head = self.spare.take();
        }
        let fit = bytes.len().min(most.saturating_sub(head.len()));
        head.extend_from_slice(&bytes[..fit]);
        self.bytes += head.capacity() - before;
        fit == bytes.len()
    }

    /// The head so far; it waits no longer. To be given [back](Self::give_back).
    pub(super) fn take_partial(&mut self, number: u32) -> Option<Box<Partial>> {
        let partial = self.get(number)?.partial.take()?;
        self.bytes -= partial.size();
        Some(partial)
    }

    /// Keeps the memory of what was taken.
    pub(super) fn give_back(&mut self, mut partial: Box<Partial>) {
        self.spare.give_back(std::mem::take(&mut *partial).bytes);
        if self.partials.len() < SPARE_PARTIALS {
            self.partials.push(partial);
        }
    }

    /// Puts it back.
    pub(super) fn put_partial(&mut self, number: u32, partial: Option<Box<Partial>>) {
        if let Some(work) = self.all.get_mut(number as usize) {
            self.bytes += partial.as_ref().map_or(0, |partial| partial.size());
            work.partial = partial;
        }
    }

    /// Keeps a segment that came too early. Whether it is within the bounds of its direction.
    pub(super) fn keep(
        &mut self,
        number: u32,
        segment: &Segment<'_>,
        next: u32,
        most: usize,
    ) -> bool {
        let Some(work) = self.all.get_mut(number as usize) else { return false };
        self.bytes += work.early.keep(segment, next, &mut self.spare);
        work.falls_due(gap_ends(&segment.seen));
        work.early.len() <= MOST_SEGMENTS && work.early.bytes() <= most
    }

    /// The first of the segments that wait, if one that begins there is `wanted`.
    pub(super) fn take_early(
        &mut self,
        number: u32,
        wanted: impl Fn(u32) -> bool,
    ) -> Option<Stored> {
        let work = self.all.get_mut(number as usize)?;
        work.early.front_seq().filter(|seq| wanted(*seq))?;
        let (first, size) = work.early.pop_front()?;
        // Who comes first now was not looked at.
        work.due = i64::MIN;
        self.bytes -= size;
        Some(first)
    }

    /// What the last response that waits says of its body.
    pub(super) fn framing(&mut self, number: u32) -> Option<Framing> {
        Some(self.get(number)?.held.back()?.framing)
    }

    pub(super) fn hold(&mut self, number: u32, held: Held) {
        let Some(work) = self.all.get_mut(number as usize) else { return };
        self.bytes += size_of::<Held>() + held.head.capacity();
        work.falls_due(hold_ends(&held.seen));
        // Most wait alone.
        if work.held.capacity() == 0 {
            work.held.reserve_exact(1);
        }
        let at = work.held.partition_point(|it| ahead(it.seq, held.seq) <= 0);
        work.held.insert(at, held);
    }

    pub(super) fn take_held(&mut self, number: u32) -> Option<Held> {
        let work = self.get(number)?;
        let held = work.held.pop_front()?;
        work.due = i64::MIN;
        self.bytes -= size_of::<Held>() + held.head.capacity();
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::speed::seen;

    #[test]
    fn of_bytes_that_came_twice_the_first_copy_counts() {
        // (segments by offset, what waits in the end)
        type Pieces = &'static [(u32, &'static [u8])];
        let cases: &[(Pieces, Pieces)] = &[
            (&[(5, b"aa"), (9, b"bb")], &[(5, b"aa"), (9, b"bb")]),
            (&[(9, b"bb"), (5, b"aa")], &[(5, b"aa"), (9, b"bb")]),
            (&[(5, b"aaa"), (6, b"bbb")], &[(5, b"aaa"), (8, b"b")]),
            (&[(6, b"aaa"), (5, b"bbb")], &[(5, b"b"), (6, b"aaa")]),
            (&[(5, b"aaa"), (5, b"bbb")], &[(5, b"aaa")]),
            (
                &[(6, b"a"), (8, b"b"), (5, b"ccccc")],
                &[(5, b"c"), (6, b"a"), (7, b"c"), (8, b"b"), (9, b"c")],
            ),
            (&[(5, b"aaaaa"), (6, b"b")], &[(5, b"aaaaa")]),
        ];
        let next = u32::MAX - 6;
        for (segments, expected) in cases {
            let mut works = Works::new();
            let number = works.add(0);
            for &(offset, bytes) in *segments {
                let seq = next.wrapping_add(offset);
                let wire = u32::try_from(bytes.len()).unwrap_or(0);
                let segment = Segment { seq, ack: None, bytes, wire, seen: seen() };
                assert!(works.keep(number, &segment, next, 100));
            }
            let mut got = Vec::new();
            while let Some(stored) = works.take_early(number, |_| true) {
                let segment = stored.segment();
                got.push((segment.seq.wrapping_sub(next), segment.bytes.to_vec()));
            }
            let expected: Vec<_> = expected.iter().map(|(at, it)| (*at, it.to_vec())).collect();
            assert_eq!(got, expected, "{segments:?}");
            assert!(works.drop_empty(number));
            assert_eq!(works.bytes, 0, "{segments:?}");
        }
    }
}
