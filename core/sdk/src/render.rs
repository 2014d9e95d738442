//! Text for addresses, times and UUIDs, appended to a buffer.
//!
//! Every sink renders both for every record, and `Display` spends 80 to 150 ns on an address
//! that takes 10 to 30 here: it goes through `fmt::Formatter` piece by piece. The text is the
//! same, which the tests hold against the standard library.

use crate::packet::unmap_v4;

const SECONDS_A_DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z
const FIRST_SECOND: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z
const LAST_SECOND: i64 = 253_402_300_799;

/// The text of each number below 256 with a dot after it, and its length.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let [_, octet] = u16::to_be_bytes(n);
        let (hundreds, tens, ones) =
            (b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10);
        table[n as usize] = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            _ => ([hundreds, tens, ones, b'.'], 4),
        };
        n += 1;
    }
    table
};

/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        let [_, number] = u16::to_be_bytes(n);
        table[n as usize] = [b'0' + number / 10, b'0' + number % 10];
        n += 1;
    }
    table
};

/// Appends a UUID in the form of RFC 9562, section 4: 36 characters, in lower case.
#[inline]
pub fn uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
    for digit in uuid.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        // There are 32 places for 32 digits.
        if let Some(place) = places.next().and_then(|at| text.get_mut(at)) {
            *place = DIGITS[usize::from(digit)];
        }
    }
    out.extend_from_slice(&text);
}

/// Appends an address as text: an IPv4-mapped one as a dotted quad, any other in the
/// canonical form of RFC 5952, equal to [`Ipv6Addr`](std::net::Ipv6Addr)'s.
#[inline]
pub fn ip(address: &[u8; 16], out: &mut Vec<u8>) {
    // The text is put together on the stack, so that the buffer checks its room once.
    let mut text = Text { bytes: [0; 48], len: 0 };
    match unmap_v4(address) {
        Some(octets) => {
            for octet in octets {
                let (digits, len) = OCTETS[usize::from(octet)];
                text.push(digits, len);
            }
            // The dot after the last.
            text.len -= 1;
        }
        None => groups(address, &mut text),
    }
    out.extend_from_slice(text.bytes.get(..text.len).unwrap_or_default());
}

fn groups(address: &[u8; 16], text: &mut Text) {
    let (groups, _) = address.as_chunks::<2>();
    let (zeros_from, zeros_to) = longest_zeros(groups);
    for (n, group) in groups.iter().enumerate() {
        if n == zeros_from {
            // The group before has brought the first of the two colons, if there is one.
            match n {
                0 => text.push([b':', b':'], 2),
                _ => text.push([b':'], 1),
            }
        }
        if n >= zeros_from && n < zeros_to {
            continue;
        }
        let (digits, len) = hexadecimal(u16::from_be_bytes(*group));
        text.push(digits, len);
        if n < 7 {
            text.push([b':'], 1);
        }
    }
}

/// Where the first of the longest runs of at least two zero groups begins and ends; 8 and 8
/// where there is none.
fn longest_zeros(groups: &[[u8; 2]]) -> (usize, usize) {
    let zeros =
        groups.iter().rev().fold(0_u32, |mask, group| mask << 1 | u32::from(*group == [0, 0]));
    // After each turn, a bit says that a run of `len` groups begins there.
    let (mut begins, mut len) = (zeros & zeros >> 1, 2);
    if begins == 0 {
        return (8, 8);
    }
    while begins & zeros >> len != 0 {
        begins &= zeros >> len;
        len += 1;
    }
    let from = begins.trailing_zeros() as usize;
    (from, from + len)
}

