//! What passes a stage, and the time that it takes.

use std::time::Instant;

use ringmill_sdk::Counter;

use crate::ledger::{Cost, StageTally};

/// The rows of one stage on one worker and the time that it took; anyone may read them while it
/// runs.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    pub(super) given: Counter,
    pub(super) emitted: Counter,
    pub(super) failed: Counter,
    pub(super) sampled_packets: Counter,
    pub(super) sampled_ns: Counter,
    pub(super) records_ns: Counter,
    pub(super) ticks_ns: Counter,
}

impl Meter {
    /// As the ledger shows them.
    pub(crate) fn tally(&self, label: &str) -> StageTally {
        StageTally {
            stage: label.to_owned(),
            rows_in: self.given.value(),
            rows_out: self.emitted.value(),
            rows_failed: self.failed.value(),
            cost: Cost {
                sampled_packets: self.sampled_packets.value(),
                sampled_ns: self.sampled_ns.value(),
                records_ns: self.records_ns.value(),
                ticks_ns: self.ticks_ns.value(),
                ns_per_packet: 0.0,
            },
            ..StageTally::default()
        }
    }
}

/// Reads a clock between the calls of stages.
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Counts the nanoseconds since it was started or read.
    pub(super) fn read(&mut self, into: &Counter) {
        let now = Instant::now();
        into.add(u64::try_from((now - self.0).as_nanos()).unwrap_or(u64::MAX));
        self.0 = now;
    }
}
