//! The status page of a run, its data as JSON, and its metrics.
//!
//! One thread does all of it. Once a second it reads the plain counters that the workers and sinks
//! keep anyway, and makes the three documents that are served until the next second; in between
//! it serves them. So nobody who looks costs a worker anything, however often he looks.

mod history;
mod load;
mod metrics;
mod process;
mod request;
mod server;
mod snapshot;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use crossbeam_utils::CachePadded;
use serde::Serialize;

use crate::{
    capture::{file::Read, live::watch::InterfaceReport},
    config::{self, Backend},
    host::Run,
    ledger::{Ledger, Live},
    service,
    sinks::{Look, now as wall_clock},
    supply::Supply,
};
use history::History;
use load::{Load, Seen};
use process::Process;
use request::Guard;
use server::{Bodies, Server};
use snapshot::Snapshot;
pub(crate) use snapshot::{SinkLoad, Totals};

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long at most until the end of the run is noticed.
const GLANCE: Duration = Duration::from_millis(50);
/// Somebody looks on who has asked within this time.
const LOOKS_ON: Duration = Duration::from_secs(3);
/// How long the end of the run waits until he has seen the whole ledger.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Others go first: the workers, on a machine with too few cores.
const NICE: i32 = 5;

const PAGE: &str = include_str!("page.html");

/// Who may read the page of this config.
///
/// # Errors
/// What is wrong with the token file, and what to do.
pub(crate) fn guard(config: &config::Status) -> Result<PageGuard, String> {
    let token = config.token_file.as_deref().map(Guard::read_token).transpose()?;
    Ok(PageGuard(Guard::new(config.listen.ip(), token.as_deref())))
}

/// Who may read.
pub(crate) struct PageGuard(Guard);

/// What the page is about.
pub(crate) struct Scene {
    pub(crate) run: Arc<Run>,
    pub(crate) supply: Arc<dyn Supply>,
    pub(crate) from: Backend,
    pub(crate) live: Vec<Arc<CachePadded<Live>>>,
}

/// The address is ours; nothing is served yet.
pub(crate) struct Bound(Server);

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// With what to do.
    pub(crate) fn new(config: &config::Status, guard: PageGuard) -> Result<Self, String> {
        Server::bind(config.listen, guard.0).map(Self).map_err(|error| {
            let listen = config.listen;
            let other = match error.kind() {
                io::ErrorKind::AddrInUse => "; give `listen` of [status] another port",
                _ => "",
            };
            format!("the status page cannot be served at {listen}: {error}{other}")
        })
    }

    /// Serves until the run is over.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn serve(self, scene: Scene) -> io::Result<Serving> {
        let address = self.0.address()?;
        let (over, end) = bounded(1);
        let page = Page::new(scene);
        let thread = thread::Builder::new().name("status".to_owned());
        let thread = thread.spawn(move || serve(self.0, page, &end))?;
        tracing::info!("status page at http://{address}/");
        Ok(Serving { over: Some(over), thread: Some(thread) })
    }
}

