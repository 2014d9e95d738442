//! Machines that are made up.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::path::Path;

use ringmill_sdk::{
    Batch, Factory, Output, Packet, Timestamp,
    testing::{Frame, TestHost},
};

use super::{Interface, Level, Machine, PfRing, Sample, Sampler, examine};
use crate::{
    capture::ethtool::{RingSizes, Rss},
    config::{self, Backend, Config},
};

const CHAIN: &str = "[[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n";

/// A config of two workers on `eth2`.
fn live(from: &str, more: &str) -> Config {
    let text = format!(
        "[engine]\nworkers = 2\ncores = \"2-3\"\n\
         [capture]\nfrom = [{from}]\ninterface = \"eth2\"\n{more}\n{CHAIN}"
    );
    config::parse(Path::new("x.toml"), text).unwrap()
}

fn key(bytes: [u8; 2]) -> Vec<u8> {
    bytes.repeat(20)
}

/// Eight cores on two nodes and a card as it should be.
fn good() -> Machine {
    let sample = Sample { packets: 9000, flows: 100, with_payload: 5000, ..Sample::default() };
    Machine {
        interfaces: vec![Interface {
            name: "eth2".to_owned(),
            exists: true,
            up: true,
            running: true,
            promiscuous: false,
            mtu: Some(1500),
            features: vec!["rx-checksum".to_owned(), "tx-tcp-segmentation".to_owned()],
            gro: Some(false),
            rings: Some(RingSizes { now: 4096, most: 4096 }),
            queues: Some(2),
            rss: Some(Rss { key: key([0x6d, 0x5a]), function: 1, ..Rss::default() }),
            node: Some(0),
        }],
        files: None,
        cores: (0..8).map(|core| (core, Some(u32::from(core >= 4)))).collect(),
        capabilities: 1 << 12 | 1 << 13 | 1 << 39,
        executable: "/usr/bin/engine".into(),
        open_files: Some(65536),
        locked_memory: None,
        free_memory: Some(16 << 30),
        pf_ring: PfRing {
            module: Some("9.0.0".to_owned()),
            library: Some("9.0.0".to_owned()),
            leaks: Some(false),
        },
        missing: Vec::new(),
        sample: Some(Ok(sample)),
    }
}

/// PF_RING is not there; the sentence is the back end's.
fn without_pf_ring(machine: &mut Machine) {
    let why = "PF_RING's kernel module is not loaded; `modprobe pf_ring`";
    machine.missing.push((Backend::PfRing, why.to_owned()));
}

/// What is not as it should be.
fn said(config: &Config, change: impl FnOnce(&mut Machine)) -> Vec<String> {
    let mut machine = good();
    change(&mut machine);
    let findings = examine(config, &machine);
    let bad = findings.iter().filter(|finding| finding.level != Level::Ok);
    bad.map(ToString::to_string).collect()
}

#[test]
fn a_good_machine_has_only_good_findings() {
    for from in ["\"af_packet\"", "\"af_xdp\"", "\"pf_ring\"", "\"pf_ring\", \"af_packet\""] {
        let config = live(from, "");
        assert_eq!(said(&config, |_| {}), Vec::<String>::new(), "{from}");
    }
    let lines: Vec<_> =
        examine(&live("\"af_packet\"", ""), &good()).iter().map(ToString::to_string).collect();
    let expected = [
        "ok      packets come from af_packet",
        "ok      interface eth2 is up",
        "ok      eth2 is promiscuous while the engine runs",
        "ok      eth2 leaves packets as they were on the wire",
        "ok      the card of eth2 has room for 4096 packets, its most",
        "ok      snaplen holds any packet of eth2, whose MTU is 1500",
        "ok      9000 packets in 2 s; both directions of 100 TCP connections",
        "ok      0 of 5000 packets came twice",
        "ok      the capabilities are there: cap_net_raw",
        "ok      2 rings of 64 MiB take 128 MiB of 16384 MiB free",
        "ok      2 workers on a machine with 8 cores",
        "ok      the workers are on the NUMA node of eth2, 0",
        "ok      65536 files may be open at once",
    ];
    assert_eq!(lines, expected);
}

