//! `kill -9` at any moment: no row is missing that was acknowledged or spilled.

use std::{collections::BTreeSet, fs::OpenOptions, io::Write as _, process::Stdio, time::Instant};

use crate::{common::asked, dice::Dice, scene::Scene, spill::files};

#[test]
fn no_acknowledged_or_spilled_row_is_lost() {
    let seed = asked("RINGMILL_SEED").unwrap_or_else(|| std::process::id().into());
    println!("RINGMILL_SEED={seed}");
    let mut dice = Dice(seed);
    let mut scene = Scene::new(2000);
    // Room for all rows of all rounds, in segments of half a MiB.
    let options = "queue = 4\nspill_mib = 4";
    let mut kept: BTreeSet<u64> = BTreeSet::new();
    let (mut spilled_rounds, mut torn_rounds) = (0, 0);
    let started = Instant::now();
    for round in 0..20 {
        scene.stage = format!("first = {}\npause = 2\nnoise = 50", round * 2000);
        let moods = ["up", "down", "slow", "hang", "fail"];
        scene.mood(moods[usize::try_from(dice.roll(5)).unwrap()]);
        let mut child = scene.command(&[("store", options)]).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..dice.roll(4) {
            dice.wait(250);
            scene.mood(moods[usize::try_from(dice.roll(5)).unwrap()]);
        }
        dice.wait(300);
        child.kill().unwrap();
        child.wait().unwrap();
        kept.extend(scene.stored("store"));
        let spilled = scene.spilled("store");
        spilled_rounds += usize::from(!spilled.is_empty());
        kept.extend(spilled);
        // A power cut may leave more than a kill does: some of the next frame.
        if let Some(last) = files(&scene.path("spill").join("store"), "spill").pop()
            && dice.roll(2) == 0
        {
            torn_rounds += 1;
            let torn = vec![
                u8::try_from(dice.roll(256)).unwrap();
                usize::try_from(dice.roll(100)).unwrap()
            ];
            OpenOptions::new().append(true).open(last).unwrap().write_all(&torn).unwrap();
        }
    }
    println!(
        "{} rows kept in 20 rounds, {spilled_rounds} with a spill, {torn_rounds} torn, {:.1} s",
        kept.len(),
        started.elapsed().as_secs_f64()
    );
    scene.mood("up");
    scene.stage = "first = 40000".to_owned();
    let ran = scene.run(&[("store", options)]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.books("store")[1..], [0, 0, 0], "{ran:#?}");
    let stored: BTreeSet<u64> = scene.stored("store").into_iter().collect();
    let missing: Vec<_> = kept.difference(&stored).collect();
    assert!(missing.is_empty(), "seed {seed}: {} rows are missing: {missing:?}", missing.len());
    assert!((40_000..42_000).all(|n| stored.contains(&n)), "seed {seed}");
    assert!(kept.len() > 1000 && spilled_rounds > 2, "seed {seed}: it tests nothing");
}
