//! PF_RING: one ring of the kernel module for each worker and interface, all in one cluster.
//!
//! libpfring is loaded at run time ([`pfring_sys`]); without it, or without its kernel module,
//! the next back end is tried. What the library and the module do was seen by running 8.9 and
//! read in its source; where this module takes care it says of what.
//!
//! **Clusters.** A cluster deals packets to its rings by the number of each, so the rings of one
//! worker have its number everywhere, and both directions of a connection meet on one worker
//! even when they come in on two interfaces. The kernel refuses rings of different interfaces
//! in one cluster: the first interface has the `cluster` of the config, the second the next id,
//! and so on. Without `cluster` the ids follow from the process id, because they hold for the
//! whole machine and two engines with one default would halve each other's packets. A single
//! worker without `cluster` joins none.
//!
//! `balance = "flow"` is `cluster_per_flow_5_tuple`: addresses, protocol and ports. Not
//! `cluster_per_flow`, which had the VLAN in it in older versions, and mirrors give the two
//! directions different ones; not the 2-tuple, whose sum of two addresses gave 30 and 1260 of
//! 1290 packets to two rings where the 5-tuple gave 670 and 620. The hash is a plain sum, so
//! regular addresses and ports can still fill rings unevenly, and packets without IP all go to
//! one ring. The fragments of an IPv4 datagram stay together (`enable_frag_coherence`, on by
//! default). Where several clusters exist on a machine the module hashes a packet once, by the
//! type of the first: other programs' clusters should be of a flow type, too.
//!
//! **Memory.** The size of a ring is not ours to choose (`ring_mib` has no effect): the module
//! parameter `min_num_slots` sets it, 6.5 MB for 4096 slots at a snaplen of 1536. Above 1600
//! the number of slots falls with the snaplen (749 at 9000), but never below 512, which takes
//! 33.6 MB at the most that PF_RING can capture, 65600 bytes. Packets lie in it packed by their
//! real length, so a great snaplen does not make a ring hold fewer small packets. A snaplen
//! beyond 65600 is cut to that. A batch is copied out of the ring, because it keeps only the
//! packet readable that it gave last; see `arena`.
//!
//! **Filters** are compiled by libpfring, once for each ring: one that names a host asks the name
//! server as often. Where the kernel does not take the program the library runs it, and what it
//! keeps out is counted as filtered.
//!
//! An interface is promiscuous as long as a ring on it is open, also if the engine is killed: the
//! module counts the rings (`SO_SET_IFF_PROMISC`, 8.9).
//!
//! `block_timeout_ms` has no effect: a ring is readable with its first packet.

mod arena;

mod probe;
mod ring;

use std::{process, sync::Arc};

use pfring_sys::{ClusterType, Library, MOST_QUEUES, MOST_SNAPLEN, Version};

pub use probe::leaks;
pub use ring::{Cluster, Options, Ring};

use super::live::{self, Missing, RingError, Setup};
use crate::config::{Balance, Clock, Direction};

/// What `engine` says on a machine with the library and without the module.
const NO_MODULE: &str = "PF_RING's kernel module is not loaded; `modprobe pf_ring`";

/// The rings of a capture.
#[derive(Debug)]
pub struct PfRing {
    library: Arc<Library>,
    setup: Arc<Setup>,
    /// The cluster of the first interface; `None` for a single ring that joins none.
    cluster: Option<u16>,
}

impl live::Backend for PfRing {
    type Ring = Ring;

    fn new(setup: Arc<Setup>) -> Result<Self, Missing> {
        let library = library()?;
        if !probe::has_module(&library) {
            return Err(Missing(NO_MODULE.to_owned()));
        }
        let cluster = cluster(&setup, process::id());
        if setup.snaplen > MOST_SNAPLEN {
            tracing::debug!("PF_RING captures {MOST_SNAPLEN} bytes of a packet at most");
        }
        if let (Some(id), None) = (cluster, setup.cluster) {
            tracing::info!("the rings join PF_RING cluster {id}; `cluster` sets another");
        }
        Ok(Self { library: Arc::new(library), setup, cluster })
    }

    fn open(&self, interface: usize, worker: usize) -> Result<Vec<Ring>, RingError> {
        let setup = &self.setup;
        let name = &setup.interfaces[interface];
        let options = Options {
            snaplen: setup.snaplen,
            promiscuous: setup.promiscuous,
            transmitted: setup.direction == Direction::Both,
            hardware_clock: setup.clock == Clock::Hardware,
            filter: setup.filter.as_ref().map(|filter| filter.text().to_owned()),
            cluster: self.member(interface, worker)?,
        };
        let ring = Ring::open(&self.library, name, &options).map_err(|error| {
            // libpfring does not pass on what libpcap says of a filter.
            let filter = setup.filter.as_ref().map(|filter| filter.for_link(ring::ETHERNET));
            match filter {
                Some(Err(why)) => RingError(why.to_string()),
                _ => error,
            }
        })?;
        if (interface, worker) == (0, 0) {
            self.compare_versions(&ring);
        }
        Ok(vec![ring])
    }
}

