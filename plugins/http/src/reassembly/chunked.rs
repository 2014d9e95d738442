//! Chunked bodies (RFC 9112, section 7.1), to be skipped: the sizes are read, across segments,
//! and nothing is kept.

use memchr::memchr;

use super::table::{Dir, State};

/// The longest chunk that is believed, in bytes; the sequence numbers of a longer one are
/// ambiguous.
const LONGEST: u32 = 1 << 30;

/// What is left of a body after some bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes belong to it, be they there yet or not.
    Took(u32),
    /// So many were its last.
    Ended(u32),
    /// These are no chunks.
    Broken,
}

/// Reads on in a chunked body; `bytes` are not empty. `left` holds the size while its digits
/// come.
pub(super) fn step(dir: &mut Dir, bytes: &[u8]) -> Step {
    #[allow(clippy::cast_possible_truncation, reason = "a segment is shorter than 4 GiB")]
    let took = |bytes: usize| bytes as u32;
    let line = |after: State, dir: &mut Dir| match memchr(b'\n', bytes) {
        Some(at) => {
            dir.state = after;
            Step::Took(took(at + 1))
        }
        None => Step::Took(took(bytes.len())),
    };
    match (dir.state, bytes[0]) {
        (State::ChunkSize, byte) => match char::from(byte).to_digit(16) {
            Some(_) if dir.left >= LONGEST >> 4 => Step::Broken,
            Some(digit) => {
                dir.left = dir.left << 4 | digit;
                dir.set(Dir::DIGITS);
                Step::Took(1)
            }
            None if !dir.has(Dir::DIGITS) => Step::Broken,
            None if matches!(byte, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                dir.state = State::ChunkExtension;
                Step::Took(u32::from(byte != b'\n'))
            }
            None => Step::Broken,
        },
        (State::ChunkExtension, _) if dir.left == 0 => line(State::Trailer, dir),
        (State::ChunkExtension, _) => match memchr(b'\n', bytes) {
            Some(at) => {
                dir.state = State::ChunkEnd;
                Step::Took(took(at + 1).saturating_add(dir.left))
            }
            None => Step::Took(took(bytes.len())),
        },
        (State::ChunkEnd, b'\r') => Step::Took(1),
        (State::ChunkEnd, b'\n') => {
            begin(dir);
            Step::Took(1)
        }
        (State::Trailer, b'\r') => Step::Took(1),
        (State::Trailer, b'\n') => Step::Ended(1),
        (State::Trailer, _) => {
            dir.state = State::TrailerLine;
            line(State::Trailer, dir)
        }
        (State::TrailerLine, _) => line(State::Trailer, dir),
        _ => Step::Broken,
    }
}

/// A chunk's size comes next.
pub(super) fn begin(dir: &mut Dir) {
    dir.state = State::ChunkSize;
    dir.left = 0;
    dir.clear(Dir::DIGITS);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the chunked body that `bytes` begin with, seen in pieces of `size`.
    fn length(bytes: &[u8], size: usize) -> Result<Option<usize>, ()> {
        let mut dir = Dir::default();
        begin(&mut dir);
        let mut at = 0;
        while at < bytes.len() {
            let end = bytes.len().min((at / size + 1) * size);
            match step(&mut dir, &bytes[at..end]) {
                Step::Took(more) => at += more as usize,
                Step::Ended(more) => return Ok(Some(at + more as usize)),
                Step::Broken => return Err(()),
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies() {
        type Length = Result<Option<usize>, ()>;
        let cases: &[(&[u8], Length)] = &[
            (b"0\r\n\r\nGET", Ok(Some(5))),
            (b"3\r\nabc\r\n0\r\n\r\nGET", Ok(Some(13))),
            (b"3;a=b\r\nabc\r\n00\r\nX: y\r\nZ: \r\n\r\nGET", Ok(Some(29))),
            (b"A \r\n0123456789\r\n0\r\n\r\n", Ok(Some(21))),
            (b"3\nabc\n0\n\n", Ok(Some(9))),
            (b"3\r\nabc\r\n0\r\n", Ok(None)),
            (b"3\r\na", Ok(None)),
            (b"\r\n", Err(())),
            (b"x\r\n", Err(())),
            (b"-1\r\n", Err(())),
            (b"3\r\nabcd\r\n", Err(())),
            (b"fffffffff\r\n", Err(())),
        ];
        for (bytes, expected) in cases {
            for size in 1..=bytes.len() {
                let got = length(bytes, size);
                assert_eq!(got, *expected, "{} in pieces of {size}", bytes.escape_ascii());
            }
        }
    }
}
