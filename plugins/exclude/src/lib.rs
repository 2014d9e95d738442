//! `exclude`: drops the packets of those who do not want to be recorded.
//!
//! A packet is dropped, for the reason `excluded`, when its source or its destination lies in
//! one of the prefixes. It belongs behind `decode`, which finds the addresses, and before every
//! other stage: then nothing of such a packet but its headers was looked at, and nothing of it
//! is kept. Fragments are put together by `decode`, so their later parts are dropped with the
//! first. Packets that were not decoded are dropped, too, for the reason `undecoded`: before
//! `decode` nobody can say whose they are.
//!
//! Of a packet in a tunnel the innermost addresses count, those that records have. The outer
//! ones belong to the ends of the tunnel, and dropping by them would drop everybody in it.
//!
//! The prefixes are read once, at start. They tell who asked not to be recorded, so no message
//! repeats more of them than the one that is wrong, and readers of the data are told how many
//! there are, not which: facts `prefixes`, `addresses_v4` and `addresses_v6`.

mod list;
mod prefix;
mod ranges;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use ringmill_sdk::{prelude::*, unmap_v4};

use ranges::Ranges;

options! {
    /// Options of `[[stage]] use = "exclude"`; at least one of them is given.
    pub struct Options {
        /// Whose packets are dropped: prefixes such as "192.0.2.0/24" and "2001:db8::/32", or single addresses.
        prefixes: Vec<String> = Vec::new(),
        /// File with more of them, one a line; `#` begins a comment.
        file: Option<PathBuf> = None,
    }
}

/// The stage `exclude`.
#[derive(Debug)]
pub struct Exclude {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    excluded: Reason,
    undecoded: Reason,
}

impl Stage for Exclude {
    const NAME: &'static str = "exclude";
    const SUMMARY: &'static str = "drops the packets from and to some prefixes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let (v4, v6) = list::read(&options.prefixes, options.file.as_deref())?;
        host.declare("prefixes", v4.len() + v6.len());
        host.declare("addresses_v4", v4.addresses());
        host.declare("addresses_v6", v6.addresses());
        host.describe(format_args!(
            "Packets from and to the networks of an exclusion list ({} in all) were dropped before \
             anything was recorded of them",
            v4.len() + v6.len()
        ));
        let (excluded, undecoded) = (host.reason("excluded"), host.reason("undecoded"));
        Ok(Self { v4, v6, excluded, undecoded })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        for packet in batch.live() {
            if packet.ip_version() == 0 {
                packet.drop(self.undecoded);
                continue;
            }
            let (src, dst) = packet.addresses();
            if self.holds(&src) || self.holds(&dst) {
                packet.drop(self.excluded);
            }
        }
        Ok(())
    }
}

impl Exclude {
    /// IPv4 addresses that are mapped into IPv6 are IPv4 addresses.
    #[inline]
    fn holds(&self, address: &[u8; 16]) -> bool {
        match unmap_v4(address) {
            Some(v4) => self.v4.holds(u32::from_be_bytes(v4)),
            None => self.v6.holds(u128::from_be_bytes(*address)),
        }
    }
}
