//! The `decode` and `classify` stages over any frames of any link type.
//!
//! Input: the link type and the options, then for each frame a time step, what the capture cut,
//! its length and its bytes ([`frames`]). Held to be true:
//!
//! * a packet is dropped for a named reason, or has layers that lie in their frame and in
//!   their order, and a class;
//! * how packets are split into batches makes no difference, fragments included;
//! * the path by hand and the long way say the same of a frame;
//! * a frame the other way round has the same flow hash.

use std::sync::LazyLock;

use ringmill_decode::paths::{self, Long};
use ringmill_sdk::{
    BATCH, Class, Packet, Timestamp,
    testing::{START, TestHost, wrap},
};

use crate::{
    bytes::Bytes,
    chain::{Chain, Frame},
    seeds,
};

/// Those that are read, and one that is not.
const LINKS: [u16; 22] = [
    1, 113, 276, 101, 12, 14, 228, 229, 0, 108, 9, 50, 204, 104, 51, 105, 119, 127, 163, 239, 195,
    147,
];

/// Nanoseconds from one frame to the next.
const STEPS: [i64; 8] = [
    1_000,
    0,
    1_000_000,
    999_999_999,
    30_000_000_000,
    31_000_000_000,
    -1_000_000,
    -86_400_000_000_000,
];

const OPTIONS: [&str; 4] =
    ["fragment_mebibytes = 1", "", "fragment_mebibytes = 0", "fragment_seconds = 1"];

/// Frames beyond this many show nothing that fewer do not.
const MOST_FRAMES: usize = 2 * BATCH;

/// Checks all of it for one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes(data);
    let (link, options) = (input.u8(), input.u8());
    let link = LINKS[usize::from(link) % LINKS.len()];
    let options = OPTIONS[usize::from(options) % OPTIONS.len()];
    let frames = frames(input, link);
    let mut whole = Chain::new(options, None);
    whole.run(&frames, BATCH, check);
    let mut single = Chain::new(options, None);
    single.run(&frames, 1, |_| {});
    assert_eq!(whole.found, single.found, "batches of {BATCH} and of 1");
    assert_eq!(whole.counters(), single.counters(), "batches of {BATCH} and of 1");
    let reassembled = whole.found.iter().filter(|found| found.made.is_some()).count();
    assert!(whole.counters()["datagrams.reassembled"] >= reassembled as u64);
    frames.iter().for_each(paths_agree);
}

fn frames(mut input: Bytes<'_>, link: u16) -> Vec<Frame> {
    let (mut frames, mut time) = (Vec::new(), START);
    while !input.is_empty() && frames.len() < MOST_FRAMES {
        let (how, cut) = (input.u8(), input.u8());
        let length = usize::from(input.u16());
        time = Timestamp(time.0.saturating_add(STEPS[usize::from(how & 7)]));
        frames.push(Frame {
            time,
            link,
            vlan: if how & 0x40 == 0 { 0 } else { 0x6005 },
            cut: u32::from(cut) * if how & 0x20 == 0 { 1 } else { 1000 },
            bytes: input.take(length).to_vec(),
            tick: how & 0x80 != 0,
        });
    }
    frames
}

fn check(packet: &Packet<'_>) {
    if packet.verdict() != 0 {
        return;
    }
    let (layers, frame) = (packet.layers(), packet.frame());
    let at = |at: u16| usize::from(at);
    let (l3, l4, payload) = (at(layers.l3), at(layers.l4), at(layers.payload));
    let least = match layers.ip_version {
        4 => 20,
        6 => 40,
        other => panic!("IP version {other}"),
    };
    assert_eq!(frame[l3] >> 4, layers.ip_version, "{layers:?}");
    assert!(l4 >= l3 + least, "{layers:?}");
    match layers.protocol {
        6 => {
            assert!((20..=60).contains(&(payload - l4)), "{layers:?}");
            assert_eq!(payload - l4, usize::from(frame[l4 + 12] >> 4) * 4, "{layers:?}");
            assert_eq!(layers.tcp_flags, frame[l4 + 13], "{layers:?}");
        }
        17 => assert_eq!(payload - l4, 8, "{layers:?}"),
        other => panic!("protocol {other}"),
    }
    assert!(payload + layers.payload_len as usize <= frame.len(), "{layers:?}");
    assert_eq!(packet.payload().len(), layers.payload_len as usize);
    let empty = packet.payload().is_empty() && !packet.is_truncated();
    assert_eq!(packet.class() == Class::NONE, empty, "{layers:?}");
    assert_ne!(packet.class(), Class::UNKNOWN);
    assert!(usize::from(packet.class().0) < Class::NAMES.len());
    assert!(packet.encapsulation().to_string().len() <= 256);
    mirrored(packet);
}

