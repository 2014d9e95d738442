//! Network namespaces with veth pairs, an engine that captures in one, and what it leaves behind.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test panics to fail, and every test file uses a part of this"
)]

use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::play::{self, Plan, Sent};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{root, skipped, write_config};

/// How long a test waits for what comes at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network namespace of a test's own; deleted with all that is in it when dropped.
pub struct Net {
    name: String,
}

impl Net {
    /// A namespace without interfaces; `None`, and a word about it, where this cannot be had.
    pub fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            skipped("live capture needs root, for network namespaces of the test's own");
            return None;
        }
        let name = format!("ringmill-{}-{}", process::id(), MADE.fetch_add(1, Relaxed));
        match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                skipped(format_args!("no network namespace: {}", why.trim()));
                return None;
            }
            Err(error) => {
                skipped(format_args!("`ip` (iproute2) cannot be run: {error}"));
                return None;
            }
        }
        let net = Self { name };
        // Nothing may be on the wire but what the test sends.
        net.must("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        net.must("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        Some(net)
    }

    /// What `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A namespace with the pairs `cap0` and `out0`, `cap1` and `out1`, ...
    pub fn with_pairs(pairs: usize, queues: usize) -> Option<Self> {
        let net = Self::new()?;
        (0..pairs).for_each(|pair| net.add_pair(pair, queues));
        Some(net)
    }

    /// Adds a veth pair of which `out` is to be sent on and `cap` captured from; both take
    /// frames of 64 KiB.
    pub fn add_pair(&self, pair: usize, queues: usize) {
        let queues = format!("numrxqueues {queues} numtxqueues {queues} mtu 65535");
        self.must(&format!(
            "ip link add cap{pair} {queues} type veth peer name out{pair} {queues}"
        ));
        self.must(&format!("ip link set out{pair} arp off up"));
        self.must(&format!("ip link set cap{pair} arp off up"));
    }

    /// A command that runs in the namespace.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null());
        command.current_dir(root()).env_remove("RUST_LOG");
        command
    }

    /// Runs words in the namespace.
    pub fn run(&self, words: &str) -> Output {
        let mut words = words.split(' ');
        let program = Path::new(words.next().unwrap());
        self.command(program).args(words).output().unwrap()
    }

    /// Runs words in the namespace, which must go well; gives what they print.
    pub fn must(&self, words: &str) -> String {
        let output = self.run(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How many sockets hold an interface promiscuous.
    pub fn promiscuity(&self, interface: &str) -> u32 {
        let link = self.must(&format!("ip -d link show dev {interface}"));
        let mut words = link.split_whitespace().skip_while(|word| *word != "promiscuity");
        words.nth(1).unwrap().parse().unwrap()
    }

    /// Runs something on a thread that is in the namespace.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let space = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
        let body = move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(space.as_fd(), network).unwrap();
            body()
        };
        thread::scope(|scope| scope.spawn(body).join().unwrap())
    }

    /// Sends frames on an interface; every one must fit.
    pub fn send(&self, interface: &str, frames: &[&[u8]], plan: Plan) -> Sent {
        let sent = self.inside(|| play::play(interface, frames, plan)).unwrap();
        assert_eq!(sent.unfit, 0, "{sent}");
        self.settle();
        sent
    }

    /// Waits until the kernel has handed on what was sent: until no processor has packets in its
    /// backlog, whose length is the twelfth number of its line in this file.
    fn settle(&self) {
        let queued = || {
            let table = fs::read_to_string("/proc/net/softnet_stat").unwrap();
            let number = |line: &str| {
                let word = line.split_whitespace().nth(11).unwrap_or("0").to_owned();
                u64::from_str_radix(&word, 16).unwrap()
            };
            table.lines().map(number).sum::<u64>()
        };
        let start = Instant::now();
        while queued() > 0 && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        // The packet that was taken from it last may still be on its way.
        thread::sleep(Duration::from_millis(20));
    }

    /// Sends whole captures, one after the other; gives the number of packets.
    pub fn send_captures(&self, interface: &str, captures: &[PathBuf]) -> u64 {
        let send = |path: &PathBuf| {
            let file = fs::read(path).unwrap();
            let frames = play::frames(&file).unwrap();
            assert!(!frames.is_empty(), "{}", path.display());
            self.send(interface, &frames, Plan::default()).packets
        };
        captures.iter().map(send).sum()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // The kernel keeps a namespace while a process is in it, however it is called.
        if let Ok(output) = Command::new("ip").args(["netns", "pids", &self.name]).output() {
            for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
                let _ = Command::new("kill").args(["-9", pid]).output();
            }
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

/// A capture that runs, in a folder of its own.
pub struct Running {
    child: Child,
    folder: TempDir,
}

/// A capture that has ended.
pub struct Ended {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it complained of.
    pub stderr: String,
    /// Its books; null if it wrote none.
    pub ledger: Value,
    folder: TempDir,
}

/// Starts a program that reads the config `--config F`, made by `config` for a folder, and waits
/// until its rings are open.
pub fn start(program: Command, config: impl FnOnce(&Path) -> String) -> Running {
    let mut running = spawn(program, config);
    running.wait_for("all rings are open");
    running
}

/// Starts a program as [`start`] does and waits for its end.
pub fn run(program: Command, config: impl FnOnce(&Path) -> String) -> Ended {
    spawn(program, config).end()
}

fn spawn(mut program: Command, config: impl FnOnce(&Path) -> String) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.json");
    let text = config(folder.path()).replace("[engine]", &format!("[engine]\nledger = {ledger:?}"));
    let config = write_config(folder.path(), &text);
    let stderr = File::create(folder.path().join("stderr")).unwrap();
    let stdout = File::create(folder.path().join("stdout")).unwrap();
    let child = program.arg("--config").arg(config).stderr(stderr).stdout(stdout);
    Running { child: child.spawn().unwrap(), folder }
}

