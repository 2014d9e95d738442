//! The contract between the engine and a stage.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::de::DeserializeOwned;

use crate::{Batch, Host, OptionHelp, Result, Timestamp};

/// One link of the chain.
///
/// Every worker has an instance of its own; nothing is shared between instances. It is made and
/// dropped on the worker's thread, or, where the config is read again while the engine runs, on
/// another one. `packets` is called for every batch, `records` for every
/// record batch that a stage before has emitted; only `NAME`, `Config` and `new` must be
/// written.
///
/// ```
/// use ringmill_sdk::prelude::*;
///
/// options! {
///     /// Options of `[[stage]] use = "every_nth"`.
///     struct Options {
///         /// Keeps packet 1, 1 + n, 1 + 2n, ...
///         n: u64 = 10,
///     }
/// }
///
/// struct EveryNth { n: u64, seen: u64, skipped: Reason }
///
/// impl Stage for EveryNth {
///     const NAME: &'static str = "every_nth";
///     const SUMMARY: &'static str = "keeps one packet in n";
///     const OPTIONS: &'static [OptionHelp] = Options::HELP;
///     type Config = Options;
///
///     fn new(options: Options, host: &Host) -> Result<Self> {
///         if options.n == 0 {
///             return Err(Error::config("n", "must be at least 1"));
///         }
///         Ok(Self { n: options.n, seen: 0, skipped: host.reason("skipped") })
///     }
///
///     fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
///         for packet in batch.live() {
///             if self.seen % self.n != 0 {
///                 packet.drop(self.skipped);
///             }
///             self.seen += 1;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Stage: Sized + Send + 'static {
    /// What `use = "..."` says: lower-case letters, digits and `_`.
    const NAME: &'static str;
    /// What it does, as a phrase.
    const SUMMARY: &'static str = "";
    /// What its options are; [`options!`](crate::options) writes this table.
    const OPTIONS: &'static [OptionHelp] = &[];
    /// The stage's own table of the config.
    type Config: DeserializeOwned;

    /// Makes an instance. Must not write anywhere: `engine check` calls it too.
    ///
    /// # Errors
    /// [`Error::config`](crate::Error::config) for an option that is wrong.
    fn new(config: Self::Config, host: &Host) -> Result<Self>;

    /// The record types that this stage can emit by itself; none for most stages.
    fn schemas(&self) -> Vec<SchemaRef> {
        Vec::new()
    }

    /// Looks at, marks or drops packets; emits records.
    ///
    /// # Errors
    /// Only what makes going on impossible; a packet that is odd is counted, not an error.
    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        let _ = (batch, out);
        Ok(())
    }

    /// Takes records from the stages before and passes on what those after should see.
    ///
    /// # Errors
    /// Only what makes going on impossible.
    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        out.emit(records)
    }

    /// Called about once a second, so that the hot path never reads a clock. `now` is the
    /// time of the last packet when a capture file is read, else the wall clock.
    ///
    /// # Errors
    /// Only what makes going on impossible.
    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result {
        let _ = (now, out);
        Ok(())
    }

    /// Called once, after the last batch of the run or before a reload puts another stage in its
    /// place; the last chance to emit.
    ///
    /// # Errors
    /// Only what makes the result wrong.
    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        let _ = out;
        Ok(())
    }
}

/// Where a stage puts its records.
#[derive(Debug)]
pub struct Output<'a>(&'a mut Vec<RecordBatch>);

impl<'a> Output<'a> {
    /// An output that collects into `batches`: for the engine and for tests.
    pub fn new(batches: &'a mut Vec<RecordBatch>) -> Self {
        Self(batches)
    }

    /// Hands a record batch to the next stage. Its schema must be one that
    /// [`Stage::schemas`] named, or made from one that came in.
    ///
    /// # Errors
    /// None today; the signature leaves room for back-pressure.
    pub fn emit(&mut self, records: RecordBatch) -> Result {
        if records.num_rows() > 0 || records.num_columns() > 0 {
            self.0.push(records);
        }
        Ok(())
    }
}

/// The end of the chain: a stage that only takes records and writes them somewhere.
///
/// It runs on a thread of its own behind a bounded queue; a slow store delays nobody else. The
/// engine retries, spills what the store cannot take to disk, puts aside what it refuses, and
/// counts all of it, by two answers of the sink: what [`flush`](Self::flush) acknowledges, and
/// the kind of its errors.
///
/// | error | what the engine does |
/// |---|---|
/// | [`Error::retry`](crate::Error::retry) | tries again with the same records, after a while |
/// | [`Error::refused`](crate::Error::refused) | tries the halves of the batch, down to single records, and puts those that are meant into a dead-letter file with the message |
/// | [`Error::refused_rows`](crate::Error::refused_rows), from `flush` | puts these rows into a dead-letter file, each with its own message, and takes the others for safe |
/// | any other, such as what `?` makes of an [`std::io::Error`] | with `when_full = "spill"` as after `retry`; else the sink is given up for this run |
/// | a panic | the same, and with `when_full = "spill"` a new instance takes its place |
///
/// So records come at least once: what was written since the last flush that succeeded is
/// written again after an error, after a panic, and, where it had been spilled, after a crash of
/// the engine.
pub trait Sink: Sized + Send + 'static {
    /// What `use = "..."` says: lower-case letters, digits and `_`.
    const NAME: &'static str;
    /// What it does, as a phrase.
    const SUMMARY: &'static str = "";
    /// What its options are; [`options!`](crate::options) writes this table.
    const OPTIONS: &'static [OptionHelp] = &[];
    /// Whether it sends to a store that can be away for a time. What such a sink cannot take is
    /// spilled to disk unless the config says otherwise, and it is flushed whenever it has
    /// nothing else to do, once a second at least; others only at the end, or from time to time
    /// where the config spills.
    const NETWORK: bool = false;
    /// The sink's own table of the config.
    type Config: DeserializeOwned;

    /// Makes the sink. Must not write anywhere: `engine check` calls it too.
    ///
    /// # Errors
    /// [`Error::config`](crate::Error::config) for an option that is wrong.
    fn new(config: Self::Config, host: &Host) -> Result<Self>;

    /// Takes one record batch. What it is, its schema says:
    /// [`record_name`](crate::schema::record_name).
    ///
    /// # Errors
    /// [`Error::refused`](crate::Error::refused) says that this batch was not taken, and no more. After any other error
    /// what was written since the last flush comes again, so a sink that still holds some of it
    /// should forget that. Only to a sink that is no [`NETWORK`](Self::NETWORK), where the
    /// config does not spill either, it does not come again; what such a sink took before is
    /// as it was, or the next flush fails.
    fn write(&mut self, records: &RecordBatch) -> Result;

    /// Called about once a second with the wall clock, for rotation.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn tick(&mut self, now: Timestamp) -> Result {
        let _ = now;
        Ok(())
    }

    /// Makes everything written so far safe. Rows count as acknowledged once this has
    /// returned; it is called at the end, and may be called at any time.
    ///
    /// # Errors
    /// Nothing since the last flush that succeeded counts as taken, and the sink must forget
    /// what it still holds of it: it comes again, or is counted as lost where the sink is given
    /// up. [`Error::refused`](crate::Error::refused) says that one of these batches was refused; they come again one by
    /// one, each with a flush of its own.
    fn flush(&mut self) -> Result {
        Ok(())
    }
}