/// A back end, more of its config, what is wrong with the machine, and what is said of it.
type Case = (&'static str, &'static str, fn(&mut Machine), &'static str);

const CASES: &[Case] = &[
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].exists = false,
        "error   there is no interface eth2\n        ip -brief link",
    ),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].up = false,
        "warning interface eth2 is down\n        ip link set eth2 up",
    ),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].running = false,
        "warning interface eth2 has no carrier: look after cable, optics and the other end\n        \
         ethtool eth2",
    ),
    (
        "af_packet",
        "promiscuous = false",
        |_| {},
        "warning eth2 takes only packets for this machine; on a mirror port that is none\n        \
         promiscuous = true          # in [capture]",
    ),
    ("af_packet", "promiscuous = false", |machine| machine.interfaces[0].promiscuous = true, ""),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].gro = Some(true),
        "warning GRO is on: eth2 joins packets before they are captured, so that counts, lengths \
         and times are not those of the wire\n        ethtool -K eth2 gro off",
    ),
    ("af_xdp", "", |machine| machine.interfaces[0].gro = Some(true), ""),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].features.push("rx-lro".to_owned()),
        "warning LRO is on: eth2 joins packets before they are captured, so that counts, lengths \
         and times are not those of the wire\n        ethtool -K eth2 lro off",
    ),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].features.push("rx-gro-hw".to_owned()),
        "warning GRO in the card is on: eth2 joins packets before they are captured, so that \
         counts, lengths and times are not those of the wire\n        ethtool -K eth2 rx-gro-hw off",
    ),
    (
        "af_packet",
        "direction = \"both\"",
        |_| {},
        "warning TSO is on: what this machine sends by eth2 is captured before it is cut\n        \
         ethtool -K eth2 tso off",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].features.push("rx-vlan-hw-parse".to_owned()),
        "warning VLAN offload is on: eth2 takes tags off packets, and af_xdp cannot see them\n        \
         ethtool -K eth2 rxvlan off",
    ),
    ("af_packet", "", |m| m.interfaces[0].features.push("rx-vlan-hw-parse".to_owned()), ""),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].rings = Some(RingSizes { now: 512, most: 4096 }),
        "warning the card of eth2 has room for 512 packets, of 4096\n        \
         ethtool -G eth2 rx 4096",
    ),
    (
        "af_packet",
        "snaplen = 1500",
        |_| {},
        "warning snaplen = 1500 cuts packets of eth2, whose MTU is 1500, and heads\n        \
         snaplen = 1536          # in [capture]",
    ),
    ("af_packet", "snaplen = 1530", |_| {}, ""),
    (
        "af_xdp",
        "",
        |machine| {
            machine.interfaces[0].rss.as_mut().unwrap().key = key([0x6d, 0x5a])[..4].to_owned()
        },
        "",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].rss.as_mut().unwrap().key = vec![0x6d, 0x5a, 0x56, 0xda],
        "warning eth2 deals the two directions of a connection to different queues, and so to \
         different workers\n        ethtool -X eth2 hkey 6D:5A:6D:5A\n        \
         ethtool -X eth2 xfrm symmetric-xor     # if the driver can",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].rss.as_mut().unwrap().key = vec![0; 4],
        "warning the hash key of eth2 is zero: all packets go to one queue\n        \
         ethtool -X eth2 hkey 6D:5A:6D:5A",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].rss = None,
        "warning eth2 does not say how it deals packets to its 2 queues\n        \
         ethtool -L eth2 combined 1",
    ),
    // The kernel and PF_RING compute a hash of their own.
    ("af_packet", "", |machine| machine.interfaces[0].rss = None, ""),
    ("pf_ring", "", |machine| machine.interfaces[0].rss = None, ""),
    (
        "af_xdp",
        "",
        |machine| machine.interfaces[0].queues = Some(1),
        "error   eth2 has 1 queues for 2 workers; each needs one of its own\n        \
         ethtool -L eth2 combined 2\n        workers = 1          # in [engine]",
    ),
    (
        "af_packet",
        "",
        |machine| {
            let one_sided = Sample { packets: 900, flows: 100, one_sided: 51, ..Sample::default() };
            machine.sample = Some(Ok(one_sided));
        },
        "warning of 51 of 100 TCP connections only one direction was seen: the mirror is \
         one-sided\n        monitor session 1 source interface PORT both     # on a Cisco switch\n        \
         interface = [\"...\", \"...\"]     # in [capture], if the other direction has a port of \
         its own",
    ),
    (
        "af_packet",
        "",
        |machine| {
            let half = Sample { packets: 900, flows: 100, one_sided: 50, ..Sample::default() };
            machine.sample = Some(Ok(half));
        },
        "",
    ),
    (
        "af_packet",
        "",
        |machine| {
            let few = Sample { packets: 9, flows: 2, one_sided: 2, ..Sample::default() };
            machine.sample = Some(Ok(few));
        },
        "",
    ),
    (
        "af_packet",
        "",
        |machine| {
            let Some(Ok(sample)) = &mut machine.sample else { unreachable!() };
            sample.duplicates = 2500;
        },
        "warning 2500 of 5000 packets came twice: the mirror copies them where they enter and \
         where they leave\n        \
         monitor session 1 source interface PORTS rx     # on a Cisco switch",
    ),
    (
        "af_packet",
        "filter = \"vlan 10\"",
        |machine| {
            let Some(Ok(sample)) = &mut machine.sample else { unreachable!() };
            sample.vlans.insert((10, 20), 60);
        },
        "warning the directions of 60 of 100 TCP connections have different VLANs: VLAN 10 and \
         VLAN 20; the filter names VLANs and must let both through\n        \
         tcpdump -e -n -c 20 -i any vlan     # shows some",
    ),
    (
        "af_packet",
        "filter = \"tcp\"",
        |machine| {
            let Some(Ok(sample)) = &mut machine.sample else { unreachable!() };
            sample.vlans.insert((10, 20), 60);
        },
        "",
    ),
    (
        "af_xdp",
        "filter = \"tcp\"",
        |machine| {
            let Some(Ok(sample)) = &mut machine.sample else { unreachable!() };
            sample.vlans.insert((0, 20), 60);
            sample.vlans.insert((10, 20), 30);
        },
        "warning the directions of 90 of 100 TCP connections have different VLANs: no VLAN and \
         VLAN 20; the filter must let both through\n        \
         filter = \"(tcp) or (vlan and (tcp))\"     # in [capture]",
    ),
    (
        "af_packet",
        "",
        |machine| {
            let Some(Ok(sample)) = &mut machine.sample else { unreachable!() };
            sample.vlans.insert((10, 20), 100);
        },
        "",
    ),
    (
        "af_packet",
        "",
        |machine| machine.sample = Some(Err("the cat sat on it".to_owned())),
        "warning the traffic could not be looked at: the cat sat on it\n        \
         ip -statistics link",
    ),
    (
        "af_packet",
        "",
        |machine| machine.capabilities = 1 << 12,
        "error   af_packet needs capabilities that are missing: cap_net_raw\n        \
         setcap cap_net_raw=ep /usr/bin/engine",
    ),
    (
        "af_packet",
        "clock = \"hardware\"",
        |machine| machine.capabilities = 1 << 13,
        "error   af_packet needs capabilities that are missing: cap_net_admin\n        \
         setcap cap_net_raw,cap_net_admin=ep /usr/bin/engine",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.capabilities = 1 << 13,
        "error   af_xdp needs capabilities that are missing: cap_net_admin,cap_bpf\n        \
         setcap cap_net_raw,cap_net_admin,cap_bpf=ep /usr/bin/engine",
    ),
    // Before Linux 5.8 the right to load programs was part of this one.
    ("af_xdp", "", |machine| machine.capabilities = 1 << 12 | 1 << 13 | 1 << 21, ""),
    (
        "af_packet",
        "",
        |machine| machine.free_memory = Some(100 << 20),
        "error   2 rings of 64 MiB take 128 MiB, and only 100 MiB are free\n        \
         ring_mib = 25          # in [capture]",
    ),
    (
        "af_packet",
        "",
        |machine| machine.free_memory = Some(200 << 20),
        "warning 2 rings of 64 MiB take 128 MiB, more than half of the 200 MiB free\n        \
         ring_mib = 50          # in [capture]",
    ),
    (
        "af_xdp",
        "",
        |machine| machine.locked_memory = Some(8 << 20),
        "error   af_xdp locks 128 MiB, and 8 MiB are allowed\n        \
         ulimit -l unlimited          # LimitMEMLOCK=infinity in a systemd unit",
    ),
    ("af_packet", "", |machine| machine.locked_memory = Some(8 << 20), ""),
    (
        "af_xdp",
        "",
        |machine| {
            machine.locked_memory = Some(8 << 20);
            machine.capabilities |= 1 << 14;
        },
        "",
    ),
    (
        "af_packet",
        "",
        |machine| machine.interfaces[0].node = Some(1),
        "warning the card of eth2 is on NUMA node 1, core 2 on node 0\n        \
         cores = \"4,5\"          # in [engine]",
    ),
    (
        "af_packet",
        "",
        |machine| machine.cores.truncate(3),
        "warning core 3 is not there; its worker will not be pinned\n        \
         cores = \"1,2\"          # in [engine]",
    ),
    (
        "af_packet",
        "",
        |machine| machine.open_files = Some(64),
        "warning 64 files may be open at once; this chain may need 256\n        \
         ulimit -n 256          # LimitNOFILE=256 in a systemd unit",
    ),
    (
        "pf_ring",
        "",
        without_pf_ring,
        "error   pf_ring cannot be used: PF_RING's kernel module is not loaded\n        \
         modprobe pf_ring",
    ),
    (
        "af_xdp",
        "",
        |machine| {
            let why = "XDP sees only packets that come in; remove `x` or capture by `y`";
            machine.missing.push((Backend::AfXdp, why.to_owned()));
        },
        "error   af_xdp cannot be used: XDP sees only packets that come in\n        \
         remove `x` or capture by `y`",
    ),
    (
        "pf_ring",
        "",
        |machine| machine.pf_ring.library = Some("8.8.0".to_owned()),
        "warning the module of PF_RING is 9.0.0, its library 8.8.0\n        \
         apt install pfring pfring-dkms && modprobe -r pf_ring && modprobe pf_ring",
    ),
    (
        "pf_ring",
        "",
        |machine| machine.pf_ring.leaks = Some(true),
        "warning this library of PF_RING does not close its sockets: each time an interface comes \
         back, a ring's memory is lost\n        apt install --only-upgrade pfring",
    ),
    // Where another back end is at hand, it is no error that the first is not there.
    (
        "pf_ring\", \"af_packet",
        "",
        without_pf_ring,
        "warning pf_ring is not used: PF_RING's kernel module is not loaded\n        \
         modprobe pf_ring",
    ),
];

