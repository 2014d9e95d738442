//! What comes in: all of it, once, and to the right worker; what finds no place is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use ringmill_bench::play::{self, Plan};

use crate::{
    CAPTURE, Mode, captures, config, counted, engine, methods,
    net::{self, Net},
    pair,
    records::{from_files, written},
    send, send_captures, stages, with_ethtool, witnessed,
};

/// The captures without those that bear tags: the kernel of the sender looks for their addresses
/// in the wrong place when they come from a packet socket, and chooses any queue, so that even
/// the packets of one direction come out of their order.
fn untagged() -> Vec<PathBuf> {
    let mut captures = captures();
    captures.retain(|path| !path.ends_with("curl-qinq.pcap"));
    captures.retain(|path| !path.ends_with("python-requests-vlan.pcap"));
    captures
}

/// Sends all captures and compares with the run over the files.
fn is_as_the_files(net: &Net, workers: usize, expected: &[String]) -> net::Ended {
    let running = net::start(engine(net), |folder| config(workers, CAPTURE, "", folder));
    let sent = send_captures(net, &untagged());
    let ended = running.stop().good();
    let said = &ended.stderr;
    assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{workers} workers: {said}");
    assert_eq!(ended.shares().iter().sum::<u64>(), sent);
    let found = written(ended.folder());
    let other = found.iter().zip(expected).find(|(ours, theirs)| ours != theirs);
    assert_eq!((found.len(), other), (expected.len(), None), "{workers} workers");
    ended
}

#[test]
fn every_packet_comes_once_and_the_records_are_those_of_the_files() {
    let expected = from_files(&untagged(), "");
    assert!(expected.len() > 60, "only {} records", expected.len());
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(4, mode) else { return };
        for workers in [1, 2, 4] {
            let ended = is_as_the_files(&net, workers, &expected);
            assert!(ended.stderr.contains(mode.word()), "{}", ended.stderr);
            assert_eq!(ended.stderr.matches("XDP in").count(), 1, "{}", ended.stderr);
            if mode == Mode::Native {
                let busy = ended.shares().iter().filter(|share| **share > 0).count();
                assert_eq!(busy, workers, "{:?}", ended.shares());
            }
        }
    }
}

/// Where the packets of each flow were seen: by worker, and from which of its two ends.
type Places = BTreeMap<[String; 2], BTreeSet<(String, usize)>>;

fn places(folder: &Path) -> Places {
    let mut places = Places::new();
    for (worker, packets) in stages::seen(folder) {
        for packet in packets {
            let from = packet["from"].to_string();
            let mut flow = [from.clone(), packet["to"].to_string()];
            flow.sort();
            places.entry(flow).or_default().insert((from, worker));
        }
    }
    places
}

#[test]
fn both_directions_of_a_flow_come_to_one_worker() {
    let Some(net) = pair(4, Mode::Native) else { return };
    let captures = untagged();
    let files = format!("from = \"file\"\nfiles = {captures:?}");
    let expected = net::run(stages::engine(&net), |folder| witnessed(1, &files, folder)).good();
    let expected = places(expected.folder());
    let both = expected.values().filter(|places| places.len() == 2).count();
    assert!(both > 20, "only {both} flows with two directions");
    for workers in [2, 4] {
        let running =
            net::start(stages::engine(&net), |folder| witnessed(workers, CAPTURE, folder));
        send_captures(&net, &captures);
        let ended = running.stop().good();
        for (worker, packets) in stages::seen(ended.folder()) {
            let times: Vec<_> = packets.iter().map(|packet| packet["time"].as_i64()).collect();
            assert!(times.is_sorted(), "worker {worker} of {workers}");
        }
        let found = places(ended.folder());
        assert!(found.keys().eq(expected.keys()));
        for (flow, places) in found {
            let workers: BTreeSet<_> = places.iter().map(|place| place.1).collect();
            let ends = (places.len(), expected[&flow].len());
            assert_eq!((workers.len(), ends.0), (1, ends.1), "{flow:?} is in {places:?}");
        }
    }
}

/// As the first config of `witnessed`, with the witness before `decode`, which drops what is not
/// an IP packet.
fn witness_first(capture: &str, folder: &Path) -> String {
    let witness = format!("[[stage]]\nuse = \"witness\"\nfolder = {folder:?}\n");
    let text = config(1, capture, "", folder);
    text.replacen("[[stage]]", &format!("{witness}[[stage]]"), 1)
}

#[test]
fn a_frame_of_64_kib_is_taken_whole_and_a_snaplen_cuts_it() {
    let mut frame = [0; 65_535 + 14];
    frame[12..14].copy_from_slice(&[0x12, 0x34]);
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        for snaplen in [262_144, 5_000, 96] {
            let capture = format!("{CAPTURE}\nsnaplen = {snaplen}");
            let running =
                net::start(stages::engine(&net), |folder| witness_first(&capture, folder));
            let plan = Plan { rounds: 1, pps: Some(400), limit: None };
            send(&net, "out0", &[&frame[..]; 40], plan);
            let ended = running.stop().good();
            let counted = (ended.sum("received"), ended.dropped());
            assert_eq!(counted, (40, 0), "{mode:?} {snaplen}: {}", ended.stderr);
            for packet in &stages::seen(ended.folder())[&0] {
                assert_eq!(packet["len"], snaplen.min(frame.len()), "{mode:?}");
                assert_eq!(packet["wire_len"], frame.len(), "{mode:?}");
            }
        }
    }
}

