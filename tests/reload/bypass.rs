//! Stages and sinks that fail, and what goes on without them.

use std::{path::Path, thread, time::Duration};

use serde_json::Value;

use crate::{
    common::{engine, plugins, write_config},
    fed::{self, Ended, Fed, assert_each_once, before, files, found},
};

/// A chain with a stage before `classify`, one behind `http`, and one more sink.
fn config(directory: &Path, [early, late, sink]: [&str; 3]) -> String {
    let plugin = plugins().join("libmisbehave.so");
    let text = before(&before(&fed::config(directory), "classify", early), "redact", late) + sink;
    text.replace("PLUGIN", &format!("plugin = {plugin:?}"))
}

/// Feeds it until it says this, or for a while where it says nothing before its end.
fn fed(parts: [&str; 3], until: Option<&str>) -> (Ended, u32) {
    let mut fed = Fed::new(|directory| config(directory, parts));
    let feed = fed.feed(0);
    match until {
        Some(what) => fed.wait_for(what, 1),
        None => thread::sleep(Duration::from_millis(300)),
    }
    // What comes after that comes out, too.
    let after = feed.next() + 640;
    while feed.next() < after {
        thread::sleep(Duration::from_millis(1));
    }
    let sent = fed.take_back(feed);
    (fed.end(), sent)
}

fn stage<'a>(ledger: &'a Value, name: &str) -> &'a Value {
    let mut stages = ledger["stages"].as_array().unwrap().iter();
    stages.find(|stage| stage["stage"] == name).unwrap()
}

