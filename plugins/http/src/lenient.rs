//! Heads that are cut or that do not follow the standard, line by line as far as they are sure.
//!
//! What is not sure is left out rather than guessed, because a value under the wrong name
//! could be a cookie that no policy knows for one:
//!
//! * a line without a colon, or whose name is not a token even without the white space around
//!   it, is not taken;
//! * a line that begins with white space continues a value (obs-fold, RFC 9112 section 5.2) or
//!   is one indented by a careless author (section 2.2); nobody can tell, so neither is taken;
//! * a value ends at a CR or NUL inside it (RFC 9110, section 5.5: some recipients take the CR
//!   for a line's end);
//! * of the last line, when it is cut, the value counts once the colon was seen, without the word
//!   in whose middle it may be cut: the beginning of an e-mail address, a token or an address
//!   looks like none, so no policy would know it for one. A name that is cut does not count.
//!
//! Every byte is looked at a bounded number of times.

use ringmill_sdk::is_registered_method;

use crate::head::{Flags, Kind, LONGEST_LINE, MAX_FIELDS, Start, Take, is_status};

/// Reads the head that `bytes` begin with; `why` says what is already known of it.
#[cold]
pub(crate) fn read<'a>(kind: Kind, bytes: &'a [u8], why: Flags, to: &mut impl Take<'a>) -> Flags {
    let mut flags = why;
    let complete = lines(kind, bytes, &mut flags, to);
    flags.set_if(Flags::TRUNCATED, !complete);
    flags.set_if(Flags::MALFORMED, flags.has(Flags::REFUSED));
    flags
}

/// Whether the head ends, or as much of it as is taken.
fn lines<'a>(kind: Kind, bytes: &'a [u8], flags: &mut Flags, to: &mut impl Take<'a>) -> bool {
    let mut lines = Lines(Some(bytes));
    let first = lines.next().unwrap_or_default();
    let (start, wrong) = match kind {
        Kind::Request => request_line(&first),
        Kind::Response => status_line(&first),
    };
    to.start(&start);
    flags.set(first.flags());
    flags.set(wrong);
    if first.cut {
        return false;
    }
    let mut taken = 0;
    for line in lines {
        let of_line = line.flags();
        match line.bytes {
            [] if !line.cut => {
                flags.set(of_line);
                return true;
            }
            [] => flags.set(of_line),
            [b' ' | b'\t', ..] => {
                flags.set(of_line);
                flags.set(Flags::FOLDED);
            }
            _ => {
                let (field, wrong) = header(&line);
                if taken == MAX_FIELDS && field.is_some() {
                    flags.set(Flags::TOO_MANY_FIELDS);
                    return true;
                }
                flags.set(of_line);
                flags.set(wrong);
                if let Some((name, value)) = field {
                    to.field(name, value, line.cut);
                    taken += 1;
                }
            }
        }
    }
    false
}

/// Whether a line of the head is longer than [`LONGEST_LINE`].
#[cold]
pub(crate) fn has_long_line(head: &[u8]) -> bool {
    Lines(Some(head)).any(|line| line.bytes.len() > LONGEST_LINE)
}

/// The reason phrase of a head whose status line is well formed.
#[cold]
pub(crate) fn reason(bytes: &[u8]) -> &[u8] {
    status_line(&Lines(Some(bytes)).next().unwrap_or_default()).0.reason
}

#[derive(Clone, Copy, Default)]
struct Line<'a> {
    /// Without the line end, be it LF, CR LF or CR CR LF.
    bytes: &'a [u8],
    /// The bytes end before the line does.
    cut: bool,
    /// How many CRs it ended in.
    crs: usize,
}

impl Line<'_> {
    /// More of what it says may come: behind a CR only the LF does.
    fn is_open(&self) -> bool {
        self.cut && self.crs == 0
    }

    /// What is wrong with it as a line, whatever it says.
    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        for byte in self.bytes.iter().filter(|byte| byte.is_ascii_control()) {
            flags.set(match byte {
                0 => Flags::NUL,
                b'\t' => continue,
                b'\r' => Flags::BARE_CR,
                _ => Flags::CONTROL_BYTE,
            });
        }
        flags.set_if(Flags::BARE_CR, self.crs > 1);
        flags.set_if(Flags::BARE_LF, self.crs == 0 && !self.cut);
        flags.set_if(Flags::LONG_LINE, self.bytes.len() > LONGEST_LINE);
        flags
    }
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
        let length = bytes.len();
        while let [before @ .., b'\r'] = bytes {
            bytes = before;
        }
        Some(Line { bytes, cut, crs: length - bytes.len() })
    }
}

/// The field that a line holds, and what is wrong with it.
fn header<'a>(line: &Line<'a>) -> (Option<(&'a str, &'a [u8])>, Flags) {
    let Some((name, value)) = split(line.bytes, |byte| byte == b':') else {
        // Of a name that is cut the rest may come with its colon.
        let is_begun = line.is_open() && line.bytes.iter().all(|byte| is_token(*byte));
        return (None, if is_begun { Flags::default() } else { Flags::BAD_HEADER });
    };
    let token = name.trim_ascii();
    let is_token = !token.is_empty() && token.iter().all(|byte| is_token(*byte));
    let Some(text) = std::str::from_utf8(token).ok().filter(|_| is_token) else {
        return (None, Flags::BAD_HEADER);
    };
    let mut flags = Flags::default();
    flags.set_if(Flags::SPACE_BEFORE_COLON, token.len() != name.len());
    let whole = until(value, |byte| matches!(byte, b'\r' | 0));
    // What ends before the line does is not cut.
    let is_cut = line.is_open() && whole.len() == value.len();
    let value = if is_cut { whole_words(whole) } else { whole }.trim_ascii();
    let is_unknown = is_cut && value.is_empty() && !whole.trim_ascii().is_empty();
    ((!is_unknown).then_some((text, value)), flags)
}

