//! Ends the run when it is told to, and the process when the run does not end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use ringmill::{Gauge, service};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator, low_level,
};

use super::{FAILED, complain};

/// How often it is looked whether the run gets to its end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a worker that is stuck has before the process ends without it.
const GRACE: Duration = Duration::from_secs(5);

/// SIGINT and SIGTERM from now on.
pub(super) struct Signals(Option<iterator::Signals>);

impl Signals {
    /// Keeps them until somebody heeds them.
    pub(super) fn catch() -> Self {
        match iterator::Signals::new([SIGINT, SIGTERM]) {
            Ok(signals) => Self(Some(signals)),
            Err(error) => {
                tracing::warn!("a signal will end the engine at once: {error}");
                Self(None)
            }
        }
    }

    /// The first ends the run at the next batch, with all that it has taken. The second ends the
    /// process, for whoever does not want to wait for a sink; so does a worker that is stuck.
    pub(super) fn heed(self, stop: Arc<AtomicBool>, gauge: Gauge) {
        let Some(signals) = self.0 else { return };
        let body = move || {
            service::renounce();
            heed(signals, &stop, &gauge);
        };
        if let Err(error) = thread::Builder::new().name("signals".to_owned()).spawn(body) {
            tracing::warn!("signals are not heeded, for lack of a thread: {error}");
        }
    }
}

fn heed(mut signals: iterator::Signals, stop: &AtomicBool, gauge: &Gauge) {
    if signals.forever().next().is_none() {
        return;
    }
    stop.store(true, Relaxed);
    let since = Instant::now();
    loop {
        if signals.pending().next().is_some() {
            end("a second signal ends the engine", gauge);
        }
        if let Some(stuck) = gauge.stuck().first().filter(|_| since.elapsed() >= GRACE) {
            end(&format!("the run cannot end: {stuck}"), gauge);
        }
        thread::sleep(LOOK);
    }
}

/// Ends the process as it is; what sinks have on disk they find again at the next start.
fn end(why: &str, gauge: &Gauge) -> ! {
    let unfinished = gauge.unfinished().join(", ");
    complain(&format!("error: {why}; {unfinished}"));
    low_level::exit(i32::from(FAILED))
}
