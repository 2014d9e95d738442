//! Asks the machine.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use ringmill_decode::Decode;
use ringmill_sdk::{Batch, Factory, Output};

use super::{Interface, Machine, PfRing, Sample, Sampler};
use crate::{
    capture::{
        Source as _,
        af_packet::AfPacket,
        af_xdp::AfXdp,
        ethtool::Device,
        input,
        live::{Backend as _, Live, Setup, Shared},
        netdev, pf_ring,
    },
    config::{self, Backend, Clock, Config},
    host::{self, Board, Run},
};

/// How long the traffic is looked at.
const SAMPLE: Duration = Duration::from_secs(2);

/// Everything that the checks of this config can ask for. Takes two seconds for live capture,
/// in which it reads packets and keeps none.
pub fn gather(config: &Config) -> Machine {
    let live = config.capture.live.as_ref();
    let names = live.map(|live| live.interfaces.as_slice()).unwrap_or_default();
    let interfaces: Vec<_> = names.iter().map(|name| interface(name)).collect();
    let running = interfaces.iter().all(|interface| interface.running);
    let files = &config.capture.files;
    let missing = missing(config);
    let limits = |which| rustix::process::getrlimit(which).current;
    Machine {
        sample: (!interfaces.is_empty() && running).then(|| sample(config)),
        interfaces,
        files: (!files.is_empty()).then(|| {
            let found = input::expand(files, "".as_ref());
            found.map(|inputs| inputs.len()).map_err(|error| error.to_string())
        }),
        cores: cores(),
        capabilities: capabilities().unwrap_or_default(),
        executable: std::env::current_exe().unwrap_or_else(|_| "engine".into()),
        open_files: limits(rustix::process::Resource::Nofile),
        locked_memory: limits(rustix::process::Resource::Memlock),
        free_memory: free_memory(),
        pf_ring: match config.capture.from.contains(&Backend::PfRing) {
            true if !lacks(&missing, Backend::PfRing) => pf_ring(names),
            _ => PfRing::default(),
        },
        missing,
    }
}

fn interface(name: &str) -> Interface {
    let mut interface = Interface { name: name.to_owned(), ..Interface::default() };
    let Ok(Some(state)) = netdev::state(name) else { return interface };
    interface.exists = true;
    (interface.up, interface.running) = (state.up, state.running);
    interface.promiscuous = state.promiscuous;
    interface.mtu = netdev::mtu(name).ok().flatten();
    // /sys shows the interfaces of the network namespace in which it was mounted; where that is
    // another one, there is none of this name.
    let node = fs::read_to_string(format!("/sys/class/net/{name}/device/numa_node")).ok();
    // -1 is no node.
    interface.node = node.and_then(|node| node.trim().parse().ok());
    if let Ok(device) = Device::new(name) {
        let features = device.features().unwrap_or_default();
        let on = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name);
        interface.features = on.collect();
        interface.gro = device.gro().ok();
        interface.rings = device.rings().ok();
        interface.queues = device.queues().ok();
        interface.rss = device.rss().ok();
    }
    interface
}

/// Why a back end of the config cannot be used here.
fn missing(config: &Config) -> Vec<(Backend, String)> {
    let Some(live) = &config.capture.live else { return Vec::new() };
    let setup = Arc::new(setup(config, live));
    let missing = |back_end: &Backend| {
        let missing = match back_end {
            Backend::PfRing => pf_ring::PfRing::new(Arc::clone(&setup)).err(),
            Backend::AfPacket => AfPacket::new(Arc::clone(&setup)).err(),
            Backend::AfXdp => AfXdp::new(Arc::clone(&setup)).err(),
            Backend::File => None,
        };
        missing.map(|missing| (*back_end, missing.to_string()))
    };
    config.capture.from.iter().filter_map(missing).collect()
}

fn lacks(missing: &[(Backend, String)], back_end: Backend) -> bool {
    missing.iter().any(|(missing, _)| *missing == back_end)
}

