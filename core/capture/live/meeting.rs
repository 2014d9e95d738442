//! Where workers wait for each other without stopping.
//!
//! When an interface comes back, every worker opens a ring of its own and goes on with its other
//! rings; the new one is enabled once all have come. The lock is taken a few times in the life
//! of an interface, never with packets in hand.

use std::sync::Mutex;

use crate::lock::lock;

/// A meeting of all workers, held again for each generation of an interface.
#[derive(Debug)]
pub(super) struct Meeting {
    workers: usize,
    /// The newest generation and how many have come to it.
    came: Mutex<(u32, usize)>,
}

impl Meeting {
    pub(super) fn of(workers: usize) -> Self {
        Self { workers, came: Mutex::new((0, 0)) }
    }

    /// A worker has its ring of this generation.
    pub(super) fn come(&self, generation: u32) {
        let mut came = lock(&self.came);
        *came = if came.0 == generation { (generation, came.1 + 1) } else { (generation, 1) };
    }

    /// Whether all have one.
    pub(super) fn is_complete(&self, generation: u32) -> bool {
        let came = lock(&self.came);
        *came == (generation, self.workers)
    }
}
