//! Finds what names a person or lets its bearer act as somebody: e-mail addresses and tokens.
//!
//! It looks at one word: a segment of a path, a label of a host name, a word of a text. What it
//! finds there is hashed whole, so nothing of it is left, and finding too much costs a name that
//! can be read, but no equality. A word is
//!
//! * an *e-mail address* when it holds an `@`, unless what follows that is a version as in
//!   `jquery@3.7.1`;
//! * a *token* when a part of it, between characters other than letters, digits, `-`, `_`, `+`
//!   and `~`, has nine digits or more (telephone, account and card numbers), or is 16 hex digits
//!   or longer (hashes, UUIDs), or begins as a JSON Web Token does (`eyJ`), or has 16 letters
//!   and digits mixed or 20 of any kind on end, or is 20 characters or longer and not made of
//!   plain words and numbers as `how-to-cook-10-eggs-in-2024` is: some part of it changes more
//!   than once between small letters, capitals and digits, or its parts are very short.
//!
//! A word with `%` is also looked at as it is when decoded once and twice. Bytes that are not
//! ASCII count as letters.

use crate::glance::{MIXED, NUMBER};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Email,
    Token,
}

/// The fewest hex digits of an identifier.
const HEX: usize = 16;
/// The fewest characters of a token.
const LONG: usize = 20;

/// Looks at words.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// The word decoded once, and twice.
    decoded: [Vec<u8>; 2],
}

impl Finder {
    pub(crate) fn find(&mut self, word: &str) -> Option<Found> {
        let is_sign = |byte| matches!(byte, b'@' | b'%');
        if word.len() < NUMBER && !word.bytes().any(is_sign) {
            return None;
        }
        let found = look(word.as_bytes());
        if found.is_some() || !word.contains('%') {
            return found;
        }
        self.decode(word).find_map(look)
    }

    /// The word decoded once, and twice where there is still a `%`.
    pub(crate) fn decode(&mut self, word: &str) -> impl Iterator<Item = &[u8]> {
        let [once, twice] = &mut self.decoded;
        decode(word.as_bytes(), once);
        let more = once.contains(&b'%');
        if more {
            decode(once, twice);
        }
        [Some(once.as_slice()), more.then_some(twice.as_slice())].into_iter().flatten()
    }
}

/// Replaces `%41` by `A`; what is no such escape stays.
fn decode(word: &[u8], to: &mut Vec<u8>) {
    to.clear();
    let mut rest = word;
    while let [first, after @ ..] = rest {
        match after {
            [high, low, after @ ..] if *first == b'%' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    to.push(high << 4 | low);
                    rest = after;
                    continue;
                }
                _ => to.push(*first),
            },
            _ => to.push(*first),
        }
        rest = after;
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What is in the word as it stands.
///
/// One pass, because every longer word goes through here.
fn look(word: &[u8]) -> Option<Found> {
    let mut found = None;
    let mut part = Part::begin(0);
    for (at, byte) in word.iter().enumerate() {
        let sign = &SIGNS[usize::from(*byte)];
        match sign.class {
            Class::Divides => {
                if *byte == b'@' && is_email(word) {
                    return Some(Found::Email);
                }
                found = found.or_else(|| part.end(word, at));
                part = Part::begin(at + 1);
            }
            Class::Joins => part.join(word, at),
            class => part.run.add(class, sign.counts),
        }
    }
    found.or_else(|| part.end(word, word.len()))
}

fn is_email(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b'@');
    match (parts.next(), parts.next(), parts.next()) {
        (_, None, _) => false,
        (Some([_, ..]), Some(version), None) => !is_version(version),
        _ => true,
    }
}

/// One to three numbers joined by dots; four are an address.
fn is_version(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"v").unwrap_or(text);
    let is_number =
        |part: &[u8]| matches!(part.len(), 1..=4) && part.iter().all(u8::is_ascii_digit);
    text.split(|byte| *byte == b'.').all(is_number)
        && text.iter().filter(|byte| **byte == b'.').count() < 3
}

/// What kind of byte it is, as far as words are told from tokens by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// There was no byte.
    None,
    Small,
    Capital,
    Digit,
    /// It may stand between the runs of a token.
    Joins,
    /// It stands in no token.
    Divides,
}

/// What is counted in a run, a byte for each; no run that is not a token by its length has more
/// of anything.
type Counts = u64;

const DIGITS: Counts = 1;
const HEX_DIGITS: Counts = 1 << 8;
/// Letters `x`, as in a size.
const TIMES: Counts = 1 << 16;
/// The kind of byte changed.
const CHANGES: Counts = 1 << 24;
/// A capital behind a small letter.
const HUMPS: Counts = 1 << 32;

