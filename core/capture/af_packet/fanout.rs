//! Fanout groups: how the kernel deals the packets of an interface to the workers' sockets.
//!
//! `balance = "flow"` is `PACKET_FANOUT_HASH`. Since Linux 4.8 (and in the stable series of that
//! time) its hash is `__skb_get_hash_symmetric` (`fanout_demux_hash` in `net/packet/af_packet.c`):
//! computed from addresses and ports by the kernel itself, the same for both directions, and
//! never the one that a network card put into the packet, which need not be symmetric.
//!
//! Kernels before 6.6, and the stable series before the autumn of 2023, leave the ports of an IPv6
//! packet out when it has a flow label: there the directions part when only one side sets one
//! ("net/ipv6: SKB symmetric hash should incorporate transport ports").
//!
//! With `PACKET_FANOUT_FLAG_DEFRAG` the fragments of an IPv4 packet, of which only the first has
//! ports, are put together before they are dealt: they come as one packet, and those of which a
//! part is missing do not come at all; the kernel counts them in `nstat` as `IpReasmFails`.
//! Fragments of IPv6 are dealt by their addresses, so not always to the worker of their flow.

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use libc::SOL_PACKET;

use super::{RingError, Setup, program, socket::Socket};
use crate::{
    capture::netdev,
    config::{Balance, Direction},
    lock::lock,
};

/// Members that a group has room for unless one asks for more, which kernels before 5.12 cannot.
const USUAL_ROOM: usize = 256;

/// The groups of a capture, one for each interface.
///
/// The kernel deals a packet to the member whose place is its hash, scaled to the number of
/// members. So the sockets of every group stand in the order of the workers: then the two
/// directions of a flow meet on one worker also when they come in on two interfaces. Members
/// have the places in which they joined, and those in which their sockets were made after the
/// interface was down (`packet_notifier`). So the first worker that comes makes the sockets of
/// all, and the last one lets them all join.
#[derive(Debug)]
pub(super) struct Groups {
    setup: Arc<Setup>,
    /// How many members the groups have room for; 0 where the kernel cannot be told.
    room: u32,
    gatherings: Vec<Mutex<Gathering>>,
}

/// The sockets of an interface until they are a group.
#[derive(Debug, Default)]
struct Gathering {
    /// The number of the interface; when it is made again, it has another one.
    index: u32,
    /// The group, once it is made.
    id: Option<u16>,
    seats: Vec<Seat>,
}

/// Where a worker is with its socket.
#[derive(Debug)]
enum Seat {
    /// It was made for the worker, who has not come.
    Made(Arc<Member>),
    /// The worker is making a ring of it.
    Taken,
    /// The ring is made; weak, because it ends when the worker closes it.
    Ready(Weak<Member>),
}

/// A socket that may be in a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) socket: Socket,
    interface: usize,
    worker: usize,
    joined: AtomicBool,
}

/// Why the kernel does not let a socket join.
enum Refusal {
    /// There is a group of that id that is not ours.
    Busy,
    Other(std::io::Error),
}

impl Groups {
    pub(super) fn new(setup: Arc<Setup>) -> Self {
        let gatherings = setup.interfaces.iter().map(|_| Mutex::default()).collect();
        Self { room: room(setup.workers), gatherings, setup }
    }

    /// The socket of a worker on an interface, closed.
    pub(super) fn socket(&self, interface: usize, worker: usize) -> Result<Arc<Member>, RingError> {
        let name = self.setup.interfaces[interface].as_str();
        let mut gathering = self.gathering(interface);
        let index = Socket::index(name)?;
        if gathering.index != index {
            let seat = |worker| Ok(Seat::Made(Member::new(name, index, interface, worker)?));
            let seats = (0..self.setup.workers).map(seat).collect::<Result<_, RingError>>()?;
            *gathering = Gathering { index, id: None, seats };
        }
        match std::mem::replace(&mut gathering.seats[worker], Seat::Taken) {
            Seat::Made(member) => Ok(member),
            // Its ring could not be made, or was closed, and it tries again.
            Seat::Taken | Seat::Ready(_) => Member::new(name, index, interface, worker),
        }
    }

    /// The ring of a socket is made. Once all are, they join.
    pub(super) fn ready(&self, member: &Arc<Member>) -> Result<(), RingError> {
        let mut gathering = self.gathering(member.interface);
        if gathering.index != member.socket.index {
            return Ok(()); // The interface was made again; there will be another ring.
        }
        gathering.seats[member.worker] = Seat::Ready(Arc::downgrade(member));
        let mut all = Vec::new();
        for seat in &gathering.seats {
            let Seat::Ready(member) = seat else { return Ok(()) };
            all.extend(member.upgrade());
        }
        all.iter().try_for_each(|member| self.join(member, &mut gathering))
    }

    /// Packets are about to be let in: a socket whose group did not come together joins alone,
    /// because outside of it it would get the packets of all.
    pub(super) fn enable(&self, member: &Member) -> Result<(), RingError> {
        let mut gathering = self.gathering(member.interface);
        if gathering.index != member.socket.index {
            return Ok(()); // The interface is gone, and the socket gets nothing any more.
        }
        self.join(member, &mut gathering)
    }

