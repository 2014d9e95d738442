//! Addresses in text: where they stand in header values and URLs, in which spelling.
//!
//! What is found, anywhere in a text:
//! - dotted quads, and the same joined by `-` or `_` (`ip-10-0-0-1.ec2.internal`);
//! - IPv6 addresses of RFC 4291, section 2.2, whatever stands around them: brackets, quotes
//!   (RFC 7239), ports, zones (RFC 6874);
//! - the names that stand for addresses in the DNS (`in-addr.arpa`, `ip6.arpa`);
//! - where a host stands, what browsers read as one: `0x7f.1`, `0177.0.0.1`, `2130706433`
//!   (the IPv4 parser of the WHATWG's URL standard);
//! - all of that with any of its characters percent-encoded, once or several times.
//!
//! The doubtful is taken for an address, because a version number that is changed costs less
//! than a person who is named: `1.2.3.4` is one everywhere but in the version of a product
//! (RFC 9110, section 10.1.5) of User-Agent and Server; of numbers joined by dots every
//! row of four or more below 256 is one, its first four counting and the rest left out
//! (`10.0.0.1.80`); `abc::def` is one, though a language may have such names. Not taken are
//! `::` alone, what letters touch (`std::add`), fewer than eight groups without `::` (times,
//! MAC addresses) and what begins with a year (`2024-11-26-05-42`).
//!
//! We did not use regular expressions: one pass that looks at 32 bytes at once goes over most
//! values in some 5 ns ([`anchor`]), and a hostile value costs what its length is.

mod anchor;
mod escape;
mod host;
mod v4;
mod v6;
mod write;

#[cfg(test)]
mod tests;

pub(super) use write::write;

use escape::Unescaped;

use crate::packet::map_v4;

/// What a text is, as far as it decides what in it is an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Anything.
    Text,
    /// A URL or the target of a request.
    Url,
    /// A host with or without a port.
    Host,
    /// Products with their versions, as in User-Agent and Server.
    Products,
}

impl Place {
    /// The place that the header field of this name is, or the column named after it.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "user_agent" | "user-agent" | "server" => Self::Products,
            _ if name.ends_with("host") => Self::Host,
            _ => Self::Text,
        }
    }

    /// Whether a host may stand where the text begins.
    fn begins_with_host(self) -> bool {
        matches!(self, Self::Host | Self::Url)
    }
}

/// An address in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it begins and ends, in bytes.
    pub start: usize,
    pub end: usize,
    /// IPv4 mapped into IPv6.
    pub address: [u8; 16],
    form: Form,
    /// How many times the characters that need it are percent-encoded.
    escapes: usize,
}

/// How an address is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Four numbers with this between them.
    Quad(u8),
    /// The same where a host may be followed by a port.
    HostQuad,
    /// The labels before `in-addr.arpa`.
    Reversed,
    /// Groups with colons.
    Groups,
    /// The labels before `ip6.arpa`.
    Nibbles,
}

/// Finds addresses; keeps its memory from text to text.
#[derive(Debug, Default)]
pub(super) struct Finder {
    unescaped: Unescaped,
}

impl Finder {
    /// Finds the addresses of many texts that lie one behind the other in `bytes`, text `n`
    /// from `offsets[n]` to `offsets[n + 1]`. The places in `found` are those in `bytes`.
    pub(super) fn all(
        &mut self,
        bytes: &[u8],
        offsets: &[i32],
        place: impl Fn(usize) -> Place,
        found: &mut Vec<Found>,
    ) {
        self.each(bytes, offsets, true, place, found);
    }

    /// The same where all texts are in one place.
    pub(super) fn column(
        &mut self,
        bytes: &[u8],
        offsets: &[i32],
        place: Place,
        found: &mut Vec<Found>,
    ) {
        self.each(bytes, offsets, place.begins_with_host(), |_| place, found);
    }

