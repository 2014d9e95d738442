//! An anonymization strategy as a stage: [`AddressMap`] says how one address becomes another,
//! [`Anonymizer`] finds the columns and the addresses in text, maps them and marks them.

mod columns;
mod distinct;
mod epochs;
pub mod special;
#[cfg(test)]
mod tests;
mod text;

use arrow_array::RecordBatch;
use serde::de::DeserializeOwned;

pub(crate) use columns::Columns;
use special::{Guide, Special};

use crate::{Host, OptionHelp, Output, Result, Stage, Timestamp, key::Epoch};

/// How an address becomes another. Whole slices, so that ciphers can work on many at once: all
/// addresses of a record batch, those in its text too. What is [`OPAQUE`](Self::OPAQUE) gets
/// those that come again and again once.
pub trait AddressMap: Sized + Send + 'static {
    /// What `use = "..."` says: lower-case letters, digits and `_`.
    const NAME: &'static str;
    /// What it does, as a phrase.
    const SUMMARY: &'static str = "";
    /// What its options are; [`options!`](crate::options) writes this table.
    const OPTIONS: &'static [OptionHelp] = &[];
    /// The stage's own table of the config.
    type Config: DeserializeOwned;
    /// Whether `v6` hides all bits of an address, as a cipher or a hash does. Where it does not,
    /// an IPv4 address inside an IPv6 one ([`special::embedded_v4`]) is replaced by what `v4`
    /// makes of it, and what follows it is cleared, before `v6` sees the address.
    const OPAQUE: bool = false;

    /// Makes an instance.
    ///
    /// # Errors
    /// [`Error::config`](crate::Error::config) for an option that is wrong.
    fn new(config: Self::Config, host: &Host) -> Result<Self>;

    /// What becomes of special addresses; usually an option of the strategy's.
    fn special(&self) -> Special {
        Special::Map
    }

    /// Whether IPv4 addresses become IPv6 ones. They are then handed to `v6` as ::ffff:a.b.c.d,
    /// and `v4` gets none.
    fn widens(&self) -> bool {
        false
    }

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

/// Hands `each` the rows of one period after another, in order, for a stage whose key changes
/// with the epoch; all at once, without a period, where there are no epochs, or nothing in the
/// rows depends on them.
///
/// # Errors
/// When there are epochs and the rows have no column `time`; what `each` returned.
pub fn by_epoch(
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

/// The stage that a strategy is run as: maps every column of kind `address` and every address
/// that stands in a column of kind `header` or `url`, and marks these columns.
///
/// A column is written afresh, never in place: as fast, and safe where the batch is shared.
#[derive(Debug)]
pub struct Anonymizer<A> {
    map: A,
    columns: Columns,
    guide: Guide,
    epoch: Option<Epoch>,
}

impl<A: AddressMap> Stage for Anonymizer<A> {
    const NAME: &'static str = A::NAME;
    const SUMMARY: &'static str = A::SUMMARY;
    const OPTIONS: &'static [OptionHelp] = A::OPTIONS;
    type Config = A::Config;

    fn new(config: A::Config, host: &Host) -> Result<Self> {
        let map = A::new(config, host)?;
        let columns = Columns::new(A::NAME, map.widens());
        Ok(Self { map, columns, guide: Guide::default(), epoch: host.epoch() })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Self { map, columns, guide, epoch } = self;
        by_epoch(*epoch, records, |period, records| {
            period.map_or(Ok(()), |period| map.epoch(period))?;
            out.emit(columns.map(&records, |v4, v6| {
                guide.map(map, v4, v6);
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
        self.guide.map(&mut self.map, v4, v6);
    }

    pub(crate) fn widens(&self) -> bool {
        self.map.widens()
    }

    /// As [`AddressMap::epoch`].
    pub(crate) fn epoch(&mut self, period: i64) -> Result {
        self.map.epoch(period)
    }
}
