//! The engine with captures, the whole chain, a sink that is tested and, beside it, one of JSON
//! Lines.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Row, engine, rows, text, whole_chain, write_config};

pub(crate) struct Whole {
    directory: TempDir,
    /// The name of the sink that is tested.
    sink: &'static str,
    /// More under `[engine]`.
    pub(crate) engine: &'static str,
}

impl Whole {
    pub(crate) fn new(sink: &'static str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), sink, engine: "" }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the sink has spilled.
    pub(crate) fn spill(&self) -> PathBuf {
        self.path("spill").join(self.sink)
    }

    /// Writes the config, with the tables of sinks; gives its path. The JSON Lines of earlier runs
    /// are gone.
    pub(crate) fn config(&self, files: &[impl AsRef<Path>], sinks: &str) -> PathBuf {
        for name in ["ledger.json", "out.jsonl"] {
            let _ = fs::remove_file(self.path(name));
        }
        let config = format!(
            "[engine]\nledger = {:?}\nspill = {:?}\n{}\n{}\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n{sinks}",
            self.path("ledger.json"),
            self.path("spill"),
            self.engine,
            whole_chain(self.directory.path(), files),
            self.path("out.jsonl"),
        );
        write_config(self.directory.path(), &config)
    }

    pub(crate) fn command(&self, files: &[impl AsRef<Path>], sinks: &str) -> Command {
        let mut command = engine();
        command.arg("--config").arg(self.config(files, sinks));
        command.args(["--workers", "2", "--quiet"]);
        command
    }

    /// Runs it to its end; the ledger balances.
    pub(crate) fn run(&self, files: &[impl AsRef<Path>], sinks: &str) -> Ran {
        let output = self.command(files, sinks).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{err}");
        self.ended(err)
    }

    pub(crate) fn ended(&self, err: String) -> Ran {
        let ledger = fs::read(self.path("ledger.json")).unwrap_or_else(|_| panic!("{err}"));
        let ledger: Value = serde_json::from_slice(&ledger).unwrap();
        let sinks = ledger["sinks"].as_array().unwrap();
        let sink = sinks.iter().find(|sink| sink["sink"] == self.sink).unwrap().clone();
        Ran { sink, err }
    }

    /// The lines beside it, in their order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The rows in them.
    pub(crate) fn rows(&self) -> Vec<Row> {
        rows(&self.path("out.jsonl"))
    }

    /// And their ids.
    pub(crate) fn ids(&self) -> Vec<String> {
        let id = |row: &Row| text(row, "record_id").unwrap().to_owned();
        self.rows().iter().map(id).collect()
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    sink: Value,
    pub(crate) err: String,
}

impl Ran {
    /// Acknowledged, spilled, dropped and dead-lettered rows.
    pub(crate) fn books(&self) -> [u64; 4] {
        ["acknowledged", "spilled", "dropped", "dead_lettered"].map(|what| match &self.sink[what] {
            Value::Object(by_reason) => by_reason.values().filter_map(Value::as_u64).sum(),
            number => number.as_u64().unwrap(),
        })
    }

    /// Whether something was sent again, so that some may have come twice.
    pub(crate) fn sent_again(&self) -> bool {
        self.sink["retries"].as_u64().unwrap() > 0
    }

    /// A counter of the sink.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.sink["counters"].as_array().unwrap();
        let of_name = counters.iter().find(|counter| counter[0] == name);
        of_name.and_then(|counter| counter[1].as_u64()).unwrap_or_default()
    }

    pub(crate) fn says(&self, text: &str) {
        assert!(self.err.contains(text), "does not say {text:?}: {self:#?}");
    }
}
