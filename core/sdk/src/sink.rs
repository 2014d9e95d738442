//! A [`Sink`] as a stage, so that the chain and the plugin boundary know one kind of slot.

use arrow_array::RecordBatch;

use crate::{Host, OptionHelp, Output, Result, Sink, Stage, Timestamp};

/// The stage that a sink is run as.
#[derive(Debug)]
pub struct SinkStage<S>(S);

impl<S: Sink> Stage for SinkStage<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;
    const OPTIONS: &'static [OptionHelp] = S::OPTIONS;
    type Config = S::Config;

    fn new(config: S::Config, host: &Host) -> Result<Self> {
        S::new(config, host).map(Self)
    }

    fn records(&mut self, records: RecordBatch, _: &mut Output<'_>) -> Result {
        self.0.write(&records)
    }

    fn tick(&mut self, now: Timestamp, _: &mut Output<'_>) -> Result {
        self.0.tick(now)
    }

    fn finish(&mut self, _: &mut Output<'_>) -> Result {
        self.0.flush()
    }
}
