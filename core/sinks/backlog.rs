//! What a sink has not acknowledged: in a window of memory, and once that does not do, on disk.
//!
//! One rule keeps the order: either all of it is in the spill log, or nothing is. The window is
//! then the part of the log that is in memory, from the log's cursor on.

use std::{
    collections::VecDeque,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use ringmill_sdk::Error;

use super::{
    SinkTally,
    dead::DeadLetters,
    now as wall_clock,
    spill::{NotAppended, Spill},
};
use crate::plan;

/// How long what was spilled may wait for the disk.
const GROUP: Duration = Duration::from_millis(100);

/// The reason for which rows are dropped.
pub(super) type Lost = &'static str;

/// What is kept in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Batches.
    pub(super) batches: usize,
    /// Bytes; one batch is always let in.
    pub(super) bytes: usize,
    /// Whether columns may be as they were on the wire.
    pub(super) may_identify: bool,
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

/// The backlog and the books of one sink.
pub(super) struct Backlog {
    limits: Window,
    window: VecDeque<Item>,
    /// Bytes of the window.
    bytes: usize,
    spill: Option<Spill>,
    /// All that is not acknowledged is in the spill log.
    spilling: bool,
    dirty_since: Option<Instant>,
    /// The latest trouble with it was logged.
    complained: bool,
    dead: Option<DeadLetters>,
    pub(super) tally: SinkTally,
}

impl Backlog {
    /// Of the sink with this label; begins with what earlier runs have spilled.
    pub(super) fn new(
        label: String,
        limits: Window,
        spill: Option<Spill>,
        dead: Option<DeadLetters>,
    ) -> Self {
        let recovered = spill.as_ref().map_or(0, Spill::rows);
        if let Some(spill) = spill.as_ref().filter(|_| recovered > 0) {
            let place = spill.directory().display();
            tracing::info!(sink = %label, "{recovered} spilled rows wait in `{place}`; they go first");
        }
        Self {
            limits,
            window: VecDeque::new(),
            bytes: 0,
            spill,
            spilling: recovered > 0,
            dirty_since: None,
            complained: false,
            dead,
            tally: SinkTally { sink: label, recovered, ..SinkTally::default() },
        }
    }

    /// Batches in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.window.len()
    }

    /// Whether nothing is left, neither in memory nor on disk.
    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty() && !self.spilling
    }

    /// One in memory, counted from the oldest.
    pub(super) fn get(&self, at: usize) -> Option<RecordBatch> {
        self.window.get(at).map(|item| item.records.clone())
    }

    /// Whether another fits into memory.
    pub(super) fn has_room(&self) -> bool {
        let Window { batches, bytes, .. } = self.limits;
        self.window.is_empty() || self.window.len() < batches && self.bytes < bytes
    }

    pub(super) fn can_spill(&self) -> bool {
        self.spill.is_some()
    }

    pub(super) fn is_spilling(&self) -> bool {
        self.spilling
    }

    pub(super) fn spill_directory(&self) -> Option<&Path> {
        self.spill.as_ref().map(Spill::directory)
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

    /// Keeps a batch in memory.
    pub(super) fn push(&mut self, records: RecordBatch) {
        self.keep(Item::new(records, None));
    }

    fn keep(&mut self, item: Item) {
        self.bytes += item.bytes;
        self.window.push_back(item);
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.window.pop_front()?;
        self.bytes -= item.bytes;
        Some(item)
    }

    /// Forgets the oldest batch; gives its rows.
    pub(super) fn pop(&mut self) -> u64 {
        self.take().map_or(0, |item| item.rows)
    }

    /// So many from the front are safe in the store.
    pub(super) fn acknowledge(&mut self, batches: usize) {
        for _ in 0..batches {
            self.tally.acknowledged += self.pop();
        }
        self.forget_spilled();
    }

    /// Counts a panic of the sink over a batch; gives how many there were.
    pub(super) fn panicked(&mut self, at: usize) -> u32 {
        self.window.get_mut(at).map_or(0, |item| {
            item.panics += 1;
            item.panics
        })
    }

    /// Puts two halves of a batch in its place; false for one of a single row. Both keep its
    /// number: it is acknowledged with the second.
    pub(super) fn halve(&mut self, at: usize) -> bool {
        let Some(item) = self.window.get_mut(at).filter(|item| item.rows > 1) else { return false };
        let (rows, half) = (item.records.num_rows(), item.records.num_rows() / 2);
        let second = item.records.slice(half, rows - half);
        item.records = item.records.slice(0, half);
        item.rows = half as u64;
        // Slices share their buffers; the window counts them once.
        let bytes = item.bytes / 2;
        item.bytes -= bytes;
        let (rows, sequence) = ((rows - half) as u64, item.sequence);
        self.window.insert(at + 1, Item { records: second, rows, bytes, sequence, panics: 0 });
        true
    }

    /// Drops what is in memory; what is spilled stays.
    pub(super) fn drop_all(&mut self, reason: &'static str) {
        while let Some(item) = self.take() {
            self.drop_rows(reason, item.rows);
        }
    }

    /// Enters what is left into the books, at the very end.
    pub(super) fn close(&mut self) {
        self.sync();
        let Some(spill) = &self.spill else { return };
        // What is in memory is on disk too, unless its segment had to be dropped.
        let begin = spill.begin();
        self.tally.spilled = spill.rows();
        while let Some(item) = self.take() {
            match item.sequence.is_some_and(|sequence| sequence >= begin) {
                true => self.tally.spilled += item.rows,
                false => self.drop_rows("spill_full", item.rows),
            }
        }
    }

    /// Rows in the spill log that the store has not acknowledged.
    pub(super) fn spilled(&self) -> u64 {
        let unread = self.spill.as_ref().map_or(0, Spill::rows);
        let read = self.window.iter().filter(|_| self.spilling).map(|item| item.rows);
        unread + read.sum::<u64>()
    }

    pub(super) fn drop_rows(&mut self, reason: &'static str, rows: u64) {
        if rows > 0 {
            *self.tally.dropped.entry(reason).or_default() += rows;
        }
    }

    /// Puts a batch into the spill log, behind all that is in memory.
    ///
    /// # Errors
    /// For what reason its rows are to be dropped. `waits` says that they need not be, and no
    /// older ones for them.
    pub(super) fn spill(
        &mut self,
        records: &RecordBatch,
        waits: bool,
        now: Instant,
    ) -> Result<(), Lost> {
        self.spill_window(waits, now)?;
        self.append(records, waits, now)?;
        self.tally.through_spill += records.num_rows() as u64;
        Ok(())
    }

    /// Puts all that is not acknowledged into the spill log, if it is not there.
    ///
    /// # Errors
    /// As [`spill`](Self::spill); all is then in memory as before.
    pub(super) fn begin_spilling(&mut self, now: Instant) -> Result<(), Lost> {
        self.spill_window(false, now)
    }

    fn spill_window(&mut self, waits: bool, now: Instant) -> Result<(), Lost> {
        let mut at = 0;
        while !self.spilling && at < self.window.len() {
            let (records, sequence) = (self.window[at].records.clone(), self.spill_end());
            let appended = self.append(&records, waits, now);
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

    fn append(&mut self, records: &RecordBatch, waits: bool, now: Instant) -> Result<(), Lost> {
        let Some(spill) = &mut self.spill else { return Err("sink_failed") };
        let (dropped, result) = spill.append(records, !waits);
        let cap_reached = dropped > 0 || matches!(result, Err(NotAppended::Full));
        let place = spill.directory().display().to_string();
        self.drop_rows("spill_full", dropped);
        if cap_reached && !waits && !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(sink = %self.tally.sink, "the spill in `{place}` is full; rows are dropped");
        }
        match result {
            Ok(()) => {
                self.complained &= cap_reached;
                self.dirty_since.get_or_insert(now);
                Ok(())
            }
            Err(NotAppended::Full) => Err("spill_full"),
            Err(NotAppended::Failed(_)) if waits => Err("spill_failed"),
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

    /// Reads the next batch of the spill log into memory.
    pub(super) fn load(&mut self) {
        while self.spilling && self.has_room() {
            let Some(next) = self.spill.as_mut().and_then(Spill::next) else { break };
            match next {
                Ok((sequence, records)) => {
                    let item = Item::new(records, Some(sequence));
                    let lack = plan::identifiable(item.records.schema_ref());
                    let told = lack.filter(|_| !self.limits.may_identify).map(|(column, _)| {
                        format!(
                            "column `{column}` is as it was on the wire, and the config no longer \
                             says `allow_identifiable = true`"
                        )
                    });
                    self.keep(item);
                    let Some(why) = told else { return };
                    self.put_aside(self.window.len() - 1, "identifiable", &why);
                }
                Err((rows, error)) => {
                    let sink = &self.tally.sink;
                    if !self.tally.dropped.contains_key("spill_damaged") {
                        tracing::warn!(%sink, "spilled rows cannot be read and are dropped: {error}");
                    }
                    self.drop_rows("spill_damaged", rows);
                }
            }
        }
        if self.window.is_empty() {
            self.forget_spilled();
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
    pub(super) fn put_aside(&mut self, at: usize, reason: &'static str, why: &str) {
        let Some(item) = self.window.remove(at) else { return };
        self.bytes -= item.bytes;
        self.keep_dead(&item.records, &[(0..item.records.num_rows(), why)], reason);
        self.forget_spilled();
    }

    /// Takes these rows of so many batches from the front out of them for good; the rows are
    /// numbered over all of these batches. What is not among them is left out of account.
    pub(super) fn put_rows_aside(&mut self, batches: usize, refused: &[(usize, String)]) {
        let mut refused: Vec<_> = refused.iter().map(|(row, why)| (*row, why.as_str())).collect();
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        let (mut rest, mut begin) = (refused.as_slice(), 0);
        for at in 0..batches.min(self.window.len()) {
            let records = self.window[at].records.clone();
            let end = begin + records.num_rows();
            let (of_it, behind) = rest.split_at(rest.partition_point(|(row, _)| *row < end));
            let mut parts: Vec<(Range<usize>, &str)> = Vec::new();
            for (row, why) in of_it.iter().map(|(row, why)| (row - begin, *why)) {
                match parts.last_mut() {
                    Some((part, reason)) if part.end == row && *reason == why => part.end += 1,
                    _ => parts.push((row..row + 1, why)),
                }
            }
            if !parts.is_empty() {
                self.keep_dead(&records, &parts, "refused");
                self.window[at].rows -= of_it.len() as u64;
            }
            (rest, begin) = (behind, end);
        }
    }

    /// Writes these rows of a batch to the dead letters, each part with its reason.
    fn keep_dead(
        &mut self,
        records: &RecordBatch,
        parts: &[(Range<usize>, &str)],
        reason: &'static str,
    ) {
        let (sink, why) = (&self.tally.sink, parts.first().map_or("", |(_, why)| why));
        let rows = parts.iter().map(|(part, _)| part.len() as u64).sum();
        let dropped = match &mut self.dead {
            None => Some((reason, "[engine] names no `spill` directory to keep them".to_owned())),
            Some(dead) => match dead.put(records, parts, wall_clock().0) {
                Ok(true) => None,
                Ok(false) => Some(("dead_letters_full", "there is no room for more".to_owned())),
                Err(error) => Some(("dead_letters_failed", error.to_string())),
            },
        };
        // Of many like it the first is told.
        if let Some((reason, lack)) = dropped {
            if !self.tally.dropped.contains_key(reason) {
                tracing::error!(%sink, "{rows} rows are refused and dropped: {why}; {lack}");
            }
            self.drop_rows(reason, rows);
        } else {
            if self.tally.dead_lettered.is_empty()
                && let Some(dead) = &self.dead
            {
                let place = dead.directory().display();
                tracing::warn!(%sink, "{rows} rows are refused and kept in `{place}`: {why}");
            }
            *self.tally.dead_lettered.entry(reason).or_default() += rows;
        }
    }
}
