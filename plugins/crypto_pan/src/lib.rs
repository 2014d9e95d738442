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
    key::{Ephemeral, Schedule},
    prelude::*,
};

mod pan;
#[cfg(test)]
mod tests;

use pan::{Address, Pan};

options! {
    /// Options of `[[stage]] use = "crypto_pan"`; exactly one of them is given.
    pub struct Options {
        /// File with the key, which `engine keygen` makes; readable by its owner only.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, so nobody can link two runs.
        key: Option<Ephemeral> = None,
    }
}

/// Crypto-PAn with one key, or with one for each epoch.
#[derive(Debug)]
pub struct CryptoPan {
    /// Boxed, so that moving the stage about does not leave round keys behind. None before the
    /// first row of the first epoch.
    pan: Option<Box<Pan>>,
    /// Where the key of another epoch comes from.
    keys: Option<(Schedule, i64)>,
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
        Self { pan: Some(Box::new(Pan::new(key))), keys: None }
    }

    fn map<A: Address>(&mut self, addresses: &mut [A]) {
        match &mut self.pan {
            Some(pan) => pan.map(addresses),
            // The engine names the epoch first; should it not, nothing passes as it was.
            None => addresses.fill(A::ZERO),
        }
    }
}

impl AddressMap for CryptoPan {
    const NAME: &'static str = "crypto_pan";
    const SUMMARY: &'static str = "replaces addresses by pseudonyms that keep common prefixes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(Options { key_file, key }: Options, host: &Host) -> Result<Self> {
        let mut keys = Schedule::new(key_file.as_deref(), key, host, Self::NAME)?;
        match host.epoch() {
            None => Ok(Self::from_key(keys.key(0)?)),
            Some(_) => Ok(Self { pan: None, keys: Some((keys, 0)) }),
        }
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        self.map(addresses);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        self.map(addresses);
    }

    fn epoch(&mut self, period: i64) -> Result {
        let Some((keys, current)) = &mut self.keys else { return Ok(()) };
        if self.pan.is_none() || *current != period {
            // Dropped, and so wiped, before there may be an error.
            self.pan = None;
            self.pan = Some(Box::new(Pan::new(keys.key(period)?)));
            *current = period;
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) {
        let Some((keys, current)) = &mut self.keys else { return };
        if *current < keys.tick(now) {
            self.pan = None;
        }
    }
}