#[test]
fn every_fault_is_said_once_with_what_mends_it() {
    for (from, more, change, expected) in CASES {
        let config = live(&format!("\"{from}\""), more);
        assert_eq!(said(&config, change).join("\n"), *expected, "{from} {more}");
    }
}

#[test]
fn workers_are_compared_with_cores() {
    let parse = |engine: &str, capture: &str| {
        let text = format!("[engine]\n{engine}\n[capture]\n{capture}\n{CHAIN}");
        config::parse(Path::new("x.toml"), text).unwrap()
    };
    let live = "from = \"af_packet\"\ninterface = \"eth2\"";
    let file = "from = \"file\"\nfiles = \"a.pcap\"";
    let cases = [
        (
            "workers = 8\ncores = \"0-7\"",
            live,
            8,
            "8 workers leave no core to the sinks\n        \
                                                     workers = 7          # in [engine]",
        ),
        ("workers = 8", file, 8, ""),
        (
            "workers = 9",
            file,
            8,
            "9 workers share 8 cores\n        \
                                  workers = 7          # in [engine]",
        ),
        (
            "workers = 2",
            live,
            8,
            "the workers are not pinned to cores and will wander\n        \
                                  cores = \"1,2\"          # in [engine]",
        ),
        ("workers = 1", live, 8, ""),
        ("workers = 1", live, 1, ""),
    ];
    for (engine, capture, cores, expected) in cases {
        let config = parse(engine, capture);
        let bad = said(&config, |machine| {
            machine.cores = (0..cores).map(|core| (core, None)).collect();
            machine.files = Some(Ok(1));
        });
        let expected =
            if expected.is_empty() { String::new() } else { format!("warning {expected}") };
        assert_eq!(bad.join("\n"), expected, "{engine} {capture}");
    }
}

