//! The `TaZmen` Sniffer Protocol: frames that an access point or a router sends to whoever
//! listens. There is no standard; this follows Wireshark's `packet-tzsp.c`.

use ringmill_sdk::Step;

use crate::{
    drop_reason::DropReason,
    road::{Layer, Next, Road},
    span::Span,
};

const HEADER: usize = 4;
const VERSION: u8 = 1;
const PADDING: u8 = 0;
const END: u8 = 1;

/// Steps over the header and its tags.
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[version, kind, high, low] = span.head::<HEADER>()?;
    // A packet that was received, or one to be sent.
    if version != VERSION || kind > 1 {
        return Err(DropReason::BadEncapsulation);
    }
    let (step, layer) = match u16::from_be_bytes([high, low]) {
        1 => (Step::ETHERNET, Layer::Ethernet),
        18 => (Step::WIFI, Layer::Wifi),
        119 => (Step::WIFI, Layer::Prism),
        127 => (Step::WIFI, Layer::Avs),
        _ => return Err(DropReason::UnknownLinkType),
    };
    road.enter(Step::TZSP)?;
    if step == Step::WIFI {
        road.note(step);
    }
    let mut rest = span.skip(HEADER);
    loop {
        match *rest.head::<1>()? {
            [END] => return Ok((layer, rest.skip(1))),
            [PADDING] => rest = rest.skip(1),
            _ => rest = rest.skip(2 + usize::from(rest.head::<2>()?[1])),
        }
    }
}
