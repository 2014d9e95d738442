//! Geneve (RFC 8926).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet,
    road::{Next, Road},
    span::Span,
};

const HEADER: usize = 8;
/// Not a user's packet.
const CONTROL: u8 = 0x80;

/// Steps over the header and its options.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[first, flags, high, low, a, b, c, _] = span.head::<HEADER>()?;
    let ether_type = u16::from_be_bytes([high, low]);
    if first >> 6 != 0 || flags & CONTROL != 0 || ether_type < 0x0600 {
        return Err(DropReason::BadEncapsulation);
    }
    let options = usize::from(first & 0x3f) * 4;
    road.enter(Step::GENEVE)?;
    road.scoped(u32::from_be_bytes([0, a, b, c]));
    ethernet::carried(ether_type, span.skip(HEADER + options), road)
}
