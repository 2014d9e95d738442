//! The engine with a capture, a `kafka` sink and, beside it, one of JSON Lines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{engine, plugins, write_config};

pub(crate) struct Scene {
    directory: TempDir,
    brokers: String,
    /// More under `[engine]`.
    pub(crate) engine: &'static str,
    /// Options of the sink.
    pub(crate) options: String,
}

impl Scene {
    pub(crate) fn new(brokers: &str, prefix: &str) -> Self {
        let options = format!("topic_prefix = {prefix:?}\n");
        let directory = tempfile::tempdir().unwrap();
        Self { directory, brokers: brokers.to_owned(), engine: "", options }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn spill(&self) -> PathBuf {
        self.path("spill").join("kafka")
    }

    /// The engine over these captures. What JSON Lines were there before are gone.
    pub(crate) fn command(&self, files: &[impl AsRef<Path>]) -> Command {
        let files: Vec<_> = files.iter().map(AsRef::as_ref).collect();
        let key = crate::common::key_file(self.directory.path());
        let text = format!(
            "[engine]\nledger = {:?}\nspill = {:?}\n{}\n\
             [capture]\nfrom = \"file\"\nfiles = {files:?}\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
             [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
             [[stage]]\nuse = \"redact\"\nkey_file = {key:?}\n\
             [[stage]]\nuse = \"crypto_pan\"\nkey_file = {key:?}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n\
             [[sink]]\nplugin = {:?}\nuse = \"kafka\"\nbrokers = {:?}\n{}",
            self.path("ledger.json"),
            self.path("spill"),
            self.engine,
            self.path("out.jsonl"),
            plugins().join("libkafka.so"),
            self.brokers,
            self.options,
        );
        for name in ["ledger.json", "out.jsonl"] {
            let _ = fs::remove_file(self.path(name));
        }
        let mut command = engine();
        command.arg("--config").arg(write_config(self.directory.path(), &text));
        command.args(["--workers", "2", "--quiet"]);
        command
    }

    /// Runs it to its end; the ledger balances.
    pub(crate) fn run(&self, files: &[impl AsRef<Path>]) -> Ran {
        let output = self.command(files).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{err}");
        self.ended(err)
    }

    pub(crate) fn ended(&self, err: String) -> Ran {
        let ledger: Value =
            serde_json::from_slice(&fs::read(self.path("ledger.json")).unwrap()).unwrap();
        let sinks = ledger["sinks"].as_array().unwrap();
        let sink = sinks.iter().find(|sink| sink["sink"] == "kafka").unwrap().clone();
        Ran { sink, err }
    }

    /// The lines beside it, in their order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    sink: Value,
    pub(crate) err: String,
}

impl Ran {
    /// Whether something was sent again, so that some may have come twice.
    pub(crate) fn sent_again(&self) -> bool {
        self.sink["retries"].as_u64().unwrap() > 0
    }

    /// Acknowledged, spilled, dropped and dead-lettered rows.
    pub(crate) fn books(&self) -> [u64; 4] {
        ["acknowledged", "spilled", "dropped", "dead_lettered"].map(|what| match &self.sink[what] {
            Value::Object(by_reason) => by_reason.values().filter_map(Value::as_u64).sum(),
            number => number.as_u64().unwrap(),
        })
    }
}
