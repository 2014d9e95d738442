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

#[path = "kafka/broker.rs"]
mod broker;
#[path = "canary/capture.rs"]
mod capture;
mod common;
#[path = "canary/outputs.rs"]
mod outputs;
#[path = "canary/places.rs"]
mod places;
#[path = "elasticsearch/proxy.rs"]
mod proxy;
#[path = "canary/search.rs"]
mod search;
#[path = "canary/secrets.rs"]
mod secrets;
#[path = "common/service.rs"]
mod service;
#[path = "kafka/topics.rs"]
mod topics;
#[path = "canary/ways.rs"]
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use broker::Broker;
use capture::Capture;
use outputs::{OUTPUTS, Output, written};
use search::{Found, Search};
use secrets::{Canary, Form};

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

/// The chain up to the anonymizer.
const CHAIN: &str = "[[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
                     [[stage]]\nuse = \"http\"\nKEY\n[[stage]]\nuse = \"user_agent\"\n";
const REDACT: &str = "[[stage]]\nuse = \"redact\"\nKEY\n";

/// Every sink that there is, and one that comes from a plugin.
const SINKS: &str = "[[sink]]\nuse = \"parquet\"\ndirectory = \"parquet\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"records.jsonl\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"records.jsonl.zst\"\n\
                     [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n\
                     [[sink]]\nplugin = \"DIR/libjsonl.so\"\nuse = \"jsonl\"\n\
                     path = \"loaded.jsonl\"\n";
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
        let mut command = self.bare_command(arguments);
        command.args(["--config", "../in/config.toml"]);
        command
    }

    fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_engine")).args(arguments);
        command.current_dir(self.path("out"));
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

    /// The exit status. What the status page told while the engine ran, and at its end, is kept.
    fn run(&self, arguments: &[&str]) -> Option<i32> {
        let mut child = self.command(arguments).spawn().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            self.keep_status();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn keep_status(&self) {
        let said = self.stderr();
        let Some((_, rest)) = said.rsplit_once("status page at http://") else { return };
        let address = rest.lines().next().unwrap_or_default().trim_end_matches('/');
        let kept = [
            ("", "page.html"),
            ("status.json", ""),
            ("history.json", ""),
            ("metrics", "metrics.txt"),
        ];
        for (path, name) in kept {
            let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut answer = Vec::new();
            let asked = TcpStream::connect(address).and_then(|mut stream| {
                stream.write_all(request.as_bytes())?;
                stream.read_to_end(&mut answer)
            });
            if asked.is_ok() && answer.starts_with(b"HTTP/1.1 200 ") {
                let name = if name.is_empty() { path } else { name };
                fs::write(self.path("out").join(name), answer).unwrap();
            }
        }
    }

    /// Has the manifest of every file printed that has one.
    fn print_manifests(&self) {
        let mut folders = vec![self.path("out")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with(".parquet") || name.ends_with(".manifest.json") {
                    let printed = self.bare_command(&["manifest", &name]).status().unwrap();
                    assert_eq!(printed.code(), Some(0), "{name}: {}", self.stderr());
                }
            }
        }
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("out/stderr")).unwrap()
    }

    /// Whether there is something in an output of this kind.
    fn has(&self, output: &str) -> bool {
        let all = written(&self.path("out"));
        all.iter().any(|file| file.output.name == output && !file.bytes.is_empty())
    }

    /// What is found, by kind of output.
    fn found(&self) -> BTreeMap<&'static str, Found> {
        let mut found: BTreeMap<_, Found> = BTreeMap::new();
        for file in written(&self.path("out")).iter().filter(|file| !file.bytes.is_empty()) {
            let found = found.entry(file.output.name).or_default();
            for bytes in file.inside.iter().chain([&file.bytes]) {
                PLANTED.1.find(bytes, found);
            }
        }
        found
    }

    /// Fails when anything is found that must not come out; gives the kinds of output that were
    /// searched and not empty.
    fn check(&self, what: &str, names: bool) -> BTreeSet<&'static str> {
        let mut leaks = String::new();
        let Capture { canaries, expected, .. } = &PLANTED.0;
        let all = self.found();
        let outputs = all.keys().copied().collect();
        for (output, found) in all {
            for (number, (encoding, around)) in found {
                let of_name = names && canaries[number].is_word_of_name();
                if !expected[number].may_come_out && !of_name {
                    let (canary, form) = (&canaries[number], canaries[number].form);
                    let place = &canary.place;
                    writeln!(leaks, "{output}: {form:?} `{place}` as {encoding}: {around}")
                        .unwrap();
                }
            }
        }
        if let Some(path) = std::env::var_os("CANARY_LEAKS") {
            fs::write(path, &leaks).unwrap();
        }
        let count = leaks.lines().count();
        let first: Vec<_> = leaks.lines().take(60).collect();
        assert!(leaks.is_empty(), "{what}: {count} leaks\n{}", first.join("\n"));
        outputs
    }
}

