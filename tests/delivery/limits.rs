//! Full spill logs, full disks, other configs and foreign directories.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{asked, engine, skipped},
    dice::Dice,
    scene::Scene,
};

/// 3 MB of rows for a spill of one.
#[test]
fn a_full_spill_drops_the_oldest_or_the_newest() {
    for (policy, oldest) in [("drop_oldest", true), ("drop_newest", false)] {
        let mut scene = Scene::new(3000);
        scene.stage = "noise = 1000".to_owned();
        scene.mood("down");
        let ran = scene.run(&[("store", &format!("spill_mib = 1\nspill_full = \"{policy}\""))]);
        let [acknowledged, spilled, dropped, dead] = ran.books("store");
        assert_eq!((acknowledged, spilled + dropped, dead), (0, 3000, 0), "{ran:#?}");
        assert_eq!(ran.sink("store", "dropped.spill_full"), dropped, "{ran:#?}");
        assert!((800..1100).contains(&spilled), "{ran:#?}");
        ran.says(&["is full; rows are dropped"]);
        let left = scene.spilled("store");
        let expected: Vec<u64> =
            if oldest { (3000 - spilled..3000).collect() } else { (0..spilled).collect() };
        assert_eq!(left, expected, "{policy}");
    }
}

/// As long as a store gets on, a capture file rather waits for it than lose a row.
#[test]
fn a_replay_waits_when_the_spill_of_a_slow_store_is_full() {
    let mut scene = Scene::new(3000);
    scene.stage = "noise = 1000".to_owned();
    scene.mood("slow");
    let ran = scene.run(&[("store", "spill_mib = 1\nqueue = 4")]);
    assert_eq!((ran.code, ran.books("store")), (Some(0), [3000, 0, 0, 0]), "{ran:#?}");
    assert!(ran.sink("store", "through_spill") > 500, "{ran:#?}");
    assert_eq!(scene.stored("store"), (0..3000).collect::<Vec<_>>());
}

