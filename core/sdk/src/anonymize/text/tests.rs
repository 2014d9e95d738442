//! Every spelling, in every place; what is none; and what a hostile text costs.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use proptest::{prelude::*, sample::select};

use super::*;
use crate::packet::{map_v4, unmap_v4};

/// A pseudonym that can be told by looking: 10.0.0.1 becomes 245.255.255.254.
fn flipped(address: &[u8; 16]) -> [u8; 16] {
    match unmap_v4(address) {
        Some(v4) => map_v4(v4.map(|byte| !byte)),
        None => address.map(|byte| !byte),
    }
}

fn find(text: &str, place: Place) -> Vec<Found> {
    let mut found = Vec::new();
    let end = i32::try_from(text.len()).unwrap();
    Finder::default().all(text.as_bytes(), &[0, end], |_| place, &mut found);
    found
}

fn replaced_by(text: &str, place: Place, map: impl Fn(&[u8; 16]) -> [u8; 16]) -> String {
    let (mut out, mut copied) = (Vec::new(), 0);
    for found in find(text, place) {
        out.extend_from_slice(&text.as_bytes()[copied..found.start]);
        write(&found, &map(&found.address), &mut out);
        copied = found.end;
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
    String::from_utf8(out).unwrap()
}

fn replaced(text: &str, place: Place) -> String {
    replaced_by(text, place, flipped)
}

/// What becomes of 2001:db8::1, of fe80::1 and of the two quads, as URLs and headers have them.
const A: &str = "dffe:f247:ffff:ffff:ffff:ffff:ffff:fffe";
const L: &str = "17f:ffff:ffff:ffff:ffff:ffff:ffff:fffe";

#[test]
fn every_spelling_of_an_address_is_replaced() {
    let a_escaped = A.replace(':', "%3A");
    let a_escaped_twice = A.replace(':', "%253A");
    let full = "1:2:3:4:5:6:7:8";
    let not_full = "fffe:fffd:fffc:fffb:fffa:fff9:fff8:fff7";
    let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    let not_nibbles = "e.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.7.4.2.f.e.f.f.d";
    let letters = "a.b.c.d.e.f.a.b.c.d.e.f.a.b.c.d.e.f.a.b.c.d.e.f.a.b.c.d.e.f.a.f";
    let not_letters = "5.4.3.2.1.0.5.4.3.2.1.0.5.4.3.2.1.0.5.4.3.2.1.0.5.4.3.2.1.0.5.0";
    let cases: &[(&str, String)] = &[
        // Header fields.
        ("10.0.0.1", "245.255.255.254".into()),
        ("10.0.0.1, 192.0.2.1", "245.255.255.254, 63.255.253.254".into()),
        ("10.0.0.1,192.0.2.1,unknown", "245.255.255.254,63.255.253.254,unknown".into()),
        ("10.0.0.1:4711", "245.255.255.254:4711".into()),
        ("10.0.0.0/8", "245.255.255.255/8".into()),
        ("10.0.0.1-10.0.0.2", "245.255.255.254-245.255.255.253".into()),
        (
            "for=10.0.0.1;proto=http;by=192.0.2.1",
            "for=245.255.255.254;proto=http;by=63.255.253.254".into(),
        ),
        ("for=\"[2001:db8::1]:4711\"", format!("for=\"[{A}]:4711\"")),
        ("For=\"[2001:DB8::1]\"", format!("For=\"[{A}]\"")),
        ("1.1 10.0.0.1:3128 (squid/3.5.27)", "1.1 245.255.255.254:3128 (squid/3.5.27)".into()),
        ("1.1 proxy (10.0.0.1)", "1.1 proxy (245.255.255.254)".into()),
        ("[IPv6:2001:db8::1]", format!("[IPv6:{A}]")),
        ("from ip:2001:db8::1;", format!("from ip:{A};")),
        ("client=::1", format!("client={}", replaced("::1", Place::Text))),
        ("abc10.0.0.1xyz", "abc245.255.255.254xyz".into()),
        ("Ends with 10.0.0.1.", "Ends with 245.255.255.254.".into()),
        ("\u{e9}10.0.0.1\u{e9}2001:db8::1\u{e9}", format!("\u{e9}245.255.255.254\u{e9}{A}\u{e9}")),
        // Spellings of IPv6.
        ("2001:db8::1", A.into()),
        ("2001:0db8:0:0:0:0:0:1", A.into()),
        ("2001:0DB8:0000:0000:0000:0000:0000:0001", A.into()),
        ("2001:db8::0:1", A.into()),
        ("2001:db8:0:0:0:0:0.0.0.1", A.into()),
        ("2001:db8::0.0.0.1", A.into()),
        (full, not_full.into()),
        ("1:2:3:4:5:6:0.7.0.8", not_full.into()),
        ("x=1:2:3:4:5:6:0.7.0.8,9", format!("x={not_full},9")),
        ("1:2:3:4:5:6:7:8:443", format!("{not_full}:443")),
        ("1:2:3:4:5:6:7::", "fffe:fffd:fffc:fffb:fffa:fff9:fff8:ffff".into()),
        ("::2:3:4:5:6:7:8", "ffff:fffd:fffc:fffb:fffa:fff9:fff8:fff7".into()),
        ("1::", "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff".into()),
        ("2001:db8::1:50000", format!("{A}:50000")),
        ("2001:db8::1,10.0.0.1", format!("{A},245.255.255.254")),
        ("2001:db8::1/64", format!("{A}/64")),
        ("2001:db8::1x", format!("{A}x")),
        // IPv4 in IPv6.
        ("::ffff:10.0.0.1", "::ffff:245.255.255.254".into()),
        ("::FFFF:0a00:1", "::ffff:245.255.255.254".into()),
        ("0:0:0:0:0:ffff:10.0.0.1", "::ffff:245.255.255.254".into()),
        ("[::ffff:10.0.0.1]:80", "[::ffff:245.255.255.254]:80".into()),
        ("host:::ffff:10.0.0.1", "host:::ffff:245.255.255.254".into()),
        ("for:10.0.0.1:80", "for:245.255.255.254:80".into()),
        ("key:::10.0.0.1", format!("key:{}", replaced("::a00:1", Place::Text))),
        ("key::10.0.0.1", "key::245.255.255.254".into()),
        ("a:b:10.0.0.1", "a:b:245.255.255.254".into()),
        ("10.0.0.1::10.0.0.1", "245.255.255.254::245.255.255.254".into()),
        // Zones.
        ("fe80::1%eth0", L.into()),
        ("[fe80::1%25eth0]:80", format!("[{L}]:80")),
        ("[fe80::1%25e0]", format!("[{L}]")),
        ("fe80::1%11, fe80::1%wlan0.1", format!("{L}, {L}")),
        ("http://[fe80::1%25en1]/", format!("http://[{L}]/")),
        ("fe80::1%2Fx", format!("{L}%2Fx")),
        // URLs.
        ("http://10.0.0.1/", "http://245.255.255.254/".into()),
        ("/?a=10.0.0.1&b=[2001:db8::1]", format!("/?a=245.255.255.254&b=[{A}]")),
        ("http://[2001:db8::1]:8080/x", format!("http://[{A}]:8080/x")),
        ("</a>; rel=x, <//10.0.0.1/b>", "</a>; rel=x, <//245.255.255.254/b>".into()),
        ("/x?ip=%31%30.0.0.1&n=1", "/x?ip=245.255.255.254&n=1".into()),
        ("/x?ip=%31%30%2E%30%2e%30%2E%31", "/x?ip=245.255.255.254".into()),
        ("/x?ip=10%2E0%2E0%2E1", "/x?ip=245.255.255.254".into()),
        ("/x?ip=2001%3Adb8%3A%3A1&y", format!("/x?ip={a_escaped}&y")),
        ("/x?ip=%32%30%30%31%3a%64%62%38%3a%3a%31", format!("/x?ip={a_escaped}")),
        ("/x?ip=%5B2001%3Adb8%3A%3A1%5D%3A80", format!("/x?ip=%5B{a_escaped}%5D%3A80")),
        (
            "/x?u=http%253A%252F%252F%255B2001%253Adb8%253A%253A1%255D",
            format!("/x?u=http%253A%252F%252F%255B{a_escaped_twice}%255D"),
        ),
        ("/x?u=http%3A%2F%2F10.0.0.1%2F", "/x?u=http%3A%2F%2F245.255.255.254%2F".into()),
        (
            "/x?u=http%253A%252F%252F10%252E0.0.1%252F",
            "/x?u=http%253A%252F%252F245.255.255.254%252F".into(),
        ),
        ("/x?q=a%2010.0.0.1%20b", "/x?q=a%20245.255.255.254%20b".into()),
        ("100%10.0.0.1", "100%245.255.255.254".into()),
        ("10.0.0.1%zz%", "245.255.255.254%zz%".into()),
        ("%2525%25zz10.0.0.1", "%2525%25zz245.255.255.254".into()),
        // Hosts that are numbers.
        ("http://0x7f.1/", "http://128.255.255.254/".into()),
        ("http://0x7f000001:80/", "http://128.255.255.254:80/".into()),
        ("http://2130706433/a", "http://128.255.255.254/a".into()),
        ("http://0177.0.0.1/", "http://128.255.255.254/".into()),
        ("http://u:p@2130706433/", "http://u:p@128.255.255.254/".into()),
        ("http://010.0.0.1/", "http://247.255.255.254/".into()),
        ("https://0X7F.0.1.?x", "https://128.255.255.254.?x".into()),
        ("<http://127.1>; rel=next", "<http://128.255.255.254>; rel=next".into()),
        ("/r?u=//2130706433/", "/r?u=//128.255.255.254/".into()),
        ("/r?u=http%3A%2F%2F2130706433%2F", "/r?u=http%3A%2F%2F128.255.255.254%2F".into()),
        // Leading zeros, where browsers do not read.
        ("010.000.000.001", "245.255.255.254".into()),
        ("x, 0010.00.0.0001", "x, 245.255.255.254".into()),
        // More than four.
        ("10.0.0.1.443", "245.255.255.254.443".into()),
        ("10.0.0.1.80", "245.255.255.254".into()),
        ("300.10.0.0.1", "300.245.255.254".replace("255.254", "255.255.254")),
        ("300.10.0.0.1.300.192.0.2.1", "300.245.255.255.254.300.63.255.253.254".into()),
        // Names.
        ("ip-10-0-0-1.ec2.internal", "ip-245-255-255-254.ec2.internal".into()),
        ("10-0-0-1", "245-255-255-254".into()),
        ("host10_0_0_1.example.net", "host245_255_255_254.example.net".into()),
        ("10-0-0-1.sslip.io:80", "245-255-255-254.sslip.io:80".into()),
        ("1-2-10.0.0.1", "1-2-245.255.255.254".into()),
        ("1-2-3-10.0.0.1", "1-2-3-245.255.255.254".into()),
        ("1-2-3-4-10.0.0.1", "254-253-252-251-245.255.255.254".into()),
        ("1.2.10-0-0-1", "1.2.245-255-255-254".into()),
        ("1.0.0.10.in-addr.arpa", "254.255.255.245.in-addr.arpa".into()),
        ("1.0.0.10.IN-ADDR.ARPA.", "254.255.255.245.IN-ADDR.ARPA.".into()),
        (&format!("{nibbles}.ip6.arpa"), format!("{not_nibbles}.ip6.arpa")),
        (&format!("x {}.IP6.ARPA", nibbles.to_uppercase()), format!("x {not_nibbles}.IP6.ARPA")),
        (&format!("{letters}.ip6.arpa."), format!("{not_letters}.ip6.arpa.")),
        // Doubtful, and taken.
        ("abc::def", "f543:ffff:ffff:ffff:ffff:ffff:ffff:f210".into()),
        ("Chrome 120.0.0.0", "Chrome 135.255.255.255".into()),
        ("00-11-22-33", "255-244-233-222".into()),
    ];
    for (text, expected) in cases {
        for place in [Place::Text, Place::Url] {
            assert_eq!(replaced(text, place), *expected, "{text} in {place:?}");
        }
    }
}

#[test]
fn what_stands_in_another_place_may_be_another_thing() {
    let cases: &[(Place, &str, &str)] = &[
        (Place::Host, "10.0.0.1", "245.255.255.254"),
        (Place::Host, "10.0.0.1:8080", "245.255.255.254:8080"),
        (Place::Host, "10.0.0.1.", "245.255.255.254."),
        (Place::Host, "2130706433", "128.255.255.254"),
        (Place::Host, "0x7f.1:80", "128.255.255.254:80"),
        (Place::Host, "127.1", "128.255.255.254"),
        (Place::Host, "0177.0.0.1", "128.255.255.254"),
        (Place::Host, "%30x7f.1", "128.255.255.254"),
        (Place::Host, "09.0.0.1", "246.255.255.254"),
        (Place::Host, "[::ffff:7f00:1]:80", "[::ffff:128.255.255.254]:80"),
        (Place::Host, "4294967296", "4294967296"),
        (Place::Host, "2001:db8::1", A),
        (Place::Host, "2001:8::1:80", &replaced("2001:8::1:80", Place::Text)),
        (Place::Host, "1.2.3.example", "1.2.3.example"),
        (Place::Host, "3com.com", "3com.com"),
        (Place::Host, "0x7f.1-2", "0x7f.1-2"),
        (Place::Text, "2130706433", "2130706433"),
        (Place::Text, "0x7f.1", "0x7f.1"),
        // The target of CONNECT.
        (Place::Url, "2130706433:443", "128.255.255.254:443"),
        (Place::Url, "0x7f.1:443", "128.255.255.254:443"),
        (Place::Url, "10.0.0.1:443", "245.255.255.254:443"),
        (Place::Url, "12345", "12345"),
        (Place::Url, "12345/x:80", "12345/x:80"),
        // Versions of products.
        (Place::Products, "Chrome/120.0.0.0 Safari/537.36", "Chrome/120.0.0.0 Safari/537.36"),
        (
            Place::Products,
            "A (compatible; Foo/1.2.3.4;Bar/1.2.3.4)",
            "A (compatible; Foo/1.2.3.4;Bar/1.2.3.4)",
        ),
        (Place::Products, "[FBAN/FBIOS;FBAV/270.1.0.66.127]", "[FBAN/FBIOS;FBAV/270.1.0.66.127]"),
        (Place::Products, "Foo/1.2.3.4 10.0.0.1", "Foo/1.2.3.4 245.255.255.254"),
        (Place::Products, "Chrome/120.0.0.0%20", "Chrome/120.0.0.0%20"),
        (Place::Products, "Bot (+http://10.0.0.1/)", "Bot (+http://245.255.255.254/)"),
        (Place::Products, "Bot (http://e.com/10.0.0.1)", "Bot (http://e.com/245.255.255.254)"),
        (Place::Products, "Bot/2001:db8::1", &format!("Bot/{A}")),
        (Place::Products, "/10.0.0.1", "/245.255.255.254"),
        (Place::Products, "1/10.0.0.1", "1/245.255.255.254"),
        (Place::Products, "a=b/10.0.0.1", "a=b/245.255.255.254"),
        (Place::Products, "v10.0.0.1", "v245.255.255.254"),
        (Place::Text, "Chrome/120.0.0.0", "Chrome/135.255.255.255"),
    ];
    for (place, text, expected) in cases {
        assert_eq!(replaced(text, *place), *expected, "{text} in {place:?}");
    }
    for (name, place) in [
        ("host", Place::Host),
        ("request_host", Place::Host),
        ("x-forwarded-host", Place::Host),
        ("user_agent", Place::Products),
        ("user-agent", Place::Products),
        ("server", Place::Products),
        ("via", Place::Text),
        ("", Place::Text),
    ] {
        assert_eq!(Place::named(name), place, "{name}");
    }
}

#[test]
fn what_is_no_address_stays_as_it_is() {
    let cases = [
        "",
        "/",
        "*",
        "www.example.com:8080",
        "Mon, 23 Nov 2026 03:23:43 GMT",
        "2026-11-23T03:23:43.123Z",
        "/photo-2024-11-26-05-42-49.jpg",
        "26-11-2024-10-20-30",
        "1.2.3",
        "300.1.1.1",
        "1.2.3.256",
        "1..2.3.4",
        "1.2.3.",
        "1-2.3-4",
        "gzip;q=1.0, deflate;q=0.6, *;q=0.5",
        "/npm/jquery@3.7.1/dist/jquery.min.js",
        "https://cdn.example/npm/jquery@3.7.1/dist/x.js",
        "/a//123/b",
        "http://2130706433x/",
        "http://1.2.3.4567890123/",
        "::",
        "a :: b",
        ":",
        ":::",
        "::::::::",
        "std::string",
        "std::add(b)",
        "LWP::Simple",
        "Foo::Bar::baz",
        "abc::string",
        "a:b:c",
        "\"5c:1f:3b\"",
        "00:1b:44:11:3a:b7",
        "1:2:3:4:5:6:7",
        "2001:db8:",
        "12345::67890",
        "1:2:3:4:5:6:7:89abc",
        "550e8400-e29b-41d4-a716-446655440000",
        "+1-800-555-0199",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "sha256-q83v%2BEjRWeJrze8SNFZ4mrze%3D",
        "%",
        "%%%",
        "%2",
        "%25",
        "%252525",
        "a%20b%2Fc%3D%E4%B8%AD",
        "8.b.d.0.1.0.x.ip6.arpa",
        "g.ip6.arpa",
        "p6.p6.",
        "0.0.10.in-addr.arpa",
        "@1",
        "//",
        "a@1.2",
    ];
    for text in cases {
        for place in [Place::Text, Place::Url, Place::Products] {
            assert_eq!(replaced(text, place), text, "{text} in {place:?}");
        }
    }
}

/// A strategy may answer an IPv4 address with a pseudonym of the other family.
#[test]
fn a_pseudonym_of_another_family_fits_its_place() {
    let v6: Ipv6Addr = "2001:db8::5".parse().unwrap();
    let cases = [
        ("10.0.0.1, 10.0.0.1:80", "2001:db8::5, [2001:db8::5]:80"),
        ("http://10.0.0.1/", "http://[2001:db8::5]/"),
        ("/?u=http%3A%2F%2F10.0.0.1%2F", "/?u=http%3A%2F%2F%5B2001%3Adb8%3A%3A5%5D%2F"),
        ("::ffff:10.0.0.1", "2001:db8::5"),
        ("ip-10-0-0-1.x", "ip-2001-db8--5.x"),
    ];
    for (text, expected) in cases {
        assert_eq!(replaced_by(text, Place::Text, |_| v6.octets()), expected, "{text}");
    }
    let name = "1.0.0.10.in-addr.arpa";
    let labels = replaced_by(name, Place::Text, |_| v6.octets());
    assert!(labels.starts_with("5.0.0.0.0.") && labels.ends_with("2.in-addr.arpa"), "{labels}");
}

/// Texts that lie one behind the other are told apart, wherever the 32 bytes begin.
#[test]
fn texts_in_a_row_are_told_apart() {
    let parts =
        ["10.0.0.1", "", "10.0", ".0.1", "2001:db8:", ":1", "2130706433", "x", "[::1]", "9"];
    for padding in 0..70 {
        let padding = "a".repeat(padding);
        let texts: Vec<&str> = std::iter::once(padding.as_str()).chain(parts).collect();
        let mut offsets = vec![0];
        for text in &texts {
            offsets.push(offsets[offsets.len() - 1] + i32::try_from(text.len()).unwrap());
        }
        let bytes = texts.concat();
        let mut found = Vec::new();
        Finder::default().all(bytes.as_bytes(), &offsets, |_| Place::Host, &mut found);
        let found: Vec<_> = found.iter().map(|found| &bytes[found.start..found.end]).collect();
        // As hosts are read, `10.0` and `9` are addresses too.
        let expected = ["10.0.0.1", "10.0", "2130706433", "::1", "9"];
        assert_eq!(found, expected, "behind {} bytes", padding.len());
    }
}

/// How an address may be spelled: the text, and whether it is IPv6.
fn spelling() -> impl Strategy<Value = (String, [u8; 16])> {
    let v4 = (any::<[u8; 4]>(), 0..6_u8).prop_map(|(octets, how)| {
        let [a, b, c, d] = octets;
        let text = match how {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{a:03}.{b:03}.{c:03}.{d:03}"),
            2 => format!("{a}-{b}-{c}-{d}"),
            3 => format!("{a}_{b}_{c}_{d}"),
            4 => format!("{d}.{c}.{b}.{a}.in-addr.arpa"),
            _ => format!("::ffff:{a}.{b}.{c}.{d}"),
        };
        (text, map_v4(octets))
    });
    // Groups of zeros are rare among random ones.
    let groups = prop::array::uniform8(prop_oneof![Just(0_u16), any::<u16>(), 0..16_u16]);
    let v6 = (groups, 0..7_u8).prop_map(|(groups, how)| {
        let address = Ipv6Addr::from(groups);
        let groups: Vec<_> = groups.iter().map(|group| format!("{group:x}")).collect();
        let [.., a, b, c, d] = address.octets();
        let text = match how {
            0 if groups.iter().any(|group| group != "0") => address.to_string(),
            1 => groups.join(":"),
            2 => groups.join(":").to_uppercase(),
            3 => address.segments().map(|group| format!("{group:04x}")).join(":"),
            4 => format!("{}:{}", groups[..6].join(":"), Ipv4Addr::new(a, b, c, d)),
            5 => {
                let mut nibbles = String::new();
                for byte in address.octets().iter().rev() {
                    nibbles.push_str(&format!("{:x}.{:X}.", byte & 15, byte >> 4));
                }
                nibbles + "ip6.arpa"
            }
            _ => format!("[{}]", groups.join(":")),
        };
        (text, address.octets())
    });
    prop_oneof![v4, v6]
}

/// What encodes no character, every one, or those that the mask says, once or twice.
fn escaped(text: &str, mask: u64, times: u8) -> String {
    let percent = if times == 2 { "%25" } else { "%" };
    let mut escaped = String::new();
    for (n, byte) in text.bytes().enumerate() {
        match times > 0 && mask >> (n % 64) & 1 == 1 {
            true => escaped.push_str(&format!("{percent}{byte:02x}")),
            false => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// Nothing that touches an address changes what it is.
const BEFORE: [&str; 12] = [
    "",
    " ",
    "for=",
    "for=\"",
    "/?ip=",
    ", ",
    "(",
    "http://h/",
    "/a/b%20",
    "xyz ",
    "z:",
    "\u{4e2d}",
];
const BEHIND: [&str; 9] = ["", " ", "\"", ";x", ", y", ")", "/z", "&k=v", "\u{4e2d}"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_is_found_in_any_spelling_and_surroundings(
        (spelled, address) in spelling(),
        (mask, times) in (prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 0..3_u8),
        (padding, before, behind) in (0..80_usize, select(&BEFORE[..]), select(&BEHIND[..])),
    ) {
        let spelled = escaped(&spelled, mask, times);
        let text = format!("{}{before}{spelled}{behind}", "~".repeat(padding));
        let found = find(&text, Place::Text);
        prop_assert_eq!(found.len(), 1, "{}: {:?}", text, found);
        prop_assert_eq!(found[0].address, address, "{}", text);
        let out = replaced(&text, Place::Text);
        // What is left of the spelling is what is no part of the address.
        prop_assert!(out.starts_with(&text[..found[0].start]), "{} became {}", text, out);
        prop_assert!(out.ends_with(&text[found[0].end..]), "{} became {}", text, out);
        let left = text.len() - (found[0].end - found[0].start) - padding;
        prop_assert!(left <= before.len() + behind.len() + "[]".len().max(13 * 5), "{}", text);
        // Read again, it is the pseudonym; and back.
        let again = find(&out, Place::Text);
        prop_assert_eq!(again.len(), 1, "{} became {}", text, out);
        prop_assert_eq!(again[0].address, flipped(&address), "{} became {}", text, out);
    }

    #[test]
    fn any_text_is_read_without_harm(text in "[0-9a-fx.:%\\-_/@\\[\\] \u{e9}p]{0,120}") {
        for place in [Place::Text, Place::Url, Place::Host, Place::Products] {
            let mut end = 0;
            for found in find(&text, place) {
                prop_assert!(end <= found.start && found.start < found.end, "{:?}", found);
                prop_assert!(text.get(found.start..found.end).is_some(), "{:?}", found);
                end = found.end;
            }
            prop_assert!(end <= text.len());
            replaced(&text, place);
        }
    }

    #[test]
    fn text_without_numbers_is_left_alone(text in "[g-zG-Z /,;=()+.\\-_~]{0,200}") {
        prop_assert_eq!(find(&text, Place::Text), []);
    }

    /// What the standard library reads as an address is one here, and the same.
    #[test]
    fn literals_agree_with_the_standard_library(text in "[0-9a-f:.]{2,40}") {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            let expected = match address {
                std::net::IpAddr::V4(v4) => map_v4(v4.octets()),
                std::net::IpAddr::V6(v6) => v6.octets(),
            };
            let found = find(&text, Place::Text);
            let all = text.chars().all(|c| matches!(c, ':' | '0'));
            prop_assert!(found.first().is_some_and(|f| f.address == expected) || all, "{}", text);
        }
    }
}

/// Hostile texts, each repeated to this length, cost what their length is.
#[test]
fn what_a_hostile_text_costs_grows_with_its_length() {
    let units = [
        "1.",
        "1-",
        "1_",
        "1.1.1.1.a.",
        "300.1.",
        "a:",
        ":",
        "::",
        "1::",
        "ffff:",
        "aaaaaaaa",
        "%",
        "%25",
        "%2",
        "%31",
        "%25%32%35",
        "//1",
        "@1",
        "//@1",
        "//a@1",
        "p6.",
        "a.",
        "a.1.",
        "ip6.arpa.",
        "1-1.",
        "1:1.1.1.1.",
        "1.1.1.1:",
        "a/1.1.1.1",
        "0x",
        "1",
        "1.1:",
        "::1%a",
        "::1%",
        "1.1.1-",
        "1.1.1.1-1-1-1-",
        "0.0.0.0.in-addr.arpa",
    ];
    let cost = |text: &str, place: Place| {
        let start = Instant::now();
        std::hint::black_box(find(text, place));
        start.elapsed()
    };
    // Unoptimized, 64 KiB take so long that other programs always come in between.
    let length = if cfg!(debug_assertions) { 1 << 13 } else { 1 << 16 };
    for unit in units {
        let (small, large) =
            (unit.repeat(length / 16 / unit.len()), unit.repeat(length / unit.len()));
        for place in [Place::Text, Place::Url, Place::Host, Place::Products] {
            // 16 times the length; the square would be 256 times. The best of some attempts
            // counts.
            let mut costs = (0..50).map(|_| (cost(&small, place), cost(&large, place)));
            let linear = costs.any(|(small, large)| large < small * 64);
            assert!(linear, "`{unit}` in {place:?} costs more than its length");
        }
    }
}

/// `cargo test --release -p ringmill-sdk anonymize::text -- --ignored --nocapture`
#[test]
#[ignore = "measures; run it alone and with --release"]
fn how_long_it_takes() {
    let cases: &[(Place, &str)] = &[
        (Place::Host, "www.example.com"),
        (Place::Host, "10.0.0.1:8080"),
        (
            Place::Products,
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        ),
        (Place::Products, "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"),
        (Place::Products, "nginx/1.22.1"),
        (Place::Url, "/assets/2024/11/26/styles-4f2c1d.css?v=1.2.3&lang=en"),
        (Place::Url, "/search?q=hello%20world&src=http%3A%2F%2Fexample.com%2Fa%2Fb&n=5"),
        (Place::Url, "http://www.example.com/some/longer/path/index.html"),
        (Place::Text, "Mon, 23 Nov 2026 03:23:43 GMT"),
        (Place::Text, "text/html; charset=utf-8"),
        (Place::Text, "203.0.113.7, 198.51.100.17"),
        (Place::Text, "for=\"[2001:db8:cafe::17]:4711\""),
    ];
    const ROWS: usize = 4096;
    for (place, text) in cases {
        let bytes = text.repeat(ROWS);
        let len = i32::try_from(text.len()).unwrap();
        let offsets: Vec<i32> = (0..=i32::try_from(ROWS).unwrap()).map(|n| n * len).collect();
        let (mut finder, mut found) = (Finder::default(), Vec::new());
        let mut best = std::time::Duration::MAX;
        for _ in 0..50 {
            found.clear();
            let start = Instant::now();
            finder.all(bytes.as_bytes(), &offsets, |_| *place, &mut found);
            best = best.min(start.elapsed());
        }
        let ns = best.as_nanos() * 10 / ROWS as u128;
        println!("{:>4}.{} ns, {} found: {text}", ns / 10, ns % 10, found.len() / ROWS);
    }
}
