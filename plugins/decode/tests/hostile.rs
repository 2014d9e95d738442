//! Frames of noise, frames with something wrong in them, and lies: whatever comes, the stage
//! does not panic (arithmetic that overflows would, in a test), and what it says lies inside of
//! the frame.

#![allow(clippy::cast_possible_truncation, reason = "numbers of dice")]
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

mod common;

use common::{Captured, Dice};
use ringmill_decode::Decode;
use ringmill_sdk::{
    BATCH, Packet, Timestamp,
    testing::{Frame, START, Trial, wrap},
};

const LINKS: [u16; 23] = [
    0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 204, 228, 229, 239, 276, 7,
    147, 65_535,
];

/// Decodes the frames in batches with the clock running; how many passed.
fn survive(frames: &[Captured]) -> usize {
    let mut trial = Trial::<Decode>::new("fragment_mebibytes = 1").unwrap();
    for (at, frames) in frames.chunks(BATCH).enumerate() {
        let time = Timestamp(START.0 + at as i64 * 1_000_000_000);
        let packet = |frame: &'_ Captured| (frame.wire_len, frame.link);
        trial
            .packets(frames.iter().map(|frame| {
                let (wire_len, link) = packet(frame);
                Packet::new(&frame.bytes, time, wire_len, link, 0)
            }))
            .unwrap();
        trial.tick(time).unwrap();
    }
    trial.finish().unwrap();
    let ran = trial.ran();
    let mut passed = 0;
    for (at, frame) in frames.iter().enumerate() {
        let (layers, way) = (&ran.layers[at], &ran.encapsulations[at]);
        let shown = || format!("{}: {way} {layers:?} {:02x?}", frame.name, frame.bytes);
        if ran.verdicts[at].is_some() {
            assert_eq!((layers.ip_version, layers.payload_len), (0, 0), "{}", shown());
            continue;
        }
        passed += 1;
        let len = ran.payloads[at].len();
        // Shorter only where the stage claims what is not in the frame.
        assert_eq!(len, layers.payload_len as usize, "{}", shown());
        assert!(matches!(layers.ip_version, 4 | 6), "{}", shown());
        assert!(matches!(layers.protocol, 6 | 17), "{}", shown());
        assert!(layers.l3 < layers.l4 && layers.l4 < layers.payload, "{}", shown());
    }
    passed
}

/// Frames of every kind, each as the link type that it is.
fn samples() -> Vec<Captured> {
    let tcp = Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload("GET / HTTP/1.1\r\n\r\n");
    let tcp6 =
        Frame::tcp("[2001:db8::1]:1234", "[2001:db8::2]:80").payload("GET / HTTP/1.1\r\n\r\n");
    let mut samples = Vec::new();
    let mut add = |link: u16, name: &str, bytes: Vec<u8>| {
        let wire_len = bytes.len() as u32;
        samples.push(Captured { name: name.to_owned(), link, wire_len, bytes });
    };
    for packet in [&tcp, &tcp6] {
        for (name, frame) in wrap::every(packet) {
            add(1, name, frame);
        }
        let ip = packet.build_ip();
        for kind in wrap::EVERY {
            for part in wrap::fragments(&ip, 24, 3) {
                add(1, kind.name, (kind.frame)(&part));
            }
        }
        add(9, "ppp", wrap::ppp(&ip));
        add(51, "pppoe", wrap::pppoe(wrap::ppp(&ip)));
        add(101, "raw", ip.clone());
        add(104, "hdlc", [&[15, 0], &wrap::ether_type(&ip).to_be_bytes()[..], &ip].concat());
        add(105, "wifi", wrap::wifi(&ip));
        let tap = [0, 0, 18, 0, 0x2f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 2];
        add(127, "radiotap", [&tap[..], &wrap::wifi(&ip)].concat());
        let log = (ip.len() as u16 + 4).to_le_bytes();
        add(
            239,
            "nflog",
            [&[2, 0, 0, 0, 5, 0, 10, 0, 0, 0, 0, 0], &log[..], &[9, 0], &ip].concat(),
        );
    }
    samples
}

