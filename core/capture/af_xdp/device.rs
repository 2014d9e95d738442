//! What AF_XDP has to know of an interface.

use std::{fs, io, os::fd::AsRawFd as _};

use rustix::net::{AddressFamily, SocketType, socket};

use crate::capture::{ethtool::Device, netdev};

/// Drivers that count among their own losses what our ring refused, for they see only that the
/// packet could not be handed over: `veth_xdp_rcv_skb` in drivers/net/veth.c (`rx_drops`),
/// `receive_small_xdp` in drivers/net/virtio_net.c (`drops`). Generic XDP goes around the driver.
const COUNT_OURS: [&str; 2] = ["veth", "virtio_net"];

/// How many receive queues an interface has. Where its driver does not say: those that `/sys` shows,
/// or one.
pub(super) fn queues(name: &str) -> u32 {
    if let Ok(count @ 1..) = Device::new(name).and_then(|device| device.queues()) {
        return count;
    }
    // The directory is that of the network namespace in which `/sys` was mounted, which may have
    // another interface of this name: then there are more or fewer, and bind(2) refuses.
    let Ok(queues) = fs::read_dir(format!("/sys/class/net/{name}/queues")) else { return 1 };
    let names = queues.flatten().map(|queue| queue.file_name());
    let count = names.filter(|name| name.as_encoded_bytes().starts_with(b"rx-")).count();
    u32::try_from(count).unwrap_or(1).max(1)
}

/// What to do where more workers than these want a queue each.
pub(super) fn too_few(name: &str, count: u32, workers: usize) -> String {
    let queues = if count == 1 { "queue" } else { "queues" };
    format!(
        "{name} has {count} receive {queues} and AF_XDP needs one for each of the {workers} \
         workers: set `workers = {count}`, or run `ethtool -L {name} combined {workers}` (`rx \
         {workers}` where `ethtool -l {name}` shows no combined ones)"
    )
}

/// Whether the interface takes VLAN tags out of the frames that it receives.
pub(super) fn strips_vlan(name: &str) -> bool {
    let features = Device::new(name).and_then(|device| device.features()).unwrap_or_default();
    features.iter().any(|(feature, on)| *on && feature == "rx-vlan-hw-parse")
}

/// Whether the driver counts as its own loss what our ring refused.
pub(super) fn counts_ours(name: &str) -> bool {
    let driver = Device::new(name).and_then(|device| device.driver()).unwrap_or_default();
    COUNT_OURS.contains(&driver.as_str())
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
