//! What becomes of the records for one sink: when they are written and acknowledged, tried
//! again, spilled, put aside or dropped.
//!
//! Two manners. A *store* (a sink that sends over the network, or any with `when_full =
//! "spill"`) is flushed all the time, and what it has not acknowledged is kept: in a window of
//! memory, and once that does not do, on disk. A *file* is flushed at the end, nothing of what
//! it took is kept, and its first failure is final.
//!
//! No thread, no clock and no channel in here; see [`super::post`] for those.

use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use ringmill_sdk::{Error, ErrorKind};

use super::{
    Look, SinkTally,
    backlog::{Backlog, Lost},
    circuit::Circuit,
};

const TICK: Duration = Duration::from_secs(1);
/// Refusals in a row, with nothing accepted between them, up to which a batch is divided to find
/// the records that are meant. A store that refuses everything is not asked about each record.
const MOST_REFUSALS: u32 = 32;
/// Panics over one batch after which it is the batch's fault.
const MOST_PANICS: u32 = 3;

/// How a sink is delivered to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Kept until acknowledged, and tried again.
    pub(super) store: bool,
    /// A store is flushed as soon as there is nothing else to do.
    pub(super) eager: bool,
    /// And at the latest after this time.
    pub(super) flush_after: Duration,
    /// The packets are old, so that nothing is lost by waiting.
    pub(super) replay: bool,
}

/// What the sink is to do.
#[derive(Debug)]
pub(super) enum Request {
    Write(RecordBatch),
    Flush,
    Tick,
    /// A new instance takes the place of the one that panicked.
    Remake,
}

/// Which request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Write,
    Flush,
    Tick,
    Remake,
}

impl Request {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::Write(_) => Call::Write,
            Self::Flush => Call::Flush,
            Self::Tick => Call::Tick,
            Self::Remake => Call::Remake,
        }
    }
}

/// What is next.
#[derive(Debug)]
pub(super) enum Step {
    Do(Request),
    /// Nothing before this, unless records come.
    Wait(Instant),
    /// All is done.
    Over,
}

/// What decides for one sink.
pub(super) struct Delivery {
    terms: Terms,
    circuit: Circuit,
    backlog: Backlog,
    /// A batch for which there is no room, and which can wait.
    held: Option<RecordBatch>,
    /// How many of the window, from its front, the sink has taken since its last flush.
    written: usize,
    /// When the first of these was written.
    written_at: Option<Instant>,
    /// Rows that a file has taken.
    pending: u64,
    /// So many are written and flushed one by one, to learn which is refused.
    singly: usize,
    /// Refusals since something was accepted.
    refusals: u32,
    remake: bool,
    flushed: bool,
    lost: Option<Lost>,
    /// The run ends: the sink is not called any more, and what comes is spilled.
    resting: bool,
    tick_at: Instant,
    /// When the sink got on last.
    progress: Instant,
    last_error: String,
}

impl Delivery {
    pub(super) fn new(terms: Terms, circuit: Circuit, backlog: Backlog, now: Instant) -> Self {
        Self {
            terms,
            circuit,
            backlog,
            held: None,
            written: 0,
            pending: 0,
            written_at: None,
            singly: 0,
            refusals: 0,
            remake: false,
            // A store that was never written to has nothing to be flushed.
            flushed: terms.store,
            lost: None,
            resting: false,
            tick_at: now + TICK,
            progress: now,
            last_error: String::new(),
        }
    }

    /// Shows how it goes.
    pub(super) fn look(&self, look: &mut Look) {
        look.tally.clone_from(&self.backlog.tally);
        look.tally.spilled = self.backlog.spilled();
        look.away = self.is_away() || self.lost.is_some();
        look.trouble.clone_from(&self.last_error);
    }

    /// When the sink got on last.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    pub(super) fn backlog(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    /// Whether what it has not acknowledged is kept.
    pub(super) fn is_store(&self) -> bool {
        self.terms.store
    }

