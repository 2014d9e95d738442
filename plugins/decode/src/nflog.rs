//! Packets from the firewall's log (LINKTYPE_NFLOG): a header, then typed values of which one
//! is the packet. <https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>

use crate::{
    drop_reason::DropReason,
    ip::Net,
    road::{Layer, Next},
    span::Span,
};

const HEADER: usize = 4;
const PAYLOAD: u16 = 9;

/// Goes to the value that is the packet.
pub(crate) fn enter(span: Span<'_>) -> Next<'_> {
    let [family, version, ..] =
        *span.captured().first_chunk::<HEADER>().ok_or(DropReason::ShortFrame)?;
    if version != 0 {
        return Err(DropReason::BadEncapsulation);
    }
    let net = match family {
        2 => Net::V4,
        10 => Net::V6,
        // A bridge's; the packet says.
        _ => Net::Any,
    };
    // Lengths and types have the byte order of the machine that captured, which nothing says.
    let (at, len) = payload(span, u16::from_le_bytes)
        .or_else(|_| payload(span, u16::from_be_bytes))
        .map_err(|_| DropReason::BadEncapsulation)?;
    Ok((Layer::Ip(net), span.skip(at).limit(len)))
}

/// Where the packet starts and how long it is; an error where the values do not fit together.
fn payload(span: Span<'_>, number: fn([u8; 2]) -> u16) -> Result<(usize, usize), ()> {
    let mut at = HEADER;
    loop {
        let [a, b, c, d] = *span.captured().get(at..).and_then(<[u8]>::first_chunk).ok_or(())?;
        let (len, kind) = (usize::from(number([a, b])), number([c, d]));
        if len < 4 || at + len > span.len() {
            return Err(());
        }
        if kind == PAYLOAD {
            return Ok((at + 4, len - 4));
        }
        at += len.next_multiple_of(4);
    }
}
