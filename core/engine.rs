//! A run from start to ledger: makes the workers and the sinks, waits for them, adds up.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crossbeam_utils::CachePadded;
use ringmill_sdk::Factory;

use crate::{
    capture::{
        Source, SourceReport,
        file::{Files, Read},
        input::{self, Input, InputError},
    },
    chain::{BuildError, Chain},
    config::{Backend, Config, ConfigError, WhenFull},
    host::{Board, Run},
    ledger::{Counters, Ledger, Live, Tally, WorkerTally},
    plan::Plan,
    sinks::{SinkOutlet, Sinks},
    worker::Worker,
};

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config, a plugin or an option is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A capture file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The config asks for live capture.
    #[error(
        "live capture from {0} is not in this version; give it a capture file: `engine --config \
         CONFIG --read FILE`"
    )]
    Live(String),
    /// The system has no randomness for keys.
    #[error("the system gives no random bytes for the ephemeral keys: {0}")]
    Random(#[from] getrandom::Error),
    /// A thread cannot be started.
    #[error("a worker's thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// An engine, ready to run.
pub struct Engine {
    config: Config,
    run: Arc<Run>,
    plan: Plan,
    live: Vec<Arc<CachePadded<Live>>>,
    stop: Arc<AtomicBool>,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// The books.
    pub ledger: Ledger,
    /// What went wrong, one sentence each; empty after a good run.
    pub failures: Vec<String>,
    /// Lines that the user may want to paste next.
    pub suggestions: Vec<String>,
}

impl Outcome {
    /// Nothing went wrong and the ledger balances.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.ledger.imbalances.is_empty()
    }
}

/// A running engine as a progress bar sees it.
pub struct Gauge {
    live: Vec<Arc<CachePadded<Live>>>,
    files: Arc<Files>,
}

impl Gauge {
    /// Packets received so far.
    pub fn packets(&self) -> u64 {
        self.live.iter().map(|live| live.packets.load(Relaxed)).sum()
    }

    /// How far the reading has come.
    pub fn read(&self) -> Read {
        self.files.read()
    }
}

impl Engine {
    /// Checks the config, loads the plugins, makes every stage and sink once and pushes an
    /// empty table of each record type through the chain.
    ///
    /// # Errors
    /// With the place in the config.
    pub fn new(config: Config) -> Result<Self, StartError> {
        Self::with(config, &[])
    }

    /// As [`new`](Self::new), with stages and sinks of the caller's beside the built-in ones.
    ///
    /// # Errors
    /// With the place in the config.
    pub fn with(config: Config, stages: &[Factory]) -> Result<Self, StartError> {
        let run = Arc::new(Run::new()?);
        let plan = Plan::new(&config, stages, &run)?;
        let live = (0..config.engine.workers).map(|_| Arc::default()).collect();
        Ok(Self { config, run, plan, live, stop: Arc::default() })
    }

    /// Setting it ends the run at the next batch.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// The chain and what it yields.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The capture files that the config names, each of which exists; none for live capture.
    ///
    /// # Errors
    /// The first that does not exist.
    pub fn inputs(&self) -> Result<Vec<Input>, InputError> {
        match self.config.capture.files.as_slice() {
            [] => Ok(Vec::new()),
            names => input::expand(names, Path::new("")),
        }
    }

    /// Runs until the inputs are used up, or until stopped. `watch` is called once with a
    /// gauge of the run and may keep it.
    ///
    /// # Errors
    /// Only when the run cannot begin; what goes wrong later is in the [`Outcome`].
    pub fn run(self, watch: impl FnOnce(Gauge)) -> Result<Outcome, StartError> {
        let capture = &self.config.capture;
        // Live back ends are preferred in the order of the list; a file is always there.
        if capture.from.first() != Some(&Backend::File) {
            let names: Vec<_> = capture.from.iter().map(|back_end| back_end.name()).collect();
            return Err(StartError::Live(names.join(", ")));
        }
        let workers = self.config.engine.workers;
        let inputs = self.inputs()?;
        let files = Files::new(inputs, workers, capture.snaplen as usize)?;
        watch(Gauge { live: self.live.clone(), files: Arc::clone(&files) });
        let (blueprint, allow) = (&self.plan.blueprint, self.config.allow_identifiable);
        // A capture file waits; nothing is lost by it.
        let sinks = Sinks::start(blueprint, &self.run, &self.stop, allow, WhenFull::Block)
            .map_err(|failed| failed.at(&self.config))?;
        let ends = self.work(&sinks, &files)?;
        Ok(self.account(ends, sinks, &files))
    }

