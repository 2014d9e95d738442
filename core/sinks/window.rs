//! How a sink does, to be looked at from outside while it runs.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{SinkTally, outlet::Share};
use crate::{host::Board, lock::lock};

/// How often it is brought up to date at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// How a sink does.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What has become of its rows; `spilled` is what lies in its spill log now.
    pub tally: SinkTally,
    /// Batches that wait in its queue.
    pub queued: usize,
    /// Batches that the queue holds.
    pub queue: usize,
    /// It counts as away.
    pub away: bool,
    /// Why its last call failed; empty after one that did not.
    pub trouble: String,
}

/// One sink's place for it: its own thread writes, anyone reads.
pub(crate) struct Window {
    board: Arc<Board>,
    shares: Arc<[Share]>,
    look: Mutex<Look>,
}

impl Window {
    pub(super) fn new(
        label: String,
        queue: usize,
        board: Arc<Board>,
        shares: Arc<[Share]>,
    ) -> Self {
        let tally = SinkTally { sink: label, ..SinkTally::default() };
        Self { board, shares, look: Mutex::new(Look { tally, queue, ..Look::default() }) }
    }

    /// Rows of the workers that found its queue full.
    pub(crate) fn queue_full(&self) -> u64 {
        self.shares.iter().map(|share| share.queue_full.value()).sum()
    }

    /// Whether it is of the sink of this label.
    pub(crate) fn is_of(&self, label: &str) -> bool {
        lock(&self.look).tally.sink == label
    }

    /// How it does.
    pub(crate) fn look(&self) -> Look {
        let mut look = lock(&self.look).clone();
        let counters = self.board.counters().into_iter();
        look.tally.counters = counters.map(|(_, name, n)| (name, n)).collect();
        look.tally.count(&self.shares);
        look
    }

    pub(super) fn show(&self, with: impl FnOnce(&mut Look)) {
        with(&mut lock(&self.look));
    }
}

/// When the window is due.
pub(super) struct Due(Option<Instant>);

impl Due {
    pub(super) fn now() -> Self {
        Self(None)
    }

    /// Whether it is; then the next time is a while later.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|at| now >= at);
        if due {
            self.0 = Some(now + INTERVAL);
        }
        due
    }
}
