//! GRE: RFC 2784 with the key and sequence number of RFC 2890, the routing of RFC 1701, and
//! the enhanced version that carries PPP (RFC 2637).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet,
    ip::Net,
    road::{Layer, Next, Road},
    span::{Span, be16},
};

const HEADER: usize = 4;
const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Only in version 1.
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

/// Steps over the header with all its options.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[a, b, c, d] = span.head::<HEADER>()?;
    let (flags, protocol) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match flags & VERSION {
        0 => {
            road.enter(Step::GRE)?;
            carried(protocol, flags, options(span, flags, road)?, road)
        }
        1 => enhanced(span, flags, protocol, road),
        _ => Err(DropReason::BadEncapsulation),
    }
}

/// What follows the optional fields.
fn options<'f>(span: Span<'f>, flags: u16, road: &mut Road) -> Result<Span<'f>, DropReason> {
    let mut rest = span.skip(HEADER);
    // One of the two makes room for both.
    if flags & (CHECKSUM | ROUTING) != 0 {
        rest.head::<4>()?;
        rest = rest.skip(4);
    }
    if flags & KEY != 0 {
        road.scoped(u32::from_be_bytes(*rest.head()?));
        rest = rest.skip(4);
    }
    if flags & SEQUENCE != 0 {
        rest.head::<4>()?;
        rest = rest.skip(4);
    }
    if flags & ROUTING != 0 {
        // Entries of address family, offset and length; the last is all zero.
        loop {
            let &[high, low, _, len] = rest.head::<4>()?;
            rest = rest.skip(4 + usize::from(len));
            if [high, low, len] == [0; 3] {
                break;
            }
        }
    }
    Ok(rest)
}

fn carried<'f>(protocol: u16, flags: u16, span: Span<'f>, road: &mut Road) -> Next<'f> {
    match protocol {
        // Type I has neither a sequence number nor a header.
        0x88be if flags & SEQUENCE == 0 => Ok((Layer::Erspan1, span)),
        0x88be => Ok((Layer::Erspan2, span)),
        0x22eb => Ok((Layer::Erspan3, span)),
        0x883e => {
            road.enter(Step::WCCP)?;
            // Version 2 puts four bytes in front of the packet, which never begin as IPv4 does.
            let redirect = if span.head::<1>()?[0] >> 4 == 4 { 0 } else { 4 };
            Ok((Layer::Ip(Net::V4), span.skip(redirect)))
        }
        // Not a length here; 0 is a keepalive.
        0..0x0600 => Err(DropReason::OtherEthertype),
        _ => ethernet::carried(protocol, span, road),
    }
}

fn enhanced<'f>(span: Span<'f>, flags: u16, protocol: u16, road: &mut Road) -> Next<'f> {
    if flags & (CHECKSUM | ROUTING | KEY) != KEY || protocol != 0x880b {
        return Err(DropReason::BadEncapsulation);
    }
    let len = be16(span.captured(), 4).ok_or_else(|| span.lacks(6))?;
    let call = be16(span.captured(), 6).ok_or_else(|| span.lacks(8))?;
    if flags & SEQUENCE == 0 {
        // Without one it is an acknowledgment.
        return Err(DropReason::PppControl);
    }
    road.enter(Step::PPTP)?;
    road.note(Step::PPP);
    road.scoped(u32::from(call));
    let acknowledgment = if flags & ACKNOWLEDGMENT != 0 { 4 } else { 0 };
    Ok((Layer::Ppp, span.skip(12 + acknowledgment).limit(usize::from(len))))
}
