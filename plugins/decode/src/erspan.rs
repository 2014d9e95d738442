//! Mirrored frames of Cisco switches inside GRE (draft-foschiano-erspan-03).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ip::Net,
    road::{Layer, Next, Road},
    span::Span,
};

const SECOND_HEADER: usize = 8;
const THIRD_HEADER: usize = 12;
const PLATFORM_HEADER: usize = 8;

/// Type I: the frame, and nothing in front of it.
pub(crate) fn first<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    road.enter(Step::ERSPAN_1)?;
    Ok((Layer::Ethernet, span))
}

/// Type II, whose version field says 1.
pub(crate) fn second<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let header = span.head::<SECOND_HEADER>()?;
    if header[0] >> 4 != 1 {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::ERSPAN_2)?;
    Ok((Layer::Ethernet, span.skip(SECOND_HEADER)))
}

/// Type III, whose version field says 2.
pub(crate) fn third<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let header = span.head::<THIRD_HEADER>()?;
    if header[0] >> 4 != 2 {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::ERSPAN_3)?;
    let platform = if header[11] & 1 != 0 { PLATFORM_HEADER } else { 0 };
    let inside = span.skip(THIRD_HEADER + platform);
    // The frame type: Ethernet or an IP packet.
    match (header[10] >> 2) & 0x1f {
        0 => Ok((Layer::Ethernet, inside)),
        2 => Ok((Layer::Ip(Net::Any), inside)),
        _ => Err(DropReason::BadEncapsulation),
    }
}
