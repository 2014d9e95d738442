//! Addresses that a strategy must not treat like any other: special ones, which a site may
//! want to keep, and IPv6 addresses with an IPv4 address inside.

use super::distinct::{Distinct, hash_v4, hash_v6};
use crate::AddressMap;

crate::choice! {
    /// What becomes of special addresses: private, shared, link-local, loopback, multicast,
    /// unspecified, broadcast, reserved, documentation and benchmarking ([`is_special_v4`],
    /// [`is_special_v6`]).
    ///
    /// `"map"` treats them like any other. `"keep"` leaves them as they are, and no other
    /// address gets one of them as its pseudonym: the map is applied again until it leads out
    /// of them. So a bijection stays one. A map that keeps prefixes keeps them among the
    /// addresses that were mapped equally often, which for all but a few is once.
    pub enum Special { Map = "map", Keep = "keep" }
}

impl Special {
    /// How the sentence of a strategy goes on ([`Host::describe`](crate::Host::describe)).
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Map => "",
            Self::Keep => "; private, multicast and other special addresses (RFC 6890) were kept",
        }
    }
}

/// Special IPv4 addresses, as network and prefix length: what IANA's registry of
/// special-purpose addresses (RFC 6890) holds and calls not globally reachable, and multicast.
const SPECIAL_V4: &[(u32, u32)] = &[
    (0x0000_0000, 8),  // "this network" with the unspecified address, RFC 791
    (0x0a00_0000, 8),  // private, RFC 1918
    (0x6440_0000, 10), // shared by the customers of a provider, RFC 6598
    (0x7f00_0000, 8),  // loopback, RFC 1122
    (0xa9fe_0000, 16), // link-local, RFC 3927
    (0xac10_0000, 12), // private
    (0xc000_0000, 24), // protocol assignments, RFC 6890
    (0xc000_0200, 24), // documentation, RFC 5737
    (0xc0a8_0000, 16), // private
    (0xc612_0000, 15), // benchmarking, RFC 2544
    (0xc633_6400, 24), // documentation
    (0xcb00_7100, 24), // documentation
    (0xe000_0000, 4),  // multicast, RFC 5771
    (0xf000_0000, 4),  // reserved, RFC 1112, and broadcast, RFC 919
];

/// The same for IPv6. Of multicast only the permanent groups: others hold the prefix of a
/// network (RFC 3306).
const SPECIAL_V6: &[(u128, u32)] = &[
    (0, 128),                // unspecified, RFC 4291
    (1, 128),                // loopback, RFC 4291
    (0x0100 << 112, 64),     // discard, RFC 6666
    (0x2001_0002 << 96, 48), // benchmarking, RFC 5180
    (0x2001_0db8 << 96, 32), // documentation, RFC 3849
    (0x3fff << 112, 20),     // documentation, RFC 9637
    (0xfc00 << 112, 7),      // unique local, RFC 4193
    (0xfe80 << 112, 10),     // link-local, RFC 4291
    (0xff00 << 112, 12),     // permanent multicast groups, RFC 4291
];

/// IPv6 addresses that hold an IPv4 address, as network, prefix length, and the first bit of
/// the IPv4 address.
const EMBEDDED: &[(u128, u32, u32)] = &[
    (0, 96, 96),                      // IPv4-compatible, RFC 4291
    (0xffff << 32, 96, 96),           // IPv4-mapped, RFC 4291
    (0xffff << 48, 96, 96),           // IPv4-translated, RFC 2765
    (0x0064_ff9b << 96, 96, 96),      // NAT64, RFC 6052
    (0x0064_ff9b_0001 << 80, 48, 48), // NAT64 of a site, RFC 8215: at bit 48 or behind it
    (0x2001 << 112, 32, 32),          // Teredo, RFC 4380: the server, then the client
    (0x2002 << 112, 16, 16),          // 6to4, RFC 3056
];

fn within_v4(address: u32, (network, length): (u32, u32)) -> bool {
    (address ^ network).leading_zeros() >= length
}

fn within_v6(address: u128, (network, length): (u128, u32)) -> bool {
    (address ^ network).leading_zeros() >= length
}

/// Whether an IPv4 address (most significant byte first) is special.
#[must_use]
pub fn is_special_v4(address: u32) -> bool {
    SPECIAL_V4.iter().any(|&network| within_v4(address, network))
}

/// Whether an IPv6 address (most significant byte first) is special, and its interface
/// identifier tells nothing beyond: one that holds an IPv4 address (ISATAP), a hardware address
/// (EUI-64) or the end of another address (a solicited node) is not.
#[must_use]
pub fn is_special_v6(address: u128) -> bool {
    let telling = is_isatap(address)
        || address >> 24 & 0xffff == 0xfffe
        || within_v6(address, (0xff02_0000_0000_0000_0000_0001_ff00_0000, 104));
    SPECIAL_V6.iter().any(|&network| within_v6(address, network)) && !telling
}

/// RFC 5214: the interface identifier 0:5efe:a.b.c.d, or 200:5efe:a.b.c.d.
fn is_isatap(address: u128) -> bool {
    address >> 32 & 0xfdff_ffff == 0x5efe
}

