//! The XDP program on an interface, and what all its sockets share.

use std::{
    collections::BTreeSet,
    env, io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    sync::Mutex,
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{MembarrierCommand, membarrier},
};

use super::{
    bpf::{self, Mode, SocketMap},
    device,
};
use crate::{capture::live::RingError, lock::lock};

/// An interface with our program on it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    /// The interface's number; another one when it is made again.
    pub(super) index: u32,
    /// How many receive queues it has.
    pub(super) queues: u32,
    /// Bytes of the longest frame with its Ethernet header and two VLAN tags.
    pub(super) longest: u32,
    pub(super) mode: Mode,
    /// The program takes packets that lie in several pieces.
    pub(super) frags: bool,
    /// The driver counts as its own loss what a ring refused.
    pub(super) counts_ours: bool,
    map: SocketMap,
    /// The program is there as long as this.
    _link: OwnedFd,
    /// The interface takes packets for others as long as this.
    _promiscuous: Option<OwnedFd>,
    said: Mutex<BTreeSet<String>>,
}

impl Port {
    /// Puts the program on an interface: in the driver if that can be, else in the stack.
    pub(super) fn new(name: &str, index: u32, promiscuous: bool) -> Result<Self, RingError> {
        let failed = |what: &str| {
            let what = format!("{what} {name}");
            move |error: io::Error| refused(&what, &error)
        };
        let queues = device::queues(name);
        let longest = device::mtu(name).map_err(failed("cannot read the MTU of"))? + 14 + 2 * 4;
        let map = SocketMap::new(queues).map_err(failed("cannot make an XDP map for"))?;
        // Kernels before 5.18 do not know the flag.
        let (program, frags) = bpf::load(&map, true)
            .map(|program| (program, true))
            .or_else(|_| bpf::load(&map, false).map(|program| (program, false)))
            .map_err(failed("cannot load the XDP program for"))?;
        let (link, mode) = match bpf::link(&program, index, Mode::Native) {
            Ok(link) => (link, Mode::Native),
            Err(error) if is_taken(&error) => return Err(taken(name)),
            Err(error) => {
                tracing::debug!("{name}: no XDP in its driver: {error}");
                match bpf::link(&program, index, Mode::Generic) {
                    Ok(link) => (link, Mode::Generic),
                    Err(error) if is_taken(&error) => return Err(taken(name)),
                    Err(error) => return Err(failed("cannot put the XDP program on")(error)),
                }
            }
        };
        let membership = promiscuous
            .then(|| promiscuity(index))
            .transpose()
            .map_err(failed("cannot make promiscuous"))?;
        Ok(Self {
            name: name.to_owned(),
            index,
            queues,
            longest,
            mode,
            frags,
            counts_ours: mode == Mode::Native && device::counts_ours(name),
            map,
            _link: link,
            _promiscuous: membership,
            said: Mutex::default(),
        })
    }

    /// Gives the packets of a queue to a socket.
    pub(super) fn enter(&self, queue: u32, socket: RawFd) -> Result<(), RingError> {
        self.map.insert(queue, socket).map_err(|error| {
            refused(&format!("cannot open queue {queue} of {}", self.name), &error)
        })
    }

    /// Gives the packets of a queue back to the kernel, and waits until the last that was on its
    /// way into the socket is there.
    pub(super) fn leave(&self, queue: u32) {
        if let Err(error) = self.map.remove(queue) {
            tracing::warn!("queue {queue} of {} cannot be closed: {error}", self.name);
        }
        // A driver looks into the map and fills the ring within one RCU read section, and this
        // command waits for all of those (synchronize_rcu() in kernel/sched/membarrier.c). Where
        // the kernel refuses (nohz_full), the few packets on their way are missed.
        let _ = membarrier(MembarrierCommand::Global);
    }

    /// Says how the interface is captured, once, and again where a queue got something else.
    pub(super) fn say(&self, how: &str) {
        let mut said = lock(&self.said);
        if said.insert(how.to_owned()) {
            tracing::info!("{}: {how}", self.name);
        }
    }
}

/// Keeps an interface promiscuous as long as the socket is open; see packet(7).
fn promiscuity(index: u32) -> io::Result<OwnedFd> {
    /// `PACKET_MR_PROMISC`, in the width of the field.
    const PROMISCUOUS: libc::c_ushort = 1;
    // Without a protocol it receives nothing.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let request = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: PROMISCUOUS,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let len = libc::socklen_t::try_from(size_of_val(&request)).unwrap_or(0);
    // SAFETY: `request` lives across the call and has the size that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            len,
        )
    };
    if result == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

fn taken(name: &str) -> RingError {
    RingError(format!(
        "another XDP program is on {name}: stop what put it there (`bpftool net show dev {name}` \
         names it), or take it off with `ip link set {name} xdp off`"
    ))
}

/// A call that the system refused, and what to do.
pub(super) fn refused(what: &str, error: &io::Error) -> RingError {
    RingError(match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let engine = env::current_exe().unwrap_or_else(|_| "engine".into());
            format!(
                "{what}: AF_XDP needs privileges: run as root, or run `setcap \
                 cap_net_raw,cap_net_admin,cap_bpf+ep {}`",
                engine.display()
            )
        }
        _ => format!("{what}: {error}"),
    })
}
