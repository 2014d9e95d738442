//! What comes in over packet sockets: all of it, once, and to the right worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::Duration,
};

use ringmill_bench::play::{self, Plan};

use crate::{
    common::{has_libpcap, rows},
    net::{self, Net},
    records::{captures, config, from_files, written},
    stages,
};

/// The stage that remembers all packets.
pub(crate) fn witness(folder: &Path) -> String {
    format!("[[stage]]\nuse = \"witness\"\nfolder = {folder:?}\n")
}

/// As [`config`], from `cap0`, with a witness of what `decode` lets pass.
fn witnessed(workers: usize, folder: &Path) -> String {
    let capture = "from = \"af_packet\"\ninterface = \"cap0\"";
    config(workers, capture, &witness(folder), folder)
}

/// As [`config`], from `cap0`, with a witness of every frame.
fn raw(capture: &str, folder: &Path) -> String {
    let capture = format!("from = \"af_packet\"\ninterface = \"cap0\"\n{capture}");
    let first = format!("{}[[stage]]", witness(folder));
    config(1, &capture, "", folder).replacen("[[stage]]", &first, 1)
}

#[test]
fn every_packet_comes_once_and_the_records_are_those_of_the_files() {
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let expected = from_files(&captures(), "");
    assert!(expected.len() > 80, "only {} records", expected.len());
    for workers in [1, 2, 4] {
        let capture = "from = \"af_packet\"\ninterface = \"cap0\"";
        let engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
        let running = net::start(engine, |folder| config(workers, capture, "", folder));
        assert_eq!(net.promiscuity("cap0") as usize, workers);
        let sent = net.send_captures("out0", &captures());
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{workers} workers");
        assert_eq!(ended.shares().iter().sum::<u64>(), sent);
        let busy = ended.shares().iter().filter(|share| **share > 0).count();
        assert_eq!(busy, workers, "{:?}", ended.shares());
        let found = written(ended.folder());
        let other = found.iter().zip(&expected).find(|(ours, theirs)| ours != theirs);
        assert_eq!((found.len(), other), (expected.len(), None), "{workers} workers");
        assert_eq!(net.promiscuity("cap0"), 0);
    }
}

/// The workers and the sources of each flow that was seen in a folder.
pub(crate) fn flows(
    folder: &Path,
) -> BTreeMap<(String, String), (BTreeSet<usize>, BTreeSet<String>)> {
    let mut flows: BTreeMap<_, (BTreeSet<usize>, BTreeSet<String>)> = BTreeMap::new();
    for (worker, packets) in stages::seen(folder) {
        for packet in packets {
            let (from, to) = (packet["from"].to_string(), packet["to"].to_string());
            let flow = (from.clone().min(to.clone()), from.clone().max(to));
            let (workers, sources) = flows.entry(flow).or_default();
            workers.insert(worker);
            sources.insert(from);
        }
    }
    flows
}

#[test]
fn both_directions_of_a_flow_come_to_one_worker() {
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let running = net::start(stages::engine(&net), |folder| witnessed(4, folder));
    net.send_captures("out0", &captures());
    let ended = running.stop().good();
    let flows = flows(ended.folder());
    let both = flows.values().filter(|(_, sources)| sources.len() == 2).count();
    assert!(both > 30, "only {both} flows with two directions");
    let torn: Vec<_> = flows.iter().filter(|(_, (workers, _))| workers.len() > 1).collect();
    assert!(torn.is_empty(), "{torn:?}");
    let used: BTreeSet<_> = flows.values().flat_map(|(workers, _)| workers).collect();
    assert_eq!(used.len(), 4, "flows on workers {used:?} only");
}

