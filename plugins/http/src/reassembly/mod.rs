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
//! **Time** comes from packets and ticks. What waits in a connection is looked at when a packet of
//! its direction comes and when time is told; so how often it is told can decide whether a
//! response still finds a request that came a second after it.

mod answers;
mod chunked;
mod early;
mod pairs;
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
use segment::{FIN, RST, SYN, Segment, Tcp, wire_length};
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

/// In how many ticks each connection is looked at once.
const ROUND: usize = 16;

/// A late or repeated SYN belongs to a connection of which this many bytes were seen, at most.
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
        // Three rounds, because what is asked for together comes to the cache together: the
        // filter and the keys first, then the index, then the connections themselves.
        let mut keys = [0; BATCH];
        let packets = batch.all();
        for (packet, key) in packets.iter().zip(&mut keys) {
            if is_candidate(packet) && self.is_wanted(packet) {
                *key = key_of(packet, flows);
            }
        }
        let mut ids = [NONE; BATCH];
        for (key, id) in keys.iter().zip(&mut ids).filter(|(key, _)| **key != 0) {
            *id = self.table.first(*key);
        }
        let touched = ids.iter().filter(|id| **id != NONE).map(|id| self.table.key(*id));
        std::hint::black_box(touched.fold(0, |all, key| all ^ key));
        // What waits is touched at its beginning and its end.
        let waits = ids.iter().filter(|id| **id != NONE).flat_map(|id| self.table.works(*id));
        let touched = waits.map(|number| self.works.touch(number));
        std::hint::black_box(touched.fold(0, |all, one| all ^ one));

        for (at, packet) in packets.iter().enumerate() {
            if is_candidate(packet) {
                let key = keys.get(at).copied().unwrap_or(0);
                self.packet(packet, key, flows, heads)?;
            }
        }
        Ok(())
    }

    /// Whether it takes more than a look at the filter.
    #[inline]
    fn is_wanted(&self, packet: &Packet<'_>) -> bool {
        matches!(packet.class(), Class::HTTP_REQUEST | Class::HTTP_RESPONSE)
            || self.table.may_have(packet.flow_hash())
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
        let hash = packet.flow_hash();
        if !self.is_wanted(packet) {
            let Some(tcp) = Tcp::of(packet) else { return Ok(()) };
            if tcp.flags & SYN == 0 && self.syns.get(hash) == [None; 2] {
                // Most packets of most connections end here.
                return Ok(());
            }
            let d = direction(packet);
            if tcp.flags & SYN != 0 {
                self.syns.put(hash, d, tcp.seq.wrapping_add(1));
                return Ok(());
            }
            let Some(first) = self.syns.is_near(hash, d, tcp.seq) else { return Ok(()) };
            let is_first = tcp.seq == first;
            let may_be_http = matches!(packet.class(), Class::OTHER | Class::UNKNOWN)
                && wire_length(packet) > 0
                && (!is_first || boundary::start(packet.payload()) != Start::Other);
            if !may_be_http {
                if is_first && wire_length(packet) > 0 {
                    self.syns.forget(hash);
                }
                return Ok(());
            }
        }
        let key = if key == 0 { key_of(packet, flows) } else { key };
        self.flow(packet, &seen(packet, key), heads)
    }

    /// A packet of a connection that is there or is to be taken up.
    fn flow(&mut self, packet: &Packet<'_>, seen: &Seen, heads: &mut Heads) -> Result {
        let Some(tcp) = Tcp::of(packet) else { return Ok(()) };
        let d = usize::from((seen.src, seen.src_port) > (seen.dst, seen.dst_port));
        let (hash, now) = (packet.flow_hash(), units(packet.time()));
        let mut found = self.table.find(seen.flow);
        if let Some(id) = found
            && self.has_ended(id, now)
        {
            self.count_idle(id);
            self.end(id, heads)?;
            found = None;
        }
        let mut seq = tcp.seq;
        if tcp.flags & SYN != 0 {
            seq = seq.wrapping_add(1);
            if let Some(id) = found
                && self.is_another(id, d, seq)
            {
                self.end(id, heads)?;
                found = None;
            }
            if found.is_none() {
                self.syns.put(hash, d, seq);
            }
        }
        let wire = wire_length(packet);
        let id = match found {
            Some(id) => id,
            None if wire == 0 => return Ok(()),
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
            self.closed(id, d, tcp.flags & RST != 0, heads)?;
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
        if firsts == [None; 2] {
            flow.set(Flow::UNSURE);
        }
        self.syns.forget(hash);
        Ok(Some(id))
    }

    /// Whether a SYN with this first byte begins another connection between the same ports.
    fn is_another(&mut self, id: u32, d: usize, first: u32) -> bool {
        let flow = self.table.flow(id);
        let dir = &flow.dirs[d & 1];
        let late = dir.next.wrapping_sub(first) <= LATE_SYN;
        flow.has(Flow::CLOSED) && dir.next != first || !late && !matches!(dir.state, State::Unknown)
    }

    /// A FIN or RST was seen.
    fn closed(&mut self, id: u32, d: usize, reset: bool, heads: &mut Heads) -> Result {
        if reset {
            for d in [0, 1] {
                self.give_up_all(id, d, heads)?;
            }
            for d in [0, 1] {
                self.release(id, d, heads)?;
            }
            self.table.flow_mut(id).set(Flow::CLOSED);
            return Ok(());
        }
        let work = self.table.dir(id, d).work;
        // What waits behind a gap may hold the rest.
        if self.works.get(work).is_none_or(|work| work.early.is_empty()) {
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
        for d in [0, 1] {
            self.give_up_all(id, d, heads)?;
        }
        for d in [0, 1] {
            self.release(id, d, heads)?;
            // Behind a response that waited there may have been more.
            self.give_up_all(id, d, heads)?;
            self.release(id, d, heads)?;
        }
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
        for number in 0..self.works.made() {
            let Some(work) = self.works.get(number) else { continue };
            let Some((id, d)) = work.owner else { continue };
            if !work.early.is_empty() && now.0.saturating_sub(work.gap_since) > GAP {
                self.give_up(id, d, heads)?;
            }
            self.release_late(id, d, now.0, heads)?;
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
        Ok(false)
    }
}

/// Whether it can change anything: it has payload, on the wire at least, or begins or ends a
/// connection.
#[inline]
fn is_candidate(packet: &Packet<'_>) -> bool {
    packet.protocol() == TCP
        && packet.verdict() == 0
        && (packet.layers().payload_len > 0 || packet.is_truncated() || has_flags(packet))
}

#[inline]
fn has_flags(packet: &Packet<'_>) -> bool {
    Tcp::of(packet).is_some_and(|tcp| tcp.flags & (SYN | FIN | RST) != 0)
}

/// 0 from the lower end to the higher.
#[inline]
fn direction(packet: &Packet<'_>) -> usize {
    let ((src, dst), (src_port, dst_port)) = (packet.addresses(), packet.ports());
    usize::from((src, src_port) > (dst, dst_port))
}

/// The number of a packet's connection, under the flow numbers' key; never 0.
#[inline]
fn key_of(packet: &Packet<'_>, flows: &Flows) -> u64 {
    let ((src, dst), (src_port, dst_port)) = (packet.addresses(), packet.ports());
    flows.number((&src, src_port), (&dst, dst_port), packet.protocol())
}
