//! Each address once: those of a batch come again and again, and a cipher costs more than a
//! look.
//!
//! Nothing is kept from batch to batch, so that no pseudonym outlives its key here.

/// How many addresses are found again at most.
const ENTRIES: usize = 4096;

/// Addresses without those that stood before them.
#[derive(Debug, Default)]
pub(super) struct Distinct<A> {
    addresses: Vec<A>,
    /// Where in `addresses` each of the batch is.
    places: Vec<usize>,
    /// Where in `addresses` the last is that fell on each entry; for any other, and after
    /// another batch, what is there is another address. Who makes addresses that fall on one
    /// entry gains no more than that they are mapped each time.
    lately: Vec<usize>,
}

impl<A: Copy + PartialEq> Distinct<A> {
    /// Maps all addresses by a map that is handed each of them once, or a few times.
    pub(super) fn map(
        &mut self,
        all: &mut [A],
        hash: impl Fn(A) -> usize,
        map: impl FnOnce(&mut [A]),
    ) {
        let Self { addresses, places, lately } = self;
        addresses.clear();
        places.clear();
        lately.resize(ENTRIES, 0);
        for address in &*all {
            let place = &mut lately[hash(*address) % ENTRIES];
            if addresses.get(*place) != Some(address) {
                *place = addresses.len();
                addresses.push(*address);
            }
            places.push(*place);
        }
        map(addresses);
        for (address, place) in all.iter_mut().zip(places) {
            *address = addresses[*place];
        }
    }
}

/// The same for addresses that differ in few bits as for those that differ in many: the upper
/// bits of a product depend on all.
pub(super) fn hash_v4(address: u32) -> usize {
    usize::try_from(u64::from(address).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48).unwrap_or(0)
}

/// As [`hash_v4`].
pub(super) fn hash_v6(address: u128) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (address as u64, (address >> 64) as u64);
    let mixed = high.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) ^ low;
    usize::try_from(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_mapped_as_it_would_be_alone() {
        let mut distinct = Distinct::default();
        for range in [1, 7, 5000, 1 << 20] {
            let all: Vec<u32> =
                (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761) % range).collect();
            let mut mapped = all.clone();
            let mut handed = 0;
            distinct.map(&mut mapped, hash_v4, |addresses| {
                handed = addresses.len();
                addresses.iter_mut().for_each(|address| *address = !*address);
            });
            assert!(all.iter().zip(&mapped).all(|(from, to)| !*from == *to), "below {range}");
            assert!(handed >= all.len().min(range as usize) / 4, "{handed} of {range}");
            assert!(range > 7 || handed == range as usize, "{handed} of {range}");
        }
    }

    #[test]
    fn neighbours_spread_over_the_entries() {
        let spread = |hash: &dyn Fn(u32) -> usize| {
            let taken: std::collections::HashSet<_> =
                (0..1024).map(|n| hash(n) % ENTRIES).collect();
            assert!(taken.len() > 700, "{}", taken.len());
        };
        spread(&|n| hash_v4(0x0a00_0000 + n));
        spread(&|n| hash_v4(n << 16));
        spread(&|n| hash_v6(0x2a00 << 112 | u128::from(n)));
        spread(&|n| hash_v6(0x2a00 << 112 | u128::from(n) << 64));
        spread(&|n| hash_v6(u128::from(n) << 112));
    }
}
