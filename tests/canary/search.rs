//! Looks for every canary in every encoding.

use std::{collections::BTreeMap, net::Ipv4Addr};

use aho_corasick::{AhoCorasick, MatchKind};

use super::secrets::{Canary, Secret, percent};

/// The alphabets of base64 (RFC 4648, sections 4 and 5) differ in these.
const BASE64: [&[u8; 2]; 2] = [b"+/", b"-_"];

/// Finds canaries in bytes, all in one pass for each of two automata.
pub(crate) struct Search {
    /// In lower case.
    text: Needles,
    /// As it is.
    exact: Needles,
}

#[derive(Default)]
struct Needles {
    bytes: Vec<Vec<u8>>,
    of: Vec<Needle>,
    automaton: Option<AhoCorasick>,
}

#[derive(Clone, Copy)]
struct Needle {
    canary: usize,
    encoding: &'static str,
    /// The bytes around it must not be hex digits: it is too short to be known for itself.
    bounded: bool,
}

/// Where a canary was found: its number, how it was encoded, and what stands around it.
pub(crate) type Found = BTreeMap<usize, (&'static str, String)>;

impl Search {
    pub(crate) fn new(canaries: &[Canary]) -> Self {
        let mut search = Self { text: Needles::default(), exact: Needles::default() };
        for (number, canary) in canaries.iter().enumerate() {
            for secret in &canary.secrets {
                search.add(number, secret);
            }
        }
        search.text.build();
        search.exact.build();
        search
    }

    fn add(&mut self, canary: usize, secret: &Secret) {
        match secret {
            Secret::Text(parts) => parts.iter().for_each(|part| self.add_text(canary, part)),
            Secret::V4(address) => {
                self.add_text(canary, &address.to_string());
                self.add_v4(canary, *address);
            }
            Secret::V6(address) => {
                // Half of it, which no other has: strategies may leave a prefix.
                let [.., e, f, g, h] = address.segments();
                self.add_text(canary, &format!("{e:x}:{f:x}:{g:x}:{h:x}"));
                self.add_text(canary, &format!("{e:04x}{f:04x}{g:04x}{h:04x}"));
                let reversed: Vec<_> = format!("{e:04x}{f:04x}{g:04x}{h:04x}")
                    .chars()
                    .rev()
                    .flat_map(|digit| [digit, '.'])
                    .collect();
                self.text.put(canary, "ip6.arpa", reversed.iter().collect::<String>());
                self.add_binary(canary, &address.octets()[8..], &address.octets());
            }
        }
    }

    fn add_text(&mut self, canary: usize, text: &str) {
        let bytes = text.as_bytes();
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let reversed: String = text.chars().rev().collect();
        self.text.put(canary, "text", text);
        self.text.put(canary, "reversed", reversed);
        self.text.put(canary, "percent", percent(text));
        if text.contains(':') {
            self.text.put(canary, "percent, only where it must be", text.replace(':', "%3a"));
        }
        for between in ["", ":", "-", " ", "\\x"] {
            self.text.put(canary, "hex", hex.join(between));
        }
        let wide = |little: bool| -> Vec<u8> {
            bytes.iter().flat_map(|byte| if little { [*byte, 0] } else { [0, *byte] }).collect()
        };
        self.text.put(canary, "UTF-16", wide(true));
        self.text.put(canary, "UTF-16", wide(false));
        self.add_base64(canary, bytes);
    }

    fn add_v4(&mut self, canary: usize, address: Ipv4Addr) {
        let [a, b, c, d] = address.octets();
        self.text.put(canary, "dashed", format!("{a}-{b}-{c}-{d}"));
        self.text.put(canary, "underscored", format!("{a}_{b}_{c}_{d}"));
        self.text.put(canary, "in-addr.arpa", format!("{d}.{c}.{b}.{a}"));
        self.text.put(canary, "number", address.to_bits().to_string());
        self.text.put(canary, "octal", format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"));
        for [a, b, c, d] in [[a, b, c, d], [d, c, b, a]] {
            self.text.bounded(canary, "hex", format!("{a:02x}{b:02x}{c:02x}{d:02x}"));
            for by in [":", "-", "."] {
                let hex = format!("{a:02x}{by}{b:02x}{by}{c:02x}{by}{d:02x}");
                self.text.bounded(canary, "hex", hex);
            }
        }
        self.text.bounded(canary, "IPv4 in IPv6", format!("{a:02x}{b:02x}:{c:02x}{d:02x}"));
        // Four bytes alone turn up by chance in whatever is compressed.
        let mapped = address.to_ipv6_mapped().octets();
        self.text.put(canary, "hex", format!("0000ffff{a:02x}{b:02x}{c:02x}{d:02x}"));
        self.add_binary(canary, &mapped[9..], &mapped);
    }

    /// `short` is what it is known by; the whole is looked for in base64, whose beginning and
    /// end depend on what stands around.
    fn add_binary(&mut self, canary: usize, short: &[u8], whole: &[u8]) {
        let reversed: Vec<_> = short.iter().rev().copied().collect();
        self.exact.put(canary, "binary", short);
        self.exact.put(canary, "binary, little endian", reversed);
        self.add_base64(canary, whole);
    }

    fn add_base64(&mut self, canary: usize, bytes: &[u8]) {
        for alphabet in BASE64 {
            for before in 0..3 {
                let padded = [&[0; 3][..before], bytes].concat();
                // Of a group that holds other bytes too no digit is known.
                let whole = &padded[..padded.len() / 3 * 3];
                let digits = base64(whole, alphabet);
                self.exact.put(canary, "base64", &digits[if before == 0 { 0 } else { 4 }..]);
            }
        }
    }

    /// The canaries in these bytes that are not in `found` yet.
    pub(crate) fn find(&self, bytes: &[u8], found: &mut Found) {
        self.text.find(&bytes.to_ascii_lowercase(), found);
        self.exact.find(bytes, found);
    }
}

impl Needles {
    fn put(&mut self, canary: usize, encoding: &'static str, bytes: impl AsRef<[u8]>) {
        self.add(Needle { canary, encoding, bounded: false }, bytes.as_ref());
    }

    fn bounded(&mut self, canary: usize, encoding: &'static str, bytes: impl AsRef<[u8]>) {
        self.add(Needle { canary, encoding, bounded: true }, bytes.as_ref());
    }

    fn add(&mut self, needle: Needle, bytes: &[u8]) {
        assert!(bytes.len() >= 7, "{} is too short to be looked for", bytes.escape_ascii());
        self.bytes.push(bytes.to_vec());
        self.of.push(needle);
    }

    fn build(&mut self) {
        let exact = self.of.iter().any(|needle| needle.encoding == "binary");
        if !exact {
            self.bytes.iter_mut().for_each(|bytes| bytes.make_ascii_lowercase());
        }
        let mut builder = AhoCorasick::builder();
        let automaton = builder.match_kind(MatchKind::Standard).build(&self.bytes).unwrap();
        self.automaton = Some(automaton);
    }

    fn find(&self, bytes: &[u8], found: &mut Found) {
        for hit in self.automaton.as_ref().unwrap().find_overlapping_iter(bytes) {
            let needle = self.of[hit.pattern().as_usize()];
            let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
            let inside = hit.start() > 0 && is_digit(hit.start() - 1) || is_digit(hit.end());
            if needle.bounded && inside {
                continue;
            }
            found.entry(needle.canary).or_insert_with(|| {
                let around = hit.start().saturating_sub(60)..bytes.len().min(hit.end() + 60);
                (needle.encoding, bytes[around].escape_ascii().to_string())
            });
        }
    }
}

/// Of whole groups of three bytes.
pub(crate) fn base64(bytes: &[u8], alphabet: &[u8; 2]) -> Vec<u8> {
    let digit = |value: u32| match u8::try_from(value & 63).unwrap() {
        value @ 0..26 => b'A' + value,
        value @ 26..52 => b'a' + value - 26,
        value @ 52..62 => b'0' + value - 52,
        value => alphabet[usize::from(value - 62)],
    };
    let groups = bytes.as_chunks::<3>().0.iter().map(|&[a, b, c]| u32::from_be_bytes([0, a, b, c]));
    groups.flat_map(|group| [18, 12, 6, 0].map(|shift| digit(group >> shift))).collect()
}
