//! A ring and what it has counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Counts, RawFrame, Ring};

/// What a ring saw, from when it was enabled until it was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RingReport {
    /// Its interface.
    pub interface: String,
    /// The worker that read it.
    pub worker: usize,
    /// The receive queue, where there is a ring for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Packets that the kernel put into the ring.
    pub received: u64,
    /// Packets that the worker took out of it.
    pub taken: u64,
    /// Packets that found no place in the ring, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Packets that a filter in user space kept out.
    pub filtered: u64,
    /// Packets that were still in the ring when its worker failed.
    pub not_taken: u64,
    /// What was dropped is also among the counters of the driver.
    #[serde(skip)]
    pub counted_by_driver: bool,
    /// Seconds that were counted.
    pub seconds: u64,
    /// The most packets received in one second.
    pub most_received: u64,
    /// The most packets dropped in one second: a mean hides bursts.
    pub most_dropped: u64,
    /// How much of it held packets at the last second, where it is known and while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill_percent: Option<u8>,
    /// Why the counts are not whole, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RingReport {
    /// Packets that found no place in the ring.
    pub fn lost(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// As [`lost`](Self::lost); none where the driver counts them, too.
    pub fn lost_by_ring_alone(&self) -> u64 {
        if self.counted_by_driver { 0 } else { self.lost() }
    }

    /// Packets that were put into the ring and are not accounted for yet.
    pub(super) fn left(&self) -> u64 {
        self.received.saturating_sub(self.filtered + self.taken + self.not_taken)
    }

    /// Its name in the ledger.
    pub fn name(&self) -> String {
        let queue = self.queue.map(|queue| format!(" queue {queue}")).unwrap_or_default();
        format!("{}{queue} worker {}", self.interface, self.worker)
    }

    /// What does not come out, if anything.
    pub(crate) fn imbalance(&self) -> Option<String> {
        let Self { received, taken, filtered, not_taken, .. } = self;
        (self.error.is_none() && *received != filtered + taken + not_taken).then(|| {
            format!(
                "{received} packets were put into the ring of {}, but {taken} taken, {not_taken} \
                 left and {filtered} kept out by the filter",
                self.name()
            )
        })
    }
}

/// A ring that is read.
pub(super) struct Lane<R> {
    pub(super) ring: R,
    /// Index of its interface.
    pub(super) interface: u16,
    pub(super) link: u16,
    report: RingReport,
    /// What had been received and dropped when the last second had passed.
    second: (u64, u64),
}

impl<R: Ring> Lane<R> {
    pub(super) fn new(ring: R, interface: u16, name: &str, worker: usize) -> Self {
        let (interface_name, queue) = (name.to_owned(), ring.queue());
        let report = RingReport {
            interface: interface_name,
            worker,
            queue,
            counted_by_driver: ring.is_counted_by_driver(),
            ..RingReport::default()
        };
        Self { link: ring.link(), ring, interface, report, second: (0, 0) }
    }

    /// The next packet, without taking it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<RawFrame> {
        self.ring.peek()
    }

    /// Takes the packet that `peek` gave.
    #[inline]
    pub(super) fn take(&mut self) {
        self.ring.take();
        self.report.taken += 1;
    }

    /// Reads the ring's counters; `second` says that one has passed since the last time.
    pub(super) fn count(&mut self, second: bool) {
        let Counts { received, dropped, filtered } = match self.ring.counts() {
            Ok(counts) => counts,
            Err(error) => {
                self.report.error = Some(error.to_string());
                return;
            }
        };
        let report = &mut self.report;
        let lost: u64 = dropped.values().sum();
        if second {
            report.seconds += 1;
            report.fill_percent = self.ring.fill_percent();
            let (received_before, lost_before) = self.second;
            report.most_received =
                report.most_received.max(received.saturating_sub(received_before));
            report.most_dropped = report.most_dropped.max(lost.saturating_sub(lost_before));
            self.second = (received, lost);
        }
        (report.received, report.dropped, report.filtered) = (received, dropped, filtered);
    }

    /// See [`RingReport::lost_by_ring_alone`], as of when it was last counted.
    pub(super) fn lost_by_ring_alone(&self) -> u64 {
        self.report.lost_by_ring_alone()
    }

    /// What it had counted when it was last asked.
    pub(super) fn report(&self) -> &RingReport {
        &self.report
    }

    /// Whether all that was received has been taken.
    pub(super) fn is_drained(&mut self) -> bool {
        if self.ring.peek().is_some() {
            return false;
        }
        self.count(false);
        self.report.error.is_some() || self.report.left() == 0
    }

    /// Closes the ring; `failed` says that its packets were not all asked for.
    pub(super) fn close(mut self, failed: bool) -> RingReport {
        self.count(true);
        self.report.fill_percent = None;
        if failed {
            self.report.not_taken = self.report.left();
        }
        self.report
    }
}
