//! Configs that are refused, and a run that does not mind.

use std::{process::Output, thread, time::Duration};

use crate::{
    common::engine,
    fed::{Fed, assert_each_once, config, files, found},
};

fn reload(fed: &Fed) -> Output {
    engine().args(["reload", "--pid", &fed.pid().to_string()]).output().unwrap()
}

#[test]
fn a_bad_config_is_refused_and_the_old_one_goes_on() {
    let mut text = String::new();
    let mut fed = Fed::new(|directory| {
        text = config(directory).replace("[engine]", "[engine]\nworkers = 2");
        text.clone()
    });
    let feed = fed.feed(0);
    // Of a file that is wrong before it was read the engine would not get over.
    fed.wait_until_begun();
    // What is typed for what, what is said of it, and whether a caret marks it.
    let cases: [(&str, &str, &str, bool); 10] = [
        ("[engine]", "[engine", "test.toml:1:", true),
        ("[[sink]]", "[[snik]]", "unknown table [[snik]]", true),
        ("use = \"decode\"", "use = \"decod\"", "did you mean `decode`?", true),
        ("url = \"full\"", "url = \"ful\"", "did you mean \"full\"?", true),
        ("use = \"truncate\"", "use = \"truncate\"\nv4_prefix = 40", "v4_prefix", true),
        ("use = \"truncate\"", "use = \"user_agent\"", "as it was on the wire", true),
        ("test.key", "no.key", "no.key", true),
        ("use = \"truncate\"", "plugin = \"no.so\"\nuse = \"truncate\"", "no.so", true),
        ("workers = 2", "workers = 1", "`workers` of [engine] cannot be changed", false),
        ("files = [\"-\"]", "files = [\"-\"]\nsnaplen = 96", "`snaplen` of [capture]", false),
    ];
    let mut refused = 0;
    for (old, new, said, marked) in cases {
        let before = fed.stderr().len();
        assert!(text.contains(old), "{old}");
        fed.put(&text.replace(old, new));
        // The command says it itself where it can, and then leaves the engine alone.
        let output = reload(&fed);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if marked {
            assert_eq!(output.status.code(), Some(2), "{new}: {told}");
            assert!(told.contains(said) && told.contains('^'), "{new}: {told}");
            fed.hang_up();
        } else {
            assert_eq!(output.status.code(), Some(0), "{new}: {told}");
        }
        refused += 1;
        fed.wait_for("the reload is refused, and all goes on as it was", refused);
        // The message has several lines, of which this is in the last where there are marks.
        fed.wait_for_more(before, if marked { "^" } else { said });
        let log = fed.stderr()[before..].to_owned();
        assert!(log.contains(said) && log.contains('^') == marked, "{new}: {log}");
    }
    // A good one after all of these.
    fed.put(&text.replace("use = \"truncate\"", "use = \"constant\""));
    let output = reload(&fed);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fed.wait_for("reload 1 of", 1);
    let sent = fed.take_back(feed);
    let ended = fed.end().good();
    assert_each_once(&found(&files(ended.directory.path(), ".jsonl")), sent, "all of them");
    let reloads = &ended.ledger["reloads"];
    assert_eq!((&reloads["done"], &reloads["refused"]), (&1.into(), &refused.into()));
    assert!(reloads["last_refused"][1].as_str().unwrap().contains("`snaplen` of [capture]"));
    assert!(ended.stderr.contains(&format!("; {refused} refused, the last because: ")));
}

#[test]
fn signals_at_any_time_do_no_harm() {
    for pause in [0, 1, 5, 20, 50] {
        let mut fed = Fed::new(config);
        let feed = fed.feed(0);
        for _ in 0..20 {
            fed.hang_up();
            thread::sleep(Duration::from_millis(pause));
        }
        fed.wait_for(" reload 1 of ", 1);
        let before = fed.stderr().matches(" reload ").count();
        // None is lost: the last one is seen after all others.
        fed.hang_up();
        fed.wait_for(" reload ", before + 1);
        let sent = fed.take_back(feed);
        // And while it ends.
        let pid = fed.pid();
        let hanging = thread::spawn(move || {
            for _ in 0..200 {
                // It is gone at some time, and then this fails.
                let mut kill = std::process::Command::new("kill");
                let _ = kill.args(["-HUP", &pid.to_string()]).output();
            }
        });
        let ended = fed.end().good();
        hanging.join().unwrap();
        let found = found(&files(ended.directory.path(), ".jsonl"));
        assert_each_once(&found, sent, &format!("every {pause} ms"));
    }
}

#[test]
fn a_process_that_is_no_engine_is_not_asked() {
    for (pid, said) in [
        (std::process::id().to_string(), "is no engine that runs a config"),
        ("0".to_owned(), "is no engine"),
        ("999999999".to_owned(), "is no engine"),
    ] {
        let output = engine().args(["reload", "--pid", &pid]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{pid}: {told}");
        assert!(told.contains(said), "{pid}: {told}");
    }
}
