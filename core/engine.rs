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
    Gauge,
    capture::{
        Source, SourceReport,
        filter::Filter,
        input::{self, Input, InputError},
        live::{RingError, RingReport},
    },
    chain::{BuildError, Chain},
    config::{Backend, Config, ConfigError, Place},
    host::{Facts, Run},
    ledger::{Counters, Ledger, Live, StageTally, Tally, WorkerTally},
    manifest::Manifest,
    plan::Plan,
    reload::{Load, Now, Reload, Reloader, Tell},
    service::{self, Hook, Reach, Watchdog},
    sinks::{self, SinkOutlet, Sinks, Stamp, Terrain},
    status::{self, Bound, PageGuard, Scene},
    supply::{self, Supply},
    worker::{Seat, Worker},
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
    /// This machine has none of the back ends that the config names.
    #[error("this machine has nothing to capture with: {0}")]
    Live(String),
    /// A ring cannot be opened.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The system has no randomness for keys.
    #[error("the system gives no random bytes for the ephemeral keys: {0}")]
    Random(#[from] getrandom::Error),
    /// The status page cannot be served.
    #[error("{0}")]
    Status(String),
    /// The process cannot become the user of the config.
    #[error("{0}")]
    User(String),
    /// A thread cannot be started.
    #[error("a worker's thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// An engine, ready to run.
pub struct Engine {
    config: Config,
    linked: Vec<Factory>,
    run: Arc<Run>,
    plan: Plan,
    /// Who asks for a reload, where the config is then read, and who is told what became of it.
    reload: Option<(Arc<AtomicBool>, Load, Tell)>,
    filter: Option<Arc<Filter>>,
    guard: Option<PageGuard>,
    live: Vec<Arc<CachePadded<Live>>>,
    stop: Arc<AtomicBool>,
    hook: Option<Hook>,
    confined: bool,
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
        let run = Arc::new(Run::new(config.engine.epoch)?);
        let plan = Plan::new(&config, stages, &run)?;
        let filter = config.capture.filter.as_deref().map(|text| compile(text, &config));
        let filter = filter.transpose()?.map(Arc::new);
        let guard = config.status.as_ref().map(status::guard).transpose();
        let guard = guard.map_err(|e| config.document.at_key(&Place::STATUS, "token_file", &e))?;
        let live = (0..config.engine.workers).map(|_| Arc::default()).collect();
        let (linked, stop) = (stages.to_vec(), Arc::default());
        let (reload, hook, confined) = (None, None, false);
        Ok(Self { config, linked, run, plan, reload, filter, guard, live, stop, hook, confined })
    }

    /// Lets the config be changed while the engine runs: whenever `asked` is set, which the engine
    /// then clears, it is read again by `load`, and what is new takes the place of what was. What
    /// cannot be had is refused, and all goes on as it was. The log says what becomes of each, and
    /// `tell` is told.
    pub fn reload_when(
        &mut self,
        asked: Arc<AtomicBool>,
        load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
        tell: impl Fn(Reload<'_>) + Send + Sync + 'static,
    ) {
        self.reload = Some((asked, Box::new(load), Box::new(tell)));
    }

    /// Setting it ends the run at the next batch.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Calls `hook` about four times a second while the engine runs, each time after it has looked
    /// whether every worker gets on.
    pub fn on_look(&mut self, hook: impl FnMut(&Gauge) + Send + Sync + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Makes the process give up, once the run has begun, what the run does not need: it becomes
    /// the user of the config, and guards files and system calls as the config says. For a process
    /// that does nothing else; nothing of it can be taken back.
    pub fn confine(&mut self) {
        self.confined = true;
    }

    /// The chain and what it yields.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What stages and sinks tell the readers of the data, in the order of the config.
    pub fn facts(&self) -> Vec<Facts> {
        self.run.facts()
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
    pub fn run(mut self, watch: impl FnOnce(Gauge)) -> Result<Outcome, StartError> {
        let page = self.config.status.as_ref().zip(self.guard.take());
        let page = page.map(|(config, guard)| Bound::new(config, guard)).transpose();
        let page = page.map_err(StartError::Status)?;
        let (from, supply) = supply::choose(&self.config, self.filter.clone())?;
        if !supply.is_replay() {
            self.run.goes_live();
        }
        let started = sinks::now().0;
        let capture = (from, self.places(from)?);
        let manifest = self.manifest(capture, started);
        let reach = if self.confined {
            service::confine(&self.config, &self.plan.blueprint, from).map_err(StartError::User)?
        } else {
            Reach::default()
        };
        let stamp = Stamp::new(&manifest.id, self.config.engine.sensor.as_deref());
        self.run.begins(manifest);
        self.run.books.begin(Arc::clone(&supply));
        let serve = |page: Bound| {
            let (run, supply, live) =
                (Arc::clone(&self.run), Arc::clone(&supply), self.live.clone());
            page.serve(Scene { run, supply, from, live })
        };
        let page = page.map(serve).transpose().map_err(StartError::Thread)?;
        let gauge = Gauge {
            live: self.live.clone(),
            books: Arc::clone(&self.run.books),
            supply: Arc::clone(&supply),
            stop: Arc::clone(&self.stop),
        };
        watch(gauge.clone());
        let _watchdog = Watchdog::start(gauge, self.config.engine.stuck_after, self.hook.take())
            .map_err(StartError::Thread)?;
        let terrain = Terrain {
            stop: Arc::clone(&self.stop),
            workers: self.live.len(),
            may_identify: self.config.allow_identifiable,
            when_full: supply.when_full(),
            replay: supply.is_replay(),
            spill: self.config.engine.spill.clone(),
            stamp,
        };
        let mut sinks = Sinks::start(&self.plan.blueprint, &self.run, terrain)
            .map_err(|failed| failed.at(&self.config))?;
        self.run.books.chain(self.plan.blueprint.stage_labels(), 0);
        let ends = match self.work(&mut sinks, &reach, &*supply, capture, started) {
            Ok(ends) => ends,
            Err(error) => {
                sinks.join();
                return Err(error);
            }
        };
        let outcome = self.account(ends, sinks, &*supply);
        if let Some(page) = page {
            page.end(&outcome.ledger, &outcome.failures);
        }
        Ok(outcome)
    }

    /// How many capture files or interfaces there are.
    fn places(&self, from: Backend) -> Result<usize, InputError> {
        Ok(match &self.config.capture.live {
            Some(live) if from != Backend::File => live.interfaces.len(),
            _ => self.inputs()?.len(),
        })
    }

    /// What goes with the files that come out of a run from here.
    fn manifest(&self, capture: (Backend, usize), started: i64) -> Manifest {
        let Plan { blueprint, records } = &self.plan;
        Manifest::new(&self.config, blueprint, records, &self.facts(), capture, started)
    }

    /// Runs the workers, each on a thread and a core of its own.
    fn work(
        &self,
        sinks: &mut Sinks,
        reach: &Reach,
        supply: &dyn Supply,
        capture: (Backend, usize),
        started: i64,
    ) -> Result<Vec<WorkerEnd>, StartError> {
        // All chains are made and all rings opened before the first packet is taken, so that what
        // cannot be made stops the run before anything is written.
        let (start, done) = (Start::of(self.live.len()), AtomicBool::new(false));
        let seats: Vec<_> = self.live.iter().map(Seat::new).collect();
        thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            let watch = named("watch").spawn_scoped(scope, || look_after(supply, &done));
            let watch = watch.map_err(StartError::Thread)?;
            let mut threads = Vec::new();
            for (number, seat) in seats.iter().enumerate() {
                let (start, outlet) = (&start, sinks.outlet(number, &seat.left));
                let body = move || self.worker(number, (supply, capture.0), outlet, seat, start);
                match named(&format!("worker-{number}")).spawn_scoped(scope, body) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        self.stop.store(true, Relaxed);
                        start.coming.store(0, Relaxed);
                        done.store(true, Relaxed);
                        return Err(StartError::Thread(error));
                    }
                }
            }
            if self.confined {
                service::renounce();
            }
            let mut reloads = None;
            if let Some((asked, load, tell)) = &self.reload {
                let (linked, seats) = (self.linked.as_slice(), seats.as_slice());
                let now = Now::new(&self.config, &self.plan.blueprint, &self.run);
                let reloader =
                    Reloader { load, linked, capture, started, seats, sinks, reach, tell, now };
                let body = || reloader.watch(asked, &done);
                match named("reload").spawn_scoped(scope, body) {
                    Ok(thread) => reloads = Some(thread.thread().clone()),
                    Err(error) => {
                        tracing::warn!("no config can be reloaded: no thread for it: {error}");
                    }
                }
            }
            let join = |thread: thread::ScopedJoinHandle<'_, WorkerEnd>| {
                thread.join().unwrap_or_else(|_| {
                    WorkerEnd::failed("a worker panicked; this is a bug in the engine".to_owned())
                })
            };
            let mut ends: Vec<_> = threads.into_iter().map(join).collect();
            done.store(true, Relaxed);
            watch.thread().unpark();
            if let Some(reloads) = reloads {
                reloads.unpark();
            }
            match ends.iter_mut().find_map(|end| end.refused.take()) {
                Some(error) => Err(error.into()),
                None => Ok(ends),
            }
        })
    }

    fn worker(
        &self,
        number: usize,
        (supply, from): (&dyn Supply, Backend),
        mut outlet: SinkOutlet,
        seat: &Seat,
        start: &Start,
    ) -> WorkerEnd {
        let Seat { live, board, left, shift } = seat;
        let _gone = shift.until_gone();
        let (mut end, tally) = (WorkerEnd::default(), Tally::new(Arc::clone(live)));
        live.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Relaxed);
        if let Err(warning) = self.pin(number) {
            tracing::warn!("{warning}");
        }
        let built = self.plan.blueprint.build_chain(&self.run, board, Some(number));
        let opened = supply.source(number, self.config.engine.batch);
        if built.is_err() || opened.is_err() {
            self.stop.store(true, Relaxed);
        }
        if start.wait(&self.stop) {
            self.run.forget_secret();
        }
        service::keep_for_rings(&self.config, from);
        let mut source = None;
        match (built, opened) {
            (Ok(mut chain), Ok(mut opened)) => {
                chain.tells(live);
                let rings = self.run.books.add(number, live, board, left);
                let replay = supply.is_replay();
                let (stop, chain) = (&*self.stop, &mut chain);
                match opened.enable() {
                    Ok(()) => {
                        start.enabled(replay);
                        let (source, outlet, tally) = (&mut *opened, &mut outlet, &tally);
                        let mut worker =
                            Worker { source, chain, outlet, tally, stop, shift, replay, rings };
                        if let Err(failure) = worker.run() {
                            end.failures.push(failure.to_string());
                            self.stop.store(true, Relaxed);
                            end.finish_chain(chain, outlet);
                        }
                    }
                    Err(error) => {
                        self.stop.store(true, Relaxed);
                        end.refused = Some(error);
                    }
                }
                source = Some(opened);
            }
            (Err(BuildError { plugged, error }), _) => {
                end.failures.push(format!("stage `{}`: {error}", plugged.name));
            }
            (Ok(_), Err(error)) => end.refused = Some(error),
        }
        live.enter(Live::ENDED);
        end.stages = board.stages();
        end.tally = tally.finish(&board.reasons());
        end.counters = board.counters();
        end.report = source.map(Source::report).unwrap_or_default();
        tally.lost(end.report.rings.iter().map(RingReport::lost_by_ring_alone).sum());
        end.rows = left.value();
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

    fn account(self, ends: Vec<WorkerEnd>, sinks: Sinks, supply: &dyn Supply) -> Outcome {
        let mut sinks = sinks.join();
        sinks.extend(self.run.books.ended_sinks());
        let (mut failures, mut ledger) = (Vec::new(), Ledger::default());
        let (mut stages, mut counters, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for end in ends {
            failures.extend(end.failures);
            ledger.workers.push(end.tally);
            ledger.rows += end.rows;
            stages.push(end.stages);
            counters.push(end.counters);
            reports.push(end.report);
        }
        supply.account(reports, &mut ledger);
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
        let ledger = ledger.close(stages, &counters, &self.run.books);
        Outcome { ledger, failures, suggestions }
    }
}

