//! Two filters in front of the flow table, which count connections by the flow hash that every
//! packet carries.
//!
//! The coarse one has 64 KiB, small enough to stay in the cache: as long as few connections carry
//! HTTP, most packets of all others end there. That hash has no key, so whoever wants to can make
//! the filters say "perhaps"; it then costs a lookup under the key, and nothing more.

use ringmill_sdk::prefetch;

/// Cells of the coarse filter, as a power of two.
const COARSE_BITS: u32 = 16;

pub(super) struct Filter {
    /// Odd, and secret: spreads the flow hashes.
    spread: u64,
    /// What leaves the cell of a spread flow hash, and the coarse one.
    shift: u32,
    coarse_shift: u32,
    /// Connections by the upper bits of their flow hash; at the highest count it stays.
    fine: Vec<u8>,
    /// The same by fewer bits.
    coarse: Vec<u8>,
}

/// What a loop over packets needs of a filter: values, which the compiler need not load again
/// after each store.
#[derive(Clone, Copy)]
pub(super) struct Look<'f> {
    spread: u64,
    shift: u32,
    coarse_shift: u32,
    fine: &'f [u8],
    coarse: &'f [u8],
}

impl Filter {
    /// With `1 << bits` cells.
    pub(super) fn new(bits: u32, spread: u64) -> Self {
        let coarse = bits.min(COARSE_BITS);
        Self {
            spread: spread | 1,
            shift: 64 - bits,
            coarse_shift: 64 - coarse,
            fine: vec![0; 1 << bits],
            coarse: vec![0; 1 << coarse],
        }
    }

    #[inline]
    pub(super) fn look(&self) -> Look<'_> {
        let Self { spread, shift, coarse_shift, fine, coarse } = self;
        Look { spread: *spread, shift: *shift, coarse_shift: *coarse_shift, fine, coarse }
    }

    /// Counts a connection. Gives its cell, by which it is to be removed.
    #[allow(clippy::cast_possible_truncation, reason = "at most 28 bits are left")]
    pub(super) fn add(&mut self, flow_hash: u64) -> u32 {
        let cell = self.look().cell(flow_hash);
        for count in self.counts(cell) {
            *count = count.saturating_add(1);
        }
        cell as u32
    }

    /// A count that once was the highest may stand for more, and stays.
    pub(super) fn remove(&mut self, cell: u32) {
        for count in self.counts(cell as usize) {
            if *count < u8::MAX {
                *count -= 1;
            }
        }
    }

    fn counts(&mut self, cell: usize) -> [&mut u8; 2] {
        [&mut self.fine[cell], &mut self.coarse[cell >> (self.coarse_shift - self.shift)]]
    }
}

impl Look<'_> {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "at most 28 bits are left")]
    fn cell(self, flow_hash: u64) -> usize {
        (flow_hash.wrapping_mul(self.spread) >> self.shift) as usize
    }

    /// Whether the coarse filter counts a connection of this flow hash.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "at most 16 bits are left")]
    pub(super) fn coarse(self, flow_hash: u64) -> bool {
        let cell = (flow_hash.wrapping_mul(self.spread) >> self.coarse_shift) as usize;
        self.coarse.get(cell).is_none_or(|count| *count > 0)
    }

    /// Asks for what the fine one counts.
    #[inline]
    pub(super) fn prefetch(self, flow_hash: u64) {
        self.fine.get(self.cell(flow_hash)).into_iter().for_each(prefetch);
    }

    /// Whether there may be a connection of this flow hash.
    #[inline]
    pub(super) fn may_have(self, flow_hash: u64) -> bool {
        self.coarse(flow_hash) && self.fine.get(self.cell(flow_hash)).is_none_or(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_once_was_the_highest_stays() {
        for bits in [10, 16, 20] {
            let mut filter = Filter::new(bits, 0x1234_5678_9abc_def1);
            assert!(!filter.look().may_have(7), "{bits}");
            let cells: Vec<_> = (0..254).map(|_| filter.add(7)).collect();
            cells.iter().for_each(|cell| filter.remove(*cell));
            assert!(!filter.look().may_have(7) && !filter.look().coarse(7), "{bits}");
            let cells: Vec<_> = (0..300).map(|_| filter.add(7)).collect();
            cells.iter().for_each(|cell| filter.remove(*cell));
            assert!(filter.look().may_have(7) && !filter.look().may_have(1 << 40), "{bits}");
        }
    }
}
