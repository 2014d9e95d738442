//! One direction of a connection: from segments to heads.

use memchr::memchr;
use ringmill_sdk::Result;

use super::{
    Count, GAP, Reassembly,
    chunked::{self, Step},
    segment::{Segment, ahead},
    table::{Dir, Flow, NONE, State},
};
use crate::{
    boundary::{self, End, LONGEST_LINE, Start},
    framing::Body,
    head::{Flags, Kind},
    heads::Heads,
    rows::Seen,
};

/// A segment this far ahead is no part of what is awaited, in bytes: beyond the windows that
/// are in use.
const FAR: i32 = 1 << 26;

/// Bytes that wait behind a response whose request is still to come.
const MOST_WAITING: usize = 1 << 14;

/// How far `next` goes ahead in a body at once; a quarter of the numbers keeps old and new
/// apart.
const STRIDE: u64 = 1 << 30;

/// A head that was put together, or all of it that there will be.
pub(super) struct Message<'a> {
    pub kind: Kind,
    /// Of its first byte.
    pub seen: Seen,
    pub seq: u32,
    pub ack: Option<u32>,
    pub bytes: &'a [u8],
    /// When its last byte was seen.
    pub end: i64,
    pub flags: Flags,
    /// What follows it in the same segment.
    pub after: &'a [u8],
}

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
        self.release_late(id, d, segment.seen.time.0, heads)?;
        let late = self.works.get(work).is_some_and(|work| {
            let waited = segment.seen.time.0.saturating_sub(work.gap_since);
            !work.early.is_empty() && waited > GAP
        });
        if late {
            self.give_up(id, d, heads)?;
        }
        self.deliver(id, d, segment, heads)?;
        self.drain(id, d, heads)
    }

    fn deliver(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
        let flow = self.table.flow_mut(id);
        let waits = flow.pending != NONE;
        let dir = &mut flow.dirs[d & 1];
        match dir.state {
            State::Other => return Ok(()),
            State::Unknown if !boundary::is_head(segment.bytes) => return Ok(()),
            State::Unknown => (dir.next, dir.state) = (segment.seq, State::Ready),
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
            State::Ready if dir.has(Dir::DOUBT) => doubt(dir, segment),
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
            if !dir.has(Dir::SKIPPING) {
                self.count(Count::Repeated);
            }
            return Ok(());
        }
        if dir.work == NONE {
            return self.consume(id, d, segment, heads);
        }
        // Of what waits already, this is the second copy.
        let (work, next) = (dir.work, dir.next);
        let first = self.works.get(work).and_then(|work| work.early.front());
        match first.map(|first| first.segment().seq) {
            Some(first) if ahead(first, next) > 0 && ahead(segment.end(), first) > 0 => {
                let (before, after) = segment.split(first);
                self.works.keep(work, &after, next, self.limits.out_of_order_bytes);
                self.consume(id, d, &before, heads)
            }
            _ => self.consume(id, d, segment, heads),
        }
    }

    /// Reads the bytes of a segment from `next` on.
    fn consume(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
        loop {
            let dir = self.table.dir(id, d);
            if matches!(dir.state, State::Lost | State::Close | State::Other) {
                dir.next = segment.end();
                return Ok(());
            }
            let at = dir.next.wrapping_sub(segment.seq);
            if at >= segment.wire {
                return Ok(());
            }
            if dir.state == State::Waiting {
                return self.wait(id, d, segment, heads);
            }
            dir.clear(Dir::SKIPPING);
            let Some(rest) = segment.bytes.get(at as usize..).filter(|rest| !rest.is_empty())
            else {
                return self.cut(id, d, segment, heads);
            };
            match dir.state {
                State::Ready => self.begin(id, d, segment, rest, heads)?,
                State::Head => self.more(id, d, segment, rest, heads)?,
                // `H` is no digit: here no chunk begins but the next response.
                State::ChunkSize if dir.has(Dir::DOUBT) => {
                    dir.clear(Dir::DOUBT);
                    if rest[0] == b'H' {
                        dir.state = State::Ready;
                    }
                }
                _ => match chunked::step(dir, rest) {
                    Step::Took(bytes) => {
                        dir.next = dir.next.wrapping_add(bytes);
                        if dir.state == State::ChunkEnd {
                            dir.set(Dir::SKIPPING);
                        }
                    }
                    Step::Ended(bytes) => {
                        dir.next = dir.next.wrapping_add(bytes);
                        dir.state = State::Ready;
                    }
                    Step::Broken => self.lose(id, d),
                },
            }
        }
    }

    /// A message begins.
    fn begin(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        rest: &[u8],
        heads: &mut Heads,
    ) -> Result {
        // RFC 9112, section 2.2: empty lines before a message are to be ignored.
        let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let dir = self.table.dir(id, d);
        if empty > 0 {
            dir.next = dir.next.wrapping_add(length(empty));
            return Ok(());
        }
        let kind = match boundary::start(rest) {
            Start::Head(kind) => Some(kind),
            Start::Open => None,
            Start::Other => {
                self.lose(id, d);
                return Ok(());
            }
        };
        let mut end = End::default();
        let seq = dir.next;
        if let Some(kind) = kind
            && let Some(at) = end.find(rest)
            && at <= self.limits.head_bytes
        {
            dir.next = dir.next.wrapping_add(length(at));
            let (bytes, after) = rest.split_at(at);
            let message = Message {
                kind,
                seen: segment.seen,
                seq,
                ack: segment.ack,
                bytes,
                end: segment.seen.time.0,
                flags: Flags::default(),
                after,
            };
            return self.message(id, d, &message, heads);
        }
        let now = super::units(segment.seen.time);
        if self.table.dir(id, d).work == NONE {
            if !self.has_room(id, now, heads)? {
                self.count(Count::NoBuffer);
                self.lose(id, d);
                return Ok(());
            }
            let number = self.works.add(id, d);
            self.table.dir(id, d).work = number;
        }
        self.table.dir(id, d).state = State::Head;
        let number = self.table.dir(id, d).work;
        if let Some(work) = self.works.get(number) {
            let partial = &mut work.partial;
            (partial.kind, partial.seen) = (kind, Some(segment.seen));
            (partial.seq, partial.ack, partial.end) = (seq, segment.ack, End::default());
        }
        if kind.is_some() {
            self.table.flow_mut(id).set(Flow::HTTP);
        }
        self.more(id, d, segment, rest, heads)
    }

    /// A head goes on.
    fn more(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        rest: &[u8],
        heads: &mut Heads,
    ) -> Result {
        let number = self.table.dir(id, d).work;
        let fits = self.works.append(number, rest, self.limits.head_bytes);
        let Some(work) = self.works.get(number) else { return Ok(()) };
        let partial = &mut work.partial;
        if partial.kind.is_none() {
            let length = partial.bytes.len();
            // Only what can change the answer is a reason to ask again.
            let tells = length <= 64 || length >= LONGEST_LINE || memchr(b'\n', rest).is_some();
            match if tells { boundary::start(&partial.bytes) } else { Start::Open } {
                Start::Head(kind) => {
                    partial.kind = Some(kind);
                    self.table.flow_mut(id).set(Flow::HTTP);
                }
                Start::Open if fits => {}
                Start::Open | Start::Other => {
                    self.works.take_partial(number);
                    self.lose(id, d);
                    return Ok(());
                }
            }
        }
        let Some(work) = self.works.get(number) else { return Ok(()) };
        let end = work.partial.end.find(&work.partial.bytes);
        let Some((end, kind)) = end.zip(work.partial.kind) else {
            let dir = self.table.dir(id, d);
            dir.next = dir.next.wrapping_add(length(rest.len()));
            if !fits {
                self.table.dir(id, d).state = State::Lost;
                self.unfinished(id, d, Flags::OVERSIZE, heads)?;
                self.lose(id, d);
            }
            return Ok(());
        };
        let partial = self.works.take_partial(number);
        let begin = partial.seq;
        let dir = self.table.dir(id, d);
        let before = dir.next.wrapping_sub(begin);
        dir.next = begin.wrapping_add(length(end));
        let message = Message {
            kind,
            seen: partial.seen.unwrap_or(segment.seen),
            seq: begin,
            ack: partial.ack,
            bytes: &partial.bytes[..end],
            end: segment.seen.time.0,
            flags: Flags::default(),
            after: rest.get(end.saturating_sub(before as usize)..).unwrap_or_default(),
        };
        self.message(id, d, &message, heads)?;
        self.works.give_back(partial.bytes);
        Ok(())
    }

    /// A whole head: it becomes a row, and what it says of its body is done.
    fn message(&mut self, id: u32, d: usize, message: &Message<'_>, heads: &mut Heads) -> Result {
        self.table.flow_mut(id).set(Flow::HTTP);
        let body = match message.kind {
            Kind::Request => Some(self.request(id, d, message, heads)?),
            Kind::Response => self.response(id, d, message, heads)?,
        };
        match body {
            Some(body) => self.body(id, d, body),
            None => self.table.dir(id, d).state = State::Waiting,
        }
        Ok(())
    }

    /// Goes on behind a head that this body follows.
    pub(super) fn body(&mut self, id: u32, d: usize, body: Body) {
        let flow = self.table.flow_mut(id);
        let dir = &mut flow.dirs[d & 1];
        match body {
            Body::None => dir.state = State::Ready,
            Body::Bytes(bytes) => {
                dir.state = State::Ready;
                let stride = bytes.min(STRIDE);
                #[allow(clippy::cast_possible_truncation, reason = "at most STRIDE")]
                {
                    dir.next = dir.next.wrapping_add(stride as u32);
                    dir.left = stride as u32;
                }
                if bytes > 0 {
                    dir.set(Dir::SKIPPING);
                }
                if bytes > STRIDE {
                    dir.clear(Dir::DOUBT);
                    dir.state = State::Body;
                    set_left(dir, bytes - STRIDE);
                }
            }
            Body::Chunked => chunked::begin(dir),
            Body::UntilClose => dir.state = State::Close,
            Body::Tunnel | Body::Unknown => {
                dir.state = State::Lost;
            }
            Body::Upgrade => {
                for dir in &mut flow.dirs {
                    dir.state = State::Other;
                }
            }
        }
    }

    /// All that came of a head becomes a row.
    fn unfinished(&mut self, id: u32, d: usize, flags: Flags, heads: &mut Heads) -> Result {
        let number = self.table.dir(id, d).work;
        let partial = self.works.take_partial(number);
        let (Some(kind), Some(seen)) = (partial.kind, partial.seen) else {
            self.count(Count::Undecided);
            return Ok(());
        };
        let message = Message {
            kind,
            seen,
            seq: partial.seq,
            ack: partial.ack,
            bytes: &partial.bytes,
            end: seen.time.0,
            flags,
            after: b"",
        };
        match kind {
            Kind::Request => drop(self.request(id, d, &message, heads)?),
            Kind::Response => drop(self.response(id, d, &message, heads)?),
        }
        Ok(())
    }

    /// The capture cut the segment where it matters.
    fn cut(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
        self.count(Count::Cut);
        if self.table.dir(id, d).state == State::Head {
            self.unfinished(id, d, Flags::default(), heads)?;
        }
        self.lose(id, d);
        self.table.dir(id, d).next = segment.end();
        Ok(())
    }

    /// Nobody knows any more where a message begins, or it is no HTTP at all.
    fn lose(&mut self, id: u32, d: usize) {
        let flow = self.table.flow_mut(id);
        let is_http = flow.has(Flow::HTTP);
        flow.dirs[d & 1].state = if is_http { State::Lost } else { State::Other };
        flow.dirs[d & 1].clear(Dir::DOUBT | Dir::SKIPPING);
        flow.set(Flow::UNSURE | Flow::MISSED);
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
            self.count(Count::Gaps);
            self.give_up_head(id, d, heads)?;
            self.lose(id, d);
            self.table.dir(id, d).next = segment.seq;
            return if self.table.dir(id, d).state == State::Lost && boundary::is_head(segment.bytes)
            {
                self.table.dir(id, d).state = State::Ready;
                self.consume(id, d, segment, heads)
            } else {
                Ok(())
            };
        }
        self.count(Count::Early);
        if self.table.dir(id, d).work == NONE {
            let number = self.works.add(id, d);
            self.table.dir(id, d).work = number;
        }
        let dir = *self.table.dir(id, d);
        if !self.works.keep(dir.work, segment, dir.next, self.limits.out_of_order_bytes) {
            self.give_up(id, d, heads)?;
        }
        Ok(())
    }

    /// Keeps what comes while a response's request is awaited; when that is too much, goes on
    /// as if nobody knew the request.
    #[cold]
    fn wait(&mut self, id: u32, d: usize, segment: &Segment<'_>, heads: &mut Heads) -> Result {
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
            let Dir { work, next, state, .. } = *self.table.dir(id, d);
            if work == NONE {
                return Ok(());
            }
            if state == State::Waiting {
                return Ok(());
            }
            let anything = matches!(state, State::Lost | State::Close | State::Other);
            let wanted = |it: &Segment<'_>| anything || ahead(it.seq, next) <= 0;
            let Some(stored) = self.works.take_early(work, wanted) else { break };
            self.deliver(id, d, &stored.segment(), heads)?;
        }
        let number = self.table.dir(id, d).work;
        if let Some(work) = self.works.get(number)
            && let Some(first) = work.early.front()
        {
            work.gap_since = first.segment().seen.time.0;
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

    /// Waits no longer for the bytes that are missing.
    pub(super) fn give_up(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        if self.table.dir(id, d).state == State::Waiting {
            self.go_on(id, d);
            return self.drain(id, d, heads);
        }
        self.count(Count::Gaps);
        self.give_up_head(id, d, heads)?;
        self.lose(id, d);
        self.drain(id, d, heads)
    }

    /// The same, until nothing waits.
    pub(super) fn give_up_all(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        loop {
            let number = self.table.dir(id, d).work;
            if self.works.get(number).is_none_or(|work| work.early.is_empty()) {
                return self.give_up_head(id, d, heads);
            }
            self.give_up(id, d, heads)?;
        }
    }

    /// The rest of a head will not come.
    pub(super) fn give_up_head(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        if self.table.dir(id, d).state == State::Head {
            self.lose(id, d);
            self.unfinished(id, d, Flags::INCOMPLETE, heads)?;
        }
        self.tidy(id, d);
        Ok(())
    }
}

