//! The flow table: what is known of each connection that carries HTTP, in one cache line.
//!
//! A chained hash table under a secret key, with room for a fixed number of connections. Its
//! index and its filter are asked for whole and zeroed, which costs memory only where they are
//! touched; the connections lie in chunks that are added as they are needed. Of the index as
//! many cells are in use as there ever were connections at once, so that few of them take little
//! of the cache; it grows by one cell for a connection, which splits one chain in two (Litwin,
//! "Linear hashing", VLDB 1980). So nothing is ever copied or rehashed at once: a table that
//! doubles stalls for tens of milliseconds, in which a ring overflows.
//!
//! In front are [filters](super::filter), which end most packets of other connections.

use ringmill_sdk::prefetch;

use super::filter::{Filter, Look};

/// No flow, no work, no request.
pub(super) const NONE: u32 = u32::MAX;

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Cells of the index that are in use from the beginning; a power of two.
const CELLS: usize = 1 << 10;

/// How many connections are looked at to find one that may go.
const WINDOW: usize = 16;

/// Where one direction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Nothing is known; `next` means nothing.
    #[default]
    Unknown,
    /// The next byte is a message's first.
    Ready,
    /// In a head, of which the beginning waits in a [`Work`](super::work::Work).
    Head,
    /// In a body of which `left` bytes and more lie behind `next`.
    Body,
    ChunkSize,
    ChunkExtension,
    /// Before the line end behind a chunk.
    ChunkEnd,
    /// At the beginning of a line of the trailer section.
    Trailer,
    TrailerLine,
    /// In a body that ends with the connection.
    Close,
    /// Behind the head of a response whose request is still to come, and where its body would be a
    /// segment begins like another response: after HEAD there is no body.
    Waiting,
    /// After a gap; at the next segment that begins with a head it goes on.
    Lost,
    /// Another protocol.
    Other,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dir {
    /// The sequence number that is awaited; in a body whose length is known, of what is behind
    /// it: then every byte of the body is old, and none needs to be seen.
    pub next: u32,
    /// Of a body: bytes behind `next`, lower half. Of a chunk: its size. With [`Self::DOUBT`]:
    /// the length of the body before `next`.
    pub left: u32,
    /// Number of the [`Work`](super::work::Work).
    pub work: u32,
    /// Upper half of `left`.
    pub left_high: u16,
    pub state: State,
    bits: u8,
}

impl Default for Dir {
    fn default() -> Self {
        Self { next: 0, left: 0, work: NONE, left_high: 0, state: State::Unknown, bits: 0 }
    }
}

impl Dir {
    /// The request is unknown and may have been HEAD: then there is no body.
    pub(super) const DOUBT: u8 = 1;
    /// `next` is ahead of what was seen, because a body is skipped.
    pub(super) const SKIPPING: u8 = 2;
    /// The connection was closed in this direction.
    pub(super) const FIN: u8 = 4;
    /// Digits of a chunk's size were seen.
    pub(super) const DIGITS: u8 = 8;
    /// It stands for a moment before where the direction was taken up.
    pub(super) const BEFORE: u8 = 16;
    /// What follows the last response was waited with, in vain.
    pub(super) const WAITED: u8 = 32;

    /// A direction of which it is known where it begins.
    pub(super) fn from(first: u32) -> Self {
        Self { next: first, state: State::Ready, ..Self::default() }
    }

    pub(super) fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn set(&mut self, bit: u8) {
        self.bits |= bit;
    }

    pub(super) fn clear(&mut self, bit: u8) {
        self.bits &= !bit;
    }
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The keyed number of the connection.
    key: u64,
    /// The next one of this index cell; while free, the next free one.
    chain: u32,
    /// Its cell of the filter.
    cell: u32,
    /// When its last packet came, in units of [`UNIT`](super::UNIT).
    pub last: u32,
    /// Exchanges so far.
    pub exchange: u32,
    /// The oldest request without a response.
    pub pending: u32,
    pub requests: u8,
    bits: u8,
    pub dirs: [Dir; 2],
}

const _: () = assert!(size_of::<Flow>() == 64, "a flow is one cache line");

impl Flow {
    const FREE: Self = Self {
        key: 0,
        chain: NONE,
        cell: 0,
        last: 0,
        exchange: 0,
        pending: NONE,
        requests: 0,
        bits: 0,
        dirs: [Dir { next: 0, left: 0, work: NONE, left_high: 0, state: State::Unknown, bits: 0 };
            2],
    };

    const USED: u8 = 1;
    /// Reset, or closed in both directions: it stays for a moment because of retransmissions.
    pub(super) const CLOSED: u8 = 2;
    /// A head came out of it.
    pub(super) const HTTP: u8 = 4;
    /// The other direction was waited for once, in vain.
    pub(super) const ONE_WAY: u8 = 8;
    /// Heads may be missing, so that the next response need not be that to the next request.
    pub(super) const UNSURE: u8 = 16;
    /// As [`Self::UNSURE`], until the next request, which keeps it for itself.
    pub(super) const MISSED: u8 = 64;
    /// Requests come in direction 1.
    pub(super) const ASKS_1: u8 = 32;

