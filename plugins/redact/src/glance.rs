//! Sees of most values at a glance that nothing can be found in them.
//!
//! [`Finder`](crate::scrub::Finder) counts all that tells a token from words. Most words are too
//! short to be one, for which it is enough to count their bytes and their digits. Both are in
//! one number, so that a byte costs a look into a table and a few instructions. What is not
//! harmless here may still be harmless.

/// The fewest digits of a telephone or account number.
pub(crate) const NUMBER: usize = 9;
/// The fewest letters and digits, mixed and on end, of a token.
pub(crate) const MIXED: usize = 16;

/// A byte more since the last that divides words; with as many as a token has, the bit is set
/// that [`FOUND`] looks at.
const BYTE: u16 = 1;
/// A digit more; begins at [`START`], to set a bit at the same time.
const DIGIT: u16 = 1 << 8;
const START: u16 = 7 * DIGIT;
const _: () = assert!(NUMBER == 16 - 7 && MIXED == 16);
/// A byte that divides the segments of a path.
const SLASH: u16 = 1 << 13;
/// One that ends a path, or that a plain segment does not have.
const SIGN: u16 = 1 << 14;
/// One of an e-mail address or an escape, or maybe the third of a JSON Web Token.
const ODD: u16 = 1 << 15;
/// What may be found.
const FOUND: u16 = (16 * BYTE) | (16 * DIGIT) | ODD;

/// Of what values a byte may be.
#[derive(Clone, Copy)]
pub(crate) struct Kind(u32);

impl Kind {
    /// Of any field, within ASCII.
    pub(crate) const VISIBLE: Self = Self(1);
    pub(crate) const HOST: Self = Self(1 << 1);
    /// A version of a system or a browser.
    pub(crate) const AGENT_VERSION: Self = Self(1 << 2);
    pub(crate) const REASON: Self = Self(1 << 3);
    /// A media type without parameters.
    pub(crate) const MEDIA_TYPE: Self = Self(1 << 4);
}

/// What a byte does to the counts.
#[derive(Clone, Copy)]
struct Step {
    /// What is left of them,
    keep: u16,
    /// and what is added.
    add: u16,
    kinds: u32,
}

static STEPS: [Step; 256] = {
    let mut steps = [Step { keep: 0, add: START, kinds: 0 }; 256];
    let mut at = 0;
    while at < steps.len() {
        #[allow(clippy::cast_possible_truncation, reason = "256 bytes")]
        let byte = at as u8;
        let step = &mut steps[at];
        (step.keep, step.add) = match byte {
            b'0'..=b'9' => (SLASH - 1, BYTE + DIGIT),
            b'J' => (SLASH - 1, BYTE | ODD),
            b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'+' | b'~' | 128.. => (SLASH - 1, BYTE),
            b'@' | b'%' => (0, ODD),
            b'/' | b'\\' => (0, START | SLASH),
            b'?' | b'#' | b';' | b'=' | b'&' => (0, START | SIGN),
            _ => (0, START),
        };
        let kinds = [
            (Kind::VISIBLE, matches!(byte, b' '..=b'~' | b'\t')),
            (Kind::HOST, byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
            (
                Kind::AGENT_VERSION,
                byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b'_' | b'+' | b'-'),
            ),
            (Kind::REASON, byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'-' | b'\'')),
            (Kind::MEDIA_TYPE, matches!(byte, b' '..=b'~' | b'\t') && byte != b';'),
        ];
        let mut n = 0;
        while n < kinds.len() {
            let (kind, is_of_it) = kinds[n];
            step.kinds |= if is_of_it { kind.0 } else { 0 };
            n += 1;
        }
        at += 1;
    }
    steps
};

/// Whether all bytes are of this kind, and nothing can be found in the text.
#[inline]
pub(crate) fn is_harmless(text: &str, kind: Kind) -> bool {
    let (mut counts, mut kinds) = (START, kind.0);
    for byte in text.bytes() {
        let step = STEPS[usize::from(byte)];
        counts = (counts & step.keep) + step.add;
        kinds &= step.kinds;
        if counts & FOUND != 0 {
            return false;
        }
    }
    kinds != 0
}

/// The segments that the path of this URL begins with, up to one in which something may be
/// found, or that has parameters or holds names and values; up to its query or fragment if there
/// is none.
pub(crate) fn harmless_segments(url: &str) -> &str {
    let mut counts = START;
    let mut end = 0;
    for (at, byte) in url.bytes().enumerate() {
        let step = STEPS[usize::from(byte)];
        counts = (counts & step.keep) + step.add;
        if counts & (FOUND | SIGN | SLASH) != 0 {
            match byte {
                b'/' | b'\\' => end = at + 1,
                b'?' | b'#' => return url.get(..at).unwrap_or_default(),
                _ => return url.get(..end).unwrap_or_default(),
            }
        }
    }
    url
}

/// Whether a segment of a path may have parameters, hold names and values, or be encoded.
#[inline]
pub(crate) fn has_signs(segment: &str) -> bool {
    let signs = segment.bytes().fold(0, |signs, byte| signs | STEPS[usize::from(byte)].add);
    signs & (SIGN | ODD) != 0
}
