//! A broker that is away for as many seconds as `RINGMILL_OUTAGE` says, while 20,000 records a
//! second are captured: what the spill takes, how fast it gives it back, and what memory that costs.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::{
    play::{self, Plan},
    workload::{Limit, Mix, Summary, generate},
};

use crate::{
    asked,
    broker::Broker,
    common::{self, engine, plugins, stages},
    cut::Cut,
    net, topics,
};

/// Records in a second, unless `RINGMILL_RATE` says.
const RATE: u64 = 20_000;
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
    let Summary { packets, requests, responses, .. } =
        generate(Mix::Heavy, Limit::Packets(400_000), 1, &mut capture).unwrap();
    // More, for the time between two calls of the sender.
    let pps = rate * packets / (requests + responses) * 11 / 10;
    let program = cut.inside(&engine());
    let mut running = net::start(program, |folder| {
        format!(
            "[engine]\nworkers = 1\nspill = {:?}\n[status]\nlisten = \"127.0.0.1:0\"\n\
             [capture]\nfrom = \"af_packet\"\ninterface = \"cap0\"\n{}\
             [[sink]]\nplugin = {:?}\nuse = \"kafka\"\nbrokers = {:?}\ntopic_prefix = \"outage\"\n\
             spill_mib = 12000\ndrain_seconds = 60\nretry_seconds = 1\n",
            folder.join("spill"),
            stages(folder),
            plugins().join("libkafka.so"),
            broker.at(&cut.address()),
        )
    });
    running.wait_until("status page", |said| common::page(said).is_some());
    let page = common::page(&running.stderr()).unwrap().to_owned();
    let rows = || {
        let metrics = cut.net.inside(|| common::get(&page, "/metrics"));
        let rows = metrics.lines().find_map(|line| line.strip_prefix("ringmill_rows_total "));
        rows.unwrap().parse::<f64>().unwrap()
    };
    let spill = running.folder().join("spill/kafka");
    let over = AtomicBool::new(false);
    let plan = Plan { pps: Some(pps), ..Plan::default() };
    // Also where this test fails.
    let latest = Instant::now() + BEFORE + Duration::from_secs(seconds) + PATIENCE;
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            cut.net.inside(|| {
                let places = play::places(&capture).unwrap();
                let mut packets = 0;
                // A second at a time, from where the last ended, and each time by other hosts.
                for second in places.chunks(usize::try_from(pps).unwrap()).cycle() {
                    if over.load(Relaxed) || Instant::now() > latest {
                        break;
                    }
                    let frames: Vec<&[u8]> = second.iter().map(|at| &capture[at.clone()]).collect();
                    packets += play::play("out0", &frames, plan).unwrap().packets;
                    second.iter().for_each(|at| play::readdress(&mut capture[at.clone()]));
                }
                packets
            })
        });
        thread::sleep(BEFORE);
        broker.kill();
        let (down, before) = (Instant::now(), rows());
        let (mut then, mut had, mut most, mut slowest) = (down, before, 0, f64::INFINITY);
        while down.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(Duration::from_secs(5));
            most = most.max(running.memory());
            let (now, have) = (Instant::now(), rows());
            let speed = (have - had) / now.duration_since(then).as_secs_f64();
            (then, had, slowest) = (now, have, speed.min(slowest));
            if down.elapsed().as_secs() % 60 < 5 {
                println!(
                    "{:.0} s away: {speed:.0} rows/s, {} MiB spilled, {} MiB of memory",
                    down.elapsed().as_secs_f64(),
                    size(&spill) >> 20,
                    running.memory() >> 10
                );
            }
        }
        let (away, full) = (down.elapsed().as_secs_f64(), size(&spill));
        let speed = (had - before) / then.duration_since(down).as_secs_f64();
        println!(
            "{away:.0} s away: {speed:.0} rows/s, in the worst 5 s {slowest:.0}; {:.2} MiB/s spilled",
            full as f64 / away / f64::from(1 << 20)
        );
        broker.again();
        let (back, had) = (Instant::now(), rows());
        // While it drains, as much comes as before; what is read to its end is deleted.
        while size(&spill) > 1 << 20 {
            assert!(back.elapsed() < PATIENCE, "it does not drain: {} bytes", size(&spill));
            thread::sleep(Duration::from_secs(1));
            most = most.max(running.memory());
        }
        let took = back.elapsed().as_secs_f64();
        println!(
            "drained in {took:.0} s, {:.1} times as fast as it fills, while {:.0} rows/s came; \
             {} MiB of memory at most",
            away / took + 1.0,
            (rows() - had) / took,
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
        assert!(speed >= rate as f64, "{speed:.0} rows/s came while it was away, not {rate}");
        assert!(took < away, "it drains more slowly than it fills");
    });
}

/// Bytes of the files in a directory.
fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}
