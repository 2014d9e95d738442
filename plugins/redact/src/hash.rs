//! What stands in the place of a value: a keyed hash, so that equal values stay equal.
//!
//! SipHash-2-4 with 64 bits of result, as 16 hex digits. It is a pseudo-random function made
//! for short inputs: without the key nobody can try values to find which one a hash is of, as
//! they could with a plain hash. Among n different values two have the same hash with a
//! probability of about n^2 / 2^65: 1 in 37 million for a million values, 1 in 3700 for a
//! hundred million.

use ringmill_sdk::key::Key;
use siphasher::{sip::SipHasher24, sip128};
use zeroize::Zeroizing;

/// Digits of a hash.
pub(crate) const DIGITS: usize = 16;

/// The two digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < hex.len() {
        hex[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    hex
};

/// Hashes under one key.
pub(crate) struct Hasher(SipHasher24);

impl Hasher {
    /// The hash's key is derived from `key`, so that the key file of another stage may be
    /// named for this one too.
    pub(crate) fn new(key: &Key) -> Self {
        const LABEL: &[u8; 15] = b"ringmill redact";
        let mut outer = Zeroizing::new([0; 16]);
        outer.copy_from_slice(&key[..16]);
        let mut message = Zeroizing::new([0; 16 + LABEL.len()]);
        message[..16].copy_from_slice(&key[16..]);
        message[16..].copy_from_slice(LABEL);
        let derived =
            Zeroizing::new(sip128::SipHasher24::new_with_key(&outer).hash(&*message).as_bytes());
        Self(SipHasher24::new_with_key(&derived))
    }

    /// Writes the hash of `value`; nothing for nothing. The same bytes give the same hash
    /// wherever they stand.
    pub(crate) fn write(&self, value: &str, to: &mut String) {
        if value.is_empty() {
            return;
        }
        let mut digits = [0; DIGITS];
        let bytes = self.0.hash(value.as_bytes()).to_be_bytes();
        for (digits, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *digits = HEX[usize::from(byte)];
        }
        to.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
}
