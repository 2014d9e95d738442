//! Checks of the machine as a whole.

use super::{Finding, Machine};
use crate::config::{Backend, Clock, Config, Live};

/// Numbers of capabilities, with their names for setcap(8); linux/capability.h.
const NET_ADMIN: (u32, &str) = (12, "cap_net_admin");
const NET_RAW: (u32, &str) = (13, "cap_net_raw");
const IPC_LOCK: (u32, &str) = (14, "cap_ipc_lock");
const SYS_ADMIN: (u32, &str) = (21, "cap_sys_admin");
const BPF: (u32, &str) = (39, "cap_bpf");

/// The back end that a run would take, with what stands against the ones before it.
pub(super) fn back_end(config: &Config, machine: &Machine) -> (Option<Backend>, Vec<Finding>) {
    let mut findings = Vec::new();
    let last = config.capture.from.len() - 1;
    for (at, &back_end) in config.capture.from.iter().enumerate() {
        let Some((_, why)) = machine.missing.iter().find(|(missing, _)| *missing == back_end)
        else {
            findings.push(Finding::ok(format!("packets come from {back_end}")));
            if back_end == Backend::PfRing {
                findings.extend(pf_ring(machine));
            }
            return (Some(back_end), findings);
        };
        let (why, mend) = why.split_once("; ").unwrap_or((why, "engine check --config ..."));
        // A command alone needs no quotes.
        let alone = mend.strip_prefix('`').and_then(|mend| mend.strip_suffix('`'));
        let mend = alone.filter(|mend| !mend.contains('`')).unwrap_or(mend);
        // Another one is tried; this one is still to be mended, or taken out of the list.
        findings.push(match at {
            at if at == last => Finding::error(format!("{back_end} cannot be used: {why}"), mend),
            _ => Finding::warning(format!("{back_end} is not used: {why}"), mend),
        });
    }
    (None, findings)
}

/// What there is to say about a PF_RING that can be used.
fn pf_ring(machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Some(module), Some(library)) = (&machine.pf_ring.module, &machine.pf_ring.library) {
        // Patch releases of the two go together.
        let release = |text: &str| text.split('.').take(2).collect::<Vec<_>>().join(".");
        findings.push(if release(module) == release(library) {
            Finding::ok(format!("module and library of PF_RING are {module} and {library}"))
        } else {
            Finding::warning(
                format!("the module of PF_RING is {module}, its library {library}"),
                "apt install pfring pfring-dkms && modprobe -r pf_ring && modprobe pf_ring",
            )
        });
    }
    match machine.pf_ring.leaks {
        Some(true) => findings.push(Finding::warning(
            "this library of PF_RING does not close its sockets: each time an interface comes back, \
             a ring's memory is lost",
            "apt install --only-upgrade pfring",
        )),
        Some(false) => findings.push(Finding::ok("the library of PF_RING closes its sockets")),
        None => {}
    }
    findings
}

/// The capabilities that the back end needs and this process has not.
pub(super) fn capabilities(live: &Live, back_end: Backend, machine: &Machine) -> Option<Finding> {
    let has = |(bit, _): (u32, &str)| machine.capabilities >> bit & 1 == 1;
    let mut needed = vec![NET_RAW];
    match back_end {
        Backend::AfXdp if has(SYS_ADMIN) => needed.push(NET_ADMIN),
        Backend::AfXdp => needed.extend([NET_ADMIN, BPF]),
        Backend::PfRing => needed.push(NET_ADMIN),
        Backend::AfPacket if live.clock == Clock::Hardware => needed.push(NET_ADMIN),
        Backend::AfPacket | Backend::File => {}
    }
    let names = |list: &[(u32, &str)]| list.iter().map(|it| it.1).collect::<Vec<_>>().join(",");
    let missing: Vec<_> = needed.iter().copied().filter(|&it| !has(it)).collect();
    if missing.is_empty() {
        return Some(Finding::ok(format!("the capabilities are there: {}", names(&needed))));
    }
    Some(Finding::error(
        format!("{back_end} needs capabilities that are missing: {}", names(&missing)),
        format!("setcap {}=ep {}", names(&needed), machine.executable.display()),
    ))
}

/// Whether all rings fit into memory.
pub(super) fn memory(
    config: &Config,
    live: &Live,
    back_end: Backend,
    machine: &Machine,
) -> Vec<Finding> {
    let rings = match back_end {
        // One for each queue, whoever reads it.
        Backend::AfXdp => machine.interfaces.iter().map(|it| it.queues.unwrap_or(1) as usize).sum(),
        _ => config.engine.workers.saturating_mul(live.interfaces.len()),
    };
    let mib = rings.saturating_mul(live.ring_mib) as u64;
    let mut findings = Vec::new();
    if let Some(free) = machine.free_memory.map(|bytes| bytes >> 20) {
        let text = format!("{rings} rings of {} MiB take {mib} MiB", live.ring_mib);
        let fit = (free / 2 / rings.max(1) as u64).clamp(1, 4096);
        let mend = format!("ring_mib = {fit}          # in [capture]");
        findings.push(match () {
            () if mib > free => {
                Finding::error(format!("{text}, and only {free} MiB are free"), mend)
            }
            () if mib > free / 2 => {
                Finding::warning(format!("{text}, more than half of the {free} MiB free"), mend)
            }
            () => Finding::ok(format!("{text} of {free} MiB free")),
        });
    }
    let exempt = machine.capabilities >> IPC_LOCK.0 & 1 == 1;
    // Rings of packet sockets are the kernel's memory and count towards no limit.
    if let (Backend::AfXdp, Some(limit)) = (back_end, machine.locked_memory)
        && !exempt
    {
        let limit = limit >> 20;
        findings.push(if limit < mib {
            Finding::error(
                format!("af_xdp locks {mib} MiB, and {limit} MiB are allowed"),
                "ulimit -l unlimited          # LimitMEMLOCK=infinity in a systemd unit",
            )
        } else {
            Finding::ok(format!("{limit} MiB may be locked, of which af_xdp takes {mib}"))
        });
    }
    findings
}

