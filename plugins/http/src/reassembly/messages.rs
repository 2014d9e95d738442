//! One direction of a connection: from bytes in their order to heads, and over what follows
//! them.

use memchr::memchr;
use ringmill_sdk::Result;

use super::{
    Count, Reassembly,
    chunked::{self, Step},
    segment::{Segment, ahead},
    table::{Dir, Flow, NONE, State},
    units,
    work::Partial,
};
use crate::{
    boundary::{self, End, LONGEST_LINE, Start},
    framing::Body,
    head::{self, Flags, Head, Kind, Parsed},
    heads::Heads,
    rows::Seen,
};

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
    pub head: Head<'a, 'a>,
    /// When its last byte was seen.
    pub end: i64,
    pub flags: Flags,
    /// What follows it in the same segment.
    pub after: &'a [u8],
}

impl Reassembly {
    /// Reads the bytes of a segment from `next` on.
    pub(super) fn consume(
        &mut self,
        id: u32,
        d: usize,
        segment: &Segment<'_>,
        heads: &mut Heads,
    ) -> Result {
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
        let seq = dir.next;
        let most = rest.get(..self.limits.head_bytes).unwrap_or(rest);
        if let Some(kind) = kind
            && let mut room = head::room()
            && let parsed = Parsed::new(kind, most, &mut room)
            && let Some(end) = match &parsed {
                Ok(parsed) => Some(parsed.length()),
                Err(_) => End::default().find(most),
            }
        {
            dir.next = dir.next.wrapping_add(length(end));
            let (bytes, after) = rest.split_at(end);
            let message = Message {
                kind,
                seen: segment.seen,
                seq,
                ack: segment.ack,
                head: parsed.as_ref().map_or(Head::Bytes(bytes), Head::Parsed),
                end: segment.seen.time.0,
                flags: Flags::default(),
                after,
            };
            return self.message(id, d, &message, heads);
        }
        let now = units(segment.seen.time);
        if self.table.dir(id, d).work == NONE {
            if !self.has_room(id, now, heads)? {
                self.lose(id, d);
                return Ok(());
            }
            let number = self.works.add(id);
            self.table.dir(id, d).work = number;
        }
        self.table.dir(id, d).state = State::Head;
        let number = self.table.dir(id, d).work;
        let (seen, ack) = (Some(segment.seen), segment.ack);
        self.works.begin(number, Partial { kind, seen, seq, ack, ..Partial::default() });
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
        let Some(partial) = self.works.partial(number) else { return Ok(()) };
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
                    if let Some(partial) = self.works.take_partial(number) {
                        self.works.give_back(partial);
                    }
                    self.lose(id, d);
                    return Ok(());
                }
            }
        }
        let end = partial.end.find(&partial.bytes);
        let Some((end, kind)) = end.zip(partial.kind) else {
            let dir = self.table.dir(id, d);
            dir.next = dir.next.wrapping_add(length(rest.len()));
            if !fits {
                self.table.dir(id, d).state = State::Lost;
                self.unfinished(id, d, Flags::OVERSIZE, heads)?;
                self.lose(id, d);
            }
            return Ok(());
        };
        let Some(partial) = self.works.take_partial(number) else { return Ok(()) };
        let begin = partial.seq;
        let dir = self.table.dir(id, d);
        let before = dir.next.wrapping_sub(begin);
        dir.next = begin.wrapping_add(length(end));
        let message = Message {
            kind,
            seen: partial.seen.unwrap_or(segment.seen),
            seq: begin,
            ack: partial.ack,
            head: Head::Bytes(&partial.bytes[..end]),
            end: segment.seen.time.0,
            flags: Flags::default(),
            after: rest.get(end.saturating_sub(before as usize)..).unwrap_or_default(),
        };
        self.message(id, d, &message, heads)?;
        self.works.give_back(partial);
        Ok(())
    }

    /// A whole head: it becomes a row, and what it says of its body is done.
    fn message(&mut self, id: u32, d: usize, message: &Message<'_>, heads: &mut Heads) -> Result {
        self.table.flow_mut(id).set(Flow::HTTP);
        let body = match message.kind {
            Kind::Request => self.request(id, d, message, heads)?,
            Kind::Response => self.response(id, d, message, heads)?,
        };
        self.body(id, d, body);
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
    pub(super) fn unfinished(
        &mut self,
        id: u32,
        d: usize,
        flags: Flags,
        heads: &mut Heads,
    ) -> Result {
        let number = self.table.dir(id, d).work;
        let Some(partial) = self.works.take_partial(number) else { return Ok(()) };
        let (Some(kind), Some(seen)) = (partial.kind, partial.seen) else {
            self.count(Count::Undecided);
            self.works.give_back(partial);
            return Ok(());
        };
        let message = Message {
            kind,
            seen,
            seq: partial.seq,
            ack: partial.ack,
            head: Head::Bytes(&partial.bytes),
            end: seen.time.0,
            flags,
            after: b"",
        };
        match kind {
            Kind::Request => _ = self.request(id, d, &message, heads)?,
            Kind::Response => _ = self.response(id, d, &message, heads)?,
        }
        self.works.give_back(partial);
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
    pub(super) fn lose(&mut self, id: u32, d: usize) {
        let flow = self.table.flow_mut(id);
        let is_http = flow.has(Flow::HTTP);
        flow.dirs[d & 1].state = if is_http { State::Lost } else { State::Other };
        flow.dirs[d & 1].clear(Dir::DOUBT | Dir::SKIPPING);
        flow.set(Flow::UNSURE | Flow::MISSED);
    }
}

/// In a body longer than the sequence numbers: goes ahead once its segments come near.
pub(super) fn stride(dir: &mut Dir, segment: &Segment<'_>) {
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

#[allow(clippy::cast_possible_truncation, reason = "a segment is shorter than 4 GiB")]
fn length(bytes: usize) -> u32 {
    bytes as u32
}
