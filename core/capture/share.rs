//! Which worker a frame belongs to, when several share one capture.
//!
//! By the two IP addresses alone, not the ports: both directions of a connection agree, and
//! so do the fragments of a datagram, of which only the first has ports. So the same records
//! come out for any number of workers. The price is that everything between one pair of hosts
//! is one worker's.

const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const LOOP: u16 = 108;
const SLL: u16 = 113;
const SLL2: u16 = 276;

/// The share of one worker among `workers`.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    worker: u64,
    workers: u64,
}

impl Share {
    /// Worker number `worker`, from 0, of `workers`.
    pub fn new(worker: usize, workers: usize) -> Self {
        Self { worker: worker as u64, workers: workers as u64 }
    }

    /// Whether the frame is this worker's. Frames without IP are the first worker's.
    #[inline]
    pub fn has(self, frame: &[u8], link: u16) -> bool {
        if self.workers == 1 {
            return true;
        }
        let hash = addresses(frame, link).map_or(0, mix);
        ((hash >> 32) * self.workers) >> 32 == self.worker
    }
}

/// A number from both addresses that does not depend on their order.
#[inline]
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
    let ip = frame.get(at..)?;
    match (kind, ip.first()? >> 4) {
        (0x0800 | 0, 4) => {
            let pair = ip.get(12..20)?.as_chunks::<4>().0;
            Some(u64::from(u32::from_be_bytes(pair[0])) + u64::from(u32::from_be_bytes(pair[1])))
        }
        (0x86dd | 0, 6) => {
            let words = ip.get(8..40)?.as_chunks::<8>().0;
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| u64::from_be_bytes(words[i]));
            // Each address is folded before the two are added, or swapping halves between
            // them would collide.
            Some(mix(a).wrapping_add(b).wrapping_add(mix(c)).wrapping_add(d))
        }
        _ => None,
    }
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
    use ringmill_sdk::testing::Frame;

    use super::{ETHERNET, Share};

    fn owners(frame: &[u8], workers: usize) -> Vec<usize> {
        (0..workers).filter(|&w| Share::new(w, workers).has(frame, ETHERNET)).collect()
    }

    #[test]
    fn every_frame_has_one_owner_and_both_directions_the_same() {
        let pairs = [
            ("10.0.0.1:1234", "10.0.0.2:80"),
            ("192.0.2.7:4000", "198.51.100.9:443"),
            ("[2001:db8::1]:999", "[2001:db8:1::2]:80"),
        ];
        for (a, b) in pairs {
            for workers in 1..9 {
                let there = owners(&Frame::tcp(a, b).payload(b"GET ").build(), workers);
                let back = owners(&Frame::tcp(b, a).vlan(7).build(), workers);
                assert_eq!(there.len(), 1, "{a} {b} {workers}");
                assert_eq!(there, back, "{a} {b} {workers}");
            }
        }
    }

    #[test]
    fn frames_that_make_no_sense_have_an_owner_too() {
        let hostile: &[&[u8]] =
            &[b"", b"\0", &[0x81; 14], &[0x81, 0, 0x81, 0, 0x81, 0], &[0xff; 60]];
        for frame in hostile {
            assert_eq!(owners(frame, 4).len(), 1, "{frame:?}");
        }
    }

    #[test]
    fn hosts_spread_over_the_workers() {
        let mut count = [0; 4];
        for host in 0..1000 {
            let a = format!("10.0.{}.{}:1000", host / 250, host % 250 + 1);
            count[owners(&Frame::tcp(&a, "192.0.2.1:80").build(), 4)[0]] += 1;
        }
        assert!(count.iter().all(|&n| n > 150), "{count:?}");
    }
}
