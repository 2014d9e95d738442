//! Texts without their percent-encoding (RFC 3986, section 2.1).

use super::Found;

/// A text without its percent-encoding, and where each of its bytes was before.
#[derive(Debug, Default)]
pub(super) struct Unescaped {
    pub text: Vec<u8>,
    /// Where each byte was, and in the end where the text ended.
    places: Vec<usize>,
}

impl Unescaped {
    /// Reads a text, however many times it was encoded. What stands for no visible ASCII
    /// character stays as it is: a `%` in front of a number may also begin a zone.
    pub(super) fn read(&mut self, text: &[u8]) {
        self.text.clear();
        self.places.clear();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let (byte, len) = if byte == b'%' { character(&text[at..]) } else { (byte, 1) };
            self.text.push(byte);
            self.places.push(at);
            at += len;
        }
        self.places.push(text.len());
    }

    /// Gives the address the place that it has in the text that was read.
    pub(super) fn locate(&self, found: &mut Found) {
        let within = found.start..found.end;
        let colon = within.clone().find(|at| self.text.get(*at) == Some(&b':'));
        found.escapes = match colon {
            Some(colon) => self.escapes(colon),
            None => self.escapes(within.start.wrapping_sub(1)).max(self.escapes(within.end)),
        };
        let place = |at: usize| self.places.get(at).copied().unwrap_or_default();
        (found.start, found.end) = (place(within.start), place(within.end));
    }

    /// How many times the character was encoded: `:`, `%3A`, `%253A`.
    fn escapes(&self, at: usize) -> usize {
        match self.places.get(at..).and_then(<[usize]>::first_chunk) {
            Some([from, to]) => (to - from) / 2,
            None => 0,
        }
    }
}

/// The character that a text beginning with `%` begins with, and how many bytes stand for it.
fn character(text: &[u8]) -> (u8, usize) {
    let mut at = 1;
    while text.get(at..).is_some_and(|rest| rest.starts_with(b"25")) {
        at += 2;
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let code = digit(at).zip(digit(at + 1)).map(|(high, low)| high << 4 | low);
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(byte @ b' '..=b'~') => (byte, at + 2),
        // A percent sign that was encoded, and encodes nothing itself.
        None if at > 1 => (b'%', at),
        _ => (b'%', 1),
    }
}
