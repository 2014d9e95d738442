//! Packets, as stages see them: a batch of descriptors that point into the capture ring.
//!
//! A [`Packet`] is one cache line. It borrows its frame for the lifetime of the batch and is
//! neither `Clone` nor `Copy`, so safe code cannot keep it after the slot has gone back to the
//! ring. The fields that stages fill in are offsets rather than slices: they are checked when
//! they are used, because the stage that wrote them may be another author's plugin.

use abi_stable::{
    StableAbi,
    std_types::{ROption, RSlice, RVec},
};

use crate::{
    Encapsulation,
    abi::{self, Arena, Keeper},
};

/// The most packets that one [`Batch`] holds.
///
/// At 256 a virtual call per stage is lost in the noise and 16 KiB of descriptors still stay
/// in the first-level cache.
pub const BATCH: usize = 256;

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// What the payload of a packet is, by its first bytes.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Class(pub u8);

impl Class {
    /// No stage has looked yet.
    pub const UNKNOWN: Self = Self(0);
    /// There is no payload.
    pub const NONE: Self = Self(1);
    /// Begins with an HTTP/1 method and a space.
    pub const HTTP_REQUEST: Self = Self(2);
    /// Begins with `HTTP/1.`.
    pub const HTTP_RESPONSE: Self = Self(3);
    /// A TLS record.
    pub const TLS: Self = Self(4);
    /// A DNS message.
    pub const DNS: Self = Self(5);
    /// A QUIC packet.
    pub const QUIC: Self = Self(6);
    /// An SSH identification line.
    pub const SSH: Self = Self(7);
    /// None of these.
    pub const OTHER: Self = Self(8);

    /// The names, in the order of the numbers.
    pub const NAMES: [&'static str; 9] =
        ["unknown", "none", "http_request", "http_response", "tls", "dns", "quic", "ssh", "other"];
}

/// Why a packet was dropped: a number that [`Host::reason`](crate::Host::reason) gave out.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub(crate) u8);

impl Reason {
    /// The reason with this number, 1 to 255: for the engine, which keeps their names.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }
}

/// Where the layers of a frame lie, in bytes from the start of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// 4, 6, or 0 when there is no IP.
    pub ip_version: u8,
    /// The transport protocol (IANA number; 6 is TCP, 17 is UDP).
    pub protocol: u8,
    /// The outermost VLAN tag with its priority bits; 0 when there is none.
    pub vlan: u16,
    /// Start of the IP header.
    pub l3: u16,
    /// Start of the transport header.
    pub l4: u16,
    /// Start of the transport payload.
    pub payload: u16,
    /// Bytes of payload that were captured, without link-layer padding.
    pub payload_len: u32,
    /// The payload on the wire was longer than what was captured.
    pub truncated: bool,
    /// The control bits of the TCP header (RFC 9293, section 3.1: CWR is 128, FIN is 1); 0 when
    /// there is no TCP.
    pub tcp_flags: u8,
}

const TRUNCATED: u16 = 1;
/// Above the bits of our own lie those of the TCP header: most stages that ask for a flag need
/// nothing else of the frame.
const TCP_FLAGS: u32 = 8;
const ETHERNET: u16 = 1;

/// One captured frame and what the stages have found out about it.
#[repr(C, align(64))]
#[derive(StableAbi, Debug)]
pub struct Packet<'a> {
    frame: RSlice<'a, u8>,
    time: Timestamp,
    flow_hash: u64,
    wire_len: u32,
    payload_len: u32,
    l3: u16,
    l4: u16,
    payload: u16,
    vlan: u16,
    link: u16,
    interface: u16,
    ip_version: u8,
    protocol: u8,
    class: Class,
    verdict: u8,
    flags: u16,
    encapsulation: Encapsulation,
}

