//! Heads that are cut or that do not follow the standard, line by line as far as they are sure.
//!
//! What is not sure is left out rather than guessed, because a value under the wrong name
//! could be a cookie in clear:
//!
//! * a line without a colon, or whose name is not a token even without the white space around
//!   it, is not taken;
//! * a line that begins with white space continues a value (obs-fold, RFC 9112 section 5.2) or
//!   is one indented by a careless author (section 2.2); nobody can tell, so neither is taken;
//! * a value ends at a CR or NUL inside it (RFC 9110, section 5.5: some recipients take the CR
//!   for a line's end);
//! * of the last line, when it is cut, the value counts once the colon was seen; a name that is
//!   cut does not.
//!
//! Every byte is looked at a bounded number of times.

use crate::head::{Flags, Kind, MAX_FIELDS, Start, Take};

/// Reads the head that `bytes` begin with; `why` says what is already known of it.
#[cold]
pub(crate) fn read<'a>(kind: Kind, bytes: &'a [u8], why: Flags, to: &mut impl Take<'a>) -> Flags {
    let mut flags = why;
    let mut lines = Lines(Some(bytes));
    let first = lines.next().unwrap_or_default();
    to.start(&match kind {
        Kind::Request => request_line(&first),
        Kind::Response => status_line(&first),
    });
    if first.cut {
        flags.set(Flags::TRUNCATED);
        return flags;
    }
    let mut taken = 0;
    for line in lines {
        match line.bytes {
            [] if !line.cut => return flags,
            [b' ' | b'\t', ..] => flags.set(Flags::FOLDED),
            _ => {
                let Some((name, value)) = header(&line) else { continue };
                if taken == MAX_FIELDS {
                    flags.set(Flags::TOO_MANY_FIELDS);
                    return flags;
                }
                to.field(name, value, line.cut);
                taken += 1;
            }
        }
    }
    flags.set(Flags::TRUNCATED);
    flags
}

/// The reason phrase of a head whose status line is well formed.
#[cold]
pub(crate) fn reason(bytes: &[u8]) -> &[u8] {
    status_line(&Lines(Some(bytes)).next().unwrap_or_default()).reason
}

#[derive(Clone, Copy, Default)]
struct Line<'a> {
    /// Without the line end, be it LF, CR LF or CR CR LF.
    bytes: &'a [u8],
    /// The bytes end before the line does.
    cut: bool,
}

/// Lines by LF; the last one is cut.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.0.take()?;
        let (mut bytes, cut) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.0 = rest.get(end + 1..);
                (&rest[..end], false)
            }
            None => (rest, true),
        };
        while let [before @ .., b'\r'] = bytes {
            bytes = before;
        }
        Some(Line { bytes, cut })
    }
}

fn header<'a>(line: &Line<'a>) -> Option<(&'a str, &'a [u8])> {
    let (name, value) = split(line.bytes, |byte| byte == b':')?;
    let name = name.trim_ascii();
    let is_token = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    let value = until(value, |byte| matches!(byte, b'\r' | 0)).trim_ascii();
    let value = if line.cut { whole_characters(value) } else { value };
    Some((std::str::from_utf8(name).ok().filter(|_| is_token)?, value))
}

/// `method target version`; the target may hold spaces.
fn request_line<'a>(line: &Line<'a>) -> Start<'a> {
    let text = until(line.bytes, |byte| byte == b'\r');
    let Some((method, rest)) = split(text, |byte| byte == b' ') else {
        return Start { method: text, ..Start::default() };
    };
    const VERSION: &[u8] = b" HTTP/";
    // The space after the method counts, so that a target may be empty. Of two words the second
    // is the target, whatever it looks like (RFC 1945, section 5.1: Simple-Request).
    let rest_with_space = &text[method.len()..];
    let at = rest_with_space.windows(VERSION.len()).rposition(|window| window == VERSION);
    let at = at.filter(|&at| at > 0);
    let (target, version) = match at {
        Some(at) => {
            let (target, version) = rest_with_space.split_at(at);
            (target.get(1..).unwrap_or_default(), version_of(&version[1..]))
        }
        None => (rest, &b""[..]),
    };
    let mut target = target.trim_ascii();
    let target_cut = line.cut && at.is_none();
    if target_cut {
        target = whole_characters(target);
        // A version of which only the beginning is there. A target that ends in ` HTTP` is
        // rarer than one that is cut there.
        let begun = (2..VERSION.len()).rev().find(|&n| target.ends_with(&VERSION[..n]));
        target = &target[..target.len() - begun.unwrap_or(0)];
    }
    Start { method, target, target_cut, version, ..Start::default() }
}

/// `version status reason`
fn status_line<'a>(line: &Line<'a>) -> Start<'a> {
    let text = until(line.bytes, |byte| byte == b'\r');
    let (version, rest) = split(text, |byte| byte == b' ').unwrap_or((text, b""));
    let rest = rest.trim_ascii();
    let (code, reason) = split(rest, |byte| byte == b' ').unwrap_or((rest, b""));
    let status = match code {
        [a, b, c] if code.iter().all(u8::is_ascii_digit) => {
            Some([a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(*digit - b'0')))
        }
        _ => None,
    };
    let reason = reason.trim_ascii();
    let reason = if line.cut { whole_characters(reason) } else { reason };
    Start { version: version_of(version), status, reason, ..Start::default() }
}

/// The version that `bytes` begin with; empty if they do not (RFC 9112, section 2.3).
fn version_of(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, rest @ ..]
            if major.is_ascii_digit()
                && minor.is_ascii_digit()
                && rest.first().is_none_or(u8::is_ascii_whitespace) =>
        {
            &bytes[..8]
        }
        _ => b"",
    }
}

/// Without a character of which the end is missing.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

fn until(bytes: &[u8], end: impl Fn(u8) -> bool) -> &[u8] {
    bytes.iter().position(|byte| end(*byte)).map_or(bytes, |at| &bytes[..at])
}

fn split(bytes: &[u8], at: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| at(*byte))?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    static TOKEN: [bool; 256] = {
        let mut token = [false; 256];
        let mut byte = 0u8;
        while byte < 128 {
            token[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut others: &[u8] = b"!#$%&'*+-.^_`|~";
        while let [byte, rest @ ..] = others {
            token[*byte as usize] = true;
            others = rest;
        }
        token
    };
    TOKEN[usize::from(byte)]
}
