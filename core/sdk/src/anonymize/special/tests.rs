use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::*;
use crate::{Host, NoOptions, Result};

fn v4(address: &str) -> u32 {
    address.parse::<Ipv4Addr>().unwrap().into()
}

fn v6(address: &str) -> u128 {
    address.parse::<Ipv6Addr>().unwrap().into()
}

#[test]
fn special_v4_addresses_from_their_first_to_their_last() {
    // first, last
    let ranges = [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
    ];
    for (first, last) in ranges {
        let (from, to) = (v4(first), v4(last));
        assert!(is_special_v4(from), "{first}");
        assert!(is_special_v4(to), "{last}");
        assert!(from == 0 || !is_special_v4(from - 1), "before {first}");
        assert!(to == u32::MAX || !is_special_v4(to + 1), "after {last}");
    }
}

#[test]
fn special_v6_addresses() {
    let cases = [
        ("::", true),
        ("::1", true),
        ("::2", false),
        ("100::1", true),
        ("100:0:0:1::", false),
        ("2001:2::1", true),
        ("2001:2:1::1", false),
        ("2001:db8::1", true),
        ("2001:db8:ffff::1", true),
        ("2001:db9::1", false),
        ("3fff:fff::1", true),
        ("3fff:1000::1", false),
        ("fbff::1", false),
        ("fc00::1", true),
        ("fdff:ffff::1", true),
        ("fe00::1", false),
        ("fe80::1", true),
        ("febf::1", true),
        ("fec0::1", false),
        ("ff02::1", true),
        ("ff0e::fb", true),
        // The prefix of a network and the end of an address are in these groups.
        ("ff3e:30:2001:db8::1", false),
        ("ff02::1:ff12:3456", false),
        // And in these an IPv4 and a hardware address.
        ("fe80::5efe:192.0.2.1", false),
        ("fe80::200:5efe:192.0.2.1", false),
        ("fe80::211:22ff:fe33:4455", false),
        ("fd00::211:22ff:fe33:4455", false),
        ("fe80::11:22ff:ff33:4455", true),
        // Special by IANA's registry, and with a public address inside.
        ("64:ff9b:1::1", false),
        ("2002:c000:201::1", false),
        ("2001::1", false),
        ("2a00::1", false),
    ];
    for (address, special) in cases {
        assert_eq!(is_special_v6(v6(address)), special, "{address}");
    }
}

#[test]
fn embedded_addresses_are_found() {
    let cases = [
        ("::192.0.2.1", Some(96)),
        ("::ffff:192.0.2.1", Some(96)),
        ("::ffff:0:192.0.2.1", Some(96)),
        ("64:ff9b::192.0.2.1", Some(96)),
        ("64:ff9b:1:c000:2:100::", Some(48)),
        ("64:ff9b:1::192.0.2.1", Some(48)),
        ("2001:0:c000:201::", Some(32)),
        ("2002:c000:201::", Some(16)),
        // As Windows made them: the IPv4 address is in it twice.
        ("2002:c000:201::c000:201", Some(16)),
        ("2002:c000:201::5efe:192.0.2.1", Some(16)),
        ("2a00:1:2:3:0:5efe:192.0.2.1", Some(96)),
        ("2a00:1:2:3:200:5efe:192.0.2.1", Some(96)),
        ("2a00:1:2:3:100:5efe:192.0.2.1", None),
        ("64:ff9b:2::1", None),
        ("2001:1::1", None),
        ("2003::1", None),
        ("0:1::1", None),
    ];
    for (address, bit) in cases {
        assert_eq!(embedded_v4(v6(address)), bit, "{address}");
    }
}

/// Adds to each address; a bijection whose cycles pass through all of them.
struct Add {
    step: u32,
    special: Special,
}

impl AddressMap for Add {
    const NAME: &'static str = "add";
    const OPAQUE: bool = true;
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self { step: 1, special: Special::Map })
    }

    fn special(&self) -> Special {
        self.special
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.iter_mut().for_each(|address| *address = address.wrapping_add(self.step << 24));
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        let step = u128::from(self.step) << 120;
        addresses.iter_mut().for_each(|address| *address = address.wrapping_add(step));
    }
}

#[test]
fn kept_addresses_stay_and_nobody_gets_one_of_them() {
    let mut map = Add { step: 1, special: Special::Keep };
    let mut guide = Guide::default();
    // 9/8 would become 10/8, and 223/8 lead through 224/4, 240/4 and 0/8.
    let short = ["8.8.8.8", "9.1.2.3", "10.1.2.3", "223.1.2.3", "192.168.1.1", "126.0.0.1"];
    let mut mapped = short.map(v4);
    guide.map(&mut map, &mut mapped, &mut []);
    let expected = ["9.8.8.8", "11.1.2.3", "10.1.2.3", "1.1.2.3", "192.168.1.1", "128.0.0.1"];
    assert_eq!(mapped.map(|address| Ipv4Addr::from(address).to_string()), expected);

    let long = ["fb00::1", "fd00::1", "2a00::1", "fe80::1"];
    let mut mapped = long.map(v6);
    guide.map(&mut map, &mut [], &mut mapped);
    // Through fc00::/7; fe00::1 is not special, and neither is what has 0 to 63 in front.
    let expected = ["fe00::1", "fd00::1", "2b00::1", "fe80::1"];
    assert_eq!(mapped.map(|address| Ipv6Addr::from(address).to_string()), expected);
}

