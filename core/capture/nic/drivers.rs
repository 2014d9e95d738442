//! Which of a driver's own counters mean that a packet was lost before any ring.
//!
//! Each line names the file of the Linux source that it was read from. Left out is what only looks
//! like loss: `rx_no_buffer_count` of Intel's cards counts packets that had to wait in the card
//! and were then received; `rx_prio*_discards` of mlx5 and `rx_discard_packets_cos*` of bnxt are
//! parts of a sum that is taken; `pps_allowance_exceeded` of ena also counts packets that were
//! only delayed; and counters of bad frames (CRC, length) are about packets that never were whole.

use std::collections::BTreeMap;

use super::link::Statistics;

/// A driver's counters of loss.
struct Driver {
    /// As ethtool names it.
    name: &'static str,
    /// Counters whose sum is what was lost; `#` stands for a number, and what it matches is
    /// added up.
    lost: &'static [&'static str],
    /// Older releases: taken if none of the names above is there.
    or_else: &'static [&'static str],
}

const DRIVERS: &[Driver] = &[
    // drivers/net/ethernet/intel/ixgbe/ixgbe_ethtool.c, ixgbe_main.c (`ixgbe_update_stats`): the
    // packet buffer was full (MPC); the queue had no descriptors (QPRDC).
    Driver { name: "ixgbe", lost: &["rx_missed_errors", "rx_no_dma_resources"], or_else: &[] },
    // drivers/net/ethernet/intel/igb/igb_ethtool.c: MPC, and RQDPC of each queue.
    Driver { name: "igb", lost: &["rx_missed_errors", "rx_queue_#_drops"], or_else: &[] },
    // drivers/net/ethernet/intel/igc/igc_ethtool.c: the same.
    Driver { name: "igc", lost: &["rx_missed_errors", "rx_queue_#_drops"], or_else: &[] },
    // drivers/net/ethernet/intel/i40e/i40e_ethtool.c, i40e_main.c (`i40e_update_vsi_stats`): the
    // interface's (no descriptors) and the port's (packet buffer full), which are two. Until 6.3
    // the former was in `rx_dropped` among other things.
    Driver {
        name: "i40e",
        lost: &["rx_missed_errors", "port.rx_discards"],
        or_else: &["port.rx_dropped"],
    },
    // drivers/net/ethernet/intel/ice/ice_ethtool.c, ice_main.c (`ice_update_pf_stats`): the interface's (no descriptors) and the
    // port's (packet buffer full), which are two.
    Driver { name: "ice", lost: &["rx_dropped", "rx_dropped.nic"], or_else: &[] },
    // drivers/net/ethernet/mellanox/mlx5/core/en_stats.c, and counters.rst of the kernel's
    // documentation: no receive buffers in the host, none in the card, packets too large for them.
    Driver {
        name: "mlx5_core",
        lost: &[
            "rx_out_of_buffer",
            "rx_discards_phy",
            "rx_oversize_pkts_buffer",
            "rx_oversize_pkts_sw_drop",
        ],
        or_else: &[],
    },
    // drivers/net/ethernet/broadcom/bnxt/bnxt_ethtool.c: each ring's, and packets for which the
    // driver had no memory.
    Driver { name: "bnxt_en", lost: &["[#]: rx_discards", "rx_total_oom_discards"], or_else: &[] },
    // drivers/net/ethernet/broadcom/tg3.c
    Driver { name: "tg3", lost: &["rx_discards"], or_else: &[] },
    // drivers/net/virtio_net.c, and the name that it had in older kernels.
    Driver { name: "virtio_net", lost: &["rx#_drops"], or_else: &["rx_queue_#_drops"] },
    // drivers/net/veth.c
    Driver { name: "veth", lost: &["rx_queue_#_drops"], or_else: &[] },
];

/// Whether the driver's own counters say what it lost.
pub(super) fn knows(driver: &str) -> bool {
    DRIVERS.iter().any(|known| known.name == driver)
}

/// What was lost, by the names of its counters.
pub(super) fn losses(
    driver: &str,
    own: &[(String, u64)],
    link: &Statistics,
) -> BTreeMap<String, u64> {
    let known = DRIVERS.iter().find(|known| known.name == driver);
    let mut lost = BTreeMap::new();
    for names in known.iter().flat_map(|known| [known.lost, known.or_else]) {
        for &pattern in names {
            let counters = own.iter().filter(|(name, _)| matches(pattern, name));
            // The sum over the queues has the name that one queue's would have.
            if let Some(sum) = counters.map(|(_, count)| *count).reduce(u64::wrapping_add) {
                lost.insert(pattern.replace('#', "N"), sum);
            }
        }
        if !lost.is_empty() {
            return lost;
        }
    }
    // The meaning of these two is in linux/if_link.h. A driver should fill in only one of them
    // for a lost packet; where it does not, the sum is too high, never too low.
    let general =
        [("rx_missed_errors", link.rx_missed_errors), ("rx_fifo_errors", link.rx_fifo_errors)];
    general.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Whether `name` is `pattern` with a number for its `#`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('#') {
        None => pattern == name,
        Some((before, after)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

#[cfg(test)]
#[test]
fn every_driver_is_named_once() {
    let mut seen = std::collections::BTreeSet::new();
    for driver in DRIVERS {
        assert!(seen.insert(driver.name), "{} is named twice", driver.name);
        assert!(!driver.lost.is_empty(), "{}", driver.name);
    }
}
