//! The generator against readers that do not share its code, and against its own figures.

use std::collections::{HashMap, HashSet};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ringmill_bench::floor::{self, Counts, Depth};
use ringmill_bench::workload::{Attack, Limit, Mix, Summary, attack};

use crate::common::{Ends, FIN, SYN, capture, ends, records};

const MIXES: [Mix; 4] = [Mix::Campus, Mix::Heavy, Mix::Min64, Mix::Split];

/// An attack's capture of so many packets.
fn attacked(kind: Attack, packets: u64, seed: u64) -> (Vec<u8>, Summary) {
    let mut file = Vec::new();
    let limit = Limit::Packets(packets);
    let summary = attack(kind, limit, seed, &mut file).expect("a Vec takes all bytes");
    (file, summary)
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for mix in MIXES {
        let first = capture(mix, 1_000_000, 7);
        assert!(first == capture(mix, 1_000_000, 7), "{mix:?}");
        assert!(first.0 != capture(mix, 1_000_000, 8).0, "{mix:?}");
    }
}

/// Figures are compared over years; a change of these bytes makes the old ones void.
#[test]
fn the_bytes_are_those_of_the_published_figures() {
    let cases = [
        (Mix::Campus, 0xd85f_1086_5fde_65eb),
        (Mix::Heavy, 0x0c31_34db_1474_d683),
        (Mix::Min64, 0x41f4_38af_cf58_d0cb),
        (Mix::Split, 0x27e6_d039_e839_c215),
    ];
    let got = cases.map(|(mix, _)| (mix, hash(&capture(mix, 1_000_000, 1).0)));
    assert_eq!(got, cases, "if the change is meant, measure again and write these down");
}

#[test]
fn the_floor_finds_what_was_written() {
    for mix in MIXES {
        for seed in 1..=3 {
            let (file, wrote) = capture(mix, 3_000_000, seed);
            let expected = Counts {
                packets: wrote.packets,
                bytes: wrote.frame_bytes,
                requests: wrote.requests,
                responses: wrote.responses,
                complete: wrote.requests + wrote.responses - wrote.cut,
                ..Counts::default()
            };
            for prefetch in [false, true] {
                let found = floor::pass(&file, Depth::Parse, prefetch).expect("a good capture");
                assert_eq!(Counts { payloads: 0, ..found }, expected, "{mix:?} {seed}");
                let looked = floor::pass(&file, Depth::Find, prefetch).expect("a good capture");
                assert_eq!(looked, Counts { complete: 0, ..found }, "{mix:?} {seed}");
            }
            assert_eq!(wrote.file_bytes, file.len() as u64, "{mix:?} {seed}");
        }
    }
}

#[test]
fn every_frame_decodes_and_every_checksum_is_right() {
    let mixes = MIXES.map(|mix| (format!("{mix:?}"), capture(mix, 5_000_000, 2)));
    let attacks = Attack::ALL.map(|kind| (format!("{kind:?}"), attacked(kind, 20_000, 2)));
    for (mix, (file, _)) in mixes.into_iter().chain(attacks) {
        let mut before = 0;
        for (number, (time, frame)) in records(&file).enumerate() {
            assert!(time > before, "{mix} packet {number}: time stands still");
            before = time;
            assert!((60..=1518).contains(&frame.len()), "{mix} packet {number}");
            let sliced = SlicedPacket::from_ethernet(frame)
                .unwrap_or_else(|error| panic!("{mix} packet {number}: {error}"));
            check_sums(&sliced, &format!("{mix} packet {number}"));
        }
    }
}

fn check_sums(packet: &SlicedPacket<'_>, place: &str) {
    let (Some(net), Some(transport)) = (&packet.net, &packet.transport) else {
        panic!("{place}: neither TCP nor UDP over IP");
    };
    let (found, right) = match (net, transport) {
        (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum(), "{place}: IPv4");
            let (from, to) = (ip.header().source(), ip.header().destination());
            (tcp.checksum(), tcp.calc_checksum_ipv4(from, to).expect("it is short enough"))
        }
        (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
            let (from, to) = (ip.header().source(), ip.header().destination());
            (tcp.checksum(), tcp.calc_checksum_ipv6(from, to).expect("it is short enough"))
        }
        (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum(), "{place}: IPv4");
            let right = udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload());
            (udp.checksum(), right.expect("it is short enough"))
        }
        (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
            let right = udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
            (udp.checksum(), right.expect("it is short enough"))
        }
        _ => panic!("{place}: neither TCP nor UDP over IP"),
    };
    assert_eq!(found, right, "{place}");
}