#[test]
fn a_capture_of_files_has_few_findings() {
    let text = format!("[capture]\nfrom = \"file\"\nfiles = \"a.pcap\"\n{CHAIN}");
    let config = config::parse(Path::new("x.toml"), text).unwrap();
    let machine = Machine { files: Some(Ok(3)), interfaces: Vec::new(), ..good() };
    let lines: Vec<_> = examine(&config, &machine).iter().map(ToString::to_string).collect();
    let expected = [
        "ok      packets come from file",
        "ok      3 capture files are there",
        "ok      1 worker on a machine with 8 cores",
        "ok      65536 files may be open at once",
    ];
    assert_eq!(lines, expected);
    let machine = Machine { files: Some(Err("a.pcap: no such file".to_owned())), ..machine };
    let line = &examine(&config, &machine)[1].to_string();
    assert_eq!(
        line,
        "error   a.pcap: no such file\n        files = [\"...\"]          # in [capture]"
    );
}

/// When a frame came, in milliseconds, and the frame.
type Caught = (u32, Vec<u8>);

/// Samples frames that came at these times, in milliseconds.
fn sample(frames: &[Caught]) -> Sample {
    let (host, _) = TestHost::new(None);
    let mut decode = (Factory::stage::<ringmill_decode::Decode>().build)("", &host).unwrap();
    let mut sampler = Sampler::default();
    for (ms, frame) in frames {
        let mut batch = Batch::default();
        batch.push(Packet::ethernet(frame, Timestamp(i64::from(*ms) * 1_000_000)));
        decode.packets(&mut batch, &mut Output::new(&mut Vec::new())).unwrap();
        batch.all().iter().for_each(|packet| sampler.add(packet));
    }
    sampler.end()
}

