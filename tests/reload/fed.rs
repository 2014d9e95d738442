//! An engine that is fed requests, through a pipe or a wire, and what it wrote of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arrow_array::{Array as _, cast::AsArray as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ringmill::manifest;
use ringmill_sdk::testing::Frame;
use serde_json::Value;
use tempfile::TempDir;

use crate::common;

/// How long a test waits for what comes at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request, which is known by its number, in a frame.
pub(crate) fn request(number: u32) -> Vec<u8> {
    let [_, a, b, c] = number.to_be_bytes();
    let head = format!("GET /m/{number} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    Frame::tcp(&format!("10.{a}.{b}.{c}:40000"), "192.0.2.1:80").payload(head).build()
}

/// A packet of a pcap file.
pub(crate) fn packet(number: u32, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let time = [1_700_000_000 + number / 100_000, number % 100_000 * 10];
    let words = [time[0], time[1], length, length];
    words.iter().flat_map(|word| word.to_le_bytes()).chain(frame.iter().copied()).collect()
}

/// How a pcap file of Ethernet frames begins.
pub(crate) fn head() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An engine that reads packets from its standard input.
pub(crate) struct Fed {
    directory: TempDir,
    engine: Child,
    stdin: Option<ChildStdin>,
}

/// What is left of it.
pub(crate) struct Ended {
    pub(crate) directory: TempDir,
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) ledger: Value,
}

impl Fed {
    /// Starts it with what `config` says for a directory, where `[engine]` names the ledger.
    pub(crate) fn new(config: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let text = config(at);
        let config = common::write_config(at, &with_ledger(&text, at));
        let mut engine = common::engine();
        engine.arg("--config").arg(config).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut engine = engine.stderr(File::create(at.join("stderr")).unwrap()).spawn().unwrap();
        let mut stdin = engine.stdin.take();
        stdin.as_mut().unwrap().write_all(&head()).unwrap();
        let fed = Self { directory, engine, stdin };
        while !fed.takes_signals() {
            thread::sleep(Duration::from_micros(100));
        }
        fed
    }

    /// Whether the program has made SIGHUP its own; before that it would be its end.
    fn takes_signals(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.engine.id()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap()
    }

    /// Gives it a packet.
    pub(crate) fn send(&mut self, number: u32, frame: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(&packet(number, frame)).unwrap();
    }

