//! The ledger: every packet and every row is accounted for, and the sums must balance.
//!
//! ```text
//! packets found in the inputs = received + kept out by the filter
//! wire = dropped by the NIC + dropped by rings + kept out by the filter + received
//!                                                                        (live)
//! put into a ring = kept out by the filter + taken by its worker         (live)
//! received = passed + dropped, by stage and reason
//! rows that left the chain + recovered from the spill of earlier runs
//!     = acknowledged + spilled + dropped + dead-lettered                (for each sink)
//! ```
//!
//! Over a reload the stages of one label are one, and so are the sinks of one label that have ended;
//! a sink's rows are those that left the chain while it was there.

mod books;
mod cost;
pub(crate) mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

pub(crate) use books::Rings;
pub use books::{Account, Books};
pub use cost::Cost;
use crossbeam_utils::CachePadded;
use ringmill_sdk::{Batch, Timestamp};
use serde::Serialize;

use crate::{
    capture::{
        InputReport,
        live::{RingReport, watch::InterfaceReport},
    },
    sinks::SinkTally,
};

/// What one worker counts while it runs; a progress bar and the manifests of files read it from
/// outside.
#[derive(Debug)]
pub struct Live {
    /// Packets received.
    pub packets: AtomicU64,
    /// Their bytes on the wire.
    pub bytes: AtomicU64,
    /// Times that the source was asked for packets, and of these that it had some.
    pub(crate) polls: AtomicU64,
    pub(crate) busy_polls: AtomicU64,
    /// Where the worker is: n + 1 in the chain's stage n, or one of the places below.
    pub(crate) place: AtomicUsize,
    /// The worker's thread, once it runs; 0 before.
    pub(crate) thread: AtomicI32,
    /// Packets that found no place in its rings and that no card counts, as of the last second.
    pub(crate) lost: AtomicU64,
    last: AtomicI64,
    verdicts: [AtomicU64; 256],
    /// The stage that failed, and the packets that were in the chain then.
    failed: OnceLock<(String, u64)>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            busy_polls: AtomicU64::new(0),
            place: AtomicUsize::new(Self::AT_SOURCE),
            thread: AtomicI32::new(0),
            lost: AtomicU64::new(0),
            last: AtomicI64::new(0),
            verdicts: [const { AtomicU64::new(0) }; 256],
            failed: OnceLock::new(),
        }
    }
}

impl Live {
    /// It has not begun, or asks its source for packets.
    pub(crate) const AT_SOURCE: usize = 0;
    /// It hands records to the sinks.
    pub(crate) const AT_SINKS: usize = usize::MAX - 1;
    /// It has ended.
    pub(crate) const ENDED: usize = usize::MAX;

    /// Says where the worker is; a store, which only the worker makes.
    #[inline]
    pub(crate) fn enter(&self, place: usize) {
        self.place.store(place, Relaxed);
    }

    /// The counts so far, with the reasons' names.
    pub(crate) fn tally(&self, reasons: &[(String, String)]) -> WorkerTally {
        let [passed, verdicts @ ..] = &self.verdicts;
        let passed = passed.load(Relaxed);
        let mut dropped: Drops = BTreeMap::new();
        for (count, (stage, reason)) in verdicts.iter().zip(reasons) {
            let count = count.load(Relaxed);
            if count > 0 {
                *dropped.entry(stage.clone()).or_default().entry(reason.clone()).or_default() +=
                    count;
            }
        }
        if let Some((stage, count)) = self.failed.get().filter(|(_, count)| *count > 0) {
            dropped.entry(stage.clone()).or_default().insert("stage_failed".to_owned(), *count);
        }
        WorkerTally {
            passed,
            busy_polls: self.busy_polls.load(Relaxed),
            polls: self.polls.load(Relaxed),
            // Read after the verdicts and counted before them: of a worker that runs, no more
            // have passed or were dropped than were received.
            received: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped,
        }
    }
}

/// A worker's counts of packets.
#[derive(Debug)]
pub struct Tally {
    /// On cache lines of the worker's own; written by plain loads and stores.
    live: Arc<CachePadded<Live>>,
}

impl Tally {
    /// Counts into `live`.
    pub fn new(live: Arc<CachePadded<Live>>) -> Self {
        Self { live }
    }

    /// The source is about to be asked for packets.
    #[inline]
    pub(crate) fn asks(&self) {
        self.live.enter(Live::AT_SOURCE);
    }

