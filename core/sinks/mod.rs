//! The way of the records from the workers to the sinks.
//!
//! Every sink gets every record batch; Arrow batches are shared, so handing one to five sinks
//! copies nothing. A sink that is slow, away or broken holds up neither the capture nor another
//! sink, and each row is accounted for:
//!
//! ```text
//! worker --queue--> post (decides) <--request, reply--> the thread that is in the sink's calls
//!                     |-- spill log    what the store could not take yet
//!                     '-- dead letters what it refused for good
//! ```
//!
//! The author of a sink gets all of it for two answers: what its `flush` acknowledges, and the
//! kind of its errors.

mod backlog;
mod circuit;
mod dead;
mod delivery;
mod post;
mod spill;
mod stamp;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use crossbeam_channel::{Sender, TrySendError, bounded};
use ringmill_sdk::{Counter, Error, Timestamp, schema};

use crate::{
    chain::{Blueprint, BuildError, Outlet},
    config::{SinkEntry, WhenFull},
    host::{Board, Run},
    plan, service,
};
use backlog::Backlog;
use circuit::Circuit;
use dead::DeadLetters;
use delivery::{Delivery, Terms};
use post::Post;
use spill::{Limits, Spill};
pub use stamp::{Stamp, stamped};
pub use window::Look;
pub(crate) use window::Window;

/// What became of the rows that were meant for one sink.
///
/// ```text
/// rows that left the chain + recovered = acknowledged + spilled + dropped + dead-lettered
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SinkTally {
    /// The sink's label.
    pub sink: String,
    /// Rows that earlier runs left in its spill log.
    pub recovered: u64,
    /// Rows that it made safe.
    pub acknowledged: u64,
    /// Rows that lie in its spill log at the end.
    pub spilled: u64,
    /// Rows that it did not get or keep, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Rows that it refused and that were put aside, by reason.
    pub dead_lettered: BTreeMap<&'static str, u64>,
    /// Rows of this run that went through its spill log.
    pub through_spill: u64,
    /// Calls that failed and were made again.
    pub retries: u64,
    /// Times that it counted as away.
    pub circuit_opened: u64,
    /// The sink's own counters.
    pub counters: Vec<(String, u64)>,
    /// What went wrong first.
    pub error: Option<String>,
}

impl SinkTally {
    /// Rows that were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Rows that were put aside, for whatever reason.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.values().sum()
    }
}

/// What the sinks of a run have in common.
#[derive(Clone, Debug)]
pub struct Terrain<'a> {
    /// Set by whoever ends the run; by us when the last sink has failed.
    pub stop: &'a Arc<AtomicBool>,
    /// Whether columns may be as they were on the wire.
    pub may_identify: bool,
    /// What a sink that is no store does to a worker when its queue is full, unless the config
    /// says.
    pub when_full: WhenFull,
    /// The packets are old, so that nothing is lost by waiting.
    pub replay: bool,
    /// Where spill logs and dead letters go.
    pub spill: Option<&'a Path>,
    /// What is put onto every row.
    pub stamp: Stamp,
}

/// The sinks of a run.
pub struct Sinks {
    threads: Vec<JoinHandle<SinkTally>>,
    gates: Vec<Gate>,
    may_identify: bool,
    stamp: Stamp,
}

/// A worker's end of one sink's queue.
#[derive(Clone)]
struct Gate {
    queue: Sender<RecordBatch>,
    /// The worker waits for room.
    waits: bool,
}

impl Sinks {
    /// Starts the threads of each sink and waits until all are made.
    ///
    /// # Errors
    /// What a sink's `new` returned, or that its spill directory cannot be used.
    pub fn start(
        blueprint: &Blueprint,
        run: &Arc<Run>,
        terrain: &Terrain<'_>,
    ) -> Result<Self, BuildError> {
        let may_identify = terrain.may_identify;
        let stamp = terrain.stamp.clone();
        let mut sinks = Self { threads: Vec::new(), gates: Vec::new(), may_identify, stamp };
        let alive = Arc::new(AtomicUsize::new(blueprint.sinks().count()));
        let labels = blueprint.sink_labels();
        tell_of_orphans(blueprint, terrain);
        for (index, label) in labels.into_iter().enumerate() {
            let (gate, thread) = start(blueprint, run, terrain, index, label, &alive)?;
            sinks.gates.push(gate);
            sinks.threads.push(thread);
        }
        Ok(sinks)
    }

