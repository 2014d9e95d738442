//! The engine as its stages see it, and the board on which one chain's counters hang.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use ringmill_sdk::{Counter, Host, HostApi, Level, Reason};
use sha2::Sha256;

/// What all chains of a run share; nothing of it is touched by the hot path.
pub struct Run {
    /// Made at start, never stored: every ephemeral key is derived from it.
    secret: [u8; 32],
    suggestions: Mutex<Vec<String>>,
}

impl Run {
    /// A new run with a secret of its own.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, suggestions: Mutex::default() })
    }

    /// The lines that stages want the user to see at the end, in the order they came, each
    /// once.
    pub fn suggestions(&self) -> Vec<String> {
        let all = lock(&self.suggestions);
        let mut lines: Vec<String> = Vec::new();
        for line in all.iter() {
            if !lines.contains(line) {
                lines.push(line.clone());
            }
        }
        lines
    }
}

/// The counters and the drop reasons of one chain, on one worker or one sink's thread.
///
/// Only making a stage takes the lock; counting goes straight to the counter.
#[derive(Default)]
pub struct Board {
    counters: Mutex<Vec<(String, String, Counter)>>,
    reasons: Mutex<Vec<(String, String)>>,
}

/// A drop reason has a number in a byte; 0 is "not dropped".
const MOST_REASONS: usize = 255;

impl Board {
    /// Stage, name and value of every counter.
    pub fn counters(&self) -> Vec<(String, String, u64)> {
        let row = |(stage, name, counter): &(String, String, Counter)| {
            (stage.clone(), name.clone(), counter.value())
        };
        lock(&self.counters).iter().map(row).collect()
    }

    /// Stage and name of the drop reasons; the first has the number 1.
    pub fn reasons(&self) -> Vec<(String, String)> {
        lock(&self.reasons).clone()
    }

    fn counter(&self, stage: &str, name: &str) -> Counter {
        let mut counters = lock(&self.counters);
        if let Some((.., counter)) = counters.iter().find(|(s, n, _)| s == stage && n == name) {
            return counter.clone();
        }
        let counter = Counter::default();
        counters.push((stage.to_owned(), name.to_owned(), counter.clone()));
        counter
    }

    fn reason(&self, stage: &str, name: &str) -> Reason {
        let mut reasons = lock(&self.reasons);
        let known = reasons.iter().position(|(s, n)| s == stage && n == name);
        let at = known.unwrap_or_else(|| {
            if reasons.len() < MOST_REASONS {
                reasons.push((stage.to_owned(), name.to_owned()));
            } else {
                tracing::warn!(
                    stage,
                    reason = name,
                    "more than 255 drop reasons; counted as the last"
                );
            }
            reasons.len() - 1
        });
        // At most 254 by the check above.
        Reason::from_number(u8::try_from(at + 1).unwrap_or(u8::MAX))
    }
}

/// The host of one stage.
struct StageHost {
    stage: String,
    worker: Option<usize>,
    board: Arc<Board>,
    run: Arc<Run>,
}

/// A [`Host`] for the stage of this name; `worker` is `None` on a sink's thread.
pub fn host(run: &Arc<Run>, board: &Arc<Board>, stage: &str, worker: Option<usize>) -> Host {
    let (board, run) = (Arc::clone(board), Arc::clone(run));
    Host::from_api(Arc::new(StageHost { stage: stage.to_owned(), worker, board, run }))
}

impl HostApi for StageHost {
    fn log(&self, level: Level, message: &str) {
        let (stage, worker) = (self.stage.as_str(), self.worker);
        match level {
            Level::ERROR => tracing::error!(stage, worker, "{message}"),
            Level::WARN => tracing::warn!(stage, worker, "{message}"),
            Level::INFO => tracing::info!(stage, worker, "{message}"),
            _ => tracing::debug!(stage, worker, "{message}"),
        }
    }

    fn worker(&self) -> Option<usize> {
        self.worker
    }

    fn counter(&self, name: &str) -> Counter {
        self.board.counter(&self.stage, name)
    }

    fn reason(&self, name: &str) -> Reason {
        self.board.reason(&self.stage, name)
    }

    fn ephemeral_key(&self, label: &str) -> [u8; 32] {
        // HMAC (RFC 2104) as a key derivation; it takes keys of any length, so the result is
        // never an error.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.run.secret) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn suggest(&self, text: &str) {
        lock(&self.run.suggestions).push(text.to_owned());
    }
}

/// The lock, also after a panic of another holder: the lists are whole between pushes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
