//! Encapsulations: what puts a packet into something else.
//!
//! All take the bytes that go inside and give those of the outside, so that they nest:
//! `wrap::ethernet(0x0800, &wrap::ipv4(47, &wrap::gre(0x0800, &packet)))`. [`EVERY`] has one of
//! each kind, ready-made, for a stage that must not care.

use super::Frame;

/// A way to put an IP packet, as [`Frame::build_ip`] makes it, into an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct Wrap {
    /// What `Packet::encapsulation` then says.
    pub name: &'static str,
    /// The frame with the packet in it.
    pub frame: fn(&[u8]) -> Vec<u8>,
}

macro_rules! every {
    ($($name:literal: |$ip:ident| $frame:expr;)+) => {
        /// One frame of each kind that the `decode` stage reads.
        pub const EVERY: &[Wrap] = &[$(Wrap { name: $name, frame: |$ip| $frame }),+];
    };
}

every! {
    "": |ip| frame(ip);
    "mpls": |ip| ethernet(0x8847, mpls(&[16, 17], ip));
    "mpls/ethernet": |ip| ethernet(0x8847, mpls(&[16], [&[0; 4], &frame(ip)[..]].concat()));
    "pppoe": |ip| ethernet(0x8864, pppoe(ppp(ip)));
    "pbb/ethernet": |ip| ethernet(0x88e7, [&[0, 0, 1, 2], &frame(ip)[..]].concat());
    "gre": |ip| over_ip(47, gre(ether_type(ip), ip));
    "gre/ethernet": |ip| over_ip(47, gre(0x6558, frame(ip)));
    "gre/ethernet/vlan": |ip| over_ip(47, gre(0x6558, tagged(5, frame(ip))));
    "gre/erspan_1/ethernet": |ip| over_ip(47, gre(0x88be, frame(ip)));
    "gre/erspan_2/ethernet": |ip| over_ip(47, [
        &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 7, 0, 0, 0, 0], &frame(ip)[..],
    ].concat());
    "gre/erspan_3/ethernet": |ip| over_ip(47, [
        &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0], &frame(ip)[..],
    ].concat());
    "pptp/ppp": |ip| over_ip(47, pptp(ppp(ip)));
    "vxlan/ethernet": |ip| over_udp(4789, vxlan(7, frame(ip)));
    "vxlan_gpe": |ip| over_udp(4790, [
        &[0x0c, 0, 0, if is_v4(ip) { 1 } else { 2 }, 0, 0, 7, 0], ip,
    ].concat());
    "geneve/ethernet": |ip| over_udp(6081, geneve(0x6558, frame(ip)));
    "gtp_u": |ip| over_udp(2152, gtp(9, ip));
    "4in4": |ip| if is_v4(ip) { over_ip(4, ip) } else { frame(ip) };
    "6in4": |ip| if is_v4(ip) { frame(ip) } else { over_ip(41, ip) };
    "4in6": |ip| if is_v4(ip) { ethernet(0x86dd, ipv6(4, ip)) } else { frame(ip) };
    "6in6": |ip| if is_v4(ip) { frame(ip) } else { ethernet(0x86dd, ipv6(41, ip)) };
    "teredo": |ip| if is_v4(ip) { frame(ip) } else { over_udp(3544, ip) };
    "l2tp_2/ppp": |ip| over_udp(1701, [&[0, 2, 0, 1, 0, 2], &ppp(ip)[..]].concat());
    "l2tp_3/ethernet": |ip| over_ip(115, [&[0, 0, 0, 5], &frame(ip)[..]].concat());
    "nsh/ethernet": |ip| ethernet(0x894f, [&[0, 2, 2, 3, 0, 0, 1, 255], &frame(ip)[..]].concat());
    "tzsp/ethernet": |ip| over_udp(37008, [&[1, 0, 0, 1, 1], &frame(ip)[..]].concat());
    "tzsp/wifi": |ip| over_udp(37008, [&[1, 0, 0, 18, 1], &wifi(ip)[..]].concat());
    "etherip/ethernet": |ip| over_ip(97, [&[0x30, 0], &frame(ip)[..]].concat());
    "udp/gre": |ip| over_udp(4754, gre(ether_type(ip), ip));
    "udp/mpls": |ip| over_udp(6635, mpls(&[16], ip));
    "vxlan/ethernet/pppoe/gtp_u": |ip| over_udp(4789, vxlan(7, ethernet(0x8864, pppoe(ppp(
        ipv4(17, datagram(2152, gtp(9, ip))),
    )))));
}

