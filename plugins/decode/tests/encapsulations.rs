//! Every encapsulation: what is found inside, the way there, and what hostile ones come to.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use ringmill_decode::Decode;
use ringmill_sdk::{
    Packet,
    testing::{Frame, Ran, START, Trial, check_rules, wrap},
};

const ETHERNET: u16 = 1;
const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

fn tcp() -> Frame {
    Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload(GET)
}

fn tcp6() -> Frame {
    Frame::tcp("[2001:db8::1]:1234", "[2001:db8::2]:80").payload(GET)
}

fn decode(link: u16, frame: &[u8], wire_len: usize) -> Ran {
    let mut trial = Trial::<Decode>::new("").unwrap();
    let wire_len = u32::try_from(wire_len).unwrap();
    trial.packets([Packet::new(frame, START, wire_len, link, 0)]).unwrap();
    trial.ran()
}

/// The way to the GET request that must be in the frame; or the reason it was dropped for, or
/// what else is in it.
fn way(link: u16, frame: &[u8]) -> Result<String, String> {
    let mut ran = decode(link, frame, frame.len());
    match (ran.verdicts.remove(0), ran.payloads.remove(0)) {
        (Some(reason), _) => Err(reason),
        (None, payload) if payload == GET.as_bytes() => {
            let ends = ran.ends.remove(0).join(" ");
            let expected = ["10.0.0.1:1234 10.0.0.2:80", "[2001:db8::1]:1234 [2001:db8::2]:80"];
            assert!(expected.contains(&ends.as_str()), "{ends}");
            Ok(ran.encapsulations.remove(0))
        }
        (None, _) => Err(ran.ends.remove(0).join(" ")),
    }
}

/// Name, link type, frame, what `way` says of it.
type Case<'a> = (&'a str, u16, Vec<u8>, Result<&'a str, &'a str>);

