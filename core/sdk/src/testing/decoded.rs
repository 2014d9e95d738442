//! A packet as the stages after `decode` see it.
//!
//! Plugins do not depend on each other, so the kit has a decoder of its own: short, lax and
//! slow where `decode` is long, strict and fast.

use std::hash::{DefaultHasher, Hash, Hasher};

use etherparse::{LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice};

use crate::{Class, Layers, Packet, Timestamp};

/// A packet of link type Ethernet whose layers, flow hash and class are set.
///
/// Cut the frame before it comes here and the packet is marked as truncated. A frame that
/// holds neither TCP nor UDP, or a fragment, has no layers.
#[must_use]
pub fn decoded(frame: &[u8], time: Timestamp) -> Packet<'_> {
    let mut packet = Packet::ethernet(frame, time);
    let Some(layers) = layers(frame) else { return packet };
    packet.set_layers(&layers);
    packet.set_flow_hash(flow_hash(&packet));
    packet.set_class(class(&packet));
    packet
}

fn layers(frame: &[u8]) -> Option<Layers> {
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let (ip_version, header, ip) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(v4) => (4, v4.header().slice(), v4.payload()),
        LaxNetSlice::Ipv6(v6) => (6, v6.header().slice(), v6.payload()),
        LaxNetSlice::Arp(_) => return None,
    };
    let (protocol, head, payload, tcp_flags) = match sliced.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => (6, tcp.header_slice(), tcp.payload(), tcp.header_slice()[13]),
        TransportSlice::Udp(udp) => (17, udp.header_slice(), udp.payload(), 0),
        _ => return None,
    };
    let offset = |part: &[u8]| {
        let bytes = part.as_ptr() as usize - frame.as_ptr() as usize;
        u16::try_from(bytes).expect("headers end before 64 KiB")
    };
    Some(Layers {
        ip_version,
        protocol,
        vlan: match sliced.link_exts.first() {
            Some(LaxLinkExtSlice::Vlan(tag)) => {
                u16::from_be_bytes([tag.slice()[0], tag.slice()[1]])
            }
            _ => 0,
        },
        l3: offset(header),
        l4: offset(head),
        payload: offset(payload),
        payload_len: u32::try_from(payload.len()).expect("a packet is shorter than 4 GiB"),
        truncated: ip.incomplete,
        tcp_flags,
    })
}

/// Not the hash that `decode` makes; equal for both directions, as that one is.
fn flow_hash(packet: &Packet<'_>) -> u64 {
    let (from, to) = packet.addresses();
    let (from_port, to_port) = packet.ports();
    let mut ends = [(from, from_port), (to, to_port)];
    ends.sort_unstable();
    let mut hasher = DefaultHasher::new();
    (ends, packet.protocol()).hash(&mut hasher);
    hasher.finish()
}

/// What a stage after `classify` needs to find: HTTP, TLS, the rest.
fn class(packet: &Packet<'_>) -> Class {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"PATCH ",
        b"HEAD ",
        b"OPTIONS ",
        b"CONNECT ",
        b"TRACE ",
    ];
    match packet.payload() {
        [] => Class::NONE,
        _ if packet.protocol() != 6 => Class::OTHER,
        head if METHODS.iter().any(|method| head.starts_with(method)) => Class::HTTP_REQUEST,
        head if head.starts_with(b"HTTP/1.") => Class::HTTP_RESPONSE,
        [20..=23, 3, ..] => Class::TLS,
        _ => Class::OTHER,
    }
}
