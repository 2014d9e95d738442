//! Packets of a batch that are looked at again: what a round over all packets found for the next.

use ringmill_sdk::{BATCH, Packet};

/// The numbers of some packets of a batch, in their order.
pub(super) struct Picked {
    numbers: [u8; BATCH],
    count: usize,
}

impl Picked {
    /// Those that are wanted, by their numbers; there is no branch to be mispredicted.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a batch has 256 packets at most")]
    pub(super) fn new(packets: impl Iterator<Item = (usize, bool)>) -> Self {
        let (mut numbers, mut count) = ([0; BATCH], 0);
        for (at, wanted) in packets {
            if let Some(number) = numbers.get_mut(count) {
                *number = at as u8;
            }
            count += usize::from(wanted);
        }
        Self { numbers, count }
    }

    #[inline]
    pub(super) fn of<'p, 'a>(
        &self,
        packets: &'p [Packet<'a>],
    ) -> impl Iterator<Item = (usize, &'p Packet<'a>)> + use<'_, 'p, 'a> {
        let numbers = self.numbers.iter().take(self.count).map(|number| usize::from(*number));
        numbers.filter_map(|at| Some((at, packets.get(at)?)))
    }
}

/// Flow hashes of which a packet was seen in this batch; may take others for one of them.
pub(super) struct Marks([bool; Self::PLACES]);

impl Marks {
    const BITS: u32 = 10;
    const PLACES: usize = 1 << Self::BITS;

    #[inline]
    pub(super) fn new() -> Self {
        Self([false; Self::PLACES])
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "10 bits are left")]
    fn place(hash: u64) -> usize {
        (hash >> (u64::BITS - Self::BITS)) as usize
    }

    /// Adds it, if `so`, and says whether it was there then.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, so: bool) -> bool {
        let place = &mut self.0[Self::place(hash)];
        *place |= so;
        *place
    }
}
