//! `keyed_hash`: an address becomes a keyed hash of it.
//!
//! Equal addresses stay equal and nothing else survives, as with `ipcrypt` in its deterministic
//! mode; but nobody can undo it by calculation, not even with the key. With the key one can
//! still try: all 4 billion IPv4 addresses are enumerated in minutes. So a key that is kept is
//! as dangerous as that of a cipher, and one that was destroyed protects as well.
//!
//! It is HMAC-SHA256 (RFC 2104, FIPS 198-1), shortened to its first bits: the keyed hash that
//! guides to pseudonymization name (ENISA, "Pseudonymisation techniques and best practices",
//! 2019), with a key of 256 bits, and known to whoever has to judge it. SipHash and BLAKE3 are
//! faster, and the map is a small part of what a record costs already. We did not take AES in
//! any mode: on short input it is a permutation that the key undoes.
//!
//! It is no bijection: two addresses may get one pseudonym, and then are one in the records. Of
//! n addresses, about n * (n - 1) / 2^(bits + 1) pairs do. IPv6 always has 128 bits.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use ringmill_sdk::{
    key::{Current, Ephemeral, Schedule},
    prelude::*,
};
use sha2::Sha256;

#[cfg(test)]
mod tests;

options! {
    /// Options of `[[stage]] use = "keyed_hash"`; of the two keys exactly one is given.
    pub struct Options {
        /// File with the key, which `engine keygen` makes; readable by its owner only. Whoever
        /// has it can try all IPv4 addresses, and so find each behind its pseudonym.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, so nobody can link two runs.
        key: Option<Ephemeral> = None,
        /// Bits of the pseudonym of an IPv4 address: 1 to 32, or 128, when it looks like an
        /// IPv6 address. With 32, two of 10,000 addresses get the same one with a probability
        /// of 1 %, two of 77,000 with 50 %, and of 1,000,000 about 116 pairs do. With 16 all
        /// addresses share 65,536 pseudonyms; "keep" takes no fewer. With 128 it practically never happens.
        v4_bits: u64 = 32,
        /// "map": private, multicast and other special addresses are treated like any other.
        /// "keep": they stay as they are, and nobody else becomes one of them.
        special: Special = Special::Map,
    }
}

/// The keyed hash, with one key or with one for each epoch.
#[derive(Debug)]
pub struct KeyedHash {
    /// Has taken in the key: what is left is two blocks of SHA-256 for an address.
    hash: Current<Hmac<Sha256>>,
    /// Those of the first 32 bits that an IPv4 pseudonym has.
    v4: u32,
    widens: bool,
    special: Special,
}

impl AddressMap for KeyedHash {
    const NAME: &'static str = "keyed_hash";
    const SUMMARY: &'static str = "replaces addresses by a keyed hash, which no calculation undoes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    const OPAQUE: bool = true;
    type Config = Options;

    fn new(Options { key_file, key, v4_bits, special }: Options, host: &Host) -> Result<Self> {
        let v4 = match v4_bits {
            1..=32 => u32::MAX << (32 - v4_bits),
            128 => 0,
            _ => {
                let message = format!("must be 1 to 32, or 128; it is {v4_bits}");
                return Err(Error::config("v4_bits", message));
            }
        };
        if special == Special::Keep && v4_bits < 16 {
            let message = format!(
                "must be at least 16 with `special = \"keep\"`, so that there are enough pseudonyms \
                 beside the addresses that are kept; it is {v4_bits}"
            );
            return Err(Error::config("v4_bits", message));
        }
        let keys = Schedule::new(key_file.as_deref(), key, host, Self::NAME)?;
        host.describe(format_args!(
            "IP addresses, also those inside header fields and URLs, were replaced by the first \
             bits of their HMAC-SHA256, {v4_bits} of it for IPv4 and 128 for IPv6{}",
            special.told()
        ));
        let hash = Current::new(keys, host, |key| {
            Hmac::new_from_slice(&**key).map_err(|error| Error::new(error.to_string()))
        })?;
        Ok(Self { hash, v4, widens: v4_bits == 128, special })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn widens(&self) -> bool {
        self.widens
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        // The engine names the epoch first; should it not, nothing passes as it was.
        let Some(hash) = self.hash.get() else { return addresses.fill(0) };
        for address in addresses {
            #[allow(clippy::cast_possible_truncation, reason = "32 bits are what is left")]
            let front = (first_bits(hash, &address.to_be_bytes()) >> 96) as u32;
            *address = front & self.v4;
        }
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        let Some(hash) = self.hash.get() else { return addresses.fill(0) };
        for address in addresses {
            *address = first_bits(hash, &address.to_be_bytes());
        }
    }

    fn epoch(&mut self, period: i64) -> Result {
        self.hash.epoch(period)
    }

    fn tick(&mut self, now: Timestamp) {
        self.hash.tick(now);
    }
}

/// The first 128 bits of the hash.
fn first_bits(hash: &Hmac<Sha256>, address: &[u8]) -> u128 {
    let digest = hash.clone().chain_update(address).finalize().into_bytes();
    digest.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}
