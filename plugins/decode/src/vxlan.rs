//! VXLAN (RFC 7348) and its generic extension (draft-ietf-nvo3-vxlan-gpe-13).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ip::Net,
    road::{Layer, Next, Road},
    span::Span,
};

const HEADER: usize = 8;
/// The network identifier is valid.
const INSTANCE: u8 = 0x08;
/// A next protocol is named.
const NEXT: u8 = 0x04;
/// Not a user's packet.
const OAM: u8 = 0x01;

/// An Ethernet frame.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let header = span.head::<HEADER>()?;
    if header[0] & INSTANCE == 0 {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::VXLAN)?;
    road.scoped(identifier(header));
    Ok((Layer::Ethernet, span.skip(HEADER)))
}

/// What the header names, or an Ethernet frame.
pub(crate) fn generic<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let header = span.head::<HEADER>()?;
    // The upper two bits are reserved, the next two are the version.
    if header[0] & 0xf0 != 0 || header[0] & (INSTANCE | NEXT) == 0 || header[0] & OAM != 0 {
        return Err(DropReason::BadEncapsulation);
    }
    let layer = match header[3] {
        _ if header[0] & NEXT == 0 => Layer::Ethernet,
        1 => Layer::Ip(Net::V4),
        2 => Layer::Ip(Net::V6),
        3 => Layer::Ethernet,
        4 => Layer::Nsh,
        5 => Layer::Mpls,
        _ => return Err(DropReason::BadEncapsulation),
    };
    road.enter(Step::VXLAN_GPE)?;
    road.scoped(identifier(header));
    Ok((layer, span.skip(HEADER)))
}

fn identifier(header: &[u8; HEADER]) -> u32 {
    u32::from_be_bytes([0, header[4], header[5], header[6]])
}
