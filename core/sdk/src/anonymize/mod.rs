//! An anonymization strategy as a stage: [`AddressMap`] says how one address becomes another,
//! [`Anonymizer`] finds the columns, maps them and marks them.

mod columns;
mod epochs;

use arrow_array::RecordBatch;
use serde::de::DeserializeOwned;

pub(crate) use columns::Columns;

use crate::{Host, OptionHelp, Output, Result, Stage, Timestamp, key::Epoch};

/// How an address becomes another. Whole slices, so that ciphers can work on many at once.
pub trait AddressMap: Sized + Send + 'static {
    /// What `use = "..."` says: lower-case letters, digits and `_`.
    const NAME: &'static str;
    /// What it does, as a phrase.
    const SUMMARY: &'static str = "";
    /// What its options are; [`options!`](crate::options) writes this table.
    const OPTIONS: &'static [OptionHelp] = &[];
    /// The stage's own table of the config.
    type Config: DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    /// [`Error::config`](crate::Error::config) for an option that is wrong.
    fn new(config: Self::Config, host: &Host) -> Result<Self>;

    /// Replaces each IPv4 address (most significant byte first) by its pseudonym.
    fn v4(&mut self, addresses: &mut [u32]);

    /// Replaces each IPv6 address (most significant byte first) by its pseudonym.
    fn v6(&mut self, addresses: &mut [u128]);

    /// The addresses that come now are of this period ([`Schedule::period`] of their rows):
    /// to be mapped under its key. With epochs it is called before the first addresses and
    /// whenever the period changes, in either direction; without, never.
    ///
    /// [`Schedule::period`]: crate::key::Schedule::period
    ///
    /// # Errors
    /// When there is no key for the period.
    fn epoch(&mut self, period: i64) -> Result {
        let _ = period;
        Ok(())
    }

    /// Called about once a second, as [`Stage::tick`], so that a keyed strategy can forget.
    fn tick(&mut self, now: Timestamp) {
        let _ = now;
    }
}

/// Hands `each` the rows of one period after another, in order; all at once where there are no
/// epochs, or nothing in the rows depends on them.
pub(crate) fn by_epoch(
    epoch: Option<Epoch>,
    records: RecordBatch,
    mut each: impl FnMut(Option<i64>, RecordBatch) -> Result,
) -> Result {
    let runs = match epoch {
        Some(epoch) if epochs::matter(&records) => epochs::runs(&records, epoch)?,
        _ => return each(None, records),
    };
    runs.into_iter()
        .try_for_each(|(period, rows)| each(Some(period), records.slice(rows.start, rows.len())))
}

/// The stage that a strategy is run as: maps every column of kind `address` and marks it.
///
/// A column is written afresh, never in place: as fast, and safe where the batch is shared.
#[derive(Debug)]
pub struct Anonymizer<A> {
    map: A,
    columns: Columns,
    epoch: Option<Epoch>,
}

impl<A: AddressMap> Stage for Anonymizer<A> {
    const NAME: &'static str = A::NAME;
    const SUMMARY: &'static str = A::SUMMARY;
    const OPTIONS: &'static [OptionHelp] = A::OPTIONS;
    type Config = A::Config;

    fn new(config: A::Config, host: &Host) -> Result<Self> {
        Ok(Self { map: A::new(config, host)?, columns: Columns::new(A::NAME), epoch: host.epoch() })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Self { map, columns, epoch } = self;
        by_epoch(*epoch, records, |period, records| {
            period.map_or(Ok(()), |period| map.epoch(period))?;
            out.emit(columns.map(&records, |v4, v6| {
                map.v4(v4);
                map.v6(v6);
                Ok(())
            })?)
        })
    }

    fn tick(&mut self, now: Timestamp, _: &mut Output<'_>) -> Result {
        self.map.tick(now);
        Ok(())
    }
}

impl<A: AddressMap> Anonymizer<A> {
    /// Maps addresses that are in no record batch here: those of the engine's, of which only
    /// the addresses cross the plugin boundary.
    pub(crate) fn map(&mut self, v4: &mut [u32], v6: &mut [u128]) {
        self.map.v4(v4);
        self.map.v6(v6);
    }

    /// As [`AddressMap::epoch`].
    pub(crate) fn epoch(&mut self, period: i64) -> Result {
        self.map.epoch(period)
    }
}