/// In a body longer than the sequence numbers: goes ahead once its segments come near.
fn stride(dir: &mut Dir, segment: &Segment<'_>) {
    let left = u64::from(dir.left_high) << 32 | u64::from(dir.left);
    if ahead(segment.end(), dir.next) > -(1 << 29) {
        let step = left.min(STRIDE / 2);
        #[allow(clippy::cast_possible_truncation, reason = "at most STRIDE")]
        {
            dir.next = dir.next.wrapping_add(step as u32);
        }
        set_left(dir, left - step);
        if left == step {
            dir.state = State::Ready;
        }
    }
}

/// A length beyond 48 bits, 280 TB, counts as one of 48 bits.
#[allow(clippy::cast_possible_truncation, reason = "two halves")]
fn set_left(dir: &mut Dir, left: u64) {
    let left = left.min((1 << 48) - 1);
    (dir.left, dir.left_high) = (left as u32, (left >> 32) as u16);
}

/// A response to an unknown request may be one to HEAD: then the next response is where its
/// body would be.
fn doubt(dir: &mut Dir, segment: &Segment<'_>) {
    let body = dir.next.wrapping_sub(dir.left);
    if ahead(segment.seq, body) < 0 {
        return;
    }
    dir.clear(Dir::DOUBT);
    if segment.seq == body && boundary::is_status_line(segment.bytes) {
        dir.next = body;
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a segment is shorter than 4 GiB")]
fn length(bytes: usize) -> u32 {
    bytes as u32
}
