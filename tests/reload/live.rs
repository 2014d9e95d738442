//! Reloads while packets are captured: none is lost for it that is not counted.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::{
    cpu::median,
    play::{self, Plan},
};

use crate::{
    common::write_config,
    dice::Dice,
    fed::{found, request, with_ledger},
    net::{self, Ended, Net},
    rounds,
    turns::{Turns, both},
};

const CAPTURE: &str = "from = \"af_packet\"\ninterface = \"cap0\"";
/// Requests that are made at a time.
const CHUNK: u32 = 4096;

/// Packets in a second; 0 for as many as the kernel takes.
fn rate() -> Option<u64> {
    let rate = std::env::var("RINGMILL_PPS").map_or(10_000, |rate| rate.parse().unwrap());
    Some(rate).filter(|rate| *rate > 0)
}

/// What became of a capture.
struct Run {
    sent: u64,
    ended: Ended,
    /// Kibibytes after each reload.
    memory: Vec<u64>,
    took: Duration,
}

/// Dropped, it says that it is enough.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Captures while requests are sent, and asks for so many reloads, or waits for as long as they took.
fn capture(net: &Net, reloads: usize, at_least: Duration) -> Run {
    let (mut turns, mut dice) = (Turns::default(), Dice(11));
    let engine = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
    let mut running = net::start(engine, |folder| turns.config(CAPTURE, folder));
    let (enough, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let memory = thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = 0;
            while !enough.load(Relaxed) {
                let frames: Vec<_> = (first..first + CHUNK).map(request).collect();
                let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
                let plan = Plan { pps: rate(), ..Plan::default() };
                let chunk = net.inside(|| play::play("out0", &frames, plan)).unwrap();
                assert_eq!((chunk.packets, chunk.unfit), (u64::from(CHUNK), 0));
                sent.fetch_add(chunk.packets, Relaxed);
                first += CHUNK;
            }
        });
        // Whatever becomes of the engine, nobody sends for ever.
        let _enough = Enough(&enough);
        let mut memory = Vec::new();
        for round in 0..reloads {
            turns.turn(round);
            let text = turns.config(CAPTURE, running.folder());
            write_config(running.folder(), &with_ledger(&text, running.folder()));
            running.signal("HUP");
            running.wait_for(&format!(" reload {} of ", round + 1));
            dice.wait(100);
            // The log has no more than sixty such lines a minute.
            if reloads > 50 {
                thread::sleep(Duration::from_secs(1));
            }
            memory.push(running.memory());
        }
        thread::sleep(at_least.saturating_sub(began.elapsed()));
        memory
    });
    // The last packets are on their way through the kernel.
    thread::sleep(Duration::from_millis(300));
    let (sent, took) = (sent.load(Relaxed), began.elapsed());
    Run { sent, ended: running.stop().good(), memory, took }
}

#[test]
fn every_record_of_a_capture_comes_out_once_whatever_changes() {
    let Some(net) = Net::with_pairs(1, 2) else { return };
    let Run { sent, ended, memory, took } = capture(&net, rounds(), Duration::ZERO);
    let (received, dropped) = (ended.sum("received"), ended.dropped());
    assert_eq!(received + dropped, sent, "{}", ended.stderr);
    assert_eq!(ended.ledger["rows"], received, "each packet is a record");
    let [first, second] = both(ended.folder());
    for (what, files) in [("the sink that goes on", &first), ("those that take turns", &second)] {
        let found = found(files);
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(9).collect();
        assert_eq!((found.len() as u64, doubled), (received, Vec::new()), "{what}");
    }
    let reloads = &ended.ledger["reloads"];
    assert_eq!((&reloads["done"], &reloads["refused"]), (&rounds().into(), &0.into()));
    println!(
        "{} reloads in {:.0} s: {sent} sent = {received} received + {dropped} dropped; pauses up to \
         {} us; every tenth time it held {:?} KiB",
        rounds(),
        took.as_secs_f64(),
        reloads["longest_pause"].as_u64().unwrap() / 1000,
        memory.iter().step_by(rounds().div_ceil(10)).collect::<Vec<_>>(),
    );
    if rounds() < 50 {
        return;
    }
    // What is allocated once is, when each of the configs has been there twice.
    let [before, after] = [24..memory.len() / 2, memory.len() / 2..memory.len()]
        .map(|range| median(memory[range].iter().map(|kib| *kib as f64)));
    assert!(after < before * 1.1 + 8192.0, "{before} -> {after} KiB: {memory:?}");
    if dropped == 0 {
        // No more than without.
        return;
    }
    // The same without reloads, when what these have written has made room.
    drop(ended);
    let without = capture(&net, 0, took);
    let (also_received, also_dropped) = (without.ended.sum("received"), without.ended.dropped());
    println!(
        "without reloads: {} sent = {also_received} received + {also_dropped} dropped",
        without.sent
    );
    let share = |dropped: u64, sent: u64| dropped as f64 / sent as f64;
    let (with, without) = (share(dropped, sent), share(also_dropped, without.sent));
    assert!(with <= without + 0.01, "{with} of all dropped with reloads, {without} without");
}