#[derive(Clone, Copy)]
struct Sign {
    class: Class,
    counts: Counts,
}

static SIGNS: [Sign; 256] = {
    let mut signs = [Sign { class: Class::Divides, counts: 0 }; 256];
    let mut at = 0;
    while at < signs.len() {
        #[allow(clippy::cast_possible_truncation, reason = "256 bytes")]
        let byte = at as u8;
        let sign = &mut signs[at];
        sign.class = match byte {
            b'0'..=b'9' => Class::Digit,
            b'A'..=b'Z' => Class::Capital,
            b'a'..=b'z' | 128.. => Class::Small,
            b'-' | b'_' | b'+' | b'~' => Class::Joins,
            _ => Class::Divides,
        };
        sign.counts = if byte.is_ascii_digit() { DIGITS } else { 0 }
            + if byte.is_ascii_hexdigit() { HEX_DIGITS } else { 0 }
            + if byte == b'x' { TIMES } else { 0 };
        at += 1;
    }
    signs
};

/// What is counted for a byte of a run by the kind of the one before it.
static PAIRS: [[Counts; 4]; 4] = {
    let both = CHANGES + HUMPS;
    [[0; 4], [0, 0, both, CHANGES], [0, CHANGES, 0, CHANGES], [0, CHANGES, CHANGES, 0]]
};

/// A part of a word, between bytes that stand in no token.
struct Part {
    begin: usize,
    /// Bytes between runs.
    joins: usize,
    digits: usize,
    hex_digits: usize,
    humps: usize,
    /// A run was found that is a token by itself.
    token: bool,
    /// A run was found that is no word.
    strange: bool,
    run: Run,
}

/// A part of a part, between bytes that join.
struct Run {
    begin: usize,
    counts: Counts,
    last: Class,
}

impl Run {
    #[inline]
    fn begin(begin: usize) -> Self {
        Self { begin, counts: 0, last: Class::None }
    }

    #[inline]
    fn add(&mut self, class: Class, counts: Counts) {
        let pair = PAIRS.get(self.last as usize).and_then(|pairs| pairs.get(class as usize));
        self.counts = self.counts.wrapping_add(counts + pair.copied().unwrap_or_default());
        self.last = class;
    }

    fn count(&self, what: Counts) -> usize {
        usize::from(self.counts.to_le_bytes()[what.trailing_zeros() as usize / 8])
    }
}

impl Part {
    #[inline]
    fn begin(begin: usize) -> Self {
        Self {
            begin,
            joins: 0,
            digits: 0,
            hex_digits: 0,
            humps: 0,
            token: false,
            strange: false,
            run: Run::begin(begin),
        }
    }

    /// A run has ended before the byte at `end`, which joins it to the next.
    #[inline]
    fn join(&mut self, word: &[u8], end: usize) {
        self.end_run(word, end);
        self.joins += 1;
        self.run = Run::begin(end + 1);
    }

    #[inline]
    fn end_run(&mut self, word: &[u8], end: usize) {
        let run = &self.run;
        let bytes = &word[run.begin..end];
        let digits = run.count(DIGITS);
        let is_mixed = digits > 0 && digits < bytes.len();
        self.token |= bytes.len() >= LONG || is_mixed && bytes.len() >= MIXED;
        // `Word` is as good as `word`.
        let is_name = matches!(bytes, [b'A'..=b'Z', b'a'..=b'z' | 128.., ..]);
        let changes = run.count(CHANGES) - usize::from(is_name && run.count(CHANGES) > 0);
        // A word as people write them, a number, or one behind the other: `Word`, `WORD2`,
        // `1080p`; also a size, `300x250`.
        let is_size = bytes.len() <= 9 && digits + run.count(TIMES) == bytes.len();
        self.strange |= !(bytes.len() <= 4 || changes <= 1 || is_size);
        self.digits += digits;
        self.hex_digits += run.count(HEX_DIGITS);
        self.humps += run.count(HUMPS);
    }

    /// What the part is, which has ended before the byte at `end`.
    #[inline]
    fn end(&mut self, word: &[u8], end: usize) -> Option<Found> {
        let bytes = &word[self.begin..end];
        if bytes.len() < NUMBER {
            return None;
        }
        self.end_run(word, end);
        // Of plain words none is as short as three bytes on average, nor are many of them `iPad`s.
        self.strange |= self.humps > 1 || 3 * self.joins >= bytes.len();
        let is_token = self.token
            || bytes.starts_with(b"eyJ")
            || self.digits >= NUMBER
            || self.hex_digits >= HEX && self.hex_digits + self.joins == bytes.len()
            || self.strange && bytes.len() >= LONG;
        is_token.then_some(Found::Token)
    }
}