/// The page of a run that goes on. Dropped, it ends at once.
pub(crate) struct Serving {
    over: Option<Sender<(Ledger, Vec<String>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// The run is over: whoever looks on sees its ledger, then the page ends.
    pub(crate) fn end(mut self, ledger: &Ledger, failures: &[String]) {
        if let Some(over) = self.over.take() {
            // A thread that is gone has panicked, and has said so.
            let _ = over.send((ledger.clone(), failures.to_vec()));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut server: Server, mut page: Page, end: &Receiver<(Ledger, Vec<String>)>) {
    service::renounce();
    // Where that is not allowed it runs like all others.
    let _ = rustix::process::setpriority_process(None, NICE);
    let mut bodies = page.look(Instant::now());
    let mut next = Instant::now() + INTERVAL;
    let (ledger, failures) = loop {
        match end.try_recv() {
            Ok(end) => break end,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {}
        }
        let now = Instant::now();
        if now >= next {
            bodies = page.look(now);
            next = (next + INTERVAL).max(now);
        }
        server.turn(next.min(now + GLANCE), &bodies);
    };
    let now = Instant::now();
    let bodies = page.end(ledger, failures, now);
    let [_, status, _, metrics] = server.take_asked(now.checked_sub(LOOKS_ON).unwrap_or(now));
    let (watched, until) = ([false, status, false, metrics], now + LAST_LOOK);
    while Instant::now() < until && !server.has_served(&watched) {
        server.turn((Instant::now() + GLANCE).min(until), &bodies);
    }
}

/// What is served, and what it is made from.
struct Page {
    scene: Scene,
    started: i64,
    looked: Instant,
    history: History,
    seen: Vec<Seen>,
    loads: Vec<Load>,
    page: Arc<[u8]>,
    /// What the network cards had dropped when they were last looked at. What rings dropped is taken
    /// off it a moment later than it is counted, so it might go back.
    cards: Vec<InterfaceReport>,
    /// How far the reading has come; at the end the files are closed and nobody knows any more.
    read: Option<Read>,
}

impl Page {
    fn new(scene: Scene) -> Self {
        let now = Instant::now();
        Self {
            started: ms(),
            looked: now,
            history: History::default(),
            seen: scene.live.iter().map(|_| Seen::new(now)).collect(),
            loads: Vec::new(),
            page: PAGE.as_bytes().into(),
            cards: Vec::new(),
            read: None,
            scene,
        }
    }

    /// Reads all counters, and makes of them what is served.
    fn look(&mut self, now: Instant) -> Bodies {
        let elapsed = (now - self.looked).as_secs_f64();
        self.looked = now;
        let seen = self.seen.iter_mut().zip(&self.scene.live);
        self.loads = seen.map(|(seen, live)| seen.look(live, now, elapsed)).collect();
        for stuck in self.scene.run.books.stuck() {
            if let Some(load) = self.loads.get_mut(stuck.worker) {
                load.stuck = Some(stuck.stage.unwrap_or_else(|| "its rings".to_owned()));
            }
        }
        self.read = self.scene.supply.read();
        let (mut ledger, looks) = self.scene.run.books.ledger();
        self.hold(&mut ledger);
        self.history.add(ms(), elapsed, &Totals::of(&ledger));
        self.bodies(ledger, looks, None)
    }

    /// The run is over.
    fn end(&mut self, ledger: Ledger, failures: Vec<String>, now: Instant) -> Bodies {
        let elapsed = (now - self.looked).as_secs_f64();
        self.history.add(ms(), elapsed, &Totals::of(&ledger));
        let (_, mut looks) = self.scene.run.books.ledger();
        for (look, tally) in looks.iter_mut().zip(&ledger.sinks) {
            *look = Look { tally: tally.clone(), queued: 0, ..look.clone() };
        }
        self.bodies(ledger, looks, Some(failures))
    }

    /// Lets no card's count go back.
    fn hold(&mut self, ledger: &mut Ledger) {
        for (now, before) in ledger.interfaces.iter_mut().zip(&self.cards) {
            for (reason, count) in &before.nic_dropped {
                let now = now.nic_dropped.entry(reason.clone()).or_default();
                *now = (*now).max(*count);
            }
        }
        self.cards.clone_from(&ledger.interfaces);
    }

    fn bodies(&self, ledger: Ledger, looks: Vec<Look>, failures: Option<Vec<String>>) -> Bodies {
        let snapshot = Snapshot {
            version: crate::VERSION,
            started: self.started,
            at: ms(),
            ended: failures.is_some(),
            failures: failures.unwrap_or_default(),
            from: self.scene.from.name(),
            read: self.read.map(Into::into),
            totals: Totals::of(&ledger),
            second: self.history.last().cloned(),
            worst: self.history.worst(),
            workers: self.loads.clone(),
            process: Process::look(),
            sinks: looks.into_iter().map(SinkLoad::of).collect(),
            ledger,
        };
        Bodies {
            page: Arc::clone(&self.page),
            metrics: metrics::text(&snapshot).into_bytes().into(),
            status: json(&snapshot),
            history: json(self.history.seconds()),
        }
    }
}

fn json(value: &impl Serialize) -> Arc<[u8]> {
    // None of these types has anything that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Milliseconds since 1970.
fn ms() -> i64 {
    wall_clock().0 / 1_000_000
}