const _: () = assert!(size_of::<Packet<'_>>() == 64, "a descriptor is one cache line");

impl<'a> Packet<'a> {
    /// A frame that was just captured. `wire_len` is its length on the wire in bytes, at
    /// least `frame.len()`; `link` is its LINKTYPE number.
    #[inline]
    #[must_use]
    pub fn new(frame: &'a [u8], time: Timestamp, wire_len: u32, link: u16, interface: u16) -> Self {
        Self {
            frame: RSlice::from_slice(frame),
            time,
            flow_hash: 0,
            wire_len,
            payload_len: 0,
            l3: 0,
            l4: 0,
            payload: 0,
            vlan: 0,
            link,
            interface,
            ip_version: 0,
            protocol: 0,
            class: Class::UNKNOWN,
            verdict: 0,
            flags: 0,
            encapsulation: Encapsulation::default(),
        }
    }

    /// As it was made, with the VLAN tag (TCI) that the capture took out of the frame; 0 if none.
    #[inline]
    #[must_use]
    pub fn with_vlan(mut self, tag: u16) -> Self {
        self.vlan = tag;
        self
    }

    /// A frame of link type Ethernet, for tests.
    #[must_use]
    pub fn ethernet(frame: &'a [u8], time: Timestamp) -> Self {
        Self::new(frame, time, u32::try_from(frame.len()).unwrap_or(u32::MAX), ETHERNET, 0)
    }

    /// The captured bytes.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> &'a [u8] {
        self.frame.as_slice()
    }

    /// When the frame was captured.
    #[inline]
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Length of the frame on the wire, in bytes; more than `frame().len()` where the capture
    /// cut it.
    #[inline]
    #[must_use]
    pub fn wire_len(&self) -> u32 {
        self.wire_len
    }

    /// The LINKTYPE number of the frame (see <https://www.tcpdump.org/linktypes.html>).
    #[inline]
    #[must_use]
    pub fn link(&self) -> u16 {
        self.link
    }

    /// Number of the capture interface.
    #[inline]
    #[must_use]
    pub fn interface(&self) -> u16 {
        self.interface
    }

    /// Puts another frame in the place of the captured one, such as the datagram that this
    /// packet completed; [`Keeper::keep`] makes its bytes live long enough. `link` is its
    /// LINKTYPE number. What was found out about the old frame must be found out again, but for
    /// the VLAN tag and the encapsulation, which stay.
    pub fn replace_frame(&mut self, frame: &'a [u8], link: u16) {
        self.frame = RSlice::from_slice(frame);
        self.wire_len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.link = link;
        self.set_layers(&Layers::default());
        self.flow_hash = 0;
        self.class = Class::UNKNOWN;
    }

    /// Records where the layers lie.
    #[inline]
    pub fn set_layers(&mut self, layers: &Layers) {
        self.ip_version = layers.ip_version;
        self.protocol = layers.protocol;
        // A tag that the kernel took out of the frame was outside of those that are in it.
        if self.vlan == 0 {
            self.vlan = layers.vlan;
        }
        self.l3 = layers.l3;
        self.l4 = layers.l4;
        self.payload = layers.payload;
        self.payload_len = layers.payload_len;
        let tcp_flags = u16::from(layers.tcp_flags) << TCP_FLAGS;
        self.flags = (u16::from(layers.truncated) * TRUNCATED) | tcp_flags;
    }

    /// Where the layers lie; all zero before a stage has decoded the frame.
    #[inline]
    #[must_use]
    pub fn layers(&self) -> Layers {
        Layers {
            ip_version: self.ip_version,
            protocol: self.protocol,
            vlan: self.vlan,
            l3: self.l3,
            l4: self.l4,
            payload: self.payload,
            payload_len: self.payload_len,
            truncated: self.is_truncated(),
            tcp_flags: self.tcp_flags(),
        }
    }

    /// The transport payload that was captured.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        let start = usize::from(self.payload);
        self.frame().get(start..start + self.payload_len as usize).unwrap_or_default()
    }

    /// The capture cut the payload.
    #[inline]
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    /// The control bits of the TCP header, see [`Layers::tcp_flags`].
    #[inline]
    #[must_use]
    pub fn tcp_flags(&self) -> u8 {
        self.flags.to_be_bytes()[0]
    }

    /// 4, 6, or 0 when there is no IP.
    #[inline]
    #[must_use]
    pub fn ip_version(&self) -> u8 {
        self.ip_version
    }

    /// The transport protocol (IANA number; 6 is TCP, 17 is UDP).
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The outermost VLAN tag with its priority bits; 0 when there is none.
    #[inline]
    #[must_use]
    pub fn vlan(&self) -> u16 {
        self.vlan
    }

    /// Source and destination address, IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2);
    /// all zero when there is no IP.
    #[inline]
    #[must_use]
    pub fn addresses(&self) -> ([u8; 16], [u8; 16]) {
        let l3 = self.frame().get(usize::from(self.l3)..).unwrap_or_default();
        match self.ip_version {
            4 => match l3.get(12..20).and_then(|bytes| bytes.split_first_chunk::<4>()) {
                Some((src, dst)) => (map_v4(*src), map_v4([dst[0], dst[1], dst[2], dst[3]])),
                None => ([0; 16], [0; 16]),
            },
            6 => match l3.get(8..40).and_then(|bytes| bytes.as_chunks::<16>().0.first_chunk()) {
                Some([src, dst]) => (*src, *dst),
                None => ([0; 16], [0; 16]),
            },
            _ => ([0; 16], [0; 16]),
        }
    }

    /// Source and destination port; 0 when there is no transport header.
    #[inline]
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        let start = usize::from(self.l4);
        match self.frame().get(start..start + 4) {
            Some(&[a, b, c, d]) if start != 0 => {
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            _ => (0, 0),
        }
    }

    /// The way to the IP packet whose layers these are; empty where it lies in the link layer.
    #[inline]
    #[must_use]
    pub fn encapsulation(&self) -> Encapsulation {
        self.encapsulation
    }

    /// Records the way to the IP packet.
    #[inline]
    pub fn set_encapsulation(&mut self, way: Encapsulation) {
        self.encapsulation = way;
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Records what the payload is.
    #[inline]
    pub fn set_class(&mut self, class: Class) {
        self.class = class;
    }

    /// A number that is the same for both directions of a connection.
    #[inline]
    #[must_use]
    pub fn flow_hash(&self) -> u64 {
        self.flow_hash
    }

    /// Records the flow hash.
    #[inline]
    pub fn set_flow_hash(&mut self, hash: u64) {
        self.flow_hash = hash;
    }

    /// Takes the packet out of the chain. The first reason stays.
    #[inline]
    pub fn drop(&mut self, reason: Reason) {
        if self.verdict == 0 {
            self.verdict = reason.0;
        }
    }

    /// 0 while the packet is in the chain, else the number of the reason it was dropped for.
    #[inline]
    #[must_use]
    pub fn verdict(&self) -> u8 {
        self.verdict
    }
}

