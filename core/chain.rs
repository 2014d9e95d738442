//! The chain of one worker: its stages, in order, and the way of the records through them.

mod blueprint;
mod files;
mod meter;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use crossbeam_utils::CachePadded;
use ringmill_sdk::{Batch, DynStage, Error, ErrorKind, Output, Timestamp};

pub use blueprint::{Blueprint, BuildError, Entry};
pub(crate) use files::Named;
pub use meter::Meter;
use meter::Watch;

use crate::{config::OnError, host::Board, ledger::Live};

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
    on_error: OnError,
}

/// What a chain is made of that takes the place of another.
pub(crate) struct Parts(Vec<Part>);

enum Part {
    Made(Slot),
    /// It is in the other chain.
    GoesOn {
        label: String,
        on_error: OnError,
    },
}

impl Part {
    fn made(self) -> Option<Slot> {
        match self {
            Self::Made(slot) => Some(slot),
            Self::GoesOn { .. } => None,
        }
    }
}

/// Stages that are in no chain any more, to be dropped where it disturbs nobody.
pub(crate) struct Remains(#[expect(dead_code, reason = "they are only to be dropped")] Vec<Slot>);

/// Stands where a stage failed that may be missing: lets everything by.
struct Bypassed;

impl DynStage for Bypassed {
    fn schemas(&mut self) -> Result<Vec<SchemaRef>, Error> {
        Ok(Vec::new())
    }

    fn packets(&mut self, _: &mut Batch<'_>, _: &mut Output<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result<(), Error> {
        out.emit(records)
    }

    fn tick(&mut self, _: Timestamp, _: &mut Output<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Of so many batches of packets one is timed. A prime: what comes back every so many batches, such
/// as a full batch of records, is timed in its turn.
const TIMED: u32 = 61;

/// The stages of one worker.
pub struct Chain {
    slots: Vec<Slot>,
    /// Where it is told what failed.
    board: Arc<Board>,
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
            self.call(at, outlet, |stage, out| stage.tick(now, out))?;
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
            failure = failure.and(self.finish_one(at, outlet));
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
            let failed = |error| StageFailure { stage: slot.label.clone(), error };
            let schemas = slot.stage.schemas().map_err(failed)?;
            all.extend(schemas.into_iter().map(|schema| (at, schema)));
        }
        Ok(all)
    }

    /// Becomes a chain of these parts. The stages that do not go on are ended before, in order,
    /// and what they still held passes the stages after them, as it would have.
    ///
    /// # Errors
    /// The first stage that fails at its end; the new chain is there all the same.
    pub(crate) fn renew(
        &mut self,
        Parts(parts): Parts,
        outlet: &mut impl Outlet,
    ) -> (Remains, Result<(), StageFailure>) {
        let goes_on = |label: &str| {
            parts.iter().any(|part| matches!(part, Part::GoesOn { label: it, .. } if it == label))
        };
        let mut failure = Ok(());
        for at in 0..self.slots.len() {
            if !goes_on(&self.slots[at].label) {
                failure = failure.and(self.finish_one(at, outlet));
            }
        }
        let mut old: Vec<_> = self.slots.drain(..).collect();
        for part in parts {
            match part {
                Part::Made(slot) => self.slots.push(slot),
                Part::GoesOn { label, on_error } => {
                    let Some(at) = old.iter().position(|slot| slot.label == label) else {
                        continue;
                    };
                    self.slots.push(Slot { on_error, ..old.remove(at) });
                }
            }
        }
        // One that had failed is gone; what takes its place begins anew.
        old.iter().for_each(|slot| self.board.no_trouble(&slot.label));
        (Remains(old), failure)
    }

    fn finish_one(&mut self, at: usize, outlet: &mut impl Outlet) -> Result<(), StageFailure> {
        self.call(at, outlet, |stage, out| stage.finish(out))
    }

    /// Calls a stage for something else than packets or records.
    fn call(
        &mut self,
        at: usize,
        outlet: &mut impl Outlet,
        what: impl FnOnce(&mut dyn DynStage, &mut Output<'_>) -> Result<(), Error>,
    ) -> Result<(), StageFailure> {
        self.live.enter(at + 1);
        let Slot { stage, meter, .. } = &mut self.slots[at];
        let mut watch = Watch::start();
        let result = what(&mut **stage, &mut Output::new(&mut self.emitted));
        watch.read(&meter.ticks_ns);
        self.after(at, result, outlet)
    }

    /// Passes on what a stage emitted before it failed; then fails, or goes on without it.
    #[cold]
    fn after(
        &mut self,
        at: usize,
        result: Result<(), Error>,
        outlet: &mut impl Outlet,
    ) -> Result<(), StageFailure> {
        let Self { slots, board, emitted, .. } = self;
        let slot = &mut slots[at];
        let result = result.or_else(|error| slot.failed(error, board, emitted));
        slot.meter.emitted.add(rows(emitted));
        let passed = self.pass(at + 1, outlet);
        result.and(passed)
    }

    /// Takes what lies in `emitted` through the stages from `first` on and out.
    fn pass(&mut self, first: usize, outlet: &mut impl Outlet) -> Result<(), StageFailure> {
        let Self { slots, board, emitted, passing, live, .. } = self;
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
                if let Err(error) = result {
                    // It may be the anonymizer, so they cannot go on without it.
                    slot.meter.failed.add(rows);
                    failure = failure.and(slot.failed(error, board, emitted));
                }
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
    /// It returned an error, or panicked. Where the chain may do without it, it is taken out, and
    /// gives what it holds if it still can.
    #[cold]
    fn failed(
        &mut self,
        error: Error,
        board: &Board,
        emitted: &mut Vec<RecordBatch>,
    ) -> Result<(), StageFailure> {
        board.trouble(&self.label, &error, self.on_error);
        let stage = self.label.clone();
        match self.on_error {
            OnError::Stop => Err(StageFailure { stage, error }),
            OnError::Bypass => {
                tracing::error!(stage, "{error}; this worker goes on without it");
                let mut stage = std::mem::replace(&mut self.stage, Box::new(Bypassed));
                if error.kind() != ErrorKind::Panicked {
                    // What is lost with it is what it says of itself here, and that it has failed.
                    let _ = stage.finish(&mut Output::new(emitted));
                }
                Ok(())
            }
        }
    }
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|records| records.num_rows() as u64).sum()
}
