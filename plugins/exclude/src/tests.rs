use std::{fs, hint::black_box, time::Instant};

use ringmill_sdk::{
    BATCH, Packet,
    testing::{Frame, START, TestHost, check_rules, decoded, run, run_raw, tcp, udp},
};

use super::{Exclude, Options, Stage, prefix::Prefix, ranges::Ranges};

#[test]
fn prefixes_are_read_as_they_are_written() {
    let v4 = |first: [u8; 4], last: [u8; 4]| {
        Ok(Prefix::V4(u32::from_be_bytes(first), u32::from_be_bytes(last)))
    };
    let v6 = |first: u128, last: u128| Ok(Prefix::V6(first, last));
    let none = |text: &str| {
        Err(format!("`{text}` is no prefix; write it as 192.0.2.0/24 or 2001:db8::/32"))
    };
    let base = 0x2001_0db8_u128 << 96;
    let cases = [
        ("192.0.2.0/24", v4([192, 0, 2, 0], [192, 0, 2, 255])),
        ("192.0.2.7", v4([192, 0, 2, 7], [192, 0, 2, 7])),
        ("192.0.2.7/32", v4([192, 0, 2, 7], [192, 0, 2, 7])),
        ("0.0.0.0/0", v4([0; 4], [255; 4])),
        ("2001:db8::/32", v6(base, base | u128::MAX >> 32)),
        ("2001:db8::1", v6(base | 1, base | 1)),
        ("::/0", v6(0, u128::MAX)),
        ("::ffff:192.0.2.0/120", v4([192, 0, 2, 0], [192, 0, 2, 255])),
        ("::ffff:192.0.2.7", v4([192, 0, 2, 7], [192, 0, 2, 7])),
        ("::ffff:0:0/96", v4([0; 4], [255; 4])),
        (
            "192.0.2.1/24",
            Err("`192.0.2.1/24` has bits set behind the prefix; write 192.0.2.0/24, or 192.0.2.1 \
                 for that address alone"
                .to_owned()),
        ),
        (
            "2001:db8::1/64",
            Err("`2001:db8::1/64` has bits set behind the prefix; write 2001:db8::/64, or \
                 2001:db8::1 for that address alone"
                .to_owned()),
        ),
        (
            "192.0.2.0/33",
            Err("`192.0.2.0/33` is too long; a prefix of IPv4 has 0 to 32 bits".to_owned()),
        ),
        (
            "2001:db8::/129",
            Err("`2001:db8::/129` is too long; a prefix of IPv6 has 0 to 128 bits".to_owned()),
        ),
        ("192.0.2/24", none("192.0.2/24")),
        ("192.0.2.0/", none("192.0.2.0/")),
        ("192.0.2.0/+24", none("192.0.2.0/+24")),
        ("192.0.2.0/99999999999", none("192.0.2.0/99999999999")),
        ("192.0.2.0/24/24", none("192.0.2.0/24/24")),
        ("example.org", none("example.org")),
        ("192.0.2.0-192.0.2.9", none("192.0.2.0-192.0.2.9")),
        ("", none("")),
    ];
    for (text, expected) in cases {
        assert_eq!(Prefix::parse(text), expected, "{text}");
    }
}

