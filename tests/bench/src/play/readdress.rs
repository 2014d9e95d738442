//! The same conversations by other hosts, so that a capture can be played for longer than it is:
//! played again as it was it is all retransmissions.

/// Gives each of the two addresses of an IP packet in an Ethernet frame, tagged or not, the one
/// that follows: the first 16 bits of it become one more, and the next one less. So every checksum
/// stays right (RFC 1071, RFC 6296), the two directions of a connection fit together, and no
/// address comes again before the 65,535th time. Other frames stay as they are.
pub fn readdress(frame: &mut [u8]) {
    let mut at = 12;
    while frame.get(at..at + 2) == Some(&[0x81, 0]) {
        at += 4;
    }
    let (source, length) = match frame.get(at..at + 2) {
        Some([0x08, 0]) => (at + 14, 4),
        Some([0x86, 0xdd]) => (at + 10, 16),
        _ => return,
    };
    for address in [source, source + length] {
        let Some([a, b, c, d]) = frame.get_mut(address..address + 4) else { return };
        ([*a, *b], [*c, *d]) = (add([*a, *b], 1), add([*c, *d], !1));
    }
}

/// The sum as checksums take it: what does not fit comes back at the end.
fn add(word: [u8; 2], more: u16) -> [u8; 2] {
    let (sum, carry) = u16::from_be_bytes(word).overflowing_add(more);
    (sum + u16::from(carry)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::readdress;
    use crate::{
        play::frames,
        workload::{Limit, Mix, generate},
    };

    /// The sum of all 16-bit words, from the IP header on.
    fn sum(bytes: &[u8]) -> u64 {
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        bytes.chunks(2).map(word).sum::<u64>() % 0xffff
    }

    #[test]
    fn hosts_are_others_each_time_and_checksums_stay_right() {
        let mut capture = Vec::new();
        generate(Mix::Campus, Limit::Packets(500), 1, &mut capture).unwrap();
        let (mut versions, mut tagged) = (BTreeSet::new(), false);
        for frame in frames(&capture).unwrap() {
            let begin = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
            let (addresses, length) = match frame[begin] >> 4 {
                4 => (begin + 12, 4),
                _ => (begin + 8, 16),
            };
            let of = |frame: &[u8]| frame[addresses..addresses + 2 * length].to_vec();
            let (mut other, mut pairs) = (frame.to_vec(), BTreeSet::from([of(frame)]));
            for _ in 0..1000 {
                readdress(&mut other);
                assert!(pairs.insert(of(&other)), "{frame:?}");
            }
            assert_eq!(sum(&other[begin..]), sum(&frame[begin..]), "{frame:?}");
            let behind = addresses + 2 * length;
            assert_eq!(other[..addresses], frame[..addresses]);
            assert_eq!(other[behind..], frame[behind..]);
            versions.insert(frame[begin] >> 4);
            tagged |= begin == 18;
        }
        assert_eq!((versions, tagged), (BTreeSet::from([4, 6]), true), "it tests too little");
    }

    #[test]
    fn what_is_no_whole_ip_packet_is_left_alone_or_cut_short() {
        for frame in [&b""[..], &[0; 14], &[[0; 12].as_slice(), &[8, 6], &[1; 28]].concat()] {
            let mut other = frame.to_vec();
            readdress(&mut other);
            assert_eq!(other, frame);
        }
        let mut cut = [[0; 12].as_slice(), &[8, 0], &[1; 10]].concat();
        readdress(&mut cut);
    }
}
