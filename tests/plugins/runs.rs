//! Stages and sinks that fail while a config is checked or while it runs.
//!
//! Each row is a chain of fixtures over a capture of a hundred packets, in batches of eight.

use std::{fs, path::Path};

use crate::{
    child::{Ran, engine, run},
    make::{ROOT, has_gcc, plugin},
    none_failed,
    scene::{books, config, entry, ledger},
};

/// `(use, options)` of a stage or a sink.
type Entry = (&'static str, &'static str);

struct Row {
    name: &'static str,
    stages: &'static [Entry],
    sinks: &'static [Entry],
    /// Exit status.
    code: i32,
    /// Lines that standard error must hold. `@` stands for the place of the `panic` below.
    says: &'static [&'static str],
    /// The ledger in short; nothing where the run did not begin.
    books: &'static str,
}

/// Where each panic of the fixtures is written down.
const PANICS: &[(&str, &str)] = &[
    ("this stage cannot be made", "panics.rs"),
    ("no schema for you", "panics.rs"),
    ("one packet is too many", "panics.rs"),
    ("one row is too many", "panics.rs"),
    ("the clock strikes thirteen", "panics.rs"),
    ("there is no end", "panics.rs"),
    ("the sink is blocked", "sinks.rs"),
];

const ALL_WELL: &str =
    "received 100, passed 67, good.skipped 33; rows 100; sink_counts acknowledged 100";

