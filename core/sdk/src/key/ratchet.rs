//! Keys that follow from each other in one direction only.

use std::fmt;

use zeroize::Zeroizing;

use super::{Epoch, Key, derive, epoch};

/// How a key file with epochs begins.
pub(super) const MAGIC: &str = "ringmill-key ";
/// The only version of its form.
const VERSION: &str = "1";

/// The chain key of one day or week.
///
/// That of the next is HMAC-SHA256 of it over `ringmill epoch`; the keys that stages use are
/// derived from it by label and do not tell it. Whoever holds the chain key of a period can
/// make all later ones, and none before.
#[derive(Clone)]
pub struct Ratchet {
    epoch: Epoch,
    period: i64,
    chain: Key,
}

impl Ratchet {
    /// A chain that begins with this key in this period.
    #[must_use]
    pub fn new(epoch: Epoch, period: i64, chain: Key) -> Self {
        Self { epoch, period, chain }
    }

    /// How long each key is used.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The period whose chain key this is.
    #[must_use]
    pub fn period(&self) -> i64 {
        self.period
    }

    /// Goes on to a later period; the chain keys on the way are wiped. A period that is not
    /// later changes nothing.
    ///
    /// At most 107,000 steps, which take some tenths of a second: no time of ours lies farther
    /// from 1970.
    pub fn advance(&mut self, period: i64) {
        while self.period < period {
            self.chain = derive(&self.chain, "ringmill epoch");
            self.period += 1;
        }
    }

    /// The key of this period for whatever `label` names.
    #[must_use]
    pub fn key(&self, label: &str) -> Key {
        derive(&self.chain, &format!("ringmill key {label}"))
    }

    /// Names the chain from this period on without telling it: eight hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.chain.id()
    }

    /// As it stands in a key file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Long enough that it never moves and leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(256));
        let (epoch, first) = (self.epoch.name(), self.epoch.date(self.period));
        text.push_str(&format!("{MAGIC}{VERSION}\nepoch {epoch} {first}\n"));
        hex(&self.chain, &mut text);
        text
    }

    /// The inverse. The error goes on where the name of the file ends.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut lines = text.trim_ascii_end().split(|byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default().trim_ascii();
        let head = String::from_utf8_lossy(line());
        if head.strip_prefix(MAGIC) != Some(VERSION) {
            return Err("is a key file of another version of Ringmill".to_owned());
        }
        let second = String::from_utf8_lossy(line()).into_owned();
        let wrong = || "has no second line such as `epoch day 2026-11-26`".to_owned();
        let words: Vec<_> = second.split(' ').collect();
        let ["epoch", name, first] = words[..] else { return Err(wrong()) };
        let known = Epoch::ALL.into_iter().find(|(known, _)| *known == name);
        let (Some((_, epoch)), Some(day)) = (known, epoch::day(first)) else { return Err(wrong()) };
        let period = epoch.period_of_day(day);
        if epoch.first_day(period) != day {
            return Err(format!("says `{second}`, and weeks begin on Mondays"));
        }
        let chain = super::file::hex_key(line())
            .ok_or_else(|| "has a third line that is not 64 hex digits".to_owned())?;
        match lines.next() {
            None => Ok(Self { epoch, period, chain }),
            Some(_) => Err("has more than three lines".to_owned()),
        }
    }
}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ratchet")
            .field("first", &self.epoch.date(self.period))
            .finish_non_exhaustive()
    }
}

/// A key that is the same at all times, as it stands in a key file.
#[must_use]
pub fn plain_text(key: &Key) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(128));
    hex(key, &mut text);
    text
}

/// Appends the key as hex digits and a newline, through nothing else.
fn hex(key: &Key, text: &mut String) {
    for byte in key.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text.push('\n');
}
