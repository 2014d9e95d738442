//! The header of a service function chain (RFC 8300).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ip::Net,
    road::{Layer, Next, Road},
    span::Span,
};

/// Base header and service path header.
const HEADER: usize = 8;
/// Not a user's packet.
const OAM: u8 = 0x20;

/// Steps over the header and its context.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[first, second, _, next, a, b, c, _] = span.head::<HEADER>()?;
    let len = usize::from(second & 0x3f) * 4;
    if first >> 6 != 0 || first & OAM != 0 || len < HEADER {
        return Err(DropReason::BadEncapsulation);
    }
    let layer = match next {
        1 => Layer::Ip(Net::V4),
        2 => Layer::Ip(Net::V6),
        3 => Layer::Ethernet,
        4 => Layer::Nsh,
        5 => Layer::Mpls,
        _ => return Err(DropReason::OtherEthertype),
    };
    road.enter(Step::NSH)?;
    road.scoped(u32::from_be_bytes([0, a, b, c]));
    Ok((layer, span.skip(len)))
}
