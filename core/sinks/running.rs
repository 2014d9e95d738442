//! One sink with its queue and its two threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ringmill_sdk::Error;

use super::{
    SinkTally, Terrain, Window,
    backlog::{self, Backlog},
    circuit::Circuit,
    dead::DeadLetters,
    delivery::{Delivery, Terms},
    outlet::{Gate, Share},
    post::{self, Post},
    spill::{Limits, Spill},
    when_full,
};
use crate::{
    chain::{Blueprint, BuildError},
    config::WhenFull,
    host::{Board, Run},
    service,
};

/// What a store keeps in memory until it is acknowledged, in bytes: of one that is flushed all
/// the time, and of another, for which a flush may mean a file.
const WINDOW: (usize, usize) = (32 << 20, 64 << 20);
/// How long at most until it is flushed.
const FLUSH_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the end of a run waits for a file that does not get on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The queue of a sink that waits for the end of another is so many times as long.
const WAITING_ROOM: usize = 8;

/// A sink, from the moment that records can be handed to it.
pub(super) struct Running {
    label: String,
    /// What the config calls it.
    name: String,
    queue: Sender<RecordBatch>,
    pub(super) window: Arc<Window>,
    /// What each worker has handed to it.
    shares: Arc<[Share]>,
    waits: bool,
    /// How many batches the queue holds.
    length: usize,
    /// It begins when others have ended.
    late: bool,
    state: State,
}

enum State {
    /// Nobody takes from the queue yet.
    Made { index: usize, records: Receiver<RecordBatch>, board: Arc<Board> },
    /// Its threads run.
    Runs { next: Sender<Receiver<RecordBatch>>, thread: JoinHandle<SinkTally> },
}

impl Running {
    /// The sink number `index` of the blueprint.
    pub(super) fn new(blueprint: &Blueprint, index: usize, terrain: &Terrain) -> Self {
        let (entry, network) = blueprint.sink(index);
        let label = blueprint.sink_labels().swap_remove(index);
        let name = entry.plugged.name.clone();
        let shares: Arc<[Share]> = (0..terrain.workers).map(|_| Share::default()).collect();
        let board = Arc::new(Board::default());
        let window =
            Window::new(label.clone(), entry.queue, Arc::clone(&board), Arc::clone(&shares));
        let length = entry.queue;
        let (queue, records) = bounded(length);
        // For a spill the worker waits, if it can, for the disk, and in no case for the store.
        let waits = match when_full(entry, network, terrain.when_full) {
            WhenFull::Block => true,
            WhenFull::Spill => terrain.replay,
            WhenFull::Drop => false,
        };
        let (window, state) = (Arc::new(window), State::Made { index, records, board });
        Self { label, name, queue, window, shares, waits, length, late: false, state }
    }

