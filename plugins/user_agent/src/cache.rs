//! A bounded memory of what was parsed: two generations.
//!
//! New and used texts go to the young one; when it is full it becomes the old one, and what
//! was in the old one and not used since is forgotten. That is nearly least-recently-used for
//! one hash table look-up per hit, without links to maintain. Memory is bounded by the number of
//! entries, because a text is at most [`LONGEST`](crate::parsed::LONGEST) bytes.
//!
//! The standard hasher is keyed at random, so that nobody can make texts collide on purpose. It
//! costs more than all else about a hit, so most texts are found by a cheap one before: who makes
//! texts that fall on one entry of that table gains no more than that the other is asked.

use std::{collections::HashMap, mem, sync::Arc};

use crate::parsed::{Parsed, cut};

/// Parsed user agents by their text.
#[derive(Debug)]
pub(crate) struct Cache {
    young: Generation,
    old: Generation,
    /// Entries of one generation.
    room: usize,
    /// Where in the young generation the last text was that fell on each entry; there may be
    /// another by now.
    lately: Vec<usize>,
}

/// How many texts are found by the cheap hash at most.
const LATELY: usize = 2048;

#[derive(Debug, Default)]
struct Generation {
    /// The place in `parsed`.
    places: HashMap<Arc<str>, usize>,
    parsed: Vec<(Arc<str>, Parsed)>,
}

impl Cache {
    /// With room for `entries`, half of them for each generation.
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            room: (entries / 2).max(1),
            lately: vec![0; LATELY],
        }
    }

    /// What is in a user agent, and whether it was known.
    #[inline]
    pub(crate) fn parsed(&mut self, user_agent: &str) -> (&Parsed, bool) {
        let text = cut(user_agent);
        let at = place(text);
        let lately = self.lately[at];
        if self.young.parsed.get(lately).is_some_and(|(known, _)| **known == *text) {
            return (&self.young.parsed[lately].1, true);
        }
        let (place, known) = self.find(text);
        self.lately[at] = place;
        (&self.young.parsed[place].1, known)
    }

    fn find(&mut self, text: &str) -> (usize, bool) {
        match self.young.places.get(text) {
            Some(&place) => (place, true),
            None => self.remember(text),
        }
    }

    /// Puts a text into the young generation; where, and whether the old one had it.
    #[cold]
    fn remember(&mut self, text: &str) -> (usize, bool) {
        let (text, parsed, known) = match self.old.places.remove_entry(text) {
            Some((text, place)) => (text, mem::take(&mut self.old.parsed[place].1), true),
            None => (text.into(), Parsed::new(text), false),
        };
        if self.young.parsed.len() >= self.room {
            mem::swap(&mut self.young, &mut self.old);
            self.young.places.clear();
            self.young.parsed.clear();
        }
        let place = self.young.parsed.len();
        self.young.places.insert(Arc::clone(&text), place);
        self.young.parsed.push((text, parsed));
        (place, known)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.places.len() + self.old.places.len()
    }
}

/// Where a text is found by the cheap hash. Two sums at a time, so that they do not wait for
/// each other.
fn place(text: &str) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let add = |sum: u64, word: [u8; 8]| {
        (sum.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR)
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<16>();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let (mut one, mut other) = (text.len() as u64, FACTOR);
    for pair in pairs.iter().chain([&last]) {
        if let ([first, second], []) = pair.as_chunks::<8>() {
            (one, other) = (add(one, *first), add(other, *second));
        }
    }
    let sum = (one ^ other.rotate_left(32)).wrapping_mul(FACTOR);
    // The remainder is below the number of entries.
    usize::try_from((sum >> 40) % LATELY as u64).unwrap_or_default()
}
