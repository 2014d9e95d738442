//! What the service manager is told of a run.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

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

/// systemd counts the service as reloading from `RELOADING=1` to `READY=1`, see sd_notify(3).
#[test]
fn a_reload_is_told_from_its_begin_to_its_end() {
    let mut scene = Scene::new("", "use = \"good\"");
    scene.told_until("READY=1");
    // The change, and what is said of it.
    let rows = [
        ("use = \"good\"", "use = \"goof\"", "the reload is refused, and all goes on as it was: "),
        ("use = \"goof\"", "use = \"good\"", "reload 1 of `"),
    ];
    for (old, new, said) in rows {
        let now = clock_gettime(ClockId::Monotonic);
        scene.reload(old, new);
        // The worker takes the new chain when a batch comes.
        let told = scene.told_until("RELOADING=1\nMONOTONIC_USEC=");
        let usec: i64 = told.last().unwrap().rsplit_once('=').unwrap().1.parse().unwrap();
        assert!(usec >= now.tv_sec * 1_000_000 + now.tv_nsec / 1000, "{usec} is before {now:?}");
        scene.feed();
        let told = scene.told_until("READY=1");
        let status = format!("STATUS={said}");
        let at = told.iter().position(|line| line.starts_with(&status));
        assert!(at.is_some() && told[0] == "STATUS=reads its config again", "{new}: {told:?}");
        if said.starts_with("the reload") {
            // `systemctl status` says so until another one is taken.
            let told = scene.told_until("STATUS=");
            let status = told.last().unwrap();
            assert!(status.contains("; the last reload was refused: "), "{status}");
            assert!(status.contains("has no stage `goof`"), "{status}");
        }
    }
    scene.enough();
    assert_eq!(scene.end().code(), Some(0), "{}", scene.said());
}
