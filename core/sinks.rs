//! A thread for each sink, behind a bounded queue.
//!
//! Every sink gets every record batch; Arrow batches are shared, so handing one to five sinks
//! copies nothing. A sink that is slow or fails holds up neither the capture nor another sink,
//! and each row it did not take is counted with the reason.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use ringmill_sdk::{Counter, DynStage, Error, Output, Timestamp, schema};

use crate::{
    chain::{Blueprint, BuildError, Outlet},
    config::WhenFull,
    host::{Board, Run},
    plan,
};

const TICK: Duration = Duration::from_secs(1);

/// What became of the rows that were meant for one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SinkTally {
    /// The sink's label.
    pub sink: String,
    /// Rows that it made safe.
    pub acknowledged: u64,
    /// Rows that it did not get or keep, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
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
}

/// The sinks of a run.
pub struct Sinks {
    threads: Vec<JoinHandle<SinkTally>>,
    gates: Vec<Gate>,
    may_identify: bool,
}

/// A worker's end of one sink's queue.
#[derive(Clone)]
struct Gate {
    queue: Sender<RecordBatch>,
    when_full: WhenFull,
}

impl Sinks {
    /// Starts a thread for each sink and waits until all are made. `stop` is set when the
    /// last of them has failed.
    ///
    /// # Errors
    /// What a sink's `new` returned.
    pub fn start(
        blueprint: &Blueprint,
        run: &Arc<Run>,
        stop: &Arc<AtomicBool>,
        may_identify: bool,
        when_full: WhenFull,
    ) -> Result<Self, BuildError> {
        let mut sinks = Self { threads: Vec::new(), gates: Vec::new(), may_identify };
        let alive = Arc::new(std::sync::atomic::AtomicUsize::new(blueprint.sinks().count()));
        let labels = blueprint.sink_labels();
        for (index, (entry, label)) in blueprint.sinks().zip(labels).enumerate() {
            let (queue, records) = bounded(entry.queue);
            let (made, ready) = bounded(1);
            let (blueprint, run, stop) = (blueprint.clone(), Arc::clone(run), Arc::clone(stop));
            let alive = Arc::clone(&alive);
            let body = move || {
                let board = Arc::new(Board::default());
                let sink = match blueprint.build_sink(index, &run, &board) {
                    Ok(sink) => sink,
                    Err(error) => {
                        // The receiver waits for exactly this.
                        let _ = made.send(Err(error));
                        return SinkTally::default();
                    }
                };
                let _ = made.send(Ok(()));
                let on_failure = || {
                    if alive.fetch_sub(1, Relaxed) == 1 {
                        stop.store(true, Relaxed);
                    }
                };
                let mut drain = Drain::new(label, sink, on_failure);
                drain.run(&records);
                let counters = board.counters();
                drain.tally.counters = counters.into_iter().map(|(_, name, n)| (name, n)).collect();
                drain.tally
            };
            let name = format!("sink-{index}");
            let spawned = thread::Builder::new().name(name).spawn(body);
            let thread = spawned.map_err(|error| BuildError {
                plugged: Box::new(entry.plugged.clone()),
                error: Error::from(error).while_doing("its thread could not be started"),
            })?;
            sinks.threads.push(thread);
            // A thread that ends without a word has panicked; `join` will tell.
            ready.recv().unwrap_or(Ok(()))?;
            sinks.gates.push(Gate { queue, when_full: entry.when_full.unwrap_or(when_full) });
        }
        Ok(sinks)
    }

    /// A worker's way to all sinks.
    pub fn outlet(&self) -> SinkOutlet {
        let queue_full = self.gates.iter().map(|_| Counter::default()).collect();
        let gates = self.gates.clone();
        let left = Left { rows: Counter::default(), queue_full };
        SinkOutlet { gates, left, may_identify: self.may_identify, passed: Vec::new() }
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
    /// Schemas that were looked at already.
    passed: Vec<SchemaRef>,
}

impl SinkOutlet {
    /// The gate once more, for what a stage emits without having announced it.
    fn check(&mut self, schema: &SchemaRef) -> Result<(), Error> {
        if self.passed.iter().any(|passed| Arc::ptr_eq(passed, schema)) {
            return Ok(());
        }
        if let Some((column, _)) = plan::identifiable(schema).filter(|_| !self.may_identify) {
            return Err(Error::new(format!(
                "column `{column}` of `{}` left the chain as it was on the wire, although no \
                 stage had announced it; the rows were thrown away",
                schema::record_name(schema)
            )));
        }
        if self.passed.len() == 64 {
            self.passed.clear();
        }
        self.passed.push(Arc::clone(schema));
        Ok(())
    }
}

impl Outlet for SinkOutlet {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        let rows = records.num_rows() as u64;
        if rows == 0 {
            return Ok(());
        }
        self.check(records.schema_ref())?;
        self.left.rows.add(rows);
        for (gate, queue_full) in self.gates.iter().zip(&self.left.queue_full) {
            let records = records.clone();
            let sent = match gate.when_full {
                WhenFull::Block => gate.queue.send(records).map_err(|_| ()),
                WhenFull::Drop => match gate.queue.try_send(records) {
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

/// A sink's thread.
struct Drain<F> {
    sink: Box<dyn DynStage>,
    tally: SinkTally,
    /// Taken by the sink, not yet made safe.
    pending: u64,
    failed: bool,
    on_failure: F,
    /// What sinks emit: nothing; a stage needs an output all the same.
    nothing: Vec<RecordBatch>,
}

impl<F: Fn()> Drain<F> {
    fn new(label: String, sink: Box<dyn DynStage>, on_failure: F) -> Self {
        let tally = SinkTally { sink: label, ..SinkTally::default() };
        Self { sink, tally, pending: 0, failed: false, on_failure, nothing: Vec::new() }
    }

    fn run(&mut self, records: &Receiver<RecordBatch>) {
        let mut next = Instant::now() + TICK;
        loop {
            match records.recv_deadline(next) {
                Ok(records) => self.write(records),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= next {
                next = Instant::now() + TICK;
                self.tick();
            }
        }
        self.finish();
    }

    fn write(&mut self, records: RecordBatch) {
        let rows = records.num_rows() as u64;
        if self.failed {
            return self.drop_rows("sink_failed", rows);
        }
        match self.sink.records(records, &mut Output::new(&mut self.nothing)) {
            Ok(()) => self.pending += rows,
            Err(error) => {
                self.drop_rows("write_failed", rows);
                self.fail(&error);
            }
        }
    }

    fn tick(&mut self) {
        if self.failed {
            return;
        }
        if let Err(error) = self.sink.tick(now(), &mut Output::new(&mut self.nothing)) {
            self.fail(&error);
        }
    }

    /// What the sink has taken is made safe, also after a failed write: the rows before it may
    /// be good.
    fn finish(&mut self) {
        match self.sink.finish(&mut Output::new(&mut self.nothing)) {
            Ok(()) => self.tally.acknowledged += std::mem::take(&mut self.pending),
            Err(error) => {
                let rows = std::mem::take(&mut self.pending);
                self.drop_rows("flush_failed", rows);
                self.fail(&error);
            }
        }
    }

    fn drop_rows(&mut self, reason: &'static str, rows: u64) {
        if rows > 0 {
            *self.tally.dropped.entry(reason).or_default() += rows;
        }
    }

    fn fail(&mut self, error: &Error) {
        if self.failed {
            return;
        }
        self.failed = true;
        tracing::error!(sink = %self.tally.sink, "{error}");
        self.tally.error = Some(error.to_string());
        (self.on_failure)();
    }
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
