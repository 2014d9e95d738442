//! The sinks of another config take the place of those that run.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Closing, Running, Sinks, Stamp, Terrain, tell_of_orphans};
use crate::{
    chain::{Blueprint, BuildError},
    host::Run,
};

/// What will run.
pub(crate) struct Prepared {
    seats: Vec<Seat>,
    terrain: Terrain,
}

enum Seat {
    /// The one of this number goes on.
    Old(usize),
    New(Running),
}

/// Sinks that are taken out.
pub(crate) struct Leaving(Vec<Closing>);

impl Sinks {
    /// Whether the sink number `at` was given up.
    pub(crate) fn has_failed(&self, at: usize) -> bool {
        self.running[at].window.look().tally.error.is_some()
    }

    /// Makes the sinks that are new; `keep` has, for each of the blueprint, the number of the one
    /// that goes on. Those that might write to the files of one that is taken out begin when that
    /// has ended; the others are started.
    ///
    /// # Errors
    /// As [`start`](Self::start); then nothing has changed.
    pub(crate) fn prepare(
        &self,
        blueprint: &Blueprint,
        run: &Arc<Run>,
        (may_identify, stamp): (bool, Stamp),
        keep: &[Option<usize>],
    ) -> Result<Prepared, BuildError> {
        let terrain = Terrain { may_identify, stamp, ..self.terrain.clone() };
        let leaves = |(at, _): &(usize, &Running)| !keep.contains(&Some(*at));
        let leaving = || self.running.iter().enumerate().filter(leaves).map(|(_, old)| old);
        let new = keep.iter().filter(|keep| keep.is_none()).count();
        self.alive.fetch_add(new, Relaxed);
        let mut seats = Vec::with_capacity(keep.len());
        for (index, keep) in keep.iter().enumerate() {
            seats.push(match keep {
                Some(number) => Seat::Old(*number),
                None => {
                    let mut sink = Running::new(blueprint, index, &terrain);
                    sink.waits_for(leaving());
                    if !sink.is_late()
                        && let Err(error) = sink.start(blueprint, run, &terrain, &self.alive)
                    {
                        self.alive.fetch_sub(new, Relaxed);
                        return Err(error);
                    }
                    Seat::New(sink)
                }
            });
        }
        Ok(Prepared { seats, terrain })
    }

    /// Puts them in place: every outlet that is made from now on leads to them. What those that go
    /// on get from there, they get after all that comes from the outlets before.
    pub(crate) fn adopt(&mut self, Prepared { seats, terrain }: Prepared, run: &Run) -> Leaving {
        let mut old: Vec<_> = self.running.drain(..).map(Some).collect();
        self.terrain = terrain;
        self.running.extend(seats.into_iter().filter_map(|seat| match seat {
            Seat::New(sink) => Some(sink),
            Seat::Old(number) => old.get_mut(number).and_then(Option::take).map(|mut sink| {
                sink.turn();
                sink
            }),
        }));
        run.books.sinks(self.windows());
        Leaving(old.into_iter().flatten().map(Running::close).collect())
    }

    /// Waits for the end of those that leave, and starts those that wait for it. The outlets that
    /// lead to the former must be gone, or go soon.
    pub(crate) fn settle(
        &mut self,
        Leaving(mut leaving): Leaving,
        blueprint: &Blueprint,
        run: &Arc<Run>,
        reload: u64,
    ) {
        let Self { running, terrain, alive } = self;
        let end = |closing: Closing| {
            let window = Arc::clone(&closing.window);
            let mut tally = closing.join();
            if tally.error.is_none() {
                alive.fetch_sub(1, Relaxed);
            }
            tally.ended = Some(reload);
            run.books.sink_ended(&window, tally);
        };
        for sink in running.iter_mut().filter(|sink| sink.is_late()) {
            let (first, rest) = leaving.into_iter().partition(|old| old.is_before(sink));
            leaving = rest;
            let first: Vec<_> = first;
            first.into_iter().for_each(end);
            if let Err(failed) = sink.start(blueprint, run, terrain, alive) {
                sink.give_up(&failed.error.to_string(), terrain, alive);
            }
        }
        leaving.into_iter().for_each(end);
        tell_of_orphans(blueprint, terrain);
    }
}
