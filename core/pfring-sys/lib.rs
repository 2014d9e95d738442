//! libpfring, loaded at run time.
//!
//! Only what Ringmill uses: about thirty functions, their constants and the layouts of what
//! they fill in. The library is neither linked nor shipped, so the same binary runs where
//! PF_RING is absent and says so in one sentence.
//!
//! We did not take the published crate of this name (0.0.1, 2018): it links the library, does
//! not compile with today's `libc`, and has the layouts of PF_RING 7.2 to 7.6, whose packet
//! header is shorter than what an 8.x library writes.
//!
//! Sources: `userland/lib/pfring.h` and `kernel/linux/pf_ring.h` of PF_RING 7.0 to 8.9. The
//! prototypes here did not change in between; layouts did (see [`layout`]).

#![allow(unsafe_code, reason = "a binding; every block carries its proof")]

pub mod layout;
pub mod library;

use std::ffi::{c_int, c_uint};

pub use layout::{HeaderBuffer, PacketHeader, Stat};
pub use library::{LIBRARY_VARIABLE, Library, LoadError};

/// A ring (`pfring`): its fields depend on how the library was built and are never touched.
#[repr(C)]
#[derive(Debug)]
pub struct Pfring {
    _private: [u8; 0],
    _pinned: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
}

/// Address family of PF_RING's sockets (`PF_RING` in `pf_ring.h`).
pub const ADDRESS_FAMILY: c_int = 27;

/// Several threads read the ring (`PF_RING_REENTRANT`); copying reads only.
pub const REENTRANT: u32 = 0x2;
/// Packets for other machines, too (`PF_RING_PROMISC`).
pub const PROMISC: u32 = 0x8;
/// The card's own time stamps, where it has them (`PF_RING_HW_TIMESTAMP`).
pub const HW_TIMESTAMP: u32 = 0x20;

/// A ring took no packets yet, or takes no more (`PF_RING_ERROR_RING_NOT_ENABLED`).
pub const NOT_ENABLED: c_int = -12;
/// The kind of ring has no such function (`PF_RING_ERROR_NOT_SUPPORTED`).
pub const NOT_SUPPORTED: c_int = -7;
/// `PF_RING_ERROR_INVALID_ARGUMENT`; also what a filter gets that does not compile.
pub const INVALID_ARGUMENT: c_int = -2;

/// The most bytes of a packet that a ring gives (`MAX_CAPLEN`).
pub const MOST_SNAPLEN: u32 = 65_600;
/// The most rings in a cluster (`MAX_CLUSTER_QUEUES`); as a queue it means the first free one.
pub const MOST_QUEUES: u16 = 64;

/// How a cluster deals packets to its rings (`cluster_type`, which is a C `int`).
///
/// The kernel takes any number without complaint, so this is an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ClusterType {
    /// By addresses, protocol and ports, and in old versions the VLAN (`cluster_per_flow`).
    PerFlow = 0,
    /// One after the other, passing over full rings (`cluster_round_robin`).
    RoundRobin = 1,
    /// By addresses (`cluster_per_flow_2_tuple`).
    PerFlow2Tuple = 2,
    /// By addresses and ports (`cluster_per_flow_4_tuple`).
    PerFlow4Tuple = 3,
    /// By addresses, protocol and ports (`cluster_per_flow_5_tuple`).
    PerFlow5Tuple = 4,
    /// As `PerFlow5Tuple` for TCP, as `PerFlow2Tuple` for the rest
    /// (`cluster_per_flow_tcp_5_tuple`).
    PerFlowTcp5Tuple = 5,
}

/// Which packets a ring takes (`packet_direction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Direction {
    /// Those that come in and those that this machine sends: the library's default.
    Both = 0,
    /// Those that come in.
    Receive = 1,
    /// Those that this machine sends.
    Transmit = 2,
}

/// What a ring may do (`socket_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SocketMode {
    /// Send and receive: the library's default.
    SendAndReceive = 0,
    /// Send.
    Send = 1,
    /// Receive.
    Receive = 2,
}

/// A version as the library and the module give it: `0x080900` is 8.9.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The oldest whose packet header has the fields of [`PacketHeader`] where they are now.
    pub const OLDEST: Self = Self(0x07_0800);
    /// The first of which nothing is known to us.
    pub const UNKNOWN: Self = Self(0x09_0000);
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(number) = *self;
        write!(f, "{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
    }
}

const _: () = assert!(size_of::<ClusterType>() == size_of::<c_int>());
const _: () = assert!(size_of::<Direction>() == size_of::<c_int>());
const _: () = assert!(size_of::<SocketMode>() == size_of::<c_int>());
const _: () = assert!(size_of::<c_uint>() == 4);

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_reads_as_its_authors_write_it() {
        for (number, text) in [(0x08_0900, "8.9.0"), (0x07_0800, "7.8.0"), (0x09_0401, "9.4.1")] {
            assert_eq!(Version(number).to_string(), text);
        }
        assert!(Version(0x07_0600) < Version::OLDEST && Version::OLDEST < Version::UNKNOWN);
    }
}
