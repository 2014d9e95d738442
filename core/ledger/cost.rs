//! What the stages cost, and the table of it.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::{Ledger, StageTally};

/// The time that a stage took.
///
/// Calls with packets are sampled: of each worker's batches one in 61 is timed, so that the other
/// sixty read no clock. Calls with records, and those once a second, are rare and all timed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Packets of the batches that were timed.
    pub sampled_packets: u64,
    /// Nanoseconds that it took for them.
    pub sampled_ns: u64,
    /// Nanoseconds for all records that it was given.
    pub records_ns: u64,
    /// Nanoseconds for all calls that come once a second, and for its end.
    pub ticks_ns: u64,
    /// Nanoseconds for each packet that was received, over all of these.
    pub ns_per_packet: f64,
}

impl Cost {
    /// Adds what another worker's instance took.
    pub(super) fn add(&mut self, other: &Self) {
        self.sampled_packets += other.sampled_packets;
        self.sampled_ns += other.sampled_ns;
        self.records_ns += other.records_ns;
        self.ticks_ns += other.ticks_ns;
    }

    /// Divides by the packets that were received.
    pub(super) fn settle(&mut self, received: u64) {
        self.ns_per_packet = self.packets() + per(self.records_ns + self.ticks_ns, received);
    }

    /// Nanoseconds for each packet, without what records and ticks took.
    fn packets(&self) -> f64 {
        per(self.sampled_ns, self.sampled_packets)
    }
}

fn per(ns: u64, packets: u64) -> f64 {
    if packets == 0 { 0.0 } else { ns as f64 / packets as f64 }
}

/// What `engine --profile` prints.
pub(super) struct Profile<'a>(pub(super) &'a Ledger);

impl Display for Profile<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (stages, received) = (&self.0.stages, self.0.received());
        let all: f64 = stages.iter().map(|stage| stage.cost.ns_per_packet).sum();
        let timed = stages.first().map_or(0, |stage| stage.cost.sampled_packets);
        writeln!(f, "cost in ns per packet, over {timed} packets that were timed")?;
        writeln!(f, "  {:<16}{:>9}{:>9}{:>9}{:>9}", "stage", "packets", "records", "all", "share")?;
        for StageTally { stage, cost, .. } in stages {
            let records = per(cost.records_ns + cost.ticks_ns, received);
            let share = if all > 0.0 { 100.0 * cost.ns_per_packet / all } else { 0.0 };
            writeln!(
                f,
                "  {stage:<16}{:>9.1}{records:>9.1}{:>9.1}{share:>8.1}%",
                cost.packets(),
                cost.ns_per_packet
            )?;
        }
        writeln!(f, "  {:<16}{:>27.1}", "chain", all)
    }
}
