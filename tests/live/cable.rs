//! Interfaces that go and come back, and an engine that ends in every way.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use ringmill_bench::play::{self, Plan};

use crate::{
    af_packet::{flows, witness},
    common::root,
    net::{self, Net, count},
    records::config,
    stages,
};

fn capture_file() -> Vec<u8> {
    fs::read(root().join("tests/captures/curl-methods-nginx-apache.pcap")).unwrap()
}

fn engine(net: &Net) -> Command {
    net.command(Path::new(env!("CARGO_BIN_EXE_engine")))
}

const CAPTURE: &str = "from = \"af_packet\"\ninterface = \"cap0\"";

#[test]
fn an_interface_that_was_down_gives_packets_again() {
    let Some(net) = Net::with_pairs(1, 2) else { return };
    let (file, once) = (capture_file(), Plan::default());
    let frames = play::frames(&file).unwrap();
    for workers in [1, 3] {
        let mut running = net::start(engine(&net), |folder| config(workers, CAPTURE, "", folder));
        let mut sent = net.send("out0", &frames, once).packets;
        for time in 1..=2 {
            net.must("ip link set cap0 down");
            running.wait_until("is down", |stderr| count(stderr, "cap0 is down") == time);
            net.must("ip link set cap0 up");
            running.wait_until("is back", |stderr| count(stderr, "cap0 is back") == time);
            sent += net.send("out0", &frames, once).packets;
        }
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{workers} workers");
        assert_eq!(ended.ledger["interfaces"][0]["interruptions"], 2);
        assert!(ended.shares().iter().all(|share| *share > 0), "{:?}", ended.shares());
    }
}

#[test]
fn an_interface_that_was_deleted_and_made_again_gives_packets_again() {
    let Some(net) = Net::with_pairs(1, 2) else { return };
    let (file, once) = (capture_file(), Plan::default());
    let frames = play::frames(&file).unwrap();
    for (workers, more) in [(1, "block_timeout_ms = 1000"), (3, ""), (3, "cluster = 7")] {
        let capture = format!("{CAPTURE}\n{more}");
        let mut running = net::start(engine(&net), |folder| config(workers, &capture, "", folder));
        let mut sent = net.send("out0", &frames, once).packets;
        for time in 1..=2 {
            // What is in a block that is not full when the interface goes is not lost.
            net.must("ip link delete cap0");
            running.wait_until("is gone", |stderr| count(stderr, "cap0 is gone") == time);
            net.add_pair(0, 2);
            running.wait_until("is back", |stderr| count(stderr, "cap0 is back") == time);
            let start = std::time::Instant::now();
            while net.promiscuity("cap0") as usize != workers {
                assert!(start.elapsed() < Duration::from_secs(10), "{}", running.stderr());
                thread::sleep(Duration::from_millis(20));
            }
            // All rings are there; the last of them to notice opens within a second.
            thread::sleep(Duration::from_millis(1500));
            sent += net.send("out0", &frames, once).packets;
        }
        let ended = running.stop().good();
        let (received, lost) = (ended.sum("received"), ended.dropped());
        assert_eq!((received, lost), (sent, 0), "{workers} workers, {more}: {}", ended.stderr);
        assert_eq!(ended.ledger["interfaces"][0]["interruptions"], 2);
        assert_eq!(ended.ledger["rings"].as_array().unwrap().len(), 3 * workers);
    }
}

#[test]
fn two_interfaces_stay_one_capture_when_one_of_them_was_away() {
    let Some(net) = Net::with_pairs(2, 2) else { return };
    let file = capture_file();
    let frames = play::frames(&file).unwrap();
    // Of TCP over IPv4 without options: what servers send comes in on the second port.
    let from_server = |frame: &&&[u8]| u16::from_be_bytes([frame[34], frame[35]]) < 10_000;
    let (servers, clients): (Vec<&[u8]>, Vec<&[u8]>) = frames.iter().partition(from_server);
    let capture = "from = \"af_packet\"\ninterface = [\"cap0\", \"cap1\"]";
    let mut running =
        net::start(stages::engine(&net), |folder| config(4, capture, &witness(folder), folder));
    let mut sent = 0;
    for round in 0..3 {
        match round {
            0 => {}
            1 => {
                net.must("ip link set cap1 down");
                running.wait_for("cap1 is down");
                net.must("ip link set cap1 up");
                running.wait_for("cap1 is back");
            }
            _ => {
                net.must("ip link delete cap0");
                running.wait_for("cap0 is gone");
                net.add_pair(0, 2);
                running.wait_for("cap0 is back");
                thread::sleep(Duration::from_secs(4));
            }
        }
        sent += net.send("out0", &clients, Plan::default()).packets;
        sent += net.send("out1", &servers, Plan::default()).packets;
    }
    let ended = running.stop().good();
    assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{}", ended.stderr);
    for (flow, (workers, sources)) in flows(ended.folder()) {
        assert_eq!((workers.len(), sources.len()), (1, 2), "{flow:?}");
    }
}

#[test]
fn nothing_is_left_behind_however_it_ends() {
    let Some(net) = Net::with_pairs(1, 2) else { return };
    let file = capture_file();
    let frames = play::frames(&file).unwrap();
    let capture = format!("{CAPTURE}\ncluster = 42");
    for (signal, code) in [("TERM", Some(0)), ("INT", Some(0)), ("KILL", None)] {
        let running = net::start(engine(&net), |folder| config(2, &capture, "", folder));
        assert_eq!(net.promiscuity("cap0"), 2);
        let sent = net.send("out0", &frames, Plan::default()).packets;
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        if code.is_some() {
            assert_eq!(ended.good().sum("received"), sent);
        }
        assert_eq!(net.promiscuity("cap0"), 0, "after {signal}");
        assert_eq!(net.must("cat /proc/net/packet").lines().count(), 1, "after {signal}");
    }
}