/// A segment of connection `n` with `seq`, either way.
fn segment(n: u8, back: bool, seq: u32) -> Frame {
    let (client, server) = (format!("10.0.0.{n}:5000{n}"), "10.9.0.1:80".to_owned());
    let (from, to) = if back { (server, client) } else { (client, server) };
    Frame::tcp(&from, &to).seq(seq).payload("x")
}

#[test]
fn a_sample_tells_one_direction_from_two() {
    let there = |n, ms| (ms, segment(n, false, ms).build());
    let back = |n, ms| (ms, segment(n, true, ms).build());
    let frames = [
        // Both ways, one way, and too short to tell.
        [there(1, 0), back(1, 1), there(1, 2), back(1, 3)],
        [there(2, 0), there(2, 1), there(2, 2), there(2, 3)],
        [back(3, 0), back(3, 1), back(3, 2), back(3, 3)],
        [there(4, 0), there(4, 1), there(4, 2), (9, Frame::udp("1.1.1.1:1", "2.2.2.2:2").build())],
    ];
    let seen = sample(frames.as_flattened());
    let expected = Sample {
        packets: 16,
        flows: 3,
        one_sided: 2,
        with_payload: 15,
        duplicates: 0,
        vlans: [].into(),
    };
    assert_eq!(seen, expected);
}

#[test]
fn the_same_packet_twice_within_milliseconds_is_a_duplicate() {
    let frame = |seq| segment(1, false, seq).build();
    let mut other_switch = frame(1);
    other_switch[0] ^= 0x40;
    let tagged = segment(1, false, 1).vlan(7).build();
    let ack = Frame::tcp("10.0.0.1:1", "10.0.0.2:2").build();
    let cases: &[(&[Caught], u64)] = &[
        (&[(0, frame(1)), (1, frame(1))], 1),
        (&[(0, frame(1)), (5, frame(1))], 1),
        (&[(0, frame(1)), (6, frame(1))], 0),
        (&[(0, frame(1)), (1, frame(2))], 0),
        (&[(0, frame(1)), (1, frame(1)), (2, frame(1))], 2),
        (&[(0, frame(1)), (1, other_switch)], 1),
        (&[(0, frame(1)), (1, tagged)], 1),
        (&[(0, ack.clone()), (1, ack)], 0),
    ];
    for (at, (frames, duplicates)) in cases.iter().enumerate() {
        assert_eq!(sample(frames).duplicates, *duplicates, "case {at}");
    }
}

#[test]
fn a_vlan_for_each_direction_is_noticed() {
    let frames = |one: &[u16], other: &[u16]| {
        let tagged = |back, seq, tags: &[u16]| {
            let frame = tags.iter().fold(segment(1, back, seq), |frame, tag| frame.vlan(*tag));
            (seq, frame.build())
        };
        [
            tagged(false, 1, one),
            tagged(true, 2, other),
            tagged(false, 3, one),
            tagged(true, 4, other),
        ]
    };
    assert_eq!(sample(&frames(&[10], &[20])).vlans, [((10, 20), 1)].into());
    assert_eq!(sample(&frames(&[20], &[])).vlans, [((0, 20), 1)].into());
    assert_eq!(sample(&frames(&[], &[])).vlans, [].into());
    // Priorities are not part of the number.
    assert_eq!(sample(&frames(&[10], &[0xe00a])).vlans, [].into());
}
