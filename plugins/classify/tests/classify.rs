//! Payloads and what they are.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use ringmill_classify::Classify;
use ringmill_sdk::{
    Class, Layers, Packet,
    testing::{Frame, START, Trial, check_rules, decoded, run, run_raw, tcp, udp},
};

const FROM: &str = "10.0.0.1:1234";
const TO: &str = "10.0.0.2:80";

fn name(class: Class) -> &'static str {
    Class::NAMES[usize::from(class.0)]
}

/// The classes of a payload over TCP and over UDP.
fn classes(payload: &[u8]) -> (&'static str, &'static str) {
    let frames = [tcp(FROM, TO, payload), udp(FROM, TO, payload)];
    let ran = run::<Classify>("", &frames).unwrap();
    (name(ran.classes[0]), name(ran.classes[1]))
}

/// A DNS header with these flags and counts, and the question `a. A IN`.
fn dns(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd];
    message.extend([flags].iter().chain(&counts).flat_map(|word| word.to_be_bytes()));
    message.extend([1, b'a', 0, 0, 1, 0, 1]);
    message
}

fn long(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len, 0x55);
    bytes
}

#[test]
fn first_bytes_tell() {
    let quic =
        |version: u32| long([&[0xc3][..], &version.to_be_bytes(), &[8], &[7; 8]].concat(), 1200);
    let tls = |kind, minor, len: u16| [&[kind, 3, minor][..], &len.to_be_bytes(), &[1]].concat();
    // payload, class over TCP, class over UDP
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (b"".into(), "none", "none"),
        (b"GET / HTTP/1.1\r\n".into(), "http_request", "other"),
        (b"GET ".into(), "http_request", "other"),
        (b"POST /form HTTP/1.1".into(), "http_request", "other"),
        (b"PUT /a".into(), "http_request", "other"),
        (b"DELETE /a".into(), "http_request", "other"),
        (b"DELETE ".into(), "http_request", "other"),
        (b"PATCH /a".into(), "http_request", "other"),
        (b"HEAD /a".into(), "http_request", "other"),
        (b"OPTIONS * HTTP/1.1".into(), "http_request", "other"),
        (b"OPTIONS ".into(), "http_request", "other"),
        (b"CONNECT a:443 HTTP/1.1".into(), "http_request", "other"),
        (b"TRACE / HTTP/1.1".into(), "http_request", "other"),
        (b"HTTP/1.1 200 OK".into(), "http_response", "other"),
        (b"HTTP/1.0 200 OK".into(), "http_response", "other"),
        (b"HTTP/1.".into(), "http_response", "other"),
        (b"HTTP/1".into(), "other", "other"),
        (b"HTTP/2.0 200 OK".into(), "other", "other"),
        (b"PRI * HTTP/2.0\r\n".into(), "other", "other"),
        (b"GET".into(), "other", "other"),
        (b"G".into(), "other", "other"),
        (b"GET\t/".into(), "other", "other"),
        (b"GETS / HTTP/1.1".into(), "other", "other"),
        (b"get / HTTP/1.1".into(), "other", "other"),
        (b" GET / HTTP/1.1".into(), "other", "other"),
        (b"\r\nGET / HTTP/1.1".into(), "other", "other"),
        (b"GET\0/ HTTP/1.1".into(), "other", "other"),
        (b"OPTIONS".into(), "other", "other"),
        (b"OPTIONS/".into(), "other", "other"),
        (b"CONNECTS".into(), "other", "other"),
        (b"PROPFIND / HTTP/1.1".into(), "other", "other"),
        (b"POS /".into(), "other", "other"),
        (b"HEADER".into(), "other", "other"),
        (b"SSH-2.0-OpenSSH_9.6".into(), "ssh", "other"),
        (b"SSH-".into(), "ssh", "other"),
        (b"SSH2".into(), "other", "other"),
        (tls(20, 3, 1), "tls", "other"),
        (tls(21, 0, 2), "tls", "other"),
        (tls(22, 1, 512), "tls", "other"),
        (tls(23, 4, 0x4800), "tls", "other"),
        (tls(22, 3, 512)[..5].into(), "tls", "other"),
        (tls(22, 3, 512)[..4].into(), "other", "other"),
        (tls(19, 3, 512), "other", "other"),
        (tls(24, 3, 512), "other", "other"),
        (tls(22, 5, 512), "other", "other"),
        (tls(23, 3, 0), "other", "other"),
        (tls(23, 3, 0x4801), "other", "other"),
        (vec![22, 2, 1, 0, 9], "other", "other"),
        (quic(1), "other", "quic"),
        (vec![0xc3, 0, 0, 0, 1, 0, 0], "other", "quic"),
        (vec![0xc3, 0, 0, 0, 1, 0], "other", "other"),
        (vec![0xc3, 0, 0, 0, 1], "other", "other"),
        (quic(0x6b33_43cf), "other", "quic"),
        (quic(0xff00_001d), "other", "quic"),
        (quic(0x5130_3436), "other", "quic"),
        (quic(0xface_b002), "other", "quic"),
        (quic(0), "other", "other"),
        (quic(2), "other", "other"),
        (quic(0xff00_0023), "other", "other"),
        (long(vec![0x83, 0, 0, 0, 1, 8], 1200), "other", "other"),
        (long(vec![0x43, 0, 0, 0, 1, 8], 1200), "other", "other"),
        (long(vec![0xc3, 0, 0, 0, 1, 21], 1200), "other", "other"),
        (vec![0; 1200], "other", "other"),
        (vec![0xff; 1200], "other", "other"),
    ];
    for (payload, over_tcp, over_udp) in cases {
        let shown = &payload[..payload.len().min(24)];
        assert_eq!(classes(&payload), (over_tcp, over_udp), "{}", shown.escape_ascii());
    }
}

