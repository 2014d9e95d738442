//! What the safe ring has to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pfring_sys::{ClusterType, Library};
use ringmill::capture::{
    live::{Counts, Ring as _},
    pf_ring::{Cluster, Options, Ring, leaks},
};
use ringmill::sdk::testing::Frame;

use crate::wire::{
    TIME, Wire, bytes, cluster, connections, is_double, library, options, ring, take, take_all,
};

fn counts(ring: &mut Ring) -> (u64, u64) {
    let Counts { received, dropped, filtered } = ring.counts().unwrap();
    assert_eq!(filtered, 0);
    (received, dropped.values().sum())
}

fn numbered(count: usize, payload: usize) -> Vec<Vec<u8>> {
    let frame = |number: usize| {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(payload.max(bytes.len()), u8::try_from(number % 251).unwrap());
        Frame::udp("10.0.0.1:1000", "10.0.0.2:2000").payload(bytes).build()
    };
    (0..count).map(frame).collect()
}

#[test]
fn packets_come_whole_and_in_order() {
    let Some(wire) = Wire::new("whole") else { return };
    let mut ring = ring(&wire, &options());
    let sent: Vec<_> = (8..1400).step_by(13).flat_map(|len| numbered(1, len)).collect();
    wire.send(&sent);
    assert_eq!(take(&mut ring, sent.len()), sent);
    assert_eq!(counts(&mut ring), (sent.len() as u64, 0));
    assert_eq!(ring.link(), 1);
}

#[test]
fn times_are_in_nanoseconds() {
    let Some(wire) = Wire::new("times") else { return };
    let mut ring = ring(&wire, &options());
    wire.send(&numbered(3, 100));
    std::thread::sleep(Duration::from_millis(20));
    let times: Vec<i64> = (0..3)
        .map(|_| {
            let frame = ring.peek().unwrap();
            assert_eq!((frame.len, frame.wire_len, frame.vlan), (142, 142, 0));
            ring.take();
            frame.time
        })
        .collect();
    assert!(times.is_sorted());
    if is_double("the exact times") {
        assert_eq!(times, [TIME, TIME + 1, TIME + 2]);
    }
}

#[test]
fn what_is_longer_than_the_snaplen_is_cut_and_its_length_known() {
    let Some(wire) = Wire::new("snaplen") else { return };
    let mut ring = ring(&wire, &Options { snaplen: 128, ..options() });
    let sent = numbered(20, 900);
    wire.send(&sent);
    std::thread::sleep(Duration::from_millis(20));
    for whole in &sent {
        let frame = ring.peek().unwrap();
        assert_eq!(bytes(&frame), whole[..128]);
        assert_eq!(frame.wire_len as usize, whole.len());
        ring.take();
    }
}

#[test]
fn the_engines_default_snaplen_is_cut_to_what_pf_ring_has() {
    let Some(wire) = Wire::new("greatest") else { return };
    let mut ring = ring(&wire, &Options { snaplen: 262_144, ..options() });
    // A veth has an MTU of 1500; the double takes what GRO makes.
    let payload = if is_double("packets of 65 KB") { 65_000 } else { 1400 };
    let sent = numbered(64, payload);
    wire.send(&sent);
    assert_eq!(take(&mut ring, sent.len()), sent);
}

#[test]
fn all_packets_of_a_batch_stay_readable_until_it_ends() {
    let Some(wire) = Wire::new("batch") else { return };
    let mut ring = ring(&wire, &options());
    let sent = numbered(1000, 700);
    wire.send(&sent);
    std::thread::sleep(Duration::from_millis(50));
    let mut seen = 0;
    for size in [256, 1, 2, 256, 256, 229] {
        let mut batch = Vec::new();
        for _ in 0..size {
            batch.push(ring.peek().unwrap());
            ring.take();
        }
        // One more is looked at and not taken: it outlives the batch.
        let next = ring.peek();
        for frame in &batch {
            assert_eq!(bytes(frame), sent[seen], "packet {seen}");
            seen += 1;
        }
        ring.release();
        assert_eq!(next.is_some(), seen < sent.len());
        if let Some(next) = next {
            assert_eq!(bytes(&next), sent[seen]);
            assert_eq!(ring.peek().unwrap().data, next.data, "it was moved");
            ring.release();
            assert_eq!(bytes(&next), sent[seen]);
        }
    }
    assert_eq!(seen, sent.len());
}

