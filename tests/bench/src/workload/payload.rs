//! The bytes behind the heads: bodies, and what stands for encrypted data.

use std::io::Write;

use super::dice::Dice;

/// Start positions in the pools are below this; one segment fits behind the last.
const POOL: u32 = 1 << 20;
const SEGMENT: usize = 1500;
/// What ends a body of one chunk.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Random bytes, made once: drawing 1 GB of them would take most of the time.
#[derive(Debug)]
pub(super) struct Pools {
    random: Vec<u8>,
    form: Vec<u8>,
}

impl Pools {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let length = POOL as usize + SEGMENT;
        let mut random = Vec::with_capacity(length + 8);
        while random.len() < length {
            random.extend(dice.bits().to_le_bytes());
        }
        let letter = |byte: &u8| b"abcdefghijklmnopqrstuvwxyz012345"[usize::from(byte & 31)];
        let mut form: Vec<u8> = random.iter().map(letter).collect();
        for pair in form.chunks_mut(32) {
            pair[0] = b'&';
            if let Some(byte) = pair.get_mut(9) {
                *byte = b'=';
            }
        }
        Self { random, form }
    }

    /// Appends `length` random bytes, at most one segment.
    pub(super) fn random(&self, dice: &mut Dice, length: usize, out: &mut Vec<u8>) {
        let start = dice.below(POOL) as usize;
        out.extend(&self.random[start..start + length.min(SEGMENT)]);
    }
}

/// What the bytes of a body look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// As compressed text or an image does.
    Random,
    /// As an HTML form.
    Form,
}

/// A body on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    content: Content,
    /// Bytes of data, without the framing of a chunk.
    data: u32,
    chunked: bool,
    /// Bytes on the wire in all, and how many of them are sent.
    total: u32,
    sent: u32,
    start: u32,
}

impl Body {
    pub(super) fn none() -> Self {
        Self { content: Content::Random, data: 0, chunked: false, total: 0, sent: 0, start: 0 }
    }

    pub(super) fn new(dice: &mut Dice, content: Content, data: u32, chunked: bool) -> Self {
        let start = dice.below(POOL);
        let mut body = Self { content, data, chunked, total: data, sent: 0, start };
        if chunked {
            // An empty body is the last chunk alone, without the line end of one before.
            body.total = match data {
                0 => 5,
                _ => data + wire(body.first_line().len()) + wire(LAST_CHUNK.len()),
            };
        }
        body
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.total
    }

    /// Appends the next bytes, `room` at most.
    pub(super) fn send(&mut self, pools: &Pools, room: usize, out: &mut Vec<u8>) {
        let pool = if self.content == Content::Form { &pools.form } else { &pools.random };
        let from = self.sent;
        let count = (self.total - from).min(wire(room.min(SEGMENT)));
        let start = ((self.start + from) % POOL) as usize;
        let here = out.len();
        out.extend(&pool[start..start + count as usize]);
        self.sent += count;
        if self.chunked {
            let sent = &mut out[here..];
            if self.data > 0 {
                overlay(sent, from, 0, &self.first_line());
                overlay(sent, from, self.total - wire(LAST_CHUNK.len()), LAST_CHUNK);
            } else {
                overlay(sent, from, 0, &LAST_CHUNK[2..]);
            }
        }
    }

    fn first_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(10);
        write!(line, "{:x}\r\n", self.data).expect("a Vec takes all that is written");
        line
    }
}

/// Lays `mark`, which begins at byte `at` of the body, over the part `sent` of the body
/// that begins at byte `from`.
fn overlay(sent: &mut [u8], from: u32, at: u32, mark: &[u8]) {
    for (position, byte) in (at..).zip(mark) {
        let Some(offset) = position.checked_sub(from) else { continue };
        if let Some(place) = sent.get_mut(offset as usize) {
            *place = *byte;
        }
    }
}

/// Bodies here are far below 4 GiB.
fn wire(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(body: &mut Body, pools: &Pools, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !body.is_sent() {
            body.send(pools, room, &mut out);
        }
        out
    }

    #[test]
    fn a_chunked_body_is_framed_wherever_it_is_cut() {
        let mut dice = Dice::new(1, 0);
        let pools = Pools::new(&mut dice);
        for data in [0, 1, 15, 16, 300] {
            for room in [1, 2, 7, 100, 1400] {
                let mut body = Body::new(&mut dice, Content::Random, data, true);
                let bytes = whole(&mut body, &pools, room);
                let first = if data == 0 { "0\r\n\r\n".into() } else { format!("{data:x}\r\n") };
                assert!(bytes.starts_with(first.as_bytes()), "{data} by {room}");
                assert!(bytes.ends_with(b"0\r\n\r\n"), "{data} by {room}");
                let framing = if data == 0 { 5 } else { first.len() + LAST_CHUNK.len() };
                assert_eq!(bytes.len(), data as usize + framing, "{data} by {room}");
            }
        }
    }

    #[test]
    fn a_plain_body_has_its_length() {
        let mut dice = Dice::new(1, 0);
        let pools = Pools::new(&mut dice);
        for data in [0, 1, 1500, 40_000] {
            let mut body = Body::new(&mut dice, Content::Form, data, false);
            assert_eq!(whole(&mut body, &pools, 1448).len(), data as usize);
        }
    }
}
