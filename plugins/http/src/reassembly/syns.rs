//! Where the directions of a connection begin, remembered from its SYNs until its first bytes.
//!
//! A small cache in which a newer connection takes an older one's place. We did not make an
//! entry of the flow table from a SYN: most connections carry no HTTP, and a flood of SYNs
//! would evict the ones that do. What a flood costs here is that heads whose *first* segment
//! does not show that it is HTTP are missed while it lasts.
//!
//! The place comes from the flow hash, which has no key, so whoever can choose addresses or ports
//! can evict one connection on purpose, which costs the same as a flood does all. What is
//! remembered of a connection nobody else can change: an entry is told by a number of both ends
//! under a secret ([`Secrets`]), which nobody sees.

use ringmill_sdk::{Packet, prefetch, unmap_v4};

/// Slots; as many connections may be between SYN and first byte. 544 KiB in all.
const SLOTS_BITS: u32 = 15;
const SLOTS: usize = 1 << SLOTS_BITS;

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

/// A connection, as the slots tell it from others.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    place: usize,
    print: u8,
    tag: u32,
}

/// For each 32 bits of both ends a factor, and what spreads the flow hashes.
pub(super) type Secrets = [u64; 10];

pub(super) struct Syns {
    secrets: Secrets,
    slots: Vec<Slot>,
    /// Of each slot in which something is known, eight bits of the flow hash, else 0: most packets
    /// are of connections without a slot, and of these few take a look at one.
    prints: Box<[u8; SLOTS]>,
}

/// What a loop over packets needs of it: values, which the compiler need not load again after each
/// store.
pub(super) struct Front<'s> {
    factor: u64,
    prints: &'s mut [u8; SLOTS],
    slots: &'s [Slot],
}

impl Front<'_> {
    /// Whether it takes a look at the slot, now and after its SYN, if this is one.
    #[inline]
    pub(super) fn mark(&mut self, flow_hash: u64, is_syn: bool) -> bool {
        let (place, print) = place(self.factor, flow_hash);
        let there = &mut self.prints[place];
        if is_syn {
            *there = print;
        }
        *there == print
    }

    /// Asks for the slot, if `wanted`, else for one that is there in any case: a branch would be
    /// mispredicted.
    #[inline]
    pub(super) fn prefetch(&self, flow_hash: u64, wanted: bool) {
        let (place, _) = place(self.factor, flow_hash);
        self.slots.get(place & usize::from(wanted).wrapping_neg()).into_iter().for_each(prefetch);
    }
}

/// The slot, and what its print is while it is of this flow hash.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "15 bits are left, and 8 of the others")]
fn place(factor: u64, flow_hash: u64) -> (usize, u8) {
    let spread = flow_hash.wrapping_mul(factor | 1);
    ((spread >> (64 - SLOTS_BITS)) as usize, (spread >> (56 - SLOTS_BITS)) as u8 | 1)
}

