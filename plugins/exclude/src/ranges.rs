//! Ranges of addresses, to be looked up for every packet.
//!
//! Sorted and apart, so one search finds the only range that an address can be in. A table over
//! the leading bits says where to search, which leaves a comparison or two: with few prefixes
//! the whole of it lies in the first-level cache, with 100,000 in the second.
//!
//! We did not take a trie, whose steps wait for each other's cache lines, nor a bit for each /24,
//! which are 2 MiB for IPv4 and nothing for IPv6.

/// An address as a number.
pub(crate) trait Address: Copy + Ord + Into<u128> {
    /// How many times `1 << shift` this is behind `base`.
    fn bucket(self, base: Self, shift: u32) -> usize;
}

macro_rules! address {
    ($ty:ty) => {
        impl Address for $ty {
            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "there are few buckets")]
            fn bucket(self, base: Self, shift: u32) -> usize {
                ((self - base) >> shift) as usize
            }
        }
    };
}

address!(u32);
address!(u128);

/// The most buckets: 256 KiB.
const MOST_BUCKETS: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Ranges<A> {
    /// First and last address of each, in order.
    ranges: Vec<(A, A)>,
    /// For each bucket the number of ranges that begin before it; one more at the end.
    before: Vec<u32>,
    shift: u32,
    lowest: A,
    highest: A,
}

impl<A: Address + Default> Ranges<A> {
    /// Of ranges that are sorted and do not touch the same address.
    pub(crate) fn new(ranges: Vec<(A, A)>) -> Self {
        let (Some((lowest, _)), Some((_, highest))) = (ranges.first(), ranges.last()) else {
            let (lowest, highest) = (A::default(), A::default());
            return Self { ranges, before: Vec::new(), shift: 0, lowest, highest };
        };
        let (lowest, highest) = (*lowest, *highest);
        let most = (4 * ranges.len()).next_power_of_two().clamp(64, MOST_BUCKETS);
        let span = highest.into() - lowest.into();
        let shift = (u128::BITS - span.leading_zeros()).saturating_sub(most.ilog2());
        let mut before = vec![0_u32; highest.bucket(lowest, shift) + 2];
        for (first, _) in &ranges {
            before[first.bucket(lowest, shift) + 1] += 1;
        }
        let mut sum = 0;
        for count in &mut before {
            sum += *count;
            *count = sum;
        }
        Self { ranges, before, shift, lowest, highest }
    }

    /// Whether the address is in one of them.
    #[inline]
    pub(crate) fn holds(&self, address: A) -> bool {
        if address < self.lowest || address > self.highest {
            return false;
        }
        let bucket = address.bucket(self.lowest, self.shift);
        let Some(&[from, to]) = self.before.get(bucket..bucket + 2) else { return false };
        let (from, to) = (from as usize, to as usize);
        // The last that begins at the address or before it; perhaps before the bucket.
        let within = self.ranges[from..to].partition_point(|(first, _)| *first <= address);
        let Some(at) = (from + within).checked_sub(1) else { return false };
        self.ranges[at].1 >= address
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// How many addresses are in them; all of IPv6 is one too many to count, and is one less.
    pub(crate) fn addresses(&self) -> u128 {
        let size = |(first, last): &(A, A)| ((*last).into() - (*first).into()).saturating_add(1);
        self.ranges.iter().map(size).fold(0, u128::saturating_add)
    }
}
