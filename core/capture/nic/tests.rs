#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{
    io::{self, Write as _},
    process::Command,
};

use super::{Counters, drivers, link::Statistics};

/// A driver, what `ethtool -S` prints, and what of it was lost.
type Card = (&'static str, &'static str, &'static [(&'static str, u64)]);

/// What `ethtool -S` prints, cut to what is of interest. The names are typed from the drivers'
/// sources, not recorded on a machine; the numbers are made up so that each sum shows what was
/// taken: a power of two is to be counted, 1000000 is not.
const CARDS: &[Card] = &[
    (
        "ixgbe",
        "rx_packets: 1000000\nrx_errors: 1000000\nrx_dropped: 1000000\n\
         rx_no_buffer_count: 1000000\nrx_fifo_errors: 1000000\nrx_missed_errors: 1\n\
         rx_no_dma_resources: 2\nrx_queue_0_packets: 1000000",
        &[("rx_missed_errors", 1), ("rx_no_dma_resources", 2)],
    ),
    (
        "igb",
        "rx_no_buffer_count: 1000000\nrx_missed_errors: 1\nrx_fifo_errors: 1000000\n\
         rx_queue_0_packets: 1000000\nrx_queue_0_drops: 2\nrx_queue_0_csum_err: 1000000\n\
         rx_queue_1_drops: 4\nrx_queue_10_drops: 8",
        &[("rx_missed_errors", 1), ("rx_queue_N_drops", 14)],
    ),
    (
        "i40e",
        "rx_dropped: 1000000\nrx_missed_errors: 4\nrx_unknown_protocol: 1000000\n\
         port.rx_discards: 2\nveb.rx_discards: 1000000",
        &[("port.rx_discards", 2), ("rx_missed_errors", 4)],
    ),
    (
        "i40e",
        "rx_dropped: 1000000\nveb.rx_discards: 1000000\nport.rx_dropped: 8",
        &[("port.rx_dropped", 8)],
    ),
    (
        "ice",
        "rx_dropped: 1\nrx_unknown_protocol: 1000000\nrx_alloc_fail: 1000000\n\
         rx_dropped.nic: 2\nrx_crc_errors.nic: 1000000",
        &[("rx_dropped", 1), ("rx_dropped.nic", 2)],
    ),
    (
        "mlx5_core",
        "rx_packets: 1000000\nrx_xdp_drop: 1000000\nrx_oversize_pkts_sw_drop: 1\n\
         rx_buff_alloc_err: 1000000\nrx_out_of_buffer: 2\nrx_oversize_pkts_buffer: 4\n\
         rx_discards_phy: 8\nrx_prio0_discards: 1000000\nrx_steer_missed_packets: 1000000",
        &[
            ("rx_discards_phy", 8),
            ("rx_out_of_buffer", 2),
            ("rx_oversize_pkts_buffer", 4),
            ("rx_oversize_pkts_sw_drop", 1),
        ],
    ),
    (
        "bnxt_en",
        "[0]: rx_ucast_packets: 1000000\n[0]: rx_discards: 1\n[0]: tx_discards: 1000000\n\
         [1]: rx_discards: 2\nrx_total_oom_discards: 4\nrx_total_ring_discards: 1000000\n\
         rx_stat_discard: 1000000\nrx_discard_packets_cos0: 1000000",
        &[("[N]: rx_discards", 3), ("rx_total_oom_discards", 4)],
    ),
    ("tg3", "rx_octets: 1000000\nrx_discards: 4\nrx_errors: 1000000", &[("rx_discards", 4)]),
    (
        "virtio_net",
        "rx_drops: 1000000\nrx0_drops: 1\nrx0_xdp_drops: 1000000\nrx1_drops: 2\ntx0_xdp_tx: 1000000",
        &[("rxN_drops", 3)],
    ),
    (
        "virtio_net",
        "rx_queue_0_drops: 4\nrx_queue_0_xdp_drops: 1000000",
        &[("rx_queue_N_drops", 4)],
    ),
    (
        "veth",
        "peer_ifindex: 1000000\nrx_queue_0_xdp_packets: 1000000\nrx_queue_0_drops: 1\n\
         rx_queue_0_xdp_drops: 1000000\nrx_queue_1_drops: 2",
        &[("rx_queue_N_drops", 3)],
    ),
];

