//! One run each, with a store of some temper.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::scene::Scene;

const SPILL: &str = "when_full = \"spill\"";

fn all(rows: u64) -> Vec<u64> {
    (0..rows).collect()
}

#[test]
fn a_good_store_gets_all_in_order_and_nothing_is_spilled() {
    for (name, options) in [("store", ""), ("archive", SPILL), ("archive", "")] {
        let scene = Scene::new(500);
        let ran = scene.run(&[(name, options)]);
        assert_eq!((ran.code, ran.books(name)), (Some(0), [500, 0, 0, 0]), "{ran:#?}");
        assert_eq!(scene.stored(name), all(500), "{name} {options}");
        assert_eq!(ran.sink(name, "through_spill") + ran.sink(name, "retries"), 0, "{ran:#?}");
    }
}

/// A few failures cost time and nothing else, whether the sink knows that they are temporary or
/// not; only a file that fails in an unknown way is given up.
#[test]
fn what_fails_at_first_is_tried_again() {
    let rows: &[(&str, String, bool)] = &[
        ("store", "fails = 2".into(), false),
        ("store", "fails = 5".into(), true),
        ("store", "fails = 5\nplainly = true".into(), true),
        ("archive", format!("fails = 5\n{SPILL}"), true),
        ("archive", format!("fails = 5\nplainly = true\n{SPILL}"), true),
        ("archive", "fails = 5".into(), true),
        ("store", "fails = 5\nwhen_full = \"block\"".into(), true),
    ];
    for (name, options, opens) in rows {
        let scene = Scene::new(300);
        let ran = scene.run(&[(name, options)]);
        assert_eq!((ran.code, ran.books(name)), (Some(0), [300, 0, 0, 0]), "{options}: {ran:#?}");
        assert_eq!(scene.stored(name), all(300), "{options}");
        assert_eq!(ran.sink(name, "retries"), if *opens { 5 } else { 2 }, "{options}: {ran:#?}");
        assert_eq!(ran.sink(name, "circuit_opened"), u64::from(*opens), "{options}: {ran:#?}");
        if *opens {
            ran.says(&["takes no records: the", "answers again after"]);
        }
    }
    let scene = Scene::new(300);
    let ran = scene.run(&[("archive", "fails = 1\nplainly = true")]);
    assert_eq!((ran.code, ran.sink("archive", "acknowledged")), (Some(1), 0), "{ran:#?}");
    ran.says(&["error: sink `archive`: the disk turns slowly"]);
}

/// The rows of a store that is away stay spilled, come first at the next start, in order, and
/// are then gone from the disk.
#[test]
fn a_store_that_is_away_gets_its_rows_at_the_next_start() {
    let mut scene = Scene::new(400);
    scene.mood("down");
    let ran = scene.run(&[("store", "")]);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [0, 400, 0, 0]), "{ran:#?}");
    ran.says(&["takes no records: the store is away", "400 rows stay spilled for the next run"]);
    assert_eq!(scene.spilled("store"), all(400));
    scene.mood("up");
    scene.stage = "first = 400".to_owned();
    let ran = scene.run(&[("store", "")]);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [800, 0, 0, 0]), "{ran:#?}");
    assert_eq!(ran.sink("store", "recovered"), 400);
    ran.says(&["400 spilled rows wait in", "400 rows + 400 recovered = 800 acknowledged"]);
    assert_eq!(scene.stored("store"), all(800));
    assert!(scene.spilled("store").is_empty());
}

#[test]
fn a_store_that_comes_back_gets_all_in_order() {
    let mut scene = Scene::new(3000);
    scene.stage = "pause = 5".to_owned();
    scene.mood("down");
    let child = scene.command(&[("store", "queue = 4")]).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(900));
    assert!(!scene.spilled("store").is_empty());
    scene.mood("up");
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let ran = scene.ended(output.status.code(), err, Duration::ZERO);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [3000, 0, 0, 0]), "{ran:#?}");
    assert!(ran.sink("store", "through_spill") > 100, "{ran:#?}");
    ran.says(&["answers again after", "rows are replayed"]);
    assert_eq!(scene.stored("store"), all(3000));
}

/// Records go to disk when they come faster than the store takes them.
#[test]
fn a_slow_store_delays_nobody() {
    let scene = Scene::new(3000);
    scene.mood("slow");
    let ran = scene.run(&[("store", "queue = 4")]);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [3000, 0, 0, 0]), "{ran:#?}");
    assert!(ran.sink("store", "through_spill") > 2000, "{ran:#?}");
    assert_eq!(scene.stored("store"), all(3000));
}

