#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{io::Write as _, sync::Arc};

use ringmill_sdk::testing::Frame;

use super::{ETHERNET, Filter, Judge, LINUX_SLL, Pcap, RAW, Sieve};

/// `DLT_USB_LINUX`, where no filter but a byte comparison has a meaning.
const USB: u16 = 189;

/// Whether there is a libpcap to test with; says so where there is none.
fn has_libpcap() -> bool {
    let missing = Pcap::get().err();
    if let Some(why) = &missing {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    }
    missing.is_none()
}

#[test]
fn a_filter_that_cannot_be_used_is_refused_with_the_words_of_libpcap() {
    if !has_libpcap() {
        return;
    }
    // As libpcap 1.10 puts them.
    let cases = [
        ("tcp prot 80", "can't parse filter expression: syntax error"),
        ("tcp and (udp", "can't parse filter expression: syntax error"),
        ("port 99999", "illegal port number 99999 > 65535"),
        ("host 10.0.0.256", "invalid IPv4 address '10.0.0.256'"),
        ("net 10.0.0.1/8", "non-network bits set in \"10.0.0.1/8\""),
        ("tcp[0:3] = 1", "data size must be 1, 2, or 4"),
        ("tcp and udp", "expression rejects all packets"),
        ("vlan 5000", "VLAN tag 5000 greater than maximum 4095"),
        ("ip broadcast", "netmask not known, so 'ip broadcast' not supported"),
        ("tcp\0", "there is a zero byte in it"),
    ];
    for (text, why) in cases {
        let error = Filter::new(text).expect_err(text).to_string();
        assert_eq!(
            error,
            format!("libpcap refuses this filter (see pcap-filter(7)): {why}"),
            "{text}"
        );
    }
}

#[test]
fn a_filter_for_another_link_than_ethernet_is_a_filter() {
    if !has_libpcap() {
        return;
    }
    for text in ["wlan type mgt", "tcp", ""] {
        assert_eq!(Filter::new(text).unwrap().text(), text);
    }
    let cases = [
        ("wlan type mgt", ETHERNET, "802.11 link-layer types supported only on 802.11"),
        ("vlan", RAW, "no VLAN support for Raw IP"),
        ("tcp", USB, "USB link-layer type filtering not implemented"),
        ("inbound", ETHERNET, "only the kernel could tell, and only while it captures"),
    ];
    for (text, link, why) in cases {
        let error = Filter::new(text).unwrap().for_link(link).unwrap_err().to_string();
        let whole = format!("the filter `{text}` cannot be used for packets of link type {link}");
        assert_eq!(error, format!("{whole}: {why}"));
    }
    // There the direction is in the frame.
    assert!(Filter::new("inbound").unwrap().for_link(LINUX_SLL).is_ok());
}

#[test]
fn a_missing_library_is_said_with_how_to_get_it() {
    let error = Pcap::load(&["libpcap-of-nowhere.so.7"]).unwrap_err();
    assert_eq!(
        error,
        "`filter` needs libpcap, which cannot be loaded here (libpcap-of-nowhere.so.7: cannot open \
         shared object file: No such file or directory); install it (Debian, Ubuntu: apt install \
         libpcap0.8; others: the package libpcap), or leave `filter` out"
    );
    let error = Pcap::load(&["libc.so.6"]).unwrap_err();
    assert!(error.starts_with("libc.so.6 is no libpcap that a filter can use: "), "{error}");
    assert!(error.contains("pcap_open_dead"), "{error}");
}

#[test]
fn a_program_judges_by_the_bytes_that_were_captured() {
    if !has_libpcap() {
        return;
    }
    let request = Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload("GET / HTTP/1.1\r\n\r\n");
    let plain = request.build();
    let tagged = request.clone().vlan(5).build();
    let raw = request.build_ip();
    let wire = 1500;
    let cases: &[(&str, u16, &[u8], bool)] = &[
        ("tcp", ETHERNET, &plain, true),
        ("udp", ETHERNET, &plain, false),
        ("", ETHERNET, &[], true),
        ("tcp", ETHERNET, &[], false),
        ("not tcp", ETHERNET, &[], false),
        ("tcp port 80", ETHERNET, &plain, true),
        // The destination port ends after byte 38.
        ("dst port 80", ETHERNET, &plain[..38], true),
        ("dst port 80", ETHERNET, &plain[..37], false),
        ("not dst port 80", ETHERNET, &plain[..37], false),
        ("tcp", ETHERNET, &tagged, false),
        ("vlan and tcp", ETHERNET, &tagged, true),
        ("vlan 6 and tcp", ETHERNET, &tagged, false),
        ("tcp", RAW, &raw, true),
        // How long it was on the wire, not how much is left of it.
        ("greater 1500", ETHERNET, &plain[..20], true),
        ("less 1499", ETHERNET, &plain[..20], false),
        // A load from beyond any frame, and one whose place is computed.
        ("ether[1000000] = 0", ETHERNET, &plain, false),
        ("ip[ip[0]] = 0", ETHERNET, &plain, false),
        ("ip[4294967295 + ip[0]] = 0", ETHERNET, &plain, false),
        ("ip[2:2] / ip[6:2] = 1", ETHERNET, &plain, false),
    ];
    for (text, link, frame, expected) in cases {
        let program = Filter::new(text).unwrap().for_link(*link).unwrap();
        assert_eq!(program.accepts(frame, wire), *expected, "{text} on {} bytes", frame.len());
    }
}

#[test]
fn a_sieve_compiles_once_for_each_link() {
    if !has_libpcap() {
        return;
    }
    let filter = Arc::new(Filter::new("vlan").unwrap());
    let mut sieve = Sieve::new(Some(Arc::clone(&filter)));
    let program = |judge: Judge<'_>| match judge {
        Judge::Program(program) => Some(program.instructions().as_ptr()),
        Judge::Nobody | Judge::Unfit => None,
    };
    let first = program(sieve.judge(ETHERNET)).unwrap();
    assert!(matches!(sieve.judge(RAW), Judge::Unfit));
    assert_eq!(program(sieve.judge(ETHERNET)), Some(first));
    // And another worker has the same one.
    assert_eq!(program(Sieve::new(Some(filter)).judge(ETHERNET)), Some(first));
    assert!(sieve.why(RAW).unwrap().ends_with("no VLAN support for Raw IP"));
    assert!(matches!(Sieve::new(None).judge(RAW), Judge::Nobody));
}

#[test]
fn an_interface_that_is_not_there_has_no_program() {
    if !has_libpcap() {
        return;
    }
    let error = Filter::new("tcp").unwrap().for_interface("rmnone0").unwrap_err();
    assert_eq!(error.to_string(), "there is no interface rmnone0");
}

#[test]
fn a_program_for_an_interface_looks_for_tags_where_the_kernel_puts_them() {
    if !has_libpcap() {
        return;
    }
    let filter = Filter::new("vlan").unwrap();
    let live = filter.for_interface("lo").unwrap();
    if !rustix::process::getuid().is_root() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: only root can open a packet socket");
        return;
    }
    assert!(live.instructions().iter().any(super::asks_the_kernel), "{live:?}");
    let dead = filter.for_link(ETHERNET).unwrap();
    assert!(!dead.instructions().iter().any(super::asks_the_kernel), "{dead:?}");
}
