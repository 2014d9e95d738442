//! Tunnels over UDP. A port is only a hint (RFC 7605): the datagram is a tunnel when the header
//! is one of the protocol's and a TCP segment, a UDP datagram or a fragment of one is found
//! inside; otherwise it is the datagram that it seems to be.

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    geneve, gtp, l2tp,
    road::{Found, Layer, Next, Road, walk},
    span::Span,
    teredo,
    transport::Ports,
    tzsp, vxlan,
};

/// Whether one of the ports is a tunnel's. The common case asks this for every datagram.
#[inline]
pub(crate) fn may_be((from, to): Ports) -> bool {
    is_port(from) || is_port(to)
}

/// The ports that IANA lists, and the one that Linux used for VXLAN before there was one.
#[inline]
fn is_port(port: u16) -> bool {
    matches!(port, 1701 | 2152 | 3544 | 4754 | 4789 | 4790 | 6081 | 6635 | 8472 | 37008)
}

fn enter<'f>(port: u16, span: Span<'f>, road: &mut Road) -> Option<Next<'f>> {
    Some(match port {
        1701 => l2tp::over_udp(span, road),
        2152 => gtp::enter(span, road),
        3544 => teredo::enter(span, road),
        // RFC 8086 and RFC 7510: nothing between the two headers.
        4754 => {
            road.note(Step::UDP);
            Ok((Layer::Gre, span))
        }
        6635 => {
            road.note(Step::UDP);
            Ok((Layer::Mpls, span))
        }
        4789 | 8472 => vxlan::enter(span, road),
        4790 => vxlan::generic(span, road),
        6081 => geneve::enter(span, road),
        37008 => tzsp::enter(span, road),
        _ => return None,
    })
}

/// What is found inside, `None` when it is no tunnel; an error when it is one too many.
pub(crate) fn inside<'f>(
    (from, to): Ports,
    payload: Span<'f>,
    road: &mut Road,
) -> Result<Option<Found<'f>>, DropReason> {
    // Most tunnels choose the source port freely; it says something on the way back of those
    // that do not.
    for port in [Some(to), Some(from).filter(|&from| from != to)].into_iter().flatten() {
        let mut inside = *road;
        let Some(next) = enter(port, payload, &mut inside) else { continue };
        match next.and_then(|(layer, span)| walk(layer, span, &mut inside)) {
            Ok(found) => {
                *road = inside;
                return Ok(Some(found));
            }
            Err(DropReason::TooDeep) => return Err(DropReason::TooDeep),
            Err(_) => {}
        }
    }
    Ok(None)
}
