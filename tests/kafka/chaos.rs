//! `kill -9` of the broker, of the engine and of both, and a broker that hangs, at any moment:
//! no record is missing that was acknowledged or spilled.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::workload::{Limit, Mix, generate};

use crate::{
    asked,
    broker::Broker,
    cut::{self, Cut},
    dice::Dice,
    scene::Scene,
    spill, topics,
};

/// What happens in a round.
const ROUNDS: [Round; 4] = [
    Round { name: "both are killed", engine_dies: true, broker: Fate::Dies },
    Round { name: "the broker hangs", engine_dies: false, broker: Fate::Hangs },
    Round { name: "the broker is killed", engine_dies: false, broker: Fate::Dies },
    Round { name: "the engine is killed", engine_dies: true, broker: Fate::Lives },
];

struct Round {
    name: &'static str,
    engine_dies: bool,
    broker: Fate,
}

#[derive(PartialEq)]
enum Fate {
    Lives,
    Dies,
    Hangs,
}

#[test]
fn no_acknowledged_or_spilled_record_is_lost() {
    let rounds = asked("RINGMILL_ROUNDS").unwrap_or(2);
    let seed = asked("RINGMILL_SEED").unwrap_or_else(|| std::process::id().into());
    let Some(broker) = Broker::start() else { return };
    println!("RINGMILL_SEED={seed}");
    let mut dice = Dice(seed);
    let mut scene = Scene::new(&broker.address(), "chaos");
    scene.options += "drain_seconds = 3\ntimeout_seconds = 2\nretry_seconds = 1\n";
    let mut kept: BTreeSet<String> = BTreeSet::new();
    let started = Instant::now();
    for number in 0..rounds {
        let round = &ROUNDS[usize::try_from(number % 4).unwrap()];
        // Each with records of its own: the same ones would hide a loss.
        let capture = capture(&scene, seed.wrapping_mul(1000) + number);
        let mut engine = scene.command(&[&capture]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(500));
        dice.wait(2000);
        match round.broker {
            Fate::Lives => {}
            Fate::Dies => broker.kill(),
            Fate::Hangs => broker.pause(),
        }
        dice.wait(1500);
        if round.engine_dies && dice.roll(2) == 0 {
            engine.kill().unwrap();
        }
        match round.broker {
            Fate::Lives => {}
            Fate::Dies => broker.again(),
            Fate::Hangs => {
                dice.wait(4000);
                broker.resume();
            }
        }
        if round.engine_dies {
            dice.wait(500);
            engine.kill().unwrap();
        }
        let done = end(&mut engine);
        let spilled: BTreeSet<String> =
            spill::batches(&scene.spill()).iter().flat_map(spill::ids).collect();
        let come = topics::ids(&topics::read(&broker.address(), "chaos"));
        if done {
            // It ended by itself, with books that balance: then all of its records are kept.
            let lines: BTreeSet<String> = scene.ids().into_iter().collect();
            let missing = lines.iter().filter(|id| !spilled.contains(*id) && !come.contains(*id));
            assert_eq!(missing.count(), 0, "seed {seed}, round {number}: {}", round.name);
            kept.extend(lines);
        }
        println!(
            "round {number}: {}; the engine {}; {} records in the topics, {} spilled",
            round.name,
            if done { "ended by itself" } else { "was killed" },
            come.len(),
            spilled.len()
        );
        kept.extend(come);
        kept.extend(spilled);
        std::fs::remove_file(capture).unwrap();
    }
    let ran = scene.run(&[capture(&scene, seed.wrapping_mul(1000) + rounds)]);
    assert_eq!(ran.books()[1..], [0, 0, 0], "seed {seed}: {ran:?}");
    kept.extend(scene.ids());
    let messages = topics::read(&broker.address(), "chaos");
    let come = topics::ids(&messages);
    let missing = kept.difference(&come).count();
    println!(
        "{rounds} rounds in {:.0} s: {} records kept, {missing} missing, {} came twice",
        started.elapsed().as_secs_f64(),
        kept.len(),
        topics::duplicates(&messages)
    );
    assert_eq!(missing, 0, "seed {seed}: of {} records", kept.len());
    assert!(kept.len() > 5000, "seed {seed}: it tests nothing: {}", kept.len());
}

/// The network between the engine and the broker goes and comes.
#[test]
fn no_record_is_lost_when_the_network_is_cut() {
    let Some(cut) = Cut::new() else { return };
    let Some(broker) = Broker::start_on(&cut.address()) else { return };
    let mut scene = Scene::new(&broker.at(&cut.address()), "cut");
    scene.options += "timeout_seconds = 2\nretry_seconds = 1\n";
    let must = cut::chaos(&cut, &scene, &scene.sink(), |seed| capture(&scene, seed));
    let messages = topics::read(&broker.address(), "cut");
    let come = topics::ids(&messages);
    let missing = must.difference(&come).count();
    println!("{missing} missing, {} came twice", topics::duplicates(&messages));
    assert_eq!((missing, come.len()), (0, must.len()));
}

/// Heads for a second or two of the engine.
fn capture(scene: &Scene, seed: u64) -> PathBuf {
    let path = scene.path(&format!("{seed}.pcap"));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    generate(Mix::Heavy, Limit::Packets(20_000), seed, &mut out).unwrap();
    out.flush().unwrap();
    path
}

/// Whether it ended by itself, and well.
fn end(engine: &mut Child) -> bool {
    engine.wait().unwrap().success()
}
