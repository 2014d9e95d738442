//! What waits in a connection, and until when.
//!
//! All that has a deadline falls due here and nowhere else, in the order of the deadlines of
//! both directions: before each packet of the connection, when time is told, and at the end.
//! What happens then depends on what waits and not on who asked. So the records of a
//! connection are made by its packets alone, however often time is told.

use ringmill_sdk::Result;

use super::{
    Reassembly,
    early::Stored,
    table::{Dir, NONE, State},
    work::{gap_ends, hold_ends},
};
use crate::{boundary, head::Flags, heads::Heads};

/// What is waited for.
#[derive(Clone, Copy)]
enum Wait {
    /// The bytes before a segment.
    Gap,
    /// The request of a response.
    Request,
    /// Segments from before the one at which a direction was taken up.
    Before,
}

impl Reassembly {
    /// Waits no longer for what is due at `until`.
    #[inline]
    pub(super) fn expire(&mut self, id: u32, until: i64, heads: &mut Heads) -> Result {
        let due = |dir: &Dir| dir.work != NONE && self.works.may_be_due(dir.work, until);
        if self.table.flow(id).dirs.iter().any(due) {
            return self.expire_works(id, until, heads);
        }
        Ok(())
    }

    fn expire_works(&mut self, id: u32, until: i64, heads: &mut Heads) -> Result {
        while let Some((d, wait)) = self.first_due(id, until) {
            match wait {
                Wait::Gap => self.give_up(id, d, heads)?,
                Wait::Request => self.release_late(id, d, heads)?,
                Wait::Before => self.forget_before(id, d),
            }
        }
        Ok(())
    }

    /// Which deadline of both directions comes first, if it is not after `until`.
    fn first_due(&mut self, id: u32, until: i64) -> Option<(usize, Wait)> {
        let mut first: Option<(i64, usize, Wait)> = None;
        for d in [0, 1] {
            let Dir { work, state, .. } = *self.table.dir(id, d);
            let Some(work) = self.works.get(work) else { continue };
            work.look();
            let asks = self.table.dir(id, 1 - d).state == State::Head;
            let gap = work.gap(state);
            // While a head comes it may be the request's.
            let held = work.held.front().filter(|_| !asks);
            let deadlines = [
                (gap.map(|early| gap_ends(&early.segment().seen)), Wait::Gap),
                (held.map(|it| hold_ends(&it.seen)), Wait::Request),
                (work.before.as_ref().map(|before| before.until), Wait::Before),
            ];
            for (deadline, wait) in deadlines {
                if let Some(deadline) = deadline.filter(|deadline| *deadline <= until)
                    && first.is_none_or(|(first, ..)| deadline < first)
                {
                    first = Some((deadline, d, wait));
                }
            }
        }
        first.map(|(_, d, wait)| (d, wait))
    }

    /// Nothing more comes: waits for nothing any more.
    pub(super) fn expire_all(&mut self, id: u32, heads: &mut Heads) -> Result {
        loop {
            self.expire(id, i64::MAX, heads)?;
            let Some(d) = self.first_head(id) else { return Ok(()) };
            self.give_up_head(id, d, heads)?;
        }
    }

    /// The direction in which a head is coming, if both the one that began first.
    fn first_head(&mut self, id: u32) -> Option<usize> {
        let heads = [0, 1].map(|d| {
            let Dir { work, state, .. } = *self.table.dir(id, d);
            let partial = self.works.partial(work).filter(|_| state == State::Head)?;
            Some((partial.seen?.time, d))
        });
        heads.into_iter().flatten().min().map(|(_, d)| d)
    }

    /// Waits no longer for the bytes that are missing.
    pub(super) fn give_up(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        if self.table.dir(id, d).state == State::Waiting {
            self.go_on(id, d);
            return self.drain(id, d, heads);
        }
        self.count(super::Count::Gaps);
        self.give_up_head(id, d, heads)?;
        self.lose(id, d);
        // What was missing may have been the first that showed that it is HTTP.
        let Dir { work, state, .. } = *self.table.dir(id, d);
        let begins = |it: &Stored| boundary::is_head(it.segment().bytes);
        if state == State::Other
            && self.works.get(work).is_some_and(|work| work.early.iter().any(begins))
        {
            self.table.dir(id, d).state = State::Lost;
        }
        self.drain(id, d, heads)
    }

    /// The rest of a head will not come.
    pub(super) fn give_up_head(&mut self, id: u32, d: usize, heads: &mut Heads) -> Result {
        if self.table.dir(id, d).state == State::Head {
            self.lose(id, d);
            self.unfinished(id, d, Flags::INCOMPLETE, heads)?;
        }
        self.tidy(id, d);
        Ok(())
    }
}
