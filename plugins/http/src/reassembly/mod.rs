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
mod before;
mod chunked;
mod early;
mod expiry;
mod messages;
mod pairs;
mod picked;
mod segment;
mod stream;
mod syns;
mod table;
mod work;

use ringmill_sdk::{BATCH, Batch, Class, Counter, Host, Packet, Result, Timestamp};

use crate::{
    boundary::{self, Start},
    flow::Flows,
    heads::Heads,
    rows::Seen,
    seen,
};
use pairs::Pairs;
use picked::Picked;
use segment::{FIN, RST, SYN, Segment, Tcp, ahead, wire_length};
use syns::Syns;
use table::{Dir, Flow, NONE, State, Table};
use work::Works;

const TCP: u8 = 6;

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
        let secret = host.ephemeral_key("http.reassembly");
        let word = |at: usize| {
            secret.as_chunks::<8>().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Self {
            limits,
            table: Table::new(limits.flows, word(0)),
            syns: Syns::new(word(1)),
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

    /// Looks at the packets of a batch.
    pub(crate) fn packets(
        &mut self,
        batch: &Batch<'_>,
        flows: &Flows,
        heads: &mut Heads,
    ) -> Result {
        // Rounds, because none of these tables stays in the cache, and what is asked for together
        // comes together: the filters and the SYNs first, then the index, then the connections
        // themselves. No round but the last changes anything.
        let packets = batch.all();
        let mut candidates = Picked::default();
        for (at, packet) in packets.iter().enumerate() {
            candidates.pick(at, is_candidate(packet));
        }
        let (mut filtered, mut begun) = (Picked::default(), Picked::default());
        for (at, packet) in candidates.of(packets) {
            let may_be_there = self.table.coarse(packet.flow_hash()) > 0;
            filtered.pick(at, is_head(packet) | may_be_there);
            begun.pick(at, self.may_open(packet));
        }
        let touched = filtered.of(packets).map(|(_, packet)| self.table.fine(packet.flow_hash()));
        std::hint::black_box(touched.fold(0, |all, count| all ^ count));
        let touched = begun.of(packets).map(|(_, packet)| self.syns.touch(packet.flow_hash()));
        std::hint::black_box(touched.fold(0, |all, tag| all ^ tag));

        let (mut keys, mut ids, mut asked) = ([0; BATCH], [NONE; BATCH], 0);
        for (at, packet) in filtered.of(packets) {
            if self.is_wanted(packet) {
                keys[at] = key_of(packet, flows);
                ids[asked] = self.table.first(keys[at]);
                asked += 1;
            }
        }
        let ids = &ids[..asked];
        let touched = ids.iter().map(|id| self.table.key(*id));
        std::hint::black_box(touched.fold(0, |all, key| all ^ key));
        // What waits is touched at its beginning and its end.
        let waits = ids.iter().flat_map(|id| self.table.works(*id));
        let touched = waits.map(|number| self.works.touch(number));
        std::hint::black_box(touched.fold(0, |all, one| all ^ one));

        for (at, packet) in candidates.of(packets) {
            let key = keys.get(at).copied().unwrap_or(0);
            self.packet(packet, key, flows, heads)?;
        }
        Ok(())
    }

    /// Whether it takes more than a look at the filter.
    #[inline]
    fn is_wanted(&self, packet: &Packet<'_>) -> bool {
        is_head(packet) || self.table.may_have(packet.flow_hash())
    }

    /// `key` is 0 where it was not made yet.
    #[inline]
    fn packet(
        &mut self,
        packet: &Packet<'_>,
        key: u64,
        flows: &Flows,
        heads: &mut Heads,
    ) -> Result {
        // Most packets of most connections end here, looked at in their descriptor only.
        if !(self.is_wanted(packet) || self.may_open(packet) && self.is_opening(packet)) {
            return Ok(());
        }
        let key = if key == 0 { key_of(packet, flows) } else { key };
        self.flow(packet, &seen(packet, key), heads)
    }

    /// Whether it is a SYN, or there may have been one of its connection.
    #[inline]
    fn may_open(&self, packet: &Packet<'_>) -> bool {
        (packet.tcp_flags() & SYN != 0) | self.syns.may_have(packet.flow_hash())
    }

    /// Whether a connection that is not there is to be taken up at this packet: it begins with a
    /// head, or is near a SYN that was seen and may hold a piece of one. Remembers SYNs.
    fn is_opening(&mut self, packet: &Packet<'_>) -> bool {
        let Some(tcp) = Tcp::of(packet) else { return false };
        let (hash, is_syn) = (packet.flow_hash(), tcp.flags & SYN != 0);
        let is_head = is_head(packet);
        let (d, seq) = (direction(packet), tcp.first());
        if is_syn {
            self.syns.put(hash, d, seq);
        }
        if is_head || wire_length(packet) == 0 {
            return is_head;
        }
        let Some(first) = self.syns.is_near(hash, d, seq) else { return false };
        let is_first = seq == first;
        let may_be_http = matches!(packet.class(), Class::OTHER | Class::UNKNOWN)
            && (!is_first || boundary::start(packet.payload()) != Start::Other);
        if is_first && !may_be_http {
            self.syns.forget(hash);
        }
        may_be_http
    }

    /// A packet of a connection that is there or may be taken up.
    fn flow(&mut self, packet: &Packet<'_>, seen: &Seen, heads: &mut Heads) -> Result {
        let Some(tcp) = Tcp::of(packet) else { return Ok(()) };
        let d = direction(packet);
        let (hash, now) = (packet.flow_hash(), units(packet.time()));
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
            None => match self.take_up(seen.flow, hash, now, heads)? {
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
    fn take_up(&mut self, key: u64, hash: u64, now: u32, heads: &mut Heads) -> Result<Option<u32>> {
        if self.table.is_full() {
            let Some(least) = self.table.least(now) else { return Ok(None) };
            self.count(Count::Evicted);
            self.end(least, heads)?;
        }
        self.count(Count::Flows);
        let id = self.table.insert(key, hash, now);
        let flow = self.table.flow_mut(id);
        let firsts = self.syns.get(hash);
        for (dir, first) in flow.dirs.iter_mut().zip(firsts) {
            if let Some(first) = first {
                *dir = Dir::from(first);
            }
        }
        if firsts.contains(&None) {
            flow.set(Flow::UNSURE);
        }
        self.syns.forget(hash);
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
        let mut pending = self.table.flow(id).pending;
        while self.pairs.pop(&mut pending) {
            self.count(Count::Unanswered);
        }
        self.table.remove(id);
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

    /// No more packets come.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 flows")]
    pub(crate) fn finish(&mut self, heads: &mut Heads) -> Result {
        for id in 0..self.table.made() as u32 {
            if self.table.is_used(id) {
                self.end(id, heads)?;
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

/// Whether its payload begins with a head.
#[inline]
fn is_head(packet: &Packet<'_>) -> bool {
    matches!(packet.class(), Class::HTTP_REQUEST | Class::HTTP_RESPONSE)
}

/// Whether it can change anything: it has payload, on the wire at least, or begins or ends a
/// connection.
#[inline]
fn is_candidate(packet: &Packet<'_>) -> bool {
    let begins_or_ends = packet.tcp_flags() & (SYN | FIN | RST) != 0;
    let has_payload = (packet.layers().payload_len > 0) | packet.is_truncated();
    (packet.protocol() == TCP) & (packet.verdict() == 0) & (has_payload | begins_or_ends)
}

/// 0 from the lower end to the higher.
#[inline]
fn direction(packet: &Packet<'_>) -> usize {
    let (src_port, dst_port) = packet.ports();
    // As numbers: comparing arrays byte by byte is what a SYN would cost most.
    let from = packet.frame().get(usize::from(packet.layers().l3) + 12..).unwrap_or_default();
    if packet.ip_version() == 4
        && let Some(both) = from.first_chunk()
    {
        let both = u64::from_be_bytes(*both);
        return usize::from((both >> 32, src_port) > (both & 0xffff_ffff, dst_port));
    }
    let (src, dst) = packet.addresses();
    usize::from((u128::from_be_bytes(src), src_port) > (u128::from_be_bytes(dst), dst_port))
}

/// The number of a packet's connection, under the flow numbers' key; never 0.
#[inline]
fn key_of(packet: &Packet<'_>, flows: &Flows) -> u64 {
    let ((src, dst), (src_port, dst_port)) = (packet.addresses(), packet.ports());
    flows.number((&src, src_port), (&dst, dst_port), packet.protocol())
}
