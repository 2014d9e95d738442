//! The common case by hand: Ethernet with up to two tags, IPv4 without options or IPv6
//! without extension headers, whole, with a TCP or UDP header that was captured and fits.
//!
//! It writes into the descriptor instead of returning what it found. Returned as
//! `Option<Layers>` the fields went through memory, written two bytes and read eight at a
//! time, and a packet cost half as much again.

use ringmill_sdk::{Layers, Packet};

use crate::{flow, tunnel};

const ETHERNET: u16 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Sets the layers and the flow hash. `None` says nothing but that the long way must look,
/// and leaves the packet as it was.
#[inline]
pub(crate) fn decode(packet: &mut Packet<'_>) -> Option<()> {
    if packet.link() != ETHERNET {
        return None;
    }
    let frame = packet.frame();
    let (mut l3, mut vlan) = (14, 0);
    let mut ether_type = be16(frame, 12)?;
    if is_tag(ether_type) {
        (vlan, ether_type, l3) = (be16(frame, 14)?, be16(frame, 16)?, 18);
        if is_tag(ether_type) {
            (ether_type, l3) = (be16(frame, 20)?, 22);
        }
    }
    match ether_type {
        0x0800 => v4(packet, frame.get(l3..)?, l3, vlan),
        0x86dd => v6(packet, frame.get(l3..)?, l3, vlan),
        _ => None,
    }
}

#[inline]
fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100)
}

#[inline]
fn v4(packet: &mut Packet<'_>, ip: &[u8], l3: usize, vlan: u16) -> Option<()> {
    // The header, and as much of the next as TCP and UDP both have.
    let head: &[u8; 28] = ip.first_chunk()?;
    // More fragments, or an offset. "Don't fragment" and the reserved bit may be set.
    let fragment = (head[6] & 0x3f) | head[7];
    if head[0] != 0x45 || fragment != 0 {
        return None;
    }
    let ports = (be16(head, 20)?, be16(head, 22)?);
    let transport = transport(ip, 20, usize::from(be16(head, 2)?), head[9], ports)?;
    let (from, to) = (head[12..].first_chunk()?, head[16..].first_chunk()?);
    let hash = flow::v4(*from, *to, ports, head[9]);
    set(packet, 4, vlan, l3, &transport, hash);
    Some(())
}

#[inline]
fn v6(packet: &mut Packet<'_>, ip: &[u8], l3: usize, vlan: u16) -> Option<()> {
    let head: &[u8; 48] = ip.first_chunk()?;
    let len = usize::from(be16(head, 4)?);
    // A length of 0 means something else: offload or a jumbogram.
    if head[0] >> 4 != 6 || len == 0 {
        return None;
    }
    let ports = (be16(head, 40)?, be16(head, 42)?);
    let transport = transport(ip, 40, 40 + len, head[6], ports)?;
    let (from, to) = (head[8..].first_chunk()?, head[24..].first_chunk()?);
    let hash = flow::v6(*from, *to, ports, head[6]);
    set(packet, 6, vlan, l3, &transport, hash);
    Some(())
}

struct Transport {
    protocol: u8,
    /// From the start of the IP header.
    start: usize,
    head_len: usize,
    payload_len: usize,
    truncated: bool,
    tcp_flags: u8,
}

/// `start` is the length of the IP header and `total` that of the packet as IP says.
#[inline]
fn transport(
    ip: &[u8],
    start: usize,
    total: usize,
    protocol: u8,
    ports: (u16, u16),
) -> Option<Transport> {
    let captured = total.min(ip.len()).checked_sub(start)?;
    let (head_len, payload_len, truncated, tcp_flags) = match protocol {
        TCP => {
            let [offset, flags] = be16(ip, start + 12)?.to_be_bytes();
            let head_len = usize::from(offset >> 4) * 4;
            if head_len < 20 {
                return None;
            }
            (head_len, captured.checked_sub(head_len)?, total > ip.len(), flags)
        }
        UDP => {
            let len = usize::from(be16(ip, start + 4)?);
            if len < 8 || captured < 8 || start + len > total {
                return None;
            }
            if tunnel::may_be(ports) {
                return None;
            }
            (8, len.min(captured) - 8, len > captured, 0)
        }
        _ => return None,
    };
    Some(Transport { protocol, start, head_len, payload_len, truncated, tcp_flags })
}

#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "these headers end before 22 + 40 + 60 bytes, and no IP length exceeds 64 KiB + 40"
)]
fn set(
    packet: &mut Packet<'_>,
    ip_version: u8,
    vlan: u16,
    l3: usize,
    found: &Transport,
    hash: u64,
) {
    let l4 = l3 + found.start;
    packet.set_layers(&Layers {
        ip_version,
        protocol: found.protocol,
        vlan,
        l3: l3 as u16,
        l4: l4 as u16,
        payload: (l4 + found.head_len) as u16,
        payload_len: found.payload_len as u32,
        truncated: found.truncated,
        tcp_flags: found.tcp_flags,
    });
    packet.set_flow_hash(hash);
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
