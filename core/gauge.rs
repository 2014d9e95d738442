//! A running engine as those see it who watch it from outside: a progress bar, a service manager.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;

use crate::{
    capture::file::Read,
    ledger::{Books, Live},
    service::Stuck,
    status::{SinkLoad, Totals},
    supply::Supply,
};

/// A running engine as a progress bar sees it.
#[derive(Clone)]
pub struct Gauge {
    pub(crate) live: Vec<Arc<CachePadded<Live>>>,
    pub(crate) books: Arc<Books>,
    pub(crate) supply: Arc<dyn Supply>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What has been counted at some time.
#[derive(Clone, Debug)]
pub struct Counted {
    /// When.
    pub at: Instant,
    /// Packets received.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Heads found.
    pub heads: u64,
    /// Packets that the network cards and the rings dropped.
    pub lost: u64,
    /// Rows that sinks dropped.
    pub lost_rows: u64,
    /// The most rows that are on their way to one sink.
    pub pending: u64,
    /// The most rows that one sink has spilled.
    pub spilled: u64,
    /// Sinks that count as away.
    pub away: usize,
}

impl Gauge {
    /// Packets received so far.
    pub fn packets(&self) -> u64 {
        self.live.iter().map(|live| live.packets.load(Relaxed)).sum()
    }

    /// How far the reading has come; none for live capture.
    pub fn read(&self) -> Option<Read> {
        self.supply.read()
    }

    /// Every worker has its chain and its rings and takes packets.
    pub fn is_ready(&self) -> bool {
        self.live.iter().all(|live| live.polls.load(Relaxed) > 0)
    }

    /// Somebody has ended the run, or its inputs have come to their end.
    pub fn is_stopping(&self) -> bool {
        let ended = |live: &Arc<CachePadded<Live>>| live.place.load(Relaxed) == Live::ENDED;
        self.stop.load(Relaxed) || self.live.iter().all(ended)
    }

    /// The workers that do not come back.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.books.stuck()
    }

    /// What the end of the run still waits for, a phrase for each.
    pub fn unfinished(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (worker, live) in self.live.iter().enumerate() {
            match live.place.load(Relaxed) {
                Live::ENDED => {}
                Live::AT_SOURCE => all.push(format!("worker {worker} is at its source")),
                Live::AT_SINKS => all.push(format!("worker {worker} waits for a sink")),
                stage => {
                    let label = self.books.stage(stage - 1).unwrap_or_default();
                    all.push(format!("worker {worker} is in stage `{label}`"));
                }
            }
        }
        let (_, looks) = self.books.ledger();
        for look in looks {
            let (sink, load) = (look.tally.sink.clone(), SinkLoad::of(look));
            if load.pending > 0 {
                all.push(format!("sink `{sink}` has not made {} rows safe", load.pending));
            }
        }
        all
    }

    /// What has been counted so far.
    pub fn counted(&self) -> Counted {
        let at = Instant::now();
        let (ledger, looks) = self.books.ledger();
        let totals = Totals::of(&ledger);
        let spilled = looks.iter().map(|look| look.tally.spilled).max().unwrap_or_default();
        let loads: Vec<_> = looks.into_iter().map(SinkLoad::of).collect();
        Counted {
            at,
            packets: totals.received,
            bytes: totals.bytes,
            heads: totals.heads,
            lost: totals.lost_nic + totals.lost_ring,
            lost_rows: totals.lost_sink,
            pending: loads.iter().map(|load| load.pending).max().unwrap_or_default(),
            spilled,
            away: loads.iter().filter(|load| load.away).count(),
        }
    }
}

impl Counted {
    /// What goes on now, in a line: what has come since `before`, and what was lost in all.
    pub fn line(&self, before: &Self) -> String {
        let seconds = self.at.saturating_duration_since(before.at).max(Duration::from_millis(1));
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds.as_secs_f64();
        let mut line = format!(
            "{} packets/s, {}bit/s, {} heads/s, {} lost",
            short(rate(self.packets, before.packets)).trim_end(),
            short(8.0 * rate(self.bytes, before.bytes)),
            short(rate(self.heads, before.heads)).trim_end(),
            self.lost
        );
        for (count, what) in [
            (self.lost_rows, "rows dropped"),
            (self.pending, "rows on the way to sinks"),
            (self.spilled, "rows spilled"),
        ] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        match self.away {
            0 => {}
            1 => line += ", 1 sink is away",
            many => line += &format!(", {many} sinks are away"),
        }
        line
    }
}

/// A number with three digits or so and the prefix of a unit.
fn short(number: f64) -> String {
    for (size, prefix) in [(1e9, 'G'), (1e6, 'M'), (1e3, 'k')] {
        let shown = number / size;
        if shown >= 0.9995 {
            let digits = if shown < 9.995 { 2 } else { usize::from(shown < 99.95) };
            return format!("{shown:.digits$} {prefix}");
        }
    }
    format!("{number:.0} ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_goes_on() {
        let at = Instant::now();
        let before = Counted {
            at,
            packets: 1_000_000,
            bytes: 0,
            heads: 10,
            lost: 0,
            lost_rows: 0,
            pending: 0,
            spilled: 0,
            away: 0,
        };
        let quiet = Counted { at: at + Duration::from_secs(2), ..before.clone() };
        assert_eq!(quiet.line(&before), "0 packets/s, 0 bit/s, 0 heads/s, 0 lost");
        let busy = Counted {
            packets: 3_460_000,
            bytes: 2_500_000_000,
            heads: 2010,
            lost: 7,
            lost_rows: 3,
            pending: 4096,
            away: 1,
            ..quiet
        };
        assert_eq!(
            busy.line(&before),
            "1.23 M packets/s, 10.0 Gbit/s, 1.00 k heads/s, 7 lost, 3 rows dropped, 4096 rows on \
             the way to sinks, 1 sink is away"
        );
    }

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.0, "0 "),
            (999.0, "999 "),
            (999.6, "1.00 k"),
            (12_345.0, "12.3 k"),
            (123_456.0, "123 k"),
            (999_999.0, "1.00 M"),
            (1.5e10, "15.0 G"),
        ] {
            assert_eq!(short(number), expected);
        }
    }
}