#[test]
fn a_ring_gives_and_counts_nothing_before_it_is_enabled() {
    let Some(wire) = Wire::new("before") else { return };
    let mut ring = Ring::open(library(), &wire.device, &options()).unwrap();
    wire.send(&numbered(10, 100));
    ring.enable().unwrap();
    assert_eq!(take_all(&mut ring).len(), 0);
    assert_eq!(counts(&mut ring), (0, 0));
    let sent = numbered(7, 60);
    wire.send(&sent);
    assert_eq!(take(&mut ring, 7), sent);
}

#[test]
fn one_packet_makes_the_ring_readable() {
    let Some(wire) = Wire::new("readable") else { return };
    let mut ring = ring(&wire, &options());
    let readable = |ring: &Ring, ms| {
        let mut poll = libc::pollfd { fd: ring.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor that lives across the call.
        unsafe { libc::poll(&raw mut poll, 1, ms) == 1 && poll.revents == libc::POLLIN }
    };
    assert!(!readable(&ring, 20));
    for _ in 0..3 {
        wire.send(&numbered(1, 60));
        assert!(readable(&ring, 100));
        assert_eq!(take(&mut ring, 1).len(), 1);
        assert!(!readable(&ring, 20));
    }
}

#[test]
fn what_does_not_fit_is_counted_to_the_packet() {
    let Some(wire) = Wire::new("full") else { return };
    let mut ring = ring(&wire, &options());
    let sent = 20_000;
    wire.send(&numbered(sent, 1358));
    std::thread::sleep(Duration::from_millis(200));
    let (received, dropped) = counts(&mut ring);
    assert!(dropped > 10_000 && received > 4000, "{received} {dropped}");
    assert_eq!(received + dropped, sent as u64);
    ring.stop();
    // What comes now is not part of the capture, neither taken nor counted.
    wire.send(&numbered(50, 60));
    let taken = take_all(&mut ring);
    assert_eq!(taken.len() as u64, received);
    assert!(taken.iter().all(|frame| frame.len() == 1400));
    assert_eq!(counts(&mut ring), (received, dropped));
}

#[test]
fn a_stopped_ring_gives_what_it_had_and_no_more() {
    let Some(wire) = Wire::new("stopped") else { return };
    let mut ring = ring(&wire, &options());
    let sent = numbered(30, 100);
    wire.send(&sent);
    std::thread::sleep(Duration::from_millis(20));
    let first = ring.peek().unwrap();
    assert_eq!(bytes(&first), sent[0]);
    ring.stop();
    wire.send(&numbered(5, 100));
    assert_eq!(counts(&mut ring), (30, 0));
    assert_eq!(take_all(&mut ring), sent);
    assert_eq!(counts(&mut ring), (30, 0));
    let silent = Wire::new("stopped-at-once").map(|wire| {
        let mut ring = super::wire::ring(&wire, &options());
        ring.stop();
        take_all(&mut ring).len()
    });
    assert!(silent.is_none_or(|taken| taken == 0));
}

#[test]
fn a_connection_is_on_one_ring_and_every_packet_on_one() {
    let Some(wire) = Wire::new("flow") else { return };
    for count in [1, 2, 4, 16] {
        let mut rings = cluster(&wire, count, 100 + count, ClusterType::PerFlow5Tuple);
        let sent = connections(64, 20);
        wire.send(&sent);
        let mut home: BTreeMap<String, usize> = BTreeMap::new();
        let mut all = Vec::new();
        for (number, ring) in rings.iter_mut().enumerate() {
            for frame in take_all(ring) {
                let text = String::from_utf8_lossy(&frame[54..]).into_owned();
                let connection = text.split(' ').next().unwrap().to_owned();
                assert_eq!(*home.entry(connection).or_insert(number), number, "{text}");
                all.push(frame);
            }
            assert_eq!(counts(ring).1, 0);
        }
        all.sort();
        let mut sent = sent;
        sent.sort();
        assert!(all == sent, "{} of {} packets by {count} rings", all.len(), sent.len());
        let used: std::collections::BTreeSet<_> = home.values().collect();
        assert!(used.len() * 2 >= usize::from(count), "{count} rings: {used:?}");
    }
}

#[test]
fn round_robin_gives_each_ring_the_same() {
    let Some(wire) = Wire::new("robin") else { return };
    for count in [2, 4] {
        let mut rings = cluster(&wire, count, 200 + count, ClusterType::RoundRobin);
        wire.send(&connections(20, 20));
        let taken: Vec<usize> = rings.iter_mut().map(|ring| take_all(ring).len()).collect();
        assert_eq!(taken, vec![400 / usize::from(count); usize::from(count)]);
    }
}

#[test]
fn a_full_ring_hands_over_in_round_robin_and_every_loss_is_counted() {
    let Some(wire) = Wire::new("handover") else { return };
    let mut rings = cluster(&wire, 2, 210, ClusterType::RoundRobin);
    let sent = 20_000;
    let mut taken = 0;
    // The first ring is read while the second is not.
    for frames in numbered(sent, 1358).chunks(100) {
        wire.send(frames);
        taken += take(&mut rings[0], 50).len() as u64;
    }
    taken += take_all(&mut rings[0]).len() as u64;
    let (read, read_drops) = counts(&mut rings[0]);
    let (unread, unread_drops) = counts(&mut rings[1]);
    assert_eq!(taken, read);
    assert_eq!(read + read_drops + unread + unread_drops, sent as u64);
    assert_eq!(read_drops + unread_drops, 0, "the ring that is read had room");
    assert!(read > unread);
}

#[test]
fn the_share_of_a_ring_that_leaves_goes_to_the_rest() {
    let Some(wire) = Wire::new("leaves") else { return };
    let mut rings = cluster(&wire, 2, 220, ClusterType::RoundRobin);
    drop(rings.remove(0));
    let sent = connections(16, 10);
    wire.send(&sent);
    assert_eq!(take(&mut rings[0], sent.len()).len(), sent.len());
}

#[test]
fn nothing_is_lost_to_rings_that_were_closed_before() {
    // With the double also as a library that never closes a ring.
    for name in ["again", "leak-again"] {
        let Some(wire) = Wire::new(name) else { return };
        for round in 0..5 {
            let mut rings = cluster(&wire, 2, 230, ClusterType::PerFlow5Tuple);
            let sent = connections(32, 50);
            wire.send(&sent);
            let taken: usize = rings.iter_mut().map(|ring| take_all(ring).len()).sum();
            assert_eq!(taken, sent.len(), "{name}, round {round}");
        }
    }
}

#[test]
fn a_library_that_leaks_is_found_out() {
    let Some(wire) = Wire::new("tight") else { return };
    let leak = leaks(library(), &wire.device).unwrap();
    if is_double("a library that leaks and one that does not") {
        assert!(!leak);
        assert!(leaks(library(), "double-leak").unwrap());
    }
}

#[test]
fn a_filter_holds_on_each_ring() {
    let Some(wire) = Wire::new("filter") else { return };
    let kind = ClusterType::RoundRobin;
    let mut rings: Vec<Ring> = (0..2)
        .map(|member| {
            let cluster = Some(Cluster { id: 240, member, kind });
            let filter = Some("udp port 53".to_owned());
            let options = Options { cluster, filter, ..options() };
            Ring::open(library(), &wire.device, &options).unwrap()
        })
        .collect();
    rings.iter_mut().for_each(|ring| ring.enable().unwrap());
    let sent: Vec<_> = (0..100_u8)
        .flat_map(|number| {
            let tcp = Frame::tcp("10.0.0.1:1000", "10.0.0.2:80").payload([number]).build();
            let dns = Frame::udp("10.0.0.1:1000", "10.0.0.2:53").payload([number]).build();
            [tcp.clone(), tcp, dns.clone(), dns]
        })
        .collect();
    wire.send(&sent);
    for ring in &mut rings {
        let taken = take_all(ring);
        assert_eq!(taken.len(), 100);
        assert!(taken.iter().all(|frame| frame[23] == 17));
        assert_eq!(counts(ring), (100, 0));
    }
}

#[test]
fn transmitted_packets_are_taken_only_when_asked_for() {
    let Some(wire) = Wire::new("direction") else { return };
    let (inward, outward) = (numbered(1, 100), numbered(1, 200));
    let mut both = ring(&wire, &Options { transmitted: true, ..options() });
    let mut receive = ring(&wire, &options());
    wire.send(&inward);
    wire.transmit(&outward[0]);
    assert_eq!(take_all(&mut receive), inward);
    assert_eq!(take_all(&mut both).len(), 2);
}

#[test]
fn an_interface_that_goes_is_silence_and_its_counts_stay() {
    let Some(wire) = Wire::new("goes") else { return };
    let mut ring = ring(&wire, &options());
    let sent = numbered(12, 100);
    wire.send(&sent);
    std::thread::sleep(Duration::from_millis(20));
    wire.vanish();
    assert_eq!(take_all(&mut ring), sent);
    assert_eq!(counts(&mut ring), (12, 0));
    ring.stop();
    assert_eq!(counts(&mut ring), (12, 0));
}

#[test]
fn what_cannot_be_opened_is_said_in_a_sentence() {
    let Some(wire) = Wire::new("refused") else { return };
    let device = &*wire.device;
    let clustered = |id, member| {
        let kind = ClusterType::RoundRobin;
        Options { cluster: Some(Cluster { id, member, kind }), ..options() }
    };
    let _first = Ring::open(library(), device, &clustered(250, 0)).unwrap();
    let filtered = |text: &str| Options { filter: Some(text.to_owned()), ..options() };
    let cases: &[(&str, Options, &str)] = &[
        ("rmnone0", options(), "there is no interface `rmnone0`"),
        ("zc:eth0", options(), "`zc:eth0` is not the plain name of an interface"),
        ("pcap:a.pcap", options(), "not the plain name"),
        ("eth0@1", options(), "not the plain name"),
        ("eth0,eth1", options(), "not the plain name"),
        ("any", options(), "not the plain name"),
        ("", options(), "not the plain name"),
        ("eth0\0", options(), "not the plain name"),
        (device, clustered(0, 0), "an id from 1 to 65535"),
        (device, clustered(7, 64), "64 rings at most"),
        (device, filtered("tcp prot 80"), "the filter `tcp prot 80` is refused"),
        (device, filtered("tcp\0"), "zero byte"),
    ];
    for (device, options, expected) in cases {
        let error = Ring::open(library(), device, options).unwrap_err().to_string();
        assert!(error.contains(expected), "{device:?}: {error}");
    }
    if library().set_cluster_consumer.is_some() {
        let taken = Ring::open(library(), device, &clustered(250, 0)).unwrap_err().to_string();
        assert!(taken.contains("cannot join PF_RING cluster 250"), "{taken}");
    }
}

#[test]
fn libraries_before_8_6_1_join_clusters_by_the_older_call() {
    let Some(wire) = Wire::new("older") else { return };
    let older = Library { set_cluster_consumer: None, ..Library::clone(library()) };
    let older = Arc::new(older);
    let kind = ClusterType::PerFlow5Tuple;
    let open = |member| {
        let cluster = Some(Cluster { id: 260, member, kind });
        Ring::open(&older, &wire.device, &Options { cluster, ..options() }).unwrap()
    };
    let mut rings = [open(0), open(1)];
    rings.iter_mut().for_each(|ring| ring.enable().unwrap());
    let sent = connections(32, 10);
    wire.send(&sent);
    let taken: Vec<usize> = rings.iter_mut().map(|ring| take_all(ring).len()).collect();
    assert_eq!(taken.iter().sum::<usize>(), sent.len());
    assert!(taken.iter().all(|&taken| taken > 0), "{taken:?}");
}
