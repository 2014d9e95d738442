//! The link layer: where IP begins.
//!
//! By hand for all link types: each is two or three fields at fixed places, and etherparse's
//! cooked header refuses the ARP hardware types of loopback and tun interfaces.

use crate::drop_reason::DropReason;

/// More than any network uses, and few enough that offsets stay small.
const MOST_TAGS: usize = 8;

/// What the link layer says about the packet in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) net: Net,
    /// Start of the IP header; at most 20 + 8 * 4.
    pub(crate) l3: u16,
    /// The outermost VLAN tag; 0 when there is none.
    pub(crate) vlan: u16,
}

/// The IP version that the link layer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    V4,
    V6,
    /// The packet itself says.
    Any,
}

/// Reads the link header. `link` is a LINKTYPE number, see
/// <https://www.tcpdump.org/linktypes.html>.
#[inline]
pub(crate) fn find(frame: &[u8], link: u16) -> Result<Link, DropReason> {
    match link {
        1 => tagged(frame, be16(frame, 12)?, 14),
        // LINUX_SLL: the protocol is the last field of the header.
        113 => tagged(frame, be16(frame, 14)?, 16),
        // LINUX_SLL2: the protocol is the first.
        276 => tagged(frame, be16(frame, 0)?, 20),
        // RAW, and as two BSDs number it.
        101 | 12 | 14 => Ok(Link { net: Net::Any, l3: 0, vlan: 0 }),
        228 => Ok(Link { net: Net::V4, l3: 0, vlan: 0 }),
        229 => Ok(Link { net: Net::V6, l3: 0, vlan: 0 }),
        // NULL has the byte order of the machine that captured, LOOP that of the network.
        0 | 108 => loopback(frame),
        _ => Err(DropReason::UnknownLinkType),
    }
}

/// Follows VLAN tags (IEEE 802.1Q, 802.1ad, and 0x9100 as used before 802.1ad) from the
/// `EtherType` in front of offset `l3`.
#[inline]
fn tagged(frame: &[u8], mut ether_type: u16, mut l3: u16) -> Result<Link, DropReason> {
    let mut vlan = 0;
    for tag in 0..=MOST_TAGS {
        let net = match ether_type {
            0x0800 => Net::V4,
            0x86dd => Net::V6,
            0x8100 | 0x88a8 | 0x9100 => {
                if tag == 0 {
                    vlan = be16(frame, l3)?;
                }
                ether_type = be16(frame, l3 + 2)?;
                l3 += 4;
                continue;
            }
            other => return Err(not_ip(other)),
        };
        return Ok(Link { net, l3, vlan });
    }
    Err(DropReason::TooManyTags)
}

#[cold]
fn not_ip(ether_type: u16) -> DropReason {
    match ether_type {
        // IEEE 802.3, clause 3.2.6: below 0x0600 it is a length.
        0..0x0600 => DropReason::Llc,
        0x0806 => DropReason::Arp,
        0x8847 | 0x8848 => DropReason::Mpls,
        0x8863 | 0x8864 => DropReason::Pppoe,
        0x88e5 => DropReason::Macsec,
        _ => DropReason::OtherEthertype,
    }
}

fn loopback(frame: &[u8]) -> Result<Link, DropReason> {
    let family = *frame.first_chunk().ok_or(DropReason::ShortFrame)?;
    // No family is above 255, so only one of the two readings can be one.
    let net = match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
        2 => Net::V4,
        // Linux; NetBSD and OpenBSD; FreeBSD; Darwin.
        10 | 24 | 28 | 30 => Net::V6,
        _ => return Err(DropReason::OtherEthertype),
    };
    Ok(Link { net, l3: 4, vlan: 0 })
}

#[inline]
fn be16(frame: &[u8], at: u16) -> Result<u16, DropReason> {
    let at = usize::from(at);
    match frame.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(DropReason::ShortFrame),
    }
}
