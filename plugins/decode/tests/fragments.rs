//! IP fragments: put together whatever their order, given up by name, within bounds.

#![allow(clippy::cast_possible_truncation, reason = "numbers of a test")]
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

mod common;

use std::collections::BTreeMap;

use common::Dice;
use ringmill_decode::Decode;
use ringmill_sdk::{
    BATCH, Packet, Timestamp,
    testing::{Frame, START, Trial, run_raw, wrap},
};

const SECOND: i64 = 1_000_000_000;

/// A segment whose payload is the same nowhere twice.
fn tcp(len: usize) -> Frame {
    let payload: Vec<u8> = (0..len).map(|at| (at * 31 + at / 251) as u8).collect();
    Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload(payload)
}

fn tcp6(len: usize) -> Frame {
    let payload: Vec<u8> = (0..len).map(|at| (at * 29 + at / 251) as u8).collect();
    Frame::tcp("[2001:db8::1]:1234", "[2001:db8::2]:80").payload(payload)
}

fn framed(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets.iter().map(wrap::frame).collect()
}

/// What comes out of these frames: payload and way of those that pass, how often each reason,
/// the counters that are not zero.
#[derive(Debug, Default, PartialEq, Eq)]
struct Out {
    passed: Vec<(Vec<u8>, String)>,
    dropped: BTreeMap<String, usize>,
    counters: BTreeMap<String, u64>,
}

fn out(frames: &[Vec<u8>]) -> Out {
    let ran = run_raw::<Decode>("", frames).unwrap();
    let mut out = Out { counters: ran.counters, ..Out::default() };
    out.counters.retain(|_, count| *count > 0);
    for (at, verdict) in ran.verdicts.into_iter().enumerate() {
        match verdict {
            Some(reason) => *out.dropped.entry(reason).or_default() += 1,
            None => out.passed.push((ran.payloads[at].clone(), ran.encapsulations[at].clone())),
        }
    }
    out
}

