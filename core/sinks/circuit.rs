//! When a store that failed is tried again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

/// The wait after the first failure.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest wait at the end of a run, when there is not much time left.
const HURRIED: Duration = Duration::from_millis(250);

/// Counts the failures in a row. After so many the circuit is open: the store counts as away,
/// and is asked only once in a while, with a single batch, until it answers.
#[derive(Debug)]
pub(super) struct Circuit {
    open_after: u32,
    longest: Duration,
    failures: u32,
    retry_at: Option<Instant>,
    opened: Option<Instant>,
}

impl Circuit {
    pub(super) fn new(open_after: u32, longest: Duration) -> Self {
        Self { open_after, longest, failures: 0, retry_at: None, opened: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether the latest call failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0 || self.is_open()
    }

    /// Before this nothing is to be tried.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The store failed. Whether that opened the circuit.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let doubled = SHORTEST.saturating_mul(1 << (self.failures - 1).min(20));
        // Between half and all of it, so that many engines do not come back at once.
        let jitter = 0.5 + (RandomState::new().hash_one(0) % 1024) as f64 / 2048.0;
        self.retry_at = Some(now + doubled.min(self.longest).mul_f64(jitter));
        self.failures >= self.open_after && self.open(now)
    }

    /// The store counts as away from now on. Whether it did not before.
    pub(super) fn open(&mut self, now: Instant) -> bool {
        let was_open = self.is_open();
        self.opened.get_or_insert(now);
        !was_open
    }

    /// The store answered. For how long the circuit had been open, if it was.
    pub(super) fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.failures = 0;
        self.retry_at = None;
        self.opened.take().map(|opened| now.saturating_duration_since(opened))
    }

    /// Tries again at once, whatever was waited for, and from now on more often.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.longest = self.longest.min(HURRIED);
        self.retry_at = self.retry_at.map(|at| at.min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_vary_by_half() {
        let mut now = Instant::now();
        let mut circuit = Circuit::new(3, Duration::from_secs(1));
        for (failure, most) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
            let opened = circuit.failed(now);
            assert_eq!(opened, failure == 2, "failure {failure}");
            let wait = circuit.retry_at().map(|at| at - now).unwrap_or_default();
            let most = Duration::from_millis(most);
            assert!(wait >= most / 2 && wait <= most, "failure {failure}: {wait:?}");
            now += wait;
        }
        assert!(circuit.is_open());
        assert!(circuit.succeeded(now).is_some_and(|away| away > Duration::from_secs(1)));
        assert!(!circuit.is_open() && circuit.retry_at().is_none());
        assert_eq!(circuit.succeeded(now), None);
        assert!(!circuit.failed(now), "counting begins anew");
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut circuit = Circuit::new(u32::MAX, Duration::from_secs(3600));
        for _ in 0..100 {
            circuit.failed(Instant::now());
        }
        assert!(circuit.retry_at().is_some() && !circuit.is_open());
    }
}