    /// Gives it requests from number `first` on, until enough; how many, when asked for.
    pub(crate) fn feed(&mut self, first: u32) -> Feed {
        let (enough, next) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU32::new(first)));
        let mut stdin = self.stdin.take().unwrap();
        let (until, number) = (Arc::clone(&enough), Arc::clone(&next));
        let thread = thread::spawn(move || {
            while !until.load(Relaxed) {
                let from = number.load(Relaxed);
                let packets: Vec<_> =
                    (from..from + 64).flat_map(|n| packet(n, &request(n))).collect();
                stdin.write_all(&packets)?;
                number.store(from + 64, Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
            Ok(stdin)
        });
        Feed { enough, next, thread }
    }

    /// Puts another config in the place of the one it has; it is not asked to read it.
    pub(crate) fn put(&self, text: &str) {
        common::write_config(self.path(), &with_ledger(text, self.path()));
    }

    pub(crate) fn hang_up(&self) {
        common::signal(self.pid(), "HUP");
    }

    /// Waits until it has read its config: it takes packets.
    pub(crate) fn wait_until_begun(&self) {
        let until = Instant::now() + PATIENCE;
        let tasks = format!("/proc/{}/task", self.pid());
        let is_worker = |task: io::Result<fs::DirEntry>| {
            let name = fs::read_to_string(task.unwrap().path().join("comm"));
            name.is_ok_and(|name| name == "worker-0\n")
        };
        while !fs::read_dir(&tasks).unwrap().any(is_worker) {
            assert!(Instant::now() < until, "it does not begin: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has said something so many times.
    pub(crate) fn wait_for(&mut self, what: &str, times: usize) {
        let until = Instant::now() + PATIENCE;
        while self.stderr().matches(what).count() < times {
            assert!(self.engine.try_wait().unwrap().is_none(), "it ended: {}", self.stderr());
            assert!(Instant::now() < until, "no `{what}`: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has said something behind so many bytes.
    pub(crate) fn wait_for_more(&self, before: usize, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.stderr()[before..].contains(what) {
            assert!(Instant::now() < until, "no `{what}`: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until its page says that so many packets were received.
    pub(crate) fn wait_for_packets(&mut self, packets: u64) {
        self.wait_for("status page at http://", 1);
        let said = self.stderr();
        let address = common::page(&said).unwrap();
        let until = Instant::now() + PATIENCE;
        let sample = format!("ringmill_received_packets_total{{worker=\"0\"}} {packets}\n");
        loop {
            let answer = common::get(address, "/metrics");
            if answer.contains(&sample) {
                return;
            }
            assert!(Instant::now() < until, "{answer}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// It gets what a feed gave no more.
    pub(crate) fn take_back(&mut self, feed: Feed) -> u32 {
        let (stdin, number) = feed.stop();
        self.stdin = Some(stdin);
        number
    }

    /// Gives no more, and waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.engine.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr();
        let ledger = fs::read(self.path().join("ledger.json")).unwrap_or_default();
        let ledger = serde_json::from_slice(&ledger).unwrap_or_default();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        Ended { directory, code: status.code(), stderr, ledger }
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        // Most have ended, which is no error here.
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

impl Ended {
    /// It went well, and its books balance.
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.ledger["imbalances"], Value::Array(Vec::new()), "{}", self.stderr);
        self
    }
}

/// A thread that gives requests.
pub(crate) struct Feed {
    enough: Arc<AtomicBool>,
    next: Arc<AtomicU32>,
    thread: JoinHandle<io::Result<ChildStdin>>,
}

impl Feed {
    /// The number of the next request.
    pub(crate) fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Waits until what it gives is not read any more.
    pub(crate) fn until_nobody_reads(self) {
        assert!(self.thread.join().unwrap().is_err());
    }

    fn stop(self) -> (ChildStdin, u32) {
        self.enough.store(true, Relaxed);
        let stdin = self.thread.join().unwrap().unwrap();
        (stdin, self.next.load(Relaxed))
    }
}

/// What takes requests from standard input to `out.jsonl`, in a chain that keeps their numbers.
pub(crate) fn config(directory: &Path) -> String {
    format!(
        "[engine]\n[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
         [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\nkey_file = {:?}\n[[stage]]\n\
         use = \"redact\"\nurl = \"full\"\n[[stage]]\nuse = \"truncate\"\n[[sink]]\n\
         use = \"jsonl\"\npath = {:?}\n",
        common::key_file(directory),
        directory.join("out.jsonl"),
    )
}

/// The config with more before a stage.
pub(crate) fn before(config: &str, stage: &str, more: &str) -> String {
    let stage = format!("[[stage]]\nuse = {stage:?}");
    assert!(config.contains(&stage), "{config}");
    config.replace(&stage, &format!("{more}{stage}"))
}

/// The config with a place for the ledger.
pub(crate) fn with_ledger(text: &str, directory: &Path) -> String {
    text.replace("[engine]", &format!("[engine]\nledger = {:?}", directory.join("ledger.json")))
}

/// The files below a directory whose names end so, those that are not finished too.
pub(crate) fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path, ending)),
            false => found.extend(path.to_string_lossy().ends_with(ending).then_some(path)),
        }
    }
    found
}

/// What is looked at in a row, of which there are millions.
#[derive(serde::Deserialize)]
struct Row<'a> {
    uri: &'a str,
    src_ip: &'a str,
}

/// Each request's number and client in a file.
fn requests(path: &Path) -> Vec<(u32, String)> {
    let number = |uri: &str| uri.strip_prefix("/m/").expect(uri).parse().expect(uri);
    if path.extension().is_none_or(|ending| ending != "parquet") {
        let both = |line: &str| {
            let row: Row<'_> = serde_json::from_str(line).expect(line);
            (number(row.uri), row.src_ip.to_owned())
        };
        return common::lines(path).lines().map(both).collect();
    }
    let mut all = Vec::new();
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
    for records in file.unwrap().build().unwrap() {
        let records = records.unwrap();
        let column = |name: &str| records.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (uris, clients) = (column("uri"), column("src_ip"));
        let rows = 0..uris.len();
        all.extend(rows.map(|row| (number(uris.value(row)), clients.value(row).to_owned())));
    }
    all
}

/// How often each request is in these files, each of which says of all its rows how they came about.
pub(crate) fn found(files: &[PathBuf]) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for path in files {
        let manifest = manifest::read(path).unwrap();
        let truncated = manifest.chain.iter().any(|stage| stage.name == "truncate");
        for (number, client) in requests(path) {
            *found.entry(number).or_default() += 1;
            assert_eq!(client.starts_with("10."), truncated, "{}: {client}", path.display());
        }
    }
    found
}

/// All requests up to `end` are there, each once.
pub(crate) fn assert_each_once(found: &BTreeMap<u32, usize>, end: u32, what: &str) {
    let lost: Vec<_> = (0..end).filter(|number| !found.contains_key(number)).take(9).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(9).collect();
    let all = u32::try_from(found.len()).unwrap();
    assert_eq!((lost, doubled, all), (Vec::new(), Vec::new(), end), "{what}");
}
