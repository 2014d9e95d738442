//! The whole engine over the double: it loads it as it would libpfring, and the double sends it
//! a capture file.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ringmill::sdk::testing::Frame;
use serde_json::Value;

use crate::{
    common::{self, Row},
    wire::{self, is_double},
};

/// A run over rings.
#[derive(Default)]
struct Live<'a> {
    workers: usize,
    /// What `[capture]` says beside `from` and `interface`.
    capture: &'a str,
    /// Interfaces and what comes by each; `lo` is on every machine.
    feed: Vec<(&'a str, PathBuf)>,
    /// Variables of the double.
    double: Vec<(&'a str, &'a str)>,
    /// In a network namespace with a veth pair.
    veth: bool,
}

struct Ran {
    ledger: Value,
    rows: Vec<Row>,
    /// What the double says became of its packets.
    books: Value,
}

impl Live<'_> {
    fn config(&self, directory: &Path) -> PathBuf {
        let key = common::key_file(directory);
        let (out, ledger) = (directory.join("out.jsonl"), directory.join("ledger.json"));
        let interfaces: Vec<&str> = self.feed.iter().map(|(interface, _)| *interface).collect();
        let (workers, capture) = (self.workers.max(1), self.capture);
        common::write_config(
            directory,
            &format!(
                // The double, which lives in the engine, reads what it sends from anywhere.
                "allow_identifiable = true\n[engine]\nworkers = {workers}\nledger = {ledger:?}\n\
                 sandbox = false\n[capture]\nfrom = \"pf_ring\"\ninterface = {interfaces:?}\n{capture}\n\
                 [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
                 [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
                 [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n"
            ),
        )
    }

    fn start(&self, directory: &Path) -> Child {
        let engine = env!("CARGO_BIN_EXE_engine");
        let mut command = Command::new(engine);
        if self.veth {
            command = Command::new("unshare");
            let script = "ip link add rmva0 type veth peer name rmvb0 && ip link set rmva0 up && \
                          ip link set rmvb0 up && exec \"$@\"";
            command.args(["--net", "sh", "-ec", script, "sh", engine]);
        }
        let feed: Vec<String> = self
            .feed
            .iter()
            .map(|(interface, capture)| format!("{interface}={}", capture.display()))
            .collect();
        command
            .current_dir(common::root())
            .args(["--quiet", "--config"])
            .arg(self.config(directory))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("RUST_LOG")
            .env(pfring_sys::LIBRARY_VARIABLE, wire::path())
            .env("RINGMILL_DOUBLE_FEED", feed.join(","))
            .env("RINGMILL_DOUBLE_RINGS", self.workers.max(1).to_string())
            .env("RINGMILL_DOUBLE_END", directory.join("end.json"))
            .envs(self.double.iter().copied())
            .spawn()
            .unwrap()
    }

    /// Runs until the double has sent all, then ends it as an operator does.
    fn run(&self) -> Ran {
        self.run_and(|_| ())
    }

    /// As `run`, with something that is done while it runs, given the engine's process id.
    fn run_and(&self, meanwhile: impl FnOnce(u32)) -> Ran {
        let directory = tempfile::tempdir().unwrap();
        let end = directory.path().join("end.json");
        let mut child = self.start(directory.path());
        meanwhile(child.id());
        let began = Instant::now();
        while !end.exists() && child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}", output.status);
        let json = |name: &str| -> Value {
            let path = directory.path().join(name);
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
            serde_json::from_str(&text).unwrap()
        };
        let rows = common::rows(&directory.path().join("out.jsonl"));
        Ran { ledger: json("ledger.json"), rows, books: json("end.json") }
    }

    /// Exit status and message of a run that cannot begin.
    fn refused(&self) -> (i32, String) {
        let directory = tempfile::tempdir().unwrap();
        let mut child = self.start(directory.path());
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (child.wait().unwrap().code().unwrap_or(-1), text)
    }
}

