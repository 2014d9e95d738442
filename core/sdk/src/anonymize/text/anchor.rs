//! The places in a text at which an address may be, found 32 bytes at a time.
//!
//! The loops are written so that the compiler makes vector instructions of them. What they
//! find is more than there is; that they miss nothing is tested against all spellings.

/// Bytes looked at together.
const LANES: usize = 32;
/// Bytes behind those that decide about the last of them.
const AHEAD: usize = 5;

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
    let lanes = |by: usize| window.get(by..).and_then(<[u8]>::first_chunk::<LANES>);
    let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] =
        [lanes(0), lanes(1), lanes(2), lanes(3), lanes(4), lanes(5)]
    else {
        return None;
    };
    let digit = |byte: u8| u8::from(byte.wrapping_sub(b'0') < 10);
    let is = |byte: u8, what: u8| u8::from(byte == what);
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
    // Of the seven colons in an address of eight groups, which is at most 39 bytes long, four
    // are within the 32 bytes before or behind any cut. A time has two, and of two dates
    // that lie one behind the other three are.
    if colons >= 4 {
        return (0..LANES).find(|n| hits[*n] != 0 || a[*n] == b':');
    }
    if any == 0 {
        return None;
    }
    hits.iter().position(|hit| *hit != 0)
}
