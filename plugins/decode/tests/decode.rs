//! The stage on frames of every kind: what it finds and why it drops.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use ringmill_decode::Decode;
use ringmill_sdk::{
    Packet,
    testing::{Frame, START, Trial, check_rules, run_raw, udp},
};

const ETHERNET: u16 = 1;

/// What is expected of a frame: where IP starts, VLAN tag, payload; or the reason.
type Expected<'a> = Result<(u16, u16, &'a str), &'a str>;

fn tcp() -> Frame {
    Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload("GET /")
}

fn tcp6() -> Frame {
    Frame::tcp("[2001:db8::1]:1234", "[2001:db8::2]:80").payload("GET /")
}

/// The bytes with some of them replaced from offset `at`.
fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An IPv6 frame with these extension headers in front of the TCP segment.
fn extended(first: u8, extensions: &[u8]) -> Vec<u8> {
    let frame = tcp6().build();
    let len = u16::from_be_bytes([frame[18], frame[19]]) + u16::try_from(extensions.len()).unwrap();
    let head = with(with(frame[..54].to_vec(), 18, &len.to_be_bytes()), 20, &[first]);
    joined(&[&head, extensions, &frame[54..]])
}

#[track_caller]
fn check(cases: &[(&str, u16, Vec<u8>, Expected<'_>)]) {
    for (name, link, frame, expected) in cases {
        let wire_len = u32::try_from(frame.len()).unwrap();
        check_one(name, &Packet::new(frame, START, wire_len, *link, 0), expected);
    }
}

#[track_caller]
fn check_one(name: &str, packet: &Packet<'_>, expected: &Expected<'_>) {
    let mut trial = Trial::<Decode>::new("").unwrap();
    let (frame, wire_len, link) = (packet.frame(), packet.wire_len(), packet.link());
    trial.packets([Packet::new(frame, START, wire_len, link, 0)]).unwrap();
    let ran = trial.ran();
    let layers = ran.layers[0];
    match (expected, &ran.verdicts[0]) {
        (Ok((l3, vlan, payload)), None) => {
            assert_eq!((layers.l3, layers.vlan), (*l3, *vlan), "{name}");
            let start = usize::from(layers.payload);
            let found = &frame[start..start + layers.payload_len as usize];
            assert_eq!(found.escape_ascii().to_string(), *payload, "{name}");
        }
        (Err(reason), Some(verdict)) => {
            assert_eq!(verdict, reason, "{name}");
            assert_eq!(
                layers,
                ringmill_sdk::Layers::default(),
                "{name}: layers of a dropped frame"
            );
        }
        (expected, verdict) => panic!("{name}: {expected:?}, not {verdict:?} with {layers:?}"),
    }
}

#[test]
fn link_layers() {
    let (ip, ip6) = (tcp().build_ip(), tcp6().build_ip());
    let eth = |kind: u16| with(tcp().build(), 12, &kind.to_be_bytes());
    let tags = |n| (0..n).fold(tcp(), |frame, _| frame.vlan(7)).build();
    let sll = |kind: &[u8]| joined(&[&[0, 0, 3, 4, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], kind]);
    let sll2 = |kind: &[u8]| joined(&[kind, &[0; 2], &[0, 0, 0, 2, 3, 4, 0, 6], &[9; 8]]);
    check(&[
        ("Ethernet", 1, tcp().build(), Ok((14, 0, "GET /"))),
        ("Ethernet, IPv6", 1, tcp6().build(), Ok((14, 0, "GET /"))),
        ("Ethernet, UDP", 1, udp("1.2.3.4:5", "1.2.3.5:53", "abc"), Ok((14, 0, "abc"))),
        ("Ethernet, UDP, IPv6", 1, udp("[::1]:5", "[::2]:53", "abc"), Ok((14, 0, "abc"))),
        ("802.1Q with priority", 1, tcp().vlan(0xe005).build(), Ok((18, 0xe005, "GET /"))),
        ("802.1ad", 1, tcp().tag(0x88a8, 7).vlan(5).build(), Ok((22, 7, "GET /"))),
        ("0x9100", 1, tcp6().tag(0x9100, 7).vlan(5).build(), Ok((22, 7, "GET /"))),
        ("tag 0 outside", 1, tcp().vlan(0).vlan(5).build(), Ok((22, 0, "GET /"))),
        ("8 tags", 1, tags(8), Ok((46, 7, "GET /"))),
        ("300 tags", 1, tags(300), Ok((14 + 1200, 7, "GET /"))),
        ("tags to the end", 1, [0x81, 0].repeat(9000), Err("short_frame")),
        ("nothing", 1, vec![], Err("short_frame")),
        ("13 bytes", 1, vec![8; 13], Err("short_frame")),
        ("cut in a tag", 1, tcp().vlan(5).build()[..17].to_vec(), Err("short_frame")),
        ("cut before IP", 1, tcp().build()[..14].to_vec(), Err("short_ip")),
        ("ARP", 1, eth(0x0806), Err("arp")),
        ("spanning tree", 1, eth(39), Err("llc")),
        ("longest 802.3 length", 1, eth(0x05dc), Err("llc")),
        ("smallest EtherType", 1, eth(0x0600), Err("other_ethertype")),
        ("LLDP", 1, eth(0x88cc), Err("other_ethertype")),
        ("PPPoE discovery", 1, eth(0x8863), Err("pppoe")),
        ("PPPoE session", 1, eth(0x8864), Err("bad_encapsulation")),
        ("MACsec", 1, eth(0x88e5), Err("macsec")),
        ("SLL", 113, joined(&[&sll(&[8, 0]), &ip]), Ok((16, 0, "GET /"))),
        ("SLL, IPv6", 113, joined(&[&sll(&[0x86, 0xdd]), &ip6]), Ok((16, 0, "GET /"))),
        ("SLL, VLAN", 113, joined(&[&sll(&[0x81, 0, 0, 5, 8, 0]), &ip]), Ok((20, 5, "GET /"))),
        ("SLL, 802.2", 113, joined(&[&sll(&[0, 4]), &ip]), Err("llc")),
        ("SLL, cut", 113, sll(&[8]), Err("short_frame")),
        ("SLL2", 276, joined(&[&sll2(&[8, 0]), &ip]), Ok((20, 0, "GET /"))),
        ("SLL2, IPv6", 276, joined(&[&sll2(&[0x86, 0xdd]), &ip6]), Ok((20, 0, "GET /"))),
        ("SLL2, ARP", 276, joined(&[&sll2(&[8, 6]), &ip]), Err("arp")),
        ("SLL2, cut", 276, sll2(&[8, 0])[..19].to_vec(), Err("short_frame")),
        ("RAW", 101, ip.clone(), Ok((0, 0, "GET /"))),
        ("RAW, IPv6", 101, ip6.clone(), Ok((0, 0, "GET /"))),
        ("RAW of one BSD", 12, ip.clone(), Ok((0, 0, "GET /"))),
        ("RAW of another", 14, ip6.clone(), Ok((0, 0, "GET /"))),
        ("RAW, nothing", 101, vec![], Err("short_ip")),
        ("RAW, version 5", 101, with(ip.clone(), 0, &[0x55]), Err("bad_ip_version")),
        ("IPV4", 228, ip.clone(), Ok((0, 0, "GET /"))),
        ("IPV4 with IPv6", 228, ip6.clone(), Err("bad_ip_version")),
        ("IPV6", 229, ip6.clone(), Ok((0, 0, "GET /"))),
        ("IPV6 with IPv4", 229, ip.clone(), Err("bad_ip_version")),
        ("NULL, little-endian", 0, joined(&[&[2, 0, 0, 0], &ip]), Ok((4, 0, "GET /"))),
        ("NULL, big-endian", 0, joined(&[&[0, 0, 0, 2], &ip]), Ok((4, 0, "GET /"))),
        ("NULL, IPv6 of OpenBSD", 0, joined(&[&[24, 0, 0, 0], &ip6]), Ok((4, 0, "GET /"))),
        ("NULL, IPv6 of FreeBSD", 0, joined(&[&[0, 0, 0, 28], &ip6]), Ok((4, 0, "GET /"))),
        ("NULL, IPv6 of Darwin", 0, joined(&[&[30, 0, 0, 0], &ip6]), Ok((4, 0, "GET /"))),
        ("NULL, IPX", 0, joined(&[&[23, 0, 0, 0], &ip]), Err("other_ethertype")),
        ("NULL, IPv6 as IPv4", 0, joined(&[&[2, 0, 0, 0], &ip6]), Err("bad_ip_version")),
        ("NULL, cut", 0, vec![2, 0, 0], Err("short_frame")),
        ("LOOP", 108, joined(&[&[0, 0, 0, 2], &ip]), Ok((4, 0, "GET /"))),
        ("Bluetooth", 187, tcp().build(), Err("unknown_link_type")),
    ]);
}

#[test]
fn ipv4() {
    let frame = || tcp().build();
    let odd = Err("bad_fragment");
    let first = tcp().payload("GET /abcdefg").build();
    // Two words of options, and the length to match.
    let long = with(frame(), 14, &[0x47, 0, 0, 53]);
    let options = joined(&[&long[..34], &[1; 8], &long[34..]]);
    let auth = |words: u8| {
        let head = with(with(frame()[..34].to_vec(), 16, &[0, 57]), 23, &[51]);
        joined(&[&head, &[6, words, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &frame()[34..]])
    };
    check(&[
        ("padded to 60 bytes", 1, joined(&[&frame(), &[0; 1]]), Ok((14, 0, "GET /"))),
        ("bare ACK, padded", 1, joined(&[&tcp().payload("").build(), &[0; 6]]), Ok((14, 0, ""))),
        ("options", 1, options.clone(), Ok((14, 0, "GET /"))),
        ("options beyond the frame", 1, options[..40].to_vec(), Err("short_ip")),
        ("length 0, offload", 1, with(frame(), 16, &[0, 0]), Ok((14, 0, "GET /"))),
        ("length 19", 1, with(frame(), 16, &[0, 19]), Err("bad_ip_length")),
        ("length of the header", 1, with(frame(), 16, &[0, 20]), Err("bad_tcp_header")),
        ("length below its options", 1, with(options, 16, &[0, 24]), Err("bad_ip_length")),
        ("length beyond the frame", 1, with(frame(), 16, &[0xff, 0xff]), Ok((14, 0, "GET /"))),
        ("header of 16 bytes", 1, with(frame(), 14, &[0x44]), Err("bad_ip_length")),
        ("version 6", 1, with(frame(), 14, &[0x65]), Err("bad_ip_version")),
        ("19 bytes", 1, frame()[..33].to_vec(), Err("short_ip")),
        ("don't fragment", 1, with(frame(), 20, &[0x40, 0]), Ok((14, 0, "GET /"))),
        ("reserved flag", 1, with(frame(), 20, &[0x80, 0]), Ok((14, 0, "GET /"))),
        ("first fragment", 1, with(first.clone(), 20, &[0x20, 0]), Err("fragment_held")),
        ("middle fragment", 1, with(first, 20, &[0x20, 5]), Err("fragment_held")),
        ("a length of 25 that is not the last", 1, with(frame(), 20, &[0x20, 0]), odd),
        ("last fragment", 1, with(frame(), 20, &[0, 5]), Err("fragment_held")),
        ("far fragment", 1, with(frame(), 20, &[0x1f, 0]), Err("fragment_held")),
        ("beyond 64 KiB", 1, with(frame(), 20, &[0x1f, 0xff]), odd),
        ("fragment without data", 1, with(frame(), 16, &[0, 20, 0, 0, 0x20, 0]), odd),
        ("authenticated", 1, auth(1), Ok((14, 0, "GET /"))),
        ("authentication of length 0", 1, auth(0), Err("bad_ip_extension")),
        ("authentication too long", 1, auth(99), Err("bad_ip_extension")),
        ("ICMP", 1, with(frame(), 23, &[1]), Err("not_tcp_or_udp")),
        ("SCTP", 1, with(frame(), 23, &[132]), Err("not_tcp_or_udp")),
        ("no IPv4 in IPv4", 1, with(frame(), 23, &[4]), Err("bad_ip_version")),
        ("no IPv6 in IPv4", 1, with(frame(), 23, &[41]), Err("bad_ip_version")),
        ("GRE of another version", 1, with(frame(), 23, &[47]), Err("bad_encapsulation")),
    ]);
}

#[test]
fn ipv6() {
    let frame = || tcp6().build();
    let fragment = |low: u8| extended(44, &[6, 0, 0, low, 0, 0, 0, 1]);
    let hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let routing = [51, 0, 4, 0, 0, 0, 0, 0];
    let auth = [6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    let all = joined(&[&hop, &destination, &routing, &auth]);
    // 300 destination options of 2 KiB are more than an offset holds; the length is 0.
    let endless = {
        let mut option = vec![60, 255];
        option.resize(2048, 0);
        let head = with(frame()[..54].to_vec(), 18, &[0, 0, 60]);
        joined(&[&head, &option.repeat(300), &frame()[54..]])
    };
    let mut endless_tcp = endless.clone();
    endless_tcp[54 + 299 * 2048] = 6;
    check(&[
        ("padded", 1, joined(&[&frame(), &[0; 9]]), Ok((14, 0, "GET /"))),
        ("four extensions", 1, extended(0, &all), Ok((14, 0, "GET /"))),
        ("hop by hop second", 1, extended(60, &[0, 0, 1, 4, 0, 0, 0, 0]), Err("bad_ip_extension")),
        (
            "extension too long",
            1,
            extended(60, &[6, 99, 1, 4, 0, 0, 0, 0]),
            Err("bad_ip_extension"),
        ),
        ("cut in an extension", 1, extended(0, &all)[..60].to_vec(), Err("short_ip")),
        ("extensions without end", 1, endless, Err("bad_ip_extension")),
        ("TCP beyond 64 KiB", 1, endless_tcp, Err("bad_ip_extension")),
        ("whole in one fragment", 1, fragment(0), Ok((14, 0, "GET /"))),
        ("odd first fragment", 1, fragment(1), Err("bad_fragment")),
        ("last fragment", 1, fragment(8), Err("fragment_held")),
        ("length 0, offload", 1, with(frame(), 18, &[0, 0]), Ok((14, 0, "GET /"))),
        ("length beyond the frame", 1, with(frame(), 18, &[0xff, 0xff]), Ok((14, 0, "GET /"))),
        ("length of a part of TCP", 1, with(frame(), 18, &[0, 19]), Err("bad_tcp_header")),
        ("version 4", 1, with(frame(), 14, &[0x45]), Err("bad_ip_version")),
        ("39 bytes", 1, frame()[..53].to_vec(), Err("short_ip")),
        ("ICMPv6", 1, with(frame(), 20, &[58]), Err("not_tcp_or_udp")),
        ("no next header", 1, with(frame(), 20, &[59]), Err("not_tcp_or_udp")),
        ("no IPv4 in IPv6", 1, with(frame(), 20, &[4]), Err("bad_ip_version")),
        ("GRE of another version", 1, with(frame(), 20, &[47]), Err("bad_encapsulation")),
    ]);
}

#[test]
fn transport() {
    let frame = || tcp().build();
    let datagram = || udp("10.0.0.1:1234", "10.0.0.2:53", "query");
    let options = with(tcp().payload("\x01\x01\x01\x01GET /").build(), 46, &[0x60]);
    check(&[
        ("TCP options", 1, options, Ok((14, 0, "GET /"))),
        ("TCP header of 16 bytes", 1, with(frame(), 46, &[0x40]), Err("bad_tcp_header")),
        ("TCP header beyond the packet", 1, with(frame(), 46, &[0xf0]), Err("bad_tcp_header")),
        ("TCP cut", 1, frame()[..53].to_vec(), Err("short_transport")),
        ("UDP", 1, datagram(), Ok((14, 0, "query"))),
        ("UDP, shorter than IP", 1, with(datagram(), 38, &[0, 10]), Ok((14, 0, "qu"))),
        ("UDP, only a header", 1, with(datagram(), 38, &[0, 8]), Ok((14, 0, ""))),
        ("UDP, length 0", 1, with(datagram(), 38, &[0, 0]), Ok((14, 0, "query"))),
        ("UDP, length 7", 1, with(datagram(), 38, &[0, 7]), Err("bad_udp_length")),
        ("UDP, longer than IP", 1, with(datagram(), 38, &[0, 14]), Err("bad_udp_length")),
        ("UDP cut", 1, datagram()[..41].to_vec(), Err("short_transport")),
        ("IP too short for UDP", 1, with(datagram(), 16, &[0, 27]), Err("bad_udp_length")),
    ]);
}

#[test]
fn what_the_capture_cut_is_truncated() {
    let query = || udp("10.0.0.1:1234", "10.0.0.2:53", "query");
    let offload = with(tcp().build(), 16, &[0, 0]);
    let whole = [tcp().build(), tcp6().build(), query(), offload.clone()];
    // name, frame, bytes not captured, payload, truncated
    let cases: Vec<(&str, Vec<u8>, u32, &str, bool)> = vec![
        ("TCP", tcp().build(), 3, "GE", true),
        ("TCP over IPv6", tcp6().build(), 5, "", true),
        ("UDP", query(), 1, "quer", true),
        ("UDP of length 0", with(query(), 38, &[0, 0]), 1, "quer", true),
        ("only padding", joined(&[&tcp().build(), &[0; 6]]), 6, "GET /", false),
        ("offload", offload, 2, "GET", true),
        ("UDP that ends before", with(query(), 38, &[0, 10]), 3, "qu", false),
    ];
    for frame in &whole {
        let ran = run_raw::<Decode>("", std::slice::from_ref(frame)).unwrap();
        assert!(!ran.layers[0].truncated, "{}", frame.escape_ascii());
        assert_eq!(ran.counters["truncated"], 0, "{}", frame.escape_ascii());
    }
    for (name, frame, cut, payload, truncated) in cases {
        let wire_len = u32::try_from(frame.len()).unwrap();
        let kept = &frame[..frame.len() - cut as usize];
        let packet = Packet::new(kept, START, wire_len, ETHERNET, 0);
        check_one(name, &packet, &Ok((14, 0, payload)));
        let mut trial = Trial::<Decode>::new("").unwrap();
        trial.packets([packet]).unwrap();
        assert_eq!(trial.ran().layers[0].truncated, truncated, "{name}");
        assert_eq!(trial.ran().counters["truncated"], u64::from(truncated), "{name}");
    }
}

#[test]
fn both_directions_have_one_hash_on_both_paths() {
    let hash = |frame: Vec<u8>| run_raw::<Decode>("", &[frame]).unwrap().flow_hashes[0];
    let back = Frame::tcp("10.0.0.2:80", "10.0.0.1:1234");
    let back6 = Frame::tcp("[2001:db8::2]:80", "[2001:db8::1]:1234");
    assert_ne!(hash(tcp().build()), 0);
    assert_eq!(hash(tcp().build()), hash(back.build()));
    assert_eq!(hash(tcp().vlan(5).build()), hash(back.build()), "a tag is not part of the flow");
    assert_eq!(hash(with(back.build(), 16, &[0, 0])), hash(tcp().build()), "etherparse's path");
    assert_eq!(hash(tcp6().build()), hash(back6.build()));
    assert_eq!(hash(extended(60, &[6, 0, 1, 4, 0, 0, 0, 0])), hash(back6.build()));
    assert_ne!(hash(tcp().build()), hash(Frame::udp("10.0.0.1:1234", "10.0.0.2:80").build()));
}

#[test]
fn it_obeys_the_rules() {
    let arp = with(tcp().build(), 12, &[8, 6]);
    let mut frames = vec![tcp().build(), arp, tcp6().vlan(5).build(), vec![], vec![1; 15]];
    frames.extend(
        (0..600).map(|n| Frame::tcp(&format!("10.0.0.1:{}", n + 1), "10.0.0.2:80").build()),
    );
    check_rules::<Decode>("", &frames);
    let error = run_raw::<Decode>("depth = 3", &[]).unwrap_err();
    assert!(error.message().contains("depth"), "{error}");
}
