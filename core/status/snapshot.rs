//! What is known of a run at one moment; `/status.json` is this type.

use serde::Serialize;

use super::{
    history::{Second, Worst},
    load::Load,
    process::Process,
};
use crate::{capture::file::Read, ledger::Ledger, sinks::Look};

/// What is known of a run.
#[derive(Serialize)]
pub(super) struct Snapshot {
    /// Of the engine.
    pub(super) version: &'static str,
    /// When the run began and as of when this is, in milliseconds since 1970.
    pub(super) started: i64,
    pub(super) at: i64,
    /// The run is over: what follows is its ledger.
    pub(super) ended: bool,
    /// What went wrong, one sentence each.
    pub(super) failures: Vec<String>,
    /// The back end.
    pub(super) from: &'static str,
    /// How far capture files have been read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<Reading>,
    pub(super) totals: Totals,
    /// The last second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) second: Option<Second>,
    pub(super) worst: Vec<Worst>,
    pub(super) workers: Vec<Load>,
    pub(super) process: Process,
    pub(super) sinks: Vec<SinkLoad>,
    pub(super) ledger: Ledger,
}

/// How far the reading has come, in bytes.
#[derive(Serialize)]
pub(super) struct Reading {
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
}

impl From<Read> for Reading {
    fn from(Read { bytes, total }: Read) -> Self {
        Self { bytes, total }
    }
}

/// The sums of the ledger.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Totals {
    /// Packets.
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    pub(crate) passed: u64,
    pub(crate) dropped: u64,
    /// Packets that a stage works on just now.
    pub(crate) in_chain: u64,
    /// Packets that the network cards and the rings dropped.
    pub(crate) lost_nic: u64,
    pub(crate) lost_ring: u64,
    /// Rows that sinks dropped.
    pub(crate) lost_sink: u64,
    /// Heads that were found.
    pub(crate) heads: u64,
    /// Rows that left the chain.
    pub(crate) rows: u64,
}

impl Totals {
    pub(crate) fn of(ledger: &Ledger) -> Self {
        let (received, passed) = (ledger.received(), ledger.passed());
        let drops = ledger.dropped();
        let dropped = drops.values().flat_map(|reasons| reasons.values()).sum();
        Self {
            received,
            bytes: ledger.workers.iter().map(|worker| worker.bytes).sum(),
            passed,
            dropped,
            in_chain: received.saturating_sub(passed + dropped),
            lost_nic: ledger.dropped_by_nics(),
            lost_ring: ledger.dropped_by_rings(),
            lost_sink: ledger.sinks.iter().map(|sink| sink.dropped()).sum(),
            heads: heads(ledger),
            rows: ledger.rows,
        }
    }
}

/// What the stages that find heads have counted; rows, where no stage counts them.
fn heads(ledger: &Ledger) -> u64 {
    let counters = ledger.stages.iter().flat_map(|stage| &stage.counters);
    let found = counters.filter(|(name, _)| name == "heads.request" || name == "heads.response");
    let found: Vec<u64> = found.map(|(_, n)| *n).collect();
    if found.is_empty() { ledger.rows } else { found.iter().sum() }
}

/// How a sink does, beside its line of the ledger.
#[derive(Serialize)]
pub(crate) struct SinkLoad {
    /// Batches in its queue, and how many it holds.
    pub(crate) queued: usize,
    pub(crate) queue: usize,
    /// Rows on their way to it: in the queue or written and not acknowledged. Those that are
    /// spilled are not among them.
    pub(crate) pending: u64,
    /// It counts as away.
    pub(crate) away: bool,
    /// Why its last call failed.
    pub(crate) trouble: String,
}

impl SinkLoad {
    pub(crate) fn of(look: Look) -> Self {
        let tally = &look.tally;
        let gone = tally.acknowledged + tally.spilled + tally.dropped() + tally.dead_lettered();
        Self {
            queued: look.queued,
            queue: look.queue,
            pending: (tally.rows + tally.recovered).saturating_sub(gone),
            away: look.away,
            trouble: look.tally.error.clone().unwrap_or(look.trouble),
        }
    }
}
