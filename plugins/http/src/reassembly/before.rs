//! Heads from before the segment at which a direction was taken up in mid-stream.
//!
//! Where rings or mirror ports mix, the first head of a direction that is seen need not be the
//! first that was sent, and without a SYN nothing shows that. So for [`HOLD`] a segment from
//! before it that begins with a head is read by itself, once. Its request or response is found
//! by acknowledgment numbers. A head of which such a segment holds only the beginning comes out
//! as incomplete.

use ringmill_sdk::Result;

use super::{
    Count, HOLD, Reassembly,
    segment::{Segment, ahead},
    table::{Dir, NONE},
};
use crate::{boundary, heads::Heads};

/// How far from before, in bytes: as much as a connection sends in the few milliseconds for
/// which packets overtake each other.
const FARTHEST: i32 = 1 << 20;

/// The most segments of one direction.
const MOST: usize = 16;

/// Of a direction that was taken up in mid-stream.
pub(super) struct Before {
    /// Where that was.
    first: u32,
    /// Until when segments from before it are taken.
    pub until: i64,
    /// Those that were: first number, and the one behind the last.
    taken: Vec<(u32, u32)>,
}

impl Before {
    /// What of a segment lies before and was not taken yet.
    fn new_part<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        if !(-FARTHEST..0).contains(&ahead(segment.seq, self.first)) || self.taken.len() >= MOST {
            return None;
        }
        let part = segment.split(self.first).0;
        let is_old =
            |&(from, to): &(u32, u32)| ahead(part.seq, to) < 0 && ahead(from, part.end()) < 0;
        (boundary::is_head(part.bytes) && !self.taken.iter().any(is_old)).then_some(part)
    }
}

impl Reassembly {
    /// A direction was taken up at this segment, in mid-stream.
    pub(super) fn taken_up(&mut self, id: u32, d: usize, segment: &Segment<'_>) {
        if self.works.bytes + self.pairs.bytes >= self.limits.buffer_bytes {
            self.count(Count::NoBuffer);
            return;
        }
        if self.table.dir(id, d).work == NONE {
            self.table.dir(id, d).work = self.works.add(id);
        }
        let number = self.table.dir(id, d).work;
        if let Some(work) = self.works.get(number) {
            let until = segment.seen.time.0.saturating_add(HOLD);
            work.falls_due(until);
            work.before = Some(Before { first: segment.seq, until, taken: Vec::new() });
        }
    }

    /// Takes nothing from before any more.
    pub(super) fn forget_before(&mut self, id: u32, d: usize) {
        let number = self.table.dir(id, d).work;
        if let Some(work) = self.works.get(number) {
            work.before = None;
        }
        self.tidy(id, d);
    }

    /// Whether something from before may still come, at or before `end` if that is known.
    pub(super) fn awaits_before(&mut self, id: u32, d: usize, end: Option<u32>) -> bool {
        let number = self.table.dir(id, d).work;
        let before = self.works.get(number).and_then(|work| work.before.as_ref());
        before.is_some_and(|before| end.is_none_or(|end| ahead(end, before.first) <= 0))
    }

    /// Takes the heads of a segment that lies before; gives what of it is still to be taken.
    pub(super) fn take_before<'a>(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'a>,
        heads: &mut Heads,
    ) -> Result<Segment<'a>> {
        let now = *self.table.dir(id, d);
        let Some(before) = self.works.get(now.work).and_then(|work| work.before.as_mut()) else {
            return Ok(*segment);
        };
        let Some(part) = before.new_part(segment) else { return Ok(*segment) };
        before.taken.push((part.seq, part.end()));
        // The direction goes back for a moment.
        let partial = self.works.take_partial(now.work);
        let mut back = Dir::from(part.seq);
        back.work = now.work;
        back.set(Dir::BEFORE);
        *self.table.dir(id, d) = back;
        self.consume(id, d, &part, heads)?;
        self.give_up_head(id, d, heads)?;
        *self.table.dir(id, d) = now;
        self.works.put_partial(now.work, partial);
        Ok(segment.split(part.end()).1)
    }
}