/// The capture of the config, but with one worker, which joins no group.
fn setup(config: &Config, live: &config::Live) -> Setup {
    Setup {
        interfaces: live.interfaces.clone(),
        workers: 1,
        cluster: None,
        balance: live.balance,
        promiscuous: live.promiscuous,
        direction: live.direction,
        clock: live.clock,
        snaplen: config.capture.snaplen,
        ring_bytes: live.ring_mib << 20,
        block_timeout_ms: live.block_timeout_ms,
        filter: None,
    }
}

/// Looks at the traffic through a packet socket of its own, which joins no group: a capture that
/// runs meanwhile loses nothing by it.
fn sample(config: &Config) -> Result<Sample, String> {
    let live = config.capture.live.as_ref().ok_or("there is no live capture")?;
    let setup = Arc::new(Setup {
        clock: Clock::System,
        // The mirror is judged by all that it sends.
        filter: None,
        ..setup(config, live)
    });
    let window = Duration::from_millis(live.window_ms.into());
    let sockets = AfPacket::new(Arc::clone(&setup)).map_err(|error| error.to_string())?;
    let shared = Shared::new(sockets, setup, window);
    let mut source = Live::open(&shared, 0, ringmill_sdk::BATCH).map_err(|e| e.to_string())?;
    source.enable().map_err(|error| error.to_string())?;
    let run = Arc::new(Run::new(config.engine.epoch).map_err(|error| error.to_string())?);
    let host = host::host(&run, &Arc::new(Board::default()), "decode", None);
    let usual = Factory::stage::<Decode>().build;
    let mut decode = usual("", &host).map_err(|error| error.to_string())?;
    let (mut sampler, mut emitted) = (Sampler::default(), Vec::new());
    let (since, mut spare) = (Instant::now(), Batch::default());
    while since.elapsed() < SAMPLE {
        let mut batch = spare.recycle();
        source.fill(&mut batch);
        let decoded = decode.packets(&mut batch, &mut Output::new(&mut emitted));
        decoded.map_err(|error| error.to_string())?;
        batch.all().iter().for_each(|packet| sampler.add(packet));
        spare = batch.recycle();
    }
    Ok(sampler.end())
}

/// The cores that are online, with their NUMA nodes.
fn cores() -> Vec<(usize, Option<u32>)> {
    let root = "/sys/devices/system";
    let list = |path: String| fs::read_to_string(path).map(|text| numbers(&text));
    let online = list(format!("{root}/cpu/online")).unwrap_or_default();
    let nodes = list(format!("{root}/node/online")).unwrap_or_default();
    let members: Vec<_> = nodes
        .iter()
        .filter_map(|node| Some((*node, list(format!("{root}/node/node{node}/cpulist")).ok()?)))
        .collect();
    let node = |core: usize| {
        let on = members.iter().find(|(_, cores)| cores.contains(&core));
        on.and_then(|(node, _)| u32::try_from(*node).ok())
    };
    online.into_iter().map(|core| (core, node(core))).collect()
}

/// The numbers in `0-3,8`.
fn numbers(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The effective ones of this process.
fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn free_memory() -> Option<u64> {
    let about = fs::read_to_string("/proc/meminfo").ok()?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The releases of a PF_RING that can be used, and whether it leaks. The kernel module tells its
/// release in /proc.
fn pf_ring(interfaces: &[String]) -> PfRing {
    let about = fs::read_to_string("/proc/net/pf_ring/info").ok();
    let line = about.as_deref().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("PF_RING Version")?.split_once(':'))
    });
    let module = line.and_then(|(_, rest)| rest.split_whitespace().next()).map(ToOwned::to_owned);
    let Ok(library) = pf_ring::library().map(Arc::new) else {
        return PfRing { module, ..PfRing::default() };
    };
    let leaks = interfaces.iter().find_map(|name| pf_ring::leaks(&library, name).ok());
    PfRing { module, library: Some(library.version().to_string()), leaks }
}