/// Where the workers wait for each other before the first packet.
struct Start {
    /// Workers whose chain and rings are not made yet.
    coming: AtomicUsize,
    /// Workers whose rings are closed yet.
    closed: AtomicUsize,
}

impl Start {
    fn of(workers: usize) -> Self {
        Self { coming: AtomicUsize::new(workers), closed: AtomicUsize::new(workers) }
    }

    /// Waits until all have come, or `stop` is set. Whether it was for the first.
    fn wait(&self, stop: &AtomicBool) -> bool {
        self.coming.fetch_sub(1, Relaxed);
        while self.coming.load(Relaxed) > 0 && !stop.load(Relaxed) {
            thread::yield_now();
        }
        !stop.load(Relaxed)
    }

    /// A worker's rings let packets in.
    fn enabled(&self, replay: bool) {
        if self.closed.fetch_sub(1, Relaxed) == 1 && !replay {
            tracing::info!("all rings are open");
        }
    }
}

/// The thread that keeps an eye on what the workers share.
fn look_after(supply: &dyn Supply, done: &AtomicBool) {
    service::renounce();
    supply.watch(done);
}

/// The filter of `[capture]`, or the error at its place.
fn compile(text: &str, config: &Config) -> Result<Filter, ConfigError> {
    let compiled = Filter::new(text);
    compiled.map_err(|e| config.document.at_key(&Place::CAPTURE, "filter", &e.to_string()))
}

/// What a worker leaves behind.
#[derive(Default)]
struct WorkerEnd {
    /// Its rings could not be opened or enabled.
    refused: Option<RingError>,
    failures: Vec<String>,
    tally: WorkerTally,
    stages: Vec<StageTally>,
    counters: Counters,
    report: SourceReport,
    rows: u64,
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
