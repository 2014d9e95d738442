//! Hands a worker its next chain.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    chain::{Parts, Remains},
    lock::lock,
    sinks::SinkOutlet,
};

/// What takes the place of a worker's chain and its outlet.
pub(crate) struct Next {
    pub(crate) parts: Parts,
    pub(crate) outlet: SinkOutlet,
}

/// What a worker gives back, to be dropped by somebody who has time for it.
pub(crate) struct Taken {
    pub(crate) remains: Remains,
    pub(crate) outlet: SinkOutlet,
    /// How long it took no packets.
    pub(crate) pause: Duration,
}

/// Where a worker finds its next chain, of which there is one at a time.
#[derive(Default)]
pub(crate) struct Shift {
    /// All that the worker looks at between two batches.
    due: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Due(Box<Next>),
    /// The worker is at it.
    Busy,
    Done(Box<Taken>),
    /// The worker has ended.
    Gone,
}

impl Shift {
    /// Whether there is one; for the worker.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Relaxed)
    }

    /// Takes it; for the worker.
    pub(crate) fn take(&self) -> Option<Next> {
        self.due.store(false, Relaxed);
        let mut state = lock(&self.state);
        match std::mem::replace(&mut *state, State::Busy) {
            State::Due(next) => Some(*next),
            other => {
                *state = other;
                None
            }
        }
    }

    /// The worker has taken it.
    pub(crate) fn done(&self, taken: Taken) {
        self.set(State::Done(Box::new(taken)));
    }

    /// The worker ends when what this gives is dropped, also by a panic.
    pub(crate) fn until_gone(&self) -> impl Drop + '_ {
        struct Leaving<'a>(&'a Shift);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.set(State::Gone);
            }
        }
        Leaving(self)
    }

    /// Lays it ready. One that has ended does not need it.
    pub(crate) fn hand(&self, next: Next) {
        let mut state = lock(&self.state);
        if !matches!(*state, State::Gone) {
            *state = State::Due(Box::new(next));
            self.due.store(true, Relaxed);
        }
    }

    /// Waits until the worker has taken it; `None` if it has ended before.
    pub(crate) fn wait(&self) -> Option<Taken> {
        let waits = |state: &mut State| !matches!(state, State::Done(_) | State::Gone);
        let waited = self.changed.wait_while(lock(&self.state), waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *state) {
            State::Done(taken) => Some(*taken),
            other => {
                *state = other;
                None
            }
        }
    }

    fn set(&self, to: State) {
        // What was there is dropped behind the lock.
        let before = std::mem::replace(&mut *lock(&self.state), to);
        self.changed.notify_all();
        drop(before);
    }
}
