//! The flow hash: the same for both directions of a connection.
//!
//! Not keyed: whoever wants to can send packets that collide, so nothing may rely on it being
//! unique. One folded multiplication, as in wyhash, mixes well enough that any bits of it may
//! choose a bucket; the tests look at both ends.

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xe703_7ed1_a0b4_28db;

/// Of an IPv4 connection.
#[inline]
pub(crate) fn v4(from: [u8; 4], to: [u8; 4], ports: (u16, u16), protocol: u8) -> u64 {
    let end = |address: [u8; 4], port: u16| {
        (u64::from(u32::from_be_bytes(address)) << 16) | u64::from(port)
    };
    ends(end(from, ports.0), end(to, ports.1), protocol)
}

/// Of an IPv6 connection.
#[inline]
pub(crate) fn v6(from: [u8; 16], to: [u8; 16], ports: (u16, u16), protocol: u8) -> u64 {
    let end = |address: [u8; 16], port: u16| {
        let (high, low) = halves(u128::from_be_bytes(address));
        fold(high ^ K0, low ^ K1).wrapping_add(u64::from(port))
    };
    ends(end(from, ports.0), end(to, ports.1), protocol)
}

#[inline]
fn ends(a: u64, b: u64, protocol: u8) -> u64 {
    let mixed = fold(a.min(b) ^ K0, a.max(b) ^ K1 ^ (u64::from(protocol) << 56));
    fold(mixed ^ K1, K0)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let (high, low) = halves(u128::from(a) * u128::from(b));
    high ^ low
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn halves(wide: u128) -> (u64, u64) {
    ((wide >> 64) as u64, wide as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u8 = 6;

    #[test]
    fn both_directions_are_equal_and_nothing_else() {
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let (a6, b6) = ([1; 16], [2; 16]);
        assert_eq!(v4(a, b, (1, 2), TCP), v4(b, a, (2, 1), TCP));
        assert_eq!(v6(a6, b6, (1, 2), TCP), v6(b6, a6, (2, 1), TCP));
        let others = [
            ("ports swapped", v4(a, b, (2, 1), TCP)),
            ("another port", v4(a, b, (1, 3), TCP)),
            ("another address", v4(a, [10, 0, 0, 3], (1, 2), TCP)),
            ("another protocol", v4(a, b, (1, 2), 17)),
            ("IPv6", v6(a6, b6, (1, 2), TCP)),
        ];
        for (what, hash) in others {
            assert_ne!(hash, v4(a, b, (1, 2), TCP), "{what}");
        }
    }

    /// Connections as they are in a campus, in the least random way: neighbours of each
    /// other. Every bit of the hash must spread them.
    #[test]
    fn neighbours_spread_over_the_buckets() {
        let low = |n: u32| u16::try_from(n & 0xffff).unwrap();
        let server = [192, 0, 2, 1];
        type Make<'a> = &'a dyn Fn(u32) -> u64;
        let cases: [(&str, Make<'_>); 5] = [
            ("client ports", &|n| v4([10, 0, 0, 1], server, (low(n), 443), TCP)),
            ("clients", &|n| v4((0x0a00_0000 + n).to_be_bytes(), server, (40_000, 443), TCP)),
            ("servers", &|n| v4([10, 0, 0, 1], (n << 8).to_be_bytes(), (40_000, 443), TCP)),
            ("IPv6 ports", &|n| v6([1; 16], [2; 16], (low(n), 443), TCP)),
            ("IPv6 clients", &|n| {
                v6((0x2001_u128 << 112 | u128::from(n)).to_be_bytes(), [2; 16], (1, 443), TCP)
            }),
        ];
        let flows = 1_u32 << 16;
        for (name, hash) in cases {
            for shift in [0, 8, 24, 40, 52] {
                for buckets in [8_u64, 1024] {
                    let mut counts = vec![0_u32; usize::try_from(buckets).unwrap()];
                    for n in 0..flows {
                        counts[usize::try_from((hash(n) >> shift) % buckets).unwrap()] += 1;
                    }
                    let mean = f64::from(flows) / counts.len() as f64;
                    let chi: f64 =
                        counts.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
                    let free = counts.len() as f64 - 1.0;
                    // Six standard deviations of the chi-squared distribution.
                    let limit = free + 6.0 * (2.0 * free).sqrt();
                    assert!(chi < limit, "{name} >> {shift} in {buckets}: {chi:.0} > {limit:.0}");
                }
            }
        }
    }
}
