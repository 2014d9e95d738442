//! The places in a text at which an address may be, found 32 bytes at a time.
//!
//! The loops are written so that the compiler makes vector instructions of them. What they
//! find is more than there is; that they miss nothing is tested against all spellings. A first
//! one with few instructions passes by what is nothing, as most of a text is.

/// Bytes looked at together.
const LANES: usize = 32;
/// Bytes behind those that decide about the last of them.
const AHEAD: usize = 5;

/// Of the seven colons in an address of eight groups, which is at most 39 bytes long, four are
/// within the 32 bytes before or behind any cut. A time has two, and of two dates that lie one
/// behind the other three are.
const COLONS: u8 = 4;

type Window = [u8; LANES + AHEAD];

/// The first place from `from` on that may belong to an address not yet passed:
/// - a digit, `-` or `.`, a digit, and another separator where the second number ends; or a
///   digit, `_` and a digit;
/// - two colons, or the first of many;
/// - `//` before a digit, or `@`;
/// - the `p` of `ip6.arpa`;
/// - a percent sign, if `PERCENT`.
#[inline]
pub(super) fn next<const PERCENT: bool>(text: &[u8], mut from: usize) -> Option<usize> {
    while let Some(window) = text.get(from..).and_then(<[u8]>::first_chunk) {
        if let Some(at) = first::<PERCENT>(window) {
            return Some(from + at);
        }
        from += LANES;
    }
    // The rest, with NULs behind it; it may be longer than one step.
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let mut window: Window = [0; LANES + AHEAD];
        let len = rest.len().min(window.len());
        window[..len].copy_from_slice(&rest[..len]);
        if let Some(at) = first::<PERCENT>(&window) {
            return Some(from + at);
        }
        from += LANES;
    }
    None
}

#[inline]
fn first<const PERCENT: bool>(window: &Window) -> Option<usize> {
    if may_be::<PERCENT>(window) { exact::<PERCENT>(window) } else { None }
}

const fn is(byte: u8, what: u8) -> u8 {
    (byte == what) as u8
}

/// Whether there may be such a place.
#[inline]
fn may_be<const PERCENT: bool>(window: &Window) -> bool {
    let lanes = |by: usize| window.get(by..).and_then(<[u8]>::first_chunk::<LANES>);
    let [Some(a), Some(b), Some(c)] = [lanes(0), lanes(1), lanes(2)] else { return false };
    let (mut any, mut colons) = (0, 0);
    for n in 0..LANES {
        // Two digits, or one and what lies before them in ASCII.
        let digits = is((a[n] | c[n]) & 0xf0, b'0');
        // `,`, `-`, `.` and `/`, or `_`.
        let joined = is(b[n] & 0xfc, b'-' & 0xfc) | is(b[n], b'_');
        let colon = is(a[n], b':');
        any |= digits & joined
            | is(a[n], b[n]) & (colon | is(a[n], b'/'))
            | is(a[n], b'@')
            | is(a[n] | 0x20, b'p') & is(b[n], b'6')
            | u8::from(PERCENT) & is(a[n], b'%');
        colons += colon;
    }
    any != 0 || colons >= COLONS
}

/// The first such place, if there is one.
fn exact<const PERCENT: bool>(window: &Window) -> Option<usize> {
    let lanes = |by: usize| window.get(by..).and_then(<[u8]>::first_chunk::<LANES>);
    let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] =
        [lanes(0), lanes(1), lanes(2), lanes(3), lanes(4), lanes(5)]
    else {
        return None;
    };
    let digit = |byte: u8| u8::from(byte.wrapping_sub(b'0') < 10);
    let dash_or_dot = |byte: u8| is(byte, b'-') | is(byte, b'.');
    // `,`, `-`, `.` and `/`, which is one step less to tell.
    let like_them = |byte: u8| is(byte & 0xfc, b'-' & 0xfc);
    let mut hits = [0; LANES];
    let (mut any, mut colons) = (0, 0);
    for n in 0..LANES {
        let more = like_them(d[n]) | like_them(e[n]) | like_them(f[n]);
        let joined = dash_or_dot(b[n]) & more | is(b[n], b'_');
        let hit = digit(a[n]) & joined & digit(c[n])
            | is(a[n], b':') & is(b[n], b':')
            | is(a[n], b'/') & is(b[n], b'/') & digit(c[n])
            | is(a[n], b'@')
            | is(a[n] | 0x20, b'p') & is(b[n], b'6')
            | u8::from(PERCENT) & is(a[n], b'%');
        hits[n] = hit;
        any |= hit;
        colons += is(a[n], b':');
    }
    if colons >= COLONS {
        return (0..LANES).find(|n| hits[*n] != 0 || a[*n] == b':');
    }
    if any == 0 {
        return None;
    }
    hits.iter().position(|hit| *hit != 0)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select, test_runner::RngSeed};

    use super::*;

    /// Bytes that matter, and their neighbours in ASCII.
    const BYTES: &[u8] = b"0019:::/..--__@pP66%aff ,;?[]\x7f\xe9\x1f";

    fn same(window: &Window) -> Result<(), TestCaseError> {
        let text = window.escape_ascii();
        prop_assert_eq!(first::<true>(window), exact::<true>(window), "{}", text);
        prop_assert_eq!(first::<false>(window), exact::<false>(window), "{}", text);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4000,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Few bytes that matter among letters, and many.
        #[test]
        fn nothing_is_passed_by_that_may_be_an_address(
            bytes in prop::collection::vec(select(BYTES), LANES + AHEAD),
            all in prop::collection::vec(any::<u8>(), LANES + AHEAD),
            letters in prop::collection::vec(0..8_usize, LANES + AHEAD),
            few in 0..8_usize,
        ) {
            let window = |at: &dyn Fn(usize) -> u8| std::array::from_fn(at);
            same(&window(&|n| all[n]))?;
            same(&window(&|n| bytes[n]))?;
            same(&window(&|n| if letters[n] < few { b'k' } else { bytes[n] }))?;
        }
    }

    /// Every three bytes in a row, with what decides about them behind.
    #[test]
    fn every_three_bytes() {
        let mut window: Window = [b'k'; LANES + AHEAD];
        for (&a, &b, &c) in BYTES
            .iter()
            .flat_map(|a| BYTES.iter().flat_map(move |b| BYTES.iter().map(move |c| (a, b, c))))
        {
            for at in [0, 15, LANES - 1] {
                for behind in [b"...", b"0--", b"00.", b"kkk"] {
                    window.fill(b'k');
                    window[at..at + 3].copy_from_slice(&[a, b, c]);
                    window[at + 3..at + 6].copy_from_slice(behind);
                    same(&window).unwrap();
                }
            }
        }
    }
}