    /// Whether the next batch is wanted. Always where it can be spilled, and of a sink that was
    /// given up, so that nobody waits for it.
    pub(super) fn has_room(&self) -> bool {
        let wanted = self.backlog.can_spill() || self.lost.is_some() || self.backlog.has_room();
        wanted && self.held.is_none()
    }

    /// Whether the store does not get on.
    fn is_away(&self) -> bool {
        self.circuit.is_open() || self.resting
    }

    /// Takes a batch from the queue.
    pub(super) fn accept(&mut self, records: RecordBatch, now: Instant) {
        let rows = records.num_rows() as u64;
        if let Some(reason) = self.lost {
            return self.backlog.drop_rows(reason, rows);
        }
        let away = self.is_away();
        let backlog = &mut self.backlog;
        let fits = !backlog.is_spilling() && backlog.has_room();
        if !backlog.can_spill() || fits && !away {
            return backlog.push(records);
        }
        // As long as the store gets on, old packets rather wait than lose a row.
        let waits = self.terms.replay && !away;
        match backlog.spill(&records, waits, now) {
            Ok(()) => {}
            Err(_) if waits => self.held = Some(records),
            Err(_) if !backlog.is_spilling() && backlog.has_room() => backlog.push(records),
            Err(reason) => backlog.drop_rows(reason, rows),
        }
    }

    /// Once more what could not be spilled before.
    fn accept_held(&mut self, now: Instant) {
        if let Some(records) = self.held.take() {
            self.accept(records, now);
        }
    }

    /// What the sink is to do now. `idle` says that the queue is empty, and `closing` that
    /// nothing more will come.
    pub(super) fn next(&mut self, now: Instant, idle: bool, closing: bool) -> Step {
        if self.lost.is_some() || self.resting {
            return match closing {
                // What a file took before it failed may be good.
                true if !self.flushed => Step::Do(Request::Flush),
                true => Step::Over,
                false => Step::Wait(now + TICK),
            };
        }
        if let Some(at) = self.circuit.retry_at().filter(|at| *at > now) {
            return Step::Wait(at);
        }
        if self.remake {
            return Step::Do(Request::Remake);
        }
        if self.tick_at <= now {
            self.tick_at = now + TICK;
            return Step::Do(Request::Tick);
        }
        // After a failure each batch is flushed, so that the next does not undo all of them.
        let one_by_one = self.singly > 0 || self.circuit.is_failing();
        if self.written == self.backlog.in_memory() && !(one_by_one && self.written > 0) {
            self.backlog.load();
        }
        if self.backlog.in_memory() == 0 {
            self.accept_held(now);
        }
        if self.must_flush(now, idle, closing, one_by_one) {
            return Step::Do(Request::Flush);
        }
        if let Some(records) = self.backlog.get(self.written) {
            return Step::Do(Request::Write(records));
        }
        match closing && idle && self.backlog.is_empty() && self.held.is_none() {
            true if !self.flushed => Step::Do(Request::Flush),
            true => Step::Over,
            false => {
                let flush_at = self.written_at.map(|at| at + self.terms.flush_after);
                Step::Wait(flush_at.map_or(self.tick_at, |at| at.min(self.tick_at)))
            }
        }
    }

    fn must_flush(&self, now: Instant, idle: bool, closing: bool, one_by_one: bool) -> bool {
        if !self.terms.store || self.written == 0 {
            return false;
        }
        let all = self.written == self.backlog.in_memory();
        let waits = self.written_at.is_some_and(|at| now >= at + self.terms.flush_after);
        let done = idle && (self.terms.eager || closing);
        one_by_one || waits || all && (done || !self.backlog.has_room())
    }

    /// What the sink answered.
    pub(super) fn done(&mut self, call: Call, result: Result<(), Error>, now: Instant) {
        match (call, result) {
            (Call::Write, Ok(())) => self.taken(now),
            (Call::Flush, Ok(())) => self.acknowledged(now),
            (Call::Tick, Ok(())) => {}
            (Call::Remake, Ok(())) => self.remake = false,
            (call, Err(error)) if self.terms.store => self.store_failed(call, &error, now),
            (call, Err(error)) => self.file_failed(call, &error, now),
        }
    }

