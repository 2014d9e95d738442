//! A TCP segment as reassembly sees it.

use ringmill_sdk::Packet;

use crate::rows::Seen;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
const ACK: u8 = 16;

/// The TCP header (RFC 9293, section 3.1), as far as it is needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub seq: u32,
    pub ack: Option<u32>,
    pub flags: u8,
}

impl Tcp {
    /// `None` if the header is not there.
    #[inline]
    pub(super) fn of(packet: &Packet<'_>) -> Option<Self> {
        let header = packet.frame().get(usize::from(packet.layers().l4)..)?.first_chunk::<14>()?;
        let [_, _, _, _, a, b, c, d, e, f, g, h, _, flags] = *header;
        let ack = (flags & ACK != 0).then_some(u32::from_be_bytes([e, f, g, h]));
        Some(Self { seq: u32::from_be_bytes([a, b, c, d]), ack, flags })
    }

    /// The sequence number of the first byte of the payload: a SYN has a number of its own.
    #[inline]
    pub(super) fn first(&self) -> u32 {
        self.seq.wrapping_add(u32::from(self.flags & SYN != 0))
    }
}

/// The length of the payload on the wire, which the capture may have cut, by what the IP
/// header says.
#[inline]
pub(super) fn wire_length(packet: &Packet<'_>) -> u32 {
    let captured = packet.layers().payload_len;
    if packet.is_truncated() { cut_length(packet).max(captured) } else { captured }
}

#[cold]
fn cut_length(packet: &Packet<'_>) -> u32 {
    let layers = packet.layers();
    let (l3, payload) = (usize::from(layers.l3), u32::from(layers.payload));
    let field = |at: usize| match packet.frame().get(l3 + at..l3 + at + 2) {
        Some(&[high, low]) => u32::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    // RFC 791 counts the header, RFC 8200 does not.
    let ip = match layers.ip_version {
        4 => field(2),
        6 => field(4).saturating_add(40),
        _ => 0,
    };
    match ip {
        // Segmentation offload leaves 0 behind.
        0 | 40 => packet.wire_len().saturating_sub(payload),
        _ => (ip + u32::from(layers.l3)).saturating_sub(payload),
    }
}

/// A segment with payload.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub seq: u32,
    pub ack: Option<u32>,
    /// What was captured.
    pub bytes: &'a [u8],
    /// Its length on the wire, at least that of `bytes`.
    pub wire: u32,
    pub seen: Seen,
}

impl<'a> Segment<'a> {
    /// What of it lies before sequence number `at`, and from there on.
    pub(super) fn split(&self, at: u32) -> (Segment<'a>, Segment<'a>) {
        let length = at.wrapping_sub(self.seq).min(self.wire);
        let (before, after) = self.bytes.split_at((length as usize).min(self.bytes.len()));
        let before = Self { bytes: before, wire: length, ..*self };
        (before, Self { seq: at, bytes: after, wire: self.wire - length, ..*self })
    }

    /// The sequence number behind it.
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.wire)
    }
}

/// How far `a` is ahead of `b` (RFC 9293, section 3.4: modulo 2^32).
#[inline]
#[allow(clippy::cast_possible_wrap, reason = "serial arithmetic")]
pub(super) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics to fail")]

    use ringmill_sdk::testing::{Frame, START, decoded};

    use super::*;

    #[test]
    fn lengths_on_the_wire() {
        for (from, to) in [("10.0.0.1:1", "10.0.0.2:2"), ("[::1]:1", "[::2]:2")] {
            let frame = Frame::tcp(from, to).seq(7).ack(9).fin().payload([0; 100]).build();
            for cut in [0, 1, 50, 100] {
                let packet = decoded(&frame[..frame.len() - cut], START);
                assert_eq!(wire_length(&packet), 100, "{from} without {cut}");
                let tcp = Tcp::of(&packet).unwrap();
                assert_eq!((tcp.seq, tcp.ack, tcp.flags), (7, Some(9), FIN | ACK));
            }
        }
        assert_eq!([ahead(1, u32::MAX), ahead(0, 0), ahead(u32::MAX, 1)], [2, 0, -2]);
    }
}
