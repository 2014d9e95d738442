//! The last ten minutes, second by second, and the worst second of the run.

use std::collections::VecDeque;

use serde::Serialize;

use super::snapshot::Totals;

/// Seconds that are kept.
const KEPT: usize = 600;

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Second {
    /// Milliseconds since 1970 by the wall clock, at its end.
    pub(super) at: i64,
    /// Packets received.
    pub(super) packets: f64,
    /// Bits received.
    pub(super) bits: f64,
    /// Heads found.
    pub(super) heads: f64,
    /// Packets that the network cards dropped.
    pub(super) lost_nic: f64,
    /// Packets that found no place in a ring.
    pub(super) lost_ring: f64,
    /// Rows that sinks dropped.
    pub(super) lost_sink: f64,
}

/// The layers at which something can be lost, with how to read the loss of a second there.
type Layer = (&'static str, fn(&Second) -> f64);
const LAYERS: [Layer; 3] = [
    ("nic", |second| second.lost_nic),
    ("ring", |second| second.lost_ring),
    ("sink", |second| second.lost_sink),
];

/// When a layer lost most in one second.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Worst {
    layer: &'static str,
    at: i64,
    lost: f64,
}

/// What was, second by second.
#[derive(Default)]
pub(super) struct History {
    seconds: VecDeque<Second>,
    before: Option<Totals>,
    worst: [Option<Worst>; LAYERS.len()],
}

impl History {
    /// Enters what had been counted at a time in milliseconds since 1970; `elapsed` seconds have
    /// passed since the last time.
    pub(super) fn add(&mut self, at: i64, elapsed: f64, totals: &Totals) {
        if let Some(before) = self.before.take().filter(|_| elapsed > 0.0) {
            let rate =
                |now: u64, before: u64| (now.saturating_sub(before) as f64 / elapsed).round();
            let second = Second {
                at,
                packets: rate(totals.received, before.received),
                bits: 8.0 * rate(totals.bytes, before.bytes),
                heads: rate(totals.heads, before.heads),
                lost_nic: rate(totals.lost_nic, before.lost_nic),
                lost_ring: rate(totals.lost_ring, before.lost_ring),
                lost_sink: rate(totals.lost_sink, before.lost_sink),
            };
            for (worst, (layer, lost)) in self.worst.iter_mut().zip(LAYERS) {
                let lost = lost(&second);
                if lost > worst.as_ref().map_or(0.0, |worst| worst.lost) {
                    *worst = Some(Worst { layer, at, lost });
                }
            }
            if self.seconds.len() == KEPT {
                self.seconds.pop_front();
            }
            self.seconds.push_back(second);
        }
        self.before = Some(totals.clone());
    }

    pub(super) fn last(&self) -> Option<&Second> {
        self.seconds.back()
    }

    pub(super) fn seconds(&self) -> &VecDeque<Second> {
        &self.seconds
    }

    /// The worst second of each layer that lost anything.
    pub(super) fn worst(&self) -> Vec<Worst> {
        self.worst.iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_worst_seconds() {
        let mut history = History::default();
        let totals = |received, lost_ring| Totals { received, lost_ring, ..Totals::default() };
        // Time in seconds since the last, received, lost by rings.
        let rows = [(1.0, 0, 0), (1.0, 100, 0), (2.0, 500, 40), (1.0, 600, 50), (0.0, 700, 99)];
        for (number, (elapsed, received, lost)) in rows.into_iter().enumerate() {
            let at = i64::try_from(number).unwrap_or_default();
            history.add(at, elapsed, &totals(received, lost));
        }
        let seen: Vec<_> =
            history.seconds().iter().map(|s| (s.at, s.packets, s.lost_ring)).collect();
        assert_eq!(seen, [(1, 100.0, 0.0), (2, 200.0, 20.0), (3, 100.0, 10.0)]);
        let worst: Vec<_> = history.worst().iter().map(|w| (w.layer, w.at, w.lost)).collect();
        assert_eq!(worst, [("ring", 2, 20.0)]);
    }

    #[test]
    fn ten_minutes_are_kept() {
        let mut history = History::default();
        for at in 0..700 {
            history.add(at, 1.0, &Totals::default());
        }
        assert_eq!(history.seconds().len(), 600);
        assert_eq!(history.seconds().front().map(|second| second.at), Some(100));
    }
}