/// The same packet from its receiver to its sender.
fn mirrored(packet: &Packet<'_>) {
    let (layers, mut frame) = (packet.layers(), packet.frame().to_vec());
    let (addresses, length) = if layers.ip_version == 4 { (12, 4) } else { (8, 16) };
    for (at, length) in [(usize::from(layers.l3) + addresses, length), (layers.l4.into(), 2)] {
        let (from, to) = frame[at..at + 2 * length].split_at_mut(length);
        from.swap_with_slice(to);
    }
    let mut mirror = Packet::new(&frame, packet.time(), packet.wire_len(), packet.link(), 0);
    let answer = long().decode(&mut mirror);
    // An address or a port may decide whether there is a tunnel.
    if answer.is_ok() && mirror.encapsulation() == packet.encapsulation() {
        assert_eq!(mirror.flow_hash(), packet.flow_hash(), "{layers:?}");
        assert_eq!(mirror.layers().payload_len, layers.payload_len);
    }
}

fn long() -> Long {
    static HOST: LazyLock<ringmill_sdk::Host> = LazyLock::new(|| TestHost::new(Some(0)).0);
    Long::new(&HOST)
}

fn paths_agree(frame: &Frame) {
    let (mut by_hand, mut by_layers) = (frame.packet(), frame.packet());
    let hand = paths::by_hand(&mut by_hand);
    let answer = long().decode(&mut by_layers);
    match (hand, answer) {
        (Some(()), Ok(())) => {
            assert_eq!(by_hand.layers(), by_layers.layers());
            assert_eq!(by_hand.flow_hash(), by_layers.flow_hash());
            assert_eq!(by_hand.encapsulation(), by_layers.encapsulation());
        }
        (Some(()), Err(reason)) => panic!("by hand, but not the long way: {reason}"),
        (None, _) => assert_eq!(by_hand.layers().l3, 0, "left as it was"),
    }
}

/// Frames of our captures, a few at a time; every encapsulation; fragments.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for capture in seeds::captures() {
        for frames in capture.chunks(6) {
            let same = frames.iter().take_while(|frame| frame.link == frames[0].link);
            let bytes = same.map(|frame| (&frame.data[..], frame.wire_len));
            all.push(write(frames[0].link, bytes));
        }
    }
    let head = b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: seed\r\n\r\n";
    for (from, to) in [("10.0.0.1:1234", "10.0.0.2:80"), ("[2001:db8::1]:1234", "[2001:db8::2]:80")]
    {
        let packet = ringmill_sdk::testing::Frame::tcp(from, to).payload(head);
        for (_, frame) in wrap::every(&packet) {
            all.push(write(1, [(&frame[..], 0)]));
        }
        let ip = packet.build_ip();
        let parts: Vec<_> = wrap::fragments(&ip, 24, 7).iter().map(wrap::frame).collect();
        all.push(write(1, parts.iter().map(|part| (&part[..], 0))));
        all.push(write(1, parts.iter().rev().map(|part| (&part[..], 0))));
        let inside = |part: &Vec<u8>| wrap::over_ip(47, wrap::gre(wrap::ether_type(&ip), part));
        let parts: Vec<_> = wrap::fragments(&ip, 24, 7).iter().map(inside).collect();
        all.push(write(1, parts.iter().map(|part| (&part[..], 0))));
        let wifi = wrap::wifi(&ip);
        let radiotap = [&[0, 0, 8, 0, 0, 0, 0, 0], &wifi[..]].concat();
        let ppp = [&[0xff, 3], &wrap::ppp(&ip)[..]].concat();
        let hdlc = [&[0x0f, 0], &wrap::ether_type(&ip).to_be_bytes()[..], &ip[..]].concat();
        for (link, bytes) in [(105, wifi), (127, radiotap), (9, ppp), (104, hdlc)] {
            all.push(write(link, [(&bytes[..], 0)]));
        }
    }
    all
}

/// The input that [`frames`] reads so.
fn write<'a>(link: u16, frames: impl IntoIterator<Item = (&'a [u8], u32)>) -> Vec<u8> {
    let number = LINKS.iter().position(|known| *known == link).unwrap_or(LINKS.len() - 1);
    let mut out = vec![u8::try_from(number).unwrap_or(0), 0];
    for (bytes, wire) in frames {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let cut = (wire as usize).saturating_sub(bytes.len()).min(255);
        out.extend([0, u8::try_from(cut).unwrap_or(0)]);
        out.extend(length.to_be_bytes());
        out.extend(&bytes[..length.into()]);
    }
    out
}