    /// A worker's way to all sinks.
    pub fn outlet(&self) -> SinkOutlet {
        let queue_full = self.gates.iter().map(|_| Counter::default()).collect();
        let gates = self.gates.clone();
        let left = Left { rows: Counter::default(), queue_full };
        let (may_identify, stamp) = (self.may_identify, self.stamp.clone());
        SinkOutlet { gates, left, may_identify, stamp, passed: Vec::new() }
    }

    /// Lets the sinks write what is queued and waits for them. Every outlet must be gone.
    pub fn join(self) -> Vec<SinkTally> {
        drop(self.gates);
        let join = |thread: JoinHandle<SinkTally>| {
            thread.join().unwrap_or_else(|_| SinkTally {
                error: Some("the sink's thread panicked; this is a bug in the engine".to_owned()),
                ..SinkTally::default()
            })
        };
        self.threads.into_iter().map(join).collect()
    }
}

/// What a store keeps in memory until it is acknowledged, in bytes: of one that is flushed all
/// the time, and of another, for which a flush may mean a file.
const WINDOW: (usize, usize) = (16 << 20, 64 << 20);
/// How long at most until it is flushed.
const FLUSH_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the end of a run waits for a file that does not get on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the two threads of a sink.
fn start(
    blueprint: &Blueprint,
    run: &Arc<Run>,
    terrain: &Terrain<'_>,
    index: usize,
    label: String,
    alive: &Arc<AtomicUsize>,
) -> Result<(Gate, JoinHandle<SinkTally>), BuildError> {
    let (entry, network) = blueprint.sink(index);
    let failed = |error| BuildError { plugged: Box::new(entry.plugged.clone()), error };
    let when_full = when_full(entry, network, terrain.when_full);
    let mut spill = None;
    let mut dead = None;
    if let Some(directory) = terrain.spill.map(|spill| spill.join(&label)) {
        let bytes = entry.spill_mib << 20;
        if when_full == WhenFull::Spill {
            let limits = Limits { bytes, drop_oldest: entry.spill_drops_oldest };
            spill = Some(Spill::open(&directory, limits).map_err(failed)?);
        }
        dead = Some(DeadLetters::new(directory.join("dead"), bytes));
    }
    let store = network || when_full == WhenFull::Spill;
    let pick = |(eager, other)| if network { eager } else { other };
    let kept = backlog::Window {
        // What a file has taken it keeps itself.
        batches: if store { entry.queue } else { 1 },
        bytes: if network { WINDOW.0 } else { WINDOW.1 },
        may_identify: terrain.may_identify,
    };
    let (flush_after, replay) = (pick(FLUSH_AFTER), terrain.replay);
    let terms = Terms { store, eager: network, flush_after, replay };
    let circuit = Circuit::new(entry.retries, Duration::from_secs(entry.retry_seconds));
    let delivery = Delivery::new(
        terms,
        circuit,
        Backlog::new(label.clone(), kept, spill, dead),
        Instant::now(),
    );

    let (made, ready) = bounded(1);
    let (requests, orders) = bounded(1);
    let (answers, replies) = bounded(1);
    let board = Arc::new(Board::default());
    let remake = {
        let (blueprint, run, board) = (blueprint.clone(), Arc::clone(run), Arc::clone(&board));
        move || blueprint.build_sink(index, &run, &board)
    };
    let body = move || {
        service::renounce();
        match remake() {
            Ok(sink) => {
                // The receiver waits for exactly this.
                let _ = made.send(Ok(()));
                post::serve(sink, || remake().map_err(|failed| failed.error), &orders, &answers);
            }
            Err(error) => {
                let _ = made.send(Err(error));
            }
        }
    };
    let spawn_failed =
        |error| failed(Error::from(error).while_doing("its thread could not be started"));
    let named = |name: &str| thread::Builder::new().name(format!("{name}-{index}"));
    let calls = named("sink").spawn(body).map_err(spawn_failed)?;
    // A thread that ends without a word has panicked; the post will tell.
    ready.recv().unwrap_or(Ok(()))?;

    let window = Arc::new(Window::new(label, entry.queue, Arc::clone(&board)));
    run.books.add_sink(Arc::clone(&window));
    let (queue, records) = bounded(entry.queue);
    let (stop, alive) = (Arc::clone(terrain.stop), Arc::clone(alive));
    let post = Post {
        delivery,
        queue: records,
        requests,
        replies,
        stop: Arc::clone(&stop),
        window,
        replay,
        patience: if store { Duration::from_secs(entry.drain_seconds) } else { PATIENCE },
        on_failure: move || {
            if alive.fetch_sub(1, Relaxed) == 1 {
                stop.store(true, Relaxed);
            }
        },
    };
    let body = move || {
        service::renounce();
        let (mut tally, hangs) = post.run();
        // A thread that hangs in a call goes with the process.
        if !hangs && calls.join().is_err() && tally.error.is_none() {
            tally.error = Some("the sink's thread panicked at its end".to_owned());
        }
        tally.counters = board.counters().into_iter().map(|(_, name, n)| (name, n)).collect();
        tally
    };
    let thread = named("post").spawn(body).map_err(spawn_failed)?;
    // For a spill the worker waits, if it can, for the disk, and in no case for the store.
    let waits = match when_full {
        WhenFull::Block => true,
        WhenFull::Spill => terrain.replay,
        WhenFull::Drop => false,
    };
    Ok((Gate { queue, waits }, thread))
}