fn is_v4(ip: &[u8]) -> bool {
    ip[0] >> 4 == 4
}

/// The number that Ethernet and GRE have for this IP packet.
#[must_use]
pub fn ether_type(ip: &[u8]) -> u16 {
    if is_v4(ip) { 0x0800 } else { 0x86dd }
}

fn headed(header: &[u8], inside: impl AsRef<[u8]>) -> Vec<u8> {
    [header, inside.as_ref()].concat()
}

fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("what is wrapped fits into a packet").to_be_bytes()
}

/// An IP packet in an Ethernet frame.
#[must_use]
pub fn frame(ip: impl AsRef<[u8]>) -> Vec<u8> {
    ethernet(ether_type(ip.as_ref()), ip)
}

/// An Ethernet header in front of anything.
#[must_use]
pub fn ethernet(ether_type: u16, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let header = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes()[..]].concat();
    headed(&header, inside)
}

/// A VLAN tag put into an Ethernet frame, outside of those that it has.
#[must_use]
pub fn tagged(tag: u16, frame: impl AsRef<[u8]>) -> Vec<u8> {
    let (addresses, rest) = frame.as_ref().split_at(12);
    [addresses, &[0x81, 0], &tag.to_be_bytes(), rest].concat()
}

/// An IPv4 header, from 198.51.100.1 to 198.51.100.2; its checksum is zero.
///
/// # Panics
/// When the packet gets too long.
#[must_use]
pub fn ipv4(protocol: u8, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = short(20 + inside.as_ref().len());
    let header = [0x45, 0, a, b, 0, 0, 0, 0, 64, protocol, 0, 0, 198, 51, 100, 1, 198, 51, 100, 2];
    headed(&header, inside)
}

