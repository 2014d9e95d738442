//! One worker's rings as a source.

use std::{
    os::fd::RawFd,
    ptr, slice,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ringmill_sdk::{Batch, Packet, Timestamp};

use super::{
    Backend, RawFrame, Ring, RingError, Setup,
    lane::{Lane, RingReport},
    meeting::Meeting,
    order::{Next, Order},
    watch::Watch,
};
use crate::capture::{Filled, Source, SourceReport};

/// How long a worker without packets sleeps at most before it looks at its clock.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a worker sleeps when the oldest packet has to wait for others. Shorter, it would
/// look at the empty rings more often than packets come.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// How long packets are looked for that the kernel counted and has not handed over, at the end.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a worker waits for the others to open a ring on an interface that came back.
const GATHER: Duration = Duration::from_secs(2);

/// What the workers of a live capture share: nothing that a packet touches.
pub struct Shared<B> {
    backend: B,
    setup: Arc<Setup>,
    watch: Watch,
    meetings: Vec<Meeting>,
    window: i64,
}

impl<B: Backend> Shared<B> {
    /// The capture of a setup; packets of several interfaces are put in order within `window`.
    pub fn new(backend: B, setup: Arc<Setup>, window: Duration) -> Arc<Self> {
        let watch = Watch::new(&setup.interfaces);
        let meetings = setup.interfaces.iter().map(|_| Meeting::of(setup.workers)).collect();
        let window = i64::try_from(window.as_nanos()).unwrap_or(i64::MAX);
        Arc::new(Self { backend, setup, watch, meetings, window })
    }

    /// The watch over the interfaces, to be kept by a thread of its own.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }
}

/// The rings of one worker, of all interfaces.
pub struct Live<B: Backend> {
    shared: Arc<Shared<B>>,
    worker: usize,
    /// Packets in a batch.
    limit: usize,
    pub(super) lanes: Vec<Lane<B::Ring>>,
    ports: Vec<Port<B::Ring>>,
    /// The time of each lane's next packet.
    heads: Vec<Option<i64>>,
    order: Order,
    /// The last batch was not full.
    idle: Option<Idle>,
    closed: Vec<RingReport>,
    /// Since when each interface is seen to be gone while its rings are open.
    gone: Vec<Option<Instant>>,
    stopped: Option<Instant>,
}

/// Why a batch was not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// No ring had a packet.
    Empty,
    /// The oldest packet waits for this long, or for the rings that are empty.
    Wait(Duration),
}

/// How this worker stands with an interface.
enum Port<R> {
    /// Its rings of this generation are among the lanes.
    Open(u32),
    /// Its rings wait until all workers have theirs.
    Waiting { generation: u32, since: Instant, rings: Vec<R> },
    /// The interface is not there, or its rings of this generation could not be opened.
    Absent { refused: u32 },
}

impl<B: Backend> Live<B> {
    /// Opens the rings of a worker, on its own thread. They give no packets until
    /// [`enable`](Source::enable).
    ///
    /// # Errors
    /// The first ring that cannot be opened.
    pub fn open(shared: &Arc<Shared<B>>, worker: usize, limit: usize) -> Result<Self, RingError> {
        let mut live = Self {
            shared: Arc::clone(shared),
            worker,
            limit,
            lanes: Vec::new(),
            ports: Vec::new(),
            heads: Vec::new(),
            order: Order::new(shared.window),
            idle: None,
            closed: Vec::new(),
            gone: vec![None; shared.setup.interfaces.len()],
            stopped: None,
        };
        for interface in 0..shared.setup.interfaces.len() {
            let rings = shared.backend.open(interface, worker)?;
            let (generation, since) = (shared.watch.generation(interface), Instant::now());
            live.ports.push(Port::Waiting { generation, since, rings });
        }
        Ok(live)
    }

