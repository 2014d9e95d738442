//! What the service manager is told of a run.

use std::time::Duration;

use crate::scene::Scene;

#[test]
fn a_run_is_ready_alive_and_at_its_end_stopping() {
    let mut scene = Scene::new("", "use = \"good\"");
    scene.feed();
    scene.told("READY=1");
    let told = scene.told_in(Duration::from_secs(2));
    let alive = told.iter().filter(|line| *line == "WATCHDOG=1").count();
    assert!((3..=9).contains(&alive), "{told:?}");
    scene.until("a status", |scene| {
        let told = scene.told_in(Duration::from_millis(100));
        told.iter().any(|line| line.starts_with("STATUS=") && line.contains("0 lost")).then_some(())
    });
    scene.signal("TERM");
    scene.told("STOPPING=1");
    assert_eq!(scene.end().code(), Some(0), "{}", scene.said());
}