/// `::ffff:a.b.c.d` of an IPv4 address.
#[inline]
#[must_use]
pub fn map_v4([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The IPv4 address in an IPv4-mapped one.
#[inline]
#[must_use]
pub fn unmap_v4(address: &[u8; 16]) -> Option<[u8; 4]> {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([*a, *b, *c, *d]),
        _ => None,
    }
}

/// The two ends of a connection and its protocol (IANA number) as bytes, the same for both
/// directions: what a keyed hash is taken over.
#[inline]
#[must_use]
pub fn connection(a: (&[u8; 16], u16), b: (&[u8; 16], u16), protocol: u8) -> [u8; 37] {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut bytes = [0; 37];
    bytes[..16].copy_from_slice(low.0);
    bytes[16..18].copy_from_slice(&low.1.to_be_bytes());
    bytes[18..34].copy_from_slice(high.0);
    bytes[34..36].copy_from_slice(&high.1.to_be_bytes());
    bytes[36] = protocol;
    bytes
}

/// Up to [`BATCH`] packets on their way through the chain.
#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct Batch<'a> {
    packets: RVec<Packet<'a>>,
    keeper: ROption<Keeper<'a>>,
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Self { packets: RVec::with_capacity(BATCH), keeper: ROption::RNone }
    }
}

impl<'a> Batch<'a> {
    /// The same, with a place for frames that stages make: for the engine and for tests.
    #[inline]
    #[must_use]
    pub fn with_arena(mut self, arena: &'a Arena) -> Self {
        self.keeper = ROption::RSome(Keeper::of(arena));
        self
    }

    /// Where a stage has the bytes of a frame kept that it made itself; `None` in a batch that
    /// cannot keep any, which the engine never hands out.
    #[inline]
    #[must_use]
    pub fn keeper(&self) -> Option<Keeper<'a>> {
        self.keeper.into_option()
    }

    /// The packets that no stage has dropped.
    #[inline]
    pub fn live(&mut self) -> impl Iterator<Item = &mut Packet<'a>> {
        self.packets.iter_mut().filter(|packet| packet.verdict == 0)
    }

    /// All packets, dropped ones too.
    #[inline]
    #[must_use]
    pub fn all(&self) -> &[Packet<'a>] {
        self.packets.as_slice()
    }

    /// Adds a packet: for the engine and for tests; a stage cannot make packets.
    #[inline]
    pub fn push(&mut self, packet: Packet<'a>) {
        abi::push(&mut self.packets, packet);
    }

    /// How many more packets fit.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        BATCH.saturating_sub(self.packets.len())
    }

    /// The empty batch in the same memory, free of the borrow of the old frames.
    #[must_use]
    pub fn recycle<'b>(self) -> Batch<'b> {
        let mut packets = self.packets.into_vec();
        packets.clear();
        // Collecting a Vec's own iterator reuses its memory, so this costs nothing and needs
        // no unsafe; `tests/allocation.rs` holds the standard library to it.
        let packets: Vec<Packet<'b>> =
            packets.into_iter().map(|_| unreachable!("the batch was cleared")).collect();
        Batch { packets: packets.into(), keeper: ROption::RNone }
    }
}
