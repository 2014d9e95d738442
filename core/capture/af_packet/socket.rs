//! The packet socket and its options: packet(7), and `net/packet/af_packet.c` for what that page
//! leaves open.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use libc::{SOL_PACKET, SOL_SOCKET, c_int, c_void, sock_filter, socklen_t};

use super::RingError;
use crate::capture::netdev;

/// A packet socket of one interface.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// The name of its interface, for errors.
    pub(super) name: String,
    /// The number of its interface.
    pub(super) index: u32,
}

impl Socket {
    /// The number of an interface.
    pub(super) fn index(name: &str) -> Result<u32, RingError> {
        match netdev::state(name) {
            Ok(Some(state)) => Ok(state.index),
            Ok(None) => Err(RingError(format!(
                "there is no interface `{name}`; `ip -br link` lists those that there are"
            ))),
            Err(error) => Err(refused(name, "cannot be looked up", &error)),
        }
    }

    /// A socket for an interface that gets nothing: it has no protocol until [`bind`](Self::bind).
    pub(super) fn new(name: &str, index: u32) -> Result<Self, RingError> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => no_permission(name),
                _ => refused(name, "gets no packet socket", &error),
            });
        }
        // SAFETY: `fd` was just opened and nothing else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, name: name.to_owned(), index })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sets an option.
    pub(super) fn set<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        let (value, len): (*const c_void, _) = (ptr::from_ref(value).cast(), length::<T>());
        // SAFETY: `value` is a reference to `len` bytes that live across the call.
        check(unsafe { libc::setsockopt(self.fd(), level, option, value, len) })
    }

    /// Reads an option into `value`.
    pub(super) fn get<T>(&self, level: c_int, option: c_int, value: &mut T) -> io::Result<()> {
        let (value, mut len): (*mut c_void, _) = (ptr::from_mut(value).cast(), length::<T>());
        // SAFETY: `value` is a reference to `len` bytes that live across the call, and so does
        // `len`; the options that are read are structs of integers, for which any bytes are a
        // value.
        check(unsafe { libc::getsockopt(self.fd(), level, option, value, &raw mut len) })
    }

    /// Puts a filter in the place of the one that there is, in one step.
    pub(super) fn filter(&self, program: &[sock_filter]) -> Result<(), RingError> {
        // `SO_ATTACH_FILTER` only reads the program, though its type says `*mut`.
        let filter = program.as_ptr().cast_mut();
        let set = match u16::try_from(program.len()) {
            Ok(len) => {
                let program = libc::sock_fprog { len, filter };
                self.set(SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
            }
            Err(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        set.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM) => RingError(format!(
                "the filter for {} needs more memory than a socket may have; \
                 `sysctl net.core.optmem_max=1048576`",
                self.name
            )),
            Some(libc::EINVAL) => RingError(format!(
                "the kernel refuses the filter for {}: it has {} instructions, of which 4096 are \
                 allowed; make `filter` shorter",
                self.name,
                program.len()
            )),
            _ => refused(&self.name, "takes no filter", &error),
        })
    }

    /// Binds to the interface, for packets of all protocols. From here on the kernel shows every
    /// packet to the filter.
    pub(super) fn bind(&self) -> Result<(), RingError> {
        // SAFETY: `sockaddr_ll` is a C struct of integers, for which all zeros are a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
        address.sll_ifindex = self.index.cast_signed();
        let len = length::<libc::sockaddr_ll>();
        // SAFETY: `address` has `len` bytes and lives across the call.
        let bound = unsafe { libc::bind(self.fd(), (&raw const address).cast(), len) };
        check(bound).map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV) => RingError(format!(
                "the interface `{}` went away while it was opened; capture needs it to stay",
                self.name
            )),
            _ => refused(&self.name, "cannot be bound to", &error),
        })?;
        // An interface that is down leaves ENETDOWN here; it may come up.
        let mut pending: c_int = 0;
        let _ = self.get(SOL_SOCKET, libc::SO_ERROR, &mut pending);
        Ok(())
    }

    /// Waits until packets that passed the last filter are in the ring and counted.
    ///
    /// The kernel changes a filter at once, but does not wait for packets that another processor
    /// has in hand. It does wait (`synchronize_net`) when a packet socket is closed; so one is.
    pub(super) fn settle(&self) {
        if let Err(error) = Self::new(&self.name, self.index) {
            // A packet in hand needs microseconds.
            tracing::debug!("{error}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// LINKTYPE number of the frames, from the ARPHRD number of the interface.
    pub(super) fn link(&self) -> Result<u16, RingError> {
        // SAFETY: as in `bind`.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut len = length::<libc::sockaddr_ll>();
        // SAFETY: `address` has `len` bytes; both live across the call.
        let named =
            unsafe { libc::getsockname(self.fd(), (&raw mut address).cast(), &raw mut len) };
        check(named).map_err(|error| refused(&self.name, "does not say its link type", &error))?;
        let kind = address.sll_hatype;
        link_type(kind).ok_or_else(|| {
            RingError(format!(
                "{} has ARP hardware type {kind}, whose frames cannot be read; capture from the \
                 Ethernet interface below or above it",
                self.name
            ))
        })
    }

    /// Takes packets for other machines, too, for as long as the socket is open; the kernel counts
    /// how many sockets ask for it, and takes ours back also after `kill -9`.
    pub(super) fn promiscuous(&self) -> Result<(), RingError> {
        let request = libc::packet_mreq {
            mr_ifindex: self.index.cast_signed(),
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default(),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request).map_err(|error| {
            refused(&self.name, "cannot be made promiscuous; or set `promiscuous = false`", &error)
        })
    }
}

/// The LINKTYPE number for an ARPHRD number of the kernel (`linux/if_arp.h`), if the frames that
/// a `SOCK_RAW` socket gets have one.
fn link_type(kind: u16) -> Option<u16> {
    /// `ARPHRD_RAWIP`, as cellular modems have.
    const RAW_IP: u16 = 519;
    /// `ARPHRD_IP6GRE`
    const IP6_GRE: u16 = 823;
    Some(match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => 1,
        // Without a header of their own that the kernel would show: the frame begins with IP. Of
        // PPP, ppp_generic.c keeps the header to itself.
        libc::ARPHRD_NONE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE
        | RAW_IP
        | IP6_GRE => 101,
        libc::ARPHRD_CISCO => 104,
        libc::ARPHRD_IEEE80211 => 105,
        libc::ARPHRD_IEEE80211_PRISM => 119,
        libc::ARPHRD_IEEE80211_RADIOTAP => 127,
        _ => return None,
    })
}

/// The size of a struct as system calls take it.
pub(super) fn length<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

/// What a system call returned, as a result.
pub(super) fn check(returned: c_int) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The sentence about something that the kernel refuses and that has no sentence of its own.
pub(super) fn refused(name: &str, what: &str, error: &io::Error) -> RingError {
    RingError(format!("{name} {what}: {error}"))
}

fn no_permission(name: &str) -> RingError {
    let program = std::env::current_exe().unwrap_or_else(|_| "engine".into());
    RingError(format!(
        "capturing from {name} needs CAP_NET_RAW; run as root, or once `setcap \
         cap_net_raw,cap_net_admin+ep {}`",
        program.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::link_type;

    #[test]
    fn link_types_are_those_of_the_frames_that_raw_sockets_get() {
        let cases: &[(u16, Option<u16>)] = &[
            (1, Some(1)),
            (772, Some(1)),
            (0xfffe, Some(101)),
            (512, Some(101)),
            (778, Some(101)),
            (801, Some(105)),
            (803, Some(127)),
            (824, None), // nlmon
            (280, None), // CAN
        ];
        for (kind, link) in cases {
            assert_eq!(link_type(*kind), *link, "{kind}");
        }
    }
}
