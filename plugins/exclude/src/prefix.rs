//! A prefix, as it is written.

use std::net::{IpAddr, Ipv6Addr};

/// The first and the last address of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    V4(u32, u32),
    V6(u128, u128),
}

impl Prefix {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address. A prefix of IPv4 addresses
    /// that are mapped into IPv6 (`::ffff:192.0.2.0/120`) is one of IPv4.
    ///
    /// The error says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let no_prefix =
            || format!("`{text}` is no prefix; write it as 192.0.2.0/24 or 2001:db8::/32");
        let address: IpAddr = address.parse().map_err(|_| no_prefix())?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| no_prefix())?
            }
            Some(_) => return Err(no_prefix()),
        };
        let Some(free) = width.checked_sub(length) else {
            let family = if width == 32 { "IPv4" } else { "IPv6" };
            return Err(format!(
                "`{text}` is too long; a prefix of {family} has 0 to {width} bits"
            ));
        };
        let bits = match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6),
        };
        let behind = 1_u128.checked_shl(free).map_or(u128::MAX, |above| above - 1);
        if bits & behind != 0 {
            let first: IpAddr = match address {
                // Bits of an IPv4 address, so they fit.
                IpAddr::V4(v4) => (u32::from(v4) & !u32::try_from(behind).unwrap_or(u32::MAX))
                    .to_be_bytes()
                    .into(),
                IpAddr::V6(_) => Ipv6Addr::from(bits & !behind).into(),
            };
            return Err(format!(
                "`{text}` has bits set behind the prefix; write {first}/{length}, or {address} for \
                 that address alone"
            ));
        }
        Ok(match address {
            IpAddr::V4(v4) => {
                let first = u32::from(v4);
                Self::V4(first, first | u32::try_from(behind).unwrap_or(u32::MAX))
            }
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if length >= 96 => {
                    let first = u32::from(v4);
                    Self::V4(first, first | u32::try_from(behind).unwrap_or(u32::MAX))
                }
                _ => Self::V6(bits, bits | behind),
            },
        })
    }
}
