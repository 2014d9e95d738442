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

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Email,
    Token,
}

/// The fewest digits of a telephone or account number.
const NUMBER: usize = 9;
/// The fewest hex digits of an identifier.
const HEX: usize = 16;
/// The fewest letters and digits, mixed and on end, of a token.
const MIXED: usize = 16;
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

/// Looks at bytes one by one for as long as nothing can be found in them, whatever divides them
/// into words: most values and paths are done with this.
#[derive(Default)]
struct Glance {
    length: usize,
    digits: usize,
}

impl Glance {
    /// Whether a word that ends here is none that would be found.
    #[inline]
    fn is_harmless(&mut self, byte: u8) -> bool {
        match CLASSES[usize::from(byte)] {
            Class::Divides => *self = Self::default(),
            class => {
                self.length += 1;
                self.digits += usize::from(class == Class::Digit);
            }
        }
        // The `J` may be that of `eyJ`.
        let may_be_jwt = byte == b'J' && self.length == 3;
        self.length < MIXED && self.digits < NUMBER && !may_be_jwt && !matches!(byte, b'@' | b'%')
    }
}

/// Whether nothing can be found in the text.
pub(crate) fn is_harmless(text: &str) -> bool {
    let mut glance = Glance::default();
    text.bytes().all(|byte| glance.is_harmless(byte))
}

/// The segments that a path begins with, up to one in which something may be found, or that
/// has parameters or holds names and values.
pub(crate) fn harmless_segments(path: &str) -> &str {
    let mut glance = Glance::default();
    let mut end = 0;
    for (at, byte) in path.bytes().enumerate() {
        if matches!(byte, b'/' | b'\\') {
            end = at + 1;
        }
        if !glance.is_harmless(byte) || matches!(byte, b';' | b'=' | b'&' | b'?') {
            return path.get(..end).unwrap_or_default();
        }
    }
    path
}

/// What is in the word as it stands.
///
/// One pass, because every word of every value goes through here.
fn look(word: &[u8]) -> Option<Found> {
    let mut part = Part::default();
    let mut found = None;
    for byte in word {
        match CLASSES[usize::from(*byte)] {
            Class::Divides => {
                if *byte == b'@' && is_email(word) {
                    return Some(Found::Email);
                }
                found = found.or_else(|| part.end());
                part = Part::default();
            }
            Class::Joins => {
                part.end_run();
                part.length += 1;
            }
            class => part.add(*byte, class),
        }
    }
    found.or_else(|| part.end())
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Class {
    Small,
    Capital,
    Digit,
    /// It may stand between the runs of a token.
    Joins,
    /// It stands in no token.
    #[default]
    Divides,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Divides; 256];
    let mut at = 0;
    while at < classes.len() {
        #[allow(clippy::cast_possible_truncation, reason = "256 bytes")]
        let byte = at as u8;
        classes[at] = match byte {
            b'0'..=b'9' => Class::Digit,
            b'A'..=b'Z' => Class::Capital,
            b'a'..=b'z' | 128.. => Class::Small,
            b'-' | b'_' | b'+' | b'~' => Class::Joins,
            _ => Class::Divides,
        };
        at += 1;
    }
    classes
};

/// A part of a word, between bytes that stand in no token.
#[derive(Default)]
struct Part {
    length: usize,
    digits: usize,
    /// Hex digits.
    hex: usize,
    /// Bytes in runs that have ended.
    in_runs: usize,
    /// How many of the three first letters of a JSON Web Token it begins with.
    jwt: usize,
    /// Capitals behind small letters.
    humps: usize,
    /// A run was found that is a token by itself.
    token: bool,
    /// A run was found that is no word.
    strange: bool,
    run: Run,
}

/// A part of a part, between bytes that join.
#[derive(Clone, Copy, Default)]
struct Run {
    length: usize,
    digits: usize,
    /// Letters `x`, as in a size.
    times: usize,
    /// How often the kind of byte changed.
    changes: usize,
    last: Class,
}

impl Part {
    #[inline]
    fn add(&mut self, byte: u8, class: Class) {
        self.jwt += usize::from(self.jwt == self.length && b"eyJ".get(self.length) == Some(&byte));
        self.length += 1;
        self.hex += usize::from(byte.is_ascii_hexdigit());
        let run = &mut self.run;
        // `Word` is as good as `word`.
        let begins = run.length == 1 && run.last == Class::Capital && class == Class::Small;
        run.changes += usize::from(run.length > 0 && run.last != class && !begins);
        self.humps += usize::from(run.last == Class::Small && class == Class::Capital);
        run.digits += usize::from(class == Class::Digit);
        run.times += usize::from(byte == b'x');
        run.length += 1;
        run.last = class;
    }

    #[inline]
    fn end_run(&mut self) {
        let Run { length, digits, times, changes, .. } = std::mem::take(&mut self.run);
        let is_mixed = digits > 0 && digits < length;
        self.token |= length >= LONG || is_mixed && length >= MIXED;
        // A word as people write them, a number, or one behind the other: `Word`, `WORD2`,
        // `1080p`; also a size, `300x250`.
        let is_size = length <= 9 && digits + times == length;
        self.strange |= !(length <= 4 || changes <= 1 || is_size);
        self.digits += digits;
        self.in_runs += length;
    }

    /// What the part is, when it has ended.
    #[inline]
    fn end(&mut self) -> Option<Found> {
        if self.length < NUMBER {
            return None;
        }
        self.end_run();
        // Of plain words none is as short as three bytes on average, nor are many of them `iPad`s.
        self.strange |= self.humps > 1 || 3 * (self.length - self.in_runs) >= self.length;
        let is_token = self.token
            || self.jwt == 3
            || self.digits >= NUMBER
            || self.hex >= HEX && self.hex == self.in_runs
            || self.strange && self.length >= LONG;
        is_token.then_some(Found::Token)
    }
}
