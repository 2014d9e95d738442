//! What was done, counted by kind.

use ringmill_sdk::{Counter, Host};

macro_rules! counted {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// What is counted, in values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Did { $($(#[doc = $doc])+ $variant),+ }

        const NAMES: &[&str] = &[$($name),+];
    };
}

counted! {
    /// A credential that was dropped or replaced.
    Credential = "credentials",
    /// A field of a client's address that was dropped or lost a part that is none.
    Address = "client_addresses",
    /// A field that names a person.
    Person = "persons",
    /// A field, or a value of a column, that is not on the list.
    Unlisted = "unlisted",
    /// A user agent of which only the parsed columns come out.
    Agent = "user_agents",
    /// A part of a URL that was hashed or dropped because its mode says so.
    UrlPart = "url_parts",
    /// An entity tag that was hashed.
    Tag = "entity_tags",
    /// A word that held an e-mail address.
    Email = "scrubbed.emails",
    /// A word that held a token.
    Token = "scrubbed.tokens",
    /// A value, or a part of one, that does not look as its grammar says.
    Odd = "scrubbed.odd",
}

/// How many kinds there are.
pub(crate) const COUNTS: usize = NAMES.len();

/// Counted since [`publish`](Tally::publish) was called last.
pub(crate) struct Tally {
    counts: [u64; COUNTS],
    counters: Vec<Counter>,
}

impl Tally {
    pub(crate) fn new(host: &Host) -> Self {
        let counters = NAMES.iter().map(|name| host.counter(name)).collect();
        Self { counts: [0; COUNTS], counters }
    }

    #[inline]
    pub(crate) fn add(&mut self, did: Did) {
        self.counts[did as usize] += 1;
    }

    /// Of so many values.
    pub(crate) fn add_all(&mut self, did: Did, values: usize) {
        self.counts[did as usize] += values as u64;
    }

    pub(crate) fn counts(&self) -> [u64; COUNTS] {
        self.counts
    }

    /// What was counted since then, if anything was; up to 255 of a kind.
    pub(crate) fn since(&self, before: &[u64; COUNTS]) -> Option<[u8; COUNTS]> {
        (self.counts != *before).then(|| {
            std::array::from_fn(|at| u8::try_from(self.counts[at] - before[at]).unwrap_or(u8::MAX))
        })
    }

    /// Counts the same once more.
    pub(crate) fn repeat(&mut self, did: &[u8; COUNTS]) {
        for (count, did) in self.counts.iter_mut().zip(did) {
            *count += u64::from(*did);
        }
    }

    pub(crate) fn publish(&mut self) {
        for (count, counter) in self.counts.iter_mut().zip(&self.counters) {
            if *count > 0 {
                counter.add(std::mem::take(count));
            }
        }
    }
}
