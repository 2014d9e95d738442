//! Notices a worker that does not come back.
//!
//! Each worker writes down where it is, a plain word on its own cache line, and counts its
//! batches there; a thread of ours looks at that a few times a second. A worker that waits for
//! packets of a pipe or for a sink is where it is for good reason; one that a stage or a ring does
//! not give back for too long is named, and the service manager is not told any more that all is
//! well.

use std::{
    fmt, io,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use crossbeam_utils::CachePadded;
use serde::Serialize;

use crate::{
    Gauge,
    ledger::{Books, Live},
};

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A worker that does not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// Its number.
    pub worker: usize,
    /// The stage that it is in; none if it waits for its rings.
    pub stage: Option<String>,
    /// For how long, in whole seconds.
    pub seconds: u64,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, stage, seconds } = self;
        match stage {
            Some(stage) => {
                write!(f, "worker {worker} has not come back from stage `{stage}` for {seconds} s")
            }
            None => write!(f, "worker {worker} has not come back from its rings for {seconds} s"),
        }
    }
}

/// Called after each look.
pub(crate) type Hook = Box<dyn FnMut(&Gauge) + Send + Sync>;

/// Looks at the workers.
pub(crate) struct Watchdog {
    live: Vec<Arc<CachePadded<Live>>>,
    books: Arc<Books>,
    /// The packets are old, so that a worker may wait for a file.
    replay: bool,
    after: Duration,
    seen: Vec<Seen>,
    looked: Instant,
}

/// A worker as it was seen last.
#[derive(Clone, Default)]
struct Seen {
    batches: u64,
    place: usize,
    still: Duration,
    told: bool,
}

impl Watchdog {
    fn new(
        live: Vec<Arc<CachePadded<Live>>>,
        books: Arc<Books>,
        replay: bool,
        after: Duration,
    ) -> Self {
        let seen = vec![Seen::default(); live.len()];
        Self { live, books, replay, after, seen, looked: Instant::now() }
    }

    /// Starts a thread that looks whether a worker is in one stage for longer than `after`, and
    /// calls `hook` each time.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(
        gauge: Gauge,
        after: Duration,
        mut hook: Option<Hook>,
    ) -> io::Result<Looking> {
        let (live, books) = (gauge.live.clone(), Arc::clone(&gauge.books));
        let mut watchdog = Self::new(live, books, gauge.supply.is_replay(), after);
        let (running, over) = bounded::<()>(0);
        let body = move || {
            super::renounce();
            let mut runs = true;
            while runs {
                // Once more when the run is over, for whoever waits for its end.
                runs = over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout);
                watchdog.look(Instant::now());
                if let Some(hook) = &mut hook {
                    hook(&gauge);
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(body)?;
        Ok(Looking { running: Some(running), thread: Some(thread) })
    }

    fn look(&mut self, now: Instant) {
        // A look that comes late says that we did not run either: the machine was asleep, or a
        // signal stopped the process.
        let passed = now.saturating_duration_since(self.looked).min(2 * LOOK);
        self.looked = now;
        let mut all = Vec::new();
        for (worker, (seen, live)) in self.seen.iter_mut().zip(&self.live).enumerate() {
            let (batches, place) = (live.polls.load(Relaxed), live.place.load(Relaxed));
            if (batches, place) != (seen.batches, seen.place) {
                if seen.told {
                    let still = seen.still.as_secs();
                    tracing::info!("worker {worker} goes on after {still} s");
                }
                *seen = Seen { batches, place, ..Seen::default() };
                continue;
            }
            seen.still += passed;
            if seen.still < self.after {
                continue;
            }
            let stage = match place {
                // It has not begun, or waits for what is still to come.
                Live::AT_SOURCE if self.replay || batches == 0 => continue,
                Live::AT_SOURCE => None,
                // The sink has its own thread, which tells what the matter is.
                Live::AT_SINKS if !seen.told => {
                    seen.told = true;
                    tracing::warn!(
                        "worker {worker} has waited for a sink whose queue is full for {} s",
                        seen.still.as_secs()
                    );
                    continue;
                }
                Live::AT_SINKS | Live::ENDED => continue,
                stage => Some(self.books.stage(stage - 1).unwrap_or_default()),
            };
            let stuck = Stuck { worker, stage, seconds: seen.still.as_secs() };
            if !seen.told {
                seen.told = true;
                tracing::error!("{stuck}; its packets are lost until it does");
            }
            all.push(stuck);
        }
        self.books.show_stuck(all);
    }
}

/// The thread that looks; dropped, it ends.
pub(crate) struct Looking {
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker does between two looks: its batches, and where it is.
    type Step = (u64, usize);

    fn stuck_after(replay: bool, steps: &[Step]) -> Vec<Option<u64>> {
        let live = Arc::<CachePadded<Live>>::default();
        let books = Arc::<Books>::default();
        let after = Duration::from_secs(1);
        let mut watchdog =
            Watchdog::new(vec![Arc::clone(&live)], Arc::clone(&books), replay, after);
        let mut now = Instant::now();
        let look = |(batches, place): &Step| {
            live.polls.store(*batches, Relaxed);
            live.place.store(*place, Relaxed);
            now += LOOK;
            watchdog.look(now);
            books.stuck().first().map(|stuck| stuck.seconds)
        };
        steps.iter().map(look).collect()
    }

    #[test]
    fn only_who_does_not_come_back_is_stuck() {
        let still = |step: Step| [(1, 7), step, step, step, step, step, step];
        let rows: &[(&str, bool, [Step; 7], Option<u64>)] = &[
            ("in a stage", false, still((9, 2)), Some(1)),
            ("in a stage, of a file", true, still((9, 2)), Some(1)),
            ("in the ring", false, still((9, Live::AT_SOURCE)), Some(1)),
            ("waits for a file", true, still((9, Live::AT_SOURCE)), None),
            ("has not begun", false, still((0, Live::AT_SOURCE)), None),
            ("waits for a sink", false, still((9, Live::AT_SINKS)), None),
            ("has ended", false, still((9, Live::ENDED)), None),
            ("idle rings", false, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)], None),
            (
                "many records of one batch",
                false,
                [(1, 1), (1, 2), (1, 3), (1, 2), (1, 3), (1, 2), (1, 3)],
                None,
            ),
            ("comes back", false, [(1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (2, 0)], None),
        ];
        for (name, replay, steps, expected) in rows {
            assert_eq!(stuck_after(*replay, steps).last(), Some(expected), "{name}");
        }
        let while_stuck = stuck_after(false, &rows[9].2);
        assert_eq!(while_stuck, [None, None, None, None, Some(1), Some(1), None]);
    }

    #[test]
    fn a_process_that_was_stopped_is_not_stuck() {
        let live = Arc::<CachePadded<Live>>::default();
        live.place.store(1, Relaxed);
        live.polls.store(1, Relaxed);
        let books = Arc::<Books>::default();
        let after = Duration::from_secs(10);
        let mut watchdog = Watchdog::new(vec![live], Arc::clone(&books), false, after);
        let now = Instant::now();
        watchdog.look(now);
        watchdog.look(now + Duration::from_secs(3600));
        assert_eq!(books.stuck(), []);
    }
}
