//! The two threads of a sink: one that decides what goes to it, and one that is in its calls.
//!
//! Two, because a call of a sink may take as long as it likes, and what comes meanwhile has to
//! be spilled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, never, select};
use ringmill_sdk::{DynStage, Error, Output};

use super::{
    SinkTally, Window,
    delivery::{Call, Delivery, Request, Step},
    now as wall_clock,
    window::Due,
};

/// A call that takes longer is told of.
const HANGS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(1);

/// The thread that is in the sink's calls: does what it is told and says how it went.
pub(super) fn serve(
    mut sink: Box<dyn DynStage>,
    remake: impl Fn() -> Result<Box<dyn DynStage>, Error>,
    requests: &Receiver<Request>,
    replies: &Sender<Result<(), Error>>,
) {
    // What sinks emit: nothing; a stage needs an output all the same.
    let mut nothing = Vec::new();
    for request in requests {
        let out = &mut Output::new(&mut nothing);
        let result = match request {
            Request::Write(records) => sink.records(records, out),
            Request::Flush => sink.finish(out),
            Request::Tick => sink.tick(wall_clock(), out),
            Request::Remake => remake().map(|made| sink = made),
        };
        if replies.send(result).is_err() {
            return;
        }
    }
}

/// The thread that decides.
pub(super) struct Post<F> {
    pub(super) delivery: Delivery,
    pub(super) queue: Receiver<RecordBatch>,
    /// The queue that follows when all ends of this one are gone; nothing follows at the end.
    pub(super) next: Receiver<Receiver<RecordBatch>>,
    pub(super) requests: Sender<Request>,
    pub(super) replies: Receiver<Result<(), Error>>,
    /// Where others see how it goes.
    pub(super) window: Arc<Window>,
    /// The run is to end.
    pub(super) stop: Arc<AtomicBool>,
    /// Old packets can wait: as long as a store gets on, the end of the run waits for it, as it
    /// does for a file in any case.
    pub(super) replay: bool,
    /// How long the end of the run waits for a sink that does not get on.
    pub(super) patience: Duration,
    /// Called once, when the sink is given up while the run goes on.
    pub(super) on_failure: F,
}

impl<F: Fn()> Post<F> {
    /// Delivers until every worker's end of the queue is gone and all is done. Whether the sink
    /// is still in a call, whose thread nobody can wait for.
    pub(super) fn run(mut self) -> (SinkTally, bool) {
        let nothing = never();
        let mut in_call: Option<(Call, Instant)> = None;
        let (mut open, mut told, mut failed) = (true, false, false);
        let mut closing_since: Option<Instant> = None;
        let mut due = Due::now();
        loop {
            let now = Instant::now();
            if due.take(now) {
                let queued = self.queue.len();
                self.window.show(|look| {
                    look.queued = queued;
                    self.delivery.look(look);
                });
            }
            if (!open || self.stop.load(Relaxed)) && closing_since.is_none() {
                closing_since = Some(now);
                self.delivery.hurry(now);
            }
            let replay = self.replay && !self.stop.load(Relaxed);
            let patient = replay || !self.delivery.is_store();
            let since = closing_since.map(|since| match patient {
                true => since.max(self.delivery.progress()),
                false => since,
            });
            if since.is_some_and(|since| now >= since + self.patience) {
                self.delivery.give_up(in_call.is_some(), now);
                if !open && in_call.is_some() {
                    break;
                }
            }
            let mut wake = now + TICK;
            match in_call {
                None => match self.delivery.next(now, !open || self.queue.is_empty(), !open) {
                    Step::Do(request) => {
                        in_call = Some((request.call(), now));
                        told = false;
                        if self.requests.send(request).is_err() {
                            self.gone();
                            in_call = None;
                        }
                    }
                    Step::Wait(until) => wake = wake.min(until),
                    Step::Over => break,
                },
                Some((call, since)) if !told && now >= since + HANGS => {
                    told = true;
                    self.delivery.hangs(call, now - since, now);
                }
                Some(_) => {}
            }
            if !failed && self.delivery.has_failed() {
                failed = true;
                (self.on_failure)();
            }
            wake = self.delivery.backlog().sync_at().map_or(wake, |at| wake.min(at));
            let queue = if open && self.delivery.has_room() { &self.queue } else { &nothing };
            select! {
                recv(queue) -> records => match records {
                    Ok(records) => self.delivery.accept(records, now),
                    Err(_) => match self.next.try_recv() {
                        Ok(next) => self.queue = next,
                        Err(_) => open = false,
                    },
                },
                recv(self.replies) -> result => match (in_call.take(), result) {
                    (Some((call, _)), Ok(result)) => self.delivery.done(call, result, Instant::now()),
                    _ => self.gone(),
                },
                default(wake.saturating_duration_since(now)) => {}
            }
            // One sync for all that came in a burst.
            let due = self.delivery.backlog().sync_at().is_some_and(|at| at <= Instant::now());
            if due || self.queue.is_empty() {
                self.delivery.backlog().sync();
            }
        }
        (self.delivery.close(), in_call.is_some())
    }

    #[cold]
    fn gone(&mut self) {
        self.replies = never();
        self.delivery.gone();
    }
}
