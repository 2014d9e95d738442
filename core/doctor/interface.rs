//! Checks of one interface.

use super::{Finding, Interface};
use crate::{
    capture::ethtool::Rss,
    config::{Backend, Config, Direction, Live},
};

/// `ETH_RSS_HASH_TOP`, `ETH_RSS_HASH_XOR` in linux/ethtool.h.
const TOEPLITZ: u8 = 1;
const XOR: u8 = 2;
/// `RXH_XFRM_SYM_XOR` and `RXH_XFRM_SYM_OR_XOR`.
const SYMMETRIC: u8 = 1 | 2;

/// The link header with four VLAN tags, in bytes.
const LINK_HEADER: u32 = 14 + 4 * 4;

pub(super) fn examine(
    config: &Config,
    live: &Live,
    back_end: Backend,
    interface: &Interface,
) -> Vec<Finding> {
    let mut findings = vec![state(interface)];
    if !interface.exists {
        return findings;
    }
    findings.push(promiscuous(live, interface));
    findings.extend(offloads(live, back_end, interface));
    findings.extend(rings(interface));
    findings.extend(snaplen(config, interface));
    findings.extend(rss(config, back_end, interface));
    findings.extend(queues(config, back_end, interface));
    findings
}

fn state(interface: &Interface) -> Finding {
    let name = &interface.name;
    match interface {
        Interface { exists: false, .. } => {
            Finding::error(format!("there is no interface {name}"), "ip -brief link")
        }
        Interface { up: false, .. } => {
            Finding::warning(format!("interface {name} is down"), format!("ip link set {name} up"))
        }
        Interface { running: false, .. } => Finding::warning(
            format!("interface {name} has no carrier: look after cable, optics and the other end"),
            format!("ethtool {name}"),
        ),
        _ => Finding::ok(format!("interface {name} is up")),
    }
}

fn promiscuous(live: &Live, interface: &Interface) -> Finding {
    let name = &interface.name;
    match (live.promiscuous, interface.promiscuous) {
        (true, _) => Finding::ok(format!("{name} is promiscuous while the engine runs")),
        (false, true) => Finding::ok(format!("{name} is promiscuous")),
        (false, false) => Finding::warning(
            format!("{name} takes only packets for this machine; on a mirror port that is none"),
            "promiscuous = true          # in [capture]",
        ),
    }
}

