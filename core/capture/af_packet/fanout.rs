//! Fanout groups: how the kernel deals the packets of an interface to the workers' sockets.
//!
//! `balance = "flow"` is `PACKET_FANOUT_HASH`. Since Linux 4.8 (and in the stable series of that
//! time) its hash is `__skb_get_hash_symmetric` (`fanout_demux_hash` in `net/packet/af_packet.c`):
//! computed from addresses and ports by the kernel itself, the same for both directions, and
//! never the one that a network card put into the packet, which need not be symmetric.
//!
//! With `PACKET_FANOUT_FLAG_DEFRAG` the fragments of an IPv4 packet, of which only the first has
//! ports, are put together before they are dealt: they come as one packet, and those of which a
//! part is missing do not come at all; the kernel counts them in `nstat` as `IpReasmFails`.
//! Fragments of IPv6 are dealt by their addresses, so not always to the worker of their flow.

use std::sync::{Mutex, PoisonError};

use libc::SOL_PACKET;

use super::{RingError, Setup, socket::Socket};
use crate::capture::netdev;
use crate::config::{Balance, Direction};

/// Members that a group has room for unless one asks for more, which kernels before 5.12 cannot.
const USUAL_ROOM: usize = 256;

/// The groups of a capture, one for each interface.
#[derive(Debug)]
pub(super) struct Groups {
    /// How many members the groups have room for; 0 where the kernel cannot be told.
    room: u32,
    /// For each interface, the group with an id that the kernel chose.
    made: Mutex<Vec<Option<Made>>>,
}

/// A group that was made for an interface.
#[derive(Clone, Copy, Debug)]
struct Made {
    /// The number of the interface; when it comes back with another one it needs another group.
    index: u32,
    id: u16,
}

/// Why the kernel does not let a socket join.
enum Refusal {
    /// There is a group of that id that is not ours.
    Busy,
    Other(std::io::Error),
}

impl Groups {
    pub(super) fn new(setup: &Setup) -> Self {
        let made = Mutex::new(vec![None; setup.interfaces.len()]);
        Self { room: room(setup.workers), made }
    }

    /// Puts a socket into the group of its interface, if there is to be one.
    pub(super) fn join(
        &self,
        socket: &Socket,
        setup: &Setup,
        interface: usize,
    ) -> Result<(), RingError> {
        let flags = flags(setup);
        match setup.cluster {
            Some(first) => {
                let id = u16::try_from(usize::from(first) + interface).map_err(|_| {
                    RingError(format!(
                        "`cluster = {first}` leaves no id up to 65535 for the fanout group of {}; \
                         choose a smaller one",
                        socket.name
                    ))
                })?;
                self.enter(socket, id, flags).map_err(|refusal| sentence(socket, id, refusal))
            }
            None if setup.workers == 1 => Ok(()),
            None => self.join_any(socket, interface, flags),
        }
    }

    /// Joins the group that the first worker made, or makes it.
    fn join_any(&self, socket: &Socket, interface: usize, flags: u16) -> Result<(), RingError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Made { index, id }) = made[interface]
            && index == socket.index
        {
            return self.enter(socket, id, flags).map_err(|refusal| sentence(socket, id, refusal));
        }
        let unique = u16::try_from(libc::PACKET_FANOUT_FLAG_UNIQUEID).unwrap_or_default();
        self.enter(socket, 0, flags | unique).map_err(|refusal| sentence(socket, 0, refusal))?;
        let mut chosen: libc::c_int = 0;
        socket.get(SOL_PACKET, libc::PACKET_FANOUT, &mut chosen).map_err(|error| {
            super::socket::refused(&socket.name, "does not say its fanout group", &error)
        })?;
        // The id is in the lower half, see `packet_getsockopt`.
        let id = (chosen.cast_unsigned() & 0xffff) as u16;
        made[interface] = Some(Made { index: socket.index, id });
        Ok(())
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
