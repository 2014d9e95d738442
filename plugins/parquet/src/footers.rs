//! The footers that a file could have ended with so far, one behind the other, each with a
//! checksum:
//!
//! ```text
//! "RMPF" | bytes of the data file (u64) | bytes of the footer (u32) | CRC-32 (u32) | footer
//! ```
//!
//! Numbers are little-endian. The checksum is over all but itself and the four letters.

const MAGIC: &[u8; 4] = b"RMPF";
const HEAD: usize = 20;

/// A footer, ready to be appended.
pub(crate) fn frame(data: u64, footer: &[u8]) -> Vec<u8> {
    let len = u32::try_from(footer.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEAD + footer.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&data.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(data, len, footer).to_le_bytes());
    out.extend_from_slice(footer);
    out
}

/// The last whole footer for a data file that has at least `len` bytes, and how many of them it
/// is for. What follows a torn one was never written.
pub(crate) fn last(mut bytes: &[u8], len: u64) -> Option<(u64, &[u8])> {
    let mut last = None;
    while let Some((data, footer, rest)) = next(bytes) {
        if data <= len {
            last = Some((data, footer));
        }
        bytes = rest;
    }
    last
}

fn next(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (data, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (data, len) = (u64::from_le_bytes(*data), u32::from_le_bytes(*len));
    let (footer, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let whole = magic == MAGIC && checksum(data, len, footer) == u32::from_le_bytes(*crc);
    whole.then_some((data, footer, rest))
}

fn checksum(data: u64, len: u32, footer: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&data.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    hasher.update(footer);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_footer_is_found_wherever_the_file_was_cut() {
        let frames = [frame(100, b"one"), frame(200, b"second"), frame(300, b"third footer")];
        let all = frames.concat();
        let ends: Vec<usize> =
            (1..=frames.len()).map(|n| frames[..n].iter().map(Vec::len).sum()).collect();
        let expected = [(100, &b"one"[..]), (200, &b"second"[..]), (300, &b"third footer"[..])];
        for cut in 0..=all.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let found = last(&all[..cut], u64::MAX);
            assert_eq!(found, whole.checked_sub(1).map(|n| expected[n]), "cut at {cut}");
        }
        // A flipped bit ends it there.
        for at in 0..all.len() {
            let mut torn = all.clone();
            torn[at] ^= 0x10;
            let whole = ends.iter().filter(|end| **end <= at).count();
            assert_eq!(last(&torn, u64::MAX), whole.checked_sub(1).map(|n| expected[n]), "{at}");
        }
        // A data file that is shorter than what its last footer is for.
        for (len, n) in [(99, None), (100, Some(0)), (299, Some(1)), (300, Some(2))] {
            assert_eq!(last(&all, len), n.map(|n: usize| expected[n]), "{len}");
        }
    }
}
