//! Asks for a mapped file's bytes before they are needed.
//!
//! The header of a record says where the next one is, so a walk over large packets is a chain
//! of cache misses that the processor cannot see coming: 130 to 145 ns a packet. Asking for
//! every line a fixed way ahead breaks the chain: 40 to 45 ns. Asking for the next headers
//! alone does not, and neither does `madvise`, which brings pages to memory, not lines to the
//! cache.

/// How far ahead the lines are asked for.
pub const AHEAD: usize = 4096;
const LINE: usize = 64;

/// After a step from offset `from` to `to`: asks for the lines that begin in
/// `from + AHEAD .. to + AHEAD`.
///
/// Steps that follow each other ask for each line once. A no-op where there is no such
/// instruction.
#[inline]
pub fn lines(bytes: &[u8], from: usize, to: usize) {
    let end = to.saturating_add(AHEAD).min(bytes.len());
    let mut at = from.saturating_add(AHEAD).next_multiple_of(LINE);
    while at < end {
        line(&bytes[at]);
        at += LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the address is that of a live byte, and the instruction only hints: it reads
    // nothing that the program sees and faults on nothing.
    #[allow(unsafe_code, reason = "there is no safe way to ask for a cache line")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast());
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_: &u8) {}

#[cfg(test)]
mod tests {
    use super::{AHEAD, lines};

    #[test]
    fn no_offset_is_too_far() {
        let bytes = vec![0; 3 * AHEAD + 7];
        for from in [0, 1, 63, AHEAD, 2 * AHEAD + 6, bytes.len()] {
            for to in [from, from + 60, bytes.len()] {
                lines(&bytes, from, to);
            }
        }
        lines(&[], 0, 0);
        lines(&bytes, usize::MAX - AHEAD - 64, usize::MAX);
    }
}