    /// Runs the workers, each on a thread and a core of its own.
    fn work(&self, sinks: &Sinks, files: &Arc<Files>) -> Result<Vec<WorkerEnd>, StartError> {
        // All chains are made before the first packet is taken, so that a stage that cannot be
        // made stops the run before anything is written.
        let waiting = AtomicUsize::new(self.live.len());
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (number, live) in self.live.iter().enumerate() {
                let outlet = sinks.outlet();
                let source = Box::new(files.source(number, self.config.engine.batch));
                let tally = Tally::new(Arc::clone(live));
                let waiting = &waiting;
                let body = move || self.worker(number, source, outlet, tally, waiting);
                let name = format!("worker-{number}");
                match thread::Builder::new().name(name).spawn_scoped(scope, body) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        self.stop.store(true, Relaxed);
                        waiting.store(0, Relaxed);
                        return Err(StartError::Thread(error));
                    }
                }
            }
            let join = |thread: thread::ScopedJoinHandle<'_, WorkerEnd>| {
                thread.join().unwrap_or_else(|_| {
                    WorkerEnd::failed("a worker panicked; this is a bug in the engine".to_owned())
                })
            };
            Ok(threads.into_iter().map(join).collect())
        })
    }

    fn worker(
        &self,
        number: usize,
        mut source: Box<dyn Source>,
        mut outlet: SinkOutlet,
        mut tally: Tally,
        waiting: &AtomicUsize,
    ) -> WorkerEnd {
        let mut end = WorkerEnd::default();
        if let Err(warning) = self.pin(number) {
            tracing::warn!("{warning}");
        }
        let board = Arc::new(Board::default());
        let built = self.plan.blueprint.build_chain(&self.run, &board, Some(number));
        if built.is_err() {
            self.stop.store(true, Relaxed);
        }
        waiting.fetch_sub(1, Relaxed);
        while waiting.load(Relaxed) > 0 && !self.stop.load(Relaxed) {
            thread::yield_now();
        }
        match built {
            Ok(mut chain) => {
                let (stop, replay) = (&*self.stop, true);
                let (chain, source) = (&mut chain, &mut *source);
                let (outlet, tally) = (&mut outlet, &mut tally);
                let mut worker = Worker { source, chain, outlet, tally, stop, replay };
                if let Err(failure) = worker.run() {
                    end.failures.push(failure.to_string());
                    self.stop.store(true, Relaxed);
                    end.finish_chain(chain, outlet);
                }
                end.slots = chain.tally();
            }
            Err(BuildError { plugged, error }) => {
                end.failures.push(format!("stage `{}`: {error}", plugged.name));
            }
        }
        end.tally = tally.finish(&board.reasons());
        end.counters = board.counters();
        end.report = source.report();
        end.rows = outlet.rows;
        end.queue_full = outlet.handed.iter().map(|handed| handed.queue_full).collect();
        end
    }

    /// Puts this thread on the core that the config gives to worker `number`.
    fn pin(&self, number: usize) -> Result<(), String> {
        let Some(cores) = &self.config.engine.cores else { return Ok(()) };
        let Some(&core) = cores.as_slice().get(number) else { return Ok(()) };
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
            format!("worker {number} could not be pinned to core {core} and runs anywhere: {error}")
        })
    }

    fn account(self, ends: Vec<WorkerEnd>, sinks: Sinks, files: &Files) -> Outcome {
        let mut sinks = sinks.join();
        let (mut failures, mut ledger) = (Vec::new(), Ledger::default());
        let (mut slots, mut counters, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for end in ends {
            for (sink, queue_full) in sinks.iter_mut().zip(end.queue_full) {
                if queue_full > 0 {
                    *sink.dropped.entry("queue_full").or_default() += queue_full;
                }
            }
            failures.extend(end.failures);
            ledger.workers.push(end.tally);
            ledger.rows += end.rows;
            slots.push(end.slots);
            counters.push(end.counters);
            reports.push(end.report);
        }
        ledger.inputs = files.end(&reports);
        for input in ledger.inputs.iter().filter(|input| input.failed) {
            let why = input.tail.as_deref().unwrap_or("it could not be read");
            failures.push(if why.contains(&input.name) {
                why.to_owned()
            } else {
                format!("{}: {why}", input.name)
            });
        }
        for sink in &sinks {
            failures
                .extend(sink.error.iter().map(|error| format!("sink `{}`: {error}", sink.sink)));
        }
        ledger.stopped = self.stop.load(Relaxed);
        ledger.sinks = sinks;
        failures.dedup();
        let suggestions = self.run.suggestions();
        Outcome { ledger: ledger.close(slots, &counters), failures, suggestions }
    }
}

/// What a worker leaves behind.
#[derive(Default)]
struct WorkerEnd {
    failures: Vec<String>,
    tally: WorkerTally,
    slots: Vec<crate::chain::SlotTally>,
    counters: Counters,
    report: SourceReport,
    rows: u64,
    queue_full: Vec<u64>,
}

impl WorkerEnd {
    fn failed(why: String) -> Self {
        Self { failures: vec![why], ..Self::default() }
    }

    /// After a failure the other stages still give what they hold; nothing accepted is lost.
    fn finish_chain(&mut self, chain: &mut Chain, outlet: &mut SinkOutlet) {
        if let Err(failure) = chain.finish(outlet) {
            let text = failure.to_string();
            // The stage that failed says that it is not called again; that is no news.
            if !text.contains("not called again") {
                self.failures.push(text);
            }
        }
    }
}
