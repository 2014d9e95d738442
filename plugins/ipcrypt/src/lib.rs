//! `ipcrypt`: addresses encrypted as the Internet draft "Methods for IP Address Encryption and
//! Obfuscation" (draft-denis-ipcrypt) says, so that its other implementations can undo it.
//!
//! * `"deterministic"`: AES-128 of the 16 bytes of the address; IPv4 addresses go in as
//!   ::ffff:a.b.c.d. Nothing of an address survives but that equal ones stay equal. Every
//!   pseudonym has 128 bits, so those of IPv4 addresses look like IPv6; the column `ip_version`
//!   says what they were.
//! * `"prefix_preserving"`: the draft's `ipcrypt-pfx`. Two addresses that share their first k
//!   bits, and no more, still do, as with `crypto_pan`, and IPv4 stays IPv4. What that does not
//!   hide is written there: somebody who knows the address behind one pseudonym knows a prefix
//!   of all its neighbours. An address that holds an IPv4 address (6to4) keeps that structure,
//!   too: two of them show how many bits their IPv4 addresses share, and not which.
//!
//! Both are bijections, and whoever holds the key can undo them. The draft's other two modes
//! give one address many pseudonyms, which cannot be counted or joined.

use std::path::PathBuf;

use ringmill_sdk::{
    key::{Current, Ephemeral, Key, Schedule},
    prelude::*,
};

mod deterministic;
mod prefix;
#[cfg(test)]
mod tests;

use deterministic::Deterministic;
use prefix::Prefix;

choice! {
    /// What of an address survives.
    pub enum Mode { Deterministic = "deterministic", PrefixPreserving = "prefix_preserving" }
}

options! {
    /// Options of `[[stage]] use = "ipcrypt"`; of the two keys exactly one is given.
    pub struct Options {
        /// "deterministic": nothing survives but which addresses are equal, and pseudonyms of IPv4
        /// addresses look like IPv6. "prefix_preserving": common prefixes stay common, too, and
        /// IPv4 stays IPv4.
        mode: Mode,
        /// File with the key, which `engine keygen` makes; readable by its owner only. Whoever
        /// has it can undo the pseudonyms. "deterministic" takes its first 16 bytes.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, so nobody can link two runs.
        key: Option<Ephemeral> = None,
        /// "map": private, multicast and other special addresses are treated like any other.
        /// "keep": they stay as they are, and nobody else becomes one of them.
        special: Special = Special::Map,
    }
}

/// One of the two maps.
enum Cipher {
    Deterministic(Deterministic),
    Prefix(Prefix),
}

/// Encryption with one key, or with one for each epoch.
#[derive(Debug)]
pub struct Ipcrypt {
    cipher: Current<Cipher>,
    mode: Mode,
    special: Special,
}

impl Ipcrypt {
    /// The map of this key. `"deterministic"` takes its first 16 bytes, as the draft's key has
    /// no more; `"prefix_preserving"` two keys of 16 bytes.
    ///
    /// # Errors
    /// For `"prefix_preserving"`, when both halves are the same: the two ciphers would cancel
    /// out, and addresses pass as they were.
    ///
    /// # Examples
    /// ```
    /// use ringmill_ipcrypt::{Ipcrypt, Mode};
    /// use ringmill_sdk::AddressMap;
    ///
    /// let key = std::array::from_fn(|i| u8::try_from(i).unwrap_or_default());
    /// let mut map = Ipcrypt::from_key(&key, Mode::PrefixPreserving)?;
    /// let mut addresses = [0x0a00_0001, 0x0a00_0002];
    /// map.v4(&mut addresses);
    /// assert_eq!(addresses[0] >> 2, addresses[1] >> 2);
    /// # Ok::<(), ringmill_sdk::Error>(())
    /// ```
    pub fn from_key(key: &[u8; 32], mode: Mode) -> Result<Self> {
        let cipher = Current::fixed(match mode {
            Mode::Deterministic => deterministic(key),
            Mode::PrefixPreserving => prefix(key)?,
        });
        Ok(Self { cipher, mode, special: Special::Map })
    }
}

fn deterministic(key: &[u8; 32]) -> Cipher {
    let (halves, _) = key.as_chunks();
    Cipher::Deterministic(Deterministic::new(&halves[0]))
}

fn prefix(key: &[u8; 32]) -> Result<Cipher> {
    let (halves, _) = key.as_chunks();
    if halves[0] == halves[1] {
        return Err(Error::config(
            "key_file",
            "the two halves of the key are the same, which leaves addresses as they are; \
             `engine keygen` makes a key",
        ));
    }
    Ok(Cipher::Prefix(Prefix::new(&halves[0], &halves[1])))
}

impl AddressMap for Ipcrypt {
    const NAME: &'static str = "ipcrypt";
    const SUMMARY: &'static str = "encrypts addresses, whole or so that common prefixes stay";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    const OPAQUE: bool = true;
    type Config = Options;

    fn new(Options { mode, key_file, key, special }: Options, host: &Host) -> Result<Self> {
        let keys = Schedule::new(key_file.as_deref(), key, host, Self::NAME)?;
        let how = match mode {
            Mode::Deterministic => "were encrypted whole, by ipcrypt-deterministic",
            Mode::PrefixPreserving => "were encrypted so that prefixes stay common, by ipcrypt-pfx",
        };
        host.describe(format_args!(
            "IP addresses, also those inside header fields and URLs, {how} \
             (draft-denis-ipcrypt){}",
            special.told()
        ));
        let make: fn(&Key) -> Result<Cipher> = match mode {
            Mode::Deterministic => |key| Ok(deterministic(key)),
            Mode::PrefixPreserving => |key| prefix(key),
        };
        Ok(Self { cipher: Current::new(keys, host, make)?, mode, special })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn widens(&self) -> bool {
        self.mode == Mode::Deterministic
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        match self.cipher.get() {
            Some(Cipher::Prefix(prefix)) => prefix.map(addresses),
            // Those come to `v6`. And the engine names the epoch first; should it not, nothing
            // passes as it was.
            Some(Cipher::Deterministic(_)) | None => addresses.fill(0),
        }
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        match self.cipher.get() {
            Some(Cipher::Deterministic(whole)) => whole.map(addresses),
            Some(Cipher::Prefix(prefix)) => prefix.map(addresses),
            None => addresses.fill(0),
        }
    }

    fn epoch(&mut self, period: i64) -> Result {
        self.cipher.epoch(period)
    }

    fn tick(&mut self, now: Timestamp) {
        self.cipher.tick(now);
    }
}
