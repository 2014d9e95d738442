//! The ledger while the run goes on: for the manifests of the files that are closed in it, and for
//! the status page.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use serde::{Deserialize, Serialize};

use super::{Counters, Drops, Ledger, Live, merge};
use crate::{
    capture::live::RingReport,
    chain::Meter,
    host::Board,
    sinks::{Left, Look, Window, now},
    supply::Supply,
};

/// The counters of all workers and network cards, to be read from any thread.
#[derive(Default)]
pub struct Books {
    workers: Mutex<Vec<Worker>>,
    supply: OnceLock<Arc<dyn Supply>>,
    sinks: Mutex<Vec<Arc<Window>>>,
}

/// What a worker's rings had counted at its last second. The worker never waits for it.
pub(crate) type Rings = Arc<Mutex<Vec<RingReport>>>;

struct Worker {
    number: usize,
    live: Arc<CachePadded<Live>>,
    board: Arc<Board>,
    stages: Vec<(String, Meter)>,
    left: Left,
    rings: Rings,
}

/// What had become of packets and rows at some time, or in between two times.
///
/// While the run goes on the workers count on, so that some packets are still in the chain; when
/// it has ended, received = passed + dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Nanoseconds since 1970 by the wall clock; of what is in between, its end.
    pub at: i64,
    /// Packets that the network cards and the rings dropped, as of the last second.
    pub lost: u64,
    /// Packets received.
    pub received: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets that passed all stages.
    pub passed: u64,
    /// Packets that a stage dropped.
    pub dropped: Drops,
    /// The rows of those stages that had any, in order.
    pub stages: Vec<StageRows>,
    /// Rows that left the chain.
    pub rows: u64,
    /// Rows of these that the sink did not get, because its queue was full.
    pub queue_full: u64,
}

/// The rows of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRows {
    /// Its label.
    pub stage: String,
    /// Rows it was given.
    pub rows_in: u64,
    /// Rows it emitted.
    pub rows_out: u64,
    /// Rows that were lost in it.
    pub rows_failed: u64,
}

impl Books {
    /// The packets will come from here.
    pub(crate) fn begin(&self, supply: Arc<dyn Supply>) {
        // A run begins once.
        let _ = self.supply.set(supply);
    }

    /// The counters of a worker that is about to begin.
    pub(crate) fn add(
        &self,
        number: usize,
        live: &Arc<CachePadded<Live>>,
        board: &Arc<Board>,
        stages: Vec<(String, Meter)>,
        left: &Left,
    ) -> Rings {
        let (live, board, left) = (Arc::clone(live), Arc::clone(board), left.clone());
        let rings = Rings::default();
        let mut workers = lock(&self.workers);
        let at = workers.partition_point(|worker| worker.number < number);
        let worker = Worker { number, live, board, stages, left, rings: Arc::clone(&rings) };
        workers.insert(at, worker);
        rings
    }

    /// What the next sink tells of itself.
    pub(crate) fn add_sink(&self, window: Arc<Window>) {
        lock(&self.sinks).push(window);
    }

    /// The label of a worker's stage number `at`.
    pub(crate) fn stage(&self, worker: usize, at: usize) -> Option<String> {
        let workers = lock(&self.workers);
        let worker = workers.iter().find(|known| known.number == worker)?;
        worker.stages.get(at).map(|(label, _)| label.clone())
    }

    /// The ledger as of now, without its inputs, and how each sink does. While the run goes on some
    /// packets are still in the chain and some rows on their way to a sink, and what can only be
    /// checked at the end is not.
    pub(crate) fn ledger(&self) -> (Ledger, Vec<Look>) {
        // In the order against the stream, so that nothing has come out that has not gone in.
        let mut looks: Vec<Look> = lock(&self.sinks).iter().map(|window| window.look()).collect();
        let (mut slots, mut counters) = (Vec::new(), Vec::new());
        let mut ledger = Ledger::default();
        for worker in &*lock(&self.workers) {
            ledger.rows += worker.left.rows.value();
            for (look, queue_full) in looks.iter_mut().zip(&worker.left.queue_full) {
                if queue_full.value() > 0 {
                    *look.tally.dropped.entry("queue_full").or_default() += queue_full.value();
                }
            }
            slots.push(worker.stages.iter().map(|(label, meter)| meter.tally(label)).collect());
            counters.push(worker.board.counters());
            ledger.workers.push(worker.live.tally(&worker.board.reasons()));
            ledger.rings.extend(lock(&worker.rings).iter().cloned());
        }
        ledger.sinks = looks.iter().map(|look| look.tally.clone()).collect();
        if let Some(supply) = self.supply.get() {
            ledger.interfaces = supply.interfaces();
            ledger.without_double_counts();
        }
        ledger.stages = merge(slots, &counters as &[Counters]);
        ledger.settle();
        (ledger, looks)
    }