/// A config over the capture.
fn config(engine: &str, stages: &str, sinks: &str) -> String {
    format!(
        "{engine}\n[capture]\nfrom = \"file\"\nfiles = [\"../in/capture.pcap\"]\n{stages}{sinks}"
    )
}

const WITH_LEDGER: &str = "[engine]\nworkers = 2\nledger = \"ledger.json\"\nspill = \"spill\"\n\
                           [status]\nlisten = \"127.0.0.1:0\"\n";

/// A chain that anonymizes, with something else changed in it.
struct Chain {
    name: &'static str,
    /// The table of the anonymizer.
    anonymizer: &'static str,
    /// What is replaced in the chain before it, and by what.
    change: (&'static str, &'static str),
    sinks: &'static str,
    /// The exit status, and what standard error says.
    ends: (i32, &'static str),
    /// The names of fields that are on no list come out, because the config says so.
    names: bool,
}

const PLAIN: Chain = Chain {
    name: "crypto_pan, all sinks",
    anonymizer: "use = \"crypto_pan\"\nKEY",
    change: ("", ""),
    sinks: SINKS,
    ends: (0, "the ledger balances"),
    names: false,
};

const fn strategy(name: &'static str, anonymizer: &'static str) -> Chain {
    Chain { name, anonymizer, sinks: FEW_SINKS, ..PLAIN }
}

const HTTP: &str = "[[stage]]\nuse = \"http\"\nKEY\n";

const CHAINS: &[Chain] = &[
    PLAIN,
    strategy("ipcrypt, prefixes", "use = \"ipcrypt\"\nmode = \"prefix_preserving\"\nKEY"),
    strategy("ipcrypt", "use = \"ipcrypt\"\nmode = \"deterministic\"\nKEY"),
    strategy("keyed_hash", "use = \"keyed_hash\"\nKEY"),
    strategy("truncate", "use = \"truncate\""),
    strategy("constant", "use = \"constant\""),
    strategy("a strategy of a plugin", "plugin = \"DIR/libcustom_anonymizer.so\"\nuse = \"site\""),
    Chain {
        name: "special addresses kept",
        anonymizer: "use = \"crypto_pan\"\nspecial = \"keep\"\nKEY",
        sinks: FEW_SINKS,
        ..PLAIN
    },
    Chain {
        name: "loaded stages",
        anonymizer: "plugin = \"DIR/libcrypto_pan.so\"\nuse = \"crypto_pan\"\nKEY",
        change: ("use = \"redact\"", "plugin = \"DIR/libredact.so\"\nuse = \"redact\""),
        sinks: FEW_SINKS,
        ..PLAIN
    },
    Chain {
        name: "names, and hashes of credentials",
        names: true,
        change: ("use = \"redact\"", "use = \"redact\"\ncredentials = \"hash\"\nnames = true"),
        sinks: FEW_SINKS,
        ..PLAIN
    },
    Chain {
        name: "each packet by itself",
        change: ("use = \"http\"", "use = \"http\"\nreassemble = false"),
        sinks: FEW_SINKS,
        ..PLAIN
    },
    Chain {
        name: "a stage that panics over packets and tells them",
        change: (HTTP, "[[stage]]\nplugin = \"DIR/libmisbehave.so\"\nuse = \"panics_and_tells\"\n"),
        ends: (1, "stage `panics_and_tells`: panicked in packets(): a message that may hold data"),
        ..PLAIN
    },
    Chain {
        name: "a stage that panics over records and tells them",
        change: (
            "[[stage]]\nuse = \"redact\"",
            "[[stage]]\nplugin = \"DIR/libmisbehave.so\"\nuse = \"panics_and_tells\"\n\
             records = true\n[[stage]]\nuse = \"redact\"",
        ),
        ends: (1, "stage `panics_and_tells`: panicked in records(): a message that may hold data"),
        ..PLAIN
    },
    Chain {
        name: "a stage that fails",
        change: (
            HTTP,
            "[[stage]]\nplugin = \"DIR/libmisbehave.so\"\nuse = \"fails_in_packets\"\nnth = 500\n",
        ),
        ends: (1, "packet 500 is the last straw"),
        ..PLAIN
    },
    Chain {
        name: "a full disk",
        sinks: "[[sink]]\nuse = \"jsonl\"\npath = \"/dev/full\"\n",
        ends: (1, "No space left on device"),
        ..PLAIN
    },
    Chain {
        name: "no anonymizer",
        anonymizer: "use = \"redact\"",
        ends: (2, "would reach this sink as it was on the wire"),
        ..PLAIN
    },
    Chain {
        name: "a store that is away, and one that wants nothing",
        sinks: "[[sink]]\nplugin = \"DIR/libstore.so\"\nuse = \"store\"\npath = \"never\"\n\
                fails = 1000000\ndrain_seconds = 1\nwhen_full = \"spill\"\n\
                [[sink]]\nplugin = \"DIR/libstore.so\"\nuse = \"store\"\npath = \"never\"\n\
                refuses = 1\ndrain_seconds = 1\n",
        ends: (0, "dead-lettered"),
        ..PLAIN
    },
    Chain {
        name: "a wrong option",
        anonymizer: "use = \"truncate\"\nv4_prefix = 40",
        ends: (2, "`v4_prefix` must be"),
        ..PLAIN
    },
];

impl Chain {
    fn config(&self) -> String {
        let (from, to) = self.change;
        // What is put before `http` leaves it there.
        let to = if from == HTTP { format!("{to}{HTTP}") } else { to.to_owned() };
        let before = format!("{CHAIN}{REDACT}");
        assert!(before.contains(from), "{}", self.name);
        let before = if from.is_empty() { before } else { before.replacen(from, &to, 1) };
        let stages = format!("{before}[[stage]]\n{}\n", self.anonymizer);
        config(WITH_LEDGER, &stages, self.sinks)
    }
}

#[test]
fn nothing_leaks_from_any_chain() {
    let mut seen = BTreeSet::new();
    for chain in CHAINS {
        let run = Run::new(&chain.config());
        let (status, says) = chain.ends;
        assert_eq!(run.run(&[]), Some(status), "{}: {}", chain.name, run.stderr());
        assert!(run.stderr().contains(says), "{} should say {says}: {}", chain.name, run.stderr());
        // What is said of a chain without running it is searched with the rest.
        for arguments in [&["check"][..], &["doctor"]] {
            run.run(arguments);
        }
        run.print_manifests();
        seen.extend(run.check(chain.name, chain.names));
    }
    let others = [
        "parquet, unfinished",
        "spill, where it is",
        "messages of kafka",
        "requests to elasticsearch",
    ];
    let needed = |output: &&Output| !others.contains(&output.name);
    for output in OUTPUTS.iter().filter(needed) {
        assert!(seen.contains(output.name), "nobody wrote the output `{}`", output.name);
    }
}

/// What lies in the topics, as it was sent: keys, headers and payloads of both formats.
#[test]
fn nothing_leaks_into_kafka() {
    let Some(broker) = Broker::start() else { return };
    let sinks = ["json", "arrow"].map(|format| {
        format!(
            "[[sink]]\nplugin = \"DIR/libkafka.so\"\nuse = \"kafka\"\nbrokers = {:?}\n\
             topic_prefix = \"canary\"\nformat = {format:?}\n",
            broker.address()
        )
    });
    let config = format!("{}{}", PLAIN.config(), sinks.concat());
    let run = Run::new(&config);
    assert_eq!(run.run(&[]), Some(0), "{}", run.stderr());
    let mut file = File::create(run.path("out").join(outputs::KAFKA)).unwrap();
    for message in topics::read(&broker.address(), "canary") {
        write!(file, "{:?} {:?} ", message.key, message.headers).unwrap();
        file.write_all(&message.payload).unwrap();
    }
    drop(file);
    let seen = run.check("kafka", false);
    assert!(seen.contains("messages of kafka"), "nothing came: {seen:?}");
}

/// What is sent to Elasticsearch, where nobody has to be for that.
#[test]
fn nothing_leaks_to_elasticsearch() {
    let proxy = proxy::Proxy::start("", None);
    proxy.mood(proxy::Mood::Yes);
    proxy.bodies();
    let sink = format!(
        "[[sink]]\nuse = \"elasticsearch\"\nurls = [\"http://{}\"]\ntemplate = false\ngzip = false\n",
        proxy.address
    );
    let run = Run::new(&format!("{}{sink}", PLAIN.config()));
    assert_eq!(run.run(&[]), Some(0), "{}", run.stderr());
    fs::write(run.path("out").join(outputs::REQUESTS), proxy.bodies().concat()).unwrap();
    let seen = run.check("elasticsearch", false);
    assert!(seen.contains("requests to elasticsearch"), "nothing was sent: {seen:?}");
}

/// Ended by a signal while it works: no core file, and nothing in what is half written.
#[test]
fn nothing_leaks_from_a_crash() {
    let half_written = ["jsonl", "parquet, unfinished"];
    for signal in ["ABRT", "SEGV", "KILL", "TERM"] {
        let chain = PLAIN.config().replace("../in/capture.pcap", "-");
        // Uncompressed, because nobody can read the pages of a file that has no end.
        let small = "use = \"parquet\"\nrotate_rows = 5000\nrow_group_rows = 100\n\
                     compression = \"none\"";
        let run = Run::new(&chain.replace("use = \"parquet\"", small));
        let mut child = run.command(&[]).stdin(Stdio::piped()).spawn().unwrap();
        // It waits for more until it ends.
        let mut input = child.stdin.take().unwrap();
        input.write_all(&PLANTED.0.pcap).unwrap();
        let since = Instant::now();
        while !half_written.iter().all(|output| run.has(output)) {
            assert!(since.elapsed() < Duration::from_secs(60), "nothing is written");
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = child.id().to_string();
        // The first SEGV only takes away the handler that tells of a stack overflow.
        while child.try_wait().unwrap().is_none() {
            Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(input);
        run.check(signal, false);
    }
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
            let is_found = found.contains_key(&number);
            if expected.when_open.is_some_and(|expected| expected != is_found) {
                let (place, form) = (&canary.place, canary.form);
                let is = if is_found { "is in" } else { "is not in" };
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

/// One canary of each kind, as others might write it, between other bytes.
#[test]
fn every_encoding_is_found() {
    let canaries = [Form::Email, Form::Token, Form::V4, Form::V6];
    let canaries = [0, 1, 2, 3].map(|n| Canary::new(n, canaries[usize::try_from(n).unwrap()], ""));
    let search = Search::new(&canaries);
    for (number, canary) in canaries.iter().enumerate() {
        let text = canary.sent.as_bytes();
        let each = |to: fn(u8) -> String| text.iter().copied().map(to).collect::<String>();
        let mut cases = vec![
            ("text", canary.sent.clone().into_bytes()),
            ("capitals", canary.sent.to_uppercase().into_bytes()),
            ("backwards", text.iter().rev().copied().collect()),
            ("hex", each(|byte| format!("{byte:02X}")).into_bytes()),
            ("hex with colons", each(|byte| format!("{byte:02x}:")).into_bytes()),
            ("percent", each(|byte| format!("%{byte:02x}")).into_bytes()),
            ("UTF-16", canary.sent.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("UTF-16, big endian", canary.sent.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ];
        let mut bytes = vec![text.to_vec()];
        let binary = match canary.sent.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(address)) => Some(address.to_ipv6_mapped()),
            Ok(std::net::IpAddr::V6(address)) => Some(address),
            Err(_) => None,
        };
        if let Some(address) = binary {
            cases.push(("binary", address.octets().to_vec()));
            cases.push(("little endian", address.to_bits().to_le_bytes().to_vec()));
            bytes.push(address.octets().to_vec());
        }
        for bytes in bytes {
            for before in [&b""[..], b"a", b"ab"] {
                let mut all = [before, &bytes, b"xyz"].concat();
                all.truncate(all.len() / 3 * 3);
                cases.push(("base64", search::base64(&all, b"+/")));
                cases.push(("base64url", search::base64(&all, b"-_")));
            }
        }
        for (encoding, bytes) in cases {
            let mut found = Found::default();
            search.find(&[b" ", &bytes[..], b" "].concat(), &mut found);
            assert!(found.contains_key(&number), "{:?} as {encoding} is not found", canary.form);
        }
        let mut found = Found::default();
        search.find(b"203.0.113.7 2001:db8::1 me@example.org", &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}
