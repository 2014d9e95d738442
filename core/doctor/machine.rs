//! What is known about a machine.

use std::path::PathBuf;

use super::sample::Sample;
use crate::{
    capture::ethtool::{RingSizes, Rss},
    config::Backend,
};

/// A machine, as far as a capture depends on it. What could not be found out is `None`.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The interfaces of the config, in its order.
    pub interfaces: Vec<Interface>,
    /// The capture files of the config: how many there are, or which is missing.
    pub files: Option<Result<usize, String>>,
    /// Cores that are online, each with its NUMA node.
    pub cores: Vec<(usize, Option<u32>)>,
    /// The capabilities of this process, a bit for each; see capabilities(7).
    pub capabilities: u64,
    /// Where the engine lies.
    pub executable: PathBuf,
    /// The most files that this process may have open.
    pub open_files: Option<u64>,
    /// Bytes that this process may lock in memory; `None` is without limit.
    pub locked_memory: Option<u64>,
    /// Bytes of memory that are free or can be freed.
    pub free_memory: Option<u64>,
    /// The back ends of the config that this machine has not, each with a sentence that says why
    /// and, after a semicolon, what to do.
    pub missing: Vec<(Backend, String)>,
    /// PF_RING, where it can be used.
    pub pf_ring: PfRing,
    /// What was seen on the interfaces, or why nothing was looked at.
    pub sample: Option<Result<Sample, String>>,
}

/// An interface.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// There is one of that name.
    pub exists: bool,
    /// It is set up.
    pub up: bool,
    /// It has a carrier, too.
    pub running: bool,
    /// It takes packets for other machines, too.
    pub promiscuous: bool,
    /// Bytes of the largest packet, without its link header.
    pub mtu: Option<u32>,
    /// The features that are on, by the kernel's names.
    pub features: Vec<String>,
    /// It joins packets of a connection (GRO).
    pub gro: Option<bool>,
    /// Its receive rings.
    pub rings: Option<RingSizes>,
    /// How many receive queues it has.
    pub queues: Option<u32>,
    /// How it deals packets to them.
    pub rss: Option<Rss>,
    /// The NUMA node that its card is plugged into.
    pub node: Option<u32>,
}

/// What there is of PF_RING.
#[derive(Clone, Debug, Default)]
pub struct PfRing {
    /// The release of the kernel module, where it tells.
    pub module: Option<String>,
    /// The release of the library.
    pub library: Option<String>,
    /// The library leaves sockets open that were closed.
    pub leaks: Option<bool>,
}
