//! A broker that is away for as many seconds as `RINGMILL_OUTAGE` says, at 20,000 records a second
//! of live capture: what the spill takes, how fast it gives it back, and what memory that costs.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::{
    play::{self, Plan},
    workload::{Limit, Mix, generate},
};

use crate::{
    asked,
    broker::Broker,
    common::{engine, plugins, stages},
    cut::Cut,
    net, topics,
};

/// Packets in a second, half of which are heads, unless `RINGMILL_RATE` says.
const RATE: u64 = 40_000;
/// How long the broker is there at first, and how long the spill may take to be empty again.
const BEFORE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(900);

#[test]
fn an_outage_costs_no_record_and_no_memory() {
    let Some(seconds) = asked("RINGMILL_OUTAGE") else { return };
    let rate = asked("RINGMILL_RATE").unwrap_or(RATE);
    let Some(cut) = Cut::new() else { return };
    let Some(broker) = Broker::start_on(&cut.address()) else { return };
    cut.net.add_pair(0, 1);
    let mut capture = Vec::new();
    generate(Mix::Heavy, Limit::Packets(400_000), 1, &mut capture).unwrap();
    let frames = play::frames(&capture).unwrap();
    let program = cut.inside(&engine());
    let running = net::start(program, |folder| {
        format!(
            "[engine]\nworkers = 1\nspill = {:?}\n\
             [capture]\nfrom = \"af_packet\"\ninterface = \"cap0\"\n{}\
             [[sink]]\nplugin = {:?}\nuse = \"kafka\"\nbrokers = {:?}\ntopic_prefix = \"outage\"\n\
             spill_mib = 12000\ndrain_seconds = 60\nretry_seconds = 1\n",
            folder.join("spill"),
            stages(folder),
            plugins().join("libkafka.so"),
            broker.at(&cut.address()),
        )
    });
    let spill = running.folder().join("spill/kafka");
    let over = AtomicBool::new(false);
    let plan = Plan { rounds: 1, pps: Some(rate), limit: Some(Duration::from_secs(1)) };
    // Also where this test fails.
    let latest = Instant::now() + BEFORE + Duration::from_secs(seconds) + PATIENCE;
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            cut.net.inside(|| {
                let mut packets = 0;
                // A second at a time, from where the last ended.
                let mut frames = frames.chunks(usize::try_from(rate).unwrap()).cycle();
                while !over.load(Relaxed) && Instant::now() < latest {
                    packets += play::play("out0", frames.next().unwrap(), plan).unwrap().packets;
                }
                packets
            })
        });
        thread::sleep(BEFORE);
        broker.kill();
        let (down, mut most) = (Instant::now(), 0);
        while down.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(Duration::from_secs(5));
            most = most.max(running.memory());
            if down.elapsed().as_secs() % 60 < 5 {
                println!(
                    "{:.0} s away: {} MiB spilled, {} MiB of memory",
                    down.elapsed().as_secs_f64(),
                    size(&spill) >> 20,
                    running.memory() >> 10
                );
            }
        }
        let (away, full) = (down.elapsed().as_secs_f64(), size(&spill));
        println!("{away:.0} s away: {:.2} MiB/s spilled", full as f64 / away / f64::from(1 << 20));
        broker.again();
        let back = Instant::now();
        // While it drains, as much comes as before; what is read to its end is deleted.
        while size(&spill) > 1 << 20 {
            assert!(back.elapsed() < PATIENCE, "it does not drain: {} bytes", size(&spill));
            thread::sleep(Duration::from_secs(1));
            most = most.max(running.memory());
        }
        let took = back.elapsed().as_secs_f64();
        println!(
            "drained in {took:.0} s: {:.1} times as fast as it fills; {} MiB of memory at most",
            away / took + 1.0,
            most >> 10
        );
        over.store(true, Relaxed);
        let sent = sent.join().unwrap();
        thread::sleep(Duration::from_secs(5));
        let run = running.stop().good();
        let sink = run.ledger["sinks"].as_array().unwrap().iter().find(|it| it["sink"] == "kafka");
        let sink = sink.unwrap();
        let rows = run.ledger["rows"].as_u64().unwrap();
        println!("{sent} packets sent, {} lost by rings, {rows} rows; {sink}", run.dropped());
        assert_eq!(run.shares().iter().sum::<u64>() + run.dropped(), sent);
        assert_eq!(sink["acknowledged"].as_u64(), Some(rows));
        let there = topics::count(&broker.address(), "outage");
        println!("{there} messages in the topics");
        assert!(there >= rows, "{there} messages of {rows} rows");
        assert_eq!(run.dropped(), 0, "the capture lost packets");
        assert!(took < away, "it drains more slowly than it fills");
    });
}

/// Bytes of the files in a directory.
fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
