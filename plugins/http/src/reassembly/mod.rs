//! Heads out of TCP streams, of which nothing but heads is ever kept.
//!
//! **Which connections.** One that shows a payload that begins with a head, or whose first
//! bytes after its SYN may be the beginning of one. All others cost two looks at small tables
//! ([`table`], [`syns`]) and leave nothing behind.
//!
//! **Which bytes.** Of a body whose length is known the end is calculated, and all segments
//! before it are passed over, whatever their order and whether they were captured or not. So
//! loss in bodies, which is where most loss is, costs nothing. Chunk sizes and trailers are
//! read and not kept.
//!
//! **Order.** What comes too early waits, at most `out_of_order_bytes` and 256 segments in a
//! direction, and [`GAP`] long. Then the gap is given up: a head that it cut comes out marked
//! `incomplete`, and the next segment that begins with a head goes on. Of bytes that come
//! twice the first copy counts (the policy that Snort and Suricata name `first`).
//!
//! **In mid-stream.** Where no SYN was seen a direction is taken up at the first segment that
//! begins with a head. Segments from before it that come a little later are taken as well, if
//! they begin with a head ([`before`]); their exchanges have later numbers.
//!
//! **Time** comes from packets and ticks. What waits has a deadline, and all deadlines of a
//! connection fall due in their order before its next packet ([`expiry`]). A tick only does the
//! same earlier: the records of a connection whose packets come in the order of their time are
//! the same however often time is told.

mod answers;
mod batch;
mod before;
mod chunked;
mod early;
mod expiry;
mod filter;
mod messages;
mod pairs;
mod picked;
mod segment;
mod stream;
mod syns;
mod table;
mod work;

use ringmill_sdk::{Counter, Host, Packet, Result, Timestamp};

use crate::{heads::Heads, rows::Seen};
use batch::direction;
use pairs::Pairs;
use segment::{FIN, RST, SYN, Segment, Tcp, ahead, wire_length};
use syns::Syns;
use table::{Dir, Flow, NONE, State, Table};
use work::Works;

/// How long a segment waits for those before it, in nanoseconds: longer than the first two
/// retransmission timeouts of a usual connection (RFC 6298: 1 s, then 2 s).
const GAP: i64 = 5_000_000_000;

/// How long a response waits for its request, in nanoseconds. The two are out of order only
/// where rings or mirror ports mix, which takes milliseconds.
const HOLD: i64 = 1_000_000_000;

/// The most responses of a connection that wait.
const MOST_HELD: usize = 16;

/// The unit of [`Flow::last`] in nanoseconds: about a millisecond, so that 32 bits are enough
/// for 52 days.
const UNIT_BITS: u32 = 20;
const UNIT: u64 = 1 << UNIT_BITS;

/// How long a closed connection stays, in milliseconds.
const LINGER: u32 = 10_000;

/// How far ticks stay behind the time that they are told, in nanoseconds: packets of a moment
/// before may still lie in a ring.
const BEHIND: i64 = 1_000_000_000;

/// In how many ticks each connection is looked at once.
const ROUND: usize = 16;

/// A late or repeated SYN belongs to a connection of which this many bytes were seen at most.
const LATE_SYN: u32 = 1 << 20;

/// Limits, from the stage's options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub flows: usize,
    pub idle_seconds: u32,
    pub head_bytes: usize,
    pub out_of_order_bytes: usize,
    pub buffer_bytes: usize,
}

/// What is counted, by its name in the ledger.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Count {
    /// Connections that were taken up.
    Flows,
    /// Forgotten because nothing came for `idle_seconds`.
    Idle,
    /// Forgotten because the table was full.
    Evicted,
    /// Forgotten, or not kept, because the buffers were full.
    NoBuffer,
    /// Segments of which every byte had come before.
    Repeated,
    /// Segments that had to wait for others.
    Early,
    /// Gaps that were given up.
    Gaps,
    /// Segments that the capture cut where a head or a chunk size may be.
    Cut,
    /// Beginnings of which never came enough to tell whether they were heads.
    Undecided,
    /// Responses without a request.
    NoRequest,
    /// Requests without a response.
    Unanswered,
}

impl Count {
    const NAMES: [&'static str; 11] = [
        "flows",
        "flows.idle",
        "flows.evicted",
        "flows.no_buffer",
        "segments.repeated",
        "segments.early",
        "gaps",
        "segments.cut",
        "heads.undecided",
        "responses.no_request",
        "requests.unanswered",
    ];
}

