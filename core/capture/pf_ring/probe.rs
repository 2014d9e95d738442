//! Questions to the library that need a ring for a moment; for the start and `engine doctor`.

use std::{io, os::fd::RawFd, sync::Arc};

use pfring_sys::Library;

use super::ring::{Options, Ring};
use crate::capture::live::{Ring as _, RingError};

/// No interface has this name: it is longer than any can be.
const NO_INTERFACE: &std::ffi::CStr = c"ringmill-looks-for-the-module";

/// Whether PF_RING's kernel module is loaded, as far as the library can tell.
///
/// By opening what does not exist: the system says first whether it knows PF_RING's sockets at
/// all, so that no interface is touched.
pub(super) fn has_module(library: &Library) -> bool {
    // SAFETY: the name ends with a zero and is static.
    let ring = unsafe { (library.open)(NO_INTERFACE.as_ptr(), 128, 0) };
    let error = io::Error::last_os_error().raw_os_error();
    if ring.is_null() {
        return error != Some(libc::EAFNOSUPPORT);
    }
    // SAFETY: the ring is open and nobody else has it.
    unsafe { (library.close)(ring) };
    true
}

/// Whether closing a ring leaves its socket open: then every ring that a process ever opened
/// stays until it ends, and with it its share of the cluster.
///
/// So do the releases 8.6.0 to 8.8.0 when they were built without hiredis (`pfring_close` in
/// `userland/lib/pfring.c`). The engine leaves the cluster before it closes a ring, so that
/// nothing is lost; memory is, each time an interface comes back.
///
/// # Errors
/// When no ring can be opened on the interface.
pub fn leaks(library: &Arc<Library>, interface: &str) -> Result<bool, RingError> {
    let options = Options {
        snaplen: 128,
        promiscuous: false,
        transmitted: false,
        hardware_clock: false,
        filter: None,
        cluster: None,
    };
    let ring = Ring::open(library, interface, &options)?;
    let fd = ring.fd();
    let before = identity(fd);
    drop(ring);
    // Another thread may have got the number for a file of its own.
    Ok(before.is_some() && identity(fd) == before)
}

/// What an open file is: device and inode number.
fn identity(fd: RawFd) -> Option<(u64, u64)> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `about` is as long as what is written to it, and whatever number `fd` is.
    if unsafe { libc::fstat(fd, about.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, and so filled it.
    let about = unsafe { about.assume_init() };
    Some((about.st_dev, about.st_ino))
}
