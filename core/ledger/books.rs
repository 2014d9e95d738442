//! The ledger while the run goes on: for the manifests of the files that are closed in it, and for
//! the status page.

use std::sync::{Arc, Mutex, OnceLock, atomic::Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use serde::{Deserialize, Serialize};

use ringmill_sdk::Counter;

use super::{Counters, Drops, Ledger, Live, Reloads, StageTally, merge};
use crate::{
    capture::live::RingReport,
    host::Board,
    lock::lock,
    service::Stuck,
    sinks::{Look, SinkTally, Window, now},
    supply::Supply,
};

/// The counters of all workers and network cards, to be read from any thread.
#[derive(Default)]
pub struct Books {
    workers: Mutex<Vec<Worker>>,
    supply: OnceLock<Arc<dyn Supply>>,
    sinks: Mutex<Shelf>,
    order: Mutex<Order>,
    reloads: Mutex<Reloads>,
    stuck: Mutex<Vec<Stuck>>,
}

/// The sinks.
#[derive(Default)]
struct Shelf {
    /// In the order of the config.
    running: Vec<Arc<Window>>,
    /// Those that a reload has taken out and that write what is left.
    closing: Vec<Arc<Window>>,
    /// What became of those before, by label.
    ended: Vec<SinkTally>,
}

/// The stages of the chain, in order.
#[derive(Default)]
struct Order {
    labels: Vec<String>,
    /// Of each that is in it no more, the reload that took it out.
    ended: Vec<(String, u64)>,
}

/// What a worker's rings had counted at its last second. The worker never waits for it.
pub(crate) type Rings = Arc<Mutex<Vec<RingReport>>>;

struct Worker {
    number: usize,
    live: Arc<CachePadded<Live>>,
    board: Arc<Board>,
    left: Counter,
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
        left: &Counter,
    ) -> Rings {
        let (live, board, left) = (Arc::clone(live), Arc::clone(board), left.clone());
        let rings = Rings::default();
        let mut workers = lock(&self.workers);
        let at = workers.partition_point(|worker| worker.number < number);
        let worker = Worker { number, live, board, left, rings: Arc::clone(&rings) };
        workers.insert(at, worker);
        rings
    }

    /// These are the sinks from now on; the others write what is left.
    pub(crate) fn sinks(&self, windows: Vec<Arc<Window>>) {
        let mut shelf = lock(&self.sinks);
        let before = std::mem::replace(&mut shelf.running, windows);
        let gone = |old: &Arc<Window>| !shelf.running.iter().any(|new| Arc::ptr_eq(old, new));
        let gone: Vec<_> = before.into_iter().filter(gone).collect();
        shelf.closing.extend(gone);
    }

    /// A sink that a reload has taken out has ended.
    pub(crate) fn sink_ended(&self, window: &Arc<Window>, tally: SinkTally) {
        let mut shelf = lock(&self.sinks);
        shelf.closing.retain(|closing| !Arc::ptr_eq(closing, window));
        match shelf.ended.iter_mut().find(|known| known.sink == tally.sink) {
            Some(known) => known.add(&tally),
            None => shelf.ended.push(tally),
        }
    }

    /// What became of the sinks that reloads have taken out.
    pub(crate) fn ended_sinks(&self) -> Vec<SinkTally> {
        lock(&self.sinks).ended.clone()
    }

    /// The chain has these stages from now on; `reload` is the number of the reload that made it.
    pub(crate) fn chain(&self, labels: Vec<String>, reload: u64) {
        let mut order = lock(&self.order);
        let before = std::mem::replace(&mut order.labels, labels);
        let Order { labels, ended } = &mut *order;
        ended.retain(|(label, _)| !labels.contains(label));
        ended.extend(
            before.into_iter().filter(|label| !labels.contains(label)).map(|it| (it, reload)),
        );
    }

    /// Puts stages into the order of the chain, those that are in it no more behind the others.
    pub(crate) fn arrange(&self, stages: &mut [StageTally]) {
        let order = lock(&self.order);
        let ended = |label: &str| order.ended.iter().position(|(known, _)| known == label);
        for stage in stages.iter_mut() {
            stage.ended = ended(&stage.stage).map(|at| order.ended[at].1);
        }
        stages.sort_by_key(|stage| {
            let at = order.labels.iter().position(|label| *label == stage.stage);
            at.map_or((1, ended(&stage.stage)), |at| (0, Some(at)))
        });
    }

    /// What became of the reloads so far.
    pub(crate) fn reloads(&self) -> Reloads {
        lock(&self.reloads).clone()
    }

    /// Writes down what became of one.
    pub(crate) fn reloaded(&self, enter: impl FnOnce(&mut Reloads)) {
        enter(&mut lock(&self.reloads));
    }

    /// The label of the chain's stage number `at`.
    pub(crate) fn stage(&self, at: usize) -> Option<String> {
        lock(&self.order).labels.get(at).cloned()
    }

    /// The workers that do not come back, as of the last look.
    pub(crate) fn stuck(&self) -> Vec<Stuck> {
        lock(&self.stuck).clone()
    }

    pub(crate) fn show_stuck(&self, stuck: Vec<Stuck>) {
        *lock(&self.stuck) = stuck;
    }

    /// The ledger as of now, without its inputs, and how each sink does. While the run goes on some
    /// packets are still in the chain and some rows on their way to a sink, and what can only be
    /// checked at the end is not.
    pub(crate) fn ledger(&self) -> (Ledger, Vec<Look>) {
        // In the order against the stream, so that nothing has come out that has not gone in.
        let looks = lock(&self.sinks).looks();
        let (mut slots, mut counters) = (Vec::new(), Vec::new());
        let mut ledger = Ledger::default();
        for worker in &*lock(&self.workers) {
            ledger.rows += worker.left.value();
            slots.push(worker.board.stages());
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
        self.arrange(&mut ledger.stages);
        ledger.reloads = self.reloads();
        ledger.settle();
        (ledger, looks)
    }

    /// As of now; `asks` is the label of the sink or stage that asks.
    pub(crate) fn account(&self, asks: &str) -> Account {
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
            for rows in worker.board.stages() {
                let at = sum.stages.iter().position(|known| known.stage == rows.stage);
                let at = at.unwrap_or_else(|| {
                    let stage = rows.stage.clone();
                    sum.stages.push(StageRows { stage, ..StageRows::default() });
                    sum.stages.len() - 1
                });
                sum.stages[at].rows_in += rows.rows_in;
                sum.stages[at].rows_out += rows.rows_out;
                sum.stages[at].rows_failed += rows.rows_failed;
            }
            sum.rows += worker.left.value();
        }
        let shelf = lock(&self.sinks);
        let mut own = shelf.running.iter().filter(|window| window.is_of(asks));
        sum.queue_full = own.next().map_or(0, |window| window.queue_full());
        drop(shelf);
        sum.without_zeros()
    }
}

impl Shelf {
    /// How each does, those that have ended last.
    fn looks(&self) -> Vec<Look> {
        let of = |tally: &SinkTally| Look { tally: tally.clone(), ..Look::default() };
        let mut past: Vec<Look> = self.ended.iter().map(of).collect();
        for window in &self.closing {
            let mut look = window.look();
            // The reload that ends it is not counted yet; any number marks it.
            look.tally.ended = Some(look.tally.ended.unwrap_or_default());
            match past.iter_mut().find(|known| known.tally.sink == look.tally.sink) {
                Some(known) => {
                    look.tally.add(&known.tally);
                    *known = look;
                }
                None => past.push(look),
            }
        }
        self.running.iter().map(|window| window.look()).chain(past).collect()
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