/// An IPv6 header, from 2001:db8:ff::1 to 2001:db8:ff::2.
///
/// # Panics
/// When the packet gets too long.
#[must_use]
pub fn ipv6(next: u8, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = short(inside.as_ref().len());
    let address = |last| [0x20, 1, 0x0d, 0xb8, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let header = [&[0x60, 0, 0, 0, a, b, next, 64][..], &address(1), &address(2)].concat();
    headed(&header, inside)
}

/// A UDP header, from port 50000; its checksum is zero.
///
/// # Panics
/// When the packet gets too long.
#[must_use]
pub fn datagram(port: u16, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let [[a, b], [c, d]] = [port.to_be_bytes(), short(8 + inside.as_ref().len())];
    headed(&[0xc3, 0x50, a, b, c, d, 0, 0], inside)
}

/// An Ethernet frame with IPv4 and this protocol above it.
#[must_use]
pub fn over_ip(protocol: u8, inside: impl AsRef<[u8]>) -> Vec<u8> {
    frame(ipv4(protocol, inside))
}

/// An Ethernet frame with IPv4 and UDP to this port above it.
#[must_use]
pub fn over_udp(port: u16, inside: impl AsRef<[u8]>) -> Vec<u8> {
    over_ip(17, datagram(port, inside))
}

/// A label stack (RFC 3032).
#[must_use]
pub fn mpls(labels: &[u32], inside: impl AsRef<[u8]>) -> Vec<u8> {
    let last = labels.len() - 1;
    let label =
        |(at, label): (usize, &u32)| (label << 12 | u32::from(at == last) << 8 | 64).to_be_bytes();
    let stack: Vec<_> = labels.iter().enumerate().flat_map(label).collect();
    headed(&stack, inside)
}

/// PPP without address and control bytes (RFC 1661).
#[must_use]
pub fn ppp(ip: impl AsRef<[u8]>) -> Vec<u8> {
    headed(if is_v4(ip.as_ref()) { &[0, 0x21] } else { &[0, 0x57] }, ip)
}

/// A session's header (RFC 2516); goes into an Ethernet frame 0x8864.
#[must_use]
pub fn pppoe(ppp: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = short(ppp.as_ref().len());
    headed(&[0x11, 0, 0, 9, a, b], ppp)
}

/// Without options (RFC 2784); goes into IP protocol 47.
#[must_use]
pub fn gre(ether_type: u16, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = ether_type.to_be_bytes();
    headed(&[0, 0, a, b], inside)
}

/// Enhanced GRE with sequence number and acknowledgment (RFC 2637); IP protocol 47.
#[must_use]
pub fn pptp(ppp: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = short(ppp.as_ref().len());
    headed(&[0x30, 0x81, 0x88, 0x0b, a, b, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2], ppp)
}

/// RFC 7348; goes to UDP port 4789.
#[must_use]
pub fn vxlan(network: u8, frame: impl AsRef<[u8]>) -> Vec<u8> {
    headed(&[8, 0, 0, 0, 0, 0, network, 0], frame)
}

/// With one option (RFC 8926); goes to UDP port 6081.
#[must_use]
pub fn geneve(ether_type: u16, inside: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = ether_type.to_be_bytes();
    headed(&[2, 0, a, b, 0, 0, 7, 0, 1, 2, 3, 1, 0xff, 0xff, 0xff, 0xff], inside)
}

/// With a sequence number and one extension header (3GPP TS 29.281); goes to UDP port 2152.
#[must_use]
pub fn gtp(tunnel: u8, ip: impl AsRef<[u8]>) -> Vec<u8> {
    let [a, b] = short(8 + ip.as_ref().len());
    headed(&[0x36, 255, a, b, 0, 0, 0, tunnel, 0, 1, 0, 0x85, 1, 0, 9, 0], ip)
}

/// A data frame to an access point, with a quality of service, and SNAP in it (IEEE 802.11).
#[must_use]
pub fn wifi(ip: impl AsRef<[u8]>) -> Vec<u8> {
    let mut header = vec![0x88, 1, 0, 0];
    header.extend([2; 18]);
    header.extend([0, 0, 0, 0, 0xaa, 0xaa, 3, 0, 0, 0]);
    header.extend(ether_type(ip.as_ref()).to_be_bytes());
    headed(&header, ip)
}

/// The fragments of an IP packet without options or extension headers, `size` bytes of data
/// each.
///
/// # Panics
/// When `size` is no multiple of eight.
#[must_use]
pub fn fragments(ip: &[u8], size: usize, number: u16) -> Vec<Vec<u8>> {
    assert!(size > 0 && size.is_multiple_of(8), "{size} is no multiple of eight");
    let header = if is_v4(ip) { 20 } else { 40 };
    let parts: Vec<_> = ip[header..].chunks(size).collect();
    let fragment = |(at, part): (usize, &&[u8])| {
        let more = at + 1 < parts.len();
        let (mut head, offset) = (ip[..header].to_vec(), at * size / 8);
        if is_v4(ip) {
            head[2..4].copy_from_slice(&short(header + part.len()));
            head[4..6].copy_from_slice(&number.to_be_bytes());
            head[6..8].copy_from_slice(&short(offset | usize::from(more) << 13));
        } else {
            let next = std::mem::replace(&mut head[6], 44);
            head[4..6].copy_from_slice(&short(8 + part.len()));
            head.extend([next, 0]);
            head.extend(short(offset << 3 | usize::from(more)));
            head.extend(u32::from(number).to_be_bytes());
        }
        headed(&head, part)
    };
    parts.iter().enumerate().map(fragment).collect()
}

/// The frame of every kind around this packet, with the kind's name; those that have nothing
/// to do with its IP version left out.
#[must_use]
pub fn every(packet: &Frame) -> Vec<(&'static str, Vec<u8>)> {
    let (ip, bare) = (packet.build_ip(), packet.build());
    let frames = EVERY.iter().map(|wrap| (wrap.name, (wrap.frame)(&ip)));
    frames.filter(|(name, frame)| name.is_empty() || *frame != bare).collect()
}