fn made(options: &str) -> Result<(), String> {
    let (host, _) = TestHost::new(Some(0));
    let options: Options = ringmill_sdk::parse_config(options).map_err(|e| e.to_string())?;
    Exclude::new(options, &host).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_wrong_list_is_told_by_its_place_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let bad = file("bad", "# first\n192.0.2.0/24\n\n198.51.100.1/24 # theirs\n");
    let within = file("within", "10.1.0.0/16\r\n10.0.0.0/8\r\n");
    let twice = file("twice", "10.0.0.0/8\n2001:db8::/32\n10.0.0.0/8\n");
    let good = file("good", "\u{20}10.0.0.0/8 # all\n\t2001:db8::/32\n");
    let empty = file("empty", "# nobody yet\n");
    let cases = [
        (
            "".to_owned(),
            "`prefixes`: names nobody; say whose packets are dropped, here or in `file = \"...\"`"
                .to_owned(),
        ),
        (
            "prefixes = []".to_owned(),
            "`prefixes`: names nobody; say whose packets are dropped, here or in `file = \"...\"`"
                .to_owned(),
        ),
        (
            "prefixes = [\"10.0.0.0/8\", \"x\"]".to_owned(),
            "`prefixes[1]`: `x` is no prefix; write it as 192.0.2.0/24 or 2001:db8::/32".to_owned(),
        ),
        (
            "prefixes = [\"10.1.2.3\", \"10.0.0.0/8\"]".to_owned(),
            "`prefixes[0]`: `10.1.2.3` lies within the prefix of `prefixes[1]`; leave out one"
                .to_owned(),
        ),
        (
            format!("prefixes = [\"10.0.0.0/8\"]\nfile = {good:?}"),
            format!(
                "`file`: {good}:1: `10.0.0.0/8` is named twice, the first time as `prefixes[0]`; leave out one"
            ),
        ),
        (
            format!("file = {bad:?}"),
            format!(
                "`file`: {bad}:4: `198.51.100.1/24` has bits set behind the prefix; write \
                     198.51.100.0/24, or 198.51.100.1 for that address alone"
            ),
        ),
        (
            format!("file = {within:?}"),
            format!(
                "`file`: {within}:1: `10.1.0.0/16` lies within the prefix of line 2 of {within}; leave out one"
            ),
        ),
        (
            format!("file = {twice:?}"),
            format!(
                "`file`: {twice}:3: `10.0.0.0/8` is named twice, the first time as line 1 of {twice}; leave out one"
            ),
        ),
        (
            "file = \"/nowhere/list\"".to_owned(),
            "`file`: cannot read /nowhere/list: No such file or directory (os error 2)".to_owned(),
        ),
    ];
    for (options, message) in cases {
        assert_eq!(made(&options).unwrap_err(), message, "{options}");
    }
    for file in [good, empty] {
        made(&format!("file = {file:?}")).unwrap();
    }
}

const OPTIONS: &str = "prefixes = [\"192.0.2.0/24\", \"2001:db8::/32\", \"203.0.113.9\"]";

fn frames() -> Vec<Vec<u8>> {
    vec![
        tcp("192.0.2.1:1234", "10.0.0.1:80", "GET / HTTP/1.1\r\n\r\n"),
        tcp("10.0.0.1:80", "192.0.2.255:1234", "HTTP/1.1 200 OK\r\n\r\n"),
        tcp("192.0.3.0:1234", "10.0.0.1:80", ""),
        udp("203.0.113.9:53", "10.0.0.1:53", ""),
        udp("203.0.113.8:53", "203.0.113.10:53", ""),
        tcp("[2001:db8:ffff::1]:1", "[2001:db9::1]:2", ""),
        tcp("[2001:db7::1]:1", "[2001:db9::1]:2", ""),
        // The two of IPv4 that were mapped into IPv6 on the wire.
        tcp("[::ffff:192.0.2.1]:1", "[2001:db9::1]:2", ""),
        Frame::tcp("10.0.0.1:1", "10.0.0.2:2").vlan(7).build(),
    ]
}

#[test]
fn packets_from_and_to_a_prefix_are_dropped_and_no_others() {
    let ran = run::<Exclude>(OPTIONS, &frames()).unwrap();
    let dropped = ran.verdicts.iter().map(Option::as_deref).collect::<Vec<_>>();
    let out = Some("excluded");
    assert_eq!(dropped, [out, out, None, out, None, out, None, out, None]);
    let ran = run_raw::<Exclude>(OPTIONS, &frames()).unwrap();
    assert!(ran.verdicts.iter().all(|why| why.as_deref() == Some("undecoded")), "{ran:?}");
}

