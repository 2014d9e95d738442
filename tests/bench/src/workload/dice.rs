//! Random numbers that stay the same everywhere and for ever.
//!
//! Only the raw output of PCG is a library's; ranges and weights are drawn here, because
//! general random crates may change how they sample, and a capture has to be the same bytes
//! after an update. Floating point is kept to addition, multiplication and division, which
//! round alike on every machine.

use rand_pcg::Lcg128Xsl64;
use rand_pcg::rand_core::Rng;

/// The source of all chance.
#[derive(Debug)]
pub(super) struct Dice(Lcg128Xsl64);

impl Dice {
    /// Different streams of one seed are independent of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(Lcg128Xsl64::new(u128::from(seed), u128::from(stream)))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    pub(super) fn per_mille(&mut self, share: u32) -> bool {
        self.below(1000) < share
    }

    pub(super) fn of<'a, T>(&mut self, table: &'a [T]) -> &'a T {
        &table[self.below(u32::try_from(table.len()).unwrap_or(u32::MAX)) as usize]
    }

    pub(super) fn shuffle<T>(&mut self, table: &mut [T]) {
        for last in (1..table.len()).rev() {
            let other = self.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
            table.swap(last, other);
        }
    }

    /// In [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Zipf-Mandelbrot ranks: rank k is drawn with weight 1 / (k + SHIFT).
///
/// The shift keeps the first rank at about 1 % of the traffic. With plain Zipf one flow
/// would carry 8 % and, being either IPv4 or IPv6, decide the mix of a small capture.
#[derive(Debug)]
pub(super) struct Zipf {
    cumulative: Vec<f64>,
}

const SHIFT: u32 = 10;

impl Zipf {
    pub(super) fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let weights = (0..u32::try_from(ranks).unwrap_or(u32::MAX)).map(|k| {
            sum += 1.0 / f64::from(k + SHIFT);
            sum
        });
        Self { cumulative: weights.collect() }
    }

    /// A rank below `ranks`, or below the size of the table if that is less.
    pub(super) fn draw(&self, dice: &mut Dice, ranks: usize) -> usize {
        let ranks = ranks.min(self.cumulative.len());
        let Some(&total) = ranks.checked_sub(1).and_then(|last| self.cumulative.get(last)) else {
            return 0;
        };
        let point = dice.unit() * total;
        // Rounding may lift the point to the total itself.
        self.cumulative[..ranks].partition_point(|&sum| sum <= point).min(ranks - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept_and_reached() {
        let mut dice = Dice::new(1, 0);
        let mut seen = [0_u32; 6];
        for _ in 0..6000 {
            seen[dice.between(0, 5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn low_ranks_are_drawn_more_often() {
        let (zipf, mut dice) = (Zipf::new(1000), Dice::new(1, 0));
        let mut seen = vec![0_u32; 1000];
        for _ in 0..100_000 {
            seen[zipf.draw(&mut dice, 1000)] += 1;
        }
        assert!(seen[0] > 5 * seen[100] && seen[100] > seen[999], "{:?}", &seen[..10]);
        assert!((0..1000).all(|_| zipf.draw(&mut dice, 3) < 3));
        assert_eq!(zipf.draw(&mut dice, 0), 0);
    }
}