/// An IPv6 packet with an empty TCP segment between two ports of two hosts.
fn segment(label: u16, from: (u8, u16), to: (u8, u16)) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0];
    frame.extend(label.to_be_bytes());
    frame.extend([0, 20, 6, 64]);
    for host in [from.0, to.0] {
        frame.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn a_flow_label_that_only_one_side_sets_tears_no_flow() {
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let running = net::start(stages::engine(&net), |folder| witnessed(4, folder));
    let pairs = (1..=64).map(|n| ((1, 40_000 + n), (2, 80)));
    let frames: Vec<_> = pairs
        .flat_map(|(client, server)| [segment(0x1234, client, server), segment(0, server, client)])
        .collect();
    let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
    net.send("out0", &frames, Plan::default());
    let ended = running.stop().good();
    let flows = flows(ended.folder());
    assert_eq!(flows.len(), 64);
    let torn = flows.values().filter(|(workers, _)| workers.len() > 1).count();
    assert_eq!(torn, 0, "of 64 flows");
    let used: BTreeSet<_> = flows.values().flat_map(|(workers, _)| workers).collect();
    assert_eq!(used.len(), 4, "flows on workers {used:?} only");
}

#[test]
fn fragments_come_to_the_worker_of_their_flow_as_one_packet() {
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let running = net::start(stages::engine(&net), |folder| witnessed(4, folder));
    // A TCP segment of 40 bytes over IPv4, cut after 24; then the answer, which is whole.
    let packet = |from: (u8, u16), to: (u8, u16), fragment: u16, body: &[u8]| {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20 + u16::try_from(body.len()).unwrap()).to_be_bytes());
        frame.extend(from.1.to_be_bytes());
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, 6, 0, 0, 192, 0, 2, from.0, 192, 0, 2, to.0]);
        frame.extend(body);
        frame
    };
    let mut frames = Vec::new();
    for port in 50_000..50_032_u16 {
        let (client, server) = ((1, port), (2, 80_u16));
        let mut body = [[0; 20], [7; 20]].concat();
        body[..2].copy_from_slice(&port.to_be_bytes());
        body[2..4].copy_from_slice(&80_u16.to_be_bytes());
        body[12] = 0x50;
        frames.push(packet(client, server, 0x2000, &body[..24]));
        frames.push(packet(client, server, 3, &body[24..]));
        body[..2].copy_from_slice(&80_u16.to_be_bytes());
        body[2..4].copy_from_slice(&port.to_be_bytes());
        frames.push(packet(server, client, 0, &body));
    }
    let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
    net.send("out0", &frames, Plan::default());
    let ended = running.stop().good();
    assert_eq!(ended.sum("received"), 64);
    for packet in stages::seen(ended.folder()).values().flatten() {
        assert_eq!(packet["len"], 14 + 20 + 40);
    }
    let flows = flows(ended.folder());
    assert_eq!(flows.len(), 32);
    for (flow, (workers, sources)) in flows {
        assert_eq!((workers.len(), sources.len()), (1, 2), "{flow:?}");
    }
}

#[test]
fn tags_that_the_kernel_took_out_are_kept_beside_the_frame() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let running = net::start(stages::engine(&net), |folder| raw("", folder));
    let files: Vec<_> = [3, 5].iter().map(|at| fs::read(&captures()[*at]).unwrap()).collect();
    let frames: Vec<_> = files.iter().flat_map(|file| play::frames(file).unwrap()).collect();
    net.send("out0", &frames, Plan::default());
    let ended = running.stop().good();
    let seen = &stages::seen(ended.folder())[&0];
    assert_eq!(seen.len(), frames.len());
    for (packet, frame) in seen.iter().zip(&frames) {
        assert!(matches!(frame[12..14], [0x81, 0] | [0x88, 0xa8]), "all of them are tagged");
        assert_eq!(packet["vlan"], u16::from_be_bytes([frame[14], frame[15]]));
        assert_eq!(packet["len"], frame.len() - 4);
        assert_eq!(packet["wire_len"], frame.len() - 4);
    }
}

#[test]
fn a_frame_of_64_kib_is_taken_whole_and_a_snaplen_cuts_it() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let mut frame = [0; 65_535 + 14];
    frame[12..14].copy_from_slice(&[0x12, 0x34]);
    for snaplen in [262_144, 96] {
        let capture = format!("snaplen = {snaplen}\nring_mib = 1");
        let running = net::start(stages::engine(&net), |folder| raw(&capture, folder));
        // No more than the ring holds: the test is not about being in time.
        net.send("out0", &[&frame[..]; 10], Plan::default());
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (10, 0), "{}", ended.stderr);
        for packet in &stages::seen(ended.folder())[&0] {
            assert_eq!(packet["len"], snaplen.min(frame.len()));
            assert_eq!(packet["wire_len"], frame.len());
        }
    }
}

#[test]
fn what_finds_no_place_is_counted_to_the_packet() {
    let Some(net) = Net::with_pairs(1, 2) else { return };
    let file = fs::read(&captures()[2]).unwrap();
    let frames = play::frames(&file).unwrap();
    for workers in [1, 2] {
        let capture = "from = \"af_packet\"\ninterface = \"cap0\"\nring_mib = 1";
        let slow = "[[stage]]\nuse = \"slow\"\nus = 50";
        let running =
            net::start(stages::engine(&net), |folder| config(workers, capture, slow, folder));
        let plan = |seconds| Plan {
            rounds: u64::MAX,
            pps: None,
            limit: Some(Duration::from_secs(seconds)),
        };
        let first = net.send("out0", &frames, plan(1));
        let before = running.memory();
        let second = net.send("out0", &frames, plan(3));
        let grown = running.memory().saturating_sub(before);
        thread::sleep(Duration::from_millis(100));
        let ended = running.stop().good();
        let (received, dropped) = (ended.sum("received"), ended.dropped());
        assert!(dropped > received, "{received} received, {dropped} dropped: was it slow?");
        assert_eq!(received + dropped, first.packets + second.packets, "{workers} workers");
        assert_eq!(ended.shares().iter().sum::<u64>(), received);
        // And so it is told to whoever reads the data.
        let manifest = ringmill::manifest::read(&ended.folder().join("out.jsonl")).unwrap();
        assert_eq!((manifest.capture.from.as_str(), manifest.capture.inputs), ("af_packet", 1));
        let account = &manifest.ledger.as_ref().unwrap().run;
        assert_eq!((account.received, account.lost), (received, dropped), "{manifest}");
        // What connections with gaps may keep is bounded by the options of `http`.
        assert!(grown < 16 << 10, "its memory grew by {grown} KiB");
    }
}