#[test]
fn an_attack_is_what_it_says() {
    // Connections, heads that a reader of first words finds, and the mean frame in bytes.
    let cases = [
        (Attack::None, 2000, 15_000..16_000, 300.0..400.0),
        (Attack::Bytes, 1000, 0..1, 60.0..64.0),
        (Attack::Shuffled, 1000, 0..1, 60.0..64.0),
        (Attack::HalfOpen, 20_000, 0..1, 60.0..64.0),
        (Attack::HalfHeads, 20_000, 20_000..20_001, 250.0..320.0),
        (Attack::Collide, 20_000, 300..301, 75.0..85.0),
    ];
    for (kind, flows, heads, mean) in cases {
        let (file, wrote) = attacked(kind, 20_000, 1);
        let found = floor::pass(&file, Depth::Find, false).expect("a good capture");
        assert_eq!((found.packets, found.bytes), (20_000, wrote.frame_bytes), "{kind:?}");
        assert_eq!((wrote.packets, wrote.flows), (20_000, flows), "{kind:?}");
        assert!(heads.contains(&found.heads()), "{kind:?}: {}", found.heads());
        assert!(mean.contains(&wrote.mean_frame()), "{kind:?}: {}", wrote.mean_frame());
        let whole = !matches!(kind, Attack::Bytes | Attack::Shuffled);
        assert!(!whole || found.heads() == wrote.requests + wrote.responses, "{kind:?}");
    }
}

#[test]
fn sequence_numbers_leave_no_hole() {
    for mix in MIXES {
        let (file, wrote) = capture(mix, 5_000_000, 3);
        // Next sequence number of each direction.
        let mut next: HashMap<Ends, u32> = HashMap::new();
        let mut flows: HashSet<Ends> = HashSet::new();
        let mut both_ways = 0;
        for (number, (_, frame)) in records(&file).enumerate() {
            let packet = SlicedPacket::from_ethernet(frame).expect("checked above");
            let key = ends(&packet);
            let back = (key.2.clone(), key.3, key.0.clone(), key.1);
            let known = flows.contains(&back);
            if !known {
                flows.insert(key.clone());
            }
            let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { continue };
            let place = format!("{mix:?} packet {number}");
            let flags = tcp.header_slice()[13];
            if let Some(&expected) = next.get(&key) {
                assert_eq!(tcp.sequence_number(), expected, "{place}");
            }
            if flags & SYN == 0
                && let Some(&peer) = next.get(&back)
            {
                assert_eq!(tcp.acknowledgment_number(), peer, "{place}");
                both_ways += 1;
            }
            let length = u32::try_from(tcp.payload().len()).expect("a segment is short");
            let flag = u32::from(flags & (SYN | FIN) != 0);
            next.insert(key, tcp.sequence_number().wrapping_add(length + flag));
        }
        assert!(both_ways * 2 > wrote.packets, "{mix:?}: {both_ways} see the peer");
        let (seen, said) = (flows.len() as u64, wrote.flows);
        assert!(seen <= said && seen * 100 > said * 99, "{mix:?}: {seen} of {said} flows");
    }
}

#[test]
fn a_mix_is_what_it_says() {
    // Mean frame, heads, cut heads, IPv6, VLAN and UDP, each with what it may differ by.
    // Flows are few at this size and the busy ones weigh, hence the wide margins.
    let cases = [
        (Mix::Campus, [863.0, 0.030, 0.0, 0.15, 0.10, 0.12]),
        (Mix::Heavy, [728.0, 0.49, 0.0, 0.15, 0.10, 0.02]),
        (Mix::Min64, [60.0, 0.0, 0.0, 0.0, 0.10, 0.12]),
        (Mix::Split, [831.0, 0.100, 0.20, 0.15, 0.10, 0.12]),
    ];
    for (mix, expected) in cases {
        let (file, wrote) = capture(mix, 30_000_000, 1);
        let (mut v6, mut vlan, mut udp) = (0_u32, 0_u32, 0_u32);
        for (_, frame) in records(&file) {
            let packet = SlicedPacket::from_ethernet(frame).expect("checked above");
            v6 += u32::from(matches!(packet.net, Some(NetSlice::Ipv6(_))));
            vlan += u32::from(!packet.link_exts.is_empty());
            udp += u32::from(matches!(packet.transport, Some(TransportSlice::Udp(_))));
        }
        let packets = count(wrote.packets);
        let heads = count(wrote.requests + wrote.responses);
        let got = [
            wrote.mean_frame(),
            heads / packets,
            count(wrote.cut) / heads.max(1.0),
            f64::from(v6) / packets,
            f64::from(vlan) / packets,
            f64::from(udp) / packets,
        ];
        for (got, expected) in got.iter().zip(expected) {
            let margin = if expected > 1.0 { 0.05 * expected } else { 0.005 + 0.25 * expected };
            assert!((got - expected).abs() <= margin, "{mix:?}: {got} for {expected}");
        }
    }
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).expect("a small capture"))
}
