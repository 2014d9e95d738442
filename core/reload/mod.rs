//! Reads the config again while the engine runs, and puts what it says in the place of what runs.
//!
//! All that may be refused or may take long is done beside the running chains, on a thread of its
//! own: the file is checked as at the start, and of what has changed new stages and sinks are made.
//! Then each worker finds its new chain at the begin of a batch. There it ends the stages that do
//! not go on, moves those that do, and takes packets again; neither its rings nor the batch know of
//! it. The new stages are made near the worker's memory but not on its thread, because a key
//! schedule or a list of networks may take longer than a ring holds packets for.
//!
//! Nothing comes twice or is lost, because the order is kept: what the old chain emits goes to the
//! old sinks by their old queues, and a sink that goes on takes from its new queue when all ends of
//! the old one are gone. What a stage or a sink is told apart by, see [`marks`].

mod frozen;
mod marks;
mod near;
mod shift;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use ringmill_sdk::Factory;

pub(crate) use shift::{Next, Shift, Taken};

use crate::{
    chain::{Blueprint, BuildError, Parts},
    config::{Backend, Config, ConfigError},
    host::Run,
    manifest::Manifest,
    plan::Plan,
    service::Reach,
    sinks::{Sinks, Stamp, now},
    worker::Seat,
};
use marks::Marks;

/// How often it is looked whether somebody asks.
const GLANCE: Duration = Duration::from_millis(50);

