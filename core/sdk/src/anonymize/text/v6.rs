//! IPv6 addresses, and the names that the DNS has for them.

use super::{Form, Scan, v4::octets};

/// How many labels stand before `ip6.arpa`.
const NIBBLES: usize = 32;

/// An address with colons, and where it ends.
struct Literal {
    address: u128,
    end: usize,
}

impl Scan<'_> {
    /// The addresses among the groups around the colon at `at`; how far they are decided.
    pub(super) fn colons(&mut self, at: usize) -> usize {
        let belongs = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        let mut start = at;
        while start > self.done && belongs(self.before(start)) {
            start -= 1;
        }
        loop {
            if let Some(Literal { address, end }) = self.literal(start) {
                // Before the text is unescaped, nobody knows what begins with a `%`.
                let end = if self.unescaped { self.zone_end(end) } else { end };
                self.push(start, end, address.to_be_bytes(), Form::Groups);
                start = end;
                continue;
            }
            // Not from here: then from behind the next colon. The last group is left undecided,
            // because a quad may begin with it.
            let group = start;
            while self.byte(start).is_ascii_hexdigit() {
                start += 1;
            }
            if self.byte(start) != b':' {
                return group;
            }
            start += 1;
        }
    }

    /// The address that begins here.
    fn literal(&self, start: usize) -> Option<Literal> {
        if self.before(start).is_ascii_alphanumeric() {
            return None;
        }
        let mut groups = Groups::default();
        let mut at = start;
        if self.has(at, b"::") {
            groups.gap = Some(0);
            at += 2;
        }
        while !groups.is_full() {
            let len = (0..5).take_while(|n| self.byte(at + n).is_ascii_hexdigit()).count();
            if len == 0 {
                break;
            }
            if self.byte(at + len) == b'.' {
                let quad = octets(self.text, at, b'.');
                if quad.count >= 4 {
                    if groups.count <= 6 {
                        groups.push(quad.first >> 16);
                        groups.push(quad.first & 0xffff);
                        at = quad.end;
                    }
                    break;
                }
            }
            if len == 5 {
                break;
            }
            groups.push(
                self.text[at..at + len].iter().fold(0, |group, byte| {
                    group << 4 | char::from(*byte).to_digit(16).unwrap_or(0)
                }),
            );
            at += len;
            if self.has(at, b"::") && groups.gap.is_none() && groups.count < 8 {
                groups.gap = Some(groups.count);
                at += 2;
            } else if self.byte(at) == b':' && self.byte(at + 1).is_ascii_hexdigit() {
                at += 1;
            } else {
                break;
            }
        }
        // A colon before a group that was not taken is not part of it.
        let joined = at > start && self.before(at) == b':' && self.before(at - 1) != b':';
        let end = at - usize::from(joined);
        // What touches it is part of another word, unless there is so much of an address that
        // it is none.
        let next = self.byte(end);
        if next.is_ascii_hexdigit() || next.is_ascii_alphabetic() && groups.count < 3 {
            return None;
        }
        Some(Literal { address: groups.address()?, end })
    }

    /// Where the zone behind an address ends (RFC 4007, section 11.2; RFC 6874).
    fn zone_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let Some(zone) = rest.strip_prefix(b"%") else { return at };
        let zone = zone.iter().take_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
        });
        match zone.count() {
            0 => at,
            len => at + 1 + len,
        }
    }

    /// The name in `ip6.arpa` whose `p` is at `at`; how far it is decided.
    pub(super) fn nibbles(&mut self, at: usize) -> usize {
        at.checked_sub(1).and_then(|name| self.nibbles_before(name)).unwrap_or(at + 1)
    }

    /// The same from inside the labels.
    pub(super) fn nibbles_around(&mut self, at: usize) -> Option<usize> {
        let is_label = |at: usize| self.byte(at).is_ascii_hexdigit() && self.byte(at + 1) == b'.';
        let labels = (0..NIBBLES).take_while(|n| is_label(at + 2 * n)).count();
        self.nibbles_before(at + 2 * labels)
    }

    /// The address whose name ends with what stands at `at`.
    fn nibbles_before(&mut self, at: usize) -> Option<usize> {
        let start = at.checked_sub(2 * NIBBLES).filter(|start| *start >= self.done)?;
        if !self.has(at, b"ip6.arpa") {
            return None;
        }
        let mut address = 0_u128;
        for label in self.text[start..at].as_chunks::<2>().0.iter().rev() {
            let [nibble, b'.'] = label else { return None };
            address = address << 4 | u128::from(char::from(*nibble).to_digit(16)?);
        }
        self.push(start, at - 1, address.to_be_bytes(), Form::Nibbles);
        Some(at)
    }
}

/// The groups of an address, as far as they were read.
#[derive(Default)]
struct Groups {
    groups: [u16; 8],
    count: usize,
    /// How many of them stand before `::`.
    gap: Option<usize>,
}

impl Groups {
    fn push(&mut self, group: u32) {
        if let Some(place) = self.groups.get_mut(self.count) {
            *place = u16::try_from(group).unwrap_or_default();
            self.count += 1;
        }
    }

    /// `::` stands for at least one.
    fn is_full(&self) -> bool {
        self.count >= 8 - usize::from(self.gap.is_some())
    }

    fn address(&self) -> Option<u128> {
        let before = match self.gap {
            Some(gap) if self.count > 0 && self.count < 8 => gap,
            None if self.count == 8 => 8,
            _ => return None,
        };
        let mut groups = [0; 8];
        let (front, back) = self.groups.get(..self.count)?.split_at_checked(before)?;
        groups[..front.len()].copy_from_slice(front);
        groups[8 - back.len()..].copy_from_slice(back);
        Some(groups.iter().fold(0, |address, group| address << 16 | u128::from(*group)))
    }
}