#[test]
fn readers_are_told_how_many() {
    let (host, told) = TestHost::new(Some(0));
    Exclude::new(ringmill_sdk::parse_config(OPTIONS).unwrap(), &host).unwrap();
    let facts = told.facts();
    assert_eq!(facts["prefixes"], "3");
    assert_eq!(facts["addresses_v4"], "257");
    assert_eq!(facts["addresses_v6"], (1_u128 << 96).to_string());
    assert!(facts["methods"].contains("an exclusion list (3 in all)"), "{facts:?}");
    assert_eq!(facts.len(), 4);
}

#[test]
fn it_obeys_the_rules() {
    check_rules::<Exclude>(OPTIONS, &frames());
}

/// splitmix64: the same in every run.
fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Ranges apart, some next to each other, in a space of 16 bits, and what holds each.
fn sets() -> Vec<Vec<(u32, u32)>> {
    let mut next = random(1);
    let mut sets =
        vec![vec![], vec![(0, u32::MAX)], vec![(7, 7)], vec![(0, 0), (u32::MAX, u32::MAX)]];
    for many in [2, 3, 17, 300, 2000] {
        let mut ends: Vec<u32> =
            (0..2 * many).map(|_| u32::try_from(next() & 0xffff).unwrap()).collect();
        ends.sort_unstable();
        ends.dedup();
        sets.push(ends.as_chunks::<2>().0.iter().map(|[first, last]| (*first, *last)).collect());
    }
    sets
}

#[test]
fn a_lookup_is_what_looking_at_all_says() {
    for ranges in sets() {
        let table = Ranges::new(ranges.clone());
        let long = ranges.iter().map(|(a, b)| (u128::from(*a) << 90, u128::from(*b) << 90));
        let long = Ranges::new(long.collect());
        let asked = (0..=0x1_0000).chain([u32::MAX - 1, u32::MAX]);
        for address in asked {
            let held = ranges.iter().any(|(first, last)| (*first..=*last).contains(&address));
            assert_eq!(table.holds(address), held, "{address} in {} ranges", ranges.len());
            let held = long.holds(u128::from(address) << 90);
            assert_eq!(held, table.holds(address), "{address}, long, in {}", ranges.len());
        }
    }
}

/// `cargo test --release -p ringmill-exclude -- --ignored --nocapture`
#[test]
#[ignore = "takes time and proves nothing"]
#[allow(clippy::print_stdout, reason = "it is for reading")]
fn nanoseconds_a_packet() {
    let frames: Vec<Vec<u8>> = {
        let mut next = random(2);
        let address = |bits: u64| std::net::Ipv4Addr::from(u32::try_from(bits >> 32).unwrap());
        let frame =
            |_| tcp(&format!("{}:1", address(next())), &format!("{}:2", address(next())), "");
        (0..1 << 14).map(frame).collect()
    };
    for many in [1_u32, 10, 1000, 100_000] {
        let mut next = random(3);
        let mut v4: Vec<u32> =
            (0..many).map(|_| u32::try_from(next() >> 32).unwrap() & !0xff).collect();
        v4.sort_unstable();
        v4.dedup();
        let prefixes: Vec<String> =
            v4.iter().map(|v4| format!("\"{}/24\"", std::net::Ipv4Addr::from(*v4))).collect();
        let options = format!("prefixes = [{}]", prefixes.join(", "));
        let (host, _) = TestHost::new(Some(0));
        let mut stage = Exclude::new(ringmill_sdk::parse_config(&options).unwrap(), &host).unwrap();
        let mut least = f64::MAX;
        for _ in 0..20 {
            let mut spent = 0.0;
            for part in frames.chunks(BATCH) {
                let mut batch = ringmill_sdk::Batch::default();
                part.iter().for_each(|frame| batch.push(decoded(frame, START) as Packet<'_>));
                let mut emitted = Vec::new();
                let before = Instant::now();
                stage.packets(&mut batch, &mut ringmill_sdk::Output::new(&mut emitted)).unwrap();
                spent += before.elapsed().as_secs_f64();
                black_box(&batch);
            }
            least = least.min(spent / frames.len() as f64 * 1e9);
        }
        println!("{many:>6} prefixes: {least:.1} ns a packet");
    }
}