#[track_caller]
fn check(cases: &[Case<'_>]) {
    for (name, link, frame, expected) in cases {
        let expected = expected.map(ToOwned::to_owned).map_err(ToOwned::to_owned);
        assert_eq!(way(*link, frame), expected, "{name}: {frame:02x?}");
    }
}

fn joined(head: &[u8], rest: impl AsRef<[u8]>) -> Vec<u8> {
    [head, rest.as_ref()].concat()
}

fn every() -> Vec<(&'static str, Vec<u8>)> {
    [wrap::every(&tcp()), wrap::every(&tcp6())].concat()
}

#[test]
fn every_kind_leads_to_the_packet_inside() {
    let frames = every();
    assert!(frames.len() > 45, "{}", frames.len());
    for (name, frame) in frames {
        assert_eq!(way(ETHERNET, &frame).as_deref(), Ok(name), "{frame:02x?}");
        let tagged = wrap::tagged(9, &frame);
        assert_eq!(way(ETHERNET, &tagged).as_deref(), Ok(name), "tagged: {frame:02x?}");
        assert_eq!(decode(ETHERNET, &tagged, tagged.len()).layers[0].vlan, 9, "{name}");
    }
}

/// The bytes of the packet are those inside, wherever the frame is cut or padded.
#[test]
fn a_cut_frame_gives_what_is_there_and_never_more() {
    for (name, frame) in every() {
        let padded = joined(&frame, [0; 30]);
        assert_eq!(way(ETHERNET, &padded).as_deref(), Ok(name), "padded: {name}");
        for len in 0..frame.len() {
            let ran = decode(ETHERNET, &frame[..len], frame.len());
            let inner = ran.verdicts[0].is_none() && ran.encapsulations[0] == name;
            if inner && ran.ends[0][1].ends_with(":80") {
                let payload = &ran.payloads[0];
                assert!(GET.as_bytes().starts_with(payload), "{name} cut at {len}: {payload:?}");
                assert!(ran.layers[0].truncated, "{name} cut at {len}");
            }
            let needed = frame.len() - GET.len();
            assert!(inner || len < needed, "{name} cut at {len}: {:?}", ran.verdicts[0]);
        }
    }
}

#[test]
fn mpls() {
    let over = |inside: Vec<u8>| wrap::ethernet(0x8847, wrap::mpls(&[16, 17, 18], inside));
    let frame = wrap::frame(tcp().build_ip());
    // MAC addresses whose first bits could be those of IP.
    let mac = |first: u8| joined(&[first], &frame[1..]);
    check(&[
        ("IPv4", 1, over(tcp().build_ip()), Ok("mpls")),
        ("IPv6", 1, over(tcp6().build_ip()), Ok("mpls")),
        ("multicast", 1, wrap::ethernet(0x8848, wrap::mpls(&[1], tcp().build_ip())), Ok("mpls")),
        ("control word", 1, over(joined(&[0, 0, 0, 9], &frame)), Ok("mpls/ethernet")),
        ("no control word", 1, over(mac(0)), Ok("mpls/ethernet")),
        ("MAC like IPv4", 1, over(mac(0x45)), Ok("mpls/ethernet")),
        ("MAC like IPv6", 1, over(mac(0x60)), Ok("mpls/ethernet")),
        ("tagged", 1, over(wrap::tagged(5, &frame)), Ok("mpls/ethernet/vlan")),
        ("associated channel", 1, over(vec![0x10, 0, 0, 7, 1, 2, 3]), Err("mpls")),
        (
            "100 labels",
            1,
            wrap::ethernet(0x8847, wrap::mpls(&[1; 100], tcp().build_ip())),
            Ok("mpls"),
        ),
        ("no bottom", 1, wrap::ethernet(0x8847, [0; 40]), Err("bad_encapsulation")),
    ]);
}

#[test]
fn ppp_and_hdlc() {
    let ip = tcp().build_ip();
    let pppoe = |header: &[u8], inside: &[u8]| wrap::ethernet(0x8864, joined(header, inside));
    let len = u8::try_from(ip.len() + 2).unwrap();
    let plain = wrap::ppp(&ip);
    check(&[
        ("session", 1, pppoe(&[0x11, 0, 0, 1, 0, len], &plain), Ok("pppoe")),
        ("length beyond the frame", 1, pppoe(&[0x11, 0, 0, 1, 9, 9], &plain), Ok("pppoe")),
        ("length 0", 1, pppoe(&[0x11, 0, 0, 1, 0, 0], &plain), Err("bad_encapsulation")),
        ("version 2", 1, pppoe(&[0x21, 0, 0, 1, 0, len], &plain), Err("bad_encapsulation")),
        ("discovery code", 1, pppoe(&[0x11, 9, 0, 0, 0, len], &plain), Err("pppoe")),
        ("LCP", 1, pppoe(&[0x11, 0, 0, 1, 0, 6], &[0xc0, 0x21, 9, 0, 0, 4]), Err("ppp_control")),
        ("compressed protocol", 9, joined(&[0x21], &ip), Ok("")),
        ("address and control", 9, joined(&[0xff, 3], &plain), Ok("")),
        ("both", 9, joined(&[0xff, 3, 0x57], tcp6().build_ip()), Ok("")),
        ("plain", 9, plain.clone(), Ok("")),
        ("MPLS", 9, joined(&[2, 0x81], wrap::mpls(&[7], &ip)), Ok("mpls")),
        ("Van Jacobson", 9, joined(&[0, 0x2d], &ip), Err("other_ppp")),
        ("nothing", 9, vec![], Err("bad_encapsulation")),
        ("with direction", 204, joined(&[1], &plain), Ok("")),
        ("HDLC framing", 50, joined(&[0xff, 3], &plain), Ok("")),
        ("Cisco's", 50, joined(&[0x0f, 0, 8, 0], &ip), Ok("")),
        ("C_HDLC", 104, joined(&[0x0f, 0, 8, 0], &ip), Ok("")),
        ("C_HDLC, IPv6", 104, joined(&[0x8f, 0, 0x86, 0xdd], tcp6().build_ip()), Ok("")),
        ("C_HDLC, MPLS", 104, joined(&[0x0f, 0, 0x88, 0x47], wrap::mpls(&[7], &ip)), Ok("mpls")),
        ("C_HDLC, PPP", 104, joined(&[0xff, 3], &plain), Ok("")),
        ("SLARP", 104, joined(&[0x0f, 0, 0x80, 0x35], [0; 9]), Err("other_ethertype")),
        ("neither", 104, joined(&[1, 0, 8, 0], &ip), Err("bad_encapsulation")),
        ("PPPoE without Ethernet", 51, wrap::pppoe(&plain), Ok("pppoe")),
    ]);
}

#[test]
fn gre() {
    let (ip, frame) = (tcp().build_ip(), wrap::frame(tcp().build_ip()));
    let over = |bytes: &[u8], inside: &[u8]| wrap::over_ip(47, joined(bytes, inside));
    let pptp = |flags: [u8; 2], rest: &[u8]| {
        let len = u8::try_from(ip.len() + 2).unwrap();
        over(&[&flags[..], &[0x88, 0x0b, 0, len, 0, 7], rest].concat(), &wrap::ppp(&ip))
    };
    let erspan3 = |kind: u8, rest: &[u8], inside: &[u8]| {
        let mut head = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20];
        head.extend([0; 9]);
        head.extend([kind << 2, u8::from(!rest.is_empty())]);
        over(&[&head, rest].concat(), inside)
    };
    let (four, refused) = ([0; 4], Err("bad_encapsulation"));
    let with = |count| vec![four; count].concat();
    check(&[
        ("checksum", 1, over(&[&[0x80, 0, 8, 0][..], &with(1)].concat(), &ip), Ok("gre")),
        ("key", 1, over(&[&[0x20, 0, 8, 0][..], &with(1)].concat(), &ip), Ok("gre")),
        ("sequence", 1, over(&[&[0x10, 0, 8, 0][..], &with(1)].concat(), &ip), Ok("gre")),
        ("all three", 1, over(&[&[0xb0, 0, 8, 0][..], &with(3)].concat(), &ip), Ok("gre")),
        (
            "RFC 1701 routing",
            1,
            over(&[0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 4, 4, 1, 2, 3, 4, 0, 0, 0, 0], &ip),
            Ok("gre"),
        ),
        (
            "endless routing",
            1,
            over(&[0x40, 0, 8, 0, 0, 0, 0, 0], &[8, 0, 0, 0].repeat(90)),
            refused,
        ),
        ("MPLS", 1, over(&[0, 0, 0x88, 0x47], &wrap::mpls(&[5], &ip)), Ok("gre/mpls")),
        ("WCCP", 1, over(&[0, 0, 0x88, 0x3e], &ip), Ok("gre/wccp")),
        ("WCCP 2", 1, over(&[0, 0, 0x88, 0x3e, 1, 2, 3, 4], &ip), Ok("gre/wccp")),
        ("keepalive", 1, over(&[0, 0, 0, 0], &[]), Err("other_ethertype")),
        ("CDP", 1, over(&[0, 0, 0x20, 0], &ip), Err("other_ethertype")),
        ("version 2", 1, over(&[0, 2, 8, 0], &ip), refused),
        (
            "ERSPAN II of another version",
            1,
            over(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x20], &frame),
            refused,
        ),
        ("ERSPAN III", 1, erspan3(0, &[], &frame), Ok("gre/erspan_3/ethernet")),
        ("ERSPAN III, platform", 1, erspan3(0, &[7; 8], &frame), Ok("gre/erspan_3/ethernet")),
        ("ERSPAN III, IP", 1, erspan3(2, &[], &ip), Ok("gre/erspan_3")),
        ("PPTP", 1, pptp([0x30, 1], &[0, 0, 0, 1]), Ok("pptp/ppp")),
        ("PPTP, acknowledging", 1, pptp([0x30, 0x81], &[0; 8]), Ok("pptp/ppp")),
        (
            "PPTP, only that",
            1,
            over(&[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1], &[]),
            Err("ppp_control"),
        ),
        ("PPTP without a key", 1, over(&[0x10, 1, 0x88, 0x0b, 0, 0, 0, 1], &ip), refused),
        ("over IPv6", 1, wrap::ethernet(0x86dd, wrap::ipv6(47, wrap::gre(0x0800, &ip))), Ok("gre")),
    ]);
}

