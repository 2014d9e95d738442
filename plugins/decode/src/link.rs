//! The link layer of the capture, by its LINKTYPE number: <https://www.tcpdump.org/linktypes.html>.

use crate::{
    drop_reason::DropReason,
    ethernet,
    ip::Net,
    nflog,
    road::{Layer, Next, Road},
    span::{Span, be16},
    wifi,
};

/// Goes to what the frame carries.
pub(crate) fn enter<'f>(span: Span<'f>, link: u16, road: &mut Road) -> Next<'f> {
    let frame = span.captured();
    let ether_type = |at| be16(frame, at).ok_or(DropReason::ShortFrame);
    match link {
        1 => ethernet::outermost(span, ether_type(12)?, 14, road),
        // LINUX_SLL: the protocol is the last field of the header.
        113 => ethernet::outermost(span, ether_type(14)?, 16, road),
        // LINUX_SLL2: the protocol is the first.
        276 => ethernet::outermost(span, ether_type(0)?, 20, road),
        // RAW, and as two BSDs number it.
        101 | 12 | 14 => Ok((Layer::Ip(Net::Any), span)),
        228 => Ok((Layer::Ip(Net::V4), span)),
        229 => Ok((Layer::Ip(Net::V6), span)),
        // NULL has the byte order of the machine that captured, LOOP that of the network.
        0 | 108 => loopback(span),
        // PPP; PPP or Cisco's framing, the first byte tells; C_HDLC; the session that is
        // elsewhere inside Ethernet; PPP after a byte that says which way it went.
        9 => Ok((Layer::Ppp, span)),
        50 if matches!(frame, [0x0f | 0x8f, ..]) => Ok((Layer::Hdlc, span)),
        50 => Ok((Layer::Ppp, span)),
        104 => Ok((Layer::Hdlc, span)),
        51 => Ok((Layer::Pppoe, span)),
        204 => Ok((Layer::Ppp, span.skip(1))),
        105 => Ok((Layer::Wifi, span)),
        119 => Ok((Layer::Prism, span)),
        127 => wifi::radiotap(span, road),
        163 => Ok((Layer::Avs, span)),
        239 => nflog::enter(span),
        _ => Err(DropReason::UnknownLinkType),
    }
}

fn loopback(span: Span<'_>) -> Next<'_> {
    let family = *span.captured().first_chunk().ok_or(DropReason::ShortFrame)?;
    // No family is above 255, so only one of the two readings can be one.
    let net = match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
        2 => Net::V4,
        // Linux; NetBSD and OpenBSD; FreeBSD; Darwin.
        10 | 24 | 28 | 30 => Net::V6,
        _ => return Err(DropReason::OtherEthertype),
    };
    Ok((Layer::Ip(net), span.skip(4)))
}
