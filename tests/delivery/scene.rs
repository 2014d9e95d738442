//! A directory with a capture, a config, a store and a spill log.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use arrow_array::{RecordBatch, cast::AsArray as _, types::UInt64Type};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::{engine, plugins},
    spill,
};

pub(crate) struct Scene {
    directory: TempDir,
    /// Options of the stage `numbers`.
    pub(crate) stage: String,
    /// Under `[engine]`, beside `ledger` and `batch`.
    pub(crate) engine: String,
    /// At the top.
    pub(crate) top: &'static str,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) err: String,
    pub(crate) ledger: Value,
    pub(crate) took: Duration,
}

impl Scene {
    /// With a capture of so many packets, of which each makes a row.
    pub(crate) fn new(packets: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("packets.pcap"), pcap(packets)).unwrap();
        let engine = format!("spill = {:?}", directory.path().join("spill"));
        let scene = Self { directory, stage: String::new(), engine, top: "" };
        scene.mood("up");
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Changes what the store does, at once.
    pub(crate) fn mood(&self, mood: &str) {
        fs::write(self.path("mood.new"), mood).unwrap();
        fs::rename(self.path("mood.new"), self.path("mood")).unwrap();
    }

    /// The engine with these sinks: name and options of each.
    pub(crate) fn command(&self, sinks: &[(&str, &str)]) -> Command {
        let plugin = plugins().join("libstore.so");
        let mut text = format!(
            "{}\n[engine]\nbatch = 10\nledger = {:?}\n{}\n[capture]\nfrom = \"file\"\nfiles = [{:?}]\n\
             [[stage]]\nplugin = {plugin:?}\nuse = \"numbers\"\n{}\n",
            self.top,
            self.path("ledger.json"),
            self.engine,
            self.path("packets.pcap"),
            self.stage,
        );
        for (name, options) in sinks {
            text += &format!(
                "[[sink]]\nplugin = {plugin:?}\nuse = \"{name}\"\npath = {:?}\nmood = {:?}\n\
                 drain_seconds = 2\n{options}\n",
                self.path(name),
                self.path("mood"),
            );
        }
        fs::write(self.path("config.toml"), text).unwrap();
        let _ = fs::remove_file(self.path("ledger.json"));
        let mut command = engine();
        command.arg("--config").arg(self.path("config.toml"));
        command
    }

    /// Runs it, and sees to it that the ledger balances.
    pub(crate) fn run(&self, sinks: &[(&str, &str)]) -> Ran {
        let started = Instant::now();
        let output = self.command(sinks).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran = self.ended(output.status.code(), err, started.elapsed());
        assert!(ran.err.contains("the ledger balances"), "{ran:#?}");
        ran
    }

    pub(crate) fn ended(&self, code: Option<i32>, err: String, took: Duration) -> Ran {
        let ledger = fs::read(self.path("ledger.json")).unwrap_or_default();
        let ledger = serde_json::from_slice(&ledger).unwrap_or_default();
        Ran { code, err, ledger, took }
    }

    /// What is in a store, in the order it came.
    pub(crate) fn stored(&self, name: &str) -> Vec<u64> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// What is in the spill log of a sink from the cursor on.
    pub(crate) fn spilled(&self, name: &str) -> Vec<u64> {
        let batches = spill::batches(&self.path("spill").join(name));
        batches.iter().flat_map(numbers).collect()
    }

    /// The dead letters of a sink: each reason with its numbers.
    pub(crate) fn dead(&self, name: &str) -> BTreeMap<String, Vec<u64>> {
        let mut dead: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for records in spill::dead_letters(&self.path("spill").join(name)) {
            let reasons = records.column_by_name("refused").unwrap().as_string::<i32>();
            for (reason, n) in reasons.iter().zip(numbers(&records)) {
                dead.entry(reason.unwrap().to_owned()).or_default().push(n);
            }
        }
        dead
    }
}

impl Ran {
    /// A number in the books of a sink; of a map the sum, `dropped.queue_full` one of it.
    pub(crate) fn sink(&self, name: &str, what: &str) -> u64 {
        let sinks = self.ledger["sinks"].as_array().unwrap_or_else(|| panic!("{self:#?}"));
        let sink = sinks.iter().find(|sink| sink["sink"] == name).unwrap();
        let value = what.split('.').fold(sink, |value, key| &value[key]);
        match value {
            Value::Object(map) => map.values().filter_map(Value::as_u64).sum(),
            value => value.as_u64().unwrap_or_default(),
        }
    }

    /// Acknowledged, spilled, dropped and dead-lettered.
    pub(crate) fn books(&self, name: &str) -> [u64; 4] {
        ["acknowledged", "spilled", "dropped", "dead_lettered"].map(|what| self.sink(name, what))
    }

    /// Sees to it that the log or the ledger says all of these.
    pub(crate) fn says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.err.contains(text), "does not say {text:?}: {self:#?}");
        }
    }
}

fn numbers(records: &RecordBatch) -> Vec<u64> {
    records.column(0).as_primitive::<UInt64Type>().values().to_vec()
}

/// A capture file of empty Ethernet frames.
fn pcap(packets: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..packets {
        for word in [1_700_000_000 + number / 1000, number % 1000 * 1000, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0_u8; 60]);
    }
    file
}