/// Lower case, without leading zeros.
fn hexadecimal(value: u16) -> ([u8; 4], u8) {
    // One digit to a byte, then all four to ASCII at once: those from ten on have a carry
    // into the upper half when six is added, and are 39 places further on.
    let value = u32::from(value);
    let digits = (value & 0xff00) << 8 | value & 0x00ff;
    let digits = (digits & 0x00f0_00f0) << 4 | digits & 0x000f_000f;
    let letters = (digits + 0x0606_0606) >> 4 & 0x0101_0101;
    let text = digits + 0x3030_3030 + letters * 39;
    let leading = (value << 16 | 1 << 16).leading_zeros() / 4;
    ((text << (leading * 8)).to_be_bytes(), [4, 3, 2, 1][leading as usize & 3])
}

/// A text on the stack, with room for more than the longest address.
struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Text {
    /// Adds the first `len` of `part`. All of it is copied, since a copy of a fixed length is
    /// one instruction; the next part overwrites the rest.
    #[inline]
    fn push<const N: usize>(&mut self, part: [u8; N], len: u8) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + N) {
            room.copy_from_slice(&part);
            self.len += usize::from(len);
        }
    }
}

/// Appends a time in nanoseconds since 1970-01-01T00:00:00Z as RFC 3339 text with nine digits
/// of fraction and `Z`. Every `i64` has such a text: the years are 1677 to 2262.
#[inline]
pub fn timestamp(ns: i64, out: &mut Vec<u8>) {
    let nanos = u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or_default();
    seconds(ns.div_euclid(1_000_000_000), nanos, out);
}

/// As [`timestamp`], from whole seconds since 1970-01-01T00:00:00Z and the nanoseconds after
/// them (more than 999,999,999 count as that).
///
/// The calendar is the proleptic Gregorian one. RFC 3339 has years of four digits only, so a
/// time before the year 0 is written as the first instant of that year and one after 9999 as
/// its last.
pub fn seconds(seconds: i64, nanos: u32, out: &mut Vec<u8>) {
    let (seconds, nanos) = match seconds {
        ..FIRST_SECOND => (FIRST_SECOND, 0),
        FIRST_SECOND..=LAST_SECOND => (seconds, nanos.min(999_999_999)),
        _ => (LAST_SECOND, 999_999_999),
    };
    let (year, month, day) = date(seconds.div_euclid(SECONDS_A_DAY));
    let second = u32::try_from(seconds.rem_euclid(SECONDS_A_DAY)).unwrap_or_default();

    let pair = |n: u32| PAIRS[n as usize % 100];
    let [[y1, y2], [y3, y4]] = [pair(year / 100), pair(year)];
    let [[m1, m2], [d1, d2]] = [pair(month), pair(day)];
    let [[h1, h2], [n1, n2]] = [pair(second / 3600), pair(second / 60 % 60)];
    let [s1, s2] = pair(second % 60);
    let [[_, f1], [f2, f3]] = [pair(nanos / 100_000_000), pair(nanos / 1_000_000)];
    let [[f4, f5], [f6, f7], [f8, f9]] = [pair(nanos / 10_000), pair(nanos / 100), pair(nanos)];
    #[rustfmt::skip]
    out.extend_from_slice(&[
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T',
        h1, h2, b':', n1, n2, b':', s1, s2, b'.',
        f1, f2, f3, f4, f5, f6, f7, f8, f9, b'Z',
    ]);
}

/// A time for the name of a file, to the second: `20261123T031500Z`.
#[must_use]
pub fn file_time(ns: i64) -> String {
    let mut text = Vec::new();
    timestamp(ns, &mut text);
    let kept = text.into_iter().take_while(|byte| *byte != b'.');
    kept.filter(|byte| !b"-:".contains(byte)).map(char::from).chain(['Z']).collect()
}

