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

/// The ports that IANA lists, and the one that Linux used for VXLAN before there was one.
const PORTS: [u16; 10] = [1701, 2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472, 37008];

/// One bit for each port, by its lower ten bits.
static FILTER: [u64; 16] = {
    let (mut filter, mut at) = ([0; 16], 0);
    while at < PORTS.len() {
        let bit = PORTS[at] as usize % 1024;
        filter[bit / 64] |= 1 << (bit % 64);
        at += 1;
    }
    filter
};

/// Whether one of the ports is a tunnel's. The common case asks this for every datagram, and
/// one look at the filter answers for nearly all.
#[inline(always)]
pub(crate) fn may_be((from, to): Ports) -> bool {
    let has = |port: u16| FILTER[usize::from(port / 64 % 16)] >> (port % 64) & 1;
    has(from) | has(to) != 0 && is_exactly(from, to)
}

#[cold]
#[inline(never)]
fn is_exactly(from: u16, to: u16) -> bool {
    PORTS.contains(&from) || PORTS.contains(&to)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_and_no_others_may_be_tunnels() {
        for port in 0..=u16::MAX {
            let span = Span::of_frame(&[], 0);
            let known = enter(port, span, &mut Road::default()).is_some();
            assert_eq!(may_be((port, 80)), known, "{port}");
            assert_eq!(may_be((80, port)), known, "{port}");
        }
    }
}