    fn taken(&mut self, now: Instant) {
        self.flushed = false;
        if self.terms.store {
            self.written_at.get_or_insert(now);
            self.written += 1;
            return;
        }
        self.refusals = 0;
        self.pending += self.backlog.pop();
        self.answered(now);
    }

    fn acknowledged(&mut self, now: Instant) {
        self.flushed = true;
        self.written_at = None;
        self.singly = self.singly.saturating_sub(self.written);
        self.refusals = if self.written > 0 { 0 } else { self.refusals };
        self.backlog.tally.acknowledged += std::mem::take(&mut self.pending);
        self.backlog.acknowledge(std::mem::take(&mut self.written));
        self.answered(now);
        self.accept_held(now);
    }

    /// The store is there.
    fn answered(&mut self, now: Instant) {
        self.progress = now;
        self.last_error.clear();
        if let Some(away) = self.circuit.succeeded(now) {
            let waiting = self.backlog.spilled();
            let rest =
                if waiting > 0 { format!("; {waiting} rows are replayed") } else { String::new() };
            tracing::info!(sink = %self.backlog.tally.sink, "answers again after {:.1} s{rest}", away.as_secs_f64());
        }
    }

    fn store_failed(&mut self, call: Call, error: &Error, now: Instant) {
        match (call, error.kind()) {
            (Call::Write, ErrorKind::Refused) => {
                self.refused(self.written, error);
                return self.answered(now);
            }
            (Call::Flush, ErrorKind::Refused) if !error.rows().is_empty() => {
                self.backlog.put_rows_aside(self.written, error.rows());
                return self.acknowledged(now);
            }
            (Call::Flush, ErrorKind::Refused) if self.written > 0 => {
                match std::mem::take(&mut self.written) {
                    1 => self.refused(0, error),
                    // Which of them was it?
                    several => self.singly = several,
                }
                self.written_at = None;
                return self.answered(now);
            }
            (_, ErrorKind::Panicked) if call != Call::Remake => self.panicked(call, error),
            _ => {}
        }
        // All since the last flush comes again: who knows what of it went with the failure.
        self.written = 0;
        self.written_at = None;
        self.backlog.tally.retries += 1;
        error.message().clone_into(&mut self.last_error);
        if self.circuit.failed(now) {
            self.opened(now);
        } else {
            tracing::debug!(sink = %self.backlog.tally.sink, "{error}; it is tried again");
        }
    }

    /// A batch was refused: its halves are tried, down to single records, so that the others of
    /// it arrive.
    fn refused(&mut self, at: usize, error: &Error) {
        self.refusals += 1;
        if self.refusals <= MOST_REFUSALS && self.backlog.halve(at) {
            self.singly = self.singly.max(at + 2);
        } else {
            self.put_aside(at, "refused", error);
        }
    }

    fn panicked(&mut self, call: Call, error: &Error) {
        self.remake = true;
        let at = match call {
            Call::Write => Some(self.written),
            Call::Flush if self.written == 1 => Some(0),
            Call::Flush => {
                self.singly = self.written;
                None
            }
            _ => None,
        };
        if let Some(at) = at.filter(|at| self.backlog.panicked(*at) >= MOST_PANICS) {
            self.put_aside(at, "panicked", error);
        }
    }

    /// The circuit has just opened.
    fn opened(&mut self, now: Instant) {
        self.backlog.tally.circuit_opened += 1;
        let error = std::mem::take(&mut self.last_error);
        let fate = match self.backlog.spill_directory() {
            Some(spill) => format!("records are spilled to `{}`", spill.display()),
            None => "records wait in its queue".to_owned(),
        };
        tracing::warn!(sink = %self.backlog.tally.sink, "takes no records: {error}; {fate} until it does");
        self.last_error = error;
        if self.backlog.can_spill() && self.backlog.in_memory() > 0 {
            // Where it fails they stay in memory, and the log tells.
            let _ = self.backlog.begin_spilling(now);
        }
        self.accept_held(now);
    }

