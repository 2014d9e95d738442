//! MPLS (RFC 3032). Nothing in the label stack says what lies below it, so that is guessed as
//! RFC 4385 and RFC 4928 suggest: by the first four bits, and where those may as well be those
//! of a MAC address, by whether the rest fits.

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet, ip,
    road::{Layer, Next, Road},
    span::Span,
};

const LABEL: usize = 4;
/// Of a pseudo-wire (RFC 4385, section 3).
const CONTROL_WORD: usize = 4;

/// Steps over the labels.
pub(crate) fn enter<'f>(mut span: Span<'f>, road: &mut Road) -> Next<'f> {
    road.enter(Step::MPLS)?;
    loop {
        let label = span.head::<LABEL>()?;
        span = span.skip(LABEL);
        if label[2] & 1 != 0 {
            return below(span);
        }
    }
}

/// What lies below the stack.
fn below(span: Span<'_>) -> Next<'_> {
    let inside = span.captured();
    let behind_control_word = inside.get(CONTROL_WORD..).unwrap_or_default();
    let first = *inside.first().ok_or_else(|| span.lacks(1))?;
    match ip::plausible(span) {
        // To its end, but for a checksum of the frame's; or else it may be a MAC address.
        Some((net, len)) if len + 4 >= span.len() || !ethernet::is_plausible(inside) => {
            Ok((Layer::Ip(net), span))
        }
        // Before the control word is thought of: a tagged frame without one looks like an
        // untagged frame behind one, but hardly the other way round.
        _ if ethernet::is_plausible(inside) => Ok((Layer::Ethernet, span)),
        _ if first >> 4 == 0 && ethernet::is_plausible(behind_control_word) => {
            Ok((Layer::Ethernet, span.skip(CONTROL_WORD)))
        }
        _ => Err(DropReason::Mpls),
    }
}
