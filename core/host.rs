//! The engine as its stages see it, and the board on which one chain's counters hang.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use ringmill_sdk::{
    Counter, Error, Host, HostApi, Level, Reason,
    key::{self, Epoch, Key},
};

use crate::{
    chain::Meter,
    config::OnError,
    ledger::{Books, StageTally},
    lock::lock,
    manifest::{Manifest, Rows},
};

/// What all chains share that are made from one config; nothing of it is touched by the hot path.
///
/// A reload makes another one, and those stages and sinks that go on keep theirs.
pub struct Run {
    /// Made at start, never stored: every ephemeral key is derived from it. Wiped once all
    /// stages are made.
    secret: Mutex<Option<Key>>,
    epoch: Option<Epoch>,
    is_live: AtomicBool,
    facts: Mutex<Vec<Facts>>,
    suggestions: Arc<Mutex<Vec<String>>>,
    /// What the workers count.
    pub(crate) books: Arc<Books>,
    manifests: Arc<Manifests>,
}

/// The manifests of the last reloads, of which files may still have rows.
#[derive(Default)]
struct Manifests(Mutex<Vec<Arc<Manifest>>>);

/// A file of a manifest before these is closed long since, because no more rows of it come.
const MANIFESTS: usize = 16;

impl Manifests {
    fn push(&self, manifest: Manifest) {
        let mut all = lock(&self.0);
        all.retain(|known| known.id != manifest.id);
        all.push(Arc::new(manifest));
        let old = all.len().saturating_sub(MANIFESTS);
        all.drain(..old);
    }

    /// The one of this id, else the last.
    fn get(&self, id: &str) -> Option<Arc<Manifest>> {
        let all = lock(&self.0);
        all.iter().find(|known| known.id == id).or(all.last()).cloned()
    }
}

/// What a stage or a sink declared of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its label.
    pub stage: String,
    /// Name and value, each name once, in the order they were declared first.
    pub facts: Vec<(String, String)>,
}

impl Run {
    /// A new run with a secret of its own, whose keys change with each `epoch`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(epoch: Option<Epoch>) -> Result<Self, getrandom::Error> {
        let mut secret = Key::new([0; 32]);
        getrandom::fill(&mut *secret)?;
        Ok(Self {
            secret: Mutex::new(Some(secret)),
            epoch,
            is_live: AtomicBool::default(),
            suggestions: Arc::default(),
            facts: Mutex::default(),
            books: Arc::default(),
            manifests: Arc::default(),
        })
    }

    /// The same run after a reload: its books, and another secret.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn next(&self) -> Result<Self, getrandom::Error> {
        Ok(Self {
            is_live: AtomicBool::new(self.is_live.load(Relaxed)),
            suggestions: Arc::clone(&self.suggestions),
            books: Arc::clone(&self.books),
            manifests: Arc::clone(&self.manifests),
            ..Self::new(self.epoch)?
        })
    }

    /// Says that the packets come from the wire and not from files; before stages are made.
    pub fn goes_live(&self) {
        self.is_live.store(true, Relaxed);
    }

    /// What goes with the files of the rows that come from now on.
    pub(crate) fn begins(&self, manifest: Manifest) {
        self.manifests.push(manifest);
    }

    /// Wipes the secret, now that all stages are made: from here on a stage can forget a key.
    pub fn forget_secret(&self) {
        *lock(&self.secret) = None;
    }

    /// What the stages of the chain and then the sinks have declared, in the order of the
    /// config; those that declared nothing are not in it.
    pub fn facts(&self) -> Vec<Facts> {
        lock(&self.facts).iter().filter(|facts| !facts.facts.is_empty()).cloned().collect()
    }

    /// What a stage that goes on has declared when it was made.
    pub(crate) fn keep_facts(&self, of: &Facts) {
        let mut all = lock(&self.facts);
        if let Some(known) = all.iter_mut().find(|known| known.stage == of.stage) {
            known.facts.clone_from(&of.facts);
        }
    }

    fn declare(&self, stage: &str, name: &str, value: &str) {
        let mut all = lock(&self.facts);
        let Some(of) = all.iter_mut().find(|facts| facts.stage == stage) else { return };
        match of.facts.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => of.facts.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The lines that stages want the user to see at the end, in the order they came, each
    /// once.
    pub fn suggestions(&self) -> Vec<String> {
        lock(&self.suggestions).clone()
    }
}

/// The counters and the drop reasons of one chain, on one worker or one sink's thread.
///
/// Only making a stage takes the lock; counting goes straight to the counter.
///
/// A chain that takes the place of another counts on where that one was: what has the same label
/// has the same counters, the same numbers of reasons and the same meter.
#[derive(Default)]
pub struct Board {
    counters: Mutex<Vec<(String, String, Counter)>>,
    reasons: Mutex<Vec<(String, String)>>,
    meters: Mutex<Vec<(String, Meter)>>,
    troubles: Mutex<Vec<Trouble>>,
}

/// A stage that has failed.
struct Trouble {
    stage: String,
    why: String,
    /// The chain goes on without it.
    bypassed: bool,
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

    /// The meter of a stage.
    pub(crate) fn meter(&self, stage: &str) -> Meter {
        let mut meters = lock(&self.meters);
        if let Some((_, meter)) = meters.iter().find(|(known, _)| known == stage) {
            return meter.clone();
        }
        let meter = Meter::default();
        meters.push((stage.to_owned(), meter.clone()));
        meter
    }