    /// With `hosts` some of the texts may begin with a host.
    #[inline]
    fn each(
        &mut self,
        bytes: &[u8],
        offsets: &[i32],
        hosts: bool,
        place: impl Fn(usize) -> Place,
        found: &mut Vec<Found>,
    ) {
        let at = |n: usize| offsets.get(n).and_then(|offset| usize::try_from(*offset).ok());
        let (Some(mut from), Some(end)) = (at(0), at(offsets.len().saturating_sub(1))) else {
            return;
        };
        let Some(bytes) = bytes.get(..end).filter(|_| from < end) else { return };
        let mut n = 0;
        loop {
            let anchor = anchor::next::<true>(bytes, from);
            // The texts before it, of which some are numbers that are hosts.
            let is_before = |end: &i32| match anchor {
                Some(anchor) => usize::try_from(*end).is_ok_and(|end| end <= anchor),
                None => true,
            };
            let before = offsets.get(n + 1..).unwrap_or_default().partition_point(is_before);
            if hosts {
                for n in n..n + before {
                    let (Some(start), Some(end)) = (at(n), at(n + 1)) else { return };
                    let is_number = start < end && bytes.get(start).is_some_and(u8::is_ascii_digit);
                    if is_number && place(n).begins_with_host() {
                        self.one(&bytes[start..end], start, None, place(n), found);
                    }
                }
            }
            n += before;
            let (Some(anchor), Some(start), Some(end)) = (anchor, at(n), at(n + 1)) else { return };
            self.one(&bytes[start..end], start, Some(anchor - start), place(n), found);
            from = end;
            n += 1;
        }
    }

    /// Finds the addresses of one text, which lies at `base` of something larger; `anchor` as
    /// in [`Scan::run`].
    fn one(
        &mut self,
        text: &[u8],
        base: usize,
        anchor: Option<usize>,
        place: Place,
        found: &mut Vec<Found>,
    ) {
        let first = found.len();
        let mut scan = Scan { text, place, unescaped: false, done: 0, found };
        if scan.run(anchor) == Seen::Percent {
            found.truncate(first);
            self.unescaped.read(text);
            let text = &self.unescaped.text;
            (Scan { text, place, unescaped: true, done: 0, found }).run(None);
            for found in &mut found[first..] {
                self.unescaped.locate(found);
            }
        }
        for found in &mut found[first..] {
            found.start += base;
            found.end += base;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    All,
    /// There is a `%`; only the text without percent-encoding tells what is in it.
    Percent,
}

/// One pass over one text.
struct Scan<'a> {
    text: &'a [u8],
    place: Place,
    /// Whether a `%` is one, and encodes nothing.
    unescaped: bool,
    /// Up to here everything is decided.
    done: usize,
    found: &'a mut Vec<Found>,
}

impl Scan<'_> {
    /// Finds what there is; `anchor` is the first place at which something may be, if known.
    fn run(&mut self, anchor: Option<usize>) -> Seen {
        self.done = self.host_at_start();
        let mut next = anchor.filter(|anchor| *anchor >= self.done).or_else(|| self.next());
        while let Some(at) = next {
            let done = match self.text[at] {
                b'%' if !self.unescaped => return Seen::Percent,
                b':' => self.colons(at),
                b'/' | b'@' => self.authority(at),
                b'p' | b'P' => self.nibbles(at),
                _ => self.numbers(at),
            };
            self.done = done.max(at + 1);
            next = self.next();
        }
        Seen::All
    }

    fn next(&self) -> Option<usize> {
        match self.unescaped {
            false => anchor::next::<true>(self.text, self.done),
            true => anchor::next::<false>(self.text, self.done),
        }
    }

    /// The byte at this place; a NUL, which is part of nothing, where the text has ended.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// The byte before this place, in the same way.
    #[inline]
    fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).map_or(0, |at| self.byte(at))
    }

    /// Whether this stands there, in letters of any case.
    fn has(&self, at: usize, what: &[u8]) -> bool {
        self.text.get(at..at + what.len()).is_some_and(|text| text.eq_ignore_ascii_case(what))
    }

    fn push_v4(&mut self, start: usize, end: usize, address: u32, form: Form) {
        self.push(start, end, map_v4(address.to_be_bytes()), form);
    }

    fn push(&mut self, start: usize, end: usize, address: [u8; 16], form: Form) {
        self.found.push(Found { start, end, address, form, escapes: 0 });
    }
}
