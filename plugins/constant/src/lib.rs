//! `constant`: every address becomes the same one.
//!
//! Nothing is left to be found out, and nothing to be counted: no host, no site, no direction.
//! The column `flow` still says what belongs to one connection. With `special = "keep"` one
//! sees which end was inside, where the inside has private addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringmill_sdk::prelude::*;

options! {
    /// Options of `[[stage]] use = "constant"`.
    pub struct Options {
        /// What every IPv4 address becomes.
        v4: Ipv4Addr = Ipv4Addr::UNSPECIFIED,
        /// What every IPv6 address becomes.
        v6: Ipv6Addr = Ipv6Addr::UNSPECIFIED,
        /// "map": private, multicast and other special addresses are treated like any other.
        /// "keep": they stay as they are.
        special: Special = Special::Map,
    }
}

/// The two addresses.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    v4: u32,
    v6: u128,
    special: Special,
}

impl AddressMap for Constant {
    const NAME: &'static str = "constant";
    const SUMMARY: &'static str = "makes one address of all";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    const OPAQUE: bool = true;
    type Config = Options;

    fn new(Options { v4, v6, special }: Options, host: &Host) -> Result<Self> {
        host.describe(format_args!(
            "All IP addresses, also those inside header fields and URLs, were replaced by one and \
             the same{}",
            special.told()
        ));
        Ok(Self { v4: v4.into(), v6: v6.into(), special })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.fill(self.v4);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        addresses.fill(self.v6);
    }
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::{
        Anonymizer, parse_config,
        testing::{TestHost, records, rows, run_records},
    };

    use super::*;

    /// What the addresses become, through the stage that the engine runs.
    fn mapped(options: &str, addresses: &[&str]) -> Vec<String> {
        let schema = schema::record("r", vec![schema::address("who")]);
        let table: Vec<_> = addresses.iter().map(std::slice::from_ref).collect();
        let ran = run_records::<Anonymizer<Constant>>(options, &[records(&schema, &table)]);
        rows(&ran.unwrap().records).iter().map(|row| row["who"].clone()).collect()
    }

    #[test]
    fn all_become_one() {
        let addresses = ["192.0.2.1", "10.1.2.3", "8.8.8.8", "2001:db8::1", "2a00::1", "::1"];
        let cases = [
            ("", ["0.0.0.0", "0.0.0.0", "0.0.0.0", "::", "::", "::"]),
            (
                "v4 = \"192.0.2.9\"\nv6 = \"2001:db8::9\"",
                [
                    "192.0.2.9",
                    "192.0.2.9",
                    "192.0.2.9",
                    "2001:db8::9",
                    "2001:db8::9",
                    "2001:db8::9",
                ],
            ),
            (
                "special = \"keep\"",
                ["192.0.2.1", "10.1.2.3", "0.0.0.0", "2001:db8::1", "::", "::1"],
            ),
        ];
        for (options, expected) in cases {
            assert_eq!(mapped(options, &addresses), expected, "{options}");
        }
    }

    #[test]
    fn wrong_options_say_what_is_wrong() {
        let (host, _) = TestHost::new(Some(0));
        let cases = [
            ("v4 = \"::\"", "`v4`: invalid IPv4 address syntax"),
            ("v6 = \"0.0.0.0\"", "`v6`: invalid IPv6 address syntax"),
            ("v4 = \"10.0.0.0/8\"", "`v4`: invalid IPv4 address syntax"),
            ("special = \"kept\"", "`special`: unknown variant `kept`, expected `map` or `keep`"),
        ];
        for (options, message) in cases {
            let made = parse_config(options).and_then(|options| Constant::new(options, &host));
            assert_eq!(made.unwrap_err().to_string(), message, "{options}");
        }
    }

    #[test]
    fn options_are_described() {
        let shown: Vec<_> = Constant::OPTIONS
            .iter()
            .map(|option| (option.name, option.kind, option.default.map(|show| show())))
            .collect();
        let default = |value: &str| Some(value.to_owned());
        assert_eq!(
            shown,
            [
                ("v4", "IPv4 address", default("\"0.0.0.0\"")),
                ("v6", "IPv6 address", default("\"::\"")),
                ("special", "\"map\" or \"keep\"", default("\"map\""))
            ]
        );
    }
}
