//! An engine that is fed through a pipe, so that its run lasts as long as a test wants.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringmill_bench::workload::{Limit, Mix, generate};
use serde_json::Value;
use tempfile::TempDir;

use crate::common;

/// A capture of the border of a campus.
pub(crate) static CAPTURE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    generate(Mix::Campus, Limit::Packets(8_000), 7, &mut bytes).unwrap();
    bytes
});
/// Bytes of a pcap file before its first packet.
const HEADER: usize = 24;

pub(crate) struct Scene {
    directory: TempDir,
    engine: Child,
    pub(crate) address: SocketAddr,
    feed: Option<JoinHandle<io::Result<()>>>,
    enough: Arc<AtomicBool>,
}

impl Scene {
    /// Begins a run that gets the capture again and again, with a pause after each time; `status` is
    /// more of its table.
    pub(crate) fn new(status: &str, pause: Duration) -> Self {
        Self::with(status, "", pause)
    }

    /// The same with more stages behind `http`.
    pub(crate) fn with(status: &str, stages: &str, pause: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let config = common::write_config(
            directory.path(),
            &format!(
                "[engine]\nworkers = 2\nledger = {:?}\n[status]\nlisten = \"127.0.0.1:0\"\n{status}\n\
                 [capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
                 [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n{stages}\
                 [[stage]]\nuse = \"user_agent\"\n[[stage]]\nuse = \"redact\"\n\
                 [[stage]]\nuse = \"crypto_pan\"\nkey = \"ephemeral\"\n\
                 [[sink]]\nuse = \"parquet\"\ndirectory = {:?}\n\
                 [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
                path("ledger.json"),
                path("parquet"),
                path("records.jsonl"),
            ),
        );
        let mut engine = common::engine()
            .arg("--config")
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let stdin = engine.stdin.take().unwrap();
        let until = Arc::clone(&enough);
        let feed = thread::spawn(move || feed(stdin, pause, &until));
        let address = address(&path("stderr"));
        Self { directory, engine, address, feed: Some(feed), enough }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts something else into its config, and lets the engine read it again.
    pub(crate) fn reload(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("test.toml")).unwrap();
        assert!(text.contains(old), "{old}");
        common::write_config(self.directory.path(), &text.replace(old, new));
        common::signal(self.engine.id(), "HUP");
    }

    /// Feeds no more: the run will end.
    pub(crate) fn enough(&mut self) {
        self.enough.store(true, Relaxed);
        if let Some(feed) = self.feed.take() {
            feed.join().unwrap().unwrap();
        }
    }

    /// Waits for the end of the run; its ledger.
    pub(crate) fn end(mut self) -> Value {
        self.enough();
        let status = wait(&mut self.engine);
        let said = fs::read_to_string(self.path("stderr")).unwrap();
        assert!(status.success(), "{status}: {said}");
        serde_json::from_slice(&fs::read(self.path("ledger.json")).unwrap()).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Answer> {
        get(self.address, path, "")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

fn wait(engine: &mut Child) -> ExitStatus {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = engine.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the run does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

fn feed(mut stdin: ChildStdin, pause: Duration, enough: &AtomicBool) -> io::Result<()> {
    stdin.write_all(&CAPTURE[..HEADER])?;
    while !enough.load(Relaxed) {
        stdin.write_all(&CAPTURE[HEADER..])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Where the engine says that its page is.
fn address(stderr: &std::path::Path) -> SocketAddr {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let said = fs::read_to_string(stderr).unwrap();
        if let Some(address) = common::page(&said) {
            return address.parse().unwrap();
        }
        assert!(Instant::now() < until, "there is no status page: {said}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What is answered; none where nobody does. `fields` are more lines of the head.
pub(crate) fn get(address: SocketAddr, path: &str, fields: &str) -> Option<Answer> {
    send(address, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes())
}

/// What is answered to these bytes.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let patience = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    stream.write_all(bytes).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: answer.split_off(end + 4) })
}