    /// Adds packets in time order. `None` if the batch is full, else why it is not.
    #[inline]
    fn take(&mut self, batch: &mut Batch<'_>) -> Option<Idle> {
        let room = self.limit.min(batch.room());
        if let [lane] = self.lanes.as_mut_slice() {
            for _ in 0..room {
                let Some(frame) = lane.peek() else { return Some(Idle::Empty) };
                lane.take();
                // SAFETY: see `packet`; `fill` holds `self` for as long as the batch lives, and
                // nothing but `fill` and `tend` releases or drops a ring.
                batch.push(unsafe { packet(frame, lane) });
            }
            return None;
        }
        self.heads.clear();
        for lane in &mut self.lanes {
            self.heads.push(lane.peek().map(|frame| frame.time));
        }
        let now = now();
        for _ in 0..room {
            let at = match self.order.next(&self.heads, now) {
                Next::Take(at) => at,
                Next::Empty => return Some(Idle::Empty),
                Next::Wait(ns) => {
                    let longest = Duration::from_nanos(ns.unsigned_abs());
                    return Some(Idle::Wait(longest.max(LEAST_WAIT)));
                }
            };
            let lane = &mut self.lanes[at];
            let frame = lane.peek()?;
            lane.take();
            // SAFETY: as above.
            batch.push(unsafe { packet(frame, lane) });
            self.heads[at] = lane.peek().map(|frame| frame.time);
        }
        None
    }

    /// Sleeps until a ring without packets gets some.
    #[cold]
    fn sleep(&mut self, idle: Idle) {
        let waiting = self.ports.iter().any(Port::is_waiting);
        let empty = self.lanes.iter_mut().filter_map(|lane| match lane.peek() {
            None => Some(lane.ring.fd()),
            Some(_) => None,
        });
        let poll = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds: Vec<libc::pollfd> = empty.map(poll).collect();
        match idle {
            // Packets came while the chain was at work on the last batch.
            Idle::Empty if fds.len() < self.lanes.len() => {}
            Idle::Empty => poll_for(&mut fds, PATIENCE),
            Idle::Wait(longest) => poll_for(&mut fds, longest.min(PATIENCE)),
        }
        if waiting {
            self.tend();
        }
    }

    /// Looks after interfaces that went or came back.
    fn tend(&mut self) {
        for at in 0..self.ports.len() {
            let now = self.shared.watch.generation(at);
            match &mut self.ports[at] {
                Port::Open(generation) if *generation != now => self.close(at),
                Port::Open(_) => {}
                Port::Absent { .. } if now != 0 && self.stopped.is_none() => self.reopen(at, now),
                Port::Absent { .. } => {}
                Port::Waiting { generation, .. } if *generation != now => {
                    self.ports[at] = Port::Absent { refused: 0 };
                }
                Port::Waiting { generation, since, .. } => {
                    let all = self.shared.meetings[at].is_complete(*generation);
                    let go = all || since.elapsed() > GATHER;
                    if go && let Err(error) = self.enable(at) {
                        tracing::warn!("{error}");
                    }
                }
            }
        }
    }

    /// Closes the rings of an interface that is gone, once all their packets are taken.
    fn close(&mut self, interface: usize) {
        let gone = |lane: &Lane<B::Ring>| usize::from(lane.interface) == interface;
        // What the kernel has counted and not handed over yet comes when a block's time is up.
        let since = *self.gone[interface].get_or_insert_with(Instant::now);
        let late = since.elapsed() > DRAIN;
        let mut theirs = self.lanes.iter_mut().filter(|lane| gone(lane));
        if theirs.any(|lane| lane.peek().is_some() || !(late || lane.is_drained())) {
            return;
        }
        self.gone[interface] = None;
        for lane in self.lanes.extract_if(.., |lane| gone(lane)) {
            self.closed.push(lane.close(false));
        }
        self.ports[interface] = Port::Absent { refused: 0 };
    }

    fn reopen(&mut self, interface: usize, generation: u32) {
        match self.shared.backend.open(interface, self.worker) {
            Ok(rings) => {
                self.shared.meetings[interface].come(generation);
                self.ports[interface] = Port::Waiting { generation, since: Instant::now(), rings };
            }
            // It may have gone again, or not be set up yet; the next second tries again.
            Err(error) => {
                let refused = std::mem::replace(
                    &mut self.ports[interface],
                    Port::Absent { refused: generation },
                );
                if !matches!(refused, Port::Absent { refused } if refused == generation) {
                    tracing::warn!("worker {}: {error}; it goes on trying", self.worker);
                }
            }
        }
    }

