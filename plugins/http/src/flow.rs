//! The number that names a connection.
//!
//! SipHash-2-4 over both ends, the smaller one first, so that both directions give the same.
//! It is a keyed function: without the key nobody can try all addresses to find whose a number
//! is, which a plain hash would allow in seconds.

use ringmill_sdk::key::Key;
use siphasher::{sip::SipHasher24, sip128};
use zeroize::Zeroizing;

/// Makes flow numbers under one key.
pub(crate) struct Flows(SipHasher24);

impl Flows {
    /// The hash's key is derived from `key`, so that the key file of another stage may be
    /// named for this one too.
    pub(crate) fn new(key: &Key) -> Self {
        let mut outer = Zeroizing::new([0; 16]);
        outer.copy_from_slice(&key[..16]);
        let label = b"ringmill http.flow";
        let mut message = Zeroizing::new([0; 16 + 18]);
        message[..16].copy_from_slice(&key[16..]);
        message[16..].copy_from_slice(label);
        let derived = sip128::SipHasher24::new_with_key(&outer).hash(&*message).as_bytes();
        Self(SipHasher24::new_with_key(&Zeroizing::new(derived)))
    }

    /// The number of the connection between two ends, in either direction. `protocol` is the
    /// IANA number.
    #[inline]
    pub(crate) fn number(&self, a: (&[u8; 16], u16), b: (&[u8; 16], u16), protocol: u8) -> u64 {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let mut bytes = [0; 37];
        bytes[..16].copy_from_slice(low.0);
        bytes[16..18].copy_from_slice(&low.1.to_be_bytes());
        bytes[18..34].copy_from_slice(high.0);
        bytes[34..36].copy_from_slice(&high.1.to_be_bytes());
        bytes[36] = protocol;
        self.0.hash(&bytes)
    }
}