    /// As of now; `sink` is the number of the one that asks.
    pub(crate) fn account(&self, sink: Option<usize>) -> Account {
        let lost = self.supply.get().map_or(0, |supply| supply.lost_by_nics());
        let mut sum = Account { at: now().0, lost, ..Account::default() };
        for worker in &*lock(&self.workers) {
            let tally = worker.live.tally(&worker.board.reasons());
            sum.lost += worker.live.lost.load(Relaxed);
            sum.received += tally.received;
            sum.bytes += tally.bytes;
            sum.passed += tally.passed;
            for (stage, reasons) in tally.dropped {
                let of_stage = sum.dropped.entry(stage).or_default();
                reasons
                    .into_iter()
                    .for_each(|(reason, n)| *of_stage.entry(reason).or_default() += n);
            }
            for (label, meter) in &worker.stages {
                let rows = meter.tally(label);
                let at = sum.stages.iter().position(|known| known.stage == *label);
                let at = at.unwrap_or_else(|| {
                    sum.stages.push(StageRows { stage: label.clone(), ..StageRows::default() });
                    sum.stages.len() - 1
                });
                sum.stages[at].rows_in += rows.rows_in;
                sum.stages[at].rows_out += rows.rows_out;
                sum.stages[at].rows_failed += rows.rows_failed;
            }
            sum.rows += worker.left.rows.value();
            sum.queue_full +=
                sink.and_then(|at| worker.left.queue_full.get(at)).map_or(0, |n| n.value());
        }
        sum.without_zeros()
    }
}

impl Account {
    /// What came between an earlier time and this one.
    pub(crate) fn since(&self, began: &Self) -> Self {
        let mut span = Self {
            at: self.at,
            lost: self.lost.saturating_sub(began.lost),
            received: self.received.saturating_sub(began.received),
            bytes: self.bytes.saturating_sub(began.bytes),
            passed: self.passed.saturating_sub(began.passed),
            rows: self.rows.saturating_sub(began.rows),
            queue_full: self.queue_full.saturating_sub(began.queue_full),
            dropped: self.dropped.clone(),
            stages: self.stages.clone(),
        };
        for (stage, reasons) in &mut span.dropped {
            let before = began.dropped.get(stage);
            for (reason, count) in reasons {
                let before = before.and_then(|reasons| reasons.get(reason)).copied();
                *count = count.saturating_sub(before.unwrap_or_default());
            }
        }
        for rows in &mut span.stages {
            let before = began.stages.iter().find(|before| before.stage == rows.stage);
            let Some(before) = before else { continue };
            rows.rows_in = rows.rows_in.saturating_sub(before.rows_in);
            rows.rows_out = rows.rows_out.saturating_sub(before.rows_out);
            rows.rows_failed = rows.rows_failed.saturating_sub(before.rows_failed);
        }
        span.without_zeros()
    }

    /// Packets dropped, for whatever reason.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.values().flat_map(|reasons| reasons.values()).sum()
    }

    fn without_zeros(mut self) -> Self {
        self.dropped.values_mut().for_each(|reasons| reasons.retain(|_, count| *count > 0));
        self.dropped.retain(|_, reasons| !reasons.is_empty());
        self.stages.retain(|rows| rows.rows_in + rows.rows_out + rows.rows_failed > 0);
        self
    }
}

/// The lock, also after a panic of another holder: the lists are whole between pushes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
