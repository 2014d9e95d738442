//! What came out of values that were seen lately.
//!
//! Values of header fields repeat: a server sends the same ones with every response, and a page
//! asks for many things of one host. Most of them are seen to be plain at a glance; of the others
//! it is cheaper to compare one with what was looked at than to look at it again. URLs, entity
//! tags and dates are new too often to be remembered.
//!
//! An entry holds what `redact` made of a value under one key, so all are forgotten with it.

use crate::{fields::Class, redactor::Redactor, tally::COUNTS};

/// Entries; with their values they take about an eighth of a mebibyte.
const ENTRIES: usize = 1024;
/// The longest value that is remembered, in bytes.
const LONGEST: usize = 256;

/// What comes out of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// The value itself.
    Same,
    Other(&'a str),
    Nothing,
}

/// Remembers, by class and value, the last that fell on each entry.
#[derive(Default)]
pub(crate) struct Memo {
    entries: Vec<Entry>,
    /// The entry of the last value: in many columns the next row has the same one.
    last: usize,
    /// For values that are too long to be remembered.
    long: Entry,
}

#[derive(Clone, Default)]
struct Entry {
    /// Of what; none while it is empty.
    class: Option<Class>,
    value: String,
    came: Came,
    out: String,
    /// What was counted for it, if anything was.
    did: Option<[u8; COUNTS]>,
}

#[derive(Clone, Copy, Default)]
enum Came {
    #[default]
    Nothing,
    Same,
    Other,
}

impl Memo {
    /// Forgets all, for another key.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.long = Entry::default();
    }

    /// What the redactor makes of the value.
    #[inline]
    pub(crate) fn redact(
        &mut self,
        redactor: &mut Redactor,
        class: Class,
        value: &str,
    ) -> Outcome<'_> {
        if value.len() > LONGEST {
            self.long.make(redactor, class, value);
            return self.long.outcome();
        }
        if self.entries.is_empty() {
            self.entries.resize(ENTRIES, Entry::default());
        }
        let is_last = self.entries.get(self.last).is_some_and(|entry| entry.is_of(class, value));
        if !is_last {
            self.last = place(class, value);
        }
        let entry = &mut self.entries[self.last];
        if is_last || entry.is_of(class, value) {
            if let Some(did) = &entry.did {
                redactor.tally.repeat(did);
            }
        } else {
            entry.make(redactor, class, value);
            entry.class = Some(class);
            entry.value.clear();
            entry.value.push_str(value);
        }
        entry.outcome()
    }
}

impl Entry {
    #[inline]
    fn is_of(&self, class: Class, value: &str) -> bool {
        self.class == Some(class) && self.value == value
    }

    fn make(&mut self, redactor: &mut Redactor, class: Class, value: &str) {
        let before = redactor.tally.counts();
        self.out.clear();
        self.came = match redactor.write(class, value, &mut self.out) {
            false => Came::Nothing,
            true if self.out == value => Came::Same,
            true => Came::Other,
        };
        self.did = redactor.tally.since(&before);
    }

    fn outcome(&self) -> Outcome<'_> {
        match self.came {
            Came::Nothing => Outcome::Nothing,
            Came::Same => Outcome::Same,
            Came::Other => Outcome::Other(&self.out),
        }
    }
}

/// Where a value belongs. Who makes values that fall on one entry gains no more than that they
/// are looked at each time.
#[inline]
fn place(class: Class, value: &str) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    };
    let (words, rest) = value.as_bytes().as_chunks::<8>();
    let mut hash = mix(class as u64, value.len() as u64 ^ FACTOR);
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash = mix(hash, u64::from_le_bytes(last));
    // The remainder is below the number of entries.
    usize::try_from(hash % ENTRIES as u64).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod tests {
    use ringmill_sdk::{parse_config, testing::TestHost};

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(parse_config("").unwrap(), &TestHost::new(Some(0)).0).unwrap()
    }

    /// Each value alone, and each with all others in between, so that some fall on one entry.
    #[test]
    fn what_is_remembered_is_what_would_be_made() {
        let classes = [Class::Url, Class::Text, Class::Tags, Class::MediaType, Class::Person];
        let long = "/a?b=".to_owned() + &"c".repeat(LONGEST);
        let mut values =
            vec!["", "/", "/a.html", "/a?b=1&c=2;d", "a@b.c", "\"1\"", "x", "y", &long];
        let many: Vec<_> = (0..3 * ENTRIES).map(|n| format!("/{n}?{n}=1")).collect();
        values.extend(many.iter().map(String::as_str));
        let (mut plain, mut under, mut memo) = (redactor(), redactor(), Memo::default());
        for _ in 0..2 {
            for value in &values {
                for class in [classes.as_slice(), &classes[..1]].concat() {
                    let mut to = String::new();
                    let expected = match plain.write(class, value, &mut to) {
                        false => Outcome::Nothing,
                        true if to == *value => Outcome::Same,
                        true => Outcome::Other(&to),
                    };
                    assert_eq!(
                        memo.redact(&mut under, class, value),
                        expected,
                        "{class:?} {value}"
                    );
                }
            }
        }
        assert_eq!(under.tally.counts(), plain.tally.counts());
        assert!(plain.tally.counts().iter().filter(|count| **count > 0).count() > 4);
    }

    #[test]
    fn values_spread_over_the_entries() {
        let taken: std::collections::BTreeSet<_> =
            (0..ENTRIES).map(|n| place(Class::Host, &format!("host-{n}.example.com"))).collect();
        // Of balls thrown into as many urns a share of 1/e stays empty.
        assert!(taken.len() > ENTRIES * 6 / 10, "{}", taken.len());
        assert_ne!(place(Class::Host, "a"), place(Class::Text, "a"));
    }
}
