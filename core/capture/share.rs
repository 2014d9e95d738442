//! Which worker a frame belongs to, when several share one capture.
//!
//! By the two innermost IP addresses alone, not the ports: both directions of a connection
//! agree, also when only one of them is in a tunnel, and so do the fragments of a datagram, of
//! which only the first has ports. So the same records come out for any number of workers. The
//! price is that everything between one pair of hosts is one worker's, and that who deals follows
//! every tunnel. One thing is not found in time: that the fragments of an outer datagram are those
//! of a tunnel; they go by the outer addresses.

use ringmill_sdk::unmap_v4;

const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const LOOP: u16 = 108;
const SLL: u16 = 113;
const SLL2: u16 = 276;

// IANA's protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;

/// Which of `workers` workers a frame belongs to, from 0. Frames without IP are the first one's.
#[inline]
pub fn owner(frame: &[u8], link: u16, workers: usize) -> usize {
    let hash = usual(frame, link).or_else(|| addresses(frame, link)).map_or(0, mix);
    let owner = ((hash >> 32) * workers as u64) >> 32;
    usize::try_from(owner).unwrap_or_default()
}

/// Of most frames, TCP in IPv4 in Ethernet, what [`addresses`] would find with more questions.
#[inline(always)]
fn usual(frame: &[u8], link: u16) -> Option<u64> {
    let frame = frame.first_chunk::<34>()?;
    let is_usual = link == ETHERNET
        && be16(frame, 12)? == 0x0800
        && frame[14] >> 4 == 4
        && be16(frame, 20)? & 0x3fff == 0
        && frame[23] == TCP;
    let pair = frame[26..].as_chunks::<4>().0;
    is_usual.then(|| v4_pair(pair[0], pair[1]))
}

/// A number from both addresses that does not depend on their order.
fn addresses(frame: &[u8], link: u16) -> Option<u64> {
    let (mut kind, mut at) = match link {
        ETHERNET => (be16(frame, 12)?, 14),
        SLL => (be16(frame, 14)?, 16),
        SLL2 => (be16(frame, 0)?, 20),
        NULL | LOOP => (0, 4),
        _ => (0, 0),
    };
    // 802.1Q, 802.1ad and the number that QinQ had before there was one.
    while matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
        kind = be16(frame, at + 2)?;
        at += 4;
    }
    let ip = frame.get(at..).unwrap_or_default();
    let outer = match (kind, ip.first().map_or(0, |byte| byte >> 4)) {
        (0x0800 | 0, 4) => {
            let pair = ip.get(12..20)?.as_chunks::<4>().0;
            let pair = v4_pair(pair[0], pair[1]);
            let fragment = be16(ip, 6)? & 0x3fff != 0;
            if fragment || is_plain(ip[9], ip, usize::from(ip[0] & 15) * 4) {
                return Some(pair);
            }
            Some(pair)
        }
        (0x86dd | 0, 6) => {
            let pair = ip.get(8..40)?.as_chunks::<16>().0;
            let pair = v6_pair(&pair[0], &pair[1]);
            if ip[6] == FRAGMENT || is_plain(ip[6], ip, 40) {
                return Some(pair);
            }
            Some(pair)
        }
        _ => None,
    };
    inner(frame, link).or(outer)
}

/// Whether nothing is inside but what its ports say: no tunnel.
#[inline]
fn is_plain(protocol: u8, ip: &[u8], at: usize) -> bool {
    match protocol {
        TCP | ICMP | ICMPV6 => true,
        UDP => match (be16(ip, at), be16(ip, at + 2)) {
            (Some(from), Some(to)) => !ringmill_decode::may_be_tunnel((from, to)),
            _ => true,
        },
        _ => false,
    }
}

/// The pair of what is inside.
#[cold]
fn inner(frame: &[u8], link: u16) -> Option<u64> {
    let (from, to) = ringmill_decode::ends(frame, link)?;
    Some(match (unmap_v4(&from), unmap_v4(&to)) {
        (Some(from), Some(to)) => v4_pair(from, to),
        _ => v6_pair(&from, &to),
    })
}

#[inline]
fn v4_pair(from: [u8; 4], to: [u8; 4]) -> u64 {
    u64::from(u32::from_be_bytes(from)) + u64::from(u32::from_be_bytes(to))
}

#[inline]
fn v6_pair(from: &[u8; 16], to: &[u8; 16]) -> u64 {
    // Each address is folded before the two are added, or swapping halves between them would
    // collide.
    let fold = |address: &[u8; 16]| {
        let words = address.as_chunks::<8>().0;
        mix(u64::from_be_bytes(words[0])).wrapping_add(u64::from_be_bytes(words[1]))
    };
    fold(from).wrapping_add(fold(to))
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// Spreads the bits (the finalizer of `splitmix64`, Vigna 2015).
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::testing::{Frame, wrap};

    use super::{ETHERNET, owner};

    #[test]
    fn every_frame_has_an_owner_and_both_directions_the_same() {
        let pairs = [
            ("10.0.0.1:1234", "10.0.0.2:80"),
            ("192.0.2.7:4000", "198.51.100.9:443"),
            ("[2001:db8::1]:999", "[2001:db8:1::2]:80"),
        ];
        for (a, b) in pairs {
            for workers in 1..9 {
                let there = Frame::tcp(a, b).payload(b"GET ").build();
                let there = owner(&there, ETHERNET, workers);
                let back = owner(&Frame::tcp(b, a).vlan(7).build(), ETHERNET, workers);
                assert!(there < workers, "{a} {b} {workers}");
                assert_eq!(there, back, "{a} {b} {workers}");
            }
        }
    }

    #[test]
    fn a_tunnel_around_one_direction_parts_no_connection() {
        let (a, b) = ("10.0.0.1:1234", "192.0.2.80:80");
        let (there, back) = (Frame::tcp(a, b).payload(b"GET "), Frame::tcp(b, a).build());
        let tunnels = wrap::every(&there);
        assert!(tunnels.len() > 10);
        for workers in [2, 4, 7] {
            let back = owner(&back, ETHERNET, workers);
            for (name, frame) in &tunnels {
                assert_eq!(owner(frame, ETHERNET, workers), back, "{name} {workers}");
            }
        }
    }

    #[test]
    fn frames_that_make_no_sense_have_an_owner_too() {
        let hostile: &[&[u8]] =
            &[b"", b"\0", &[0x81; 14], &[0x81, 0, 0x81, 0, 0x81, 0], &[0xff; 60]];
        for frame in hostile {
            assert!(owner(frame, ETHERNET, 4) < 4, "{frame:?}");
        }
    }

    #[test]
    fn hosts_spread_over_the_workers() {
        let mut count = [0; 4];
        for host in 0..1000 {
            let a = format!("10.0.{}.{}:1000", host / 250, host % 250 + 1);
            count[owner(&Frame::tcp(&a, "192.0.2.1:80").build(), ETHERNET, 4)] += 1;
        }
        assert!(count.iter().all(|&n| n > 150), "{count:?}");
    }
}
