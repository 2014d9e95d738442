//! Asks for memory before it is needed.
//!
//! A table that no cache holds costs 100 ns and more a look. A stage that asks for what it will
//! look at for all packets of a batch, and then goes on with something else, waits for a fraction
//! of that. Reading it does the same only for the few dozen instructions that a processor holds
//! open behind a load; a prefetch is done once it has been issued.

/// Asks for the cache line in which `value` begins. It changes nothing, and where there is no such
/// instruction it does nothing.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is that of a live value, and the instruction only hints: it reads
        // nothing that the program sees and faults on nothing.
        #[allow(unsafe_code, reason = "there is no safe way to ask for a cache line")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