/// A datagram to the port of a tunnel is one only if the tunnel leads to a packet.
#[test]
fn over_udp() {
    let (ip, ip6, frame) = (tcp().build_ip(), tcp6().build_ip(), wrap::frame(tcp().build_ip()));
    let plain = |port: u16| format!("198.51.100.1:50000 198.51.100.2:{port}");
    let icmp = wrap::frame(wrap::ipv4(1, [8, 0, 0, 0, 0, 0, 0, 0]));
    let len = |add: usize| u8::try_from(ip.len() + add).unwrap();
    let back = {
        let mut datagram = wrap::datagram(1701, joined(&[0, 2, 0, 1, 0, 2], wrap::ppp(&ip)));
        datagram[..4].copy_from_slice(&[6, 165, 9, 9]);
        wrap::over_ip(17, datagram)
    };
    let mut both = wrap::datagram(2152, wrap::vxlan(1, &frame));
    both[..2].copy_from_slice(&4789_u16.to_be_bytes());
    let cases: &[(&str, u16, Vec<u8>, Option<&str>)] = &[
        ("VXLAN", 4789, wrap::vxlan(7, &frame), Some("vxlan/ethernet")),
        ("VXLAN as Linux had it", 8472, wrap::vxlan(7, &frame), Some("vxlan/ethernet")),
        (
            "VXLAN, tagged",
            4789,
            wrap::vxlan(7, wrap::tagged(5, &frame)),
            Some("vxlan/ethernet/vlan"),
        ),
        ("VXLAN without a network", 4789, joined(&[0; 8], &frame), None),
        ("VXLAN, ICMP inside", 4789, wrap::vxlan(7, icmp), None),
        ("VXLAN, noise inside", 4789, wrap::vxlan(7, [0x45; 60]), None),
        ("VXLAN, nothing inside", 4789, wrap::vxlan(7, []), None),
        ("another port", 4788, wrap::vxlan(7, &frame), None),
        (
            "GPE, Ethernet",
            4790,
            joined(&[0x0c, 0, 0, 3, 0, 0, 7, 0], &frame),
            Some("vxlan_gpe/ethernet"),
        ),
        (
            "GPE, NSH",
            4790,
            joined(&[0x0c, 0, 0, 4, 0, 0, 7, 0, 0, 2, 2, 1, 0, 0, 1, 255], &ip),
            Some("vxlan_gpe/nsh"),
        ),
        (
            "GPE, MPLS",
            4790,
            joined(&[0x0c, 0, 0, 5, 0, 0, 7, 0], wrap::mpls(&[1], &ip)),
            Some("vxlan_gpe/mpls"),
        ),
        ("GPE, no next", 4790, wrap::vxlan(7, &frame), Some("vxlan_gpe/ethernet")),
        ("GPE, OAM", 4790, joined(&[0x0d, 0, 0, 3, 0, 0, 7, 0], &frame), None),
        ("Geneve, IP", 6081, wrap::geneve(0x0800, &ip), Some("geneve")),
        (
            "Geneve, no options",
            6081,
            joined(&[0, 0, 0x65, 0x58, 0, 0, 7, 0], &frame),
            Some("geneve/ethernet"),
        ),
        (
            "Geneve, options to the end",
            6081,
            joined(&[0x3f, 0, 0x65, 0x58, 0, 0, 7, 0], &frame),
            None,
        ),
        ("Geneve, control", 6081, joined(&[0, 0x80, 0x65, 0x58, 0, 0, 7, 0], &frame), None),
        ("Geneve, version 1", 6081, joined(&[0x40, 0, 0x65, 0x58, 0, 0, 7, 0], &frame), None),
        ("GTP-U, bare", 2152, joined(&[0x30, 255, 0, len(0), 0, 0, 0, 1], &ip), Some("gtp_u")),
        (
            "GTP-U, sequence",
            2152,
            joined(&[0x32, 255, 0, len(4), 0, 0, 0, 1, 0, 1, 0, 9], &ip),
            Some("gtp_u"),
        ),
        (
            "GTP-U, PPP",
            2152,
            joined(&[0x30, 255, 0, len(4), 0, 0, 0, 1, 0xff, 3], wrap::ppp(&ip)),
            Some("gtp_u/ppp"),
        ),
        (
            "GTP-U, Ethernet",
            2152,
            joined(&[0x30, 255, 0, len(14), 0, 0, 0, 1], &frame),
            Some("gtp_u/ethernet"),
        ),
        ("GTP-U, echo", 2152, joined(&[0x32, 1, 0, len(4), 0, 0, 0, 1, 0, 1, 0, 0], &ip), None),
        (
            "GTP-U, extension of length 0",
            2152,
            joined(&[0x34, 255, 0, len(8), 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0x85], &ip),
            None,
        ),
        ("GTP, version 2", 2152, joined(&[0x48, 255, 0, len(0), 0, 0, 0, 1], &ip), None),
        ("Teredo, origin", 3544, joined(&[0, 0, 1, 2, 3, 4, 5, 6], &ip6), Some("teredo")),
        (
            "Teredo, authentication",
            3544,
            joined(&[0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0], &ip6),
            Some("teredo"),
        ),
        (
            "Teredo, both, with values",
            3544,
            joined(&[0, 1, 1, 2, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6], &ip6),
            Some("teredo"),
        ),
        ("Teredo, longer than it is", 3544, ip6[..ip6.len() - 1].to_vec(), None),
        ("Teredo with IPv4", 3544, ip.clone(), None),
        (
            "L2TP, all fields",
            1701,
            joined(&[0x4a, 2, 0, len(18), 0, 1, 0, 2, 0, 0, 0, 0, 0, 2, 7, 7], wrap::ppp(&ip)),
            Some("l2tp_2/ppp"),
        ),
        ("L2TP, control", 1701, joined(&[0xc8, 2, 0, len(8), 0, 1, 0, 2], wrap::ppp(&ip)), None),
        (
            "L2TP, offset beyond",
            1701,
            joined(&[2, 2, 0, 1, 0, 2, 0xff, 0xff], wrap::ppp(&ip)),
            None,
        ),
        (
            "L2TP 3, cookie",
            1701,
            joined(&[0, 3, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8], &frame),
            Some("l2tp_3/ethernet"),
        ),
        ("L2TP 3, IP", 1701, joined(&[0, 3, 0, 0, 0, 0, 0, 9], &ip), Some("l2tp_3")),
        ("L2TP of version 7", 1701, joined(&[0, 7, 0, 1, 0, 2], wrap::ppp(&ip)), None),
        (
            "TZSP, tags",
            37008,
            joined(&[1, 0, 0, 1, 0, 10, 1, 0xcc, 41, 2, 1, 2, 1], &frame),
            Some("tzsp/ethernet"),
        ),
        ("TZSP, to be sent", 37008, joined(&[1, 1, 0, 1, 1], &frame), Some("tzsp/ethernet")),
        ("TZSP, keepalive", 37008, joined(&[1, 4, 0, 0, 1], &frame), None),
        ("TZSP, no last tag", 37008, joined(&[1, 0, 0, 1], [0; 60]), None),
        ("GRE in UDP", 4754, wrap::gre(0x6558, &frame), Some("udp/gre/ethernet")),
        ("sFlow with a sampled frame", 6343, joined(&[0, 0, 0, 5], &frame), None),
    ];
    for (name, port, payload, expected) in cases {
        let expected = expected.map(ToOwned::to_owned).ok_or_else(|| plain(*port));
        assert_eq!(way(ETHERNET, &wrap::over_udp(*port, payload)), expected, "{name}");
    }
    assert_eq!(way(ETHERNET, &back).as_deref(), Ok("l2tp_2/ppp"), "the way back");
    let both = wrap::over_ip(17, both);
    assert_eq!(way(ETHERNET, &both).as_deref(), Ok("vxlan/ethernet"), "by the source port");
}