impl Ran {
    /// Checks that every packet that was sent is accounted for; what each worker received.
    fn workers(&self) -> Vec<u64> {
        let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
        let rings = self.ledger["rings"].as_array().unwrap();
        let mut workers = vec![0; self.ledger["workers"].as_array().unwrap().len()];
        let mut dropped = 0;
        for ring in rings {
            assert_eq!(number(ring, "received"), number(ring, "taken"), "{ring}");
            assert!(ring.get("error").is_none(), "{ring}");
            dropped += number(&ring["dropped"], "ring_full");
            workers[usize::try_from(number(ring, "worker")).unwrap()] += number(ring, "received");
        }
        for (number_of, worker) in self.ledger["workers"].as_array().unwrap().iter().enumerate() {
            assert_eq!(number(worker, "received"), workers[number_of], "worker {number_of}");
        }
        let received: u64 = workers.iter().sum();
        let (books, filtered) = (&self.books, number(&self.books, "filtered"));
        assert_eq!(received + dropped + filtered, number(books, "offered"), "{books}");
        assert_eq!(dropped, number(books, "full"), "{books}");
        assert_eq!(number(books, "vanished"), 0, "a share was lost uncounted: {books}");
        assert_eq!(self.ledger["imbalances"], serde_json::json!([]));
        workers
    }

    fn sorted_rows(&self) -> Vec<String> {
        sorted(&self.rows)
    }
}

fn sorted(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> =
        rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    lines.sort();
    lines
}

/// The project's captures that a card could have given: classic files of Ethernet frames.
fn captures() -> Vec<PathBuf> {
    let mut captures = common::own_captures();
    captures.retain(|path| {
        let bytes = fs::read(path).unwrap();
        let little = matches!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]);
        little && bytes[20..24] == [1, 0, 0, 0]
    });
    assert!(captures.len() > 5, "{captures:?}");
    captures
}

fn named(name: &str) -> PathBuf {
    common::root().join("tests/captures").join(name)
}

/// Puts frames into a capture file, a microsecond apart.
fn pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1_u32] {
        bytes.extend(word.to_le_bytes());
    }
    for (number, frame) in frames.iter().enumerate() {
        let (number, len) = (u32::try_from(number).unwrap(), u32::try_from(frame.len()).unwrap());
        let seconds = 1_700_000_000 + number / 1_000_000;
        for word in [seconds, number % 1_000_000, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    fs::write(path, bytes).unwrap();
}

/// Six connections: number `i` has 4^i packets in each direction. So, in base 4, each digit of
/// the count of packets that a worker got is 2 or 0: a connection is its own, or not at all.
fn weighted() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for connection in 0..6 {
        let client = format!("10.2.0.{}:{}", connection + 1, 50_000 + connection * 4);
        for _ in 0..4_u32.pow(connection) {
            there.push(Frame::tcp(&client, "192.0.2.80:80").payload(b"to").build());
            back.push(Frame::tcp("192.0.2.80:80", &client).payload(b"from").build());
        }
    }
    (there, back)
}

fn assert_whole_connections(workers: &[u64]) {
    let total: u64 = workers.iter().sum();
    assert_eq!(total, 2 * (4_u64.pow(6) - 1) / 3);
    for count in workers {
        let digits: Vec<u64> = (0..6).map(|digit| count / 4_u64.pow(digit) % 4).collect();
        assert!(digits.iter().all(|digit| digit % 2 == 0), "{workers:?}: {digits:?}");
    }
}

#[test]
fn records_are_those_of_the_file_with_any_number_of_workers() {
    if !is_double("a capture file as traffic") {
        return;
    }
    let mut busy = 0;
    for capture in captures() {
        let file = sorted(&common::heads(&capture));
        for workers in [1, 2, 4] {
            let feed = vec![("lo", capture.clone())];
            let ran = Live { workers, feed, ..Live::default() }.run();
            let received = ran.workers();
            busy += usize::from(received.iter().filter(|&&count| count > 0).count() > 1);
            assert_eq!(ran.sorted_rows(), file, "{} {workers}", capture.display());
        }
    }
    assert!(busy > 3, "hardly any run used several workers: {busy}");
}

#[test]
fn both_directions_of_a_connection_are_one_workers() {
    if !is_double("a capture file as traffic") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weighted.pcap");
    let (mut frames, back) = weighted();
    frames.extend(back);
    pcap(&path, &frames);
    for workers in [1, 2, 4] {
        let feed = vec![("lo", path.clone())];
        let received = Live { workers, feed, ..Live::default() }.run().workers();
        assert_whole_connections(&received);
        assert_eq!(received.iter().filter(|&&count| count > 0).count(), workers, "{received:?}");
    }
}

