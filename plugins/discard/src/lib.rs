//! `discard`: a sink that keeps nothing.
//!
//! For an engine of which only the status page and the metrics are wanted, and to see what a chain
//! costs without a store behind it. It acknowledges every row, and the ledger says that its rows
//! went here.

use ringmill_sdk::{arrow_array::RecordBatch, prelude::*};

options! {
    /// `discard` has no options.
    pub struct Options {}
}

/// See the [module](self).
#[derive(Debug)]
pub struct Discard;

impl Sink for Discard {
    const NAME: &'static str = "discard";
    const SUMMARY: &'static str = "keeps no row: for the page and the metrics alone";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(_: Options, _: &Host) -> Result<Self> {
        Ok(Self)
    }

    fn write(&mut self, _: &RecordBatch) -> Result {
        Ok(())
    }
}