#[test]
fn a_round_robin_gives_all_workers_the_same() {
    let Some(net) = Net::with_pairs(1, 4) else { return };
    let capture = "from = \"af_packet\"\ninterface = \"cap0\"\nbalance = \"round_robin\"";
    let engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
    let running = net::start(engine, |folder| config(3, capture, "", folder));
    let sent = net.send_captures("out0", &captures());
    let ended = running.stop().good();
    let shares = ended.shares();
    assert_eq!(shares.iter().sum::<u64>(), sent);
    assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
}

#[test]
fn a_filter_lets_through_what_it_does_from_files() {
    if !has_libpcap() {
        return;
    }
    let Some(net) = Net::with_pairs(1, 4) else { return };
    // The kernel has taken the outermost tag out when it runs the filter, so that one which says
    // nothing of tags finds tagged packets, too. In files it does not, nor does tcpdump's.
    let cases = [
        ("tcp src port 80 and not vlan", 262_144),
        ("tcp dst port 80 and not vlan", 150),
        ("vlan and tcp", 262_144),
    ];
    for (filter, snaplen) in cases {
        let filter = format!("filter = \"{filter}\"\nsnaplen = {snaplen}");
        let expected = from_files(&captures(), &filter);
        assert!(expected.len() > 5, "{filter}: {} records", expected.len());
        let capture = format!("from = \"af_packet\"\ninterface = \"cap0\"\n{filter}");
        let engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
        let running = net::start(engine, |folder| config(2, &capture, "", folder));
        let sent = net.send_captures("out0", &captures());
        let ended = running.stop().good();
        assert!(ended.sum("received") < sent, "{filter}");
        let found = written(ended.folder());
        let other = found.iter().zip(&expected).find(|(ours, theirs)| ours != theirs);
        assert_eq!((found.len(), other), (expected.len(), None), "{filter}");
    }
}

#[test]
fn what_this_machine_sends_is_taken_only_when_asked_for() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let file = fs::read(&captures()[0]).unwrap();
    let frames = play::frames(&file).unwrap();
    for workers in [1, 2] {
        for (direction, factor) in [("receive", 1), ("both", 2)] {
            let capture =
                format!("from = \"af_packet\"\ninterface = \"cap0\"\ndirection = \"{direction}\"");
            let engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
            let running = net::start(engine, |folder| config(workers, &capture, "", folder));
            let inwards = net.send("out0", &frames, Plan::default()).packets;
            let outwards = net.send("cap0", &frames, Plan::default()).packets;
            assert_eq!(inwards, outwards);
            let ended = running.stop().good();
            assert_eq!(ended.sum("received"), factor * inwards, "{direction}, {workers} workers");
        }
    }
}

#[test]
fn two_interfaces_are_one_capture_in_order() {
    let Some(net) = Net::with_pairs(2, 2) else { return };
    let file = fs::read(&captures()[2]).unwrap();
    let frames = play::frames(&file).unwrap();
    let capture = "from = \"af_packet\"\ninterface = [\"cap0\", \"cap1\"]\nwindow_ms = 200";
    // Of TCP over IPv4 without options: requests come in on one port, responses on the other.
    let is_response = |frame: &[u8]| u16::from_be_bytes([frame[34], frame[35]]) < 10_000;
    for workers in [1, 3] {
        let running = net::start(stages::engine(&net), |folder| {
            config(workers, capture, &witness(folder), folder)
        });
        net.inside(|| {
            for frame in &frames {
                let interface = if is_response(frame) { "out1" } else { "out0" };
                play::play(interface, &[frame], Plan::default()).unwrap();
                // Longer than a hand-over from one processor to another takes.
                thread::sleep(Duration::from_micros(200));
            }
        });
        let ended = running.stop().good();
        assert_eq!(ended.sum("received"), frames.len() as u64);
        let mut workers_of: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (worker, packets) in stages::seen(ended.folder()) {
            let times: Vec<_> = packets.iter().map(|packet| packet["time"].as_i64()).collect();
            assert!(times.is_sorted(), "worker {worker} of {workers}");
            for packet in packets {
                let (from, to) = (packet["from"].to_string(), packet["to"].to_string());
                let flow = (from.clone().min(to.clone()), from.max(to));
                let sides = workers_of.entry(flow).or_default();
                sides.insert((worker, packet["interface"].as_u64().unwrap()));
            }
        }
        for (flow, sides) in &workers_of {
            let workers: BTreeSet<_> = sides.iter().map(|side| side.0).collect();
            assert_eq!((workers.len(), sides.len()), (1, 2), "{flow:?} is on {sides:?}");
        }
        let rows = rows(&ended.folder().join("out.jsonl"));
        assert!(rows.len() > 50, "{} records", rows.len());
        for row in rows {
            let response = row["record"] == "http_response";
            assert_eq!(row["interface"], u64::from(response), "{row:?}");
        }
    }
}
