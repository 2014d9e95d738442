//! AF_XDP: packets straight from the driver, one socket for each receive queue.
//!
//! An XDP program of five instructions (see [`bpf`]) hands the packets of a queue to the socket
//! that is entered for it in a map; a queue without a socket passes them to the kernel as if
//! nobody captured. Driver ("native") mode is tried before generic mode, and zero-copy before
//! copy; which one it got is said once for each interface. The program hangs on a BPF link, which
//! the kernel takes away with the last descriptor: a process that dies, however it dies, leaves
//! nothing behind that a next start would have to repair. Needs Linux 5.9 for the link; 6.6 to
//! take packets that are longer than a frame (in generic mode 6.9).
//!
//! # Whose ring code
//! The crate `xdp`: no C, no dependency, no build script, and it fits our contract: packets that
//! were taken out of its receive ring stay where they are until they are given back one by one.
//! Not `xsk-rs`, because it is a shell around libxdp, which wants libelf, bindgen's libclang and
//! a C compiler where it is built. Not `aya`, which has the map for XDP sockets and no sockets,
//! and brings an ELF loader that five instructions do not need. Two things we do ourselves,
//! because the crate cannot: bind(2) with `XDP_USE_SG`, and bpf(2). We do not ask for `XDP_USE_NEED_WAKEUP`: the crate does not show the ring's flag, and a
//! worker has a core of its own, not the one on which the driver runs, so that there is nothing to
//! wake.
//!
//! # Memory and long packets
//! Each queue has `ring_mib` of memory of its own, locked, in frames of 2048 bytes, or of 4096
//! where the MTU asks for it, of which the kernel keeps 256. Packets are looked at where they lie.
//! One that is longer than a frame comes in several and is joined, which copies it: jumbo frames,
//! and in generic mode what GRO merged and veth partners left to be segmented (15 kB at an MTU of
//! 1500 come in one piece). Where the kernel or the driver has no such packets, an interface
//! whose MTU does not fit is refused, and what is longer all the same is dropped and counted.
//!
//! # What XDP does not see
//! It sees what comes in, so `direction = "both"` is refused. There is no time stamp (only with
//! kernel functions of a few drivers): the clock is read when packets are taken out of the ring,
//! once for at most [`ring::BATCH`] of them, which bear the same time. A packet's time is thus
//! late by as long as it lay in the ring: microseconds for a worker that keeps up, and by as much
//! as the ring holds for one that does not. A VLAN tag is seen where it is in the frame; one that
//! the card or the sending end of a veth pair took out is lost in either mode, because generic XDP
//! runs before the kernel would put it anywhere: `ethtool -K eth2 rxvlan off` keeps it in.
//!
//! The card deals the packets to its queues, not the kernel and not we. That both directions of
//! a connection reach one worker takes a card with a symmetric hash (`ethtool -X eth2 xfrm
//! symmetric-xor`, or a symmetric key); on a veth pair the queue is that of the sending end, which
//! the kernel chooses by its own symmetric hash. Not so where the sender bypasses the queueing
//! discipline or asks for a queue, nor for tagged frames from a packet socket: `packet_snd` points
//! behind the tag and the hash looks for it there, so that every packet falls where it will.
//!
//! Sources: `Documentation/networking/af_xdp.rst`, `net/xdp/xsk.c`, `net/core/dev.c`
//! (`dev_xdp_attach`, `netif_receive_generic_xdp`), `drivers/net/veth.c` in Linux 6.18.

mod bpf;
mod device;
mod joined;
mod port;
mod ring;
mod socket;

use std::sync::{Arc, Mutex};

use port::Port;
pub use ring::Queue;

use super::{
    live::{Backend, Missing, RingError, Setup},
    netdev,
};
use crate::{
    config::{Balance, Clock, Direction},
    lock::lock,
};

/// LINKTYPE of all that XDP runs on.
const ETHERNET: u16 = 1;

/// The AF_XDP back end.
#[derive(Debug)]
pub struct AfXdp {
    setup: Arc<Setup>,
    /// The program on each interface, made by the worker that comes first.
    ports: Vec<Mutex<Option<Arc<Port>>>>,
}

impl Backend for AfXdp {
    type Ring = Queue;

    fn new(setup: Arc<Setup>) -> Result<Self, Missing> {
        let missing = |why: &str| Err(Missing(why.to_owned()));
        if !socket::is_supported() {
            return missing("this kernel is built without AF_XDP (CONFIG_XDP_SOCKETS)");
        }
        if setup.direction == Direction::Both {
            return missing(
                "XDP sees only packets that come in; remove `direction = \"both\"` or capture \
                 by `af_packet`",
            );
        }
        if setup.clock == Clock::Hardware {
            return missing(
                "XDP sockets carry no hardware time stamps; remove `clock = \"hardware\"` or \
                 capture by `af_packet`",
            );
        }
        if setup.balance == Balance::RoundRobin {
            return missing(
                "the network card deals packets to its queues by flow; remove `balance = \
                 \"round_robin\"` or capture by `af_packet`",
            );
        }
        let ports = setup.interfaces.iter().map(|_| Mutex::default()).collect();
        Ok(Self { setup, ports })
    }

    fn open(&self, interface: usize, worker: usize) -> Result<Vec<Queue>, RingError> {
        let port = self.port(interface)?;
        let (workers, queues) = (self.setup.workers, port.queues as usize);
        if workers > queues {
            return Err(RingError(device::too_few(&port.name, port.queues, workers)));
        }
        (worker..queues)
            .step_by(workers)
            .map(|queue| socket::open(&port, u32::try_from(queue).unwrap_or(u32::MAX), &self.setup))
            .collect()
    }
}

impl AfXdp {
    /// The program on an interface; a new one where the interface was made anew.
    fn port(&self, interface: usize) -> Result<Arc<Port>, RingError> {
        let name = &self.setup.interfaces[interface];
        let mut slot = lock(&self.ports[interface]);
        let state = netdev::state(name)
            .map_err(|error| RingError(format!("the system does not say about {name}: {error}")))?;
        let Some(state) = state else {
            return Err(RingError(format!(
                "there is no interface `{name}`; `ip link` lists those that there are"
            )));
        };
        if !matches!(netdev::hardware(name), Ok(Some(libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK))) {
            return Err(RingError(format!(
                "{name} carries no Ethernet frames, and XDP takes nothing else; capture from it by \
                 `af_packet`"
            )));
        }
        match &*slot {
            Some(port) if port.index == state.index => Ok(Arc::clone(port)),
            _ => {
                let port = Arc::new(Port::new(name, state.index, self.setup.promiscuous)?);
                *slot = Some(Arc::clone(&port));
                Ok(port)
            }
        }
    }
}
