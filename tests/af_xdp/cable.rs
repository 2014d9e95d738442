//! Interfaces that go and come back, and an engine that ends in every way.

use std::{thread, time::Duration};

use ringmill_bench::play::{self, Plan};

use crate::{
    CAPTURE, Mode, add_pair, config, engine, has_program, methods,
    net::{self, count},
    pair, send,
};

#[test]
fn an_interface_that_was_down_gives_packets_again() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(2, mode) else { return };
        let mut running = net::start(engine(&net), |folder| config(2, CAPTURE, "", folder));
        let mut sent = send(&net, "out0", &frames, Plan::default()).packets;
        for time in 1..=2 {
            net.must("ip link set cap0 down");
            running.wait_until("is down", |stderr| count(stderr, "cap0 is down") == time);
            net.must("ip link set cap0 up");
            running.wait_until("is back", |stderr| count(stderr, "cap0 is back") == time);
            sent += send(&net, "out0", &frames, Plan::default()).packets;
        }
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{mode:?}");
        assert_eq!(ended.ledger["interfaces"][0]["interruptions"], 2);
    }
}

#[test]
fn an_interface_that_is_down_at_first_gives_packets_when_it_is_up() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(2, mode) else { return };
        net.must("ip link set cap0 down");
        let mut running = net::start(engine(&net), |folder| config(2, CAPTURE, "", folder));
        net.must("ip link set cap0 up");
        running.wait_for("cap0 is back");
        let sent = send(&net, "out0", &frames, Plan::default()).packets;
        let ended = running.stop().good();
        assert_eq!((ended.sum("received"), ended.dropped()), (sent, 0), "{mode:?}");
    }
}

#[test]
fn an_interface_that_was_deleted_and_made_again_gives_packets_again() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(2, mode) else { return };
        let mut running = net::start(engine(&net), |folder| config(2, CAPTURE, "", folder));
        let mut sent = send(&net, "out0", &frames, Plan::default()).packets;
        for time in 1..=2 {
            net.must("ip link delete cap0");
            running.wait_until("is gone", |stderr| count(stderr, "cap0 is gone") == time);
            add_pair(&net, 2, mode);
            running.wait_until("is back", |stderr| count(stderr, "cap0 is back") == time);
            running.wait_until("XDP in", |stderr| count(stderr, "XDP in") == time + 1);
            // The worker that notices last opens its ring within a second.
            thread::sleep(Duration::from_millis(2500));
            sent += send(&net, "out0", &frames, Plan::default()).packets;
        }
        let ended = running.stop().good();
        let counted = (ended.sum("received"), ended.dropped());
        assert_eq!(counted, (sent, 0), "{mode:?}: {}", ended.stderr);
        assert_eq!(ended.ledger["interfaces"][0]["interruptions"], 2);
        assert_eq!(ended.ledger["rings"].as_array().unwrap().len(), 3 * 2);
    }
}

#[test]
fn nothing_is_left_behind_however_it_ends() {
    let file = methods();
    let frames = play::frames(&file).unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(2, mode) else { return };
        for (signal, code) in [("TERM", Some(0)), ("KILL", None), ("INT", Some(0)), ("KILL", None)]
        {
            // That it starts at once after the one that was killed is a part of the test.
            let running = net::start(engine(&net), |folder| config(2, CAPTURE, "", folder));
            assert!(has_program(&net, "cap0"));
            assert_eq!(net.promiscuity("cap0"), 1);
            let sent = send(&net, "out0", &frames, Plan::default()).packets;
            running.signal(signal);
            let ended = running.end();
            assert_eq!(ended.code, code, "{}", ended.stderr);
            if code.is_some() {
                assert_eq!(ended.good().sum("received"), sent);
            }
            assert!(!has_program(&net, "cap0"), "after {signal}");
            assert_eq!(net.promiscuity("cap0"), 0, "after {signal}");
        }
    }
}
