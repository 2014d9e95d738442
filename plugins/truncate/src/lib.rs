//! `truncate`: keeps the first bits of an address and clears the rest.
//!
//! Nothing can undo it, and it needs no key; but the bits that stay are true, and everybody
//! behind a prefix becomes one (RFC 6235, section 4.1: truncation). Where connections or hosts
//! must stay apart, `crypto_pan` keeps them apart.
//!
//! How much to keep is a judgement about how many people stand behind a prefix; the defaults
//! are the stricter of what is recommended:
//!
//! * IPv4, 16 bits. The French data protection authority asks for the last byte to be dropped
//!   at least (CNIL, "Guide RGPD du développeur", sheet 16); Matomo recommends two bytes, and
//!   makes two the condition of its CNIL mode. 24 bits are often one small organization.
//! * IPv6, 32 bits. 48 bits are the custom (Google Analytics clears 80), but providers give a
//!   customer anything from 48 to 64 bits (RFC 6177), so a /48 may be one household; measured
//!   on real clients, nothing shows that a /48 protects anybody (Plonka and Berger, "kIP: a
//!   Measured Approach to IPv6 Address Anonymization", arXiv:1707.03900). 32 bits are about
//!   what a registry gives one provider.
//!
//! Of an IPv4 address inside an IPv6 one (6to4, Teredo, NAT64, ISATAP) no more stays than
//! `v4_prefix` bits, and nothing behind it, however long `v6_prefix` is; the SDK sees to it
//! before this map gets the address (`OPAQUE` of [`AddressMap`]). A provider's own prefixes with
//! IPv4 addresses inside (6rd, network-specific NAT64) nobody can tell from others; they begin
//! at bit 32 or later, so the default shows nothing of them.

use ringmill_sdk::prelude::*;

#[cfg(test)]
mod tests;

options! {
    /// Options of `[[stage]] use = "truncate"`.
    pub struct Options {
        /// Bits of an IPv4 address that stay, 0 to 31.
        v4_prefix: u64 = 16,
        /// Bits of an IPv6 address that stay, 0 to 127. Of an IPv4 address inside, only
        /// `v4_prefix` bits stay.
        v6_prefix: u64 = 32,
        /// "map": private, multicast and other special addresses are treated like any other.
        /// "keep": they stay whole.
        special: Special = Special::Map,
    }
}

/// Masks that clear the last bits.
#[derive(Clone, Copy, Debug)]
pub struct Truncate {
    v4: u32,
    v6: u128,
    special: Special,
}

impl AddressMap for Truncate {
    const NAME: &'static str = "truncate";
    const SUMMARY: &'static str = "keeps the first bits of addresses and clears the rest";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let cleared_v4 = cleared("v4_prefix", options.v4_prefix, u32::BITS)?;
        let cleared_v6 = cleared("v6_prefix", options.v6_prefix, u128::BITS)?;
        host.describe(format_args!(
            "Of IP addresses, also those inside header fields and URLs, the first {} bits of IPv4 \
             and {} bits of IPv6 were kept and the others cleared{}",
            options.v4_prefix,
            options.v6_prefix,
            options.special.told()
        ));
        Ok(Self {
            // A shift by the whole width is none: nothing stays.
            v4: u32::MAX.checked_shl(cleared_v4).unwrap_or(0),
            v6: u128::MAX.checked_shl(cleared_v6).unwrap_or(0),
            special: options.special,
        })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.iter_mut().for_each(|address| *address &= self.v4);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        addresses.iter_mut().for_each(|address| *address &= self.v6);
    }
}

/// How many bits of an address this wide are cleared when `prefix` stay: one at least, or the
/// column would be marked as anonymized and hold addresses as they were.
fn cleared(option: &str, prefix: u64, width: u32) -> Result<u32> {
    let cleared = u32::try_from(prefix).ok().and_then(|prefix| width.checked_sub(prefix));
    cleared.filter(|cleared| *cleared > 0).ok_or_else(|| {
        let most = width - 1;
        Error::config(option, format!("must be 0 to {most}, the bits that stay; it is {prefix}"))
    })
}
