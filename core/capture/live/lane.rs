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
    /// Seconds that were counted.
    pub seconds: u64,
    /// The most packets received in one second.
    pub most_received: u64,
    /// The most packets dropped in one second: a mean hides bursts.
    pub most_dropped: u64,
    /// Why the counts are not whole, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A ring that is read.
pub(super) struct Lane<R> {
    pub(super) ring: R,
    /// Index of its interface.
    pub(super) interface: u16,
    pub(super) link: u16,
    report: RingReport,
}

impl<R: Ring> Lane<R> {
    pub(super) fn new(ring: R, interface: u16, name: &str, worker: usize) -> Self {
        let (interface_name, queue) = (name.to_owned(), ring.queue());
        let report =
            RingReport { interface: interface_name, worker, queue, ..RingReport::default() };
        Self { link: ring.link(), ring, interface, report }
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
        let lost: u64 = dropped.values().sum();
        let report = &mut self.report;
        if second {
            report.seconds += 1;
            let before = report.dropped.values().sum();
            report.most_received =
                report.most_received.max(received.saturating_sub(report.received));
            report.most_dropped = report.most_dropped.max(lost.saturating_sub(before));
        }
        (report.received, report.dropped, report.filtered) = (received, dropped, filtered);
    }

    /// Whether all that was received has been taken.
    pub(super) fn is_drained(&mut self) -> bool {
        if self.ring.peek().is_some() {
            return false;
        }
        self.count(false);
        self.report.error.is_some() || self.report.taken >= self.report.received
    }

    /// Closes the ring.
    pub(super) fn close(mut self) -> RingReport {
        self.count(true);
        self.report
    }
}
