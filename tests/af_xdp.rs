//! Capture by AF_XDP, through network namespaces and veth pairs that the tests make.
//!
//! A veth pair has XDP in its driver when the end that is captured from has a receive queue for
//! each queue that the other end sends on; with fewer it has only the generic kind.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

#[path = "af_xdp/cable.rs"]
mod cable;
mod common;
#[path = "common/net.rs"]
mod net;
#[path = "af_xdp/packets.rs"]
mod packets;
#[path = "live/records.rs"]
mod records;
#[path = "af_xdp/refused.rs"]
mod refused;
#[path = "af_xdp/rings.rs"]
mod rings;
#[path = "live/stages.rs"]
mod stages;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::play::{self, Plan, Sent};

use crate::{
    net::Net,
    records::{captures, config},
};

/// The third of what is sent: 246 packets of many flows.
fn methods() -> Vec<u8> {
    fs::read(&captures()[2]).unwrap()
}

/// A `[capture]` of one interface.
const CAPTURE: &str = "from = \"af_xdp\"\ninterface = \"cap0\"\nring_mib = 4";

/// As [`config`], with the stage that remembers all packets.
fn witnessed(workers: usize, capture: &str, folder: &Path) -> String {
    config(workers, capture, &format!("[[stage]]\nuse = \"witness\"\nfolder = {folder:?}"), folder)
}

/// The engine, in a namespace.
fn engine(net: &Net) -> Command {
    net.command(Path::new(env!("CARGO_BIN_EXE_engine")))
}

/// Where XDP runs on the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Native,
    Generic,
}

impl Mode {
    /// The word of the engine.
    fn word(self) -> &'static str {
        match self {
            Self::Native => "native mode, copy",
            Self::Generic => "generic mode, copy",
        }
    }
}

/// A namespace with the pair `cap0` and `out0`, which carry frames of 64 KiB.
fn pair(queues: usize, mode: Mode) -> Option<Net> {
    let net = with_ethtool(Net::new)?;
    add_pair(&net, queues, mode);
    Some(net)
}

/// The network, where there is a program to read what its drivers count with.
fn with_ethtool(make: impl FnOnce() -> Option<Net>) -> Option<Net> {
    if Command::new("ethtool").arg("--version").output().is_err() {
        common::skipped("there is no ethtool to read what the driver counts with");
        return None;
    }
    make()
}

fn add_pair(net: &Net, queues: usize, mode: Mode) {
    let sending = queues + usize::from(mode == Mode::Generic);
    net.must(&format!(
        "ip link add cap0 numrxqueues {queues} numtxqueues {queues} mtu 65535 type veth \
         peer name out0 numrxqueues {queues} numtxqueues {sending} mtu 65535"
    ));
    net.must("ip link set out0 arp off up");
    net.must("ip link set cap0 arp off up");
}

/// Whether an XDP program is on the interface.
fn has_program(net: &Net, interface: &str) -> bool {
    net.must(&format!("ip -d link show dev {interface}")).contains("prog/xdp")
}

/// Sends as [`Net::send`] does, and waits until a driver with XDP has looked at all of it, which
/// may take its time on a busy machine.
fn send(net: &Net, interface: &str, frames: &[&[u8]], plan: Plan) -> Sent {
    let end = interface.replace("out", "cap");
    let native = !net.must(&format!("ip link show dev {end}")).contains("xdpgeneric");
    let before = counted(net, &end, "xdp_packets");
    let sent = net.send(interface, frames, plan);
    let start = Instant::now();
    while native && counted(net, &end, "xdp_packets") - before < sent.packets {
        assert!(start.elapsed() < Duration::from_secs(20), "what was sent does not come");
        thread::sleep(Duration::from_millis(5));
    }
    sent
}

/// Sends whole captures, one after the other; gives the number of packets.
fn send_captures(net: &Net, captures: &[PathBuf]) -> u64 {
    let send = |path: &PathBuf| {
        let file = fs::read(path).unwrap();
        let frames = play::frames(&file).unwrap();
        assert!(!frames.is_empty(), "{}", path.display());
        send(net, "out0", &frames, Plan::default()).packets
    };
    captures.iter().map(send).sum()
}

/// What the queues of an end of a veth pair counted under a name of the driver, all together.
fn counted(net: &Net, interface: &str, name: &str) -> u64 {
    let table = net.must(&format!("ethtool -S {interface}"));
    let counters = table.lines().filter_map(|line| line.trim().split_once(": "));
    let ours = counters.filter(|(counter, _)| {
        counter.strip_prefix("rx_queue_").and_then(|rest| rest.split_once('_')).map(|rest| rest.1)
            == Some(name)
    });
    ours.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}
