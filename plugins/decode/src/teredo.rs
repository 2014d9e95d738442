//! IPv6 over UDP through NATs (RFC 4380, section 5.1.1), with its indications in front.

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ip::{self, Net},
    road::{Layer, Next, Road},
    span::Span,
};

const ORIGIN: usize = 8;

/// Steps over the authentication and origin indications.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let mut rest = span;
    if let [0, 1, id, authentication, ..] = rest.captured() {
        // After these four bytes and the two values come a nonce and a confirmation byte.
        rest = rest.skip(4 + usize::from(*id) + usize::from(*authentication) + 9);
    }
    if rest.captured().starts_with(&[0, 0]) {
        rest = rest.skip(ORIGIN);
    }
    if !matches!(ip::plausible(rest), Some((Net::V6, _))) {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::TEREDO)?;
    Ok((Layer::Ip(Net::V6), rest))
}