/// What happens to a batch that finds the queue of this sink full.
pub fn when_full(entry: &SinkEntry, network: bool, otherwise: WhenFull) -> WhenFull {
    entry.when_full.unwrap_or(if network { WhenFull::Spill } else { otherwise })
}

/// Says which rows lie in the spill directory for sinks that the config does not have, or that
/// do not spill any more. They are kept.
fn tell_of_orphans(blueprint: &Blueprint, terrain: &Terrain<'_>) {
    let Some(directory) = terrain.spill else { return };
    let labels = blueprint.sink_labels();
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let index = labels.iter().position(|label| *label == name);
        let spills = index.is_some_and(|index| {
            let (entry, network) = blueprint.sink(index);
            when_full(entry, network, terrain.when_full) == WhenFull::Spill
        });
        if spills {
            continue;
        }
        match spill::rows_in(&entry.path()) {
            Ok(0) | Err(_) => {}
            Ok(rows) => tracing::warn!(
                "{rows} rows in `{}` are kept, but no sink `{name}` of this config spills",
                entry.path().display()
            ),
        }
    }
}

/// What left one worker's chain; anyone may read it while it runs.
#[derive(Clone, Debug)]
pub struct Left {
    /// Rows.
    pub rows: Counter,
    /// For each sink, rows that found its queue full and were dropped.
    pub queue_full: Vec<Counter>,
}

/// Where a worker's chain ends.
pub struct SinkOutlet {
    gates: Vec<Gate>,
    /// What went out.
    pub left: Left,
    may_identify: bool,
    stamp: Stamp,
    /// Schemas that were looked at already, and as the sinks see them.
    passed: Vec<(SchemaRef, SchemaRef)>,
}

impl SinkOutlet {
    /// The schema with our own columns, after the gate once more, for what a stage emits without
    /// having announced it.
    fn check(&mut self, schema: &SchemaRef) -> Result<SchemaRef, Error> {
        if let Some((_, stamped)) = self.passed.iter().find(|(of, _)| Arc::ptr_eq(of, schema)) {
            return Ok(Arc::clone(stamped));
        }
        if let Some((column, _)) = plan::identifiable(schema).filter(|_| !self.may_identify) {
            return Err(Error::new(format!(
                "column `{column}` of `{}` left the chain as it was on the wire, although no \
                 stage had announced it; the rows were thrown away",
                schema::record_name(schema)
            )));
        }
        let stamped = self.stamp.schema(schema).map_err(|column| {
            Error::new(format!(
                "column `{column}` of `{}`, which no stage had announced, is called like one \
                 of the engine's own; the rows were thrown away",
                schema::record_name(schema)
            ))
        })?;
        if self.passed.len() == 64 {
            self.passed.clear();
        }
        self.passed.push((Arc::clone(schema), Arc::clone(&stamped)));
        Ok(stamped)
    }
}

impl Outlet for SinkOutlet {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        let rows = records.num_rows() as u64;
        if rows == 0 {
            return Ok(());
        }
        let schema = self.check(records.schema_ref())?;
        let records = self.stamp.put(records, schema)?;
        self.left.rows.add(rows);
        for (gate, queue_full) in self.gates.iter().zip(&self.left.queue_full) {
            let records = records.clone();
            let sent = match gate.waits {
                true => gate.queue.send(records).map_err(|_| ()),
                false => match gate.queue.try_send(records) {
                    Err(TrySendError::Full(_)) => {
                        queue_full.add(rows);
                        Ok(())
                    }
                    Err(TrySendError::Disconnected(_)) => Err(()),
                    Ok(()) => Ok(()),
                },
            };
            // A sink's thread drains its queue until every outlet is gone, even after the sink
            // has failed, so the queue cannot be closed while we hold our end.
            if sent.is_err() {
                return Err(Error::new("a sink's thread is gone; this is a bug in the engine"));
            }
        }
        Ok(())
    }
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
