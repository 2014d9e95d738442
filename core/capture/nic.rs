//! What a network card counts: the packets that it took, and those that it lost before any ring.
//!
//! The kernel's general counters mean the same for every driver, but not every driver fills them
//! in, and `rx_dropped` is no loss: it also counts frames of a protocol that the machine does not
//! speak, which a packet socket has seen all the same. So the [drivers] that are known are asked
//! for the counters of their own that mean loss; of all others the two general ones are taken that
//! mean it. Never both, or a packet would be counted twice.
//!
//! What is lost between driver and rings, in the backlog of a CPU (RPS, or drivers without NAPI),
//! no interface counts; /proc/net/softnet_stat has it for all interfaces together.

mod drivers;
mod link;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io};

use super::{ethtool::Device, netdev};

/// The counters of an interface since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that it took from the wire.
    pub received: u64,
    /// Packets that it dropped, by the driver's own names.
    pub dropped: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of an interface of this thread's network namespace.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn read(name: &str) -> io::Result<Self> {
        let state = netdev::state(name)?.ok_or(io::ErrorKind::NotFound)?;
        let link = link::Statistics::read(state.index)?;
        // A driver may have nothing to say, but one that fails to say it must not look like that:
        // the general counters in the place of its own would be a jump.
        let silent = |error: io::Error| match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => Ok(()),
            _ => Err(error),
        };
        let device = Device::new(name)?;
        let driver = device.driver().or_else(|error| silent(error).map(|()| String::new()))?;
        let own = match drivers::knows(&driver) {
            true => device.statistics().or_else(|error| silent(error).map(|()| Vec::new()))?,
            false => Vec::new(),
        };
        Ok(Self { received: link.rx_packets, dropped: drivers::losses(&driver, &own, &link) })
    }
}