/// Year, month and day of a day counted from 1970-01-01, for the years 0 to 9999.
///
/// The year is taken to begin in March, so that the leap day is its last, and counted in
/// cycles of 400 years, which all have the same days.
pub(crate) fn date(day: i64) -> (u32, u32, u32) {
    const DAYS_TO_1970: i64 = 719_468; // from 0000-03-01
    const DAYS_A_CYCLE: i64 = 146_097;
    let day = day + DAYS_TO_1970;
    let cycle = day.div_euclid(DAYS_A_CYCLE);
    let day = day.rem_euclid(DAYS_A_CYCLE);
    let leap_days = day / 1_460 - day / 36_524 + day / (DAYS_A_CYCLE - 1);
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let number = |n: i64| u32::try_from(n).unwrap_or_default();
    (number(cycle * 400 + year + next), number(month), number(day))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        time::Instant,
    };

    use super::*;

    /// xorshift64*: the same values in every run, so that a failing row can be found again.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }
    }

    #[test]
    fn a_uuid_has_its_dashes() {
        let mut out = b"id ".to_vec();
        uuid(&0x0123_4567_89ab_8def_8000_00ff_1234_5678_u128.to_be_bytes(), &mut out);
        assert_eq!(out, b"id 01234567-89ab-8def-8000-00ff12345678");
    }

    fn ip_text(address: &[u8; 16]) -> String {
        let mut out = Vec::new();
        ip(address, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// What the standard library says.
    fn std_text(address: [u8; 16]) -> String {
        let address = Ipv6Addr::from(address);
        address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string())
    }

    #[test]
    fn addresses_have_the_text_that_rfc_5952_asks_for() {
        let cases = [
            ("::", "::"),
            ("::1", "::1"),
            ("1::", "1::"),
            ("::ffff:0.0.0.0", "0.0.0.0"),
            ("::ffff:192.0.2.10", "192.0.2.10"),
            ("::ffff:255.255.255.255", "255.255.255.255"),
            ("::192.0.2.1", "::c000:201"),
            ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
            ("2001:db8::", "2001:db8::"),
            ("2001:0db8::0001", "2001:db8::1"),
            // One zero group is not shortened; of two equal runs the first is.
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("0:0:1:2:3:4:5:6", "::1:2:3:4:5:6"),
            ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"),
            ("0:1:2:3:4:5:6:0", "0:1:2:3:4:5:6:0"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ];
        for (address, text) in cases {
            let address: Ipv6Addr = address.parse().unwrap();
            assert_eq!(ip_text(&address.octets()), text, "{address}");
        }
    }

    #[test]
    fn addresses_agree_with_the_standard_library() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for n in 0..300_000 {
            let mut address =
                (u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes();
            if n % 3 == 0 {
                let [.., a, b, c, d] = address;
                address = Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets();
            } else {
                // Zero groups where the random mask says so, and groups of every width.
                let mask = random.next();
                for (n, pair) in address.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let value = u16::from_be_bytes(*pair) >> (mask >> (8 + n * 4) & 0xf);
                    *pair = if mask >> n & 1 == 1 { [0, 0] } else { value.to_be_bytes() };
                }
            }
            assert_eq!(ip_text(&address), std_text(address), "row {n}: {address:02x?}");
        }
        // Every octet in every place.
        for octet in 0..=255 {
            for place in 0..4 {
                let mut octets = [7; 4];
                octets[place] = octet;
                let address = Ipv4Addr::from(octets).to_ipv6_mapped().octets();
                assert_eq!(ip_text(&address), std_text(address));
            }
        }
    }

    fn time_text(ns: i64) -> String {
        let mut out = Vec::new();
        timestamp(ns, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_have_their_rfc_3339_text() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (-1_000_000_000, "1969-12-31T23:59:59.000000000Z"),
            (1_354_330_470_191_989_000, "2012-12-01T02:54:30.191989000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (1_735_689_599_999_999_999, "2024-12-31T23:59:59.999999999Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ];
        for (ns, text) in cases {
            assert_eq!(time_text(ns), text, "{ns}");
        }
    }

    #[test]
    fn years_without_four_digits_become_the_nearest_that_have_them() {
        let cases = [
            (FIRST_SECOND, 5, "0000-01-01T00:00:00.000000005Z"),
            (FIRST_SECOND - 1, 5, "0000-01-01T00:00:00.000000000Z"),
            (i64::MIN, 5, "0000-01-01T00:00:00.000000000Z"),
            (LAST_SECOND, 5, "9999-12-31T23:59:59.000000005Z"),
            (LAST_SECOND + 1, 5, "9999-12-31T23:59:59.999999999Z"),
            (i64::MAX, 5, "9999-12-31T23:59:59.999999999Z"),
            (0, u32::MAX, "1970-01-01T00:00:00.999999999Z"),
        ];
        for (second, nanos, text) in cases {
            let mut out = b"kept ".to_vec();
            seconds(second, nanos, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("kept {text}"), "{second}");
        }
    }

    /// Counts days one by one, by the rule for leap years and nothing else.
    #[test]
    fn every_day_of_ten_thousand_years_follows_the_one_before() {
        let leap = |year: u32| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut day = FIRST_SECOND / SECONDS_A_DAY;
        for year in 0..10_000 {
            for month in 1..=12 {
                let days = match month {
                    2 if leap(year) => 29,
                    2 => 28,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                for day_of_month in 1..=days {
                    assert_eq!(date(day), (year, month, day_of_month), "day {day}");
                    day += 1;
                }
            }
        }
        assert_eq!(day, LAST_SECOND / SECONDS_A_DAY + 1);
        assert_eq!(date(0), (1970, 1, 1));
    }

    /// Reads the text back; the dates themselves are held to the calendar above.
    #[test]
    fn random_times_read_back_as_what_they_were() {
        let mut random = Random(7);
        let days: std::collections::HashMap<_, _> =
            (-107_000..107_000).map(|day| (date(day), day)).collect();
        for _ in 0..300_000 {
            let ns = random.next().cast_signed();
            let text = time_text(ns);
            let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
            let number = |from, to| u32::try_from(part(from, to)).unwrap();
            let day: i64 = days[&(number(0, 4), number(5, 7), number(8, 10))];
            let second = part(11, 13) * 3600 + part(14, 16) * 60 + part(17, 19);
            let back =
                i128::from(day * SECONDS_A_DAY + second) * 1_000_000_000 + i128::from(part(20, 29));
            assert_eq!(back, i128::from(ns), "{text}");
            let marks: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
            assert_eq!(marks, "--T::.Z", "{text}");
        }
    }

    #[test]
    fn the_time_in_a_file_name_sorts_and_has_no_odd_characters() {
        assert_eq!(file_time(1_795_403_700_999_999_999), "20261123T031500Z");
        assert_eq!(file_time(-1), "19691231T235959Z");
    }

    /// `cargo test --release -p ringmill-sdk render -- --ignored --nocapture`
    #[test]
    #[ignore = "measures; run it alone and with --release"]
    fn how_long_it_takes() {
        const N: usize = 1_000_000;
        let mut random = Random(3);
        let mut out = Vec::with_capacity(N * 40);
        let v4: Vec<[u8; 16]> = (0..N)
            .map(|_| {
                let [a, b, c, d, ..] = random.next().to_be_bytes();
                Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets()
            })
            .collect();
        let v6: Vec<[u8; 16]> = (0..N)
            .map(|_| (u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes())
            .collect();
        for (name, addresses) in [("IPv4", &v4), ("IPv6", &v6)] {
            let start = Instant::now();
            out.clear();
            addresses.iter().for_each(|address| ip(address, &mut out));
            println!("{name}: {} ns", start.elapsed().as_nanos() / N as u128);
        }
        let times: Vec<i64> = (0..N).map(|_| random.next().cast_signed()).collect();
        let start = Instant::now();
        out.clear();
        times.iter().for_each(|time| timestamp(*time, &mut out));
        println!("time: {} ns", start.elapsed().as_nanos() / N as u128);
    }
}