fn counts<T: Copy>(of: &[(&str, T)]) -> BTreeMap<String, T> {
    of.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn every_size_and_every_order_gives_the_datagram() {
    for (name, packet) in [("IPv4", tcp(300)), ("IPv6", tcp6(300))] {
        let clean = out(&[packet.build()]).passed;
        for size in [8, 16, 64, 104, 256, 312] {
            let whole = framed(&wrap::fragments(&packet.build_ip(), size, 7));
            for seed in 0..20 {
                let (mut frames, mut dice) = (whole.clone(), Dice::new(seed));
                for last in (1..frames.len()).rev() {
                    frames.swap(last, dice.roll(last + 1));
                }
                let out = out(&frames);
                assert_eq!(out.passed, clean, "{name} in fragments of {size}, order {seed}");
                let held = counts(&[("fragment_held", frames.len() - 1)]);
                assert_eq!(out.dropped, held, "{name} in fragments of {size}");
                assert_eq!(out.counters, counts(&[("datagrams.reassembled", 1)]));
            }
        }
    }
}

/// What the completing packet says of the datagram is what the datagram itself would say.
#[test]
fn the_descriptor_is_that_of_the_whole() {
    for packet in [tcp(2000), tcp6(2000), tcp(65_000), tcp6(65_000)] {
        let ip = packet.build_ip();
        let mut trial = Trial::<Decode>::new("").unwrap();
        let frames: Vec<_> = wrap::fragments(&ip, 1400, 7)
            .iter()
            .map(|ip| wrap::tagged(5, wrap::frame(ip)))
            .collect();
        trial.packets(frames.iter().map(|frame| Packet::ethernet(frame, START))).unwrap();
        trial.packets([Packet::new(&ip, START, ip.len() as u32, 101, 0)]).unwrap();
        let ran = trial.ran();
        let at = frames.len() - 1;
        assert_eq!(ran.verdicts[at], None);
        assert_eq!(ran.layers[at].vlan, 5);
        assert_eq!(ringmill_sdk::Layers { vlan: 0, ..ran.layers[at] }, ran.layers[at + 1]);
        assert_eq!(ran.flow_hashes[at], ran.flow_hashes[at + 1]);
        assert_eq!(ran.ends[at], ran.ends[at + 1]);
        assert_eq!(ran.payloads[at], ran.payloads[at + 1]);
    }
}

/// A frame that stages see for a datagram is a packet that others would take: RFC 791's header
/// with the right length, no fragment bits and a right checksum.
#[test]
fn the_header_is_a_whole_packets() {
    use ringmill_sdk::{Arena, Batch, Host, Output, Stage};
    let host: Host = ringmill_sdk::testing::TestHost::new(Some(0)).0;
    let mut stage = Decode::new(ringmill_sdk::parse_config("").unwrap(), &host).unwrap();
    for packet in [tcp(500), tcp6(500)] {
        let ip = packet.build_ip();
        let frames = framed(&wrap::fragments(&ip, 200, 0));
        let arena = Arena::default();
        let mut batch = Batch::default().with_arena(&arena);
        frames.iter().for_each(|frame| batch.push(Packet::ethernet(frame, START)));
        stage.packets(&mut batch, &mut Output::new(&mut Vec::new())).unwrap();
        let whole = batch.all().last().unwrap();
        assert_eq!((whole.link(), whole.wire_len() as usize), (101, ip.len()));
        let mut expected = ip.clone();
        if ip[0] == 0x45 {
            // The kit's fragments do not forbid what they are, and the number is theirs.
            let mut head = etherparse_header(&ip);
            head.dont_fragment = false;
            head.header_checksum = head.calc_header_checksum();
            expected.splice(..20, head.to_bytes());
        }
        assert_eq!(whole.frame(), expected);
    }
}

fn etherparse_header(ip: &[u8]) -> etherparse::Ipv4Header {
    etherparse::Ipv4HeaderSlice::from_slice(ip).unwrap().to_header()
}

#[test]
fn inside_and_outside_of_every_tunnel() {
    let packet = tcp(900);
    let clean = out(&[packet.build()]).passed.remove(0).0;
    let mut seen = 0;
    for kind in wrap::EVERY {
        let ip = packet.build_ip();
        if !kind.name.is_empty() && (kind.frame)(&ip) == packet.build() {
            continue;
        }
        let inner: Vec<_> =
            wrap::fragments(&ip, 304, 7).iter().map(|part| (kind.frame)(part)).collect();
        let whole = vec![(clean.clone(), kind.name.to_owned())];
        let found = out(&inner);
        assert_eq!(found.passed, whole, "fragments inside {}", kind.name);
        assert_eq!(found.dropped, counts(&[("fragment_held", inner.len() - 1)]));
        let outer = (kind.frame)(&ip);
        if outer[12..14] == [8, 0] {
            let frames = framed(&wrap::fragments(&outer[14..], 304, 9));
            assert_eq!(out(&frames).passed, whole, "{} in fragments", kind.name);
            // Both: fragments inside of a tunnel that is itself in fragments.
            let frames: Vec<_> = inner
                .iter()
                .zip(20..)
                .flat_map(|(frame, number)| framed(&wrap::fragments(&frame[14..], 104, number)))
                .collect();
            if !kind.name.is_empty() {
                assert_eq!(out(&frames).passed, whole, "fragments in {} in fragments", kind.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

/// Two networks may use the same addresses, and the same number at the same time.
#[test]
fn tunnels_do_not_mix() {
    let parts = wrap::fragments(&tcp(600).build_ip(), 304, 7);
    let inside =
        |network: u8, part: &Vec<u8>| wrap::over_udp(4789, wrap::vxlan(network, wrap::frame(part)));
    let frames = [
        inside(1, &parts[0]),
        inside(2, &parts[1]),
        inside(2, &parts[2]),
        wrap::tagged(5, wrap::frame(&parts[1])),
        wrap::frame(&parts[2]),
    ];
    let out = out(&frames);
    assert_eq!(out.passed, []);
    assert_eq!(out.counters, counts(&[("datagrams.unfinished", 4)]));
}

#[test]
fn what_is_given_up_has_a_name() {
    let parts = framed(&wrap::fragments(&tcp(600).build_ip(), 104, 7));
    let with = |at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = parts[at].clone();
        change(&mut frame);
        frame
    };
    // Eight bytes further back than they were, so that they overlap by as much.
    let back = with(2, &|frame| frame[21] -= 1);
    let other = with(1, &|frame| *frame.last_mut().unwrap() ^= 1);
    let longer = with(5, &|frame| {
        frame[21] += 1;
    });
    let padded = with(1, &|frame| frame.extend([0; 9]));
    let n = parts.len();
    let all = |extra: &[Vec<u8>]| [&parts[..n - 1], extra, &parts[n - 1..]].concat();
    let whole = counts(&[("datagrams.reassembled", 1)]);
    let overlapping = counts(&[("datagrams.overlapping", 1)]);
    type Case<'a> = (&'a str, Vec<Vec<u8>>, usize, Vec<(&'a str, usize)>, BTreeMap<String, u64>);
    let cases: Vec<Case<'_>> = vec![
        ("clean", parts.clone(), 1, vec![("fragment_held", n - 1)], whole.clone()),
        (
            "one twice",
            all(&parts[1..2]),
            1,
            vec![("fragment_duplicate", 1), ("fragment_held", n - 1)],
            whole.clone(),
        ),
        (
            "padded",
            [vec![padded], parts[..1].to_vec(), parts[2..].to_vec()].concat(),
            1,
            vec![("fragment_held", n - 1)],
            whole,
        ),
        (
            "overlap by eight bytes",
            all(&[back]),
            0,
            vec![("fragment_held", n - 1), ("fragment_overlap", 2)],
            overlapping.clone(),
        ),
        (
            "the same place, another byte",
            all(&[other]),
            0,
            vec![("fragment_held", n - 1), ("fragment_overlap", 2)],
            overlapping.clone(),
        ),
        (
            "two ends",
            [&parts[1..], &[with(n - 1, &|frame| frame[21] += 20)]].concat(),
            0,
            vec![("fragment_held", n - 1), ("fragment_overlap", 1)],
            overlapping.clone(),
        ),
        (
            "data behind the end",
            vec![with(n - 1, &|frame| frame[21] = 1), longer],
            0,
            vec![("fragment_held", 1), ("fragment_overlap", 1)],
            overlapping,
        ),
        (
            "the middle is missing",
            [&parts[..2], &parts[3..]].concat(),
            0,
            vec![("fragment_held", n - 1)],
            counts(&[("datagrams.unfinished", 1)]),
        ),
    ];
    for (name, frames, passed, dropped, counters) in cases {
        let out = out(&frames);
        assert_eq!(out.passed.len(), passed, "{name}");
        assert_eq!(out.dropped, counts(&dropped), "{name}");
        assert_eq!(out.counters, counters, "{name}");
    }
}

#[test]
fn a_fragment_that_was_cut_is_of_no_use() {
    let parts = framed(&wrap::fragments(&tcp(600).build_ip(), 304, 7));
    let mut trial = Trial::<Decode>::new("").unwrap();
    let cut = Packet::new(&parts[0][..100], START, parts[0].len() as u32, 1, 0);
    trial.packets([cut]).unwrap();
    assert_eq!(trial.ran().verdicts[0].as_deref(), Some("fragment_cut"));
}

#[test]
fn time_is_the_packets_and_runs_from_the_first() {
    let parts = framed(&wrap::fragments(&tcp(600).build_ip(), 304, 7));
    // Seconds at which the parts come, whether the last one completes, how many timed out.
    let cases = [
        ([0, 29, 30], true, 0),
        ([0, 29, 31], false, 1),
        ([0, -40, -20], false, 1),
        ([0, 40, 50], false, 1),
        ([40, 40, 11], true, 0),
    ];
    for (times, passes, timed_out) in cases {
        for ticking in [false, true] {
            let mut trial = Trial::<Decode>::new("").unwrap();
            for (frame, seconds) in parts.iter().zip(times) {
                let now = Timestamp(START.0 + seconds * SECOND);
                trial.packets([Packet::ethernet(frame, now)]).unwrap();
                if ticking {
                    trial.tick(now).unwrap();
                }
            }
            let ran = trial.ran();
            assert_eq!(ran.verdicts[2].is_none(), passes, "{times:?}");
            assert_eq!(ran.counters["datagrams.timed_out"], timed_out, "{times:?}");
        }
    }
    let mut trial = Trial::<Decode>::new("fragment_seconds = 2").unwrap();
    trial.packets([Packet::ethernet(&parts[0], START)]).unwrap();
    trial.tick(Timestamp(START.0 + 3 * SECOND)).unwrap();
    assert_eq!(trial.ran().counters["datagrams.timed_out"], 1);
    trial.finish().unwrap();
    assert_eq!(trial.ran().counters["datagrams.unfinished"], 0);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (options, named) in [
        ("fragment_seconds = 0", "fragment_seconds"),
        ("fragment_seconds = 3601", "fragment_seconds"),
        ("fragment_mebibytes = 65537", "fragment_mebibytes"),
    ] {
        let error = Trial::<Decode>::new(options).map(|_| ()).unwrap_err();
        assert_eq!(error.path(), named, "{error}");
    }
    let parts = framed(&wrap::fragments(&tcp(600).build_ip(), 304, 7));
    let ran = run_raw::<Decode>("fragment_mebibytes = 0", &parts).unwrap();
    assert!(ran.verdicts.iter().all(|verdict| verdict.as_deref() == Some("ip_fragment")));
}

/// First fragments of datagrams of which no more comes: the oldest go, the newest is completed.
#[test]
fn memory_is_bounded_and_the_oldest_goes() {
    let datagrams = 20_000_u32;
    let mut trial =
        Trial::<Decode>::new("fragment_mebibytes = 1\nfragment_seconds = 3600").unwrap();
    let parts = |n: u32| {
        let from = format!("10.1.{}.{}:1234", n >> 8 & 255, n & 255);
        let frame = Frame::tcp(&from, "10.0.0.2:80").payload([7; 100]);
        framed(&wrap::fragments(&frame.build_ip(), 64, (n >> 16) as u16))
    };
    let frames: Vec<_> = (0..datagrams).map(|n| parts(n).remove(0)).collect();
    for frames in frames.chunks(BATCH) {
        trial.packets(frames.iter().map(|frame| Packet::ethernet(frame, START))).unwrap();
    }
    let last = [parts(datagrams - 1).remove(1), parts(0).remove(1)];
    trial.packets(last.iter().map(|frame| Packet::ethernet(frame, START))).unwrap();
    trial.finish().unwrap();
    let ran = trial.ran();
    let verdicts: Vec<_> =
        ran.verdicts[datagrams as usize..].iter().map(Option::as_deref).collect();
    assert_eq!(verdicts, [None, Some("fragment_held")]);
    let (evicted, left) = (ran.counters["datagrams.evicted"], ran.counters["datagrams.unfinished"]);
    // Datagram 0 is waiting a second time.
    assert_eq!(evicted + left, u64::from(datagrams));
    assert!((1000..2000).contains(&left), "{left}");
}

/// The smallest fragments of the longest datagram, in the worst order, are no slower each than
/// a few of them.
#[test]
#[ignore = "timing: cargo test -p ringmill-decode --test fragments -- --ignored"]
fn many_parts_are_not_quadratic() {
    let ip = tcp(65_000).build_ip();
    let time = |size: usize| {
        let mut frames = framed(&wrap::fragments(&ip, size, 7));
        frames.reverse();
        let mut best = std::time::Duration::MAX;
        for _ in 0..5 {
            let mut trial = Trial::<Decode>::new("").unwrap();
            let start = std::time::Instant::now();
            for frames in frames.chunks(BATCH) {
                trial.packets(frames.iter().map(|frame| Packet::ethernet(frame, START))).unwrap();
            }
            best = best.min(start.elapsed());
            assert_eq!(trial.ran().verdicts.last(), Some(&None), "{size}");
        }
        best.as_secs_f64() / frames.len() as f64
    };
    let (few, many) = (time(256), time(8));
    assert!(many < few * 8.0, "{few} and {many} seconds a fragment");
}