/// One that never comes back from a call: its rows are spilled, its neighbour gets all at once,
/// and the run ends without it.
#[test]
fn a_hanging_store_stops_neither_its_neighbour_nor_the_run() {
    let scene = Scene::new(2000);
    scene.mood("hang");
    let good = scene.path("good.mood");
    fs::write(&good, "up").unwrap();
    let neighbour = scene.path("neighbour");
    let mut command = scene.command(&[("store", "")]);
    let config = scene.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let plugin = crate::common::plugins().join("libstore.so");
    fs::write(
        &config,
        format!(
            "{text}[[sink]]\nplugin = {plugin:?}\nuse = \"store\"\npath = {neighbour:?}\nmood = {good:?}\n"
        ),
    )
    .unwrap();
    let started = Instant::now();
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    while scene.stored("neighbour").len() < 2000 {
        assert!(started.elapsed() < Duration::from_secs(8), "{}", scene.stored("neighbour").len());
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let ran = scene.ended(output.status.code(), err, started.elapsed());
    assert_eq!((ran.code, ran.books("store")), (Some(0), [0, 2000, 0, 0]), "{ran:#?}");
    assert_eq!(ran.books("store_2"), [2000, 0, 0, 0], "{ran:#?}");
    assert!(ran.took < Duration::from_secs(15), "{ran:#?}");
    assert_eq!(scene.spilled("store"), all(2000));
}

/// Records that are refused are put aside with the reason, whether the store says so at once or
/// when it is flushed; all others arrive, those of the same batch too.
#[test]
fn what_is_refused_becomes_a_dead_letter() {
    for options in ["", "at_flush = true", "by_row = true"] {
        let scene = Scene::new(200);
        let ran = scene.run(&[("store", &format!("refuses = 50\n{options}"))]);
        assert_eq!((ran.code, ran.books("store")), (Some(0), [196, 0, 0, 4]), "{ran:#?}");
        assert_eq!(ran.sink("store", "dead_lettered.refused"), 4, "{ran:#?}");
        ran.says(&["0 is not wanted", "4 dead-lettered: refused 4"]);
        let kept: Vec<_> = (0..200).filter(|n| n % 50 != 0).collect();
        assert_eq!(scene.stored("store"), kept, "{options}");
        let dead = [0, 50, 100, 150].map(|n| (format!("{n} is not wanted"), vec![n]));
        assert_eq!(scene.dead("store"), BTreeMap::from(dead), "{options}");
    }
}

/// A store that refuses everything is not asked about every record.
#[test]
fn a_store_that_refuses_all_is_soon_believed() {
    let mut scene = Scene::new(5000);
    scene.stage = "rows = 1000".to_owned();
    let ran = scene.run(&[("store", "refuses = 1")]);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [0, 0, 0, 5000]), "{ran:#?}");
    let dead = scene.dead("store");
    assert!(dead.len() < 60, "{} reasons", dead.len());
    let mut numbers: Vec<_> = dead.into_values().flatten().collect();
    numbers.sort();
    assert_eq!(numbers, all(5000));
}

#[test]
fn without_a_place_for_them_dead_letters_are_dropped_and_counted() {
    for (name, options) in [("store", "when_full = \"drop\"\nqueue = 1000"), ("archive", "")] {
        let mut scene = Scene::new(200);
        scene.engine = String::new();
        let ran = scene.run(&[(name, &format!("refuses = 50\n{options}"))]);
        assert_eq!(ran.books(name), [196, 0, 4, 0], "{ran:#?}");
        assert_eq!(ran.sink(name, "dropped.refused"), 4, "{ran:#?}");
        ran.says(&["[engine] names no `spill` directory to keep them"]);
    }
}

/// A batch over which the sink panics each time is put aside; a new instance takes the rest.
#[test]
fn a_panic_costs_one_batch() {
    for (name, options) in [("store", ""), ("archive", SPILL)] {
        let scene = Scene::new(200);
        let ran = scene.run(&[(name, &format!("panics = 55\n{options}"))]);
        assert_eq!((ran.code, ran.books(name)), (Some(0), [190, 0, 0, 10]), "{ran:#?}");
        assert_eq!(ran.sink(name, "dead_lettered.panicked"), 10, "{ran:#?}");
        let dead = scene.dead(name);
        assert!(
            dead.keys().all(|why| why.starts_with("panicked in records(): poison")),
            "{dead:?}"
        );
        assert_eq!(dead.values().next(), Some(&(50..60).collect()));
        // What was not acknowledged when it panicked comes again.
        let mut stored = scene.stored(name);
        stored.dedup();
        assert_eq!(stored, (0..50).chain(60..200).collect::<Vec<_>>());
    }
}