    pub(super) fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn set(&mut self, bit: u8) {
        self.bits |= bit;
    }

    pub(super) fn clear(&mut self, bit: u8) {
        self.bits &= !bit;
    }
}

pub(super) struct Table {
    /// Odd, and secret: spreads the keys, which are published as flow numbers.
    spread: u64,
    /// Of each cell the first flow and one more, 0 for none.
    index: Vec<u32>,
    /// How many cells of the index are in use, at least [`CELLS`].
    cells: usize,
    filter: Filter,
    chunks: Vec<Box<[Flow]>>,
    free: u32,
    most: usize,
    made: usize,
    used: usize,
    /// Where the next look around begins.
    hand: usize,
}

impl Table {
    /// For up to `most` connections; `secret` is kept from whoever sends packets.
    pub(super) fn new(most: usize, secret: u64) -> Self {
        let bits = most.next_power_of_two().trailing_zeros().max(10);
        Self {
            spread: secret | 1,
            index: vec![0; 2 << bits],
            cells: CELLS,
            filter: Filter::new(bits, secret.rotate_left(32)),
            chunks: Vec::new(),
            free: NONE,
            most,
            made: 0,
            used: 0,
            hand: 0,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.used
    }

    /// The cell of the index for this key.
    #[inline]
    fn place(&self, key: u64) -> usize {
        let spread = self.spread(key);
        let mask = self.cells.next_power_of_two() - 1;
        match spread & mask {
            // A cell that is not split yet holds those of its second half, too.
            at if at >= self.cells => spread & (mask >> 1),
            at => at,
        }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are left")]
    fn spread(&self, key: u64) -> usize {
        (key.wrapping_mul(self.spread) >> 32) as usize
    }

    /// Takes one more cell of the index into use: some connections of one other move there.
    fn grow(&mut self) {
        let new = self.cells;
        if new == self.index.len() {
            return;
        }
        let (old, mask) = self.origin(new);
        self.cells += 1;
        let mut id = std::mem::take(&mut self.index[old]).wrapping_sub(1);
        while id != NONE {
            let Flow { key, chain, .. } = *self.flow(id);
            let at = if self.spread(key) & mask == new { new } else { old };
            self.flow_mut(id).chain = self.index[at].wrapping_sub(1);
            self.index[at] = id + 1;
            id = chain;
        }
    }

    /// The cell that cell `new` is split off, once all cells before it are in use, and which bits
    /// of a spread key tell the two apart.
    fn origin(&self, new: usize) -> (usize, usize) {
        let mask = (new + 1).next_power_of_two() - 1;
        (new & (mask >> 1), mask)
    }

    /// Which packets may be of a connection that is there.
    #[inline]
    pub(super) fn filter(&self) -> Look<'_> {
        self.filter.look()
    }

    /// Asks for the index cell of this key.
    #[inline]
    pub(super) fn prefetch_index(&self, key: u64) {
        self.index.get(self.place(key)).into_iter().for_each(prefetch);
    }

    /// The first flow in the index cell of this key.
    #[inline]
    pub(super) fn first(&self, key: u64) -> u32 {
        self.index.get(self.place(key)).copied().unwrap_or(0).wrapping_sub(1)
    }

    /// Asks for a flow, if there is such a flow.
    #[inline]
    pub(super) fn prefetch_flow(&self, id: u32) {
        self.get(id).into_iter().for_each(prefetch);
    }

    /// The numbers of what waits in a flow, if there is such a flow.
    #[inline]
    pub(super) fn works(&self, id: u32) -> impl Iterator<Item = u32> + use<> {
        let works = self.get(id).map_or([NONE; 2], |flow| flow.dirs.map(|dir| dir.work));
        works.into_iter().filter(|work| *work != NONE)
    }

    /// The oldest request of a flow that waits for its response, if there is one.
    #[inline]
    pub(super) fn pending(&self, id: u32) -> u32 {
        self.get(id).map_or(NONE, |flow| flow.pending)
    }

    #[inline]
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let mut id = self.first(key);
        while let Some(flow) = self.get(id) {
            if flow.key == key {
                return Some(id);
            }
            id = flow.chain;
        }
        None
    }

    #[inline]
    fn get(&self, id: u32) -> Option<&Flow> {
        self.chunks.get((id >> CHUNK_BITS) as usize)?.get(id as usize & (CHUNK - 1))
    }

