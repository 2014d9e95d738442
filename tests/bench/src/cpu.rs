//! Pins a process and reads its CPU time.
//!
//! CPU time comes from `getrusage`, not from a profiler or a cycle counter: it is public,
//! needs no privilege and counts every thread, so an engine of many workers and the
//! single-threaded floor are measured alike. The kernel keeps the sum of user and system
//! time to the nanosecond but may split it by clock ticks; trust the sum for short runs.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

/// CPU time of a process, of its children or of a thread, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel on behalf of the process.
    pub system: Duration,
}

impl CpuTime {
    /// CPU time of this process, all threads.
    ///
    /// # Errors
    /// Those of `getrusage`; none is known to occur on Linux.
    pub fn of_this_process() -> nix::Result<Self> {
        Self::of(UsageWho::RUSAGE_SELF)
    }

    /// CPU time of the calling thread.
    ///
    /// # Errors
    /// Those of `getrusage`; none is known to occur on Linux.
    pub fn of_this_thread() -> nix::Result<Self> {
        Self::of(UsageWho::RUSAGE_THREAD)
    }

    /// CPU time of all children that ended and were waited for, with their own children.
    ///
    /// The difference around one `wait` is what `wait4` would report for that child.
    ///
    /// # Errors
    /// Those of `getrusage`; none is known to occur on Linux.
    pub fn of_children() -> nix::Result<Self> {
        Self::of(UsageWho::RUSAGE_CHILDREN)
    }

    fn of(who: UsageWho) -> nix::Result<Self> {
        let usage = getrusage(who)?;
        Ok(Self { user: duration(usage.user_time()), system: duration(usage.system_time()) })
    }

    /// User and system time together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used between `earlier` and `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Pins the calling thread, and the children it starts, to `core`, or to the core on which
/// it runs already. Returns the core.
///
/// # Errors
/// When the core does not exist or this process may not use it.
pub fn pin(core: Option<usize>) -> nix::Result<usize> {
    let core = core.map_or_else(sched_getcpu, Ok)?;
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(core)
}

/// The middle value; the mean of the two middle values of an even number. 0 for none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Nanoseconds of `time` for each of `count` things. 0 for none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn nanos_per(time: Duration, count: u64) -> f64 {
    if count == 0 { 0.0 } else { time.as_nanos() as f64 / count as f64 }
}

fn duration(time: TimeVal) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        let cases: &[(&[f64], f64)] =
            &[(&[], 0.0), (&[3.0], 3.0), (&[9.0, 1.0, 2.0], 2.0), (&[4.0, 1.0, 2.0, 3.0], 2.5)];
        for (values, expected) in cases {
            let got = median(values.iter().copied());
            assert!((got - expected).abs() < f64::EPSILON, "{values:?}: {got}");
        }
    }

    #[test]
    fn work_costs_time() {
        let before = CpuTime::of_this_process().expect("getrusage works on Linux");
        let mut sum = 0_u64;
        for i in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        let used = CpuTime::of_this_process().expect("getrusage works on Linux").since(before);
        assert!(used.total() > Duration::ZERO);
        assert!(nanos_per(used.total(), 0).abs() < f64::EPSILON);
    }
}
