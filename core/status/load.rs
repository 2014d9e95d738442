//! How busy the workers are, by what the kernel and they themselves count.

use std::{
    fs,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::ledger::Live;

/// How busy a worker is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Load {
    /// Share of the last second for which its thread ran on a core; none where the kernel does not
    /// say.
    pub(super) cpu: Option<f64>,
    /// Share of the polls of the last second that found packets.
    pub(super) busy: f64,
    /// Seconds for which its thread has run on a core.
    pub(super) cpu_seconds: Option<f64>,
    /// Seconds for which it has finished no batch: it waits for a sink, or a stage does not return.
    pub(super) still_seconds: u64,
    /// The stage that does not give it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck: Option<String>,
}

/// What was seen of a worker the last time.
pub(super) struct Seen {
    ran: Option<Duration>,
    polls: u64,
    busy_polls: u64,
    moved: Instant,
}

impl Seen {
    pub(super) fn new(now: Instant) -> Self {
        Self { ran: None, polls: 0, busy_polls: 0, moved: now }
    }

    /// Looks again, after so many seconds.
    pub(super) fn look(&mut self, live: &Live, now: Instant, elapsed: f64) -> Load {
        let (busy_polls, polls) = (live.busy_polls.load(Relaxed), live.polls.load(Relaxed));
        if polls != self.polls {
            self.moved = now;
        }
        let ran = ran(live.thread.load(Relaxed)).or(self.ran);
        let share = |ran: Duration, before: Duration| {
            (ran.saturating_sub(before).as_secs_f64() / elapsed.max(0.001)).min(1.0)
        };
        let load = Load {
            cpu: ran.zip(self.ran).map(|(ran, before)| share(ran, before)),
            busy: match polls.saturating_sub(self.polls) {
                0 => 0.0,
                new => busy_polls.saturating_sub(self.busy_polls) as f64 / new as f64,
            },
            cpu_seconds: ran.map(|ran| ran.as_secs_f64()),
            still_seconds: now.saturating_duration_since(self.moved).as_secs(),
            stuck: None,
        };
        (self.ran, self.polls, self.busy_polls) = (ran, polls, busy_polls);
        load
    }
}

/// For how long a thread of ours has run, see proc(5) under `schedstat`; none when it has ended.
fn ran(thread: i32) -> Option<Duration> {
    if thread == 0 {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
