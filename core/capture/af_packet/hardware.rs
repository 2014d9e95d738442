//! Time stamps of the network card: `Documentation/networking/timestamping.rst`.
//!
//! They are those of the card's own clock. It is the system's time only where something keeps it
//! so, as `phc2sys` does.

use std::{io, os::fd::AsRawFd as _};

use rustix::net::{AddressFamily, SocketType, socket};

use super::{
    RingError,
    socket::{Socket, check},
};
use crate::capture::netdev;

/// Lets the card stamp every packet, and the socket hand its stamps on.
///
/// The setting of the card stays when we end: another program may have come to rely on it.
pub(super) fn stamp(packets: &Socket) -> Result<(), RingError> {
    let name = &packets.name;
    enable(name).map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM) => RingError(format!(
            "`clock = \"hardware\"` needs CAP_NET_ADMIN to set the card of {name}; run as root, \
             or set `clock = \"system\"`"
        )),
        _ => RingError(format!(
            "the network card of {name} does not stamp every packet ({error}); set `clock = \
             \"system\"`"
        )),
    })?;
    let flags = libc::SOF_TIMESTAMPING_RAW_HARDWARE.cast_signed();
    packets.set(libc::SOL_PACKET, libc::PACKET_TIMESTAMP, &flags).map_err(|error| {
        RingError(format!(
            "{name} hands no hardware time stamps on: {error}; set `clock = \"system\"`"
        ))
    })
}

/// Turns stamps for all packets on, unless they are.
fn enable(name: &str) -> io::Result<()> {
    let all = libc::HWTSTAMP_FILTER_ALL.cast_signed();
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    // What another program set for what it sends stays so. Old drivers cannot be asked.
    if ask(name, libc::SIOCGHWTSTAMP, &mut config).is_ok() && config.rx_filter == all {
        return Ok(());
    }
    config = libc::hwtstamp_config { flags: 0, rx_filter: all, ..config };
    ask(name, libc::SIOCSHWTSTAMP, &mut config)?;
    // A driver may turn on more than was asked, never less, and says what.
    if config.rx_filter == all { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

fn ask(name: &str, what: libc::c_ulong, config: &mut libc::hwtstamp_config) -> io::Result<()> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let mut request = netdev::request(name)?;
    request.ifr_ifru.ifru_data = std::ptr::from_mut(config).cast();
    // SAFETY: both requests read and write one `hwtstamp_config` at `ifru_data`, which is
    // borrowed for the call, and read `ifr_name`, which ends with a zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut request) })
}
