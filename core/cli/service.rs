//! Tells the service manager how the run goes; see `configs/ringmill@.service`.

use std::time::{Duration, Instant};

use ringmill::{Counted, Gauge, service::notify::Notifier};

/// How often the text of `systemctl status` is renewed.
const STATUS: Duration = Duration::from_secs(5);

/// What the service manager has been told.
#[derive(Default)]
pub(super) struct Manager {
    notifier: Notifier,
    ready: bool,
    stopping: bool,
    /// When it was told last that all is well.
    alive: Option<Instant>,
    counted: Option<Counted>,
    stuck: bool,
}

impl Manager {
    /// The one that the environment names; nobody, if it names none.
    pub(super) fn from_env() -> Self {
        let notifier = Notifier::from_env().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            Notifier::default()
        });
        Self { notifier, ..Self::default() }
    }

    /// Tells it what is new. As long as a worker is stuck it is not told that all is well, and will
    /// start the engine anew.
    pub(super) fn tell(&mut self, gauge: &Gauge) {
        if !self.notifier.is_heard() {
            return;
        }
        self.ready = self.ready || (gauge.is_ready() && self.notifier.ready());
        self.stopping = self.stopping || (gauge.is_stopping() && self.notifier.stopping());
        let (now, stuck) = (Instant::now(), gauge.stuck());
        if let (Some(patience), []) = (self.notifier.watchdog(), stuck.as_slice()) {
            let every = (patience / 4).min(Duration::from_secs(1));
            if self.alive.is_none_or(|at| now >= at + every) && self.notifier.alive() {
                self.alive = Some(now);
            }
        }
        let is_stuck = !stuck.is_empty();
        let due = self.counted.as_ref().is_none_or(|counted| now >= counted.at + STATUS);
        if due || is_stuck != self.stuck {
            let counted = gauge.counted();
            let line = match (stuck.first(), &self.counted) {
                (Some(stuck), _) => stuck.to_string(),
                (None, Some(before)) => counted.line(before),
                (None, None) => "starts".to_owned(),
            };
            self.notifier.status(&line);
            (self.counted, self.stuck) = (Some(counted), is_stuck);
        }
    }
}
