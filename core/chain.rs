//! The chain of one worker: its stages, in order, and the way of the records through them.

use std::{sync::Arc, time::Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use crossbeam_utils::CachePadded;
use ringmill_sdk::{Batch, Counter, DynStage, Error, Factory, Output, Role, Timestamp};

use crate::{
    config::{Config, ConfigError, Plugged, SinkEntry},
    host::{self, Board, Run},
    ledger::{Cost, Live, StageTally},
    loader,
    registry::{Maker, Registry},
};

/// How every worker's chain and every sink is made; checked once, at start.
#[derive(Clone)]
pub struct Blueprint {
    stages: Vec<Entry>,
    sinks: Vec<(SinkEntry, Maker)>,
}

/// One stage of the blueprint.
#[derive(Clone)]
pub struct Entry {
    /// What the config says of it.
    pub plugged: Plugged,
    /// How it is made.
    pub maker: Maker,
    /// What is known of the plugin that it comes from.
    pub plugin: Option<loader::Facts>,
}

impl Blueprint {
    /// Finds every stage and sink that the config names, loading plugins; `linked` are those
    /// that the embedding program brings.
    ///
    /// # Errors
    /// With the place in the config.
    pub fn new(config: &Config, linked: &[Factory]) -> Result<Self, ConfigError> {
        let mut registry = Registry::new(linked);
        let mut stages = Vec::new();
        for plugged in &config.stages {
            let maker = registry.find(plugged, Role::Stage, &config.document)?;
            let plugin = plugged.plugin.as_ref().and_then(|path| registry.plugin(path));
            stages.push(Entry { plugged: plugged.clone(), maker, plugin: plugin.cloned() });
        }
        let mut sinks = Vec::new();
        for entry in &config.sinks {
            let maker = registry.find(&entry.plugged, Role::Sink, &config.document)?;
            sinks.push((entry.clone(), maker));
        }
        Ok(Self { stages, sinks })
    }

    /// The entries of the sinks.
    pub fn sinks(&self) -> impl Iterator<Item = &SinkEntry> {
        self.sinks.iter().map(|(entry, _)| entry)
    }

    /// The entry of the sink number `index`, and whether it sends to a store.
    pub fn sink(&self, index: usize) -> (&SinkEntry, bool) {
        let (entry, maker) = &self.sinks[index];
        (entry, maker.is_network())
    }

    /// What the chain's stages are called in the ledger: their name, numbered from the second
    /// of a name on.
    pub fn stage_labels(&self) -> Vec<String> {
        labels(self.stages.iter().map(|entry| entry.plugged.name.as_str()))
    }

    /// Each stage's label and entry, in order.
    pub fn stages(&self) -> impl Iterator<Item = (String, &Entry)> {
        self.stage_labels().into_iter().zip(&self.stages)
    }

    /// As [`stage_labels`](Self::stage_labels), for the sinks.
    pub fn sink_labels(&self) -> Vec<String> {
        labels(self.sinks.iter().map(|(entry, _)| entry.plugged.name.as_str()))
    }

    /// Every stage and sink with the options that it takes.
    pub(crate) fn options(
        &self,
    ) -> impl Iterator<Item = (Role, &Plugged, Vec<crate::manifest::Known>)> {
        let stages = self.stages.iter().map(|entry| (Role::Stage, &entry.plugged, &entry.maker));
        let sinks = self.sinks.iter().map(|(entry, maker)| (Role::Sink, &entry.plugged, maker));
        stages.chain(sinks).map(|(role, plugged, maker)| (role, plugged, maker.options()))
    }

    /// Makes a chain; to be called on the thread that will run it.
    ///
    /// # Errors
    /// What a stage's `new` returned, with the stage.
    pub fn build_chain(
        &self,
        run: &Arc<Run>,
        board: &Arc<Board>,
        worker: Option<usize>,
    ) -> Result<Chain, BuildError> {
        let mut slots = Vec::with_capacity(self.stages.len());
        for (label, Entry { plugged, maker, .. }) in self.stages() {
            let host = host::host(run, board, &label, worker);
            let stage = maker
                .build(&plugged.options, &host)
                .map_err(|error| BuildError { plugged: Box::new(plugged.clone()), error })?;
            slots.push(Slot { label, stage, meter: Meter::default() });
        }
        Ok(Chain {
            slots,
            emitted: Vec::new(),
            passing: Vec::new(),
            untimed: 0,
            live: Arc::default(),
        })
    }

    /// Makes the sink number `index`; to be called on the thread that will run it.
    ///
    /// # Errors
    /// What the sink's `new` returned.
    pub fn build_sink(
        &self,
        index: usize,
        run: &Arc<Run>,
        board: &Arc<Board>,
    ) -> Result<Box<dyn DynStage>, BuildError> {
        let (entry, maker) = &self.sinks[index];
        let host = host::host(run, board, &self.sink_labels()[index], None);
        maker
            .build(&entry.plugged.options, &host)
            .map_err(|error| BuildError { plugged: Box::new(entry.plugged.clone()), error })
    }
}

fn labels<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for name in names {
        let again = (2..).map(|n| format!("{name}_{n}"));
        let label = std::iter::once(name.to_owned()).chain(again).find(|l| !labels.contains(l));
        labels.extend(label);
    }
    labels
}