pub(super) fn files(files: &Result<usize, String>) -> Finding {
    match files {
        Ok(1) => Finding::ok("the capture file is there"),
        Ok(count) => Finding::ok(format!("{count} capture files are there")),
        Err(why) => Finding::error(why, "files = [\"...\"]          # in [capture]"),
    }
}

/// Workers against cores, and those against the card's NUMA node.
pub(super) fn cores(config: &Config, machine: &Machine) -> Vec<Finding> {
    let (workers, online) = (config.engine.workers, machine.cores.len());
    if online == 0 {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let mut few = |text: String, fit: usize| {
        let mend = format!("workers = {}          # in [engine]", fit.max(1));
        findings.push(Finding::warning(text, mend));
    };
    match () {
        () if workers > online => few(
            format!("{} share {}", count(workers, "worker"), count(online, "core")),
            online.saturating_sub(1),
        ),
        // A capture file waits for the sinks; a live capture cannot.
        () if workers == online && online > 1 && config.capture.live.is_some() => {
            few(format!("{} leave no core to the sinks", count(workers, "worker")), online - 1)
        }
        () => findings.push(Finding::ok(format!(
            "{} on a machine with {}",
            count(workers, "worker"),
            count(online, "core")
        ))),
    }
    if config.capture.live.is_some() {
        findings.extend(pinning(config, machine));
    }
    findings
}

fn pinning(config: &Config, machine: &Machine) -> Vec<Finding> {
    let Some(pinned) = &config.engine.cores else {
        return match config.engine.workers {
            1 => Vec::new(),
            _ => vec![Finding::warning(
                "the workers are not pinned to cores and will wander",
                format!("cores = \"{}\"          # in [engine]", fitting(config, machine, None)),
            )],
        };
    };
    let used = &pinned.as_slice()[..config.engine.workers.min(pinned.len())];
    let mut findings = Vec::new();
    let node = |core: usize| machine.cores.iter().find(|(known, _)| *known == core);
    let absent: Vec<_> = used.iter().filter(|core| node(**core).is_none()).collect();
    if let Some(core) = absent.first() {
        findings.push(Finding::warning(
            format!("core {core} is not there; its worker will not be pinned"),
            format!("cores = \"{}\"          # in [engine]", fitting(config, machine, None)),
        ));
    }
    for interface in &machine.interfaces {
        let Some(card) = interface.node else { continue };
        let far = used.iter().find_map(|core| match node(*core) {
            Some((core, Some(node))) if *node != card => Some((core, node)),
            _ => None,
        });
        let name = &interface.name;
        findings.push(match far {
            Some((core, node)) => Finding::warning(
                format!("the card of {name} is on NUMA node {card}, core {core} on node {node}"),
                format!(
                    "cores = \"{}\"          # in [engine]",
                    fitting(config, machine, Some(card))
                ),
            ),
            None => Finding::ok(format!("the workers are on the NUMA node of {name}, {card}")),
        });
    }
    findings
}

/// Cores for the workers: of the node if one is given, and not the first of the machine, which
/// has most of the interrupts.
fn fitting(config: &Config, machine: &Machine, node: Option<u32>) -> String {
    let cores = machine.cores.iter().filter(|(_, on)| node.is_none() || *on == node);
    let mut cores: Vec<_> = cores.map(|(core, _)| *core).collect();
    if cores.len() > config.engine.workers {
        cores.retain(|core| *core != 0);
    }
    cores.truncate(config.engine.workers);
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Files that are open at once: a socket or two for each ring, and what sinks write.
pub(super) fn open_files(config: &Config, machine: &Machine) -> Option<Finding> {
    let limit = machine.open_files?;
    let live = config.capture.live.as_ref();
    let interfaces =
        machine.interfaces.iter().map(|interface| interface.queues.unwrap_or(1) as u64);
    let rings = live.map_or(0, |_| config.engine.workers as u64 + interfaces.sum::<u64>());
    let rings = rings.saturating_mul(live.map_or(0, |live| live.interfaces.len() as u64));
    let needed = (64 + 2 * rings + 64 * config.sinks.len() as u64).next_power_of_two();
    Some(if limit < needed {
        Finding::warning(
            format!("{limit} files may be open at once; this chain may need {needed}"),
            format!("ulimit -n {needed}          # LimitNOFILE={needed} in a systemd unit"),
        )
    } else {
        Finding::ok(format!("{limit} files may be open at once"))
    })
}