/// Puts heads together; see the [module](self).
pub(crate) struct Reassembly {
    limits: Limits,
    table: Table,
    syns: Syns,
    works: Works,
    pairs: Pairs,
    tally: [u64; Count::NAMES.len()],
    counters: [Counter; Count::NAMES.len()],
}

/// The time in the unit of [`Flow::last`].
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "time that wraps")]
fn units(time: Timestamp) -> u32 {
    (time.0 as u64 >> UNIT_BITS) as u32
}

impl Reassembly {
    pub(crate) fn new(limits: Limits, host: &Host) -> Self {
        let secrets = ["http.reassembly", "http.syns.1", "http.syns.2", "http.syns.3"]
            .map(|label| host.ephemeral_key(label));
        let mut words = secrets.iter().flat_map(|secret| secret.as_chunks::<8>().0);
        let mut word = || words.next().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            limits,
            table: Table::new(limits.flows, word()),
            syns: Syns::new(std::array::from_fn(|_| word())),
            works: Works::new(),
            pairs: Pairs::new(),
            tally: Default::default(),
            counters: Count::NAMES.map(|name| host.counter(name)),
        }
    }

    #[inline]
    fn count(&mut self, what: Count) {
        self.tally[what as usize] += 1;
    }

    /// Adds to the counters what was counted since.
    #[inline]
    pub(crate) fn publish(&mut self) {
        for (tally, counter) in self.tally.iter_mut().zip(&self.counters) {
            if *tally > 0 {
                counter.add(std::mem::take(tally));
            }
        }
    }

    /// A packet of a connection that is there or may be taken up.
    fn flow(&mut self, packet: &Packet<'_>, seen: &Seen, heads: &mut Heads) -> Result {
        let Some(tcp) = Tcp::of(packet) else { return Ok(()) };
        let d = direction(packet);
        let now = units(packet.time());
        let mut found = self.table.find(seen.flow);
        if let Some(id) = found {
            self.expire(id, seen.time.0, heads)?;
            if self.has_ended(id, now) {
                self.count_idle(id);
                self.end(id, heads)?;
                found = None;
            }
        }
        let seq = tcp.first();
        if let Some(id) = found.filter(|_| tcp.flags & SYN != 0)
            && self.is_another(id, d, &tcp)
        {
            self.end(id, heads)?;
            found = None;
        }
        let wire = wire_length(packet);
        let id = match found {
            Some(id) => id,
            None if !self.is_opening(packet) => return Ok(()),
            None => match self.take_up(packet, seen.flow, heads)? {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        self.table.flow_mut(id).last = now;
        if tcp.flags & SYN != 0 && self.table.dir(id, d).state == State::Unknown {
            *self.table.dir(id, d) = Dir::from(seq);
        }
        if wire > 0 {
            let bytes = packet.payload();
            let segment = Segment { seq, ack: tcp.ack, bytes, wire, seen: *seen };
            self.data(id, d, &segment, heads)?;
            let flow = self.table.flow(id);
            if !flow.has(Flow::HTTP) && flow.dirs.iter().any(|dir| dir.state == State::Other) {
                return self.end(id, heads);
            }
        }
        if tcp.flags & (FIN | RST) != 0 {
            self.closed(id, d, &tcp, seq.wrapping_add(wire), heads)?;
        }
        Ok(())
    }

    /// A new entry in the table.
    fn take_up(&mut self, packet: &Packet<'_>, key: u64, heads: &mut Heads) -> Result<Option<u32>> {
        let now = units(packet.time());
        if self.table.is_full() {
            let Some(least) = self.table.least(now) else { return Ok(None) };
            self.count(Count::Evicted);
            self.end(least, heads)?;
        }
        self.count(Count::Flows);
        let id = self.table.insert(key, packet.flow_hash(), now);
        let flow = self.table.flow_mut(id);
        let ends = self.syns.ends(packet, direction(packet));
        let firsts = self.syns.get(ends);
        for (dir, first) in flow.dirs.iter_mut().zip(firsts) {
            if let Some(first) = first {
                *dir = Dir::from(first);
            }
        }
        if firsts.contains(&None) {
            flow.set(Flow::UNSURE);
        }
        self.syns.forget(ends);
        Ok(Some(id))
    }

    /// Whether a SYN begins another connection between the same ports.
    fn is_another(&mut self, id: u32, d: usize, tcp: &Tcp) -> bool {
        let flow = self.table.flow(id);
        let (dir, other) = (&flow.dirs[d & 1], &flow.dirs[(1 - d) & 1]);
        let is_near = |next: u32, seq: u32| next.wrapping_sub(seq) <= LATE_SYN;
        // A server may answer one SYN twice, and begin elsewhere; what came first counts.
        let is_answer =
            other.state != State::Unknown && tcp.ack.is_some_and(|ack| is_near(other.next, ack));
        let first = tcp.first();
        !is_answer
            && (flow.has(Flow::CLOSED) && dir.next != first
                || dir.state != State::Unknown && !is_near(dir.next, first))
    }

    /// A FIN or RST was seen, behind the byte before `end`.
    fn closed(&mut self, id: u32, d: usize, tcp: &Tcp, end: u32, heads: &mut Heads) -> Result {
        if tcp.flags & RST != 0 {
            self.expire_all(id, heads)?;
            self.table.flow_mut(id).set(Flow::CLOSED);
            return Ok(());
        }
        // What is still missing may hold the rest.
        if ahead(end, self.table.dir(id, d).next) <= 0 {
            self.give_up_head(id, d, heads)?;
        }
        let flow = self.table.flow_mut(id);
        flow.dirs[d & 1].set(Dir::FIN);
        if flow.dirs.iter().all(|dir| dir.has(Dir::FIN)) {
            flow.set(Flow::CLOSED);
        }
        Ok(())
    }

    /// Whether it is idle for too long.
    #[allow(clippy::cast_possible_wrap, reason = "serial arithmetic; packets may be out of order")]
    fn has_ended(&self, id: u32, now: u32) -> bool {
        let flow = self.table.flow(id);
        let most = match flow.has(Flow::CLOSED) {
            true => u64::from(LINGER) * 1_000_000,
            false => u64::from(self.limits.idle_seconds) * 1_000_000_000,
        };
        let idle = now.wrapping_sub(flow.last);
        idle as i32 > 0 && u64::from(idle) * UNIT > most
    }

    fn count_idle(&mut self, id: u32) {
        if !self.table.flow(id).has(Flow::CLOSED) {
            self.count(Count::Idle);
        }
    }

    /// Forgets a connection; what was not complete comes out as it is.
    fn end(&mut self, id: u32, heads: &mut Heads) -> Result {
        self.expire_all(id, heads)?;
        self.forget(id);
        Ok(())
    }

    /// Takes a connection of which nothing waits out of the table.
    fn forget(&mut self, id: u32) {
        self.forget_requests(id);
        self.table.remove(id);
    }

    fn forget_requests(&mut self, id: u32) {
        let mut pending = std::mem::replace(&mut self.table.flow_mut(id).pending, NONE);
        while self.pairs.pop(&mut pending) {
            self.count(Count::Unanswered);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Timestamp, heads: &mut Heads) -> Result {
        let now = Timestamp(now.0.saturating_sub(BEHIND));
        for number in 0..self.works.made() {
            if let Some(id) = self.works.get(number).and_then(|work| work.owner) {
                self.expire(id, now.0, heads)?;
            }
        }
        let units = units(now);
        for id in self.table.next_ids(self.table.made() / ROUND + 1) {
            if self.table.is_used(id) && self.has_ended(id, units) {
                self.count_idle(id);
                self.end(id, heads)?;
            }
        }
        Ok(())
    }

    /// No more packets come. The connections stay in the table, which nobody asks any more.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 flows")]
    pub(crate) fn finish(&mut self, heads: &mut Heads) -> Result {
        for id in 0..self.table.made() as u32 {
            if self.table.is_used(id) {
                self.expire_all(id, heads)?;
                self.forget_requests(id);
            }
        }
        Ok(())
    }

    /// Whether there is room for more in the buffers; makes some if not.
    fn has_room(&mut self, not: u32, now: u32, heads: &mut Heads) -> Result<bool> {
        for _ in 0..4 {
            if self.works.bytes + self.pairs.bytes < self.limits.buffer_bytes {
                return Ok(true);
            }
            let least = self.table.least(now).filter(|id| *id != not);
            if let Some(id) = least {
                self.count(Count::NoBuffer);
                self.end(id, heads)?;
            }
        }
        self.count(Count::NoBuffer);
        Ok(false)
    }
}