impl Syns {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, slots: vec![Slot::default(); SLOTS], prints: Box::new([0; SLOTS]) }
    }

    /// What the loop over all packets needs.
    #[inline]
    pub(super) fn front(&mut self) -> Front<'_> {
        Front { factor: self.secrets[9], prints: &mut self.prints, slots: &self.slots }
    }

    /// The connection of a packet in direction `d`.
    ///
    /// The sum of 32-bit pieces times secret factors, of which the upper half is taken: two
    /// connections have the same with probability 2^-32, however they were chosen (Lemire and
    /// Kaser, "Strongly universal string hashing is fast", 2014).
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
    pub(super) fn ends(&self, packet: &Packet<'_>, d: usize) -> Ends {
        let ((src, dst), (src_port, dst_port)) = (packet.addresses(), packet.ports());
        let (low, high, ports) = match d {
            0 => (src, dst, [src_port, dst_port]),
            _ => (dst, src, [dst_port, src_port]),
        };
        let [a, b, c, e, f, g, h, i, p, _] = self.secrets;
        let ports = u64::from(ports[0]) << 16 | u64::from(ports[1]);
        let pieces = |address: [u8; 16], factors: [u64; 4]| {
            if let Some(address) = unmap_v4(&address) {
                // The same with what is known before.
                let [_, _, mapped, own] = factors;
                let own = u64::from(u32::from_be_bytes(address)).wrapping_mul(own);
                return own.wrapping_add(mapped.wrapping_mul(0xffff));
            }
            let pieces = address.as_chunks::<4>().0.iter().map(|piece| u32::from_be_bytes(*piece));
            let products = pieces.zip(factors).map(|(piece, by)| u64::from(piece).wrapping_mul(by));
            products.fold(0, u64::wrapping_add)
        };
        let sum = pieces(low, [a, b, c, e])
            .wrapping_add(pieces(high, [f, g, h, i]))
            .wrapping_add(ports.wrapping_mul(p));
        let (place, print) = place(self.secrets[9], packet.flow_hash());
        Ends { place, print, tag: (sum >> 32) as u32 }
    }

    /// A SYN was seen; `first` is the sequence number behind it.
    pub(super) fn put(&mut self, Ends { place, print, tag }: Ends, d: usize, first: u32) {
        let slot = &mut self.slots[place];
        if slot.tag != tag {
            *slot = Slot { tag, ..Slot::default() };
        }
        slot.known |= 1 << d;
        slot.first[d & 1] = first;
        self.prints[place] = print;
    }

    /// Where the directions begin.
    #[inline]
    pub(super) fn get(&self, Ends { place, tag, .. }: Ends) -> [Option<u32>; 2] {
        let slot = self.slots[place];
        let is_known = |d: usize| slot.tag == tag && slot.known >> d & 1 != 0;
        [0, 1].map(|d| is_known(d).then_some(slot.first[d]))
    }

    /// Whether this segment is at the beginning of its direction or a little behind.
    #[inline]
    pub(super) fn is_near(&self, ends: Ends, d: usize, seq: u32) -> Option<u32> {
        let first = self.get(ends)[d & 1]?;
        (seq.wrapping_sub(first) < NEAR).then_some(first)
    }

    /// The beginning is past.
    pub(super) fn forget(&mut self, Ends { place, tag, .. }: Ends) {
        if self.slots[place].tag == tag {
            self.slots[place].known = 0;
            self.prints[place] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::testing::{START, decoded, tcp};

    use super::*;

    const SECRETS: Secrets = {
        let mut secrets = [0x9e37_79b9_7f4a_7c15_u64; 10];
        let mut at = 1;
        while at < secrets.len() {
            secrets[at] = secrets[at - 1].wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            at += 1;
        }
        secrets
    };

    #[test]
    fn beginnings_are_remembered_by_direction() {
        let mut syns = Syns::new(SECRETS);
        let [five, six] = [5, 6].map(|tag| Ends { place: 77, print: 1, tag });
        syns.put(five, 0, 100);
        assert_eq!(syns.get(five), [Some(100), None]);
        syns.put(five, 1, u32::MAX);
        assert_eq!(syns.get(five), [Some(100), Some(u32::MAX)]);
        assert_eq!(syns.get(six), [None; 2]);
        let cases =
            [(0, 100, true), (0, 99, false), (0, 1000, true), (0, 70_000, false), (1, 3, true)];
        for (d, seq, near) in cases {
            assert_eq!(syns.is_near(five, d, seq).is_some(), near, "{d} {seq}");
        }
        syns.forget(six);
        assert_eq!(syns.get(five)[0], Some(100));
        syns.forget(five);
        assert_eq!(syns.get(five), [None; 2]);
    }

    /// The flow hash has no key: here another connection has the victim's.
    #[test]
    fn a_connection_with_the_same_flow_hash_changes_nothing_of_another() {
        let victim = ("10.0.0.1:1025", "10.0.0.2:80");
        let cases = [
            ("10.0.0.1:1026", "10.0.0.2:80"),
            ("10.0.0.3:1025", "10.0.0.2:80"),
            ("10.0.0.1:1025", "10.0.0.3:80"),
            ("10.0.0.2:1025", "10.0.0.1:80"),
            ("[2001:db8::1]:1025", "[2001:db8::2]:80"),
        ];
        let mut syns = Syns::new(SECRETS);
        let ends = |syns: &Syns, from: &str, to: &str, d: usize| {
            let frame = tcp(from, to, b"");
            let mut packet = decoded(&frame, START);
            packet.set_flow_hash(7);
            syns.ends(&packet, d)
        };
        let one_way = ends(&syns, victim.0, victim.1, 1);
        let other_way = ends(&syns, victim.1, victim.0, 0);
        assert_eq!((one_way.place, one_way.tag), (other_way.place, other_way.tag));
        for (from, to) in cases {
            let attacker = ends(&syns, from, to, 1);
            assert_eq!(attacker.place, one_way.place, "{from} {to}");
            syns.put(one_way, 1, 100);
            syns.put(attacker, 1, 50_000_000);
            assert!(!syns.get(one_way).contains(&Some(50_000_000)), "{from} {to}");
        }
    }
}