/// A small disk, as long as it is used.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// None, and a line that says so, without the right to mount one.
    fn mount(at: &'a Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        skipped("no right to mount a small disk");
        None
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// A disk without room is no reason to stop: what fits is spilled, the rest is dropped and
/// counted, and what was spilled is delivered.
#[test]
fn a_full_disk_is_survived() {
    let mut scene = Scene::new(3000);
    let spill = scene.path("spill");
    let Some(_disk) = Disk::mount(&spill) else { return };
    for (policy, oldest) in [("drop_newest", false), ("drop_oldest", true)] {
        scene.stage = "noise = 1000".to_owned();
        scene.mood("down");
        let ran = scene.run(&[("store", &format!("spill_mib = 8\nspill_full = \"{policy}\""))]);
        let [acknowledged, spilled, dropped, _] = ran.books("store");
        assert_eq!((acknowledged, spilled + dropped), (0, 3000), "{ran:#?}");
        assert!((500..1100).contains(&spilled), "{ran:#?}");
        if !oldest {
            ran.says(&["cannot spill to"]);
        }
        let left = scene.spilled("store");
        assert!(left.len() as u64 == spilled && left.is_sorted(), "{ran:#?}");
        scene.mood("up");
        scene.stage = "first = 5000".to_owned();
        let _ = fs::remove_file(scene.path("store"));
        let ran = scene.run(&[("store", "")]);
        assert_eq!(ran.books("store"), [spilled + 3000, 0, 0, 0], "{ran:#?}");
        assert_eq!(scene.stored("store"), [left, (5000..8000).collect()].concat());
    }
}

/// The same at any moment, `RINGMILL_ROUNDS` times: the disk fills and is freed again while a store
/// comes and goes. A row is in the store, in the spill, or counted as dropped; one that was
/// spilled stays until it is in the store.
#[test]
fn a_disk_that_fills_at_any_moment_costs_what_is_counted() {
    const ROWS: u64 = 2000;
    let rounds = asked("RINGMILL_ROUNDS").unwrap_or(2);
    let seed = asked("RINGMILL_SEED").unwrap_or_else(|| std::process::id().into());
    println!("RINGMILL_SEED={seed}");
    let mut dice = Dice(seed);
    let mut scene = Scene::new(u32::try_from(ROWS).unwrap());
    let spill = scene.path("spill");
    let Some(_disk) = Disk::mount(&spill) else { return };
    let options = [("store", "spill_mib = 8\nspill_full = \"drop_newest\"")];
    let (mut kept, mut dropped, mut full) = (BTreeSet::new(), 0, 0);
    for round in 0..rounds {
        let first = round * ROWS;
        scene.stage = format!("first = {first}\npause = 1\nnoise = {}", 500 + dice.roll(1000));
        scene.mood(["down", "up"][usize::try_from(dice.roll(2)).unwrap()]);
        let over = AtomicBool::new(false);
        let ran = thread::scope(|scope| {
            scope.spawn(|| {
                let ballast = spill.join("ballast");
                while !over.load(Ordering::Relaxed) {
                    dice.wait(60);
                    let bytes = vec![0; usize::try_from((1 << 19) + dice.roll(1 << 20)).unwrap()];
                    // As much of it as there is room for.
                    let _ = fs::write(&ballast, bytes);
                    scene.mood(["up", "down", "down"][usize::try_from(dice.roll(3)).unwrap()]);
                    dice.wait(400);
                    let _ = fs::remove_file(&ballast);
                }
            });
            let ran = scene.run(&options);
            over.store(true, Ordering::Relaxed);
            ran
        });
        let now = [scene.stored("store"), scene.spilled("store")].concat();
        let now: BTreeSet<u64> = now.into_iter().collect();
        let lost: Vec<_> = kept.difference(&now).collect();
        assert!(lost.is_empty(), "seed {seed}, round {round}: {lost:?} {ran:#?}");
        let came = now.range(first..first + ROWS).count() as u64;
        let [.., here, dead] = ran.books("store");
        assert_eq!((came + here, dead), (ROWS, 0), "seed {seed}, round {round}: {ran:#?}");
        (kept, dropped) = (now, dropped + here);
        full += u64::from(here > 0);
    }
    println!("{rounds} rounds: {} rows kept, {dropped} dropped in {full} of them", kept.len());
    scene.mood("up");
    scene.stage = format!("first = {}", rounds * ROWS);
    let ran = scene.run(&options);
    assert_eq!(ran.books("store")[1..], [0, 0, 0], "seed {seed}: {ran:#?}");
    let stored: BTreeSet<u64> = scene.stored("store").into_iter().collect();
    let missing: Vec<_> = kept.difference(&stored).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    assert!(full > 0 || rounds < 10, "seed {seed}: it tests nothing");
}

/// Rows of a sink that the config does not have any more are told of and kept; those of one
/// that came back are delivered, whatever the chain is now.
#[test]
fn rows_of_a_sink_that_is_gone_are_kept() {
    let mut scene = Scene::new(100);
    scene.mood("down");
    scene.run(&[("store", "")]);
    scene.mood("up");
    for sink in [("archive", ""), ("store", "when_full = \"block\"")] {
        let ran = scene.run(&[sink]);
        ran.says(&["100 rows in `", "no sink `store` of this config spills"]);
        assert_eq!(scene.spilled("store").len(), 100);
    }
    // Another chain: it makes another schema, too.
    scene.top = "allow_identifiable = true";
    scene.stage = "address = true\nfirst = 100".to_owned();
    let _ = fs::remove_file(scene.path("store"));
    let ran = scene.run(&[("store", "")]);
    assert_eq!(ran.books("store"), [200, 0, 0, 0], "{ran:#?}");
    assert_eq!(scene.stored("store"), (0..200).collect::<Vec<_>>());
}

/// What was spilled while addresses were allowed out does not get out when they no longer are.
#[test]
fn the_gate_is_there_for_spilled_rows_too() {
    let mut scene = Scene::new(100);
    scene.top = "allow_identifiable = true";
    scene.stage = "address = true".to_owned();
    scene.mood("down");
    scene.run(&[("store", "")]);
    scene.mood("up");
    (scene.top, scene.stage) = ("", "first = 100".to_owned());
    let ran = scene.run(&[("store", "")]);
    assert_eq!(ran.books("store"), [100, 0, 0, 100], "{ran:#?}");
    assert_eq!(ran.sink("store", "dead_lettered.identifiable"), 100, "{ran:#?}");
    assert_eq!(scene.stored("store"), (100..200).collect::<Vec<_>>());
    ran.says(&["column `who` is as it was on the wire"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_told_before_the_run() {
    let mut scene = Scene::new(10);
    fs::write(scene.path("spill"), "a file").unwrap();
    let output = scene.command(&[("store", "")]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("sink `store`: cannot spill to"), "{err}");
    scene.engine = String::new();
    scene.command(&[("store", "")]);
    let mut check = engine();
    let output = check.args(["check", "--config"]).arg(scene.path("config.toml")).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("this sink sends to a store; name a directory"), "{err}");
}

#[test]
fn two_engines_do_not_share_a_spill_log() {
    let scene = Scene::new(10);
    scene.mood("hang");
    let mut child = scene.command(&[("store", "")]).stderr(Stdio::null()).spawn().unwrap();
    let lock = scene.path("spill").join("store").join("lock");
    while !lock.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    let output = scene.command(&[("store", "")]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("another engine spills to"), "{err}");
}

/// With "block" the capture waits for the store, but a signal still ends the run.
#[test]
fn a_signal_ends_a_run_that_waits_for_its_store() {
    let scene = Scene::new(3000);
    scene.mood("down");
    let mut command = scene.command(&[("store", "when_full = \"block\"\nqueue = 4")]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(700));
    let started = Instant::now();
    crate::common::signal(child.id(), "TERM");
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let ran = scene.ended(output.status.code(), err, started.elapsed());
    assert!(ran.took < Duration::from_secs(10), "{ran:#?}");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.sink("store", "dropped.store_down") > 0, "{ran:#?}");
    ran.says(&["the ledger balances", "it did not take its last records: the store is away"]);
}