impl PfRing {
    /// The place of a worker's ring on an interface.
    fn member(&self, interface: usize, worker: usize) -> Result<Option<Cluster>, RingError> {
        let Some(first) = self.cluster else { return Ok(None) };
        let Setup { workers, interfaces, balance, .. } = &*self.setup;
        let most = usize::from(MOST_QUEUES);
        if *workers > most {
            return Err(RingError(format!(
                "a PF_RING cluster has {most} rings at most; `workers` is {workers}"
            )));
        }
        let id = u16::try_from(interface).ok().and_then(|more| first.checked_add(more));
        let (Some(id), Ok(member)) = (id, u16::try_from(worker)) else {
            return Err(RingError(format!(
                "each interface has a PF_RING cluster of its own, from {first} on, and the last id \
                 is 65535; set `cluster` to {} or less",
                usize::from(u16::MAX) + 1 - interfaces.len()
            )));
        };
        let together = *balance == Balance::Flow && interfaces.len() > 1 && *workers > 1;
        if together && self.library.set_cluster_consumer.is_none() {
            return Err(RingError(format!(
                "libpfring {} cannot keep the connections of two interfaces on one worker; \
                 install PF_RING 8.6.1 or newer, or run one engine for each interface",
                self.library.version()
            )));
        }
        let kind = match balance {
            Balance::Flow => ClusterType::PerFlow5Tuple,
            Balance::RoundRobin => ClusterType::RoundRobin,
        };
        Ok(Some(Cluster { id, member, kind }))
    }

    fn compare_versions(&self, ring: &Ring) {
        let (library, module) = (self.library.version(), ring.module_version());
        if module.is_some_and(|module| module != library) {
            let module = module.map(|module| module.to_string()).unwrap_or_default();
            tracing::warn!(
                "libpfring is version {library} and its kernel module {module}; install the same \
                 version of both"
            );
        }
        if library >= Version::UNKNOWN {
            tracing::warn!(
                "libpfring {library} is newer than what the engine was tried with (8.9); compare \
                 the ledger's counts with those of /proc/net/pf_ring"
            );
        }
    }
}

/// The library, if it is there and not too old.
///
/// # Errors
/// One sentence, with what to do.
pub fn library() -> Result<Library, Missing> {
    let library = Library::load().map_err(|error| Missing(error.to_string()))?;
    let version = library.version();
    if version < Version::OLDEST {
        return Err(Missing(format!(
            "libpfring {version} is too old; install PF_RING {} or newer",
            Version::OLDEST
        )));
    }
    Ok(library)
}

/// The cluster of the first interface.
fn cluster(setup: &Setup, process: u32) -> Option<u16> {
    if setup.cluster.is_some() || setup.workers == 1 {
        return setup.cluster;
    }
    // Room for the clusters of the other interfaces, and never 0.
    let interfaces = u32::try_from(setup.interfaces.len()).unwrap_or(1);
    let ids = u32::from(u16::MAX).saturating_sub(interfaces).max(1);
    u16::try_from(1 + process % ids).ok()
}

#[cfg(test)]
mod tests {
    use super::cluster;
    use crate::{
        capture::live::Setup,
        config::{Balance, Clock, Direction},
    };

    fn setup(workers: usize, interfaces: usize, cluster: Option<u16>) -> Setup {
        Setup {
            interfaces: (0..interfaces).map(|number| format!("eth{number}")).collect(),
            workers,
            cluster,
            balance: Balance::Flow,
            promiscuous: true,
            direction: Direction::Receive,
            clock: Clock::System,
            snaplen: 262_144,
            ring_bytes: 1 << 20,
            block_timeout_ms: 10,
            filter: None,
        }
    }

    #[test]
    fn clusters_without_a_number_get_one_that_is_valid() {
        let cases = [
            (setup(1, 1, None), 7, None),
            (setup(1, 1, Some(9)), 7, Some(9)),
            (setup(2, 1, Some(9)), 7, Some(9)),
            (setup(2, 1, None), 0, Some(1)),
            (setup(2, 1, None), 41, Some(42)),
        ];
        for (setup, process, expected) in cases {
            assert_eq!(cluster(&setup, process), expected, "{setup:?}");
        }
        for process in (0..5_000_000).step_by(997) {
            let first = cluster(&setup(2, 3, None), process).unwrap();
            assert!(first > 0 && first.checked_add(2).is_some(), "{process}: {first}");
        }
    }
}
