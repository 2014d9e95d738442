//! A packet socket that sends: packet(7), sendmmsg(2).
#![allow(unsafe_code, reason = "no safe library binds a packet socket to an interface")]

use std::{
    ffi::CString,
    io, mem,
    ops::Range,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

/// Sends frames of one list on one interface.
pub(super) struct Sender<'a> {
    socket: OwnedFd,
    messages: Vec<libc::mmsghdr>,
    /// What `messages` point to; never changed.
    #[expect(dead_code, reason = "held because `messages` point into it")]
    slices: Vec<io::IoSlice<'a>>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(interface: &str, frames: &[&'a [u8]]) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a C string that lives across the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: takes no pointers. Protocol 0: it sends and gets nothing.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and nothing else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: `sockaddr_ll` is a C struct of integers, for which all zeros are a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_ifindex = index.cast_signed();
        let len = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or_default();
        // SAFETY: `address` has `len` bytes and lives across the call.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let slices: Vec<_> = frames.iter().map(|frame| io::IoSlice::new(frame)).collect();
        let message = |slice: &io::IoSlice<'a>| {
            // SAFETY: `mmsghdr` is a C struct of integers and pointers that may be null.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            // An `IoSlice` is an `iovec`, as the standard library promises; it is only read.
            message.msg_hdr.msg_iov = ptr::from_ref(slice).cast_mut().cast();
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let messages = slices.iter().map(message).collect();
        Ok(Self { socket, messages, slices })
    }

    /// Sends these frames; gives how many of them, from the first on, the kernel took.
    pub(super) fn send(&mut self, which: Range<usize>) -> io::Result<usize> {
        let messages = &mut self.messages[which];
        let count = libc::c_uint::try_from(messages.len()).unwrap_or(libc::c_uint::MAX);
        let first = messages.as_mut_ptr();
        // SAFETY: `first` points to `count` messages, each with one `iovec` in `slices`, whose heap
        // memory stays where it is, and that with a frame that outlives `self`.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), first, count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