#[test]
fn without_keep_special_addresses_are_as_others() {
    let mut map = Add { step: 1, special: Special::Map };
    let mut mapped = ["9.1.2.3", "10.1.2.3", "255.255.255.255"].map(v4);
    Guide::default().map(&mut map, &mut mapped, &mut []);
    assert_eq!(mapped, ["10.1.2.3", "11.1.2.3", "0.255.255.255"].map(v4));
}

#[test]
fn a_bijection_stays_one() {
    // Every /8 once, with hosts at which the special networks of other lengths lie.
    let tails = [0, 0x00_02_01, 0x10_00_01, 0x12_00_01, 0x40_00_01, 0xa8_00_01, 0xff_ff_ff];
    let all: Vec<u32> =
        (0..=255_u32).flat_map(|first| tails.map(|tail| first << 24 | tail)).collect();
    for step in [1, 3, 5, 101] {
        let mut map = Add { step, special: Special::Keep };
        let mut mapped = all.clone();
        Guide::default().map(&mut map, &mut mapped, &mut []);
        assert_eq!(mapped.iter().collect::<HashSet<_>>().len(), all.len(), "step {step}");
        for (address, pseudonym) in all.iter().zip(&mapped) {
            assert_eq!(is_special_v4(*address), is_special_v4(*pseudonym), "{address:08x}");
            assert!(!is_special_v4(*address) || address == pseudonym, "{address:08x}");
        }
        let mut halves = all.clone();
        let (front, back) = halves.split_at_mut(700);
        let mut guide = Guide::default();
        guide.map(&mut map, front, &mut []);
        guide.map(&mut map, back, &mut []);
        assert_eq!(halves, mapped, "step {step}: it matters what is mapped together");
    }
}

/// Keeps the first half of an address; of every special network it has one that leads to itself.
struct Half {
    keeps: Special,
}

impl AddressMap for Half {
    const NAME: &'static str = "half";
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self { keeps: Special::Map })
    }

    fn special(&self) -> Special {
        self.keeps
    }

    fn v4(&mut self, addresses: &mut [u32]) {
        addresses.iter_mut().for_each(|address| *address &= 0xffff_0000);
    }

    fn v6(&mut self, addresses: &mut [u128]) {
        addresses.iter_mut().for_each(|address| *address &= u128::MAX << 8);
    }
}

#[test]
fn what_is_inside_says_no_more_than_the_ipv4_address_itself() {
    // address, what comes out
    let cases = [
        ("2002:c000:2ff::1234", "2002:c000::"),
        ("2002:c000:2ff:1::c000:2ff", "2002:c000::"),
        ("2001:0:c000:2ff:8000:ffff:3fff:fd00", "2001:0:c000::"),
        ("64:ff9b::192.0.2.255", "64:ff9b::c000:0"),
        ("64:ff9b:1:c000:2:ff00::", "64:ff9b:1:c000::"),
        ("64:ff9b:1:abcd::192.0.2.255", "64:ff9b:1:abcd::"),
        ("::192.0.2.255", "::c000:0"),
        ("::ffff:0:192.0.2.255", "::ffff:0:c000:0"),
        ("2a00:1:2:3:0:5efe:c000:2ff", "2a00:1:2:3:0:5efe:c000:0"),
        // Nothing is inside these, and the strategy says what stays.
        ("2a00:1:2:3:4:5:6:7ff", "2a00:1:2:3:4:5:6:700"),
        ("fe80::1ff", "fe80::100"),
    ];
    let mut mapped = cases.map(|(address, _)| v6(address));
    Guide::default().map(&mut Half { keeps: Special::Map }, &mut [], &mut mapped);
    for ((address, expected), pseudonym) in cases.iter().zip(mapped) {
        assert_eq!(Ipv6Addr::from(pseudonym).to_string(), *expected, "{address}");
    }
    // The same address, mapped where IPv4 stands alone.
    let mut alone = [v4("192.0.2.255")];
    Guide::default().map(&mut Half { keeps: Special::Map }, &mut alone, &mut []);
    assert_eq!(Ipv4Addr::from(alone[0]).to_string(), "192.0.0.0");
}

#[test]
fn a_map_that_leads_nowhere_else_ends() {
    let mut mapped = ["192.0.77.1", "10.1.2.3"].map(v4);
    let mut map = Half { keeps: Special::Keep };
    // 192.0.0.0 is special, and its own truncation.
    Guide::default().map(&mut map, &mut mapped, &mut []);
    assert_eq!(mapped, ["192.0.0.0", "10.1.2.3"].map(v4));
}