impl Running {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder that its config was made for.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Waits until it has said this.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |stderr| stderr.contains(text));
    }

    /// Waits until what it has said fulfils a condition.
    pub fn wait_until(&mut self, what: &str, said: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !said(&self.stderr()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before `{what}`: {}", self.stderr());
            assert!(start.elapsed() < PATIENCE, "no `{what}`: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kibibytes of memory that are its own: its heap and its stacks, not the rings.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        crate::common::signal(self.pid(), name);
    }

    /// Ends it as an operator does.
    pub fn stop(self) -> Ended {
        self.signal("TERM");
        self.end()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr();
        let ledger = fs::read(self.folder.path().join("ledger.json")).unwrap_or_default();
        let ledger = serde_json::from_slice(&ledger).unwrap_or_default();
        let code = status.code();
        assert!(code.is_some() || status.signal().is_some());
        let empty = tempfile::tempdir().unwrap();
        let folder = std::mem::replace(&mut self.folder, empty);
        Ended { code, stderr, ledger, folder }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended and been waited for, which is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The folder that its config was made for.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// It went well, and its books balance.
    pub fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.ledger["imbalances"], Value::Array(Vec::new()), "{}", self.stderr);
        self
    }

    /// It was refused in one sentence, which it gives.
    pub fn sentence(&self) -> &str {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        let said = |line: &&str| !line.starts_with(" INFO") && !line.starts_with(" WARN");
        let lines: Vec<_> = self.stderr.lines().filter(said).collect();
        assert_eq!(lines.len(), 1, "{}", self.stderr);
        lines[0]
    }

    fn rings(&self) -> &[Value] {
        self.ledger["rings"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// What all rings counted under a name.
    pub fn sum(&self, field: &str) -> u64 {
        self.rings().iter().map(|ring| ring[field].as_u64().unwrap()).sum()
    }

    /// What each worker received.
    pub fn shares(&self) -> Vec<u64> {
        let workers = self.ledger["workers"].as_array().unwrap();
        workers.iter().map(|worker| worker["received"].as_u64().unwrap()).collect()
    }

    /// What all rings dropped.
    pub fn dropped(&self) -> u64 {
        let drops = self.rings().iter().filter_map(|ring| ring["dropped"].as_object());
        drops.flat_map(|drops| drops.values()).map(|n| n.as_u64().unwrap()).sum()
    }
}

/// How often the engine said something.
pub fn count(stderr: &str, what: &str) -> usize {
    stderr.matches(what).count()
}
