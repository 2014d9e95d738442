//! The only unsafe code of this crate: a mapped file and the prefetch instruction.
#![allow(unsafe_code, reason = "mmap and prefetch have no safe form")]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Advice, Mmap};

/// Bytes of a cache line on the machines this is built for.
pub(super) const LINE: usize = 64;

/// Maps a whole file for reading, front to back.
///
/// # Errors
/// When the file cannot be opened or mapped.
pub fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the mapping is private to this process and read only. Were another process to
    // cut the file while it is mapped, this one would end with SIGBUS; bytes that change
    // under us are read as plain numbers, and every offset made of them is checked.
    let bytes = unsafe { Mmap::map(&file)? };
    bytes.advise(Advice::Sequential)?;
    Ok(bytes)
}

/// Asks for the cache line at `offset`; does nothing past the end.
#[inline(always)]
pub(super) fn prefetch(bytes: &[u8], offset: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = bytes.get(offset) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of every x86_64, and the pointer is a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, offset);
}
