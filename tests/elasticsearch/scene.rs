//! The engine with a capture, the sink and, beside it, one of JSON Lines.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringmill::sdk::arrow_array::{RecordBatch, cast::AsArray as _};
use ringmill_bench::workload::{Limit, Mix, generate};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::{Row, engine, key_file, rows, text, write_config},
    spill,
};

pub(crate) struct Scene {
    directory: TempDir,
    /// Of the sink.
    pub(crate) urls: Vec<String>,
    pub(crate) options: String,
    prefix: String,
}

impl Scene {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (urls, prefix) = (vec![url.to_owned()], prefix.to_owned());
        Self { directory, urls, options: String::new(), prefix }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file for its owner only.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A capture of so many packets, of which about half are heads.
    pub(crate) fn capture(&self, packets: u64, seed: u64) -> PathBuf {
        let path = self.path(&format!("{seed}.pcap"));
        let mut out = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        generate(Mix::Heavy, Limit::Packets(packets), seed, &mut out).unwrap();
        path
    }

    /// The engine over these captures. The JSON Lines of earlier runs are gone.
    pub(crate) fn command(&self, files: &[PathBuf]) -> Command {
        self.command_with(
            files,
            &format!(
                "[[sink]]\nuse = \"elasticsearch\"\nurls = {:?}\nindex = {:?}\n\
                 retry_seconds = 1\n{}\n",
                self.urls, self.prefix, self.options
            ),
        )
    }

    fn command_with(&self, files: &[PathBuf], sink: &str) -> Command {
        let key = key_file(self.directory.path());
        let text = format!(
            "[engine]\nledger = {:?}\nspill = {:?}\n[capture]\nfrom = \"file\"\nfiles = {files:?}\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
             [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
             [[stage]]\nuse = \"redact\"\nkey_file = {key:?}\n\
             [[stage]]\nuse = \"crypto_pan\"\nkey_file = {key:?}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n{sink}",
            self.path("ledger.json"),
            self.path("spill"),
            self.path("out.jsonl"),
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
    pub(crate) fn run(&self, files: &[PathBuf]) -> Ran {
        let output = self.command(files).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{err}");
        self.ended(err)
    }

    pub(crate) fn ended(&self, err: String) -> Ran {
        let ledger = fs::read(self.path("ledger.json")).unwrap_or_else(|_| panic!("{err}"));
        let ledger: Value = serde_json::from_slice(&ledger).unwrap();
        let sinks = ledger["sinks"].as_array().unwrap();
        let sink = sinks.iter().find(|sink| sink["sink"] == "elasticsearch").unwrap().clone();
        Ran { sink, err }
    }

    /// What the engine makes of these captures: the ids.
    pub(crate) fn expected(&self, files: &[PathBuf]) -> BTreeSet<String> {
        let output = self.command_with(files, "").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.ids()
    }

    /// The lines beside it.
    pub(crate) fn rows(&self) -> Vec<Row> {
        rows(&self.path("out.jsonl"))
    }

    /// The ids in the lines beside it.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        let id = |row: &Row| text(row, "record_id").unwrap().to_owned();
        self.rows().iter().map(id).collect()
    }

    /// The ids of what is spilled.
    pub(crate) fn spilled(&self) -> BTreeSet<String> {
        spill::batches(&self.spill()).iter().flat_map(ids).collect()
    }

    /// What was put aside.
    pub(crate) fn dead_letters(&self) -> Vec<RecordBatch> {
        spill::dead_letters(&self.spill())
    }

    pub(crate) fn spill(&self) -> PathBuf {
        self.path("spill").join("elasticsearch")
    }

    /// All bytes of all files below the directory, but for the secrets and the config.
    pub(crate) fn written(&self) -> Vec<u8> {
        fn all(directory: &Path, out: &mut Vec<u8>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => all(&path, out),
                    false => out.extend(fs::read(path).unwrap()),
                }
            }
        }
        let mut out = fs::read(self.path("ledger.json")).unwrap();
        all(&self.path("spill"), &mut out);
        out
    }
}

/// The ids of records, as text.
pub(crate) fn ids(records: &RecordBatch) -> Vec<String> {
    let column = records.column_by_name("record_id").unwrap().as_fixed_size_binary();
    let text = |id: Option<&[u8]>| {
        let mut out = Vec::new();
        ringmill::sdk::render::uuid(id.unwrap().try_into().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    };
    column.iter().map(text).collect()
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
