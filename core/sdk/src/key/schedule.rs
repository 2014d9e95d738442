//! Which key a row has.

use std::path::Path;

use super::{Ephemeral, Key, Ratchet, Stored, file};
use crate::{Error, Host, Result, Timestamp};

/// Keys that are kept at hand; more are made again when they are needed.
const AT_HAND: usize = 8;

/// The keys of one stage: one for all times, or one for each epoch.
///
/// ```
/// # use ringmill_sdk::{key::{Ephemeral, Schedule}, testing::{START, TestHost}};
/// # let (host, _) = TestHost::new(Some(0));
/// let mut keys = Schedule::new(None, Some(Ephemeral), &host, "my_stage")?;
/// let period = keys.period(START);
/// let key = keys.key(period)?;
/// # assert_eq!(key.len(), 32);
/// # Ok::<(), ringmill_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Schedule {
    label: String,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    /// Without epochs.
    One(Key),
    Epochs(Epochs),
}

#[derive(Debug)]
struct Epochs {
    /// Where it comes from, for messages.
    source: String,
    /// The oldest that can still be made.
    oldest: Ratchet,
    /// Where the last one was made, so that the next is one step away.
    last: Ratchet,
    /// Those at hand, by period.
    known: Vec<(i64, Key)>,
    /// Whether time is the clock's, so that what is over is over.
    forgets: bool,
}

impl Schedule {
    /// The keys that a stage's options `key_file` and `key` name, of which exactly one is
    /// given. `label` is the stage's name: an ephemeral key, and every key of an epoch, is
    /// another for another label. A plain key file gives its 32 bytes as they are.
    ///
    /// Tells readers of the data which key it is, by an id: facts `key`, `key_id` and `epoch`.
    ///
    /// # Errors
    /// [`Error::config`] for both or neither option, for a file that is no key, and for one
    /// that has epochs where the config has none, or the other way round.
    pub fn new(
        key_file: Option<&Path>,
        key: Option<Ephemeral>,
        host: &Host,
        label: &str,
    ) -> Result<Self> {
        let (keys, id) = match (key_file, key) {
            (Some(path), None) => {
                host.declare("key", "file");
                Self::from_file(path, host)?
            }
            (None, Some(Ephemeral)) => {
                host.declare("key", "ephemeral");
                Self::ephemeral(host, label)
            }
            (Some(_), Some(_)) => {
                return Err(Error::config("key", "`key_file` and `key` are both set; keep one"));
            }
            (None, None) => {
                return Err(Error::config(
                    "key_file",
                    "say where the key comes from: `key_file = \"...\"`, or \
                     `key = \"ephemeral\"` for one that dies with the process",
                ));
            }
        };
        host.declare("key_id", &id);
        if let Keys::Epochs(epochs) = &keys {
            host.declare("epoch", epochs.oldest.epoch().name());
        }
        Ok(Self { label: label.to_owned(), keys })
    }

    fn from_file(path: &Path, host: &Host) -> Result<(Keys, String)> {
        let shown = path.display();
        let refused = |why: String| Err(Error::config("key_file", why));
        match (Stored::read(path)?, host.epoch()) {
            (Stored::Plain(key), None) => {
                let id = key.id();
                Ok((Keys::One(key), id))
            }
            (Stored::Epochs(chain), None) => Err(file::has_epochs(path, &chain)),
            (Stored::Plain(_), Some(epoch)) => {
                let name = epoch.name();
                refused(format!(
                    "{shown} has one key for all times, and [engine] says `epoch = \"{name}\"`; \
                     `engine keygen --epoch {name} FILE` makes a file with one for each {name}"
                ))
            }
            (Stored::Epochs(chain), Some(epoch)) if chain.epoch() == epoch => {
                let id = chain.id();
                host.declare("first_epoch", epoch.date(chain.period()));
                Ok((Keys::Epochs(Epochs::new(shown.to_string(), chain, host)), id))
            }
            (Stored::Epochs(chain), Some(epoch)) => refused(format!(
                "{shown} has a key for each {}, and [engine] says `epoch = \"{}\"`; make them the \
                 same, or make another file with `engine keygen --epoch {1} FILE`",
                chain.epoch().name(),
                epoch.name()
            )),
        }
    }

