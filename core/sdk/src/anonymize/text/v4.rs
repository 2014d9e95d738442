//! Quads, and the names that the DNS has for them.

use super::{Form, Place, Scan};

/// Numbers below 256 with one and the same separator between them.
pub(super) struct Octets {
    pub count: usize,
    /// The first four and the last four.
    pub first: u32,
    last: u32,
    /// Where the last begins and ends.
    last_start: usize,
    pub end: usize,
}

/// The octets from `at` on; none where no number or a larger one stands there.
pub(super) fn octets(text: &[u8], at: usize, separator: u8) -> Octets {
    let mut octets = Octets { count: 0, first: 0, last: 0, last_start: at, end: at };
    let mut start = at;
    loop {
        let end = digits_end(text, start);
        let value = text[start..end]
            .iter()
            .fold(0_u32, |value, byte| (value * 10 + u32::from(byte - b'0')).min(256));
        if end == start || value > 255 {
            return octets;
        }
        octets.last = octets.last << 8 | value;
        if octets.count < 4 {
            octets.first = octets.last;
        }
        octets.count += 1;
        (octets.last_start, octets.end) = (start, end);
        if text.get(end) != Some(&separator) {
            return octets;
        }
        start = end + 1;
    }
}

/// Where the digits that begin here end.
pub(super) fn digits_end(text: &[u8], at: usize) -> usize {
    let digits = text.get(at..).unwrap_or_default();
    at + digits.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

impl Scan<'_> {
    /// The addresses among the numbers around the separator behind `at`; how far they are decided.
    pub(super) fn numbers(&mut self, at: usize) -> usize {
        let separator = self.byte(at + 1);
        let start = self.numbers_start(at, separator);
        if separator == b'.' {
            if let Some(end) = self.nibbles_around(at) {
                return end;
            }
            // The end of an address of eight groups, without `::` to be seen by.
            if start > self.done && self.before(start) == b':' {
                let end = self.colons(start - 1);
                if end > start {
                    return end;
                }
            }
            if self.place == Place::Products && self.is_version(start) {
                return self.numbers_end(start);
            }
        } else if digits_end(self.text, start) == start + 4 {
            // A date, maybe with the time.
            return self.last_number(start, separator);
        }
        let mut next = start;
        loop {
            let mut octets = octets(self.text, next, separator);
            if octets.count > 0 && separator != b'.' && self.byte(octets.end) == b'.' {
                // The last number may begin a dotted quad.
                let dotted = self::octets(self.text, octets.last_start, b'.');
                if dotted.count >= 4 {
                    octets.count -= 1;
                    octets.end = octets.last_start - usize::from(octets.count > 0);
                }
            }
            if octets.count >= 4 {
                self.push_octets(next, &octets, separator);
            }
            // The number that was none of them, or the last, if another separator may follow it.
            let after = if octets.end > next && self.byte(octets.end) == separator {
                octets.end + 1
            } else if octets.end > next {
                return if octets.count >= 4 { octets.end } else { octets.last_start };
            } else {
                next
            };
            let end = digits_end(self.text, after);
            if self.byte(end) != separator || !self.byte(end + 1).is_ascii_digit() {
                return after;
            }
            next = end + 1;
        }
    }

    fn push_octets(&mut self, start: usize, octets: &Octets, separator: u8) {
        if separator == b'.' && self.has(octets.end, b".in-addr.arpa") {
            let address = octets.last.swap_bytes();
            self.push_v4(start, octets.end, address, Form::Reversed);
            return;
        }
        let is_host = matches!(self.place, Place::Host | Place::Url)
            || self.byte(octets.end) == b':'
            || self.before(start) == b'/';
        let form = match separator {
            b'.' if is_host => Form::HostQuad,
            _ => Form::Quad(separator),
        };
        self.push_v4(start, octets.end, octets.first, form);
    }

    /// Where the first of the numbers that are joined to the one at `at` begins.
    fn numbers_start(&self, at: usize, separator: u8) -> usize {
        let mut start = at;
        loop {
            while start > self.done && self.before(start).is_ascii_digit() {
                start -= 1;
            }
            let joined = start >= self.done + 2
                && self.before(start) == separator
                && self.before(start - 1).is_ascii_digit();
            if !joined {
                return start;
            }
            start -= 2;
        }
    }

    /// Where the digits and dots that begin here end.
    fn numbers_end(&self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let belongs = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
        start + rest.iter().take_while(belongs).count()
    }

    /// Where the last of the numbers that begin here begins.
    fn last_number(&self, mut start: usize, separator: u8) -> usize {
        loop {
            let end = digits_end(self.text, start);
            if self.byte(end) != separator || !self.byte(end + 1).is_ascii_digit() {
                return start;
            }
            start = end + 1;
        }
    }

    /// Whether these numbers are the version of a product: a slash before them, before that a
    /// name, and before that what may stand before a product. `http://name/1.2.3.4` has none.
    fn is_version(&self, start: usize) -> bool {
        let Some(name_end) = start.checked_sub(1).filter(|at| self.byte(*at) == b'/') else {
            return false;
        };
        let in_name =
            |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let name = &self.text[..name_end];
        let len = name.iter().rev().take_while(in_name).count();
        let has_letter = name[name_end - len..].iter().any(u8::is_ascii_alphabetic);
        let before = self.before(name_end - len);
        has_letter && matches!(before, 0 | b' ' | b'\t' | b'(' | b')' | b'[' | b']' | b';' | b',')
    }
}
