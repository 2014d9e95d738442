//! Chance that can be repeated, so that a round which failed can be run again.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{thread, time::Duration};

/// A linear congruential generator (Knuth's MMIX).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From 0 to below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Waits for less than so many milliseconds.
    pub(crate) fn wait(&mut self, milliseconds: u64) {
        thread::sleep(Duration::from_millis(self.roll(milliseconds)));
    }
}
