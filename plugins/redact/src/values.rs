//! Entity tags and the addresses of clients.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    options::{ClientAddresses, Tags},
    redactor::{Redactor, write_length},
    tally::Did,
};

/// What stands for an address that is none (RFC 7239, section 6.2).
const UNKNOWN: &str = "unknown";

impl Redactor {
    /// Entity tags (RFC 9110, section 8.8.3), or the date that may stand in their place. Each
    /// opaque tag is hashed by itself; `W/`, quotes and commas stay, so that the tags of
    /// If-None-Match can be found among those of ETag.
    pub(crate) fn tags(&mut self, tags: &str, to: &mut String) {
        if self.policy.etag == Tags::Full {
            return self.text(tags, usize::MAX, false, to);
        }
        if is_date(tags) {
            return to.push_str(tags);
        }
        let mut rest = tags;
        while let Some(first) = rest.chars().next() {
            rest = match (first, rest.strip_prefix("W/")) {
                (' ' | '\t' | ',' | '*', _) => {
                    to.push(first);
                    &rest[1..]
                }
                (_, Some(strong)) if strong.starts_with('"') => {
                    to.push_str("W/");
                    strong
                }
                ('"', _) => {
                    let (tag, after) =
                        rest[1..].split_at(rest[1..].find('"').unwrap_or(rest.len() - 1));
                    to.push('"');
                    self.tag(tag, to);
                    let (quote, after) = after.split_at(after.len().min(1));
                    to.push_str(quote);
                    after
                }
                // Without quotes: not as it should be, but common.
                _ => {
                    let (tag, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                    self.tag(tag.trim_ascii_end(), to);
                    after
                }
            };
        }
    }

    fn tag(&mut self, tag: &str, to: &mut String) {
        self.tally.add(Did::Tag);
        self.hash(tag, to);
    }

    /// The addresses of clients and proxies; `false` when nothing comes out.
    pub(crate) fn client_addresses(&mut self, value: &str, to: &mut String) -> bool {
        match self.policy.client_addresses {
            ClientAddresses::Drop => {
                self.tally.add(Did::Address);
                return false;
            }
            ClientAddresses::Length => {
                self.tally.add(Did::Address);
                write_length(value, to);
                return true;
            }
            ClientAddresses::Addresses => {}
        }
        let mut strange = false;
        for (at, element) in value.split(',').enumerate() {
            to.push_str(if at > 0 { ", " } else { "" });
            for (at, pair) in element.split(';').enumerate() {
                to.push_str(if at > 0 { ";" } else { "" });
                strange |= !forwarded(pair.trim_ascii(), to);
            }
        }
        if strange {
            self.tally.add(Did::Address);
        }
        true
    }
}

/// Writes an address, or a pair of Forwarded (RFC 7239, section 4); whether it came out whole.
fn forwarded(pair: &str, to: &mut String) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let name = name.trim_ascii();
    let names = ["", "for", "by", "proto"];
    let Some(name) = names.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
        to.push_str(UNKNOWN);
        return false;
    };
    to.push_str(name);
    to.push_str(if name.is_empty() { "" } else { "=" });
    let value = value.trim_ascii();
    let is_good = match *name {
        "proto" => matches!(value, "http" | "https"),
        _ => value.eq_ignore_ascii_case(UNKNOWN) || is_address(value),
    };
    to.push_str(if is_good { value } else { UNKNOWN });
    is_good
}

/// An address with or without quotes, brackets, port and zone.
pub(crate) fn is_address(text: &str) -> bool {
    // Most texts are none.
    if !text.starts_with(['"', '[', ':']) && !text.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return false;
    }
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    if let Some((address, port)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let port = port.strip_prefix(':').map_or(port.is_empty(), is_port);
        return port && is_v6(address);
    }
    let v4 = text.split_once(':').filter(|(_, port)| is_port(port)).map_or(text, |(v4, _)| v4);
    v4.parse::<Ipv4Addr>().is_ok() || is_v6(text)
}

/// With or without a zone (RFC 4007, section 11). Not one that begins as something
/// percent-encoded would: the anonymizer, which removes zones, would decode it and see no address.
fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    let is_escape = match zone.as_bytes() {
        [b'2', b'5', ..] => false,
        [high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    };
    let is_zone = zone.len() <= 16 && !is_escape && zone.bytes().all(|b| b.is_ascii_alphanumeric());
    is_zone && address.parse::<Ipv6Addr>().is_ok()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form that almost all have.
pub(crate) fn is_usual_date(text: &[u8]) -> bool {
    const FORM: &[u8; 29] = b"aaa, 00 aaa 0000 00:00:00 GMT";
    let Some(text) = text.first_chunk::<29>().filter(|form| form.len() == text.len()) else {
        return false;
    };
    let fits = text.iter().zip(FORM).fold(true, |fits, (byte, form)| {
        fits & match form {
            b'0' => byte.is_ascii_digit(),
            // The words are compared below.
            b'a' => true,
            _ => byte == form,
        }
    });
    fits && matches!(&text[..3], b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")
        && matches!(
            &text[8..11],
            b"Jan"
                | b"Feb"
                | b"Mar"
                | b"Apr"
                | b"May"
                | b"Jun"
                | b"Jul"
                | b"Aug"
                | b"Sep"
                | b"Oct"
                | b"Nov"
                | b"Dec"
        )
}

/// A date in one of the three forms of RFC 9110, section 5.6.7, as far as its words tell.
pub(crate) fn is_date(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "GMT",
        "UTC",
    ];
    if is_usual_date(text.as_bytes()) {
        return true;
    }
    let is_number = |word: &str| word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.contains(':')
        && text.split([' ', ',', ':', '-']).all(|word| is_number(word) || WORDS.contains(&word))
}
