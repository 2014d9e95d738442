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
//! Addresses with an IPv4 address inside keep that structure: two of 6to4 show how many bits
//! their IPv4 addresses share, as those alone would, and not which.
//!
//! `ipcrypt` in its mode `prefix_preserving` has the same property and costs three times as much;
//! existing traces were made with this one.

use std::path::PathBuf;

use ringmill_sdk::{
    key::{Current, Ephemeral, Schedule},
    prelude::*,
};

mod pan;
#[cfg(test)]
mod tests;

use pan::Pan;

options! {
    /// Options of `[[stage]] use = "crypto_pan"`; of the two keys exactly one is given.
    pub struct Options {
        /// File with the key, which `engine keygen` makes; readable by its owner only. Whoever
        /// has it can undo the pseudonyms.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, so nobody can link two runs.
        key: Option<Ephemeral> = None,
        /// "map": private, multicast and other special addresses are treated like any other.
        /// "keep": they stay as they are, and nobody else becomes one of them.
        special: Special = Special::Map,
    }
}

/// Crypto-PAn with one key, or with one for each epoch.
#[derive(Debug)]
pub struct CryptoPan {
    pan: Current<Pan>,
    special: Special,
}

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
        Self { pan: Current::fixed(Pan::new(key)), special: Special::Map }
    }
}

impl AddressMap for CryptoPan {
    const NAME: &'static str = "crypto_pan";
    const SUMMARY: &'static str = "replaces addresses by pseudonyms that keep common prefixes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    const OPAQUE: bool = true;
    type Config = Options;

    fn new(Options { key_file, key, special }: Options, host: &Host) -> Result<Self> {
        let keys = Schedule::new(key_file.as_deref(), key, host, Self::NAME)?;
        host.describe(format_args!(
            "IP addresses, also those inside header fields and URLs, were replaced by pseudonyms \
             that keep common prefixes, by Crypto-PAn (Xu et al., ICNP 2002){}",
            special.told()
        ));
        Ok(Self { pan: Current::new(keys, host, |key| Ok(Pan::new(key)))?, special })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        match self.pan.get() {
            Some(pan) => pan.map(addresses),
            // The engine names the epoch first; should it not, nothing passes as it was.
            None => addresses.fill(0),
        }
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        match self.pan.get() {
            Some(pan) => pan.map(addresses),
            None => addresses.fill(0),
        }
    }

    fn epoch(&mut self, period: i64) -> Result {
        self.pan.epoch(period)
    }

    fn tick(&mut self, now: Timestamp) {
        self.pan.tick(now);
    }
}
