//! One direction of a connection: from segments in any order to bytes in theirs.

use ringmill_sdk::Result;

use super::{
    Count, Reassembly,
    messages::stride,
    segment::{Segment, ahead},
    table::{Dir, NONE, State},
};
use crate::{boundary, heads::Heads};

/// A segment this far ahead is no part of what is awaited, in bytes: beyond the windows that
/// are in use.
const FAR: i32 = 1 << 26;

/// Bytes that wait behind a response whose request is still to come.
const MOST_WAITING: usize = 1 << 14;

impl Reassembly {
    /// Takes a segment with payload, and then those that waited for it.
    #[inline]
    pub(super) fn data(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        heads: &mut Heads,
    ) -> Result {
        let work = self.table.dir(id, d).work;
        if work == NONE {
            self.deliver(id, d, segment, heads)?;
            return if self.table.dir(id, d).work == NONE {
                Ok(())
            } else {
                self.drain(id, d, heads)
            };
        }
        let rest = self.take_before(id, d, segment, heads)?;
        if rest.wire > 0 {
            self.deliver(id, d, &rest, heads)?;
        }
        self.drain(id, d, heads)
    }

    fn deliver(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
        let flow = self.table.flow_mut(id);
        let waits = flow.pending != NONE;
        let dir = &mut flow.dirs[d & 1];
        match dir.state {
            State::Other => return Ok(()),
            State::Unknown if !boundary::is_head(segment.bytes) => return Ok(()),
            State::Unknown => {
                (dir.next, dir.state) = (segment.seq, State::Ready);
                self.taken_up(id, d, segment);
                return self.consume(id, d, segment, heads);
            }
            State::Lost | State::Close => {
                let offset = ahead(segment.seq, dir.next);
                let expects = dir.state == State::Lost || waits || dir.has(Dir::DOUBT);
                let is_new = !(-FAR..0).contains(&offset);
                if !expects || !is_new || !boundary::is_head(segment.bytes) {
                    if ahead(segment.end(), dir.next) > 0 {
                        dir.next = segment.end();
                    }
                    return Ok(());
                }
                dir.clear(Dir::DOUBT);
                (dir.next, dir.state) = (segment.seq, State::Ready);
            }
            State::Body => stride(dir, segment),
            State::Ready if dir.has(Dir::DOUBT) => {
                let held = self.works.get(dir.work).is_some_and(|work| !work.held.is_empty());
                doubt(dir, segment, held);
            }
            _ => {}
        }
        let offset = ahead(segment.seq, dir.next);
        if offset > 0 {
            return self.gap(id, d, segment, offset, heads);
        }
        if dir.state == State::Waiting {
            return self.wait(id, d, segment, heads);
        }
        if ahead(segment.end(), dir.next) <= 0 {
            if dir.has(Dir::SKIPPING) {
                return Ok(());
            }
            if offset < -FAR && boundary::is_head(segment.bytes) {
                return self.jump(id, d, segment, heads);
            }
            self.count(Count::Repeated);
            return Ok(());
        }
        if dir.work == NONE {
            return self.consume(id, d, segment, heads);
        }
        // Of what waits already, this is the second copy.
        let (work, next) = (dir.work, dir.next);
        match self.works.get(work).and_then(|work| work.early.front_seq()) {
            Some(first) if ahead(first, next) > 0 && ahead(segment.end(), first) > 0 => {
                let (before, after) = segment.split(first);
                self.works.keep(work, &after, next, self.limits.out_of_order_bytes);
                self.consume(id, d, &before, heads)
            }
            _ => self.consume(id, d, segment, heads),
        }
    }

    /// A segment that came too early.
    #[cold]
    fn gap(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        offset: i32,
        heads: &mut Heads,
    ) -> Result {
        let now = super::units(segment.seen.time);
        if offset > FAR || !self.has_room(id, now, heads)? {
            return self.jump(id, d, segment, heads);
        }
        self.count(Count::Early);
        if self.table.dir(id, d).work == NONE {
            let number = self.works.add(id);
            self.table.dir(id, d).work = number;
        }
        let dir = *self.table.dir(id, d);
        if !self.works.keep(dir.work, segment, dir.next, self.limits.out_of_order_bytes) {
            self.give_up(id, d, heads)?;
        }
        Ok(())
    }

    /// Goes on at a segment that is too far from what is awaited to be near it, as after a SYN
    /// that told another beginning.
    #[cold]
    fn jump(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
        self.count(Count::Gaps);
        self.give_up_head(id, d, heads)?;
        self.lose(id, d);
        let dir = self.table.dir(id, d);
        dir.next = segment.seq;
        if !boundary::is_head(segment.bytes) {
            return Ok(());
        }
        dir.state = State::Ready;
        self.consume(id, d, segment, heads)
    }

    /// Keeps what comes while a response's request is awaited; when that is too much, goes on
    /// as if nobody knew the request.
    #[cold]
    pub(super) fn wait(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        heads: &mut Heads,
    ) -> Result {
        let Dir { next, work, .. } = *self.table.dir(id, d);
        let rest = match ahead(next, segment.seq) {
            ..=0 => *segment,
            _ => segment.split(next).1,
        };
        if ahead(rest.end(), next) > 0 && !self.works.keep(work, &rest, next, MOST_WAITING) {
            self.go_on(id, d);
            self.drain(id, d, heads)?;
        }
        Ok(())
    }

    /// Takes what waited and waits no longer.
    pub(super) fn drain(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        loop {
            let dir = *self.table.dir(id, d);
            let Dir { work, next, state, .. } = dir;
            if work == NONE || state == State::Waiting || dir.has(Dir::BEFORE) {
                return Ok(());
            }
            let anything = matches!(state, State::Lost | State::Close | State::Other);
            let wanted = |seq: u32| anything || ahead(seq, next) <= 0;
            let Some(stored) = self.works.take_early(work, wanted) else { break };
            self.deliver(id, d, &stored.segment(), heads)?;
            self.works.spare.give_back(stored.into_bytes());
        }
        self.tidy(id, d);
        Ok(())
    }

    /// Gives back a work in which nothing waits.
    pub(super) fn tidy(&mut self, id: u32, d: usize) {
        let number = self.table.dir(id, d).work;
        if number != NONE && self.works.drop_empty(number) {
            self.table.dir(id, d).work = NONE;
        }
    }
}

/// A response to an unknown request may be one to HEAD: then the next response is where its
/// body would be. One further on need not be in the body either, then; as long as the response
/// waits for its request (`held`), that is left open.
fn doubt(dir: &mut Dir, segment: &Segment<'_>, held: bool) {
    let waits = held && !dir.has(Dir::WAITED);
    let body = dir.next.wrapping_sub(dir.left);
    let offset = ahead(segment.seq, body);
    if offset < 0 {
        return;
    }
    dir.clear(Dir::DOUBT);
    let is_response = boundary::is_status_line(segment.bytes);
    if is_response && (offset == 0 || waits) {
        dir.next = body;
    }
    if is_response && offset > 0 && waits {
        dir.clear(Dir::SKIPPING);
        dir.state = State::Waiting;
    }
}