const LINK: Statistics = Statistics { rx_packets: 7, rx_fifo_errors: 16, rx_missed_errors: 32 };

fn lost(driver: &str, output: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, count) = line.rsplit_once(": ").unwrap();
        (name.to_owned(), count.parse().unwrap())
    };
    let own: Vec<_> = output.lines().map(line).collect();
    drivers::losses(driver, &own, &LINK).into_iter().collect()
}

#[test]
fn of_a_known_driver_its_own_counters_of_loss_are_taken_and_no_others() {
    for (driver, output, expected) in CARDS {
        let expected: Vec<_> = expected.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert_eq!(lost(driver, output), expected, "{driver}");
    }
}

#[test]
fn of_any_other_the_general_counters_are_taken() {
    let general = vec![("rx_fifo_errors".to_owned(), 16), ("rx_missed_errors".to_owned(), 32)];
    assert_eq!(lost("r8169", "rx_missed: 1000000"), general);
    // Also of a known one that answers with none of the names that are known.
    assert_eq!(lost("ixgbe", "rx_packets: 1000000"), general);
    assert_eq!(lost("veth", ""), general);
}

#[test]
fn an_interface_that_is_not_there_has_no_counters() {
    assert_eq!(Counters::read("rmnone0").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn an_interface_without_a_driver_has_the_general_ones() {
    let lo = Counters::read("lo").unwrap();
    let names: Vec<_> = lo.dropped.keys().map(String::as_str).collect();
    assert_eq!(names, ["rx_fifo_errors", "rx_missed_errors"]);
}

#[test]
fn a_veth_counts_what_comes_in() {
    let done = std::thread::spawn(|| {
        // SAFETY: the network namespace of this thread alone changes; nothing else runs on it.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let _ = writeln!(io::stderr(), "SKIPPED: only root can make a network namespace");
            return;
        }
        let ip = |arguments: &str| {
            let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
            assert!(status.success(), "ip {arguments}");
        };
        ip("link add rmnc0 type veth peer name rmnc1");
        ip("link set rmnc0 addrgenmode none");
        ip("link set rmnc1 addrgenmode none");
        ip("link set rmnc0 up");
        ip("link set rmnc1 up");
        // The kernel lets packets out once it has noticed the carrier.
        let running = |name| super::netdev::state(name).unwrap().unwrap().running;
        let since = std::time::Instant::now();
        while !(running("rmnc0") && running("rmnc1")) {
            assert!(since.elapsed().as_secs() < 10, "the veth has no carrier");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let before = Counters::read("rmnc1").unwrap();
        let expected = [("rx_queue_N_drops".to_owned(), 0)];
        assert_eq!(before.dropped, expected.into_iter().collect());
        let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x88, 0xb5], &[0; 46]].concat();
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::PACKET,
            rustix::net::SocketType::RAW,
            None,
        )
        .unwrap();
        let index = super::netdev::state("rmnc0").unwrap().unwrap().index;
        let mut address: libc::sockaddr_ll =
            // SAFETY: a C struct of integers, for which all zeros are a value.
            unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET.try_into().unwrap();
        address.sll_ifindex = index.cast_signed();
        for _ in 0..100 {
            // SAFETY: frame and address live across the call, with their lengths.
            let sent = unsafe {
                libc::sendto(
                    std::os::fd::AsRawFd::as_raw_fd(&socket),
                    frame.as_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw const address).cast(),
                    size_of_val(&address).try_into().unwrap(),
                )
            };
            assert_eq!(sent, 60, "{}", io::Error::last_os_error());
        }
        let after = Counters::read("rmnc1").unwrap();
        assert_eq!(after.received - before.received, 100);
        // Nobody speaks this protocol here: the kernel drops the frames, and that is no loss.
        assert_eq!(after.dropped, before.dropped);
    });
    done.join().unwrap();
}