/// Reads the config again.
pub(crate) type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What becomes of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload<'a> {
    /// The config is read.
    Begins,
    /// It has taken effect; with what the log says of it.
    Done(&'a str),
    /// It was refused, with the reason, and all goes on as it was.
    Refused(&'a str),
}

/// Is told what becomes of reloads.
pub(crate) type Tell = Box<dyn Fn(Reload<'_>) + Send + Sync>;

/// A run that can be changed.
pub(crate) struct Reloader<'a> {
    pub(crate) load: &'a Load,
    pub(crate) linked: &'a [Factory],
    /// Where the packets come from, and how many inputs.
    pub(crate) capture: (Backend, usize),
    /// When the run began, in nanoseconds since 1970.
    pub(crate) started: i64,
    pub(crate) seats: &'a [Seat],
    pub(crate) sinks: &'a mut Sinks,
    /// What files can be read and written.
    pub(crate) reach: &'a Reach,
    /// Whom to tell.
    pub(crate) tell: &'a Tell,
    pub(crate) now: Now,
}

/// What runs now.
pub(crate) struct Now {
    config: Config,
    run: Arc<Run>,
    marks: Marks,
}

impl Now {
    pub(crate) fn new(config: &Config, blueprint: &Blueprint, run: &Arc<Run>) -> Self {
        Self { config: config.clone(), run: Arc::clone(run), marks: Marks::of(blueprint) }
    }
}

impl Reloader<'_> {
    /// Reloads whenever it is `asked` to, until all is `done`.
    pub(crate) fn watch(mut self, asked: &AtomicBool, done: &AtomicBool) {
        while !done.load(Relaxed) {
            if !asked.swap(false, Relaxed) {
                thread::park_timeout(GLANCE);
                continue;
            }
            (self.tell)(Reload::Begins);
            match self.reload() {
                Ok(done) => {
                    tracing::info!("{done}");
                    (self.tell)(Reload::Done(&done));
                }
                Err(why) => {
                    tracing::error!("the reload is refused, and all goes on as it was: {why}");
                    let first = why.lines().next().unwrap_or_default();
                    self.now.run.books.reloaded(|reloads| {
                        reloads.refused += 1;
                        reloads.last_refused = Some((now().0, first.to_owned()));
                    });
                    (self.tell)(Reload::Refused(first));
                }
            }
        }
    }

    /// Does it once, and gives what there is to say; after an error all is as it was before.
    fn reload(&mut self) -> Result<String, String> {
        let said = |error: ConfigError| error.to_string();
        let config = (self.load)().map_err(said)?;
        frozen::check(&self.now.config, &config)?;
        let blueprint = self.found(&config).map_err(said)?;
        // Before the files that it looks at are read.
        let marks = Marks::of(&blueprint);
        let go_on = self.stages_that_go_on(&marks);
        let kept = self.sinks_that_go_on(&config, &marks);
        let goes_on = marks.stages.iter().map(|(label, _)| go_on.contains(label));
        let goes_on = goes_on.chain(kept.iter().map(|(_, old)| old.is_some()));
        for ((plugged, _, named), _) in blueprint.files().zip(goes_on).filter(|(_, same)| !same) {
            let reached = |named| self.reach.check(named, plugged, &config);
            named.iter().try_for_each(reached).map_err(said)?;
        }
        let run = self.now.run.next().map_err(|error| error.to_string())?;
        let (run, number) = (Arc::new(run), self.now.run.books.reloads().done + 1);
        let plan = Plan::of(blueprint, &config, &run).map_err(said)?;
        let blueprint = &plan.blueprint;
        let same = |label: &String| {
            go_on.contains(label) || kept.iter().any(|(it, old)| old.is_some() && it == label)
        };
        // What was declared when they were made; those that the check has made have other keys.
        let facts = self.now.run.facts().into_iter().filter(|facts| same(&facts.stage));
        facts.for_each(|facts| run.keep_facts(&facts));
        let parts = self.parts(&config, blueprint, &run, &go_on);
        let parts = parts.map_err(|failed| failed.at(&config).to_string())?;
        let (records, facts) = (&plan.records, run.facts());
        let manifest =
            Manifest::new(&config, blueprint, records, &facts, self.capture, self.started);
        let stamp = Stamp::new(&manifest.id, config.engine.sensor.as_deref());
        let keep: Vec<_> = kept.iter().map(|(_, old)| *old).collect();
        let prepared =
            self.sinks.prepare(blueprint, &run, (config.allow_identifiable, stamp), &keep);
        let prepared = prepared.map_err(|failed| failed.at(&config).to_string())?;

        // From here on nothing is refused.
        run.begins(manifest);
        run.books.chain(blueprint.stage_labels(), number);
        let leaving = self.sinks.adopt(prepared, &run);
        for (worker, (seat, parts)) in self.seats.iter().zip(parts).enumerate() {
            let outlet = self.sinks.outlet(worker, &seat.left);
            seat.shift.hand(Next { parts, outlet });
        }
        // What they leave behind is dropped here, and with it the ends of the old queues.
        let pause = |Taken { remains, outlet, pause }| {
            drop((remains, outlet));
            pause
        };
        let pauses = self.seats.iter().filter_map(|seat| seat.shift.wait().map(pause));
        let pause = pauses.max().unwrap_or_default();
        self.sinks.settle(leaving, blueprint, &run, number);
        run.forget_secret();

        let mut new = blueprint.stage_labels();
        new.retain(|label| !go_on.contains(label));
        let stages = told("stages", &new);
        let new = kept.into_iter().filter(|(_, old)| old.is_none());
        let sinks = told("sinks", &new.map(|(label, _)| label).collect::<Vec<_>>());
        let done = format!(
            "reload {number} of `{}` is done; {stages}; {sinks}; no worker paused for more than {:.1} ms",
            config.document.path().display(),
            pause.as_secs_f64() * 1e3
        );
        run.books.reloaded(|reloads| {
            reloads.done = number;
            reloads.last = Some(now().0);
            let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
            reloads.longest_pause = reloads.longest_pause.max(pause);
        });
        self.now = Now { config, run, marks };
        Ok(done)
    }

    /// Where the config's stages and sinks come from.
    fn found(&self, config: &Config) -> Result<Blueprint, ConfigError> {
        let sinks = config.sinks.iter().map(|sink| &sink.plugged);
        let mut all = config.stages.iter().chain(sinks);
        all.try_for_each(|plugged| self.reach.check_plugin(plugged, config))?;
        Blueprint::new(config, self.linked)
    }

    /// What each worker's chain is made of but for the stages that go on.
    fn parts(
        &self,
        config: &Config,
        blueprint: &Blueprint,
        run: &Arc<Run>,
        go_on: &[String],
    ) -> Result<Vec<Parts>, BuildError> {
        let cores = config.engine.cores.as_ref().map(|cores| cores.as_slice());
        let seats = self.seats.iter().enumerate();
        let each = |(worker, seat): (usize, &Seat)| {
            let core = cores.and_then(|cores| cores.get(worker)).copied();
            near::to_core(core, || blueprint.build_parts(run, &seat.board, Some(worker), go_on))
        };
        seats.map(each).collect()
    }

    /// The labels of the stages that are the same as now. One that has failed gets another chance.
    fn stages_that_go_on(&self, marks: &Marks) -> Vec<String> {
        let has_failed = |label: &str| self.seats.iter().any(|it| it.board.is_in_trouble(label));
        let same = marks.stages.iter().filter(|stage| self.now.marks.stages.contains(stage));
        same.map(|(label, _)| label.clone()).filter(|label| !has_failed(label)).collect()
    }

    /// The label of each sink, and the number it has now if it goes on. One that was given up gets
    /// another chance.
    fn sinks_that_go_on(&self, config: &Config, marks: &Marks) -> Vec<(String, Option<usize>)> {
        let same_gate = config.allow_identifiable == self.now.config.allow_identifiable;
        let now = &self.now.marks.sinks;
        let number = |sink: &(String, String)| {
            let at = now.iter().position(|known| known == sink).filter(|_| same_gate);
            at.filter(|at| !self.sinks.has_failed(*at))
        };
        marks.sinks.iter().map(|sink| (sink.0.clone(), number(sink))).collect()
    }
}

fn told(what: &str, new: &[String]) -> String {
    match new {
        [] => format!("all {what} go on"),
        new => format!("new {what}: {}", new.join(", ")),
    }
}
