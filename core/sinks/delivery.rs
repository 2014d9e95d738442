//! What becomes of the records for one sink: when they are written and acknowledged, tried
//! again, spilled, put aside or dropped.
//!
//! Two manners. A *store* (a sink that sends over the network, or any with `when_full =
//! "spill"`) is flushed all the time, and what it has not acknowledged is kept: in a window of
//! memory, and once that does not do, on disk. A *file* is flushed at the end, nothing of what
//! it took is kept, and its first failure is final.
//!
//! One rule keeps the order: either all that is not acknowledged is in the spill log, or
//! nothing is. The window is then the part of the log that is in memory.
//!
//! No thread, no clock and no channel in here; see [`super::post`] for those.

use std::{
    collections::VecDeque,
    path::PathBuf,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use ringmill_sdk::{Error, ErrorKind};

use super::{
    SinkTally,
    circuit::Circuit,
    dead::DeadLetters,
    now as wall_clock,
    spill::{NotAppended, Spill},
};
use crate::plan;

const TICK: Duration = Duration::from_secs(1);
/// How long what was spilled may wait for the disk.
const GROUP: Duration = Duration::from_millis(100);
/// Panics over one batch after which it is the batch's fault.
const MOST_PANICS: u32 = 3;

/// How a sink is delivered to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Kept until acknowledged, and tried again.
    pub(super) store: bool,
    /// Batches of the window.
    pub(super) batches: usize,
    /// Bytes of the window; one batch is always let in.
    pub(super) bytes: usize,
    /// A store is flushed as soon as there is nothing else to do.
    pub(super) eager: bool,
    /// And at the latest after this time.
    pub(super) flush_after: Duration,
    /// Whether columns may be as they were on the wire.
    pub(super) may_identify: bool,
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

/// A batch that the store has not acknowledged.
#[derive(Debug)]
struct Item {
    records: RecordBatch,
    rows: u64,
    bytes: usize,
    /// Its number in the spill log.
    sequence: Option<u64>,
    panics: u32,
}

impl Item {
    fn new(records: RecordBatch, sequence: Option<u64>) -> Self {
        let (rows, bytes) = (records.num_rows() as u64, records.get_array_memory_size());
        Self { records, rows, bytes, sequence, panics: 0 }
    }
}

/// The sink was given up; its rows are dropped for this reason.
type Lost = &'static str;

/// The books and the backlog of one sink.
pub(super) struct Delivery {
    terms: Terms,
    circuit: Circuit,
    spill: Option<Spill>,
    /// All that is not acknowledged is in the spill log.
    spilling: bool,
    dead: Option<DeadLetters>,
    window: VecDeque<Item>,
    /// Bytes of the window.
    bytes: usize,
    /// How many of the window, from its front, the sink has taken since its last flush.
    written: usize,
    /// Rows that a file has taken.
    pending: u64,
    /// When the first of them was written.
    written_at: Option<Instant>,
    /// So many are written and flushed one by one, to learn which is refused.
    singly: usize,
    remake: bool,
    flushed: bool,
    lost: Option<Lost>,
    /// The run ends: the sink is not called any more, and what comes is spilled.
    resting: bool,
    tick_at: Instant,
    dirty_since: Option<Instant>,
    /// When the sink got on last.
    pub(super) progress: Instant,
    pub(super) tally: SinkTally,
    /// The spill's latest trouble was logged.
    complained: bool,
    last_error: String,
}

impl Delivery {
    pub(super) fn new(
        label: String,
        terms: Terms,
        circuit: Circuit,
        spill: Option<Spill>,
        dead: Option<DeadLetters>,
        now: Instant,
    ) -> Self {
        let recovered = spill.as_ref().map_or(0, Spill::rows);
        if let Some(spill) = spill.as_ref().filter(|_| recovered > 0) {
            let place = spill.directory().display();
            tracing::info!(sink = %label, "{recovered} rows of an earlier run wait in `{place}`; they go first");
        }
        Self {
            terms,
            circuit,
            spilling: recovered > 0,
            spill,
            dead,
            window: VecDeque::new(),
            bytes: 0,
            written: 0,
            pending: 0,
            written_at: None,
            singly: 0,
            remake: false,
            // A store that was never written to has nothing to be flushed.
            flushed: terms.store,
            lost: None,
            resting: false,
            tick_at: now + TICK,
            dirty_since: None,
            progress: now,
            tally: SinkTally { sink: label, recovered, ..SinkTally::default() },
            complained: false,
            last_error: String::new(),
        }
    }

    /// Whether what it has not acknowledged is kept.
    pub(super) fn is_store(&self) -> bool {
        self.terms.store
    }

    /// Whether the next batch is wanted. Always where there is a spill, and of a sink that was
    /// given up, so that nobody waits for it.
    pub(super) fn has_room(&self) -> bool {
        self.spill.is_some() || self.lost.is_some() || self.window_has_room()
    }

    fn window_has_room(&self) -> bool {
        let most = if self.terms.store { self.terms.batches } else { 1 };
        self.window.is_empty() || self.window.len() < most && self.bytes < self.terms.bytes
    }

    /// Takes a batch from the queue.
    pub(super) fn accept(&mut self, records: RecordBatch, now: Instant) {
        let rows = records.num_rows() as u64;
        if let Some(reason) = self.lost {
            return self.drop_rows(reason, rows);
        }
        let fits = self.window_has_room();
        let away = self.circuit.is_open() || self.resting;
        if self.spill.is_none() || !self.spilling && fits && !away {
            return self.push(Item::new(records, None));
        }
        match self.begin_spilling(now).and_then(|()| self.append(&records, now)) {
            Ok(()) => self.tally.through_spill += rows,
            Err(_) if fits && !self.spilling => self.push(Item::new(records, None)),
            Err(reason) => self.drop_rows(reason, rows),
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
        let one_by_one = self.singly > 0 || self.circuit.is_open();
        if self.written == self.window.len() && !(one_by_one && self.written > 0) {
            self.load();
        }
        if self.must_flush(now, idle, closing, one_by_one) {
            return Step::Do(Request::Flush);
        }
        if let Some(item) = self.window.get(self.written) {
            return Step::Do(Request::Write(item.records.clone()));
        }
        match closing && idle {
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
        let all = self.written == self.window.len();
        let waits = self.written_at.is_some_and(|at| now >= at + self.terms.flush_after);
        let done = idle && (self.terms.eager || closing);
        one_by_one || waits || all && (done || !self.window_has_room())
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
        self.written_at.get_or_insert(now);
        if self.terms.store {
            self.written += 1;
            return;
        }
        self.pending += self.pop().map_or(0, |item| item.rows);
        self.answered(now);
    }

    fn acknowledged(&mut self, now: Instant) {
        self.flushed = true;
        self.written_at = None;
        self.tally.acknowledged += std::mem::take(&mut self.pending);
        self.singly = self.singly.saturating_sub(self.written);
        for _ in 0..std::mem::take(&mut self.written) {
            self.tally.acknowledged += self.pop().map_or(0, |item| item.rows);
        }
        self.answered(now);
        self.forget_spilled();
    }

    /// The store is there.
    fn answered(&mut self, now: Instant) {
        self.progress = now;
        if let Some(away) = self.circuit.succeeded(now) {
            let waiting = self.spill.as_ref().map_or(0, Spill::rows);
            let rest =
                if waiting > 0 { format!("; {waiting} rows are replayed") } else { String::new() };
            tracing::info!(sink = %self.tally.sink, "answers again after {:.1} s{rest}", away.as_secs_f64());
        }
    }

    fn store_failed(&mut self, call: Call, error: &Error, now: Instant) {
        match (call, error.kind()) {
            (Call::Write, ErrorKind::Refused) => {
                self.put_aside(self.written, "refused", error.message());
                return self.answered(now);
            }
            (Call::Flush, ErrorKind::Refused) if self.written > 0 => {
                match std::mem::take(&mut self.written) {
                    1 => self.put_aside(0, "refused", error.message()),
                    // Which of them was it?
                    several => self.singly = several,
                }
                self.written_at = None;
                return self.answered(now);
            }
            (_, ErrorKind::Panicked) if call != Call::Remake => self.panicked(call, error),
            // What a failed flush or tick held is not to be trusted. A batch that was not
            // written leaves those before it as they are.
            (Call::Flush | Call::Tick, _) => self.written = 0,
            _ => {}
        }
        if self.written == 0 {
            self.written_at = None;
        }
        self.tally.retries += 1;
        error.message().clone_into(&mut self.last_error);
        if self.circuit.failed(now) {
            self.opened(now);
        } else {
            tracing::debug!(sink = %self.tally.sink, "{error}; it is tried again");
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
        self.written = 0;
        let Some(item) = at.and_then(|at| self.window.get_mut(at)) else { return };
        item.panics += 1;
        if let Some(at) = at.filter(|_| item.panics >= MOST_PANICS) {
            self.put_aside(at, "panicked", error.message());
        }
    }

    /// The circuit has just opened.
    fn opened(&mut self, now: Instant) {
        self.tally.circuit_opened += 1;
        let error = std::mem::take(&mut self.last_error);
        let fate = match &self.spill {
            Some(spill) => format!("records are spilled to `{}`", spill.directory().display()),
            None => "records wait in its queue".to_owned(),
        };
        tracing::warn!(sink = %self.tally.sink, "takes no records: {error}; {fate} until it does");
        self.last_error = error;
        if self.spill.is_some() && !self.window.is_empty() {
            // What that says was counted or logged where it happened.
            let _ = self.begin_spilling(now);
        }
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
            tracing::warn!(sink = %self.tally.sink, "{text}");
        } else if self.circuit.open(now) {
            self.last_error = text;
            self.opened(now);
        }
    }

    fn file_failed(&mut self, call: Call, error: &Error, now: Instant) {
        match (call, error.kind()) {
            (Call::Write | Call::Tick, ErrorKind::Retry) => {
                self.tally.retries += 1;
                error.message().clone_into(&mut self.last_error);
                if self.circuit.failed(now) {
                    self.opened(now);
                }
                return;
            }
            (Call::Write, ErrorKind::Refused) => {
                return self.put_aside(0, "refused", error.message());
            }
            (Call::Write, _) => {
                let rows = self.pop().map_or(0, |item| item.rows);
                self.drop_rows("write_failed", rows);
            }
            (Call::Flush, _) => {
                let rows = std::mem::take(&mut self.pending);
                self.drop_rows("flush_failed", rows);
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
        tracing::error!(sink = %self.tally.sink, "{error}");
        self.tally.error = Some(error);
        self.written = 0;
        while let Some(item) = self.pop() {
            self.drop_rows(reason, item.rows);
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
        let kept = self.spill.is_some() && self.begin_spilling(now).is_ok();
        if !kept {
            if hanging {
                let pending = std::mem::take(&mut self.pending);
                self.drop_rows("store_down", pending);
            }
            return self.fail("store_down", format!("it did not take its last records: {why}"));
        }
        self.resting = true;
        let left = self.spilled();
        tracing::warn!(sink = %self.tally.sink, "{left} rows stay spilled for the next run: {why}");
    }

    /// Enters what is left, at the very end.
    pub(super) fn close(&mut self) {
        // Its segment was dropped while it was in memory.
        let begin = self.spill.as_ref().map_or(0, Spill::begin);
        while let Some(item) = self.pop() {
            if item.sequence.is_none_or(|sequence| sequence < begin) {
                self.drop_rows("spill_full", item.rows);
            }
        }
        self.sync();
        self.tally.spilled = self.spilled();
    }

    fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::rows)
    }

    /// When the spill has to be synced.
    pub(super) fn sync_at(&self) -> Option<Instant> {
        self.dirty_since.map(|since| since + GROUP)
    }

    /// Waits until what was spilled is on the disk.
    pub(super) fn sync(&mut self) {
        self.dirty_since = None;
        let Some(spill) = self.spill.as_mut().filter(|spill| spill.is_dirty()) else { return };
        if let Err(error) = spill.sync() {
            self.complain(&Error::from(error));
        }
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.window.push_back(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.window.pop_front()?;
        self.bytes -= item.bytes;
        Some(item)
    }

    fn drop_rows(&mut self, reason: &'static str, rows: u64) {
        if rows > 0 {
            *self.tally.dropped.entry(reason).or_default() += rows;
        }
    }

    /// Puts all that is not acknowledged into the spill log, if it is not there.
    fn begin_spilling(&mut self, now: Instant) -> Result<(), Lost> {
        let mut at = 0;
        while !self.spilling && at < self.window.len() {
            let (records, sequence) = (self.window[at].records.clone(), self.spill_end());
            let appended = self.append(&records, now);
            let Some(spill) = &mut self.spill else { break };
            spill.skip_to_end();
            if let Err(reason) = appended {
                // A part of them is no use: they stay in memory.
                spill.acknowledge(spill.end());
                self.window.iter_mut().for_each(|item| item.sequence = None);
                return Err(reason);
            }
            self.window[at].sequence = Some(sequence);
            at += 1;
        }
        self.spilling = true;
        Ok(())
    }

    fn spill_end(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::end)
    }

    /// Appends to the spill log; else says for what reason the rows are to be dropped.
    fn append(&mut self, records: &RecordBatch, now: Instant) -> Result<(), Lost> {
        let Some(spill) = &mut self.spill else { return Err("sink_failed") };
        let (dropped, result) = spill.append(records);
        let cap_reached = dropped > 0 || matches!(result, Err(NotAppended::Full));
        let place = spill.directory().display().to_string();
        self.drop_rows("spill_full", dropped);
        if cap_reached && !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(sink = %self.tally.sink, "the spill in `{place}` is full; rows are dropped");
        }
        match result {
            Ok(()) => {
                self.complained &= cap_reached;
                self.dirty_since.get_or_insert(now);
                Ok(())
            }
            Err(NotAppended::Full) => Err("spill_full"),
            Err(NotAppended::Failed(error)) => {
                self.complain(&error);
                Err("spill_failed")
            }
        }
    }

    fn complain(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::error!(sink = %self.tally.sink, "{error}");
        }
    }

    /// Reads the next batch of the spill log into the window.
    fn load(&mut self) {
        while self.spilling && self.window_has_room() {
            let Some(next) = self.spill.as_mut().and_then(Spill::next) else { return };
            match next {
                Ok((sequence, records)) => {
                    let item = Item::new(records, Some(sequence));
                    let lack = plan::identifiable(item.records.schema_ref());
                    let told = lack.filter(|_| !self.terms.may_identify).map(|(column, _)| {
                        format!("column `{column}` is as it was on the wire, and the config no longer says `allow_identifiable = true`")
                    });
                    self.push(item);
                    let Some(why) = told else { return };
                    self.put_aside(self.window.len() - 1, "identifiable", &why);
                }
                Err((rows, error)) => {
                    self.drop_rows("spill_damaged", rows);
                    tracing::warn!(sink = %self.tally.sink, "{rows} spilled rows cannot be read: {error}");
                }
            }
        }
    }

    /// Moves the spill's cursor behind what needs not be read again.
    fn forget_spilled(&mut self) {
        let Some(spill) = self.spill.as_mut().filter(|_| self.spilling) else { return };
        let first = self.window.front().and_then(|item| item.sequence);
        spill.acknowledge(first.unwrap_or(spill.position()));
        if self.window.is_empty() && spill.is_read() {
            self.spilling = false;
            self.dirty_since = None;
        }
    }

    /// Takes a batch out of the window for good.
    fn put_aside(&mut self, at: usize, reason: &'static str, why: &str) {
        let Some(item) = self.window.remove(at) else { return };
        self.bytes -= item.bytes;
        self.singly = self.singly.saturating_sub(1);
        let place = self.dead.as_ref().map(|dead| PathBuf::from(dead.directory()));
        let put = self.dead.as_mut().map(|dead| dead.put(&item.records, why, wall_clock().0));
        let sink = &self.tally.sink;
        match (put, place) {
            (Some(Ok(true)), Some(place)) => {
                if self.tally.dead_lettered.is_empty() {
                    tracing::warn!(%sink, "{} rows are put aside in `{}`, and what follows them: {why}", item.rows, place.display());
                }
                *self.tally.dead_lettered.entry(reason).or_default() += item.rows;
            }
            (put, _) => {
                let (count, name) = match put {
                    None => (
                        reason,
                        "there is no `spill` directory in [engine] to keep them".to_owned(),
                    ),
                    Some(Err(error)) => ("dead_letters_failed", error.to_string()),
                    Some(Ok(_)) => {
                        ("dead_letters_full", "its dead letters have no room for more".to_owned())
                    }
                };
                if !self.tally.dropped.contains_key(count) {
                    tracing::error!(%sink, "{} rows are dropped, and what follows them: {why}; {name}", item.rows);
                }
                self.drop_rows(count, item.rows);
            }
        }
        self.forget_spilled();
    }
}
