//! A whole anonymization strategy: every address of a site becomes the site's first.

use ringmill_sdk::prelude::*;

options! {
    /// Options of `[[stage]] use = "site"`.
    pub struct Options {
        /// Bits that name a site in an IPv6 address; 24 do in an IPv4 address.
        bits: u8 = 48,
    }
}

struct Site(u128);

impl AddressMap for Site {
    const NAME: &'static str = "site";
    type Config = Options;

    fn new(options: Options, _: &Host) -> Result<Self> {
        let bits = options.bits.into();
        let shift =
            128_u32.checked_sub(bits).ok_or(Error::config("bits", "must be at most 128"))?;
        Ok(Self(u128::MAX.checked_shl(shift).unwrap_or(0)))
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.iter_mut().for_each(|address| *address &= 0xffff_ff00);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        addresses.iter_mut().for_each(|address| *address &= self.0);
    }
}

export_plugin!(address_map Site);
