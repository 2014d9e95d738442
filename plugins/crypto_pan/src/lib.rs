//! `crypto_pan`: prefix-preserving anonymization of addresses.
//!
//! Two addresses that share their first k bits, and no more, still share their first k bits
//! and no more afterwards, so subnets, routing prefixes and locality survive in the records
//! while the addresses do not. The map is a bijection for each key: the same key gives the
//! same pseudonyms in every run, worker and file, and whoever holds the key can undo it. It is
//! the map of Xu, Fan, Ammar and Moon, "Prefix-Preserving IP Address Anonymization" (ICNP
//! 2002), and reproduces the sample trace of their program Crypto-PAn 1.0.
//!
//! What it does not hide: prefixes are kept by design, so somebody who knows the real address
//! behind one pseudonym knows a prefix of all its neighbours (RFC 6235, section 4.1; RFC 8932,
//! appendix B). For data that leaves the house the stage `truncate` is stricter.
//!
//! We did not take `ipcrypt-pfx`, a newer map with the same property: it encrypts one bit
//! after another, which cannot be batched, and no existing trace was made with it.

use std::path::PathBuf;

use ringmill_sdk::{
    OptionValue,
    key::{self, Key},
    prelude::*,
    serde,
};

mod pan;
#[cfg(test)]
mod tests;

use pan::Pan;

options! {
    /// Options of `[[stage]] use = "crypto_pan"`; exactly one of them is given.
    pub struct Options {
        /// File with the key: 64 hex digits or 32 bytes, readable by its owner only.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, so nobody can link two runs.
        key: Option<Ephemeral> = None,
    }
}

/// The only word that `key` may be.
///
/// Not `choice!`, whose error repeats what was written: that may well be somebody's key.
#[derive(Debug, serde::Deserialize)]
#[serde(crate = "ringmill_sdk::serde", try_from = "String")]
pub struct Ephemeral;

impl TryFrom<String> for Ephemeral {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, &'static str> {
        match word.as_str() {
            "ephemeral" => Ok(Self),
            _ => Err("may only be \"ephemeral\"; a key of your own goes into a file: \
                      `key_file = \"...\"`"),
        }
    }
}

impl OptionValue for Ephemeral {
    const KIND: &'static str = "\"ephemeral\"";

    fn show(&self) -> String {
        Self::KIND.to_owned()
    }
}

/// Crypto-PAn with one key.
#[derive(Debug)]
pub struct CryptoPan(Box<Pan>);

impl CryptoPan {
    /// The map of this key: 16 bytes of AES-128 key, then 16 bytes from which the pad is made.
    ///
    /// # Examples
    /// ```
    /// use ringmill_sdk::AddressMap;
    ///
    /// let mut map = ringmill_crypto_pan::CryptoPan::from_key(&[7; 32]);
    /// let mut addresses = [0x0a00_0001, 0x0a00_0002];
    /// map.v4(&mut addresses);
    /// assert_eq!(addresses[0] >> 2, addresses[1] >> 2);
    /// ```
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        // Boxed once, so that moving the stage about does not leave round keys behind.
        Self(Box::new(Pan::new(key)))
    }
}

impl AddressMap for CryptoPan {
    const NAME: &'static str = "crypto_pan";
    const SUMMARY: &'static str = "replaces addresses by pseudonyms that keep common prefixes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let key = match (options.key_file, options.key) {
            (Some(path), None) => key::read(&path)?,
            (None, Some(Ephemeral)) => Key::new(host.ephemeral_key(Self::NAME)),
            (Some(_), Some(_)) => {
                return Err(Error::config("key", "`key_file` and `key` are both set; keep one"));
            }
            (None, None) => {
                return Err(Error::config(
                    "key_file",
                    "say where the key comes from: `key_file = \"...\"`, or \
                     `key = \"ephemeral\"` for one that dies with the process",
                ));
            }
        };
        Ok(Self::from_key(&key))
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        self.0.map(addresses);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        self.0.map(addresses);
    }
}
