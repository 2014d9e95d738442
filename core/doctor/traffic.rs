//! Checks of what was seen on the interfaces.

use super::{Finding, Machine, Sample};
use crate::config::{Backend, Config};

/// Connections that have to be seen before anything is said about them.
const FEWEST_FLOWS: u64 = 3;
/// Packets with payload that have to be seen before anything is said about duplicates.
const FEWEST_PACKETS: u64 = 50;

pub(super) fn examine(config: &Config, back_end: Backend, machine: &Machine) -> Vec<Finding> {
    let sample = match &machine.sample {
        None => return Vec::new(),
        Some(Err(why)) => {
            let text = format!("the traffic could not be looked at: {why}");
            return vec![Finding::warning(text, "ip -statistics link")];
        }
        Some(Ok(sample)) => sample,
    };
    let mut findings = vec![directions(sample)];
    findings.extend(duplicates(sample));
    findings.extend(vlans(config, back_end, sample));
    findings
}

fn directions(sample: &Sample) -> Finding {
    let Sample { packets, flows, one_sided, .. } = sample;
    if *flows < FEWEST_FLOWS {
        return Finding::ok(format!(
            "{packets} packets in 2 s, with {flows} TCP connections: too few to judge the mirror by"
        ));
    }
    if one_sided * 2 > *flows {
        return Finding::warning(
            format!(
                "of {one_sided} of {flows} TCP connections only one direction was seen: the \
                 mirror is one-sided"
            ),
            "monitor session 1 source interface PORT both     # on a Cisco switch",
        )
        .or("interface = [\"...\", \"...\"]     # in [capture], if the other direction has a port of \
             its own");
    }
    Finding::ok(format!("{packets} packets in 2 s; both directions of {flows} TCP connections"))
}

fn duplicates(sample: &Sample) -> Option<Finding> {
    let Sample { with_payload, duplicates, .. } = sample;
    if *with_payload < FEWEST_PACKETS {
        return None;
    }
    // Single ones are retransmissions of a switch, or chance.
    Some(if duplicates * 100 > *with_payload {
        Finding::warning(
            format!(
                "{duplicates} of {with_payload} packets came twice: the mirror copies them \
                     where they enter and where they leave"
            ),
            "monitor session 1 source interface PORTS rx     # on a Cisco switch",
        )
    } else {
        Finding::ok(format!("{duplicates} of {with_payload} packets came twice"))
    })
}

/// Different VLANs do no harm to the dealing of packets, but a filter has to name both.
fn vlans(config: &Config, back_end: Backend, sample: &Sample) -> Option<Finding> {
    let two_sided = sample.flows - sample.one_sided;
    let (&(one, other), _) = sample.vlans.iter().max_by_key(|(_, flows)| **flows)?;
    let differing: u64 = sample.vlans.values().sum();
    if two_sided < FEWEST_FLOWS || differing * 10 < two_sided {
        return None;
    }
    let name = |vlan| if vlan == 0 { "no VLAN".to_owned() } else { format!("VLAN {vlan}") };
    let text = format!(
        "the directions of {differing} of {two_sided} TCP connections have different VLANs: {} \
         and {}",
        name(one),
        name(other)
    );
    let Some(filter) = &config.capture.filter else { return Some(Finding::ok(text)) };
    Some(match back_end {
        // The kernel takes the tag off before a packet socket's filter looks for `tcp`.
        Backend::AfPacket if !filter.contains("vlan") => Finding::ok(text),
        Backend::AfPacket => Finding::warning(
            format!("{text}; the filter names VLANs and must let both through"),
            "tcpdump -e -n -c 20 -i any vlan     # shows some",
        ),
        _ => Finding::warning(
            format!("{text}; the filter must let both through"),
            format!("filter = \"({filter}) or (vlan and ({filter}))\"     # in [capture]"),
        ),
    })
}
