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
mod change;
mod circuit;
mod dead;
mod delivery;
mod outlet;
mod post;
mod running;
mod spill;
mod stamp;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ringmill_sdk::{Counter, Timestamp};

use crate::{
    chain::{Blueprint, BuildError},
    config::{SinkEntry, WhenFull},
    host::Run,
};
use outlet::Share;
pub use outlet::SinkOutlet;
use running::{Closing, Running};
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
    /// Rows that left the chain while it was one of the sinks.
    pub rows: u64,
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
    /// The number of the reload that ended it; of several of one label that of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
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

    /// Enters what the workers have handed to it.
    fn count(&mut self, shares: &[Share]) {
        self.rows = shares.iter().map(|share| share.rows.value()).sum();
        let queue_full: u64 = shares.iter().map(|share| share.queue_full.value()).sum();
        if queue_full > 0 {
            *self.dropped.entry("queue_full").or_default() += queue_full;
        }
    }

    /// Adds what another one of its label had done before it was ended.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.recovered += other.recovered;
        self.acknowledged += other.acknowledged;
        self.spilled += other.spilled;
        self.through_spill += other.through_spill;
        self.retries += other.retries;
        self.circuit_opened += other.circuit_opened;
        for (reason, rows) in &other.dropped {
            *self.dropped.entry(reason).or_default() += rows;
        }
        for (reason, rows) in &other.dead_lettered {
            *self.dead_lettered.entry(reason).or_default() += rows;
        }
        for (name, count) in &other.counters {
            match self.counters.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += count,
                None => self.counters.push((name.clone(), *count)),
            }
        }
        if self.error.is_none() {
            self.error.clone_from(&other.error);
        }
        self.ended = self.ended.max(other.ended);
    }
}

/// What the sinks of a run have in common.
#[derive(Clone, Debug)]
pub struct Terrain {
    /// Set by whoever ends the run; by us when the last sink has failed.
    pub stop: Arc<AtomicBool>,
    /// How many workers hand records to them.
    pub workers: usize,
    /// Whether columns may be as they were on the wire.
    pub may_identify: bool,
    /// What a sink that is no store does to a worker when its queue is full, unless the config
    /// says.
    pub when_full: WhenFull,
    /// The packets are old, so that nothing is lost by waiting.
    pub replay: bool,
    /// Where spill logs and dead letters go.
    pub spill: Option<PathBuf>,
    /// What is put onto every row.
    pub stamp: Stamp,
}

/// The sinks of a run.
pub struct Sinks {
    running: Vec<Running>,
    terrain: Terrain,
    /// Those that have not failed.
    alive: Arc<AtomicUsize>,
}

impl Sinks {
    /// Starts the threads of each sink and waits until all are made.
    ///
    /// # Errors
    /// What a sink's `new` returned, or that its spill directory cannot be used.
    pub fn start(
        blueprint: &Blueprint,
        run: &Arc<Run>,
        terrain: Terrain,
    ) -> Result<Self, BuildError> {
        let number = blueprint.sinks().count();
        let mut sinks =
            Self { running: Vec::new(), terrain, alive: Arc::new(AtomicUsize::new(number)) };
        let terrain = &sinks.terrain;
        tell_of_orphans(blueprint, terrain);
        for index in 0..number {
            let mut sink = Running::new(blueprint, index, terrain);
            sink.start(blueprint, run, terrain, &sinks.alive)?;
            sinks.running.push(sink);
        }
        run.books.sinks(sinks.windows());
        Ok(sinks)
    }

    /// Where each of them shows how it does.
    fn windows(&self) -> Vec<Arc<Window>> {
        self.running.iter().map(|sink| Arc::clone(&sink.window)).collect()
    }

    /// A worker's way to all sinks; `left` counts the rows that go there.
    pub fn outlet(&self, worker: usize, left: &Counter) -> SinkOutlet {
        let gates = self.running.iter().map(|sink| sink.gate(worker)).collect();
        let (may_identify, stamp) = (self.terrain.may_identify, self.terrain.stamp.clone());
        SinkOutlet { gates, left: left.clone(), may_identify, stamp, passed: Vec::new() }
    }

    /// Lets the sinks write what is queued and waits for them. Every outlet must be gone.
    pub fn join(self) -> Vec<SinkTally> {
        // All of them, before any is waited for.
        let sinks: Vec<_> = self.running.into_iter().map(Running::close).collect();
        sinks.into_iter().map(Closing::join).collect()
    }
}

/// What happens to a batch that finds the queue of this sink full.
pub fn when_full(entry: &SinkEntry, network: bool, otherwise: WhenFull) -> WhenFull {
    entry.when_full.unwrap_or(if network { WhenFull::Spill } else { otherwise })
}

/// Says which rows lie in the spill directory for sinks that the config does not have, or that
/// do not spill any more. They are kept.
fn tell_of_orphans(blueprint: &Blueprint, terrain: &Terrain) {
    let Some(directory) = &terrain.spill else { return };
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

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