/// What joins packets, or takes something off them, before they are captured.
fn offloads(live: &Live, back_end: Backend, interface: &Interface) -> Vec<Finding> {
    let name = &interface.name;
    let is_on = |feature: &str| interface.features.iter().any(|on| on == feature);
    let gro = interface.gro == Some(true) || is_on("rx-gro");
    let mut findings = Vec::new();
    // Feature, ethtool's key for it, what it does. XDP comes before the kernel's own GRO.
    let joining = [
        (gro && back_end != Backend::AfXdp, "GRO", "gro"),
        (is_on("rx-gro-hw"), "GRO in the card", "rx-gro-hw"),
        (is_on("rx-lro"), "LRO", "lro"),
    ];
    for (_, what, key) in joining.iter().filter(|(on, ..)| *on) {
        findings.push(Finding::warning(
            format!(
                "{what} is on: {name} joins packets before they are captured, so that counts, \
                 lengths and times are not those of the wire"
            ),
            format!("ethtool -K {name} {key} off"),
        ));
    }
    let tso = is_on("tx-tcp-segmentation") || is_on("tx-tcp6-segmentation");
    if tso && live.direction == Direction::Both {
        findings.push(Finding::warning(
            format!("TSO is on: what this machine sends by {name} is captured before it is cut"),
            format!("ethtool -K {name} tso off"),
        ));
    }
    // Packet sockets are told the tag that was taken off; XDP is not.
    if back_end == Backend::AfXdp && is_on("rx-vlan-hw-parse") {
        findings.push(Finding::warning(
            format!(
                "VLAN offload is on: {name} takes tags off packets, and af_xdp cannot see them"
            ),
            format!("ethtool -K {name} rxvlan off"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{name} leaves packets as they were on the wire")));
    }
    findings
}

fn rings(interface: &Interface) -> Option<Finding> {
    let (name, rings) = (&interface.name, interface.rings?);
    Some(if rings.now < rings.most {
        Finding::warning(
            format!("the card of {name} has room for {} packets, of {}", rings.now, rings.most),
            format!("ethtool -G {name} rx {}", rings.most),
        )
    } else {
        Finding::ok(format!("the card of {name} has room for {} packets, its most", rings.now))
    })
}

fn snaplen(config: &Config, interface: &Interface) -> Option<Finding> {
    let (name, mtu, snaplen) = (&interface.name, interface.mtu?, config.capture.snaplen);
    let largest = mtu.saturating_add(LINK_HEADER);
    Some(if snaplen < largest {
        Finding::warning(
            format!("snaplen = {snaplen} cuts packets of {name}, whose MTU is {mtu}, and heads"),
            format!("snaplen = {}          # in [capture]", largest.next_multiple_of(64)),
        )
    } else {
        Finding::ok(format!("snaplen holds any packet of {name}, whose MTU is {mtu}"))
    })
}

/// Whether both directions of a connection come to one queue. Only af_xdp depends on it: its
/// sockets are bound to queues.
fn rss(config: &Config, back_end: Backend, interface: &Interface) -> Option<Finding> {
    let (name, queues) = (&interface.name, interface.queues?);
    if back_end != Backend::AfXdp || queues < 2 || config.engine.workers < 2 {
        return None;
    }
    let Some(rss) = &interface.rss else {
        return Some(Finding::warning(
            format!("{name} does not say how it deals packets to its {queues} queues"),
            format!("ethtool -L {name} combined 1"),
        ));
    };
    Some(match symmetry(rss) {
        Symmetry::Yes => {
            Finding::ok(format!("{name} deals both directions of a connection to one queue"))
        }
        Symmetry::OneQueue => Finding::warning(
            format!("the hash key of {name} is zero: all packets go to one queue"),
            set_key(name, rss),
        ),
        Symmetry::No => Finding::warning(
            format!(
                "{name} deals the two directions of a connection to different queues, and so to \
                 different workers"
            ),
            set_key(name, rss),
        )
        .or(format!("ethtool -X {name} xfrm symmetric-xor     # if the driver can")),
        Symmetry::Unknown => Finding::warning(
            format!(
                "{name} does not say whether both directions of a connection come to one queue"
            ),
            set_key(name, rss),
        ),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symmetry {
    Yes,
    No,
    OneQueue,
    Unknown,
}

/// Whether the hash is the same when source and destination are swapped: Toeplitz is, if its key
/// repeats every 16 bits, since addresses and ports are multiples of that (Woo and Park 2012).
fn symmetry(rss: &Rss) -> Symmetry {
    if rss.input_transform & SYMMETRIC != 0 || rss.function == XOR {
        return Symmetry::Yes;
    }
    let Some(first) = rss.key.first_chunk::<2>() else { return Symmetry::Unknown };
    if rss.key.iter().all(|byte| *byte == 0) {
        return Symmetry::OneQueue;
    }
    let repeats = rss.key.chunks(2).all(|pair| first.starts_with(pair));
    match rss.function {
        // Drivers that do not name their function have Toeplitz.
        0 | TOEPLITZ if repeats => Symmetry::Yes,
        0 | TOEPLITZ => Symmetry::No,
        _ => Symmetry::Unknown,
    }
}

fn set_key(name: &str, rss: &Rss) -> String {
    let len = if rss.key.is_empty() { 40 } else { rss.key.len() };
    let key: Vec<_> = ["6D", "5A"].into_iter().cycle().take(len).collect();
    format!("ethtool -X {name} hkey {}", key.join(":"))
}

fn queues(config: &Config, back_end: Backend, interface: &Interface) -> Option<Finding> {
    let (name, queues, workers) = (&interface.name, interface.queues?, config.engine.workers);
    let enough = queues as usize >= workers;
    match back_end {
        Backend::AfXdp if !enough => Some(
            Finding::error(
                format!(
                    "{name} has {queues} queues for {workers} workers; each needs one of its own"
                ),
                format!("ethtool -L {name} combined {workers}"),
            )
            .or(format!("workers = {}          # in [engine]", queues.max(1))),
        ),
        Backend::AfXdp => {
            Some(Finding::ok(format!("{name} has {queues} queues for {workers} workers")))
        }
        _ => None,
    }
}

#[cfg(test)]
#[test]
fn symmetric_hashes_are_known() {
    let rss = |key: &[u8], function, input_transform| Rss {
        key: key.to_owned(),
        function,
        input_transform,
        table: Vec::new(),
    };
    let cases = [
        (rss(&[0x6d, 0x5a].repeat(20), 1, 0), Symmetry::Yes),
        (rss(&[0x6d, 0x5a].repeat(26), 0, 0), Symmetry::Yes),
        (rss(&[0x6d, 0x5a, 0x6d], 1, 0), Symmetry::Yes),
        (rss(&[0x6d, 0x5a, 0x6d, 0x5b], 1, 0), Symmetry::No),
        (rss(&[0x6d, 0x5a, 0x56], 1, 0), Symmetry::No),
        // Microsoft's key, which most drivers begin with.
        (rss(&[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2], 1, 0), Symmetry::No),
        (rss(&[0x6d, 0x5a, 0x56, 0xda], 1, 1), Symmetry::Yes),
        (rss(&[0x6d, 0x5a, 0x56, 0xda], 1, 2), Symmetry::Yes),
        (rss(&[0x6d, 0x5a, 0x56, 0xda], 2, 0), Symmetry::Yes),
        (rss(&[0x6d, 0x5a].repeat(20), 4, 0), Symmetry::Unknown),
        (rss(&[0; 40], 1, 0), Symmetry::OneQueue),
        (rss(&[], 1, 0), Symmetry::Unknown),
    ];
    for (rss, expected) in cases {
        assert_eq!(symmetry(&rss), expected, "{rss:?}");
    }
}
