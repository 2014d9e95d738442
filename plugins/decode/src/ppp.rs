//! PPP (RFC 1661, RFC 1662), PPP over Ethernet (RFC 2516), and the framing that Cisco uses in
//! its place (RFC 1547, section 4.3.1).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet,
    ip::Net,
    road::{Layer, Next, Road},
    span::Span,
};

/// Version and type, code, session, length.
const PPPOE_HEADER: usize = 6;

/// The session's header, then PPP.
pub(crate) fn over_ethernet<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[version_type, code, a, b, c, d] = span.head::<PPPOE_HEADER>()?;
    if version_type != 0x11 {
        return Err(DropReason::BadEncapsulation);
    }
    if code != 0 {
        return Err(DropReason::Pppoe);
    }
    road.enter(Step::PPPOE)?;
    road.scoped(u32::from(u16::from_be_bytes([a, b])));
    let len = usize::from(u16::from_be_bytes([c, d]));
    Ok((Layer::Ppp, span.skip(PPPOE_HEADER).limit(len)))
}

/// Address and control bytes where they were not left out, then the protocol, which is one
/// byte where it was compressed.
pub(crate) fn enter(span: Span<'_>) -> Next<'_> {
    let span = if span.captured().starts_with(&[0xff, 3]) { span.skip(2) } else { span };
    // The last byte of a number is odd, those before it are even (RFC 1661, section 2).
    let first = u16::from(span.head::<1>()?[0]);
    let (protocol, span) = if first & 1 != 0 {
        (first, span.skip(1))
    } else {
        (u16::from_be_bytes(*span.head::<2>()?), span.skip(2))
    };
    let layer = match protocol {
        0x0021 => Layer::Ip(Net::V4),
        0x0057 => Layer::Ip(Net::V6),
        0x0281 | 0x0283 => Layer::Mpls,
        // Those of the link and of network layers: LCP, IPCP, PAP ...
        0x8000.. => return Err(DropReason::PppControl),
        _ => return Err(DropReason::OtherPpp),
    };
    Ok((layer, span))
}

/// Address, control, `EtherType`.
pub(crate) fn hdlc<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    match span.captured().first_chunk().ok_or(DropReason::ShortFrame)? {
        [0x0f | 0x8f, _, high, low] => {
            ethernet::carried(u16::from_be_bytes([*high, *low]), span.skip(4), road)
        }
        // PPP may come in the same framing.
        [0xff, 3, ..] => enter(span),
        _ => Err(DropReason::BadEncapsulation),
    }
}
