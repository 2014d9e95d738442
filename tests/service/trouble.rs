//! What an operator sees of a plugin that loops for ever, and of one that leaks.

use std::{fs, time::Duration};

use crate::{
    browser::{self, Browser},
    scene::Scene,
};

const LOOPS: &str = "use = \"loops\"\nuntil = \"{folder}/enough\"";
const STUCK: &str = "worker 0 has not come back from stage `loops` for";

#[test]
fn a_stage_that_loops_is_named_and_the_manager_is_not_told_that_all_is_well() {
    let mut scene = Scene::new("stuck_seconds = 1", LOOPS);
    scene.told("READY=1");
    scene.told("WATCHDOG=1");
    scene.feed();
    scene.wait_for(STUCK);
    let told = scene.told_in(Duration::from_secs(1));
    assert!(!told.iter().any(|line| line == "WATCHDOG=1"), "{told:?}");
    scene.until("the page to say so", |scene| {
        (scene.status()["workers"][0]["stuck"] == "loops").then_some(())
    });
    if let Some(browser) = Browser::start() {
        seen(&browser, &mut scene);
    }
    let metrics = scene.get("/metrics");
    let line = "ringmill_worker_stuck{worker=\"0\",stage=\"loops\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    // Who waits for the end does not wait for ever.
    scene.signal("TERM");
    scene.told("STOPPING=1");
    assert_eq!(scene.end().code(), Some(1), "{}", scene.said());
    let said = scene.said();
    assert_eq!(said.matches("ERROR").count(), 1, "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with(&format!("error: the run cannot end: {STUCK}")), "{said}");
    assert!(last.contains("worker 0 is in stage `loops`"), "{said}");
}

/// The page of a run whose stage loops.
fn seen(browser: &Browser, scene: &mut Scene) {
    let address = scene.address();
    browser.open(&format!("http://{address}/"));
    let text = |selector: &str| {
        let script = format!(
            "return [...document.querySelectorAll({selector:?})].map(it => it.textContent).join()"
        );
        browser.run(&script).as_str().unwrap_or_default().to_owned()
    };
    scene.until("the page to turn red", |_| (text("#state") == "stuck").then_some(()));
    assert_eq!(text("#chain tr.stuck .name"), "loops (stuck)");
    assert!(text("#workers .stuck").contains("stuck in loops"), "{}", text("#workers"));
    assert!(text("#process").contains("memory"), "{}", text("#process"));
    browser::keep("stuck", &browser.picture(1280, "light"));
}

#[test]
fn a_stage_that_comes_back_after_all_costs_nothing() {
    let mut scene = Scene::new("stuck_seconds = 1", LOOPS);
    scene.feed();
    scene.wait_for(STUCK);
    fs::write(scene.path("enough"), "").unwrap();
    scene.wait_for("worker 0 goes on after");
    scene.told("WATCHDOG=1");
    scene.until("the page to say so", |scene| {
        scene.status()["workers"][0]["stuck"].is_null().then_some(())
    });
    scene.enough();
    assert_eq!(scene.end().code(), Some(0), "{}", scene.said());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut scene = Scene::new("stuck_seconds = 60", LOOPS);
    scene.told("READY=1");
    scene.feed();
    scene.until("it to loop", |scene| {
        (scene.status()["totals"]["in_chain"].as_u64() > Some(0)).then_some(())
    });
    scene.signal("INT");
    scene.told("STOPPING=1");
    scene.signal("INT");
    assert_eq!(scene.end().code(), Some(1), "{}", scene.said());
    let said = scene.said();
    let last = said.lines().last().unwrap();
    let expected = "error: a second signal ends the engine; worker 0 is in stage `loops`";
    assert_eq!(last, expected, "{said}");
}

/// Nobody counts the memory of a single plugin, so all that is seen is that of the process.
#[test]
fn a_stage_that_leaks_shows_in_the_memory_of_the_process() {
    let mut scene = Scene::new("", "use = \"leaks\"\nbytes = 4194304");
    scene.told("READY=1");
    let memory = |scene: &mut Scene| scene.status()["process"]["own_bytes"].as_u64().unwrap();
    let before = memory(&mut scene);
    scene.feed();
    let more = scene.until("growth", |scene| {
        let more = memory(scene).saturating_sub(before);
        (more > 64 << 20).then_some(more)
    });
    let metrics = scene.get("/metrics");
    let figure = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse().unwrap()
    };
    assert!(figure("ringmill_own_memory_bytes") >= before + more, "{metrics}");
    assert!(figure("process_resident_memory_bytes") >= before + more, "{metrics}");
    scene.enough();
    assert_eq!(scene.end().code(), Some(0), "{}", scene.said());
}
