//! An engine that is fed through a pipe and watched by a service manager of the test's own.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common;

/// How long a test waits for what comes within a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a pcap file before its first packet.
const HEADER: usize = 24;

pub(crate) struct Scene {
    folder: TempDir,
    engine: Child,
    manager: UnixDatagram,
    /// What the manager was told so far.
    told: Vec<String>,
    /// How much of that was asked for in order.
    read: usize,
    fed: bool,
}

impl Scene {
    /// Starts an engine with this stage behind `decode`, and gives it a capture; its input stays
    /// open. `{folder}` is the test's own.
    pub(crate) fn new(engine: &str, stage: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugin = common::plugins().join("libmisbehave.so");
        let path = |name: &str| folder.path().join(name);
        let text = format!(
            "[engine]\nledger = {:?}\n{engine}\n[status]\nlisten = \"127.0.0.1:0\"\n\
             [capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nplugin = {plugin:?}\n{stage}\n\
             [[sink]]\nplugin = {plugin:?}\nuse = \"sink_counts\"\n",
            path("ledger.json")
        );
        let text = text.replace("{folder}", folder.path().to_str().unwrap());
        let config = common::write_config(folder.path(), &text);
        let manager = UnixDatagram::bind(path("notify")).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let engine = common::engine()
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", path("notify"))
            .env("WATCHDOG_USEC", "1000000")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, engine, manager, told: Vec::new(), read: 0, fed: false }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives it packets, of a file that has only one header.
    pub(crate) fn feed(&mut self) {
        let capture = common::root().join("tests/captures/curl-keepalive-ipv4.pcap");
        let pipe = self.engine.stdin.as_mut().unwrap();
        let capture = fs::read(capture).unwrap();
        pipe.write_all(&capture[if self.fed { HEADER } else { 0 }..]).unwrap();
        pipe.flush().unwrap();
        self.fed = true;
    }

    /// Puts something else into its config, and asks it to read that.
    pub(crate) fn reload(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("test.toml")).unwrap();
        assert!(text.contains(old), "{old}");
        common::write_config(self.folder.path(), &text.replace(old, new));
        self.signal("HUP");
    }

    /// Ends what it is given.
    pub(crate) fn enough(&mut self) {
        self.engine.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        common::signal(self.engine.id(), name);
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let said = |scene: &mut Self| scene.said().contains(text).then_some(());
        self.until(text, said);
    }

    /// Waits for something; meanwhile the manager listens.
    pub(crate) fn until<T>(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            self.listen();
            if let Some(found) = is(self) {
                return found;
            }
            let late = start.elapsed() > PATIENCE;
            assert!(!late, "no {what}: {}\n{:?}", self.said(), self.told);
        }
    }

    /// Waits until the manager is told this.
    pub(crate) fn told(&mut self, line: &str) {
        self.until(line, |scene| scene.told.iter().any(|told| told == line).then_some(()));
    }

    /// What the manager is told up to a line that begins so, from where this ended the last time.
    pub(crate) fn told_until(&mut self, begin: &str) -> Vec<String> {
        let before = self.read;
        self.read = 1 + self.until(begin, |scene| {
            let at = scene.told[before..].iter().position(|line| line.starts_with(begin));
            at.map(|at| before + at)
        });
        self.told[before..self.read].to_vec()
    }

    /// What the manager is told in a while.
    pub(crate) fn told_in(&mut self, while_: Duration) -> Vec<String> {
        let (start, before) = (Instant::now(), self.told.len());
        while start.elapsed() < while_ {
            self.listen();
        }
        self.told[before..].to_vec()
    }

    fn listen(&mut self) {
        let mut bytes = [0; 4096];
        loop {
            match self.manager.recv(&mut bytes) {
                Ok(len) => self.told.push(String::from_utf8_lossy(&bytes[..len]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Where its status page is.
    pub(crate) fn address(&mut self) -> String {
        self.until("status page", |scene| common::page(&scene.said()).map(str::to_owned))
    }

    /// What the status page's server answers.
    pub(crate) fn get(&mut self, path: &str) -> String {
        common::get(&self.address(), path)
    }

    pub(crate) fn status(&mut self) -> Value {
        serde_json::from_str(&self.get("/status.json")).unwrap()
    }

    /// Waits for its end; it is not told to.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.until("end", |scene| scene.engine.try_wait().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}