    /// Counts a batch that the source gave.
    #[inline]
    pub(crate) fn received(&self, batch: &Batch<'_>) {
        let Live { packets: count, bytes: sum, last: time, polls, busy_polls, .. } = &**self.live;
        polls.store(polls.load(Relaxed) + 1, Relaxed);
        let Some(last) = batch.all().last() else { return };
        let bytes: u64 = batch.all().iter().map(|packet| u64::from(packet.wire_len())).sum();
        busy_polls.store(busy_polls.load(Relaxed) + 1, Relaxed);
        count.store(count.load(Relaxed) + batch.all().len() as u64, Relaxed);
        sum.store(sum.load(Relaxed) + bytes, Relaxed);
        time.store(last.time().0, Relaxed);
    }

    /// Counts what the chain decided.
    #[inline]
    pub(crate) fn verdicts(&self, batch: &Batch<'_>) {
        for packet in batch.all() {
            let count = &self.live.verdicts[usize::from(packet.verdict())];
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
    }

    /// Counts a batch in which a stage failed: what was not dropped before did not pass.
    #[cold]
    pub(crate) fn failed(&self, batch: &Batch<'_>, stage: &str) {
        let mut failed = 0;
        for packet in batch.all() {
            match packet.verdict() {
                0 => failed += 1,
                verdict => {
                    let count = &self.live.verdicts[usize::from(verdict)];
                    count.store(count.load(Relaxed) + 1, Relaxed);
                }
            }
        }
        // A worker ends with its first failure.
        let _ = self.live.failed.set((stage.to_owned(), failed));
    }

    /// So many packets have found no place in the worker's rings.
    pub(crate) fn lost(&self, packets: u64) {
        self.live.lost.store(packets, Relaxed);
    }

    /// The time of the newest packet.
    pub(crate) fn last_packet(&self) -> Timestamp {
        Timestamp(self.live.last.load(Relaxed))
    }

    /// The counts, with the reasons' names.
    pub(crate) fn finish(&self, reasons: &[(String, String)]) -> WorkerTally {
        self.live.tally(reasons)
    }
}

/// Packets by stage and reason.
pub type Drops = BTreeMap<String, BTreeMap<String, u64>>;

/// What became of one worker's packets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerTally {
    /// Packets the source gave.
    pub received: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets that passed all stages.
    pub passed: u64,
    /// Packets that a stage dropped.
    pub dropped: Drops,
    /// Times that the source was asked for packets.
    pub polls: u64,
    /// Times of these that it had some.
    pub busy_polls: u64,
}

/// What one stage did, in all workers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageTally {
    /// The stage's label.
    pub stage: String,
    /// Rows it was given.
    pub rows_in: u64,
    /// Rows it emitted.
    pub rows_out: u64,
    /// Rows that were lost in it: it failed when it was given them.
    pub rows_failed: u64,
    /// Its own counters.
    pub counters: Vec<(String, u64)>,
    /// What it cost.
    pub cost: Cost,
    /// Workers that go on without it, because it failed and `on_error` is `bypass`.
    #[serde(skip_serializing_if = "is_zero")]
    pub bypassed: u64,
    /// Why it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The number of the reload that took it out of the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of the requests to read the config again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloads {
    /// Times that it was, and took effect.
    pub done: u64,
    /// When the last was, in nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// The longest that a worker took no packets for one, in nanoseconds.
    pub longest_pause: u64,
    /// Times that what the file said was refused.
    pub refused: u64,
    /// When that was last, in nanoseconds since 1970, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refused: Option<(i64, String)>,
}

impl Reloads {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The books of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// What became of each input.
    pub inputs: Vec<InputReport>,
    /// For live capture: what became of each interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceReport>,
    /// For live capture: what each ring counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<RingReport>,
    /// Each worker's packets.
    pub workers: Vec<WorkerTally>,
    /// Each stage, in order.
    pub stages: Vec<StageTally>,
    /// Rows that left the chain.
    pub rows: u64,
    /// What became of them at each sink.
    pub sinks: Vec<SinkTally>,
    /// How often the config was read again.
    #[serde(skip_serializing_if = "Reloads::is_none")]
    pub reloads: Reloads,
    /// The run was ended before its inputs were.
    pub stopped: bool,
    /// What does not balance; empty in a good ledger.
    pub imbalances: Vec<String>,
}

impl Ledger {
    /// Adds up what the parts of the run report, and checks the sums.
    pub(crate) fn close(
        mut self,
        slots: Vec<Vec<StageTally>>,
        counters: &[Counters],
        books: &Books,
    ) -> Self {
        self.stages = merge(slots, counters);
        books.arrange(&mut self.stages);
        self.reloads = books.reloads();
        self.settle();
        self.imbalances = self.check();
        self
    }