/// A stage could not be made.
#[derive(Debug)]
pub struct BuildError {
    /// Which one.
    pub plugged: Box<Plugged>,
    /// Why.
    pub error: Error,
}

impl BuildError {
    /// The error at its place in the config.
    pub fn at(&self, config: &Config) -> ConfigError {
        config.document.stage_error(&self.plugged.place, self.error.path(), self.error.message())
    }
}

/// A stage failed while it ran.
#[derive(Debug, thiserror::Error)]
#[error("stage `{stage}`: {error}")]
pub struct StageFailure {
    /// The stage's label.
    pub stage: String,
    /// What it returned.
    pub error: Error,
}

/// Where the records go that leave the chain.
pub trait Outlet {
    /// Takes one record batch.
    ///
    /// # Errors
    /// When the batch may not leave, with the reason.
    fn take(&mut self, records: RecordBatch) -> Result<(), Error>;
}

struct Slot {
    label: String,
    stage: Box<dyn DynStage>,
    meter: Meter,
}

/// The rows of one stage on one worker and the time that it took; anyone may read them while it
/// runs.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    given: Counter,
    emitted: Counter,
    failed: Counter,
    sampled_packets: Counter,
    sampled_ns: Counter,
    records_ns: Counter,
    ticks_ns: Counter,
}

impl Meter {
    /// As the ledger shows them.
    pub(crate) fn tally(&self, label: &str) -> StageTally {
        StageTally {
            stage: label.to_owned(),
            rows_in: self.given.value(),
            rows_out: self.emitted.value(),
            rows_failed: self.failed.value(),
            counters: Vec::new(),
            cost: Cost {
                sampled_packets: self.sampled_packets.value(),
                sampled_ns: self.sampled_ns.value(),
                records_ns: self.records_ns.value(),
                ticks_ns: self.ticks_ns.value(),
                ns_per_packet: 0.0,
            },
        }
    }
}

/// Reads a clock between the calls of stages.
struct Watch(Instant);

impl Watch {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Counts the nanoseconds since it was started or read.
    fn read(&mut self, into: &Counter) {
        let now = Instant::now();
        into.add(u64::try_from((now - self.0).as_nanos()).unwrap_or(u64::MAX));
        self.0 = now;
    }
}

/// Of so many batches of packets one is timed. A prime: what comes back every so many batches, such
/// as a full batch of records, is timed in its turn.
const TIMED: u32 = 61;

/// The stages of one worker.
pub struct Chain {
    slots: Vec<Slot>,
    /// What the stage that was just called has emitted; keeps its memory.
    emitted: Vec<RecordBatch>,
    /// What is on its way to the next stage; keeps its memory.
    passing: Vec<RecordBatch>,
    /// Batches of packets until one is timed.
    untimed: u32,
    /// Where others see which stage is at work.
    live: Arc<CachePadded<Live>>,
}

impl Chain {
    /// Tells others there which stage is at work.
    pub(crate) fn tells(&mut self, live: &Arc<CachePadded<Live>>) {
        self.live = Arc::clone(live);
    }

    /// Sends a batch of packets through the stages.
    ///
    /// # Errors
    /// The first stage that fails; the stages after it have not seen the batch.
    #[inline]
    pub fn packets(
        &mut self,
        batch: &mut Batch<'_>,
        outlet: &mut impl Outlet,
    ) -> Result<(), StageFailure> {
        match self.untimed.checked_sub(1) {
            Some(left) => self.untimed = left,
            None if !batch.all().is_empty() => return self.packets_timed(batch, outlet),
            None => {}
        }
        for at in 0..self.slots.len() {
            self.live.enter(at + 1);
            let result = self.slots[at].stage.packets(batch, &mut Output::new(&mut self.emitted));
            if result.is_err() || !self.emitted.is_empty() {
                self.after(at, result, outlet)?;
            }
        }
        Ok(())
    }

    /// As [`packets`](Self::packets), with a clock.
    #[cold]
    fn packets_timed(
        &mut self,
        batch: &mut Batch<'_>,
        outlet: &mut impl Outlet,
    ) -> Result<(), StageFailure> {
        self.untimed = TIMED - 1;
        let packets = batch.all().len() as u64;
        let mut watch = Watch::start();
        for at in 0..self.slots.len() {
            self.live.enter(at + 1);
            let Slot { stage, meter, .. } = &mut self.slots[at];
            let result = stage.packets(batch, &mut Output::new(&mut self.emitted));
            meter.sampled_packets.add(packets);
            watch.read(&meter.sampled_ns);
            if result.is_err() || !self.emitted.is_empty() {
                self.after(at, result, outlet)?;
                watch = Watch::start();
            }
        }
        Ok(())
    }

