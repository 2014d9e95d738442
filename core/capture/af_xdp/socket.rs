//! Opens and binds the socket of a queue.

use std::{os::fd::BorrowedFd, sync::Arc, thread, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketType,
        xdp::{SocketAddrXdp, SocketAddrXdpFlags},
    },
};
use xdp::{
    RingConfigBuilder, Rings, Umem,
    error::{Error, SocketError},
    socket::{OptName, XdpSocketBuilder},
    umem::{FrameSize, UmemCfgBuilder},
};

use super::{
    ETHERNET,
    bpf::Mode,
    device,
    port::{Port, refused},
    ring::{Parts, Queue, descriptor},
};
use crate::capture::live::{RingError, Setup};

/// Bytes of a frame that the kernel keeps for itself, `XDP_PACKET_HEADROOM`.
const HEADROOM: u32 = 256;
/// How often a queue is asked for that another socket has, and how long is waited in between. The
/// kernel gives a queue back from a work queue some milliseconds after its process has died.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Whether this kernel knows AF_XDP. That we may not use it is found out when it is used.
pub(super) fn is_supported() -> bool {
    let socket = rustix::net::socket(AddressFamily::XDP, SocketType::RAW, None);
    !matches!(socket, Err(Errno::AFNOSUPPORT))
}

/// The ring of a queue, closed.
pub(super) fn open(port: &Arc<Port>, queue: u32, setup: &Setup) -> Result<Queue, RingError> {
    let what = format!("cannot open queue {queue} of {}", port.name);
    let filter = match &setup.filter {
        Some(filter) => {
            Some(filter.for_link(ETHERNET).map_err(|error| RingError(error.to_string()))?)
        }
        None => None,
    };
    let (size, bytes) = if port.longest <= 2048 - HEADROOM {
        (FrameSize::TwoK, 2048)
    } else {
        (FrameSize::FourK, 4096)
    };
    let frames = u32::try_from(setup.ring_bytes / bytes as usize).unwrap_or(u32::MAX).max(64);
    // Both rings can hold every frame that there is, so that only frames can be short.
    let slots = frames.checked_next_power_of_two().unwrap_or(1 << 31);
    let failed = |error: Error| setting_up(&what, setup, &error);
    let config = UmemCfgBuilder { frame_size: size, frame_count: frames, ..Default::default() };
    let mut umem =
        Umem::map(config.build().map_err(failed)?).map_err(|error| refused(&what, &error))?;
    let rings =
        RingConfigBuilder { rx_count: slots, tx_count: 0, fill_count: slots, completion_count: 1 };
    let rings = rings.build().map_err(failed)?;
    let mut socket = XdpSocketBuilder::new().map_err(|error| failed(error.into()))?;
    let (rings, _) = socket.build_rings(&umem, rings).map_err(|error| failed(error.into()))?;
    let Rings { mut fill_ring, rx_ring: Some(receive), completion_ring, .. } = rings else {
        return Err(RingError(format!("{what}: the crate `xdp` made no receive ring")));
    };
    // SAFETY: the memory goes into the same `Queue` as the ring and outlives the socket, see there.
    unsafe { fill_ring.enqueue(&mut umem, frames as usize) };
    let access = bind(descriptor(&socket), port, queue, bytes - HEADROOM)
        .map_err(|error| binding(&what, port, queue, bytes, error))?;
    port.say(&access.describe(port, bytes));
    Ok(Queue::new(Parts {
        port: Arc::clone(port),
        queue,
        socket,
        fill: fill_ring,
        receive,
        _completion: completion_ring,
        umem,
        frames: frames as usize,
        access,
        filter,
        snaplen: setup.snaplen,
    }))
}

/// How a socket gets at the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The card writes into our frames.
    pub(super) zero_copy: bool,
    /// Packets that are longer than a frame come in several.
    pub(super) several: bool,
}

impl Access {
    fn flags(self) -> SocketAddrXdpFlags {
        let mut flags = SocketAddrXdpFlags::XDP_COPY;
        if self.zero_copy {
            flags = SocketAddrXdpFlags::XDP_ZEROCOPY;
        }
        flags.set(SocketAddrXdpFlags::XDP_USE_SG, self.several);
        flags
    }

