//! The metrics as a parser that is not ours reads them.

use std::{fs, process::Command, thread, time::Duration};

use crate::{common, scene::Scene};

#[test]
fn metrics_are_openmetrics_and_hold_the_whole_ledger() {
    let Some(python) = common::python("prometheus_client") else { return };
    let mut scene = Scene::new("", Duration::from_millis(50));
    let answer = scene.get("/metrics").unwrap();
    let kind = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(kind), "{}", answer.head);
    let kept = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut keep = |body: &[u8]| {
        number += 1;
        fs::write(kept.path().join(format!("{number:04}.txt")), body).unwrap();
    };
    for turn in 0..8 {
        keep(&scene.get("/metrics").unwrap().body);
        // Stages and sinks take the place of others, and of their like, and no counter goes back.
        match turn {
            1 => scene.reload("use = \"http\"", "use = \"http\"\nhead_bytes = 5000"),
            2 => scene.reload("use = \"crypto_pan\"\nkey = \"ephemeral\"", "use = \"constant\""),
            4 => scene.reload("records.jsonl", "other.jsonl"),
            5 => scene.reload("workers = 2", "workers = 3"),
            6 => scene.reload("workers = 3", "workers = 2\nsensor = \"north\""),
            7 => scene.reload("other.jsonl", "third.jsonl"),
            _ => {}
        }
        thread::sleep(Duration::from_millis(500));
    }
    scene.enough();
    // Who has asked lately is waited for, so the last answer is that after the end.
    while let Some(answer) = scene.get("/metrics") {
        keep(&answer.body);
        thread::sleep(Duration::from_millis(20));
    }
    let ledger = scene.end();
    fs::write(kept.path().join("ledger.json"), ledger.to_string()).unwrap();
    let script = common::root().join("tests/readers/metrics.py");
    let output = Command::new(python).arg(script).arg(kept.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    println!("{}", text(&output.stdout).trim());
}

/// Prometheus' own check of the alert rules.
#[test]
fn the_alert_rules_are_good() {
    let rules = common::root().join("configs/alerts.yml");
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&rules).output() else {
        return common::skipped("there is no promtool; it comes with Debian's `prometheus`");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.trim());
}

/// What the dashboard and the rules ask for is there.
#[test]
fn the_dashboard_and_the_rules_ask_for_metrics_that_exist() {
    let scene = Scene::new("", Duration::from_millis(50));
    let metrics = String::from_utf8(scene.get("/metrics").unwrap().body).unwrap();
    let families: Vec<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    for file in ["configs/alerts.yml", "configs/grafana.json"] {
        let text = fs::read_to_string(common::root().join(file)).unwrap();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names: Vec<_> =
            text.split(|c| !is_name(c)).filter(|word| word.starts_with("ringmill_")).collect();
        assert!(names.len() > 5, "{file} asks for nothing");
        for name in names {
            assert!(families.iter().any(|family| family == name), "{file}: {name}");
        }
    }
    serde_json::from_str::<serde_json::Value>(
        &fs::read_to_string(common::root().join("configs/grafana.json")).unwrap(),
    )
    .unwrap();
    scene.end();
}