    /// What passed each stage so far, and why those failed that did; also those that a reload has
    /// taken out.
    pub(crate) fn stages(&self) -> Vec<StageTally> {
        let troubles = lock(&self.troubles);
        let tally = |(label, meter): &(String, Meter)| {
            let trouble = troubles.iter().find(|trouble| trouble.stage == *label);
            StageTally {
                bypassed: trouble.map_or(0, |trouble| trouble.bypassed.into()),
                error: trouble.map(|trouble| trouble.why.clone()),
                ..meter.tally(label)
            }
        };
        lock(&self.meters).iter().map(tally).collect()
    }

    /// A stage has failed. What it says later, it says because of that.
    pub(crate) fn trouble(&self, stage: &str, error: &Error, on_error: OnError) {
        let mut troubles = lock(&self.troubles);
        if !troubles.iter().any(|known| known.stage == stage) {
            let (stage, why) = (stage.to_owned(), error.to_string());
            troubles.push(Trouble { stage, why, bypassed: on_error == OnError::Bypass });
        }
    }

    /// A stage, which may have failed, is in the chain no more.
    pub(crate) fn no_trouble(&self, stage: &str) {
        lock(&self.troubles).retain(|known| known.stage != stage);
    }

    /// Whether this stage has failed.
    pub(crate) fn is_in_trouble(&self, stage: &str) -> bool {
        lock(&self.troubles).iter().any(|known| known.stage == stage)
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
    let mut facts = lock(&run.facts);
    // The first chain of a run is made on one thread, so this is the order of the config.
    if !facts.iter().any(|known| known.stage == stage) {
        facts.push(Facts { stage: stage.to_owned(), facts: Vec::new() });
    }
    drop(facts);
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

    fn ephemeral_key(&self, label: &str, key: &mut Key) -> bool {
        let secret = lock(&self.run.secret);
        let Some(secret) = &*secret else { return false };
        *key = key::derive(secret, label);
        true
    }

    fn epoch(&self) -> Option<Epoch> {
        self.run.epoch
    }

    fn is_replay(&self) -> bool {
        !self.run.is_live.load(Relaxed)
    }

    fn declare(&self, name: &str, value: &str) {
        self.run.declare(&self.stage, name, value);
    }

    fn suggest(&self, text: &str) {
        let mut lines = lock(&self.run.suggestions);
        if !lines.iter().any(|line| line == text) {
            lines.push(text.to_owned());
        }
    }

    fn ledger(&self) -> String {
        serde_json::to_string(&self.run.books.account(&self.stage)).unwrap_or_default()
    }

    fn manifest(&self, began: &str, rows: u64, first: i64, last: i64) -> String {
        // A span whose rows have an id of their own puts it in front.
        let (id, began) = began.split_once('\n').unwrap_or(("", began));
        let Some(manifest) = self.run.manifests.get(id) else { return String::new() };
        // What cannot be read is not ours; the span is then all of the run.
        let began = serde_json::from_str(began).unwrap_or_default();
        let now = self.run.books.account(&self.stage);
        manifest.of_file(now, &began, &Rows { rows, first, last })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;

    fn hosts(run: &Arc<Run>, labels: &[&str]) -> Vec<Host> {
        let board = Arc::new(Board::default());
        labels.iter().map(|label| host(run, &board, label, None)).collect()
    }

    #[test]
    fn facts_come_in_the_order_of_the_config() {
        let run = Arc::new(Run::new(None).expect("there is randomness"));
        let chain = hosts(&run, &["exclude", "decode", "crypto_pan", "crypto_pan_2", "jsonl"]);
        // Declared late and again, and by another worker.
        chain[3].declare("key", "file");
        chain[0].declare("prefixes", 3);
        chain[0].declare("addresses_v4", 256);
        hosts(&run, &["crypto_pan", "exclude"])[1].declare("prefixes", 4);
        let facts: Vec<_> = run
            .facts()
            .into_iter()
            .flat_map(|of| {
                of.facts.into_iter().map(move |(name, value)| (of.stage.clone(), name, value))
            })
            .collect();
        let expected = [
            ("exclude", "prefixes", "4"),
            ("exclude", "addresses_v4", "256"),
            ("crypto_pan_2", "key", "file"),
        ];
        assert_eq!(facts, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }

    #[test]
    fn ephemeral_keys_are_those_of_the_run_and_end_with_its_start() {
        let [run, other] = [(); 2].map(|()| Arc::new(Run::new(None).expect("there is randomness")));
        let key =
            |run: &Arc<Run>, stage: &str, label: &str| hosts(run, &[stage])[0].ephemeral_key(label);
        assert_eq!(key(&run, "a", "x"), key(&run, "b", "x"), "two workers");
        assert_ne!(key(&run, "a", "x"), key(&run, "a", "y"), "two labels");
        assert_ne!(key(&run, "a", "x"), key(&other, "a", "x"), "two runs");
        run.forget_secret();
        let late = std::panic::catch_unwind(AssertUnwindSafe(|| key(&run, "a", "x")));
        assert!(late.is_err(), "a key came out of nothing");
    }

    #[test]
    fn a_stage_knows_whether_packets_are_live_and_how_often_keys_change() {
        let run = Arc::new(Run::new(Some(Epoch::Week)).expect("there is randomness"));
        let host = &hosts(&run, &["a"])[0];
        assert_eq!((host.epoch(), host.is_replay()), (Some(Epoch::Week), true));
        run.goes_live();
        assert!(!host.is_replay());
    }
}
