//! The same comparison on a live interface: receivers on one end of a veth pair, in a network
//! namespace of their own, and the capture sent into the other.
//!
//! A veth runs the way up to the socket in the sender's time, so what is compared is the CPU time
//! of the receiving processes alone. All are sent the same packets at the same rate.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Capture, Places, programs};
use crate::{
    cpu::{CpuTime, median, nanos_per},
    floor::map,
    play::{Plan, frames, play},
};

/// The CPU time of the engine in that of the bare reader, at most.
pub const WANTED: f64 = 1.5;
/// Mebibytes of each receiver's ring.
const RING: u32 = 64;
/// Until a receiver is there, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a receiver cost.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who.
    pub name: &'static str,
    /// Nanoseconds of CPU time for each packet that was sent; the median of the rounds.
    pub nanos: f64,
    /// That in the bare reader's, round by round; the median.
    pub ratio: f64,
    /// Packets that it took, of all rounds.
    pub packets: u64,
    /// Packets that were sent to it, in all rounds.
    pub sent: u64,
}

/// Who receives: a name, and the words of its command.
type Receiver = (&'static str, fn(&Places, &Path, &str) -> io::Result<Vec<String>>);

const RECEIVERS: [Receiver; 3] = [
    ("a bare TPACKET_V3 reader", |places, _, end| {
        let program = places.folder.join("ring").display().to_string();
        Ok(vec![program, end.to_owned(), RING.to_string()])
    }),
    ("engine, without redact", |places, out, end| programs::live(places, out, end, RING, false)),
    ("engine", |places, out, end| programs::live(places, out, end, RING, true)),
];

/// Sends the capture to each receiver in turn, `rounds` times, at `pps` packets a second.
///
/// # Errors
/// What the system says, above all when this is not root.
pub fn measure(
    capture: &Capture,
    places: &Places,
    rounds: u32,
    pps: u64,
) -> io::Result<Vec<Received>> {
    let link = Link::new()?;
    let file = map(&capture.path)?;
    let frames = frames(&file)?;
    let plan = Plan { pps: Some(pps), ..Plan::default() };
    let mut runs: [Vec<(Duration, u64, u64)>; RECEIVERS.len()] = Default::default();
    for _ in 0..rounds {
        for ((_, words), runs) in RECEIVERS.iter().zip(&mut runs) {
            let out = places.folder.join("out");
            let _ = fs::remove_dir_all(&out);
            fs::create_dir_all(&out)?;
            let before = CpuTime::of_children()?;
            let child = link.receive(&words(places, &out, &link.inner)?, &out)?;
            let sent = play(&link.outer, &frames, plan)?.packets;
            // What is in the ring by now is taken before the signal is looked at.
            sleep(Duration::from_secs(1));
            end(child)?;
            let cpu = CpuTime::of_children()?.since(before).total();
            runs.push((cpu, sent, taken(&out)?));
        }
    }
    let bare = runs[0].clone();
    let result = RECEIVERS.iter().zip(&runs).map(|((name, _), runs)| Received {
        name,
        nanos: median(runs.iter().map(|(cpu, sent, _)| nanos_per(*cpu, *sent))),
        ratio: median(
            runs.iter().zip(&bare).map(|(run, bare)| run.0.as_secs_f64() / bare.0.as_secs_f64()),
        ),
        packets: runs.iter().map(|run| run.2).sum(),
        sent: runs.iter().map(|run| run.1).sum(),
    });
    Ok(result.collect())
}

/// What a receiver took: the bare one says it, the engine's ledger tells it.
fn taken(out: &Path) -> io::Result<u64> {
    let ledger = out.join("ledger.json");
    if ledger.exists() {
        let ledger: serde_json::Value = serde_json::from_str(&fs::read_to_string(ledger)?)?;
        let workers = ledger["workers"].as_array().into_iter().flatten();
        return Ok(workers.filter_map(|worker| worker["received"].as_u64()).sum());
    }
    let told = fs::read_to_string(out.join("stdout"))?;
    Ok(programs::number_before(&told, " packets").unwrap_or(0))
}

/// A veth pair, one end of it in a namespace; both are gone with this.
struct Link {
    space: String,
    outer: String,
    inner: String,
}

impl Link {
    fn new() -> io::Result<Self> {
        let number = std::process::id();
        let link = Self {
            space: format!("compare-{number}"),
            outer: format!("cmpo{number}"),
            inner: format!("cmpi{number}"),
        };
        let Self { space, outer, inner } = &link;
        ip(&["netns", "add", space])?;
        ip(&["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space])?;
        ip(&["link", "set", outer, "addrgenmode", "none"])?;
        ip(&["-n", space, "link", "set", inner, "addrgenmode", "none"])?;
        ip(&["link", "set", outer, "up"])?;
        ip(&["-n", space, "link", "set", inner, "up"])?;
        Ok(link)
    }

    /// Starts a receiver and waits until its socket is there.
    fn receive(&self, words: &[String], out: &Path) -> io::Result<Child> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.space])
            .args(words)
            .stdin(Stdio::null())
            .stdout(File::create(out.join("stdout"))?)
            .stderr(File::create(out.join("stderr"))?)
            .spawn()?;
        let since = Instant::now();
        let sockets = format!("/proc/{}/net/packet", child.id());
        // A socket has the number of an interface once it is bound to it.
        let is_bound = |line: &str| line.split_whitespace().nth(4).is_some_and(|it| it != "0");
        loop {
            let sockets = fs::read_to_string(&sockets).unwrap_or_default();
            if sockets.lines().skip(1).any(is_bound) {
                sleep(Duration::from_millis(100));
                return Ok(child);
            }
            if child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                let why = fs::read_to_string(out.join("stderr"))?;
                return Err(io::Error::other(format!("{}: {why}", words[0])));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &self.outer]);
        let _ = ip(&["netns", "delete", &self.space]);
    }
}

/// `ip netns exec` becomes the program it runs, so the signal is the program's.
fn end(mut child: Child) -> io::Result<()> {
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
    let since = Instant::now();
    while child.try_wait()?.is_none() {
        if since.elapsed() > PATIENCE {
            child.kill()?;
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn ip(words: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", words.join(" "), why.trim())))
}