    /// Lets it wait for those among `leaving` that it might meet in a directory, a file or a spill
    /// log, with a longer queue for the time.
    pub(super) fn waits_for<'a>(&mut self, mut leaving: impl Iterator<Item = &'a Self>) {
        let State::Made { records, .. } = &mut self.state else { return };
        let (label, name) = (&self.label, &self.name);
        self.late = leaving.any(|old| old.label == *label || old.name == *name);
        if self.late {
            (self.queue, *records) = bounded(self.length.saturating_mul(WAITING_ROOM));
        }
    }

    /// Whether it waits.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// The end of one worker.
    pub(super) fn gate(&self, worker: usize) -> Gate {
        let share = self.shares.get(worker).cloned().unwrap_or_default();
        Gate { queue: self.queue.clone(), waits: self.waits, share }
    }

    /// Starts its threads and waits until it is made.
    ///
    /// # Errors
    /// What the sink's `new` returned, or that its spill directory cannot be used.
    pub(super) fn start(
        &mut self,
        blueprint: &Blueprint,
        run: &Arc<Run>,
        terrain: &Terrain,
        alive: &Arc<AtomicUsize>,
    ) -> Result<(), BuildError> {
        let State::Made { index, records, board } = &self.state else { return Ok(()) };
        let (index, records, board) = (*index, records.clone(), Arc::clone(board));
        let (entry, network) = blueprint.sink(index);
        let failed = |error| BuildError { plugged: Box::new(entry.plugged.clone()), error };
        let when_full = when_full(entry, network, terrain.when_full);
        let mut spill = None;
        let mut dead = None;
        if let Some(directory) = terrain.spill.as_ref().map(|spill| spill.join(&self.label)) {
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
        let backlog = Backlog::new(self.label.clone(), kept, spill, dead);
        let delivery = Delivery::new(terms, circuit, backlog, Instant::now());

        let (made, ready) = bounded(1);
        let (requests, orders) = bounded(1);
        let (answers, replies) = bounded(1);
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
                    let remake = || remake().map_err(|failed| failed.error);
                    post::serve(sink, remake, &orders, &answers);
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

        let (next, others) = unbounded();
        let (stop, alive) = (Arc::clone(&terrain.stop), Arc::clone(alive));
        let post = Post {
            delivery,
            queue: records,
            next: others,
            requests,
            replies,
            stop: Arc::clone(&stop),
            window: Arc::clone(&self.window),
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
        (self.state, self.late) = (State::Runs { next, thread }, false);
        Ok(())
    }

    /// What comes for it is thrown away and counted, because it could not be made.
    pub(super) fn give_up(&mut self, error: &str, terrain: &Terrain, alive: &AtomicUsize) {
        let State::Made { records, .. } = &self.state else { return };
        tracing::error!(sink = %self.label, "{error}");
        if alive.fetch_sub(1, Relaxed) == 1 {
            terrain.stop.store(true, Relaxed);
        }
        let (label, error, mut records) = (self.label.clone(), error.to_owned(), records.clone());
        let (window, (next, others)) = (Arc::clone(&self.window), unbounded());
        let body = move || {
            let mut tally = SinkTally { sink: label, error: Some(error), ..SinkTally::default() };
            loop {
                for batch in &records {
                    let lost = tally.dropped.entry("sink_failed").or_default();
                    *lost += batch.num_rows() as u64;
                    window.show(|look| look.tally.clone_from(&tally));
                }
                match others.try_recv() {
                    Ok(next) => records = next,
                    Err(_) => return tally,
                }
            }
        };
        match thread::Builder::new().name("post".to_owned()).spawn(body) {
            Ok(thread) => (self.state, self.late) = (State::Runs { next, thread }, false),
            Err(error) => tracing::error!(sink = %self.label, "no thread: {error}"),
        }
    }

    /// What comes from now on comes through another queue, which is taken from when all ends of
    /// this one are gone: so all that one chain emitted comes before what the next one does.
    pub(super) fn turn(&mut self) {
        let State::Runs { next, .. } = &self.state else { return };
        let (queue, records) = bounded(self.length);
        if next.send(records).is_ok() {
            self.queue = queue;
        }
    }

    /// Lets it write what is queued, then end. Every gate must be gone, or go soon.
    pub(super) fn close(self) -> Closing {
        let Self { label, name, window, shares, state, .. } = self;
        let (thread, records) = match state {
            State::Runs { thread, .. } => (Some(thread), None),
            State::Made { records, .. } => (None, Some(records)),
        };
        Closing { label, name, window, shares, thread, records }
    }
}

/// A sink that gets no more than what is on its way.
pub(super) struct Closing {
    label: String,
    name: String,
    pub(super) window: Arc<Window>,
    shares: Arc<[Share]>,
    thread: Option<JoinHandle<SinkTally>>,
    /// Of one that never began.
    records: Option<Receiver<RecordBatch>>,
}

impl Closing {
    /// Whether `late` waits for its end.
    pub(super) fn is_before(&self, late: &Running) -> bool {
        self.label == late.label || self.name == late.name
    }

    /// Waits until it has ended.
    pub(super) fn join(self) -> SinkTally {
        let panicked = |_| SinkTally {
            error: Some("the sink's thread panicked; this is a bug in the engine".to_owned()),
            ..SinkTally::default()
        };
        let mut tally = self
            .thread
            .map_or_else(SinkTally::default, |thread| thread.join().unwrap_or_else(panicked));
        for batch in self.records.iter().flatten() {
            *tally.dropped.entry("sink_failed").or_default() += batch.num_rows() as u64;
        }
        tally.sink = self.label;
        tally.count(&self.shares);
        tally
    }
}
