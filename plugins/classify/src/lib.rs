//! The `classify` stage: tells what a payload is by its first bytes.
//!
//! Never by port: HTTP runs on any, and much that is not HTTP runs on 80. The stages after it
//! look only at the classes they can use, so most packets cost one load of eight bytes here
//! and nothing further on.
//!
//! | class | over | the payload begins with |
//! |---|---|---|
//! | `none` | any | nothing: a bare ACK, SYN, FIN |
//! | `http_request` | TCP | one of the nine methods of RFC 9110 and RFC 5789, and a space |
//! | `http_response` | TCP | `HTTP/1.` |
//! | `tls` | TCP | a record: type 20 to 23, version 3.0 to 3.4, a length that a record may have |
//! | `ssh` | TCP | `SSH-` |
//! | `dns` | UDP, TCP | a header and a question that make sense; over TCP after the length |
//! | `quic` | UDP | a long header of a version that is in use |
//! | `other` | any | anything else |
//!
//! One packet is all it sees. The later segments of a message are `other` unless they happen
//! to begin like something else, and so are a TLS record that began in the segment before,
//! QUIC packets with a short header, QUIC version negotiation, and HTTP methods beyond the
//! nine. Whoever reassembles must not rely on the class of later segments.
//!
//! `dns` takes in what has the same header: multicast DNS, LLMNR, NetBIOS names.
//!
//! No packet is dropped. The counters `packets.CLASS` and `bytes.CLASS` count packets and
//! captured bytes of payload.

mod dns;
mod words;

use ringmill_sdk::prelude::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Type, version, length.
const TLS_HEADER: usize = 5;
/// Flags, version and two connection IDs of no length.
const QUIC_HEADER: usize = 7;

/// The numbers of the classes, [`Class::UNKNOWN`] too.
const CLASSES: usize = Class::NAMES.len();

options! {
    /// `classify` has no options.
    pub struct Options {}
}

/// See the [module](self).
#[derive(Debug)]
pub struct Classify {
    packets: [Counter; CLASSES],
    bytes: [Counter; CLASSES],
}

impl Stage for Classify {
    const NAME: &'static str = "classify";
    const SUMMARY: &'static str = "tells HTTP, TLS, DNS, QUIC and SSH by the first bytes";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(_: Options, host: &Host) -> Result<Self> {
        let counters = |what: &str| {
            Class::NAMES.map(|name| match name {
                // This stage leaves nothing unknown.
                "unknown" => Counter::default(),
                _ => host.counter(&format!("{what}.{name}")),
            })
        };
        Ok(Self { packets: counters("packets"), bytes: counters("bytes") })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        let (mut packets, mut bytes) = ([0; CLASSES], [0; CLASSES]);
        for packet in batch.live() {
            let payload = packet.payload();
            let class = class(payload, packet.protocol(), packet.is_truncated());
            packet.set_class(class);
            packets[usize::from(class.0)] += 1;
            bytes[usize::from(class.0)] += payload.len() as u64;
        }
        for class in 0..CLASSES {
            self.packets[class].add(packets[class]);
            self.bytes[class].add(bytes[class]);
        }
        Ok(())
    }
}

#[inline]
fn class(payload: &[u8], protocol: u8, truncated: bool) -> Class {
    if payload.is_empty() {
        return if truncated { Class::OTHER } else { Class::NONE };
    }
    let first = first_eight(payload);
    match protocol {
        TCP => tcp(first, payload),
        UDP => udp(first, payload, truncated),
        _ => Class::OTHER,
    }
}

/// The first eight bytes, the first in the highest place; a short payload is filled up with
/// zeros, which are in no word.
#[inline]
fn first_eight(payload: &[u8]) -> u64 {
    let bytes = payload.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes[..payload.len()].copy_from_slice(payload);
        bytes
    });
    u64::from_be_bytes(bytes)
}

#[inline]
fn tcp(first: u64, payload: &[u8]) -> Class {
    if let Some(class) = words::find(first) {
        class
    } else if payload.len() >= TLS_HEADER && is_tls(first) {
        Class::TLS
    } else if dns::is_tcp_message(payload) {
        Class::DNS
    } else {
        Class::OTHER
    }
}

#[inline]
fn udp(first: u64, payload: &[u8], truncated: bool) -> Class {
    if payload.len() >= QUIC_HEADER && is_quic(first) {
        Class::QUIC
    } else if dns::is_message(payload, if truncated { usize::MAX } else { payload.len() }) {
        Class::DNS
    } else {
        Class::OTHER
    }
}

/// RFC 5246, section 6.2.1, and RFC 8446, section 5.1: type, version, length. A record holds
/// up to 2^14 bytes and what its protection adds, which TLS 1.2 limits to 2048.
#[inline]
fn is_tls(first: u64) -> bool {
    let [kind, major, minor, high, low, ..] = first.to_be_bytes();
    let len = u16::from_be_bytes([high, low]);
    matches!(kind, 20..=23) && major == 3 && minor <= 4 && matches!(len, 1..=0x4800)
}

/// RFC 9000, section 17.2: a long header has the two highest bits set, then come the version
/// and the length of the destination's connection ID.
#[inline]
fn is_quic(first: u64) -> bool {
    let [flags, a, b, c, d, id_len, ..] = first.to_be_bytes();
    let known = match u32::from_be_bytes([a, b, c, d]) {
        // Version 1, version 2 (RFC 9369), the drafts.
        1 | 0x6b33_43cf | 0xff00_0001..=0xff00_0022 => true,
        // Google's Q046, Q050, T050, T051; Facebook's mvfst.
        0x5130_3436 | 0x5130_3530 | 0x5430_3530 | 0x5430_3531 | 0xface_b000..=0xface_b00f => true,
        _ => false,
    };
    known && flags & 0xc0 == 0xc0 && id_len <= 20
}