#[test]
fn over_ip() {
    let (ip, frame) = (tcp().build_ip(), wrap::frame(tcp().build_ip()));
    let auth = |next: u8| [next, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let tcp_in = |head: &[u8]| joined(head, &tcp6().build_ip()[40..]);
    let mut v6 = wrap::ethernet(
        0x86dd,
        wrap::ipv6(51, tcp_in(&[6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])),
    );
    v6[22..54].copy_from_slice(&tcp6().build_ip()[8..40]);
    let session = |rest: &[u8]| wrap::over_ip(115, [&[0, 0, 0, 9], rest].concat());
    // RFC 792, RFC 4443: the errors that quote the packet they are about.
    let quoted = |inside: &[u8]| joined(&[3, 1, 0, 0, 0, 0, 0, 0], inside);
    check(&[
        ("AH, tunnel", 1, wrap::over_ip(51, joined(&auth(4), &ip)), Ok("ah/4in4")),
        ("AH, IPv6", 1, v6, Ok("ah")),
        (
            "extensions before a tunnel",
            1,
            wrap::ethernet(0x86dd, wrap::ipv6(60, joined(&[4, 0, 1, 4, 0, 0, 0, 0], &ip))),
            Ok("4in6"),
        ),
        ("MPLS", 1, wrap::over_ip(137, wrap::mpls(&[3], &ip)), Ok("mpls")),
        ("Ethernet", 1, wrap::ethernet(0x86dd, wrap::ipv6(143, &frame)), Ok("etherip/ethernet")),
        (
            "EtherIP of another version",
            1,
            wrap::over_ip(97, joined(&[0x40, 0], &frame)),
            Err("bad_encapsulation"),
        ),
        ("L2TP 3, cookie of 4", 1, session(&joined(&[0x99; 4], &frame)), Ok("l2tp_3/ethernet")),
        (
            "L2TP 3, cookie and sublayer",
            1,
            session(&joined(&[0x99; 12], &frame)),
            Ok("l2tp_3/ethernet"),
        ),
        ("L2TP 3, control", 1, wrap::over_ip(115, [0; 40]), Err("l2tp_control")),
        (
            "NSH",
            1,
            wrap::ethernet(
                0x894f,
                joined(
                    &[0, 6, 1, 1, 0, 0, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                    &ip,
                ),
            ),
            Ok("nsh"),
        ),
        (
            "NSH, OAM",
            1,
            wrap::ethernet(0x894f, joined(&[0x20, 2, 2, 1, 0, 0, 1, 255], &ip)),
            Err("bad_encapsulation"),
        ),
        (
            "NSH, length 1",
            1,
            wrap::ethernet(0x894f, joined(&[0, 1, 2, 1, 0, 0, 1, 255], &ip)),
            Err("bad_encapsulation"),
        ),
        (
            "NSH, unknown",
            1,
            wrap::ethernet(0x894f, joined(&[0, 2, 2, 99, 0, 0, 1, 255], &ip)),
            Err("other_ethertype"),
        ),
        ("ICMP error", 1, wrap::over_ip(1, quoted(&ip)), Err("not_tcp_or_udp")),
        (
            "ICMPv6 error",
            1,
            wrap::ethernet(0x86dd, wrap::ipv6(58, quoted(&tcp6().build_ip()))),
            Err("not_tcp_or_udp"),
        ),
        (
            "ICMP error in a tunnel",
            1,
            wrap::over_ip(4, wrap::ipv4(1, quoted(&ip))),
            Err("not_tcp_or_udp"),
        ),
        ("ESP", 1, wrap::over_ip(50, &ip), Err("not_tcp_or_udp")),
        ("SNAP", 1, wrap::ethernet(80, joined(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip)), Ok("")),
        (
            "SNAP of another organization",
            1,
            wrap::ethernet(80, joined(&[0xaa, 0xaa, 3, 0, 0, 12, 8, 0], &ip)),
            Err("llc"),
        ),
    ]);
}

#[test]
fn wireless_and_logs() {
    let ip = tcp().build_ip();
    let snap = joined(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip);
    let wifi = |control: u8, flags: u8, sequence: u8, more: &[u8], body: &[u8]| {
        let mut frame = vec![control, flags, 0, 0];
        frame.extend([2; 18]);
        frame.extend([sequence, 0]);
        [&frame, more, body].concat()
    };
    let plain = wifi(0x08, 2, 0, &[], &snap);
    let tap = |head: &[u8], inside: &[u8]| {
        let len = u8::try_from(head.len() + 4).unwrap();
        [&[0, 0, len, 0], head, inside].concat()
    };
    let padded = wifi(0x88, 1, 0, &[0, 0, 0xee, 0xee], &snap);
    let sub = |len: u8| [&[2; 12][..], &[0, len]].concat();
    let whole = u8::try_from(snap.len()).unwrap();
    let mut avs = vec![0x80, 0x21, 0x10, 1, 0, 0, 0, 64];
    avs.resize(64, 0);
    let mut prism = vec![0x44, 0, 0, 0, 144, 0, 0, 0];
    prism.resize(144, 0);
    let log = |family: u8, big: bool| {
        let short = |n: usize| match (u16::try_from(n).unwrap(), big) {
            (n, true) => n.to_be_bytes(),
            (n, false) => n.to_le_bytes(),
        };
        let mut bytes = vec![family, 0, 0, 5];
        bytes.extend([short(8), short(1)].concat());
        bytes.extend([8, 0, 1, 0]);
        bytes.extend([short(5), short(10)].concat());
        bytes.extend([0, 0, 0, 0]);
        bytes.extend([short(ip.len() + 4), short(9)].concat());
        bytes.extend(&ip);
        bytes.extend(vec![0; bytes.len().next_multiple_of(4) - bytes.len()]);
        bytes.extend([short(8), short(3), [0; 2], [0; 2]].concat());
        bytes
    };
    let mut lying = log(2, false);
    lying[4] = 0;
    let mut newer = log(2, false);
    newer[1] = 1;
    check(&[
        ("data", 105, plain.clone(), Ok("")),
        ("QoS", 105, wifi(0x88, 1, 0, &[0, 0], &snap), Ok("")),
        ("QoS with HT control", 105, wifi(0x88, 0x81, 0, &[0; 6], &snap), Ok("")),
        ("four addresses", 105, wifi(0x08, 3, 0, &[2; 6], &snap), Ok("")),
        ("four addresses, QoS", 105, wifi(0x88, 3, 0, &[2, 2, 2, 2, 2, 2, 0, 0], &snap), Ok("")),
        ("one aggregated", 105, wifi(0x88, 1, 0, &[0x80, 0], &joined(&sub(whole), &snap)), Ok("")),
        (
            "two aggregated",
            105,
            wifi(
                0x88,
                1,
                0,
                &[0x80, 0],
                &[&sub(whole)[..], &snap, &[0; 3], &sub(whole), &snap].concat(),
            ),
            Err("wifi_aggregate"),
        ),
        ("null", 105, wifi(0x48, 1, 0, &[], &snap), Err("wifi_other")),
        ("beacon", 105, wifi(0x80, 0, 0, &[], &snap), Err("wifi_other")),
        ("protected", 105, wifi(0x08, 0x41, 0, &[], &snap), Err("wifi_protected")),
        ("first fragment", 105, wifi(0x08, 5, 0, &[], &snap), Err("wifi_fragment")),
        ("last fragment", 105, wifi(0x08, 1, 3, &[], &snap), Err("wifi_fragment")),
        ("spanning tree", 105, wifi(0x08, 1, 0, &[], &[0x42; 40]), Err("llc")),
        ("radiotap", 127, tap(&[0; 4], &plain), Ok("")),
        (
            "radiotap, fields",
            127,
            tap(&[0x2f, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 9, 9, 9], &plain),
            Ok(""),
        ),
        ("radiotap, padded", 127, tap(&[2, 0, 0, 0, 0x20], &padded), Ok("")),
        (
            "radiotap, padded, time",
            127,
            tap(&[3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x20], &padded),
            Ok(""),
        ),
        ("radiotap, not padded", 127, tap(&[2, 0, 0, 0, 0], &padded), Err("llc")),
        ("radiotap, length 4", 127, joined(&[0, 0, 4, 0], &plain), Err("bad_encapsulation")),
        (
            "radiotap, length beyond",
            127,
            joined(&[0, 0, 255, 255], &plain),
            Err("bad_encapsulation"),
        ),
        ("radiotap, endless bits", 127, tap(&[0xff; 20], &plain), Ok("")),
        ("AVS", 163, joined(&avs, &plain), Ok("")),
        ("Prism", 119, joined(&prism, &plain), Ok("")),
        ("AVS as Prism", 119, joined(&avs, &plain), Ok("")),
        ("neither", 163, plain, Err("bad_encapsulation")),
        ("NFLOG", 239, log(2, false), Ok("")),
        ("NFLOG, big-endian", 239, log(2, true), Ok("")),
        ("NFLOG of a bridge", 239, log(7, false), Ok("")),
        ("NFLOG, IPv6 promised", 239, log(10, false), Err("bad_ip_version")),
        ("NFLOG, value of length 0", 239, lying, Err("bad_encapsulation")),
        ("NFLOG, version 1", 239, newer, Err("bad_encapsulation")),
        ("NFLOG, no packet", 239, log(2, false)[..20].to_vec(), Err("bad_encapsulation")),
        ("NFLOG, nothing", 239, vec![2], Err("short_frame")),
    ]);
}

#[test]
fn one_too_many_is_dropped_by_name() {
    let nested = |count: usize, around: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        (0..count).fold(tcp().build_ip(), |ip, _| around(ip))
    };
    type Around<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;
    let cases: [(&str, Around<'_>, &str); 5] = [
        ("IP", &|ip| wrap::ipv4(4, ip), "4in4/4in4/4in4/4in4/4in4/more"),
        ("GRE", &|ip| wrap::ipv4(47, wrap::gre(0x0800, ip)), "gre/gre/gre/gre/gre/more"),
        (
            "VXLAN",
            &|ip| wrap::ipv4(17, wrap::datagram(4789, wrap::vxlan(1, wrap::frame(ip)))),
            "vxlan/ethernet/vxlan/ethernet/vxlan/more",
        ),
        (
            "GTP-U",
            &|ip| wrap::ipv4(17, wrap::datagram(2152, wrap::gtp(1, ip))),
            "gtp_u/gtp_u/gtp_u/gtp_u/gtp_u/more",
        ),
        ("IPv6", &|ip| wrap::ipv6(wrap_number(&ip), ip), "6in6/6in6/6in6/6in6/6in6/more"),
    ];
    for (name, around, way_there) in cases {
        let eight = nested(8, around);
        assert_eq!(way(101, &eight).as_deref(), Ok(way_there), "{name}");
        assert_eq!(way(101, &nested(9, around)), Err("too_deep".to_owned()), "{name}");
        assert_eq!(way(101, &nested(300, around)), Err("too_deep".to_owned()), "{name}");
    }
}

fn wrap_number(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 4 { 4 } else { 41 }
}

#[test]
fn it_obeys_the_rules() {
    let mut frames: Vec<_> = every().into_iter().map(|(_, frame)| frame).collect();
    let ip = tcp().build_ip();
    for number in 0..40 {
        frames.extend(wrap::fragments(&ip, 8, number).iter().map(wrap::frame));
    }
    check_rules::<Decode>("", &frames);
}
