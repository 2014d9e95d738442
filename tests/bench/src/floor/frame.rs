//! Finds the TCP payload of an Ethernet frame by hand.
//!
//! It looks at nothing that the answer does not need: no checksum, no options. That is what
//! makes it the floor and not a decoder.

const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;

/// The TCP payload, without Ethernet padding; `None` for everything else and for what does
/// not fit. The payload of a bare ACK is empty.
#[inline(always)]
pub(super) fn tcp_payload(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 14;
    let mut ether_type = be16(frame, 12)?;
    while ether_type == VLAN || ether_type == PROVIDER_VLAN {
        ether_type = be16(frame, at + 2)?;
        at += 4;
    }
    let segment = match ether_type {
        IPV4 => {
            let header: &[u8; 20] = frame.get(at..)?.first_chunk()?;
            // A later fragment has no TCP header; the mask leaves DF and MF out.
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
            if header[9] != TCP || fragment != 0 {
                return None;
            }
            let head = usize::from(header[0] & 0x0f) * 4;
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            frame.get(at + head..at + total)?
        }
        IPV6 => {
            let header: &[u8; 40] = frame.get(at..)?.first_chunk()?;
            if header[6] != TCP {
                return None;
            }
            let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
            frame.get(at + 40..at + 40 + payload)?
        }
        _ => return None,
    };
    let head = usize::from(*segment.get(12)? >> 4) * 4;
    segment.get(head..)
}

/// What a payload begins with, as far as four bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request,
    Response,
}

/// Tells a head by its first four bytes. The seven words are those that the engine looks
/// for: GET, POST, PUT, DELETE, PATCH, HEAD and HTTP.
#[inline(always)]
pub(super) fn start(payload: &[u8]) -> Option<Start> {
    match payload.first_chunk()? {
        b"HTTP" => Some(Start::Response),
        b"GET " | b"POST" | b"PUT " | b"DELE" | b"PATC" | b"HEAD" => Some(Start::Request),
        _ => None,
    }
}

#[inline(always)]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_tell_a_head() {
        let cases: &[(&[u8], Option<Start>)] = &[
            (b"GET / HTTP/1.1", Some(Start::Request)),
            (b"PATCH /", Some(Start::Request)),
            (b"HTTP/1.1 200 OK", Some(Start::Response)),
            (b"GETS", None),
            (b"GET", None),
            (b"", None),
            (b"\x17\x03\x03\x05", None),
        ];
        for (payload, expected) in cases {
            assert_eq!(start(payload), *expected, "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn cut_frames_have_no_payload() {
        let mut frame = vec![0_u8; 14];
        frame[12..14].copy_from_slice(&IPV4.to_be_bytes());
        frame.extend([0x45, 0, 0, 44, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0; 12]);
        frame.extend([0x50, 0x18, 0, 0, 0, 0, 0, 0]);
        frame.extend(b"GET ");
        assert_eq!(tcp_payload(&frame), Some(&b"GET "[..]));
        for end in 0..frame.len() {
            assert_eq!(tcp_payload(&frame[..end]), None, "cut at {end}");
        }
    }
}