    /// Makes lanes of the rings of an interface.
    fn enable(&mut self, interface: usize) -> Result<(), RingError> {
        let Port::Waiting { generation, rings, .. } = &mut self.ports[interface] else {
            return Ok(());
        };
        let (generation, rings) = (*generation, std::mem::take(rings));
        self.ports[interface] = Port::Open(generation);
        let name = &self.shared.setup.interfaces[interface];
        let number = u16::try_from(interface).unwrap_or(u16::MAX);
        for mut ring in rings {
            ring.enable()?;
            self.lanes.push(Lane::new(ring, number, name, self.worker));
        }
        Ok(())
    }
}

impl<R> Port<R> {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

impl<B: Backend> Source for Live<B> {
    fn fill<'a>(&'a mut self, batch: &mut Batch<'a>) -> Filled {
        // The batch before this one has ended, or `self` could not be borrowed.
        self.lanes.iter_mut().for_each(|lane| lane.ring.release());
        if let Some(idle) = self.idle.take() {
            if self.stopped.is_some_and(|since| self.is_drained(since)) {
                return Filled::End;
            }
            self.sleep(idle);
        }
        self.idle = self.take(batch);
        Filled::More
    }

    fn enable(&mut self) -> Result<(), RingError> {
        (0..self.ports.len()).try_for_each(|interface| Live::enable(self, interface))
    }

    fn second(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.count(true));
        self.tend();
    }

    fn lost(&self) -> u64 {
        let open = self.lanes.iter().map(Lane::lost_by_ring_alone);
        open.chain(self.closed.iter().map(RingReport::lost_by_ring_alone)).sum()
    }

    fn rings(&self) -> Vec<RingReport> {
        self.closed.iter().chain(self.lanes.iter().map(Lane::report)).cloned().collect()
    }

    fn stop(&mut self) -> Filled {
        self.lanes.iter_mut().for_each(|lane| lane.ring.stop());
        self.stopped = Some(Instant::now());
        // Nothing is to come any more that a packet could wait for.
        self.order = Order::new(0);
        Filled::More
    }

    fn report(mut self: Box<Self>) -> SourceReport {
        let failed = self.stopped.is_none();
        let open = self.lanes.drain(..).map(|lane| lane.close(failed));
        let rings = self.closed.drain(..).chain(open).collect();
        SourceReport { rings, ..SourceReport::default() }
    }
}

impl<B: Backend> Live<B> {
    /// Whether every packet that the kernel counted has been taken, or will not come.
    fn is_drained(&mut self, since: Instant) -> bool {
        since.elapsed() > DRAIN || self.lanes.iter_mut().all(Lane::is_drained)
    }
}

/// The descriptor of a frame.
///
/// # Safety
/// The frame was taken from the lane's ring, and the ring is neither released nor dropped before
/// `'a` ends.
#[inline]
unsafe fn packet<'a, R: Ring>(frame: RawFrame, lane: &Lane<R>) -> Packet<'a> {
    // SAFETY: the contract of `Ring` and of this function.
    let data = unsafe { slice::from_raw_parts(frame.data.as_ptr(), frame.len as usize) };
    let time = Timestamp(frame.time);
    Packet::new(data, time, frame.wire_len, lane.link, lane.interface).with_vlan(frame.vlan)
}

/// Sleeps until one of the rings is readable, at most so long, which is less than a second.
fn poll_for(fds: &mut [libc::pollfd], longest: Duration) {
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(longest.subsec_nanos()) };
    let len = fds.len() as libc::nfds_t;
    // SAFETY: `fds` and `timeout` live across the call; a null mask changes no signals.
    unsafe { libc::ppoll(fds.as_mut_ptr(), len, &raw const timeout, ptr::null()) };
    let broken = fds.iter().filter(|fd| fd.revents & !libc::POLLIN != 0);
    if broken.map(|fd| clear_error(fd.fd)).count() > 0 {
        // An interface is down; poll says so at once, again and again.
        std::thread::sleep(LEAST_WAIT * 10);
    }
}

/// Takes a pending error off a socket, such as that its interface is down.
fn clear_error(fd: RawFd) {
    let (mut error, mut len) =
        (0, libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4));
    let value: *mut libc::c_int = &raw mut error;
    // SAFETY: `error` and `len` live across the call, and `len` is the size of `error`.
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, value.cast(), &raw mut len) };
}

/// Nanoseconds since 1970 by the system's clock.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