    /// The sink has been in one call for long.
    pub(super) fn hangs(&mut self, call: Call, since: Duration, now: Instant) {
        let what = match call {
            Call::Write => "write",
            Call::Flush => "flush",
            Call::Tick => "tick",
            Call::Remake => "new",
        };
        let text = format!("it has not come back from {what}() for {} s", since.as_secs());
        if !self.terms.store {
            tracing::warn!(sink = %self.backlog.tally.sink, "{text}");
        } else if self.circuit.open(now) {
            self.last_error = text;
            self.opened(now);
        }
    }

    fn file_failed(&mut self, call: Call, error: &Error, now: Instant) {
        match (call, error.kind()) {
            // Of one that was given up the first flush is the last.
            (Call::Write | Call::Tick | Call::Flush, ErrorKind::Retry) if self.lost.is_none() => {
                self.backlog.tally.retries += 1;
                error.message().clone_into(&mut self.last_error);
                if self.circuit.failed(now) {
                    self.opened(now);
                }
                return;
            }
            (Call::Write, ErrorKind::Refused) => return self.refused(0, error),
            (Call::Write, _) => {
                let rows = self.backlog.pop();
                self.backlog.drop_rows("write_failed", rows);
            }
            (Call::Flush, _) => {
                let rows = std::mem::take(&mut self.pending);
                self.backlog.drop_rows("flush_failed", rows);
                self.flushed = true;
            }
            (Call::Tick | Call::Remake, _) => {}
        }
        self.fail("sink_failed", error.to_string());
    }

    /// Nothing goes to this sink any more.
    pub(super) fn fail(&mut self, reason: Lost, error: String) {
        if self.lost.is_some() {
            return;
        }
        self.lost = Some(reason);
        tracing::error!(sink = %self.backlog.tally.sink, "{error}");
        self.backlog.tally.error = Some(error);
        self.written = 0;
        self.backlog.drop_all(reason);
        if let Some(records) = self.held.take() {
            self.backlog.drop_rows(reason, records.num_rows() as u64);
        }
    }

    /// The thread that calls the sink is gone.
    pub(super) fn gone(&mut self) {
        self.flushed = true;
        self.fail(
            "sink_failed",
            "the sink's thread is gone; this is a bug in the engine".to_owned(),
        );
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lost.is_some()
    }

    /// The run ends: what was to be tried later is tried now.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.circuit.hurry(now);
    }

    /// The run ends and there is no more time: what is left stays on disk for the next, or is
    /// lost. `hanging` says that the sink is still in a call.
    pub(super) fn give_up(&mut self, hanging: bool, now: Instant) {
        if self.lost.is_some() || self.resting {
            return;
        }
        let why = match (hanging, self.last_error.as_str()) {
            (_, why) if !why.is_empty() => why.to_owned(),
            (true, _) => "it does not come back from a call".to_owned(),
            (false, _) => "there was too little time".to_owned(),
        };
        self.flushed |= self.terms.store;
        let kept = self.backlog.can_spill() && self.backlog.begin_spilling(now).is_ok();
        if !kept {
            if hanging {
                let pending = std::mem::take(&mut self.pending);
                self.backlog.drop_rows("store_down", pending);
            }
            return self.fail("store_down", format!("it did not take its last records: {why}"));
        }
        self.resting = true;
        self.accept_held(now);
        let left = self.backlog.spilled();
        tracing::warn!(sink = %self.backlog.tally.sink, "{left} rows stay spilled for the next run: {why}");
    }

    /// The books, at the very end.
    pub(super) fn close(mut self) -> SinkTally {
        self.backlog.close();
        self.backlog.tally
    }

    /// Takes a batch out of the backlog for good.
    fn put_aside(&mut self, at: usize, reason: &'static str, error: &Error) {
        self.singly = self.singly.saturating_sub(1);
        self.backlog.put_aside(at, reason, error.message());
    }
}
