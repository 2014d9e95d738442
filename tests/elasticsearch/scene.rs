//! The engine with the sink.

use std::{
    collections::BTreeSet,
    fs,
    io::BufWriter,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use ringmill::sdk::arrow_array::RecordBatch;
use ringmill_bench::workload::{Limit, Mix, generate};

use crate::{
    spill,
    whole::{Ran, Whole},
};

pub(crate) struct Scene {
    whole: Whole,
    /// Of the sink.
    pub(crate) urls: Vec<String>,
    pub(crate) options: String,
    prefix: String,
}

impl Scene {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        let (urls, prefix) = (vec![url.to_owned()], prefix.to_owned());
        Self { whole: Whole::new("elasticsearch"), urls, options: String::new(), prefix }
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
        let mut out = BufWriter::new(fs::File::create(&path).unwrap());
        generate(Mix::Heavy, Limit::Packets(packets), seed, &mut out).unwrap();
        path
    }

    /// The table of the sink.
    pub(crate) fn sink(&self) -> String {
        format!(
            "[[sink]]\nuse = \"elasticsearch\"\nurls = {:?}\nindex = {:?}\nretry_seconds = 1\n{}\n",
            self.urls, self.prefix, self.options
        )
    }

    /// The engine over these captures.
    pub(crate) fn command(&self, files: &[PathBuf]) -> Command {
        self.whole.command(files, &self.sink())
    }

    /// Runs it to its end; the ledger balances.
    pub(crate) fn run(&self, files: &[PathBuf]) -> Ran {
        self.whole.run(files, &self.sink())
    }

    /// What the engine makes of these captures: the ids.
    pub(crate) fn expected(&self, files: &[PathBuf]) -> BTreeSet<String> {
        let output = self.whole.command(files, "").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.ids()
    }

    /// The ids in the lines beside it.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.whole.ids().into_iter().collect()
    }

    /// The ids of what is spilled.
    pub(crate) fn spilled(&self) -> BTreeSet<String> {
        spill::batches(&self.spill()).iter().flat_map(spill::ids).collect()
    }

    /// What was put aside.
    pub(crate) fn dead_letters(&self) -> Vec<RecordBatch> {
        spill::dead_letters(&self.spill())
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

impl Deref for Scene {
    type Target = Whole;

    fn deref(&self) -> &Whole {
        &self.whole
    }
}
