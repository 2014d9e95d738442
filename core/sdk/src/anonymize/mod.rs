//! An anonymization strategy as a stage: [`AddressMap`] says how one address becomes another,
//! [`Anonymizer`] finds the columns, maps them and marks them.

mod columns;

use arrow_array::RecordBatch;
use serde::de::DeserializeOwned;

pub(crate) use columns::Columns;

use crate::{Host, OptionHelp, Output, Result, Stage};

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
}

/// The stage that a strategy is run as: maps every column of kind `address` and marks it.
///
/// A column is written afresh, never in place: as fast, and safe where the batch is shared.
#[derive(Debug)]
pub struct Anonymizer<A> {
    map: A,
    columns: Columns,
}

impl<A: AddressMap> Stage for Anonymizer<A> {
    const NAME: &'static str = A::NAME;
    const SUMMARY: &'static str = A::SUMMARY;
    const OPTIONS: &'static [OptionHelp] = A::OPTIONS;
    type Config = A::Config;

    fn new(config: A::Config, host: &Host) -> Result<Self> {
        Ok(Self { map: A::new(config, host)?, columns: Columns::new(A::NAME) })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Self { map, columns } = self;
        out.emit(columns.map(&records, |v4, v6| {
            map.v4(v4);
            map.v6(v6);
            Ok(())
        })?)
    }
}

impl<A: AddressMap> Anonymizer<A> {
    /// Maps addresses that are in no record batch here: those of the engine's, of which only
    /// the addresses cross the plugin boundary.
    pub(crate) fn map(&mut self, v4: &mut [u32], v6: &mut [u128]) {
        self.map.v4(v4);
        self.map.v6(v6);
    }
}