    fn describe(self, port: &Port, bytes: u32) -> String {
        let mode = match port.mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
        };
        let copy = if self.zero_copy { "zero-copy" } else { "copy" };
        let long = if self.several { "taken, too" } else { "dropped and counted" };
        let vlan = if device::strips_vlan(&port.name) {
            "; VLAN tags that it takes out of frames are not seen (`ethtool -K ".to_owned()
                + &port.name
                + " rxvlan off` keeps them in)"
        } else {
            String::new()
        };
        let (queues, longest) = (port.queues, bytes - HEADROOM);
        format!(
            "XDP in {mode} mode, {copy}, {queues} receive queues; packets longer than {longest} \
             bytes are {long}{vlan}"
        )
    }
}

/// Binds to a queue in the best way that the driver has.
fn bind(socket: BorrowedFd<'_>, port: &Port, queue: u32, room: u32) -> Result<Access, Errno> {
    // Zero-copy is a matter of the driver, and generic mode goes around it.
    let zero_copy = if port.mode == Mode::Native { &[true, false][..] } else { &[false][..] };
    let several = if port.frags { &[true, false][..] } else { &[false][..] };
    let mut last = Errno::MSGSIZE;
    for &zero_copy in zero_copy {
        for &several in several {
            if !several && port.longest > room {
                continue;
            }
            let access = Access { zero_copy, several };
            match bind_patiently(socket, port.index, queue, access) {
                Ok(()) => return Ok(access),
                Err(Errno::BUSY) => return Err(Errno::BUSY),
                Err(error) => {
                    tracing::debug!("{} queue {queue}: {access:?}: {error}", port.name);
                    last = error;
                }
            }
        }
    }
    Err(last)
}

fn bind_patiently(
    socket: BorrowedFd<'_>,
    interface: u32,
    queue: u32,
    access: Access,
) -> Result<(), Errno> {
    let address = SocketAddrXdp::new(access.flags(), interface, queue);
    for attempt in 1.. {
        match rustix::net::bind(socket, &address) {
            Err(Errno::BUSY) if attempt < ATTEMPTS => thread::sleep(PAUSE),
            bound => return bound,
        }
    }
    Ok(())
}

/// What to do where bind(2) was refused.
fn binding(what: &str, port: &Port, queue: u32, bytes: u32, error: Errno) -> RingError {
    let name = &port.name;
    RingError(match error {
        Errno::BUSY => format!(
            "{what}: another AF_XDP socket has it; stop the program that holds it (`ss --xdp -p` \
             names it where the kernel has CONFIG_XDP_SOCKETS_DIAG)"
        ),
        Errno::INVAL if queue > 0 => format!(
            "{what}: it has fewer queues; compare with `ethtool -l {name}` and set `workers` to \
             what it has"
        ),
        _ if port.longest > bytes - HEADROOM => {
            let fits = 4096 - HEADROOM - 14 - 2 * 4;
            format!(
                "{what}: its packets are longer than a frame and this kernel or driver does not \
                 spread them over several ({error}): run `ip link set {name} mtu {fits}`, use \
                 Linux 6.6 or later, or capture by `af_packet`"
            )
        }
        _ => return refused(what, &error.into()),
    })
}

/// What to do where a ring could not be made.
fn setting_up(what: &str, setup: &Setup, error: &Error) -> RingError {
    let Error::Socket(error) = error else { return RingError(format!("{what}: {error}")) };
    match error {
        SocketError::SetSockOpt { inner, option: OptName::UmemRegion }
            if inner.raw_os_error() == Some(libc::ENOBUFS) =>
        {
            let mib = setup.ring_bytes >> 20;
            RingError(format!(
                "{what}: its {mib} MiB of `ring_mib` are more than may be locked in memory: raise \
                 `ulimit -l` (LimitMEMLOCK= in a systemd unit) to {mib} MiB for each queue, or \
                 grant cap_ipc_lock"
            ))
        }
        SocketError::SocketCreation(inner)
        | SocketError::SetSockOpt { inner, .. }
        | SocketError::GetSockOpt { inner, .. }
        | SocketError::RingMap { inner, .. }
        | SocketError::Bind(inner) => refused(what, inner),
    }
}
