//! What the engine offers to a stage: a log, counters, drop reasons, keys, and a way to tell the
//! readers of the data what they must know.

use std::{fmt, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed};

use abi_stable::{StableAbi, std_types::RArc};

use crate::{
    key::{Epoch, Key},
    packet::Reason,
};

/// How loud a log line is.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    /// The operator has to act.
    pub const ERROR: Self = Self(1);
    /// Something is not as it should be.
    pub const WARN: Self = Self(2);
    /// Good to know.
    pub const INFO: Self = Self(3);
    /// For whoever develops the stage.
    pub const DEBUG: Self = Self(4);
}

/// What stands behind a [`Host`]; the engine implements it, and so does the test kit.
#[doc(hidden)]
pub trait HostApi: Send + Sync {
    fn log(&self, level: Level, message: &str);
    fn worker(&self) -> Option<usize>;
    fn counter(&self, name: &str) -> Counter;
    fn reason(&self, name: &str) -> Reason;
    /// Whether there was one: only while stages are made.
    fn ephemeral_key(&self, label: &str, key: &mut Key) -> bool;
    fn epoch(&self) -> Option<Epoch>;
    fn is_replay(&self) -> bool;
    fn declare(&self, name: &str, value: &str);
    fn suggest(&self, text: &str);
    /// The ledger so far, in the engine's own form; empty where there is none.
    fn ledger(&self) -> String;
    /// The manifest of a file; empty where there is none. `began` is what `ledger` said when
    /// its span began; times are of the first and the last row in nanoseconds since 1970,
    /// without rows `i64::MAX` and `i64::MIN`.
    fn manifest(&self, began: &str, rows: u64, first: i64, last: i64) -> String;
}

/// The engine, as one stage sees it.
#[derive(Clone)]
pub struct Host(pub(crate) Arc<dyn HostApi>);

impl Host {
    /// For the engine and the test kit.
    #[doc(hidden)]
    #[must_use]
    pub fn from_api(api: Arc<dyn HostApi>) -> Self {
        Self(api)
    }

    /// Writes a line to the engine's log, under the stage's name. Not for the hot path, and
    /// nothing of a packet or a record may stand in it.
    pub fn log(&self, level: Level, message: impl fmt::Display) {
        self.0.log(level, &message.to_string());
    }

    /// [`Level::WARN`].
    pub fn warn(&self, message: impl fmt::Display) {
        self.log(Level::WARN, message);
    }

    /// [`Level::INFO`].
    pub fn info(&self, message: impl fmt::Display) {
        self.log(Level::INFO, message);
    }

    /// [`Level::DEBUG`].
    pub fn debug(&self, message: impl fmt::Display) {
        self.log(Level::DEBUG, message);
    }

    /// The number of the worker that this instance runs on, from 0; `None` on a sink's thread.
    #[must_use]
    pub fn worker(&self) -> Option<usize> {
        self.0.worker()
    }

    /// A counter that the ledger shows under the stage's name. Asked for twice, the same
    /// name gives the same counter.
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        self.0.counter(name)
    }

    /// A reason for which this stage drops packets; the ledger counts them by this name.
    ///
    /// A worker's chain has room for 255 reasons in all; later ones share the last.
    #[must_use]
    pub fn reason(&self, name: &str) -> Reason {
        self.0.reason(name)
    }

    /// A key that is the same in every worker of this run and gone when the process ends; stages that
    /// a reload makes anew have another. Each `label` has a key of its own. For a key that may also come from a file, and has
    /// epochs, see [`Schedule`](crate::key::Schedule).
    ///
    /// # Panics
    /// When it is asked for after the stage's `new`: what they all come from is wiped once all
    /// stages are made.
    #[must_use]
    pub fn ephemeral_key(&self, label: &str) -> Key {
        let mut key = Key::new([0; 32]);
        let given = self.0.ephemeral_key(label, &mut key);
        assert!(given, "an ephemeral key must be asked for in the stage's `new`");
        key
    }

    /// How often keys change, as `[engine] epoch` says; `None` where they do not.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.epoch()
    }

    /// Whether the packets come from capture files, so that they may be of any time.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.0.is_replay()
    }

    /// Tells whoever reads the data something that they must know of this stage: how likely a
    /// connection is in it, which key it was made with. Goes into what describes the run, so
    /// it must not tell a secret. Said twice, the last value stays.
    pub fn declare(&self, name: &str, value: impl fmt::Display) {
        self.0.declare(name, &value.to_string());
    }

    /// Says in one sentence, without its full stop, what this stage did to the data, for the
    /// methods section of a paper: `IP addresses were replaced by ...`. `engine manifest`
    /// prints it, with the key's id where there is one. It is the fact `methods`.
    pub fn describe(&self, sentence: impl fmt::Display) {
        self.declare("methods", sentence);
    }

    /// Shows the user, after the run, what to do with what was written: one line to paste.
    pub fn suggest(&self, text: impl fmt::Display) {
        self.0.suggest(&text.to_string());
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("worker", &self.worker()).finish_non_exhaustive()
    }
}

#[doc(hidden)]
/// A word on its own cache line, so that counting never touches another worker's.
#[repr(C, align(64))]
#[derive(StableAbi, Debug, Default)]
pub struct CounterCell {
    count: AtomicU64,
}

/// A count that only its worker writes and anyone may read.
///
/// Adding is a plain load and store, not an atomic read-modify-write: a counter has one
/// writer. In a loop over packets, count in a local and add once per batch.
#[repr(transparent)]
#[derive(StableAbi, Clone, Debug)]
pub struct Counter(RArc<CounterCell>);

impl Default for Counter {
    fn default() -> Self {
        Self(RArc::new(CounterCell::default()))
    }
}

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.count.store(self.0.count.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The count so far.
    #[inline]
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.count.load(Relaxed)
    }
}
