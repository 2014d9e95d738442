//! What the system says about a network interface.
//!
//! By ioctl (netdevice(7)) and not from `/sys`, which shows the interfaces of the network
//! namespace in which it was mounted, not those of ours.

use std::{io, mem, os::fd::AsRawFd as _};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// An interface as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its number; a new one when it is made again.
    pub index: u32,
    /// It is set up.
    pub up: bool,
    /// It is set up and has a carrier.
    pub running: bool,
    /// It takes packets for other machines, too.
    pub promiscuous: bool,
}

/// The state of an interface; `None` where there is none of that name.
///
/// # Errors
/// When the system does not say.
pub fn state(name: &str) -> io::Result<Option<State>> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let index = match netdevice::name_to_index(&socket, name) {
        Ok(index) => index,
        Err(rustix::io::Errno::NODEV) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut request = request(name)?;
    // SAFETY: SIOCGIFFLAGS reads `ifr_name`, which ends with a zero, and writes `ifr_flags`,
    // both within `request`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    if result != 0 {
        let error = io::Error::last_os_error();
        // It went away between the two questions.
        return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the call above has written `ifr_flags`.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(Some(State {
        index,
        up: flags & libc::IFF_UP != 0,
        running: flags & (libc::IFF_UP | libc::IFF_RUNNING) == libc::IFF_UP | libc::IFF_RUNNING,
        promiscuous: flags & libc::IFF_PROMISC != 0,
    }))
}

/// Bytes of the largest packet that an interface takes, without its link header; `None` where
/// there is none of that name.
///
/// # Errors
/// When the system does not say.
pub fn mtu(name: &str) -> io::Result<Option<u32>> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let mut request = request(name)?;
    // SAFETY: SIOCGIFMTU reads `ifr_name`, which ends with a zero, and writes `ifr_mtu`, both
    // within `request`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the call above has written `ifr_mtu`.
    Ok(u32::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok())
}

/// What kind of hardware an interface is (`ARPHRD_` in linux/if_arp.h); `None` where there is none
/// of that name.
///
/// # Errors
/// When the system does not say.
pub fn hardware(name: &str) -> io::Result<Option<u16>> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let mut request = request(name)?;
    // SAFETY: SIOCGIFHWADDR reads `ifr_name`, which ends with a zero, and writes `ifr_hwaddr`,
    // both within `request`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENODEV) { Ok(None) } else { Err(error) };
    }
    // SAFETY: the call above has written `ifr_hwaddr`.
    Ok(Some(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family }))
}

/// An ioctl request about the interface `name`.
pub(crate) fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is a C struct of integers, for which all zeros are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}