#[test]
fn what_may_be_missing_is_gone_round_and_told() {
    // The stage, whether it stands behind `http`, and what it says.
    let cases = [
        ("panics_in_packets\"\nnth = 500", false, "panicked in packets(): one packet is too many"),
        ("fails_in_packets\"\nnth = 500", false, "packet 500 is the last straw"),
        ("panics_in_records\"\nnth = 500", true, "panicked in records(): one row is too many"),
        ("panics_in_tick\"", true, "panicked in tick(): the clock strikes thirteen"),
        ("panics_in_finish\"", true, "panicked in finish(): there is no end"),
    ];
    for (which, late, says) in cases {
        let text = format!("[[stage]]\nPLUGIN\nuse = \"{which}\non_error = \"bypass\"\n");
        let parts = if late { ["", &text, ""] } else { [&text, "", ""] };
        let until = (!which.contains("finish")).then_some("this worker goes on without it");
        let (ended, sent) = fed(parts, until);
        let ended = ended.good();
        let name = which.split('"').next().unwrap();
        let of_stage = stage(&ended.ledger, name);
        assert_eq!(of_stage["bypassed"], 1, "{name}: {}", ended.stderr);
        assert!(of_stage["error"].as_str().unwrap().starts_with(says), "{name}: {of_stage}");
        // What it was given when it failed is lost and counted; all else is there.
        let failed = u32::try_from(of_stage["rows_failed"].as_u64().unwrap()).unwrap();
        assert_eq!(failed > 0, name.ends_with("records"), "{name}");
        let found = found(&files(ended.directory.path(), ".jsonl"));
        assert_eq!(found.len(), (sent - failed) as usize, "{name}");
        assert_eq!(found.values().sum::<usize>(), (sent - failed) as usize, "{name}");
        let told = ended.stderr.matches("this worker goes on without it").count();
        assert_eq!(told, 1, "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("BYPASSED by 1 worker: "), "{}", ended.stderr);
    }
}

#[test]
fn what_may_not_be_missing_stops_the_run() {
    let stop = "[[stage]]\nPLUGIN\nuse = \"panics_in_records\"\nnth = 500\non_error = \"stop\"\n";
    for text in [stop, &stop.replace("on_error = \"stop\"\n", "")] {
        let mut fed = Fed::new(|directory| config(directory, ["", text, ""]));
        let feed = fed.feed(0);
        // It ends by itself, and nobody reads any more.
        feed.until_nobody_reads();
        let ended = fed.end();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let of_stage = stage(&ended.ledger, "panics_in_records");
        assert!(of_stage["error"].as_str().unwrap().starts_with("panicked in records()"));
        assert_eq!(of_stage.get("bypassed"), None, "{of_stage}");
        assert!(ended.stderr.contains("FAILED: panicked in records()"), "{}", ended.stderr);
    }
}

#[test]
fn a_reload_gives_a_stage_that_failed_another_chance() {
    let text = "[[stage]]\nPLUGIN\nuse = \"panics_in_packets\"\nnth = 200\non_error = \"bypass\"\n";
    let mut fed = Fed::new(|directory| config(directory, [text, "", ""]));
    let feed = fed.feed(0);
    for time in 1..=3 {
        fed.wait_for("this worker goes on without it", time);
        fed.hang_up();
        fed.wait_for(&format!("reload {time} of"), 1);
        assert_eq!(fed.stderr().matches("new stages: panics_in_packets; all sinks").count(), time);
    }
    let sent = fed.take_back(feed);
    let ended = fed.end().good();
    assert_each_once(&found(&files(ended.directory.path(), ".jsonl")), sent, "all of them");
}

#[test]
fn a_sink_that_panics_is_named_and_the_others_go_on() {
    for at in ["write", "tick", "flush"] {
        let sink = format!("[[sink]]\nPLUGIN\nuse = \"sink_panics\"\nat = \"{at}\"\n");
        let (ended, sent) = fed(["", "", &sink], (at != "flush").then_some("panicked in "));
        assert_eq!(ended.code, Some(1), "{at}: {}", ended.stderr);
        assert_eq!(ended.ledger["imbalances"], Value::Array(Vec::new()), "{at}");
        assert_each_once(&found(&files(ended.directory.path(), ".jsonl")), sent, at);
        let sinks = ended.ledger["sinks"].as_array().unwrap();
        assert_eq!(sinks[0].get("error"), Some(&Value::Null), "{at}");
        let error = sinks[1]["error"].as_str().unwrap();
        assert!(error.starts_with("panicked in "), "{at}: {error}");
        let dropped = sinks[1]["dropped"].as_object().unwrap().values();
        let dropped: u64 = dropped.map(|rows| rows.as_u64().unwrap()).sum();
        assert!(dropped > 0, "{at}: {}", sinks[1]);
    }
}

#[test]
fn what_hides_something_or_keeps_something_out_may_not_be_missing() {
    let anonymizer = |name: &str| format!("[[stage]]\nuse = \"{name}\"\n");
    let (truncate, redact) = (anonymizer("truncate"), anonymizer("redact"));
    let (http, agent) = (anonymizer("http"), anonymizer("user_agent"));
    let bypass = |stage: &str| format!("{stage}on_error = \"bypass\"\n");
    let exclude = "[[stage]]\nuse = \"exclude\"\nprefixes = [\"10.0.0.0/8\"]\n";
    let (both, twice) = (bypass(&truncate), bypass(&anonymizer("constant")));
    let open = "allow_identifiable = true\n";
    // What stands at the top, before `http` and behind it, and what is said of it; nothing where it
    // is good.
    let cases: [(&str, String, String, &str); 10] = [
        ("", bypass(&anonymizer("classify")), http.clone() + &agent + &redact + &truncate, ""),
        ("", String::new(), bypass(&http) + &agent + &redact + &truncate, ""),
        ("", String::new(), http.clone() + &bypass(&agent) + &redact + &truncate, ""),
        (
            "",
            String::new(),
            http.clone() + &redact + &bypass(&truncate),
            "without `truncate` column `src_ip` of `http_request` would reach the sinks",
        ),
        (
            "",
            String::new(),
            http.clone() + &bypass(&redact) + &truncate,
            "without `redact` column `",
        ),
        // Not either where the gate is open.
        (
            open,
            String::new(),
            http.clone() + &bypass(&redact) + &truncate,
            "without `redact` column `",
        ),
        // One of two may be missing, but not both.
        ("", String::new(), http.clone() + &redact + &both + &anonymizer("constant"), ""),
        (
            "",
            String::new(),
            http.clone() + &redact + &both + &twice,
            "without `truncate`, `constant` column `src_ip`",
        ),
        (
            "",
            bypass(exclude),
            http.clone() + &redact + &truncate,
            "without `exclude` the packets would be recorded that it drops",
        ),
        (
            "",
            String::new(),
            http.clone() + &redact + &truncate + "on_error = \"bypas\"\n",
            "did you mean \"bypass\"?",
        ),
    ];
    for (top, early, late, said) in cases {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "{top}[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
             {early}{late}[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n"
        );
        let config = write_config(directory.path(), &text);
        let output = engine().args(["check", "--config"]).arg(config).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match said {
            "" => assert!(output.status.success(), "{text}: {told}"),
            said => {
                assert_eq!(output.status.code(), Some(2), "{text}");
                assert!(told.contains(said) && told.contains("^^^"), "{text}: {told}");
            }
        }
    }
}