    /// Works out what each stage cost for a packet.
    fn settle(&mut self) {
        let received = self.received();
        self.stages.iter_mut().for_each(|stage| stage.cost.settle(received));
    }

    /// Takes off the interfaces what their drivers count that a ring has dropped.
    pub(crate) fn without_double_counts(&mut self) {
        for ring in self.rings.iter().filter(|ring| ring.counted_by_driver) {
            let mut interfaces = self.interfaces.iter_mut();
            if let Some(interface) = interfaces.find(|interface| interface.name == ring.interface) {
                interface.without(ring.lost());
            }
        }
    }

    /// What each stage cost, as a table to be printed.
    pub fn profile(&self) -> String {
        cost::Profile(self).to_string()
    }

    /// Packets received by all workers.
    pub fn received(&self) -> u64 {
        self.workers.iter().map(|worker| worker.received).sum()
    }

    /// Packets that the network cards dropped, by their own counters.
    pub fn dropped_by_nics(&self) -> u64 {
        self.interfaces.iter().flat_map(|interface| interface.nic_dropped.values()).sum()
    }

    /// Packets that found no place in a ring.
    pub fn dropped_by_rings(&self) -> u64 {
        self.rings.iter().map(RingReport::lost).sum()
    }

    /// Packets found in the inputs.
    pub fn found(&self) -> u64 {
        self.inputs.iter().map(|input| input.packets).sum()
    }

    /// Packets found in the inputs that the filter kept out.
    pub fn filtered(&self) -> u64 {
        self.inputs.iter().map(|input| input.filtered).sum()
    }

    /// Packets that passed all stages.
    pub fn passed(&self) -> u64 {
        self.workers.iter().map(|worker| worker.passed).sum()
    }

    /// Packets dropped, by stage and reason.
    pub fn dropped(&self) -> Drops {
        let mut all: Drops = BTreeMap::new();
        for (stage, reasons) in self.workers.iter().flat_map(|worker| &worker.dropped) {
            for (reason, count) in reasons {
                *all.entry(stage.clone()).or_default().entry(reason.clone()).or_default() += count;
            }
        }
        all
    }

    /// Every sum that does not come out.
    fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let found = self.found();
        let (received, filtered) = (self.received(), self.filtered());
        if !self.inputs.is_empty() && found != received + filtered {
            wrong.push(format!(
                "{found} packets were found, but {received} received and {filtered} kept out by \
                 the filter"
            ));
        }
        let taken: u64 = self.rings.iter().map(|ring| ring.taken).sum();
        if !self.rings.is_empty() && taken != received {
            wrong.push(format!("{taken} packets were taken from rings, but {received} received"));
        }
        wrong.extend(self.rings.iter().filter_map(RingReport::imbalance));
        for (number, worker) in self.workers.iter().enumerate() {
            let dropped: u64 = worker.dropped.values().flat_map(BTreeMap::values).sum();
            if worker.received != worker.passed + dropped {
                wrong.push(format!(
                    "worker {number} received {} packets, but {} passed and {dropped} were dropped",
                    worker.received, worker.passed
                ));
            }
        }
        for sink in &self.sinks {
            let dropped = sink.dropped();
            let dead = sink.dead_lettered();
            if sink.rows + sink.recovered != sink.acknowledged + sink.spilled + dropped + dead {
                wrong.push(format!(
                    "{} rows left the chain and {} were recovered, but sink `{}` acknowledged {}, \
                     {} are spilled, {dropped} dropped and {dead} dead-lettered",
                    sink.rows, sink.recovered, sink.sink, sink.acknowledged, sink.spilled
                ));
            }
        }
        wrong
    }
}

/// Stage, name and value of one worker's counters.
pub(crate) type Counters = Vec<(String, String, u64)>;

fn merge(slots: Vec<Vec<StageTally>>, counters: &[Counters]) -> Vec<StageTally> {
    let mut stages: Vec<StageTally> = Vec::new();
    for slot in slots.into_iter().flatten() {
        let stage = match stages.iter_mut().find(|stage| stage.stage == slot.stage) {
            Some(stage) => stage,
            None => {
                stages.push(slot);
                continue;
            }
        };
        stage.rows_in += slot.rows_in;
        stage.rows_out += slot.rows_out;
        stage.rows_failed += slot.rows_failed;
        stage.cost.add(&slot.cost);
        stage.bypassed += slot.bypassed;
        stage.error = stage.error.take().or(slot.error);
    }
    for (label, name, value) in counters.iter().flatten() {
        let Some(stage) = stages.iter_mut().find(|stage| stage.stage == *label) else { continue };
        match stage.counters.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => stage.counters.push((name.clone(), *value)),
        }
    }
    stages
}
