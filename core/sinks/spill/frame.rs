//! How records lie in a segment of the spill log.
//!
//! ```text
//! segment = magic, frame*
//! frame   = length u32 | rows u32 | sequence u64 | crc32 u32 | payload of `length` bytes
//! ```
//!
//! All little endian. The checksum is over what stands before it and the payload, so a frame
//! that a crash cut, or that a disk damaged, is known. The sequence numbers of a segment are
//! consecutive. Nothing here knows what a payload is.

use std::io::{self, ErrorKind, Read};

/// The first bytes of a segment; the last is the version.
pub(crate) const MAGIC: [u8; 8] = *b"RMSPILL1";
/// Bytes before a payload.
pub(crate) const HEAD: usize = 20;
/// No payload is longer; a length beyond it is damage.
pub(crate) const LONGEST: u32 = 1 << 30;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the payload.
    pub(crate) length: u32,
    /// Rows in it.
    pub(crate) rows: u32,
    /// Its number in the log.
    pub(crate) sequence: u64,
    crc: u32,
}

impl Head {
    /// The head of a payload, which is no longer than [`LONGEST`].
    pub(crate) fn of(sequence: u64, rows: u32, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut head = Self { length, rows, sequence, crc: 0 };
        head.crc = head.checksum(payload);
        head
    }

    pub(crate) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.rows.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEAD]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let sequence = u64::from(word(8)) | u64::from(word(12)) << 32;
        Self { length: word(0), rows: word(4), sequence, crc: word(16) }
    }

    /// Whether this payload was written behind this head.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && self.crc == self.checksum(payload)
    }

    fn checksum(&self, payload: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.to_bytes()[..16]);
        crc.update(payload);
        crc.finalize()
    }
}

/// What is whole in a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The rows of each frame.
    pub(crate) rows: Vec<u32>,
    /// Bytes from the beginning that are good; what lies behind them is torn or damaged. 0
    /// where it does not even begin like a segment.
    pub(crate) good: u64,
}

/// Reads a segment of `length` bytes, whose first frame has the number `first`, as far as it is
/// whole.
///
/// # Errors
/// Only what the reading itself gives; damage is no error.
pub(crate) fn scan(mut from: impl Read, length: u64, first: u64) -> io::Result<Scan> {
    let mut found = Scan::default();
    let mut magic = [0; MAGIC.len()];
    if !filled(&mut from, &mut magic)? || magic != MAGIC {
        return Ok(found);
    }
    found.good = MAGIC.len() as u64;
    let (mut head, mut payload) = ([0; HEAD], Vec::new());
    while filled(&mut from, &mut head)? {
        let head = Head::from_bytes(&head);
        let end = found.good + HEAD as u64 + u64::from(head.length);
        let expected = first.wrapping_add(found.rows.len() as u64);
        // Looked at before anything is reserved for it.
        if head.length > LONGEST || end > length || head.sequence != expected {
            break;
        }
        payload.resize(head.length as usize, 0);
        if !filled(&mut from, &mut payload)? || !head.fits(&payload) {
            break;
        }
        found.rows.push(head.rows);
        found.good = end;
    }
    Ok(found)
}

/// Fills the buffer; false where there is not enough for it.
fn filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
