//! Runs one source on one core.
//!
//! A worker owns its source and its chain outright: nothing is shared, so nothing needs a
//! lock. Work goes by batch, because one virtual call per batch is lost in the noise and one
//! per packet is not.
//!
//! We did not put queues between stages: a packet would leave the cache before the next stage
//! saw it, and a slow stage would hide behind its queue until the queue was full.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use ringmill_sdk::{Arena, Batch, Counter, Timestamp};

use crate::{
    capture::{Filled, Source},
    chain::{Chain, StageFailure},
    host::Board,
    ledger::{Live, Rings, Tally},
    reload::{Next, Shift, Taken},
    sinks::{self, SinkOutlet},
};

/// What a worker shares with those who look at it and those who change it.
pub(crate) struct Seat {
    pub(crate) live: Arc<CachePadded<Live>>,
    pub(crate) board: Arc<Board>,
    /// Rows that left its chains.
    pub(crate) left: Counter,
    pub(crate) shift: Shift,
}

impl Seat {
    pub(crate) fn new(live: &Arc<CachePadded<Live>>) -> Self {
        let (board, left, shift) = (Arc::default(), Counter::default(), Shift::default());
        Self { live: Arc::clone(live), board, left, shift }
    }
}

/// One worker's loop.
pub(crate) struct Worker<'a> {
    pub(crate) source: &'a mut dyn Source,
    pub(crate) chain: &'a mut Chain,
    pub(crate) outlet: &'a mut SinkOutlet,
    pub(crate) tally: &'a Tally,
    pub(crate) stop: &'a AtomicBool,
    /// Where its next chain comes from.
    pub(crate) shift: &'a Shift,
    /// Stages are told the time of the packets, not the wall clock.
    pub(crate) replay: bool,
    /// Where whoever wants to know finds what the rings have counted.
    pub(crate) rings: Rings,
}

impl Worker<'_> {
    /// Takes packets until the source ends, or `stop` is set and what was received by then is
    /// taken; then ends the chain.
    pub(crate) fn run(&mut self) -> Result<(), StageFailure> {
        let mut clock = Clock::new();
        let mut spare = Batch::default();
        let mut arena = Arena::default();
        let mut stopping = false;
        loop {
            if !stopping && self.stop.load(Relaxed) {
                stopping = true;
                if self.source.stop() == Filled::End {
                    break;
                }
            }
            if self.shift.is_due() {
                self.renew()?;
            }
            let mut batch = spare.recycle().with_arena(&arena);
            self.tally.asks();
            let filled = self.source.fill(&mut batch);
            self.tally.received(&batch);
            if let Err(failure) = self.chain.packets(&mut batch, self.outlet) {
                self.tally.failed(&batch, &failure.stage);
                return Err(failure);
            }
            self.tally.verdicts(&batch);
            spare = batch.recycle();
            arena.clear();
            if clock.second_passed() {
                self.source.second();
                self.tally.lost(self.source.lost());
                self.show_rings();
                self.chain.tick(self.now(), self.outlet)?;
            }
            if filled == Filled::End {
                break;
            }
        }
        self.chain.finish(self.outlet)
    }

    /// Another chain takes the place of this one.
    #[cold]
    fn renew(&mut self) -> Result<(), StageFailure> {
        let Some(Next { parts, outlet }) = self.shift.take() else { return Ok(()) };
        let began = Instant::now();
        let (remains, result) = self.chain.renew(parts, self.outlet);
        let outlet = std::mem::replace(self.outlet, outlet);
        self.shift.done(Taken { remains, outlet, pause: began.elapsed() });
        result
    }

    /// Whoever reads them holds the lock for a moment; then the next second will do.
    fn show_rings(&self) {
        if let Ok(mut shown) = self.rings.try_lock() {
            *shown = self.source.rings();
        }
    }

    fn now(&self) -> Timestamp {
        if self.replay { self.tally.last_packet() } else { sinks::now() }
    }
}

/// Says about once a second that a second has passed.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn second_passed(&mut self) -> bool {
        let passed = self.0.elapsed() >= Duration::from_secs(1);
        if passed {
            self.0 = Instant::now();
        }
        passed
    }
}