#[test]
fn two_interfaces_with_a_direction_each_meet_on_one_worker() {
    if !is_double("a capture file as traffic") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        common::skipped("a veth pair needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let paths = ["there.pcap", "back.pcap"].map(|name| directory.path().join(name));
    let (there, back) = weighted();
    pcap(&paths[0], &there);
    pcap(&paths[1], &back);
    let [there, back] = paths;
    // The ring of each worker has the worker's number in both clusters, whoever comes first.
    for _ in 0..3 {
        let feed = vec![("rmva0", there.clone()), ("rmvb0", back.clone())];
        let live =
            Live { workers: 4, capture: "cluster = 42", feed, veth: true, ..Live::default() };
        let ran = live.run();
        assert_whole_connections(&ran.workers());
        let rings = ran.ledger["rings"].as_array().unwrap();
        let interfaces: BTreeSet<_> =
            rings.iter().map(|ring| ring["interface"].as_str().unwrap()).collect();
        assert_eq!((rings.len(), interfaces), (8, BTreeSet::from(["rmva0", "rmvb0"])));
    }
}

#[test]
fn round_robin_deals_one_after_the_other() {
    if !is_double("a capture file as traffic") {
        return;
    }
    for workers in [2, 4] {
        let feed = vec![("lo", named("curl-methods-nginx-apache.pcap"))];
        let capture = "balance = \"round_robin\"";
        let received = Live { workers, capture, feed, ..Live::default() }.run().workers();
        let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
        assert!(most - least <= 1, "{received:?}");
    }
}

#[test]
fn overload_is_counted_to_the_packet() {
    if !is_double("rings of 64 slots") {
        return;
    }
    let small = "snaplen = 1536";
    let robin = "snaplen = 1536\nbalance = \"round_robin\"";
    for (workers, capture) in [(1, small), (2, small), (2, robin)] {
        let live = Live {
            workers,
            capture,
            feed: vec![("lo", named("curl-methods-nginx-apache.pcap"))],
            double: vec![
                ("RINGMILL_DOUBLE_SLOTS", "64"),
                ("RINGMILL_DOUBLE_REPEAT", "400"),
                ("RINGMILL_DOUBLE_BURST", "10000"),
            ],
            ..Live::default()
        };
        let ran = live.run();
        let received: u64 = ran.workers().iter().sum();
        let (offered, full) = (&ran.books["offered"], ran.books["full"].as_u64().unwrap());
        assert_eq!(offered.as_u64(), Some(246 * 400));
        assert!(full > 1000 && received > 128, "no overload: {}", ran.books);
        let rings = ran.ledger["rings"].as_array().unwrap();
        assert!(rings.iter().any(|ring| ring["most_dropped"].as_u64() > Some(0)), "{rings:?}");
    }
}

#[test]
fn an_interface_that_is_made_again_is_captured_again() {
    if !is_double("an interface of the system that is PF_RING's, too") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        common::skipped("a veth pair needs root");
        return;
    }
    let live = Live {
        workers: 2,
        feed: vec![("rmva0", named("curl-methods-nginx-apache.pcap"))],
        double: vec![("RINGMILL_DOUBLE_RATE", "1000"), ("RINGMILL_DOUBLE_REPEAT", "25")],
        veth: true,
        ..Live::default()
    };
    let ran = live.run_and(|engine| {
        let ip = |line: &str| {
            let mut command = Command::new("nsenter");
            command.args(["--target", &engine.to_string(), "--net", "ip"]).args(line.split(' '));
            assert!(command.status().unwrap().success(), "ip {line}");
        };
        thread::sleep(Duration::from_millis(1000));
        ip("link del rmva0");
        thread::sleep(Duration::from_millis(700));
        ip("link add rmva0 type veth peer name rmvb0");
        ip("link set rmva0 up");
        ip("link set rmvb0 up");
    });
    let rings = ran.ledger["rings"].as_array().unwrap();
    assert_eq!(rings.len(), 4, "two before and two after: {rings:?}");
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
    let received: Vec<u64> = rings.iter().map(|ring| number(ring, "received")).collect();
    let taken: u64 = rings.iter().map(|ring| number(ring, "taken")).sum();
    assert_eq!(received.iter().sum::<u64>(), taken);
    assert_eq!(taken, number(&ran.books, "inserted"), "{} {rings:?}", ran.books);
    // It is missed for the seconds in which it was not there and in which it was noticed.
    let offered = number(&ran.books, "offered");
    assert!(taken < offered && taken > offered / 3, "{}", ran.books);
    assert_eq!(number(&ran.ledger["interfaces"][0], "interruptions"), 1);
    assert_eq!(ran.ledger["imbalances"], serde_json::json!([]));
}

