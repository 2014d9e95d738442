//! A whole anonymization strategy: every address becomes the first one of its site.

use ringmill_sdk::prelude::*;

struct Site;

impl AddressMap for Site {
    const NAME: &'static str = "site";
    type Config = NoOptions;
    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self)
    }
    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.iter_mut().for_each(|address| *address &= 0xffff_ff00);
    }
    fn v6(&mut self, addresses: &mut [u128]) {
        addresses.iter_mut().for_each(|address| *address &= u128::MAX << 80);
    }
}
export_plugin!(address_map Site);
