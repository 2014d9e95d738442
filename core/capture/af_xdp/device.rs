//! What AF_XDP has to know of an interface.

use std::{fs, io, os::fd::AsRawFd as _};

use rustix::net::{AddressFamily, SocketType, socket};

use crate::capture::netdev;

/// The receive queues of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queues {
    pub(super) count: u32,
    /// The word that ethtool(8) has for them: they share their interrupt with a transmit queue.
    combined: bool,
}

impl Queues {
    /// Asks the driver; a driver that does not say has those that `/sys` shows, or one.
    pub(super) fn of(name: &str) -> Self {
        /// `struct ethtool_channels` of `include/uapi/linux/ethtool.h`.
        #[repr(C)]
        #[derive(Default)]
        struct Channels {
            cmd: u32,
            max_rx: u32,
            max_tx: u32,
            max_other: u32,
            max_combined: u32,
            rx: u32,
            tx: u32,
            other: u32,
            combined: u32,
        }
        const GET_CHANNELS: u32 = 0x3c;
        let mut channels = Channels { cmd: GET_CHANNELS, ..Channels::default() };
        // SAFETY: ETHTOOL_GCHANNELS writes a `struct ethtool_channels`, which this is.
        let asked = unsafe { ethtool(name, &raw mut channels) };
        let count = channels.rx.saturating_add(channels.combined);
        if asked.is_ok() && count > 0 {
            return Self { count, combined: channels.max_combined > 0 };
        }
        // The directory is that of the network namespace in which `/sys` was mounted, which may
        // have another interface of this name: then there are more or fewer, and bind(2) refuses.
        let queues = fs::read_dir(format!("/sys/class/net/{name}/queues"));
        let is_receive = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"rx-"))
        };
        let count =
            queues.map_or(1, |queues| queues.filter_map(|e| is_receive(e).then_some(())).count());
        Self { count: u32::try_from(count).unwrap_or(1).max(1), combined: false }
    }

    /// What to do where more workers than these want a queue each.
    pub(super) fn too_few(self, name: &str, workers: usize) -> String {
        let (count, word) = (self.count, if self.combined { "combined" } else { "rx" });
        let queues = if count == 1 { "queue" } else { "queues" };
        format!(
            "{name} has {count} receive {queues} and AF_XDP needs one for each of the {workers} \
             workers: set `workers = {count}`, or run `ethtool -L {name} {word} {workers}`"
        )
    }
}

/// Whether the interface takes VLAN tags out of the frames that it receives.
pub(super) fn strips_vlan(name: &str) -> bool {
    /// `struct ethtool_value` of `include/uapi/linux/ethtool.h`.
    #[repr(C)]
    struct Value {
        cmd: u32,
        data: u32,
    }
    const GET_FLAGS: u32 = 0x25;
    const FLAG_RXVLAN: u32 = 1 << 8;
    let mut value = Value { cmd: GET_FLAGS, data: 0 };
    // SAFETY: ETHTOOL_GFLAGS writes a `struct ethtool_value`, which this is.
    unsafe { ethtool(name, &raw mut value) }.is_ok() && value.data & FLAG_RXVLAN != 0
}

/// The longest packet of an interface without its Ethernet header, in bytes.
pub(super) fn mtu(name: &str) -> io::Result<u32> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let mut request = netdev::request(name)?;
    // SAFETY: SIOCGIFMTU reads `ifr_name`, which ends with a zero, and writes `ifr_mtu`, both
    // within `request`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has written `ifr_mtu`.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

/// Asks the driver of an interface.
///
/// # Safety
/// `question` is valid for what the command in its first word writes.
unsafe fn ethtool<T>(name: &str, question: *mut T) -> io::Result<()> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let mut request = netdev::request(name)?;
    request.ifr_ifru.ifru_data = question.cast();
    // SAFETY: SIOCETHTOOL reads `ifr_name`, which ends with a zero, and follows `ifr_data`, of
    // which the caller says that it is valid.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