#[test]
fn a_filter_holds_on_every_ring() {
    if !is_double("a capture file as traffic") {
        return;
    }
    for workers in [1, 2, 4] {
        let live = Live {
            workers,
            capture: "filter = \"udp port 53\"",
            feed: vec![("lo", named("mixed-ports-tls-dns.pcap"))],
            ..Live::default()
        };
        let ran = live.run();
        let received: u64 = ran.workers().iter().sum();
        assert!(received > 0 && ran.books["filtered"].as_u64().unwrap() > 0, "{}", ran.books);
        assert_eq!(ran.rows.len(), 0, "HTTP is not on port 53");
    }
    let feed = vec![("lo", named("mixed-ports-tls-dns.pcap"))];
    let (status, text) =
        Live { capture: "filter = \"udp prot 53\"", feed, ..Live::default() }.refused();
    assert!(status == 2 && text.contains("syntax error"), "{status}: {text}");
}

#[test]
fn a_machine_without_pf_ring_says_so_in_a_sentence() {
    if !is_double("machines that lack something") {
        return;
    }
    let library = pfring_sys::LIBRARY_VARIABLE;
    let fails = "RINGMILL_DOUBLE_FAILS";
    let cases: &[(&str, &str, &str)] = &[
        (library, "/no/such/libpfring.so", "libpfring does not load: /no/such/libpfring.so"),
        (library, "libc.so.6", "it has no `pfring_open`"),
        (fails, "module", "PF_RING's kernel module is not loaded; `modprobe pf_ring`"),
        (fails, "root", "needs CAP_NET_RAW; run as root, or once `setcap"),
        (fails, "version", "libpfring (8.9.0) and its kernel module have to be of one version"),
        ("RINGMILL_DOUBLE_VERSION", "0x070600", "libpfring 7.6.0 is too old"),
        ("RINGMILL_DOUBLE_HEADER", "45", "packet headers of 45 bytes, not of 48"),
    ];
    for &(variable, value, expected) in cases {
        let live = Live {
            workers: 2,
            feed: vec![("lo", named("curl-keepalive-ipv4.pcap"))],
            double: vec![(variable, value)],
            ..Live::default()
        };
        let (status, text) = live.refused();
        assert_eq!(status, 2, "{variable}={value}: {text}");
        assert!(text.contains(expected), "{variable}={value}: {text}");
        // What the library itself prints, and what the engine says of its cluster, aside.
        let said = |line: &&str| {
            !line.trim().is_empty() && !line.contains(" INFO ") && !line.starts_with("Wrong RING")
        };
        assert_eq!(text.lines().filter(said).count(), 1, "{text}");
    }
    // Where no variable names one, as most machines have none.
    if pfring_sys::Library::load().is_err() {
        let feed = vec![("lo", named("curl-keepalive-ipv4.pcap"))];
        let (status, text) =
            Live { feed, double: vec![(library, "")], ..Live::default() }.refused();
        assert!(status == 2 && text.contains("libpfring is not installed"), "{status}: {text}");
    }
}

#[test]
fn what_the_config_cannot_have_is_said_in_a_sentence() {
    if !is_double("a capture file as traffic") {
        return;
    }
    let capture = named("curl-keepalive-ipv4.pcap");
    let lo = || vec![("lo", capture.clone())];
    let cases: Vec<(Live<'_>, &str)> = vec![
        (Live { workers: 65, feed: lo(), ..Live::default() }, "64 rings at most; `workers` is 65"),
        (
            Live { feed: vec![("rmnone0", capture.clone())], ..Live::default() },
            "there is no interface `rmnone0`",
        ),
        (
            Live {
                workers: 2,
                capture: "cluster = 65535",
                feed: vec![("lo", capture.clone()), ("double1", capture.clone())],
                ..Live::default()
            },
            "set `cluster` to 65534 or less",
        ),
    ];
    for (live, expected) in cases {
        let (status, text) = live.refused();
        assert!(status == 2 && text.contains(expected), "{expected}: {status}: {text}");
    }
}

#[test]
fn a_list_goes_on_to_what_the_machine_has() {
    let directory = tempfile::tempdir().unwrap();
    let capture = named("curl-keepalive-ipv4.pcap");
    let config = common::plain_config(directory.path(), &[capture.to_str().unwrap()]);
    let text = fs::read_to_string(&config).unwrap();
    let list = "from = [\"pf_ring\", \"file\"]\ninterface = \"lo\"";
    fs::write(&config, text.replace("from = \"file\"", list)).unwrap();
    let mut engine = common::engine();
    engine.env(pfring_sys::LIBRARY_VARIABLE, "/no/such/libpfring.so");
    let output = engine.arg("--quiet").arg("--config").arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        sorted(&common::rows(&directory.path().join("out.jsonl"))),
        sorted(&common::heads(&capture))
    );
}
