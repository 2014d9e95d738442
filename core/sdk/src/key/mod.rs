//! Keys: what a stage maps, names or chooses things under.
//!
//! A stage takes the two options `key_file` and `key` and makes a [`Schedule`] of them, which
//! knows the key of every row, with epochs or without. Keys are wiped on drop and print as
//! nothing; what a stage makes of one (a cipher's round keys) is for the stage to wipe.
//!
//! With `[engine] epoch` in the config every day or week has a key of its own, so that
//! pseudonyms of two epochs cannot be linked. The keys of a file are a [`Ratchet`]: each chain
//! key follows from the one before, and none before from one after. So once a file has been
//! advanced and old copies are gone, nobody can undo the epochs before it.

mod current;
mod epoch;
mod file;
mod options;
mod ratchet;
mod schedule;
#[cfg(test)]
mod tests;

use std::{fmt, ops};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use current::Current;
pub use epoch::{Epoch, date, day};
pub use file::{Stored, read};
pub use options::Ephemeral;
pub use ratchet::{Ratchet, plain_text};
pub use schedule::Schedule;

/// 32 bytes; wiped on drop, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Key {}

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Names the key without telling it: eight hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = derive(self, "ringmill key id");
        digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl ops::Deref for Key {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ops::DerefMut for Key {
    fn deref_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Another key from this one, which tells nothing of it: HMAC-SHA256 (RFC 2104) of the label.
#[must_use]
pub fn derive(key: &Key, label: &str) -> Key {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&**key) else {
        unreachable!("HMAC takes a key of any length")
    };
    mac.update(label.as_bytes());
    let mut digest = mac.finalize().into_bytes();
    let mut derived = Key::new([0; 32]);
    derived.copy_from_slice(&digest);
    digest.as_mut_slice().zeroize();
    derived
}
