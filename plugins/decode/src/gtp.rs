//! GTP-U, version 1 (3GPP TS 29.281).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet,
    ip::Net,
    road::{Layer, Next, Road},
    span::Span,
};

const HEADER: usize = 8;
/// Version 1, and the protocol type that is not GTP'.
const VERSION: u8 = 0x30;
const VERSION_MASK: u8 = 0xf0;
const EXTENSION: u8 = 0x04;
/// Any of extension, sequence number and N-PDU number makes room for all.
const OPTIONAL: u8 = 0x07;
/// A user's packet.
const G_PDU: u8 = 255;

/// Steps over the header and its extension headers.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[flags, kind, high, low, a, b, c, d] = span.head::<HEADER>()?;
    if flags & VERSION_MASK != VERSION || kind != G_PDU {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::GTP_U)?;
    road.scoped(u32::from_be_bytes([a, b, c, d]));
    let len = usize::from(u16::from_be_bytes([high, low]));
    let mut rest = span.skip(HEADER).limit(len);
    if flags & OPTIONAL != 0 {
        let mut next = rest.head::<4>()?[3];
        rest = rest.skip(4);
        while flags & EXTENSION != 0 && next != 0 {
            // Its length in words comes first, the type of the next one last.
            let words = usize::from(rest.head::<1>()?[0]);
            if words == 0 {
                return Err(DropReason::BadEncapsulation);
            }
            next = *rest.captured().get(words * 4 - 1).ok_or_else(|| rest.lacks(words * 4))?;
            rest = rest.skip(words * 4);
        }
    }
    // What the session carries, only its setup said.
    match *rest.head::<1>()? {
        [0x40..=0x4f] => Ok((Layer::Ip(Net::V4), rest)),
        [0x60..=0x6f] => Ok((Layer::Ip(Net::V6), rest)),
        [0xff] => {
            road.note(Step::PPP);
            Ok((Layer::Ppp, rest))
        }
        _ if ethernet::is_plausible(rest.captured()) => Ok((Layer::Ethernet, rest)),
        _ => Err(DropReason::BadEncapsulation),
    }
}