#[test]
fn a_tag_stays_in_the_frame() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        let running = net::start(stages::engine(&net), |folder| witness_first(CAPTURE, folder));
        let file = std::fs::read(&captures()[5]).unwrap();
        let frames = play::frames(&file).unwrap();
        send(&net, "out0", &frames, Plan::default());
        let ended = running.stop().good();
        let seen = &stages::seen(ended.folder())[&0];
        assert_eq!(seen.len(), frames.len());
        for (packet, frame) in seen.iter().zip(&frames) {
            assert_eq!(frame[12..14], [0x81, 0], "all of them are tagged");
            assert_eq!(packet["len"], frame.len(), "{mode:?}");
        }
    }
}

#[test]
fn what_finds_no_place_is_counted_to_the_packet() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for (mode, workers) in [(Mode::Native, 1), (Mode::Native, 2), (Mode::Generic, 2)] {
        let Some(net) = pair(2, mode) else { return };
        let capture = CAPTURE.replace("ring_mib = 4", "ring_mib = 1");
        let slow = "[[stage]]\nuse = \"slow\"\nus = 50";
        let running =
            net::start(stages::engine(&net), |folder| config(workers, &capture, slow, folder));
        let plan = |seconds| Plan {
            rounds: u64::MAX,
            pps: None,
            limit: Some(Duration::from_secs(seconds)),
        };
        let first = send(&net, "out0", &frames, plan(1));
        let before = running.memory();
        let second = send(&net, "out0", &frames, plan(2));
        let grown = running.memory().saturating_sub(before);
        let ended = running.stop().good();
        let (received, dropped) = (ended.sum("received"), ended.dropped());
        assert!(dropped > received, "{received} received, {dropped} dropped: was it slow?");
        let sent = first.packets + second.packets;
        assert_eq!(received + dropped, sent, "{mode:?}, {workers} workers: {}", ended.stderr);
        assert_eq!(ended.shares().iter().sum::<u64>(), received);
        // The driver of a veth pair counts what our ring refuses as its own loss, too.
        assert_eq!(ended.ledger["interfaces"][0]["nic_dropped"], serde_json::json!({}), "{mode:?}");
        // What connections with gaps may keep is bounded by the options of `http`.
        assert!(grown < 16 << 10, "its memory grew by {grown} KiB");
    }
}

#[test]
fn an_end_in_the_middle_of_it_all_is_exact() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for ring in ["ring_mib = 1", "ring_mib = 64"] {
        let Some(net) = pair(2, Mode::Native) else { return };
        let capture = CAPTURE.replace("ring_mib = 4", ring);
        let running = net::start(engine(&net), |folder| config(2, &capture, "", folder));
        let ended = thread::scope(|scope| {
            let limit = Some(Duration::from_millis(2500));
            let plan = Plan { rounds: u64::MAX, pps: None, limit };
            let (net, frames) = (&net, &frames);
            scope.spawn(move || net.send("out0", frames, plan));
            thread::sleep(Duration::from_millis(1000));
            running.stop().good()
        });
        let (received, dropped) = (ended.sum("received"), ended.dropped());
        assert!(received > 1000, "{}", ended.stderr);
        // What the driver handed over came, to the packet, and what it could not was counted.
        let driver = (counted(&net, "cap0", "xdp_redirect"), counted(&net, "cap0", "drops"));
        assert_eq!((received, dropped), driver, "{ring}: {}", ended.stderr);
    }
}

#[test]
fn a_filter_keeps_packets_out_and_they_are_counted() {
    if !crate::common::has_libpcap() {
        return;
    }
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for (mode, workers) in [(Mode::Native, 2), (Mode::Generic, 1)] {
        let Some(net) = pair(2, mode) else { return };
        // IPv4 without options: Ethernet's 14 bytes, 20 of IP, and the flags are TCP's 14th.
        let capture = CAPTURE.replace("ring_mib = 4", "ring_mib = 32");
        let capture = format!("{capture}\nfilter = \"tcp[tcpflags] & tcp-syn != 0\"");
        let is_syn =
            |frame: &&&[u8]| frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 2 != 0;
        let running = net::start(engine(&net), |folder| config(workers, &capture, "", folder));
        let sent = send(&net, "out0", &frames, Plan { rounds: 20, ..Plan::default() }).packets;
        let ended = running.stop().good();
        let expected = 20 * frames.iter().filter(is_syn).count() as u64;
        assert!(expected > 0 && expected < sent);
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{mode:?}");
        assert_eq!((ended.sum("filtered"), ended.sum("taken")), (sent - expected, expected));
    }
}

#[test]
fn frames_of_2048_bytes_are_enough_for_ethernet() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        for interface in ["cap0", "out0"] {
            net.must(&format!("ip link set {interface} mtu 1500"));
        }
        let running = net::start(engine(&net), |folder| config(1, CAPTURE, "", folder));
        let sent = send(&net, "out0", &frames, Plan::default()).packets;
        let ended = running.stop().good();
        assert!(ended.stderr.contains("packets longer than 1792 bytes"), "{}", ended.stderr);
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{mode:?}");
    }
}

#[test]
fn two_interfaces_are_one_capture() {
    let Some(net) = with_ethtool(|| Net::with_pairs(2, 2)) else { return };
    let file = methods();
    let frames = play::frames(&file).unwrap();
    let capture = CAPTURE.replace("\"cap0\"", "[\"cap0\", \"cap1\"]");
    for workers in [1, 2] {
        let running =
            net::start(stages::engine(&net), |folder| witnessed(workers, &capture, folder));
        let sent: u64 = ["out0", "out1"]
            .iter()
            .map(|interface| send(&net, interface, &frames, Plan::default()).packets)
            .sum();
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0));
        let mut of = BTreeMap::new();
        for packet in stages::seen(ended.folder()).into_values().flatten() {
            *of.entry(packet["interface"].as_u64()).or_insert(0) += 1;
        }
        assert_eq!(of, BTreeMap::from([(Some(0), frames.len()), (Some(1), frames.len())]));
    }
}
