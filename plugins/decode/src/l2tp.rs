//! L2TP version 2 (RFC 2661) and 3 (RFC 3931).

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    ethernet, ip,
    road::{Layer, Next, Road},
    span::Span,
};

const CONTROL: u16 = 0x8000;
const LENGTH: u16 = 0x4000;
const SEQUENCE: u16 = 0x0800;
const OFFSET: u16 = 0x0200;
const VERSION: u16 = 0x000f;

/// Over UDP: the first two bytes tell the versions apart.
pub(crate) fn over_udp<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let flags = u16::from_be_bytes(*span.head()?);
    match flags & (CONTROL | VERSION) {
        2 => second(span, flags, road),
        // RFC 3931, section 4.1.2: flags and two reserved bytes, then as over IP.
        3 => third(span.skip(4), road),
        _ => Err(DropReason::BadEncapsulation),
    }
}

/// A message's optional fields, then PPP.
fn second<'f>(span: Span<'f>, flags: u16, road: &mut Road) -> Next<'f> {
    let (mut rest, mut header) = (span.skip(2), 2);
    let mut number = || -> Result<u16, DropReason> {
        let number = u16::from_be_bytes(*rest.head()?);
        (rest, header) = (rest.skip(2), header + 2);
        Ok(number)
    };
    let len = if flags & LENGTH != 0 { Some(usize::from(number()?)) } else { None };
    let (tunnel, session) = (number()?, number()?);
    if flags & SEQUENCE != 0 {
        number()?;
        number()?;
    }
    let padding = if flags & OFFSET != 0 { usize::from(number()?) } else { 0 };
    let header = header + padding;
    if len.is_some_and(|len| len < header) {
        return Err(DropReason::BadEncapsulation);
    }
    road.enter(Step::L2TP_2)?;
    road.note(Step::PPP);
    road.scoped(u32::from(tunnel));
    road.scoped(u32::from(session));
    Ok((Layer::Ppp, span.limit(len.unwrap_or(span.len())).skip(header)))
}

/// A session number; then a cookie of 0, 4 or 8 bytes, a sublayer header of 0 or 4, and the
/// frame, all as the two ends agreed and nothing in the packet says. So the first place where
/// a frame fits is taken.
pub(crate) fn third<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let session = u32::from_be_bytes(*span.head()?);
    if session == 0 {
        return Err(DropReason::L2tpControl);
    }
    road.enter(Step::L2TP_3)?;
    road.scoped(session);
    for cookie in [0, 4, 8, 12] {
        let rest = span.skip(4 + cookie);
        if ethernet::is_plausible(rest.captured()) {
            return Ok((Layer::Ethernet, rest));
        }
        if let Some((net, _)) = ip::plausible(rest) {
            return Ok((Layer::Ip(net), rest));
        }
        if rest.captured().starts_with(&[0xff, 3]) {
            road.note(Step::PPP);
            return Ok((Layer::Ppp, rest));
        }
    }
    Err(DropReason::BadEncapsulation)
}