const ROWS: &[Row] = &[
    Row {
        name: "all is well",
        stages: &[("good", "")],
        sinks: &[("sink_counts", "")],
        code: 0,
        says: &[
            " INFO instance 2 drops every 3 stage=\"good\" worker=0",
            " WARN saw 100 packets stage=\"good\" worker=0",
            "next:",
            "  look at the rows",
            "the ledger balances",
        ],
        books: ALL_WELL,
    },
    Row {
        name: "new() fails",
        stages: &[("good", ""), ("fails_in_new", "[stage.limits]\nmax = 12")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &[
            "{config}:13:7: stage `fails_in_new`: `limits.max` must be from 1 to 9",
            "  13 | max = 12",
            "     |       ^^",
        ],
        books: "",
    },
    Row {
        name: "unknown option",
        stages: &[("good", "evry = 3")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &[
            "{config}:9:1: unknown key `evry` in stage `good`",
            "  9 | evry = 3",
            "    | ^^^^",
            "    | did you mean `every`?",
        ],
        books: "",
    },
    Row {
        name: "option of another type",
        stages: &[("fails_in_new", "limits = { max = 256 }")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &["  9 | limits = { max = 256 }", "    |                  ^^^"],
        books: "",
    },
    Row {
        name: "no such stage",
        stages: &[("goood", "")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &["{config}:8:7: `{plugin}` has no stage `goood`", "    | did you mean `good`?"],
        books: "",
    },
    Row {
        name: "sink as a stage",
        stages: &[("sink_counts", "")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &["{config}:8:7: `sink_counts` is a sink; it belongs under [[sink]]"],
        books: "",
    },
    Row {
        name: "new() panics",
        stages: &[("panics_in_new", "")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &[
            "{config}:6:1: stage `panics_in_new`: panicked in new(): this stage cannot be made at @",
            "  6 | [[stage]]",
            "    | ^^^^^^^^^",
        ],
        books: "",
    },
    Row {
        name: "new() panics in a worker",
        stages: &[("panics_in_new", "in_worker = true")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_new`: panicked in new(): this stage cannot be made at @",
            "the ledger balances",
        ],
        books: "received 0, passed 0; rows 0; sink_counts acknowledged 0",
    },
    Row {
        name: "schemas() panics",
        stages: &[("panics_in_schemas", "")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &[
            "an empty table could not be pushed through the chain: stage `panics_in_schemas`: \
             panicked in schemas(): no schema for you at @",
        ],
        books: "",
    },
    Row {
        name: "records() panics at the empty table",
        stages: &[("good", ""), ("panics_in_records", "nth = 0")],
        sinks: &[("sink_counts", "")],
        code: 2,
        says: &[
            "an empty table could not be pushed through the chain: stage `panics_in_records`: \
             panicked in records(): one row is too many at @",
        ],
        books: "",
    },
    Row {
        // Three whole batches had passed; what the stage after it made of them is kept.
        name: "packets() panics",
        stages: &[("panics_in_packets", "nth = 25"), ("good", "")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_packets`: panicked in packets(): one packet is too many at @",
            " WARN saw 24 packets stage=\"good\" worker=0",
            "the ledger balances",
        ],
        books: "received 32, passed 16, good.skipped 8, panics_in_packets.stage_failed 8; rows 24; \
                sink_counts acknowledged 24",
    },
    Row {
        // What was emitted before is kept; what would have to pass the broken stage is not.
        name: "packets() panics after another stage",
        stages: &[("good", "every = 0\nrows = 20"), ("panics_in_packets", "nth = 25")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_packets`: panicked in packets(): one packet is too many at @",
            "  panics_in_packets dropped 8 packets: stage_failed 8; 32 rows in, 24 out; FAILED: panicked \
             in packets():",
            "                 stage_failed",
            "the ledger balances",
        ],
        books: "received 32, passed 24, panics_in_packets.stage_failed 8; rows 24; sink_counts \
                acknowledged 24",
    },
    Row {
        name: "packets() fails",
        stages: &[("fails_in_packets", "nth = 9"), ("good", "")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `fails_in_packets`: packet 9 is the last straw",
            "the ledger balances",
        ],
        books: "received 16, passed 6, fails_in_packets.stage_failed 8, good.skipped 2; rows 8; \
                sink_counts acknowledged 8",
    },
    Row {
        name: "records() panics",
        stages: &[("good", "rows = 8"), ("panics_in_records", "nth = 17")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_records`: panicked in records(): one row is too many at @",
            "the ledger balances",
        ],
        books: "received 24, passed 11, good.skipped 8, panics_in_records.stage_failed 5; rows 16; \
                sink_counts acknowledged 16",
    },
    Row {
        name: "tick() panics",
        stages: &[("good", "sleep = 1050"), ("panics_in_tick", "")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_tick`: panicked in tick(): the clock strikes thirteen at @",
            "the ledger balances",
        ],
        books: "received 8, passed 6, good.skipped 2; rows 0; sink_counts acknowledged 0",
    },
    Row {
        name: "finish() panics",
        stages: &[("panics_in_finish", ""), ("good", "")],
        sinks: &[("sink_counts", "")],
        code: 1,
        says: &[
            "error: stage `panics_in_finish`: panicked in finish(): there is no end at @",
            "the ledger balances",
        ],
        books: ALL_WELL,
    },
    Row {
        name: "drop() panics",
        stages: &[("panics_in_drop", ""), ("good", "")],
        sinks: &[("sink_counts", "")],
        code: 0,
        says: &["the ledger balances"],
        books: ALL_WELL,
    },
    Row {
        name: "the only sink fails",
        stages: &[("good", "rows = 8")],
        sinks: &[("sink_fails", "nth = 20")],
        code: 1,
        says: &["error: sink `sink_fails`: the disk is full", "the ledger balances"],
        // How far the worker comes before it sees that nobody takes its rows is up to chance.
        books: "*",
    },
    Row {
        name: "one of two sinks fails",
        stages: &[("good", "rows = 8")],
        sinks: &[("sink_fails", "nth = 20"), ("sink_counts", "")],
        code: 1,
        says: &["error: sink `sink_fails`: the disk is full", "the ledger balances"],
        books: "received 100, passed 67, good.skipped 33; rows 100; sink_fails acknowledged 16, \
                sink_failed 76, write_failed 8; sink_counts acknowledged 100",
    },
    Row {
        name: "write() panics",
        stages: &[("good", "rows = 8")],
        sinks: &[("sink_panics", ""), ("sink_counts", "")],
        code: 1,
        says: &[
            "error: sink `sink_panics`: panicked in records(): the sink is blocked at @",
            "the ledger balances",
        ],
        books: "received 100, passed 67, good.skipped 33; rows 100; sink_panics acknowledged 0, \
                sink_failed 92, write_failed 8; sink_counts acknowledged 100",
    },
    Row {
        name: "a sink's tick() panics",
        stages: &[("good", "rows = 8\nsleep = 1500")],
        sinks: &[("sink_panics", "at = \"tick\""), ("sink_counts", "")],
        code: 1,
        says: &[
            "error: sink `sink_panics`: panicked in tick(): the sink is blocked at @",
            "the ledger balances",
        ],
        // On a busy machine rows may come before the tick.
        books: "*",
    },
    Row {
        name: "flush() panics",
        stages: &[("good", "rows = 8")],
        sinks: &[("sink_panics", "at = \"flush\""), ("sink_counts", "")],
        code: 1,
        says: &[
            "error: sink `sink_panics`: panicked in finish(): the sink is blocked at @",
            "the ledger balances",
        ],
        books: "received 100, passed 67, good.skipped 33; rows 100; sink_panics acknowledged 0, \
                flush_failed 100; sink_counts acknowledged 100",
    },
];

#[test]
fn a_failing_stage_takes_nothing_else_along() {
    let plugin = plugin("misbehave");
    let mut failures = Vec::new();
    for row in ROWS {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), 100, |kind, text| {
            let entries = if kind == "stage" { row.stages } else { row.sinks };
            for (name, options) in entries {
                entry(text, kind, &plugin, name, options);
            }
        });
        let ran = run(engine().arg("--config").arg(&config));
        let books = books(directory.path());
        let wrong = row.wrong(&ran, &books, &config, &plugin);
        failures.extend(wrong.map(|wrong| format!("{}: {wrong}\n{books}\n{ran:#?}", row.name)));
    }
    none_failed(failures);
}

impl Row {
    fn wrong(&self, ran: &Ran, books: &str, config: &Path, plugin: &Path) -> Option<String> {
        if ran.code != Some(self.code) {
            return Some(format!("expected status {}", self.code));
        }
        for line in self.says {
            let line = with_place(line)
                .replace("{config}", config.to_str().unwrap())
                .replace("{plugin}", plugin.to_str().unwrap());
            if !ran.stderr.lines().any(|said| said == line) {
                return Some(format!("does not say\n{line}"));
            }
        }
        let balances = books.is_empty() || ran.stderr.contains("the ledger balances");
        let as_expected = books == self.books || (self.books == "*" && !books.is_empty());
        (!balances || !as_expected).then(|| format!("expected {}", self.books))
    }
}

/// Puts the file and line of the panic that the line quotes where it has an `@`.
fn with_place(line: &str) -> String {
    let Some(before) = line.strip_suffix('@') else { return line.to_owned() };
    let (needle, file) = PANICS.iter().find(|(text, _)| before.contains(text)).unwrap();
    let file = format!("tests/fixtures/misbehave/{file}");
    let source = fs::read_to_string(Path::new(ROOT).join(&file)).unwrap();
    let at = source.lines().position(|text| text.contains(needle)).unwrap();
    format!("{before}{file}:{}", at + 1)
}

/// What the engine allocates, a plugin with another allocator frees, and the other way round:
/// options, messages, records, counters, what a stage emits and the frames that it makes.
#[test]
fn a_plugin_with_an_allocator_of_its_own_works() {
    if !has_gcc() {
        crate::common::skipped("mimalloc is written in C, and there is no gcc");
        return;
    }
    let (ours, theirs) = (plugin("misbehave"), plugin("allocator"));
    let directory = tempfile::tempdir().unwrap();
    let chain = |kind: &str, text: &mut String| {
        if kind == "stage" {
            entry(text, kind, &theirs, "good", "rows = 7\ncopies = true");
            entry(text, kind, &ours, "good", "rows = 5\nevery = 0\ncopies = true");
            entry(text, kind, &theirs, "good", "rows = 3\nevery = 2\ncopies = true");
        } else {
            entry(text, kind, &ours, "sink_counts", "");
        }
    };
    let path = config(directory.path(), 30_000, chain);
    let ran = run(engine().args(["--workers", "4", "--config"]).arg(&path));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let ledger = ledger(directory.path()).unwrap();
    // The flow hash deals the packets; what each worker's third and second packets are is its
    // own affair, so only sums that hold for every deal are looked at.
    let sum = |at: &str| -> u64 {
        ledger["workers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|worker| worker[at].as_u64().unwrap())
            .sum()
    };
    assert_eq!(sum("received"), 30_000, "{ledger:#}");
    assert_eq!(ledger["rows"], ledger["sinks"][0]["acknowledged"], "{ledger:#}");
    let emitted: u64 = ["good", "good_2", "good_3"]
        .iter()
        .map(|stage| {
            let stages = ledger["stages"].as_array().unwrap();
            let stage = stages.iter().find(|tally| tally["stage"] == *stage).unwrap();
            let counters = stage["counters"].as_array().unwrap();
            counters.iter().find(|counter| counter[0] == "packets").unwrap()[1].as_u64().unwrap()
        })
        .sum();
    assert_eq!(ledger["rows"], emitted, "{ledger:#}");

    let wrong = config(directory.path(), 1, |kind, text| {
        let options = if kind == "stage" { "every = \"x\"" } else { "" };
        let name = if kind == "stage" { "good" } else { "sink_counts" };
        entry(text, kind, if kind == "stage" { &theirs } else { &ours }, name, options);
    });
    let ran = run(engine().arg("--config").arg(&wrong));
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    let first = ran.stderr.lines().next().unwrap_or_default();
    assert!(first.contains("stage `good`: `every` must be"), "{ran:#?}");
}

#[test]
fn a_config_that_names_a_broken_plugin_is_marked_there() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("plugin.so");
    fs::write(&text, "no plugin").unwrap();
    let path = config(directory.path(), 1, |kind, config| entry(config, kind, &text, "good", ""));
    for arguments in [&["--config"][..], &["check", "--config"]] {
        let ran = run(engine().args(arguments).arg(&path));
        let says = format!(
            "{}:7:10: `{}`: it is not an ELF shared library; name the .so file that `cargo \
             build` made of the plugin's cdylib crate\n  7 | plugin = ",
            path.display(),
            text.display()
        );
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.starts_with(&says), "{arguments:?}: expected {says}\ngot {ran:#?}");
    }
}