/// `method target version`; the target may hold spaces.
fn request_line<'a>(line: &Line<'a>) -> (Start<'a>, Flags) {
    let mut flags = Flags::default();
    let is_open = line.is_open();
    let text = until(line.bytes, |byte| byte == b'\r');
    let Some((method, rest)) = split(text, |byte| byte == b' ') else {
        flags.set_if(Flags::BAD_TARGET, !is_open);
        return (Start { method: text, ..Start::default() }, flags);
    };
    flags.set_if(Flags::UNKNOWN_METHOD, !is_registered_method(method));
    const VERSION: &[u8] = b" HTTP/";
    // The space after the method counts, so that a target may be empty. Of two words the second
    // is the target, whatever it looks like (RFC 1945, section 5.1: Simple-Request).
    let rest_with_space = &text[method.len()..];
    let at = rest_with_space.windows(VERSION.len()).rposition(|window| window == VERSION);
    let at = at.filter(|&at| at > 0);
    let (target, version) = match at {
        Some(at) => {
            let (target, version) = rest_with_space.split_at(at);
            let version = &version[1..];
            flags.set(version_flags(version, is_open));
            (target.get(1..).unwrap_or_default(), version_of(version))
        }
        None => {
            flags.set_if(Flags::BAD_VERSION, !is_open);
            (rest, &b""[..])
        }
    };
    let target_cut = line.cut && at.is_none();
    let spaced = target.trim_ascii_end();
    // Of a target that is cut one space behind it may be the one before the version.
    let awaits_version =
        target_cut && is_open && !spaced.is_empty() && target.len() == spaced.len() + 1;
    let is_space = awaits_version && target.last() == Some(&b' ');
    flags.set_if(Flags::EXTRA_SPACE, spaced.len() != target.len() && !is_space);
    let ends_in_target = spaced.len() == target.len();
    let mut target = spaced.trim_ascii_start();
    flags.set_if(Flags::EXTRA_SPACE, spaced.len() != target.len());
    flags.set_if(Flags::BAD_TARGET, target.is_empty() && !(target_cut && is_open));
    if target_cut && ends_in_target {
        // A version of which only the beginning is there. A target that ends in ` HTTP` is
        // rarer than one that is cut there.
        let begun = (2..VERSION.len()).rev().find_map(|n| target.strip_suffix(&VERSION[..n]));
        let whole = begun.unwrap_or(target);
        flags.set_if(Flags::SPACE_IN_TARGET, whole.iter().any(u8::is_ascii_whitespace));
        let is_cut = is_open && begun.is_none();
        target = if is_cut { whole_words(target).trim_ascii_end() } else { whole };
    }
    flags.set_if(Flags::SPACE_IN_TARGET, target.iter().any(u8::is_ascii_whitespace));
    (Start { method, target, target_cut, version, ..Start::default() }, flags)
}

/// `version status reason`
fn status_line<'a>(line: &Line<'a>) -> (Start<'a>, Flags) {
    let text = until(line.bytes, |byte| byte == b'\r');
    let words = split(text, |byte| byte == b' ');
    let (version, rest) = words.unwrap_or((text, b""));
    let mut flags = version_flags(version, line.is_open() && words.is_none());
    let spaced = rest.trim_ascii_start();
    flags.set_if(Flags::EXTRA_SPACE, spaced.len() != rest.len());
    let rest = spaced.trim_ascii_end();
    let words = split(rest, |byte| byte == b' ');
    let (code, reason) = words.unwrap_or((rest, b""));
    let behind = spaced.get(code.len());
    flags.set_if(Flags::EXTRA_SPACE, behind.is_some_and(|byte| *byte != b' '));
    let status = match code {
        [a, b, c] if code.iter().all(u8::is_ascii_digit) => {
            Some([a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(*digit - b'0')))
        }
        _ => None,
    };
    let is_begun = line.is_open() && behind.is_none() && code.len() < 3;
    let is_begun = is_begun && code.iter().all(u8::is_ascii_digit);
    flags.set_if(Flags::BAD_STATUS, !is_begun && !status.is_some_and(is_status));
    let reason = if line.is_open() { whole_words(reason) } else { reason }.trim_ascii();
    (Start { version: version_of(version), status, reason, ..Start::default() }, flags)
}

/// What is wrong with a version that should be all of `bytes`.
fn version_flags(bytes: &[u8], cut: bool) -> Flags {
    const VERSIONS: [&[u8]; 2] = [b"HTTP/1.1", b"HTTP/1.0"];
    match bytes {
        _ if VERSIONS.contains(&bytes) => Flags::default(),
        _ if cut && VERSIONS.iter().any(|version| version.starts_with(bytes)) => Flags::default(),
        _ if VERSIONS.contains(&bytes.trim_ascii_end()) => Flags::EXTRA_SPACE,
        _ => Flags::BAD_VERSION,
    }
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

/// Without the word that the bytes end in, of which the end may be missing. What stands in
/// e-mail addresses, tokens and addresses divides no words.
fn whole_words(bytes: &[u8]) -> &[u8] {
    let divides = |byte: &u8| b" \t/\\?&=#;,\"'()<>".contains(byte);
    &bytes[..bytes.iter().rposition(divides).map_or(0, |at| at + 1)]
}

fn until(bytes: &[u8], end: impl Fn(u8) -> bool) -> &[u8] {
    bytes.iter().position(|byte| end(*byte)).map_or(bytes, |at| &bytes[..at])
}

fn split(bytes: &[u8], at: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| at(*byte))?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
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