#[test]
fn dns_headers() {
    let cases = [
        ("query", dns(0x0100, [1, 0, 0, 0]), true),
        ("query with EDNS", long(dns(0x0120, [1, 0, 0, 1]), 30), true),
        ("query, no recursion, CD", dns(0x0010, [1, 0, 0, 0]), true),
        ("answer", long(dns(0x8180, [1, 1, 0, 0]), 35), true),
        ("no such name", long(dns(0x8183, [1, 0, 1, 0]), 90), true),
        ("the root", dns(0x0100, [1, 0, 0, 0]).tap(|m| drop(m.splice(12..14, []))), true),
        ("class any", dns(0x0100, [1, 0, 0, 0]).tap(|m| m[18] = 255), true),
        ("class 2", dns(0x0100, [1, 0, 0, 0]).tap(|m| m[18] = 2), false),
        ("class cut off", dns(0x0100, [1, 0, 0, 0])[..18].to_vec(), false),
        ("a label beyond the end", dns(0x0100, [1, 0, 0, 0]).tap(|m| m[12] = 7), false),
        ("a name of 128 labels", labels(128), false),
        ("a name of 127 labels", labels(127), true),
        ("notify", dns(0x2400, [1, 0, 0, 0]), true),
        ("update", long(dns(0x2800, [1, 0, 2, 0]), 90), true),
        ("query with a code", dns(0x0103, [1, 0, 0, 0]), false),
        ("query that offers recursion", dns(0x0180, [1, 0, 0, 0]), false),
        ("opcode 1", dns(0x0900, [1, 0, 0, 0]), false),
        ("opcode 15", dns(0x7900, [1, 0, 0, 0]), false),
        ("reserved bit", dns(0x0140, [1, 0, 0, 0]), false),
        ("code 12", dns(0x818c, [1, 0, 0, 0]), false),
        ("query without a question", dns(0x0100, [0, 0, 0, 0]), false),
        ("answer to nothing", dns(0x8180, [0, 0, 0, 0]), false),
        ("answer to two questions", long(dns(0x8180, [2, 1, 0, 0]), 90), false),
        ("more records than fit", long(dns(0x8180, [1, 9, 0, 0]), 90), false),
        ("counts at their limit", dns(0x8180, [1, 0xffff, 0xffff, 0xffff]), false),
        ("a label of 64 bytes", dns(0x0100, [1, 0, 0, 0]).tap(|m| m[12] = 64), false),
        ("only a header", dns(0x0100, [1, 0, 0, 0])[..12].to_vec(), false),
        ("less than a header", dns(0x0100, [1, 0, 0, 0])[..11].to_vec(), false),
    ];
    for (name, message, expected) in cases {
        let expected = if expected { "dns" } else { "other" };
        assert_eq!(classes(&message).1, expected, "{name}, over UDP");
        let len = u16::try_from(message.len()).unwrap().to_be_bytes();
        assert_eq!(classes(&[&len, &message[..]].concat()).0, expected, "{name}, over TCP");
    }
    let multicast = [
        ("answer", long(dns(0x8400, [0, 3, 0, 1]), 90)),
        ("two questions", long(dns(0, [2, 0, 0, 0]), 40)),
        ("unicast reply wanted", dns(0, [1, 0, 0, 0]).tap(|m| m[17] = 0x80)),
    ];
    for (name, message) in multicast {
        assert_eq!(classes(&message).1, "dns", "multicast: {name}");
    }
    let query = dns(0x0100, [1, 0, 0, 0]);
    let framed = |len: u16, message: &[u8]| [&len.to_be_bytes(), message].concat();
    for (name, payload, expected) in [
        ("goes on in the next segment", framed(900, &query), "dns"),
        ("another follows", [framed(19, &query), framed(19, &query)].concat(), "dns"),
        ("length below the header", framed(11, &query), "other"),
        ("length 0", framed(0, &query), "other"),
        ("only the length", framed(19, &[]), "other"),
    ] {
        assert_eq!(classes(&payload).0, expected, "{name}");
    }
}