    fn gathering(&self, interface: usize) -> std::sync::MutexGuard<'_, Gathering> {
        lock(&self.gatherings[interface])
    }

    /// Puts a socket into the group of its interface, if there is to be one.
    fn join(&self, member: &Member, gathering: &mut Gathering) -> Result<(), RingError> {
        let (setup, socket) = (&*self.setup, &member.socket);
        let needless = setup.workers == 1 && setup.cluster.is_none();
        if needless || member.joined.load(Relaxed) {
            return Ok(());
        }
        let flags = flags(setup);
        let known = match setup.cluster {
            Some(first) => Some(self.chosen(first, member)?),
            None => gathering.id,
        };
        let (id, flags) = match known {
            Some(id) => (id, flags),
            None => (0, flags | u16::try_from(libc::PACKET_FANOUT_FLAG_UNIQUEID).unwrap_or(0)),
        };
        self.enter(socket, id, flags).map_err(|refusal| sentence(socket, id, refusal))?;
        member.joined.store(true, Relaxed);
        if known.is_none() {
            let mut group: libc::c_int = 0;
            socket.get(SOL_PACKET, libc::PACKET_FANOUT, &mut group).map_err(|error| {
                super::socket::refused(&socket.name, "does not say its fanout group", &error)
            })?;
            // The id is in the lower half, see `packet_getsockopt`.
            gathering.id = Some((group.cast_unsigned() & 0xffff) as u16);
        }
        Ok(())
    }

    /// The id of an interface's group, when the config says that of the first.
    fn chosen(&self, first: u16, member: &Member) -> Result<u16, RingError> {
        u16::try_from(usize::from(first) + member.interface).map_err(|_| {
            RingError(format!(
                "`cluster = {first}` leaves no id up to 65535 for the fanout group of {}; choose \
                 a smaller one",
                member.socket.name
            ))
        })
    }

    fn enter(&self, socket: &Socket, id: u16, type_flags: u16) -> Result<(), Refusal> {
        let joined = if self.room == 0 {
            let word = u32::from(id) | u32::from(type_flags) << 16;
            socket.set(SOL_PACKET, libc::PACKET_FANOUT, &word)
        } else {
            let group = libc::fanout_args { id, type_flags, max_num_members: self.room };
            socket.set(SOL_PACKET, libc::PACKET_FANOUT, &group)
        };
        joined.map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => Refusal::Busy,
            _ => Refusal::Other(error),
        })
    }
}

impl Member {
    fn new(
        name: &str,
        index: u32,
        interface: usize,
        worker: usize,
    ) -> Result<Arc<Self>, RingError> {
        let socket = Socket::new(name, index)?;
        socket.filter(program::CLOSED)?;
        Ok(Arc::new(Self { socket, interface, worker, joined: AtomicBool::new(false) }))
    }
}

/// What kind of group, and what it does with the packets.
fn flags(setup: &Setup) -> u16 {
    let mut flags = match setup.balance {
        Balance::Flow => libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG,
        Balance::RoundRobin => libc::PACKET_FANOUT_LB,
    };
    if setup.direction == Direction::Receive {
        // In a group it is the group's flag that counts, not the socket's. Kernels that do not
        // know it take it and do nothing.
        flags |= libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    }
    u16::try_from(flags).unwrap_or_default()
}

/// How many members our groups have room for, as told to the kernel.
///
/// It lets a socket join a group of the same id only if both name the same room. So we name one
/// that nobody else will, and another program with the same configuration, which would silently
/// take half of the packets, is refused. At 8 bytes a place this costs half a MiB at most.
fn room(workers: usize) -> u32 {
    let mut random = [0; 2];
    if !kernel_takes_room() || getrandom::fill(&mut random).is_err() {
        return 0;
    }
    let least = u32::try_from(workers.max(USUAL_ROOM)).unwrap_or(u32::MAX);
    least + 1 + u32::from(u16::from_ne_bytes(random)) % (u32::from(u16::MAX) - least)
}

/// Whether this is Linux 5.12 or later. There is no better way to ask: an old kernel answers with
/// the same error as a new one to which the group is not right.
fn kernel_takes_room() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_since(&release, (5, 12))
}

fn is_since(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= version
}

fn sentence(socket: &Socket, id: u16, refusal: Refusal) -> RingError {
    let name = &socket.name;
    let running = netdev::state(name).is_ok_and(|state| state.is_some_and(|it| it.running));
    RingError(match refusal {
        Refusal::Busy if !running => format!(
            "{name} is down, and this kernel deals packets to several workers only of interfaces \
             that are up; `ip link set {name} up`"
        ),
        Refusal::Busy => format!(
            "fanout group {id} of {name} is in use by another program, or by another interface; \
             set `cluster` to a number that is free"
        ),
        Refusal::Other(error) if error.raw_os_error() == Some(libc::ENOSPC) => format!(
            "fanout group {id} of {name} is full: this kernel lets {USUAL_ROOM} sockets into a \
             group; lower `workers`"
        ),
        Refusal::Other(error) => {
            format!("{name} cannot be shared by several workers: {error}; set `workers = 1`")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{is_since, room};

    #[test]
    fn kernel_versions_are_compared_by_number() {
        let cases = [
            ("5.12.0", true),
            ("5.9.16-generic", false),
            ("6.1.0-23-amd64", true),
            ("4.18.0-553.el8_10.x86_64", false),
            ("10.0-rc1", true),
            ("", false),
            ("linux", false),
        ];
        for (release, since) in cases {
            assert_eq!(is_since(release, (5, 12)), since, "{release}");
        }
    }

    #[test]
    fn a_group_has_room_for_all_workers_and_no_more_than_the_kernel_gives() {
        for workers in [1, 256, 1024] {
            for _ in 0..1000 {
                let room = room(workers);
                let fits = room > u32::try_from(workers).unwrap() && room <= 65_536;
                assert!(room == 0 || fits, "{workers} workers, room for {room}");
            }
        }
    }
}