    /// A chain from 1970 on, so that captures of any age have their keys.
    fn ephemeral(host: &Host, label: &str) -> (Keys, String) {
        let key = host.ephemeral_key(label);
        let id = key.id();
        let keys = match host.epoch() {
            None => Keys::One(key),
            Some(epoch) => {
                let first = epoch.period_of_day(0);
                let chain = Ratchet::new(epoch, first, key);
                Keys::Epochs(Epochs::new("the ephemeral key".to_owned(), chain, host))
            }
        };
        (keys, id)
    }

    /// The period that a row of this time belongs to; always 0 without epochs.
    #[inline]
    #[must_use]
    pub fn period(&self, time: Timestamp) -> i64 {
        match &self.keys {
            Keys::One(_) => 0,
            Keys::Epochs(epochs) => epochs.oldest.epoch().period(time),
        }
    }

    /// The key of a period. Not for every row: ask when the period changes.
    ///
    /// # Errors
    /// Its key was destroyed or never made.
    pub fn key(&mut self, period: i64) -> Result<&Key> {
        match &mut self.keys {
            Keys::One(key) => Ok(key),
            Keys::Epochs(epochs) => epochs.key(period, &self.label),
        }
    }

    /// Forgets the keys of all epochs before the previous one, when packets are captured live:
    /// what comes now is of this epoch, or of the previous one and late. To be called by the
    /// stage's own tick; the result is the oldest period that has a key, so that the stage can
    /// forget with it.
    pub fn tick(&mut self, now: Timestamp) -> i64 {
        match &mut self.keys {
            Keys::One(_) => 0,
            Keys::Epochs(epochs) => {
                epochs.tick(now);
                epochs.oldest.period()
            }
        }
    }
}

impl Epochs {
    fn new(source: String, chain: Ratchet, host: &Host) -> Self {
        let last = chain.clone();
        Self { source, oldest: chain, last, known: Vec::new(), forgets: !host.is_replay() }
    }

    fn key(&mut self, period: i64, label: &str) -> Result<&Key> {
        let at = match self.known.iter().position(|(known, _)| *known == period) {
            Some(at) => at,
            None => {
                let key = self.make(period, label)?;
                if self.known.len() == AT_HAND {
                    self.known.remove(0);
                }
                self.known.push((period, key));
                self.known.len() - 1
            }
        };
        Ok(&self.known[at].1)
    }

    fn make(&mut self, period: i64, label: &str) -> Result<Key> {
        if period < self.oldest.period() {
            return Err(self.is_gone(period));
        }
        if period < self.last.period() {
            self.last = self.oldest.clone();
        }
        self.last.advance(period);
        Ok(self.last.key(label))
    }

    #[cold]
    fn is_gone(&self, period: i64) -> Error {
        let (epoch, source) = (self.oldest.epoch(), &self.source);
        let (name, asked) = (epoch.name(), epoch.date(period));
        let first = epoch.date(self.oldest.period());
        let advice = match self.forgets {
            true => "is the clock of this machine, or of the card, right?",
            false => "leave older captures out, or take a key file that begins before them",
        };
        Error::new(format!(
            "a row is of the {name} {asked}, and the first key of {source} is that of the {name} \
             {first}: those before are destroyed, or never were; {advice}"
        ))
    }

    fn tick(&mut self, now: Timestamp) {
        let previous = self.oldest.epoch().period(now) - 1;
        if !self.forgets || previous <= self.oldest.period() {
            return;
        }
        self.oldest.advance(previous);
        if self.last.period() < previous {
            self.last = self.oldest.clone();
        }
        self.known.retain(|(period, _)| *period >= previous);
    }
}