/// A query for a name of `n` labels of one byte.
fn labels(n: usize) -> Vec<u8> {
    let mut message = dns(0x0100, [1, 0, 0, 0]);
    message.splice(12..14, [1, b'a'].repeat(n));
    message
}

/// Changes a value in place, inside an expression.
trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<u8> {}

#[test]
fn what_the_capture_cut() {
    let answer = long(dns(0x8180, [1, 20, 0, 0]), 400);
    let cases = [
        ("DNS answer, only its head", udp(FROM, TO, &answer), 340, "dns"),
        ("DNS, not all of its head", udp(FROM, TO, &answer), 390, "other"),
        ("HTTP, the first four bytes", tcp(FROM, TO, "GET / HTTP/1.1"), 10, "http_request"),
        ("HTTP, three bytes", tcp(FROM, TO, "GET / HTTP/1.1"), 11, "other"),
        ("nothing was captured", tcp(FROM, TO, "GET / HTTP/1.1"), 14, "other"),
    ];
    for (what, frame, cut, expected) in cases {
        let mut trial = Trial::<Classify>::new("").unwrap();
        trial.packets([decoded(&frame[..frame.len() - cut], START)]).unwrap();
        assert_eq!(name(trial.ran().classes[0]), expected, "{what}");
    }
}

#[test]
fn only_tcp_and_udp_carry_anything() {
    let frame = tcp(FROM, TO, "GET / HTTP/1.1");
    let mut packet = Packet::ethernet(&frame, START);
    packet.set_layers(&Layers { protocol: 132, ..decoded(&frame, START).layers() });
    let mut trial = Trial::<Classify>::new("").unwrap();
    trial.packets([packet]).unwrap();
    assert_eq!(name(trial.ran().classes[0]), "other", "SCTP");
    assert_eq!(run_raw::<Classify>("", &[frame]).unwrap().classes, [Class::NONE], "not decoded");
}

#[test]
fn it_counts_packets_and_bytes_and_obeys_the_rules() {
    let mut frames = vec![
        tcp(FROM, TO, "GET / HTTP/1.1"),
        tcp(FROM, TO, "HTTP/1.1 200"),
        udp(FROM, TO, dns(0x0100, [1, 0, 0, 0])),
        tcp(FROM, TO, ""),
        Frame::tcp("[2001:db8::1]:1", "[2001:db8::2]:2").vlan(5).payload("abc").build(),
    ];
    frames.extend(vec![tcp(FROM, TO, [22, 3, 1, 0, 200]); 600]);
    let ran = run::<Classify>("", &frames).unwrap();
    let counted: Vec<_> = ran.counters.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    let expected = [
        ("bytes.dns", 19),
        ("bytes.http_request", 14),
        ("bytes.http_response", 12),
        ("bytes.none", 0),
        ("bytes.other", 3),
        ("bytes.quic", 0),
        ("bytes.ssh", 0),
        ("bytes.tls", 3000),
        ("packets.dns", 1),
        ("packets.http_request", 1),
        ("packets.http_response", 1),
        ("packets.none", 1),
        ("packets.other", 1),
        ("packets.quic", 0),
        ("packets.ssh", 0),
        ("packets.tls", 600),
    ];
    assert_eq!(counted, expected);
    check_rules::<Classify>("", &frames);
}
