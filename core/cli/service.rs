//! Tells the service manager how the run goes; see `configs/ringmill@.service`.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ringmill::{Counted, Gauge, Reload, service::notify::Notifier};

/// How often the text of `systemctl status` is renewed.
const STATUS: Duration = Duration::from_secs(5);

/// The way to the service manager, and what it has been told.
#[derive(Default)]
pub(super) struct Manager {
    notifier: Notifier,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// That the engine does what the config says.
    ready: bool,
    /// The config is being read again.
    reloads: bool,
    stopping: bool,
    /// When it was told last that all is well.
    alive: Option<Instant>,
    counted: Option<Counted>,
    stuck: bool,
    /// Why the last reload was refused.
    refused: Option<String>,
}

impl Manager {
    /// The one that the environment names; nobody, if it names none.
    pub(super) fn from_env() -> Self {
        let notifier = Notifier::from_env().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            Notifier::default()
        });
        Self { notifier, told: Mutex::default() }
    }

    /// Tells it what is new. As long as a worker is stuck it is not told that all is well, and will
    /// start the engine anew.
    pub(super) fn tell(&self, gauge: &Gauge) {
        if !self.notifier.is_heard() {
            return;
        }
        let mut told = self.told();
        if !told.ready && !told.reloads && gauge.is_ready() {
            told.ready = self.notifier.ready();
        }
        told.stopping = told.stopping || (gauge.is_stopping() && self.notifier.stopping());
        let (now, stuck) = (Instant::now(), gauge.stuck());
        if let (Some(patience), []) = (self.notifier.watchdog(), stuck.as_slice()) {
            let every = (patience / 4).min(Duration::from_secs(1));
            if told.alive.is_none_or(|at| now >= at + every) && self.notifier.alive() {
                told.alive = Some(now);
            }
        }
        let is_stuck = !stuck.is_empty();
        let due = told.counted.as_ref().is_none_or(|counted| now >= counted.at + STATUS);
        if due || is_stuck != told.stuck {
            let counted = gauge.counted();
            let mut line = match (stuck.first(), &told.counted) {
                (Some(stuck), _) => stuck.to_string(),
                (None, Some(before)) => counted.line(before),
                (None, None) => "starts".to_owned(),
            };
            if let Some(why) = &told.refused {
                line += &format!("; the last reload was refused: {why}");
            }
            self.notifier.status(&line);
            (told.counted, told.stuck) = (Some(counted), is_stuck);
        }
    }

    /// Tells it what becomes of a reload. The service counts as reloading until it is done or refused
    /// and the next look says that it is ready.
    pub(super) fn tell_of(&self, reload: Reload<'_>) {
        let mut told = self.told();
        let status = match reload {
            Reload::Begins => {
                // Before it was ready once it cannot be so again.
                told.ready = told.ready && !self.notifier.reloading();
                "reads its config again".to_owned()
            }
            Reload::Done(what) => {
                told.refused = None;
                what.to_owned()
            }
            Reload::Refused(why) => {
                told.refused = Some(why.to_owned());
                format!("the reload is refused, and all goes on as it was: {why}")
            }
        };
        told.reloads = reload == Reload::Begins;
        self.notifier.status(&status);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
