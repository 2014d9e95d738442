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
//!   plain words and numbers as `how-to-cook-10-eggs-in-2024` is.
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

fn look(word: &[u8]) -> Option<Found> {
    // Shorter than any token, and of an address the `@` is looked for below.
    if word.len() < 3 {
        return None;
    }
    if is_email(word) {
        return Some(Found::Email);
    }
    let parts = word.split(|byte| !belongs(*byte));
    parts.into_iter().any(is_token).then_some(Found::Token)
}

/// Whether the byte may stand in the middle of a token.
const fn belongs(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || joins(byte) || !byte.is_ascii()
}

const fn joins(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'+' | b'~')
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

/// What kind of character it is, as far as words are told from tokens by that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Capital,
    Digit,
}

fn is_token(part: &[u8]) -> bool {
    if part.len() < NUMBER {
        return false;
    }
    if part.starts_with(b"eyJ") {
        return true;
    }
    let (mut digits, mut hex) = (0, 0);
    let (mut all_hex, mut words) = (true, true);
    for run in part.split(|byte| joins(*byte)) {
        let of_run = run.iter().filter(|byte| byte.is_ascii_digit()).count();
        digits += of_run;
        let hex_of_run = run.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
        hex += hex_of_run;
        all_hex &= hex_of_run == run.len();
        let is_mixed = of_run > 0 && of_run < run.len();
        if run.len() >= LONG || is_mixed && run.len() >= MIXED {
            return true;
        }
        words &= is_word(run);
    }
    digits >= NUMBER || all_hex && hex >= HEX || part.len() >= LONG && !words
}

/// A word as people write them, a number, or one behind the other: `Word`, `WORD2`, `1080p`;
/// also a size, `300x250`.
fn is_word(run: &[u8]) -> bool {
    if run.len() <= 4 || run.len() <= 9 && run.iter().all(|b| b.is_ascii_digit() || *b == b'x') {
        return true;
    }
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => Class::Digit,
        b'A'..=b'Z' => Class::Capital,
        _ => Class::Small,
    };
    let mut classes = run.iter().map(class);
    let mut last = classes.next();
    let mut changes = 0;
    for (at, class) in classes.enumerate() {
        let begins = at == 0 && last == Some(Class::Capital) && class == Class::Small;
        changes += u32::from(last != Some(class) && !begins);
        last = Some(class);
    }
    changes <= 1
}
