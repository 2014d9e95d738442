//! A bounded memory of what was parsed: two generations.
//!
//! New and used texts go to the young one; when it is full it becomes the old one, and what
//! was in the old one and not used since is forgotten. That is nearly least-recently-used for
//! one hash table look-up per hit, without links to maintain. Memory is bounded by the number of
//! entries, because a text is at most [`LONGEST`](crate::parsed::LONGEST) bytes.
//!
//! The standard hasher is keyed at random, so that nobody can make texts collide on purpose.

use std::{collections::HashMap, mem};

use crate::parsed::{Parsed, cut};

/// Parsed user agents by their text.
#[derive(Debug)]
pub(crate) struct Cache {
    young: Generation,
    old: Generation,
    /// Entries of one generation.
    room: usize,
}

#[derive(Debug, Default)]
struct Generation {
    /// The place in `parsed`.
    places: HashMap<Box<str>, usize>,
    parsed: Vec<Parsed>,
}

impl Cache {
    /// With room for `entries`, half of them for each generation.
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            room: (entries / 2).max(1),
        }
    }

    /// What is in a user agent, and whether it was known.
    #[inline]
    pub(crate) fn parsed(&mut self, user_agent: &str) -> (&Parsed, bool) {
        let text = cut(user_agent);
        let (place, known) = match self.young.places.get(text) {
            Some(&place) => (place, true),
            None => self.remember(text),
        };
        (&self.young.parsed[place], known)
    }

    /// Puts a text into the young generation; where, and whether the old one had it.
    #[cold]
    fn remember(&mut self, text: &str) -> (usize, bool) {
        let (text, parsed, known) = match self.old.places.remove_entry(text) {
            Some((text, place)) => (text, mem::take(&mut self.old.parsed[place]), true),
            None => (text.into(), Parsed::new(text), false),
        };
        if self.young.parsed.len() >= self.room {
            mem::swap(&mut self.young, &mut self.old);
            self.young.places.clear();
            self.young.parsed.clear();
        }
        let place = self.young.parsed.len();
        self.young.places.insert(text, place);
        self.young.parsed.push(parsed);
        (place, known)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.places.len() + self.old.places.len()
    }
}
