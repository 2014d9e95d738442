//! Where heads become rows, and rows record batches.

use ringmill_sdk::{Counter, Error, Host, Output, Result, Timestamp, arrow_array::RecordBatch};

use crate::{
    flow::Epochs,
    head::{Flags, Head, Kind},
    rows::{Rows, Seen, Taken, Told},
};

/// Bytes of text after which a record batch is emitted whatever its rows: far from the 2 GiB
/// at which a column of text ends.
const MOST_BYTES: usize = 64 << 20;

/// What is counted of heads.
const COUNTED: [(&str, Flags); 4] = [
    ("heads.truncated", Flags::TRUNCATED),
    ("heads.malformed", Flags::MALFORMED),
    ("heads.incomplete", Flags::INCOMPLETE),
    ("heads.oversize", Flags::OVERSIZE),
];

/// The rows of both record types.
pub(crate) struct Heads {
    most_rows: usize,
    epochs: Option<Epochs>,
    /// The row that was added last has no key.
    keyless: Option<Error>,
    requests: Rows,
    responses: Rows,
    /// Full record batches; they go out with the packets that filled them.
    full: Vec<RecordBatch>,
    tally: [u64; 2 + COUNTED.len()],
    counters: [Counter; 2 + COUNTED.len()],
}

impl Heads {
    pub(crate) fn new(most_rows: usize, epochs: Option<Epochs>, host: &Host) -> Self {
        let names = ["heads.request", "heads.response"].into_iter();
        let mut names = names.chain(COUNTED.map(|(name, _)| name));
        Self {
            most_rows,
            epochs,
            keyless: None,
            requests: Rows::new(Kind::Request),
            responses: Rows::new(Kind::Response),
            full: Vec::new(),
            tally: Default::default(),
            counters: std::array::from_fn(|_| host.counter(names.next().unwrap_or_default())),
        }
    }

    /// The rows of one type; see [`settle`](Self::settle).
    pub(crate) fn rows(&mut self, kind: Kind) -> &mut Rows {
        match kind {
            Kind::Request => &mut self.requests,
            Kind::Response => &mut self.responses,
        }
    }

    /// Adds a head as a row, which can be looked at until [`settle`](Self::settle) is called.
    #[inline]
    pub(crate) fn add(
        &mut self,
        kind: Kind,
        seen: &Seen,
        head: Head<'_, '_>,
        told: &Told<'_>,
    ) -> Taken {
        let mut seen = *seen;
        if let Some(epochs) = &mut self.epochs {
            match epochs.number(&seen) {
                Ok((number, day)) => {
                    seen.flow = number;
                    self.rows(kind).begin_epoch(day);
                }
                Err(error) => self.keyless = Some(error),
            }
        }
        let taken = self.rows(kind).add(&seen, head, told);
        self.tally[kind as usize] += 1;
        for (tally, (_, flag)) in self.tally[2..].iter_mut().zip(COUNTED) {
            *tally += u64::from(taken.flags.has(flag));
        }
        taken
    }

    /// Makes a record batch of the rows when there are enough.
    ///
    /// # Errors
    /// When there was no key for the epoch of a row.
    #[inline]
    pub(crate) fn settle(&mut self, kind: Kind) -> Result {
        if let Some(error) = self.keyless.take() {
            // The rows before it are good; it is none.
            let rows = self.rows(kind).finish()?;
            self.full.extend(rows.map(|rows| rows.slice(0, rows.num_rows() - 1)));
            return Err(error);
        }
        let most = self.most_rows;
        let rows = self.rows(kind);
        if rows.len() >= most || rows.bytes() >= MOST_BYTES {
            let full = rows.finish()?;
            self.full.extend(full);
        }
        Ok(())
    }

    /// Whether rows have a column `epoch`.
    pub(crate) fn has_epochs(&self) -> bool {
        self.epochs.is_some()
    }

    /// Forgets the keys of epochs that are over.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        if let Some(epochs) = &mut self.epochs {
            epochs.tick(now);
        }
    }

    /// Emits what is full, and counts.
    #[inline]
    pub(crate) fn emit_full(&mut self, out: &mut Output<'_>) -> Result {
        for (tally, counter) in self.tally.iter_mut().zip(&self.counters) {
            if *tally > 0 {
                counter.add(std::mem::take(tally));
            }
        }
        self.full.drain(..).try_for_each(|records| out.emit(records))
    }

    /// Emits all rows.
    pub(crate) fn emit(&mut self, out: &mut Output<'_>) -> Result {
        self.emit_full(out)?;
        for rows in [&mut self.requests, &mut self.responses] {
            if let Some(records) = rows.finish()? {
                out.emit(records)?;
            }
        }
        Ok(())
    }
}
