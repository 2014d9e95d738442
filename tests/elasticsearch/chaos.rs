//! The store is killed, the engine is killed, the store hangs, a proxy says no: what was
//! acknowledged or spilled is there in the end, and nothing is there twice.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Stdio},
    time::Instant,
};

use crate::{
    asked,
    common::own_captures,
    cut::{self, Cut},
    dice::Dice,
    node::Node,
    proxy::{Mood, Proxy},
    scene::Scene,
    store::Store,
};

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    KillStore,
    KillEngine,
    KillBoth,
    HangStore,
    TooMuch,
    Unavailable,
    HalfTaken,
}

const BLOWS: [Blow; 7] = [
    Blow::KillBoth,
    Blow::HangStore,
    Blow::KillStore,
    Blow::KillEngine,
    Blow::TooMuch,
    Blow::HalfTaken,
    Blow::Unavailable,
];

#[test]
fn nothing_is_lost_and_nothing_is_there_twice() {
    let Some(node) = Node::start() else { return };
    let proxy = Proxy::start(&node.address(), None);
    let mut scene = Scene::new(&format!("http://{}", proxy.address), "chaos");
    let seed = asked("RINGMILL_SEED").unwrap_or_else(|| std::process::id().into());
    println!("RINGMILL_SEED={seed}");
    let mut dice = Dice(seed);
    let rounds = asked("RINGMILL_ROUNDS").unwrap_or(2);
    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    let (mut killed, mut spilled_rounds) = (0, 0);
    let started = Instant::now();
    for round in 0..rounds {
        let blow = BLOWS[usize::try_from(round).unwrap() % BLOWS.len()];
        let capture = scene.capture(16_000, seed.wrapping_add(round));
        may.extend(scene.expected(std::slice::from_ref(&capture)));
        scene.options =
            "drain_seconds = 2\nbulk_rows = 300\nqueue = 2\ngzip = false\ntimeout_seconds = 2"
                .into();
        let mut command = scene.command(&[capture]);
        let log = fs::File::create(scene.path("log")).unwrap();
        let mut engine = command.stderr(log).stdin(Stdio::null()).spawn().unwrap();
        dice.wait(2000);
        strike(blow, &node, &proxy, &mut engine, &mut dice);
        let ended = engine.wait().unwrap();
        if ended.code().is_none() {
            killed += 1;
            must.extend(scene.spilled());
        } else {
            let err = fs::read_to_string(scene.path("log")).unwrap();
            assert_eq!(ended.code(), Some(0), "seed {seed}, round {round}, {blow:?}: {err}");
            let ran = scene.ended(err);
            assert_eq!(ran.books()[2..], [0, 0], "seed {seed}, round {round}, {blow:?}: {ran:#?}");
            must.extend(scene.ids());
        }
        spilled_rounds += usize::from(!scene.spilled().is_empty());
        if matches!(blow, Blow::KillStore | Blow::KillBoth) {
            node.again();
        }
        println!("round {round}: {blow:?}, {} spilled", scene.spilled().len());
    }
    scene.options = "drain_seconds = 60".to_owned();
    let ran = scene.run(&own_captures());
    assert_eq!(ran.books()[1..], [0, 0, 0], "seed {seed}: {ran:#?}");
    must.extend(scene.ids());
    may.extend(scene.ids());
    let found = Store::new(&node.url()).ids("chaos-*");
    let missing: Vec<_> = must.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(missing.is_empty(), "seed {seed}: {} of {} are missing", missing.len(), must.len());
    let foreign = found.keys().filter(|id| !may.contains(*id)).count();
    let twice = found.values().filter(|count| **count > 1).count();
    assert_eq!((foreign, twice), (0, 0), "seed {seed}");
    println!(
        "{rounds} rounds, {} rows asked for, {} there, {killed} engines killed, {spilled_rounds} rounds \
         left a spill, {:.0} s",
        must.len(),
        found.len(),
        started.elapsed().as_secs_f64()
    );
}

/// The network between the engine and the store goes and comes.
#[test]
fn nothing_is_lost_when_the_network_is_cut() {
    let Some(cut) = Cut::new() else { return };
    let Some(node) = Node::start() else { return };
    let proxy = Proxy::start_on("0.0.0.0", &node.address(), None);
    let mut scene = Scene::new(&format!("http://{}", proxy.at(&cut.address())), "cut");
    scene.options = "bulk_rows = 300\nqueue = 2\ntimeout_seconds = 2\n".to_owned();
    let must = cut::chaos(&cut, &scene, &scene.sink(), |seed| scene.capture(16_000, seed));
    let found = Store::new(&node.url()).ids("cut-*");
    let missing = must.iter().filter(|id| !found.contains_key(*id)).count();
    assert_eq!((missing, found.len()), (0, must.len()));
}

fn strike(blow: Blow, node: &Node, proxy: &Proxy, engine: &mut Child, dice: &mut Dice) {
    match blow {
        Blow::KillStore => node.kill(),
        Blow::KillEngine => engine.kill().unwrap(),
        Blow::KillBoth => {
            node.kill();
            dice.wait(300);
            engine.kill().unwrap();
        }
        Blow::HangStore => {
            node.pause();
            dice.wait(6000);
            node.resume();
        }
        Blow::TooMuch | Blow::Unavailable | Blow::HalfTaken => {
            proxy.mood(match blow {
                Blow::TooMuch => Mood::Status(429),
                Blow::Unavailable => Mood::Status(503),
                _ => Mood::Half,
            });
            dice.wait(4000);
            proxy.mood(Mood::Forward);
        }
    }
}