/// Where in an IPv6 address (most significant byte first) an IPv4 address begins, in bits from
/// the front: in those of 6to4, Teredo, NAT64 and ISATAP, and in IPv4-compatible, -mapped and
/// -translated ones. The first place where there are several; behind it there may be more of
/// it, such as the client of a Teredo server.
///
/// A provider's own prefixes, for NAT64 (RFC 6052) or 6rd (RFC 5969), nobody can tell from
/// others.
#[must_use]
pub fn embedded_v4(address: u128) -> Option<u32> {
    let places = EMBEDDED.iter().filter(|row| within_v6(address, (row.0, row.1))).map(|row| row.2);
    places.chain(is_isatap(address).then_some(96)).min()
}

/// Takes addresses to a strategy and back, with regard to what is special about them.
#[derive(Debug, Default)]
pub(super) struct Guide {
    v4: Distinct<u32>,
    v6: Distinct<u128>,
    detours: Detours,
}

impl Guide {
    /// Replaces addresses by their pseudonyms.
    pub(super) fn map<A: AddressMap>(&mut self, map: &mut A, v4: &mut [u32], v6: &mut [u128]) {
        let Self { v4: short, v6: long, detours } = self;
        if A::OPAQUE {
            short.map(v4, hash_v4, |v4| {
                long.map(v6, hash_v6, |v6| detours.map(map, v4, v6));
            });
        } else {
            // Such a map is as cheap as to look whether an address was there.
            detours.map(map, v4, v6);
        }
    }
}

#[derive(Debug, Default)]
struct Detours {
    v4: Detour<u32>,
    v6: Detour<u128>,
}

impl Detours {
    fn map<A: AddressMap>(&mut self, map: &mut A, v4: &mut [u32], v6: &mut [u128]) {
        let Self { v4: short, v6: long } = self;
        let keep = map.special() == Special::Keep;
        if keep {
            short.around(v4, is_special_v4, |addresses| map.v4(addresses));
        } else {
            map.v4(v4);
        }
        let special = |address| match u32::try_from(address ^ MAPPED) {
            // As it comes from a strategy that widens.
            Ok(v4) => is_special_v4(v4),
            Err(_) => is_special_v6(address),
        };
        let hide = !A::OPAQUE && !map.widens();
        let mut mapped = |addresses: &mut [u128]| {
            if hide {
                short.hide_embedded(addresses, |embedded| map.v4(embedded));
            }
            map.v6(addresses);
        };
        if keep {
            long.around(v6, special, mapped);
        } else {
            mapped(v6);
        }
    }
}

/// ::ffff:0:0
const MAPPED: u128 = 0xffff << 32;

/// Addresses on their way, with their places; keeps its memory from call to call.
#[derive(Debug, Default)]
struct Detour<A> {
    places: Vec<usize>,
    addresses: Vec<A>,
    before: Vec<A>,
}

impl<A: Copy + PartialEq> Detour<A> {
    /// How often a map is applied again at most. A bijection leads out of the special addresses
    /// by itself, and long before; something else may not.
    const STEPS: usize = 1000;

    /// Maps all but the special ones, and again those that became special by it.
    fn around(
        &mut self,
        addresses: &mut [A],
        special: impl Fn(A) -> bool,
        mut map: impl FnMut(&mut [A]),
    ) {
        let Self { places, addresses: pending, before } = self;
        places.clear();
        pending.clear();
        for (place, &address) in addresses.iter().enumerate() {
            if !special(address) {
                places.push(place);
                pending.push(address);
            }
        }
        for _ in 0..Self::STEPS {
            before.clone_from(pending);
            map(pending);
            let mut left = 0;
            for at in 0..pending.len() {
                let (place, address) = (places[at], pending[at]);
                addresses[place] = address;
                // What maps to itself, as the result of a truncation does, leads nowhere else.
                if special(address) && address != before[at] {
                    places[left] = place;
                    pending[left] = address;
                    left += 1;
                }
            }
            places.truncate(left);
            pending.truncate(left);
            if left == 0 {
                break;
            }
        }
    }
}

impl Detour<u32> {
    /// In each address that holds an IPv4 address, puts that one's pseudonym into its place and
    /// clears what follows.
    fn hide_embedded(&mut self, addresses: &mut [u128], map: impl FnOnce(&mut [u32])) {
        let Self { places, addresses: embedded, .. } = self;
        places.clear();
        embedded.clear();
        for (place, address) in addresses.iter().enumerate() {
            if let Some(bit) = embedded_v4(*address) {
                places.push(place);
                // The IPv4 address is the first word behind the bit.
                #[allow(clippy::cast_possible_truncation, reason = "32 bits are what is left")]
                embedded.push(((address << bit) >> 96) as u32);
            }
        }
        if places.is_empty() {
            return;
        }
        map(embedded);
        for (&place, &pseudonym) in places.iter().zip(&*embedded) {
            let address = &mut addresses[place];
            let Some(bit) = embedded_v4(*address) else { continue };
            let front = u128::MAX.checked_shl(128 - bit).unwrap_or(0);
            *address = *address & front | u128::from(pseudonym) << (96 - bit);
        }
    }
}

#[cfg(test)]
mod tests;
