//! What the library fills in.
//!
//! Checked against the headers of PF_RING 8.2 to 8.9 on x86-64 (`offsetof`). Of the packet
//! header only the first 48 bytes are used, the part that a ring without `PF_RING_LONG_HEADER`
//! writes: they are the same since 7.8. In 7.2 to 7.6 `if_index` and what follows it lies three
//! bytes earlier, and before 7.2 the header was not packed; `pfring_get_slot_header_len` says 48
//! where the layout is this one.

use std::mem::offset_of;

/// Bytes of the packet header that a ring writes (`pfring_get_slot_header_len`).
pub const SHORT_HEADER: u16 = 48;

/// The beginning of `struct pfring_pkthdr`, as far as a short header goes; packed, so that its
/// fields can only be copied out.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketHeader {
    /// Seconds since 1970.
    pub seconds: i64,
    /// And microseconds.
    pub microseconds: i64,
    /// Bytes that were captured. In copying reads it is not cut to the buffer.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// Nanoseconds since 1970; 0 where the ring has only microseconds.
    pub timestamp_ns: u64,
    /// `PKT_FLAGS_*`.
    pub flags: u32,
    /// 1 for a packet that came in.
    pub rx_direction: u8,
    /// The card's port, where several share one.
    pub port_id: u8,
    /// The card's number, where several share one ring.
    pub device_id: u16,
    /// The interface, by its number in the system.
    pub if_index: i32,
    /// What the cluster chose the ring by.
    pub pkt_hash: u32,
}

const _: () = {
    assert!(size_of::<PacketHeader>() == SHORT_HEADER as usize);
    assert!(align_of::<PacketHeader>() == 1);
    assert!(offset_of!(PacketHeader, seconds) == 0);
    assert!(offset_of!(PacketHeader, microseconds) == 8);
    assert!(offset_of!(PacketHeader, caplen) == 16);
    assert!(offset_of!(PacketHeader, len) == 20);
    assert!(offset_of!(PacketHeader, timestamp_ns) == 24);
    assert!(offset_of!(PacketHeader, flags) == 32);
    assert!(offset_of!(PacketHeader, rx_direction) == 36);
    assert!(offset_of!(PacketHeader, port_id) == 37);
    assert!(offset_of!(PacketHeader, device_id) == 38);
    assert!(offset_of!(PacketHeader, if_index) == 40);
    assert!(offset_of!(PacketHeader, pkt_hash) == 44);
};

/// Where a library writes a packet header: longer than the header of any version (209 bytes
/// with `PF_RING_LONG_HEADER` in 8.x), so that a wrong guess about the version overwrites
/// nothing.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct HeaderBuffer {
    header: PacketHeader,
    rest: [u8; 512 - size_of::<PacketHeader>()],
}

const _: () = assert!(size_of::<HeaderBuffer>() == 512);

impl HeaderBuffer {
    /// A header of zeros.
    pub const fn new() -> Self {
        // SAFETY: both fields are integers, or arrays of them, for which zeros are a value.
        unsafe { std::mem::zeroed() }
    }

    /// What was written last.
    #[inline]
    pub fn get(&self) -> PacketHeader {
        self.header
    }

    /// For `pfring_recv`.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut PacketHeader {
        // From the whole buffer, so that the library may write beyond the short header.
        std::ptr::from_mut(self).cast()
    }
}

impl Default for HeaderBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketHeader {
    /// Nanoseconds since 1970.
    #[inline]
    pub fn time(&self) -> i64 {
        match i64::try_from(self.timestamp_ns) {
            Ok(ns) if ns != 0 => ns,
            _ => {
                let (seconds, microseconds) = (self.seconds, self.microseconds);
                seconds.saturating_mul(1_000_000_000).saturating_add(microseconds * 1000)
            }
        }
    }
}

/// `pfring_stat`: the same since 7.0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Packets that the program has *read*; what arrived is this and what is queued.
    pub recv: u64,
    /// Packets that found the ring full.
    pub drop: u64,
    /// Not written by rings of the kernel.
    pub shunt: u64,
}

const _: () = {
    assert!(size_of::<Stat>() == 24);
    assert!(offset_of!(Stat, recv) == 0);
    assert!(offset_of!(Stat, drop) == 8);
    assert!(offset_of!(Stat, shunt) == 16);
};

#[cfg(test)]
mod tests {
    use super::PacketHeader;

    #[test]
    fn time_is_in_nanoseconds_with_and_without_them() {
        let whole = PacketHeader { seconds: 5, microseconds: 7, ..PacketHeader::default() };
        assert_eq!(whole.time(), 5_000_007_000);
        assert_eq!(PacketHeader { timestamp_ns: 5_000_007_123, ..whole }.time(), 5_000_007_123);
        // Nonsense gives a time, not a panic.
        let wild = PacketHeader { timestamp_ns: u64::MAX, ..whole };
        assert_eq!(wild.time(), 5_000_007_000);
        assert_eq!(PacketHeader { seconds: i64::MAX, ..wild }.time(), i64::MAX);
    }
}
