//! Puts the packets of several rings in time order.
//!
//! The oldest packet goes first. A ring that is empty may still get an older one than another
//! ring holds, because the kernel hands packets over in blocks; so a packet waits while some
//! ring is empty, but never longer than the window. A card whose clock is ahead of the system's
//! would make its packets wait for ever: how far ahead is learnt from packets that seem to come
//! from the future.

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take the packet of this ring.
    Take(usize),
    /// The oldest packet has to wait for this many nanoseconds, or for the rings that are empty.
    Wait(i64),
    /// All rings are empty.
    Empty,
}

/// The order of packets within a window of time.
#[derive(Debug)]
pub(super) struct Order {
    /// Nanoseconds.
    window: i64,
    /// How far the fastest clock is ahead of ours, in nanoseconds.
    ahead: i64,
}

impl Order {
    pub(super) fn new(window: i64) -> Self {
        Self { window, ahead: 0 }
    }

    /// Chooses among the times of the rings' next packets; `now` is when it was looked for them.
    #[inline]
    pub(super) fn next(&mut self, heads: &[Option<i64>], now: i64) -> Next {
        let mut oldest: Option<(usize, i64)> = None;
        let mut full = true;
        for (at, head) in heads.iter().enumerate() {
            match *head {
                Some(time) if oldest.is_none_or(|(_, least)| time < least) => {
                    oldest = Some((at, time))
                }
                Some(_) => {}
                None => full = false,
            }
        }
        let Some((at, time)) = oldest else { return Next::Empty };
        self.ahead = self.ahead.max(time.saturating_sub(now));
        let young = time.saturating_sub(now.saturating_add(self.ahead).saturating_sub(self.window));
        if full || young <= 0 { Next::Take(at) } else { Next::Wait(young) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, Order};

    #[test]
    fn a_packet_waits_for_older_ones_no_longer_than_the_window() {
        let cases: &[(&[Option<i64>], i64, Next)] = &[
            (&[None, None], 1_000, Next::Empty),
            (&[Some(990), Some(980)], 1_000, Next::Take(1)),
            (&[Some(980), Some(980)], 1_000, Next::Take(0)),
            (&[Some(990), None], 1_000, Next::Wait(90)),
            (&[None, Some(900)], 1_000, Next::Take(1)),
            (&[None, Some(901)], 1_000, Next::Wait(1)),
            (&[Some(i64::MIN), None], 1_000, Next::Take(0)),
        ];
        for (heads, now, next) in cases {
            assert_eq!(Order::new(100).next(heads, *now), *next, "{heads:?}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_delays_by_the_window_only() {
        let mut order = Order::new(100);
        assert_eq!(order.next(&[Some(5_000), None], 1_000), Next::Wait(100));
        assert_eq!(order.next(&[Some(5_000), None], 1_099), Next::Wait(1));
        assert_eq!(order.next(&[Some(5_000), None], 1_100), Next::Take(0));
    }
}
