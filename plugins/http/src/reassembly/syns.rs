//! Where the directions of a connection begin, remembered from its SYNs until its first bytes.
//!
//! A small cache in which a newer connection takes an older one's place. We did not make an
//! entry of the flow table from a SYN: most connections carry no HTTP, and a flood of SYNs
//! would evict the ones that do. What a flood costs here is that heads whose *first* segment
//! does not show that it is HTTP are missed while it lasts.

/// Slots; as many connections may be between SYN and first byte. 512 KiB in all.
const SLOTS_BITS: u32 = 15;

/// How far the first segment that is seen may be from the beginning, in bytes.
const NEAR: u32 = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Slot {
    tag: u32,
    /// One bit for each direction that is known.
    known: u32,
    /// Sequence number of the first byte.
    first: [u32; 2],
}

pub(super) struct Syns {
    spread: u64,
    slots: Vec<Slot>,
    /// One bit for each slot in which something is known: 4 KiB, which stay in the cache.
    known: Vec<u64>,
}

impl Syns {
    pub(super) fn new(secret: u64) -> Self {
        Self {
            spread: secret | 1,
            slots: vec![Slot::default(); 1 << SLOTS_BITS],
            known: vec![0; 1 << (SLOTS_BITS - 6)],
        }
    }

    /// Whether it takes a look at the slot.
    #[inline]
    pub(super) fn may_have(&self, flow_hash: u64) -> bool {
        let (at, _) = self.place(flow_hash);
        self.known.get(at >> 6).is_some_and(|bits| bits >> (at & 63) & 1 != 0)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "both parts of the product are used")]
    fn place(&self, flow_hash: u64) -> (usize, u32) {
        let mixed = flow_hash.wrapping_mul(self.spread);
        ((mixed >> (64 - SLOTS_BITS)) as usize, (mixed >> 8) as u32)
    }

    /// Reads the slot, so that it is in the cache by the time it is needed.
    #[inline]
    pub(super) fn touch(&self, flow_hash: u64) -> u32 {
        self.slots.get(self.place(flow_hash).0).map_or(0, |slot| slot.tag)
    }

    /// A SYN was seen; `first` is the sequence number behind it.
    pub(super) fn put(&mut self, flow_hash: u64, d: usize, first: u32) {
        let (at, tag) = self.place(flow_hash);
        let slot = &mut self.slots[at];
        if slot.tag != tag {
            *slot = Slot { tag, ..Slot::default() };
        }
        slot.known |= 1 << d;
        slot.first[d & 1] = first;
        self.known[at >> 6] |= 1 << (at & 63);
    }

    /// Where the directions begin.
    #[inline]
    pub(super) fn get(&self, flow_hash: u64) -> [Option<u32>; 2] {
        let (at, tag) = self.place(flow_hash);
        match self.slots.get(at) {
            Some(slot) if slot.tag == tag && slot.known != 0 => {
                [0, 1].map(|d| (slot.known & 1 << d != 0).then_some(slot.first[d]))
            }
            _ => [None; 2],
        }
    }

    /// Whether this segment is at the beginning of its direction or a little behind.
    #[inline]
    pub(super) fn is_near(&self, flow_hash: u64, d: usize, seq: u32) -> Option<u32> {
        let first = self.get(flow_hash)[d & 1]?;
        (seq.wrapping_sub(first) < NEAR).then_some(first)
    }

    /// The beginning is past.
    pub(super) fn forget(&mut self, flow_hash: u64) {
        let (at, tag) = self.place(flow_hash);
        if self.slots[at].tag == tag {
            self.slots[at].known = 0;
            self.known[at >> 6] &= !(1 << (at & 63));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_remembered_by_direction() {
        let mut syns = Syns::new(0x9e37_79b9_7f4a_7c15);
        syns.put(5, 0, 100);
        assert_eq!(syns.get(5), [Some(100), None]);
        syns.put(5, 1, u32::MAX);
        assert_eq!(syns.get(5), [Some(100), Some(u32::MAX)]);
        assert_eq!(syns.get(6), [None; 2]);
        let cases =
            [(0, 100, true), (0, 99, false), (0, 1000, true), (0, 70_000, false), (1, 3, true)];
        for (d, seq, near) in cases {
            assert_eq!(syns.is_near(5, d, seq).is_some(), near, "{d} {seq}");
        }
        syns.forget(6);
        assert_eq!(syns.get(5)[0], Some(100));
        syns.forget(5);
        assert_eq!(syns.get(5), [None; 2]);
    }
}
