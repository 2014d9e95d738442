//! Ethernet and what an `EtherType` names (IEEE 802.3, 802.1Q, 802.1ad, 802.1ah), LLC and SNAP
//! (IEEE 802.2, RFC 1042).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ip::Net,
    road::{Layer, Next, Road},
    span::{Span, be16},
};

const HEADER: usize = 14;

/// What follows a link header of `header` bytes. Any number of VLAN tags may come first; they
/// are no steps of the way, and the first is the frame's.
pub(crate) fn outermost<'f>(
    span: Span<'f>,
    mut ether_type: u16,
    mut header: usize,
    road: &mut Road,
) -> Next<'f> {
    let frame = span.captured();
    let mut first = true;
    while is_tag(ether_type) {
        let tag = be16(frame, header).ok_or(DropReason::ShortFrame)?;
        ether_type = be16(frame, header + 2).ok_or(DropReason::ShortFrame)?;
        header += 4;
        if std::mem::take(&mut first) {
            road.vlan = tag;
        }
    }
    if frame.len() < header {
        return Err(DropReason::ShortFrame);
    }
    carried(ether_type, span.skip(header), road)
}

/// An Ethernet header inside something.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let header = span.head::<HEADER>()?;
    road.note(Step::ETHERNET);
    carried(u16::from_be_bytes([header[12], header[13]]), span.skip(HEADER), road)
}

/// Goes to what the `EtherType` in front of the span promises.
pub(crate) fn carried<'f>(mut ether_type: u16, mut span: Span<'f>, road: &mut Road) -> Next<'f> {
    if is_tag(ether_type) {
        road.note(Step::VLAN);
        while is_tag(ether_type) {
            let [a, b, c, d] = *span.head::<4>()?;
            road.scoped(u32::from(u16::from_be_bytes([a & 0x0f, b])));
            ether_type = u16::from_be_bytes([c, d]);
            span = span.skip(4);
        }
    }
    let layer = match ether_type {
        0x0800 => Layer::Ip(Net::V4),
        0x86dd => Layer::Ip(Net::V6),
        0x8847 | 0x8848 => Layer::Mpls,
        0x8864 => Layer::Pppoe,
        0x880b => {
            road.note(Step::PPP);
            Layer::Ppp
        }
        0x6558 => Layer::Ethernet,
        0x894f => Layer::Nsh,
        0x88e7 => {
            // Flags and the number of the service; then the customer's frame.
            let [_, a, b, c] = *span.head::<4>()?;
            road.enter(Step::PBB)?;
            road.scoped(u32::from_be_bytes([0, a, b, c]));
            return Ok((Layer::Ethernet, span.skip(4)));
        }
        // IEEE 802.3, clause 3.2.6: below 0x0600 it is a length.
        0..0x0600 => return llc(span, road),
        0x0806 => return Err(DropReason::Arp),
        0x8863 => return Err(DropReason::Pppoe),
        0x88e5 => return Err(DropReason::Macsec),
        _ => return Err(DropReason::OtherEthertype),
    };
    Ok((layer, span))
}

/// The `EtherType` behind a SNAP header; there is none in spanning tree, IPX and their kin.
pub(crate) fn llc<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    match span.captured() {
        // The organization is IEEE itself, or 802.1H's way to write the same.
        [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, high, low, ..] if *high >= 6 => {
            carried(u16::from_be_bytes([*high, *low]), span.skip(8), road)
        }
        _ => Err(DropReason::Llc),
    }
}

fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}

/// Whether the bytes look like an Ethernet frame that is worth reading, where nothing else says
/// that they are one.
pub(crate) fn is_plausible(bytes: &[u8]) -> bool {
    let mut at = 12;
    while be16(bytes, at).is_some_and(is_tag) {
        at += 4;
    }
    let version = bytes.get(at + 2).map(|byte| byte >> 4);
    match (be16(bytes, at), version) {
        (Some(0x0800), Some(version)) => version == 4,
        (Some(0x86dd), Some(version)) => version == 6,
        (Some(ether_type), Some(_)) => {
            matches!(ether_type, 0x8847 | 0x8848 | 0x8863 | 0x8864 | 0x88e5 | 0x88e7 | 0x0806)
        }
        _ => false,
    }
}
