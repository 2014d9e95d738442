//! The canary test: a capture that is full of addresses, cookies, tokens, names and e-mail
//! addresses goes through the whole engine, with every sink and every strategy, through panics,
//! errors and crashes. Then every byte that was written anywhere is searched for each of them in
//! every encoding. None may be there.
//!
//! It proves itself: with the gate open the same search finds every canary that was in a head.
//!
//! `canary/places.rs` says where they stand and what of plain words may come out,
//! `canary/secrets.rs` what they look like, `canary/ways.rs` how the heads reach the engine,
//! `canary/outputs.rs` what is searched.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "canary/capture.rs"]
mod capture;
mod common;
#[path = "canary/outputs.rs"]
mod outputs;
#[path = "canary/places.rs"]
mod places;
#[path = "canary/search.rs"]
mod search;
#[path = "canary/secrets.rs"]
mod secrets;
#[path = "canary/ways.rs"]
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use capture::Capture;
use outputs::{OUTPUTS, written};
use search::{Found, Search};

/// All tests search for the same canaries.
static PLANTED: LazyLock<(Capture, Search)> = LazyLock::new(|| {
    let capture = Capture::new();
    let search = Search::new(&capture.canaries);
    (capture, search)
});

/// A run of the engine in a directory of its own, in which `out` is the current directory and
/// gets all that is written, and `in` holds what the engine is given.
struct Run {
    directory: tempfile::TempDir,
}

/// The chain up to the anonymizer, by what stands behind `http`.
const CHAIN: &str = "[[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
                     [[stage]]\nuse = \"http\"\nKEY\n[[stage]]\nuse = \"user_agent\"\n";
const REDACT: &str = "[[stage]]\nuse = \"redact\"\nKEY\n";
const CRYPTO_PAN: &str = "[[stage]]\nuse = \"crypto_pan\"\nKEY\n";

/// Every sink that there is, and `hosts`, which comes from a plugin.
const SINKS: &str = "[[sink]]\nuse = \"parquet\"\ndirectory = \"parquet\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"records.jsonl\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"records.jsonl.zst\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n\
                     [[sink]]\nplugin = \"DIR/libcustom_sink.so\"\nuse = \"hosts\"\n\
                     path = \"hosts.tsv\"\n";
const FEW_SINKS: &str = "[[sink]]\nuse = \"jsonl\"\npath = \"records.jsonl\"\n";

impl Run {
    /// With this config, in which `KEY` stands for a key file and `DIR` for the plugins.
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let run = Self { directory };
        for name in ["in", "out"] {
            fs::create_dir(run.path(name)).unwrap();
        }
        // The same key every time: what is found, and what looks like it by chance, is so again.
        let key = format!("key_file = {:?}", common::key_file(&run.path("in")));
        let plugins = common::plugins().to_str().unwrap();
        let config = config.replace("KEY", &key).replace("DIR", plugins);
        fs::write(run.path("in/config.toml"), config).unwrap();
        fs::write(run.path("in/capture.pcap"), &PLANTED.0.pcap).unwrap();
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The engine, which tells all that it can tell and may leave a core file.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_engine")).args(arguments);
        command.args(["--config", "../in/config.toml"]).current_dir(self.path("out"));
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").stdin(Stdio::null());
        for (name, is_stdout) in [("out/stdout", true), ("out/stderr", false)] {
            let file = File::options().create(true).append(true).open(self.path(name)).unwrap();
            match is_stdout {
                true => command.stdout(file),
                false => command.stderr(file),
            };
        }
        command
    }

    /// The exit status.
    fn run(&self, arguments: &[&str]) -> Option<i32> {
        self.command(arguments).status().unwrap().code()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("out/stderr")).unwrap()
    }

    /// What is found, by kind of output.
    fn found(&self) -> BTreeMap<&'static str, Found> {
        let mut found: BTreeMap<_, Found> = BTreeMap::new();
        for file in written(&self.path("out")) {
            let found = found.entry(file.output.name).or_default();
            for bytes in file.inside.iter().chain([&file.bytes]) {
                PLANTED.1.find(bytes, found);
            }
        }
        found
    }

    /// Fails when anything is found that must not come out.
    fn check(&self, what: &str) {
        let mut leaks = String::new();
        let Capture { canaries, expected, .. } = &PLANTED.0;
        for (output, found) in self.found() {
            for (number, (encoding, around)) in found {
                if !expected[number].may_come_out {
                    let (canary, form) = (&canaries[number], canaries[number].form);
                    let place = &canary.place;
                    writeln!(leaks, "{output}: {form:?} `{place}` as {encoding}: {around}").unwrap();
                }
            }
        }
        if let Some(path) = std::env::var_os("CANARY_LEAKS") {
            fs::write(path, &leaks).unwrap();
        }
        let count = leaks.lines().count();
        let first: Vec<_> = leaks.lines().take(60).collect();
        assert!(leaks.is_empty(), "{what}: {count} leaks\n{}", first.join("\n"));
    }
}

/// A config over the capture.
fn config(engine: &str, stages: &str, sinks: &str) -> String {
    format!(
        "{engine}\n[capture]\nfrom = \"file\"\nfiles = [\"../in/capture.pcap\"]\n{stages}{sinks}"
    )
}

const WITH_LEDGER: &str = "[engine]\nworkers = 2\nledger = \"ledger.json\"\n";

#[test]
fn nothing_leaks() {
    let run = Run::new(&config(WITH_LEDGER, &format!("{CHAIN}{REDACT}{CRYPTO_PAN}"), SINKS));
    assert_eq!(run.run(&[]), Some(0), "{}", run.stderr());
    run.check("crypto_pan");
}

#[test]
fn the_search_finds_what_is_there() {
    let open = format!("allow_identifiable = true\n{WITH_LEDGER}");
    let run = Run::new(&config(&open, CHAIN, SINKS));
    assert_eq!(run.run(&[]), Some(0), "{}", run.stderr());
    let Capture { canaries, expected, .. } = &PLANTED.0;
    let (mut found, mut wrong) = (run.found(), String::new());
    for output in ["standard output", "jsonl", "jsonl, compressed", "parquet"] {
        let found = found.remove(output).unwrap_or_default();
        for (number, (canary, expected)) in canaries.iter().zip(expected).enumerate() {
            if expected.when_open != found.contains_key(&number) {
                let (place, form) = (&canary.place, canary.form);
                let is = if expected.when_open { "is not in" } else { "is in" };
                writeln!(wrong, "{form:?} of `{place}` {is} {output}").unwrap();
            }
        }
        println!("{output}: {} of {} canaries", found.len(), canaries.len());
    }
    if let Some(path) = std::env::var_os("CANARY_LEAKS") {
        fs::write(path, &wrong).unwrap();
    }
    let first: Vec<_> = wrong.lines().take(60).collect();
    assert!(wrong.is_empty(), "{} are wrong\n{}", wrong.lines().count(), first.join("\n"));
}