    /// Tells every stage the time.
    ///
    /// # Errors
    /// The first stage that fails.
    pub fn tick(&mut self, now: Timestamp, outlet: &mut impl Outlet) -> Result<(), StageFailure> {
        for at in 0..self.slots.len() {
            self.live.enter(at + 1);
            let Slot { stage, meter, .. } = &mut self.slots[at];
            let mut watch = Watch::start();
            let result = stage.tick(now, &mut Output::new(&mut self.emitted));
            watch.read(&meter.ticks_ns);
            self.after(at, result, outlet)?;
        }
        Ok(())
    }

    /// Ends the stages in order, so that what the first still held passes the others.
    ///
    /// # Errors
    /// The first stage that fails; the ones after it are ended all the same.
    pub fn finish(&mut self, outlet: &mut impl Outlet) -> Result<(), StageFailure> {
        let mut failure = Ok(());
        for at in 0..self.slots.len() {
            self.live.enter(at + 1);
            let Slot { stage, meter, .. } = &mut self.slots[at];
            let mut watch = Watch::start();
            let result = stage.finish(&mut Output::new(&mut self.emitted));
            watch.read(&meter.ticks_ns);
            failure = failure.and(self.after(at, result, outlet));
        }
        failure
    }

    /// Pushes one record batch through the stages after number `after`, or through all.
    ///
    /// # Errors
    /// The first stage that fails.
    pub fn push(
        &mut self,
        after: Option<usize>,
        records: RecordBatch,
        outlet: &mut impl Outlet,
    ) -> Result<(), StageFailure> {
        self.emitted.push(records);
        self.pass(after.map_or(0, |at| at + 1), outlet)
    }

    /// The record types that each stage can emit by itself.
    ///
    /// # Errors
    /// The first stage that fails.
    pub fn schemas(&mut self) -> Result<Vec<(usize, SchemaRef)>, StageFailure> {
        let mut all = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let schemas = slot.stage.schemas().map_err(|error| slot.failed(error))?;
            all.extend(schemas.into_iter().map(|schema| (at, schema)));
        }
        Ok(all)
    }

    /// What passed each stage so far.
    pub fn tally(&self) -> Vec<StageTally> {
        self.slots.iter().map(|slot| slot.meter.tally(&slot.label)).collect()
    }

    /// Each stage's label and meter, to be read while the chain runs.
    pub fn meters(&self) -> Vec<(String, Meter)> {
        self.slots.iter().map(|slot| (slot.label.clone(), slot.meter.clone())).collect()
    }

    /// Passes on what a stage emitted before it failed, then fails.
    #[cold]
    fn after(
        &mut self,
        at: usize,
        result: Result<(), Error>,
        outlet: &mut impl Outlet,
    ) -> Result<(), StageFailure> {
        self.slots[at].meter.emitted.add(rows(&self.emitted));
        let passed = self.pass(at + 1, outlet);
        result.map_err(|error| self.slots[at].failed(error)).and(passed)
    }

    /// Takes what lies in `emitted` through the stages from `first` on and out.
    fn pass(&mut self, first: usize, outlet: &mut impl Outlet) -> Result<(), StageFailure> {
        let Self { slots, emitted, passing, live, .. } = self;
        let mut failure = Ok(());
        for (at, slot) in slots.iter_mut().enumerate().skip(first) {
            live.enter(at + 1);
            std::mem::swap(emitted, passing);
            let mut watch = Watch::start();
            for records in passing.drain(..) {
                let rows = records.num_rows() as u64;
                slot.meter.given.add(rows);
                let result = slot.stage.records(records, &mut Output::new(emitted));
                watch.read(&slot.meter.records_ns);
                // It may be the anonymizer, so they cannot go on without it.
                slot.meter.failed.add(if result.is_err() { rows } else { 0 });
                failure = failure.and(result.map_err(|error| slot.failed(error)));
            }
            slot.meter.emitted.add(rows(emitted));
        }
        for records in emitted.drain(..) {
            live.enter(Live::AT_SINKS);
            let taken = outlet.take(records).map_err(|error| StageFailure {
                stage: slots.last().map(|slot| slot.label.clone()).unwrap_or_default(),
                error,
            });
            failure = failure.and(taken);
        }
        failure
    }
}

impl Slot {
    fn failed(&self, error: Error) -> StageFailure {
        StageFailure { stage: self.label.clone(), error }
    }
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|records| records.num_rows() as u64).sum()
}