    /// A flow that is there.
    #[inline]
    pub(super) fn flow(&self, id: u32) -> &Flow {
        &self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)]
    }

    #[inline]
    pub(super) fn flow_mut(&mut self, id: u32) -> &mut Flow {
        &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)]
    }

    #[inline]
    pub(super) fn dir(&mut self, id: u32, d: usize) -> &mut Dir {
        &mut self.flow_mut(id).dirs[d & 1]
    }

    pub(super) fn is_used(&self, id: u32) -> bool {
        self.get(id).is_some_and(|flow| flow.has(Flow::USED))
    }

    pub(super) fn is_full(&self) -> bool {
        self.used >= self.most
    }

    /// Room for a connection that is not there yet; the table must not be full.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 flows")]
    pub(super) fn insert(&mut self, key: u64, flow_hash: u64, now: u32) -> u32 {
        if self.free == NONE {
            if self.made == self.chunks.len() * CHUNK {
                self.chunks.push(vec![Flow::FREE; CHUNK].into());
            }
            self.free = self.made as u32;
            self.made += 1;
        }
        // Twice as many cells as connections: most chains are one long then, and the first of a
        // chain is asked for ahead of time.
        for _ in 0..2 {
            if 2 * self.used >= self.cells {
                self.grow();
            }
        }
        // The cells lie in a row, what hangs on them anywhere: until the next connection comes it
        // can be here.
        for new in self.cells..self.cells + 2 {
            let (old, _) = self.origin(new);
            self.prefetch_flow(self.index.get(old).map_or(NONE, |first| first.wrapping_sub(1)));
        }
        let id = self.free;
        let (place, cell) = (self.place(key), self.filter.add(flow_hash));
        let chain = self.index[place].wrapping_sub(1);
        self.index[place] = id + 1;
        let flow = self.flow_mut(id);
        let free = flow.chain;
        *flow = Flow { key, chain, cell, last: now, bits: Flow::USED, ..Flow::FREE };
        self.free = free;
        self.used += 1;
        id
    }

    /// Forgets a connection; nothing may hang on it any more.
    pub(super) fn remove(&mut self, id: u32) {
        let Flow { key, chain, cell, .. } = *self.flow(id);
        let place = self.place(key);
        if self.index[place] == id + 1 {
            self.index[place] = chain.wrapping_add(1);
        } else {
            let mut at = self.first(key);
            while at != NONE && self.flow(at).chain != id {
                at = self.flow(at).chain;
            }
            if at != NONE {
                self.flow_mut(at).chain = chain;
            }
        }
        self.filter.remove(cell);
        *self.flow_mut(id) = Flow { chain: self.free, ..Flow::FREE };
        self.free = id;
        self.used -= 1;
    }

    /// The next few numbers of flows, of which some may be free; all of them come in turn.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 flows")]
    pub(super) fn next_ids(&mut self, count: usize) -> impl Iterator<Item = u32> + use<> {
        let (made, hand) = (self.made.max(1), self.hand);
        let count = count.min(self.made);
        self.hand = (hand + count) % made;
        (hand..hand + count).map(move |at| (at % made) as u32)
    }

    /// How many flows there ever were at once.
    pub(super) fn made(&self) -> usize {
        self.made
    }

    /// The connection that can be missed best, out of a few: closed, else idle for longest.
    pub(super) fn least(&mut self, now: u32) -> Option<u32> {
        let ids = self.next_ids(WINDOW);
        let used = ids.filter(|id| self.is_used(*id));
        used.max_by_key(|id| {
            let flow = self.flow(*id);
            (flow.has(Flow::CLOSED), now.wrapping_sub(flow.last))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_come_and_go() {
        let mut table = Table::new(3000, 0x1234_5678_9abc_def1);
        // Hashes that all fall into one cell of the filter, as an attacker could send.
        let hash = |_: u64| 7;
        let mut ids = std::collections::BTreeMap::new();
        for round in 0..20u64 {
            for key in (round * 500)..(round * 500 + 3000) {
                if let std::collections::btree_map::Entry::Vacant(place) = ids.entry(key) {
                    if table.is_full() {
                        break;
                    }
                    assert_eq!(table.find(key), None);
                    place.insert(table.insert(key, hash(key), 0));
                }
            }
            assert!(table.filter().may_have(7));
            for (key, id) in &ids {
                assert_eq!(table.find(*key), Some(*id));
                assert_eq!(table.flow(*id).key, *key);
            }
            for key in (round * 500)..(round * 500 + 500) {
                if let Some(id) = ids.remove(&key) {
                    table.remove(id);
                    assert_eq!(table.find(key), None);
                }
            }
            assert_eq!(table.len(), ids.len());
        }
        assert!(table.made() <= 3000, "no more than it was made for");
        for id in ids.into_values() {
            table.remove(id);
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_one_that_can_be_missed_best() {
        let mut table = Table::new(1000, 1);
        let ids: Vec<_> = (0..10).map(|at| table.insert(u64::from(at), 0, 100 - at)).collect();
        assert_eq!(table.least(200), Some(ids[9]), "the oldest");
        table.flow_mut(ids[3]).set(Flow::CLOSED);
        assert_eq!(table.least(200), Some(ids[3]), "a closed one");
    }
}