#[test]
fn noise_on_every_link() {
    let mut dice = Dice::new(7);
    let mut frames = Vec::new();
    for link in LINKS {
        for number in 0..4000 {
            let len = dice.roll(if number % 50 == 0 { 2000 } else { 120 });
            // Small numbers are what headers are made of.
            let small = dice.roll(2) == 0;
            let bytes: Vec<_> = (0..len)
                .map(|_| match (small, dice.roll(4)) {
                    (true, 0..=2) => {
                        [0, 1, 3, 4, 6, 8, 17, 41, 47, 0x45, 0x60, 0x88, 0xff][dice.roll(13)]
                    }
                    _ => dice.roll(256) as u8,
                })
                .collect();
            let wire_len = (len + [0, 0, 1, 9000][dice.roll(4)]) as u32;
            frames.push(Captured {
                name: format!("link {link} number {number}"),
                link,
                wire_len,
                bytes,
            });
        }
    }
    survive(&frames);
}

#[test]
fn mutants_of_every_kind() {
    let samples = samples();
    let mut dice = Dice::new(8);
    let plain = survive(&samples);
    assert!(plain > 60, "{plain}");
    let mut frames = Vec::new();
    for _ in 0..150 {
        for sample in &samples {
            let mut mutant = dice.mutate(sample);
            // Also further inside than the common mutations reach.
            for _ in 0..dice.roll(3) {
                if !mutant.bytes.is_empty() {
                    let at = dice.roll(mutant.bytes.len());
                    mutant.bytes[at] = [0, 1, 0xff, 0x7f, 0x80, dice.roll(256) as u8][dice.roll(6)];
                }
            }
            frames.push(mutant);
        }
    }
    let passed = survive(&frames);
    assert!(passed > frames.len() / 10 && passed < frames.len(), "{passed} of {}", frames.len());
}

/// Every frame cut at every byte, with the rest not captured and with no rest.
#[test]
fn cut_anywhere() {
    let mut frames = Vec::new();
    for sample in samples() {
        for len in 0..sample.bytes.len() {
            let mut cut = sample.clone();
            cut.bytes.truncate(len);
            frames.push(cut.clone());
            cut.wire_len = len as u32;
            frames.push(cut);
        }
    }
    survive(&frames);
}

/// Headers without end, each as deep as a jumbo frame can be: the work is linear, so they are
/// done at once; were it exponential this would not end.
#[test]
fn bombs() {
    let ip = Frame::tcp("10.0.0.1:1", "10.0.0.2:80").build_ip();
    let tunnels = [1701_u16, 2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472, 37008];
    let mut frames = vec![
        wrap::ethernet(0x8100, [0x81, 0, 0, 0].repeat(16_000)),
        wrap::ethernet(0x8847, [0, 0, 0, 0].repeat(16_000)),
        wrap::over_ip(
            47,
            [&[0x40, 0, 8, 0, 0, 0, 0, 0], &[8, 0, 0, 0].repeat(16_000)[..]].concat(),
        ),
        wrap::over_udp(
            2152,
            [
                &[0x34, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 0x85],
                &[1, 0, 0, 0x85].repeat(16_000)[..],
            ]
            .concat(),
        ),
        wrap::over_udp(37008, [&[1, 0, 0, 1], &[0; 64_000][..]].concat()),
        wrap::ethernet(0x894f, [0, 2, 2, 4, 0, 0, 0, 0].repeat(8000)),
    ];
    let mut dice = Dice::new(9);
    for _ in 0..3000 {
        // Both ports a tunnel's, and what is inside fits one of them at most.
        let mut packet = ip.clone();
        for _ in 0..20 {
            let mut datagram = wrap::datagram(
                tunnels[dice.roll(10)],
                match dice.roll(4) {
                    0 => wrap::vxlan(1, wrap::frame(&packet)),
                    1 => wrap::gtp(1, &packet),
                    2 => wrap::gre(0x0800, &packet),
                    _ => wrap::mpls(&[1], &packet),
                },
            );
            datagram[..2].copy_from_slice(&tunnels[dice.roll(10)].to_be_bytes());
            packet = wrap::ipv4(17, datagram);
        }
        frames.push(wrap::frame(packet));
    }
    let frames: Vec<_> = frames
        .into_iter()
        .map(|bytes| Captured {
            name: "bomb".to_owned(),
            link: 1,
            wire_len: bytes.len() as u32,
            bytes,
        })
        .collect();
    let start = std::time::Instant::now();
    survive(&frames);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
