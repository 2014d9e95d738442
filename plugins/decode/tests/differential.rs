//! Two ways of reading a frame must agree: by hand and by etherparse's header slices, and the
//! stage with etherparse's own way through a whole frame.

#![allow(clippy::cast_possible_truncation, reason = "the captures are small")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "helpers of a test")]

mod common;

use common::{Captured, Dice, frames};
use etherparse::{LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use ringmill_decode::paths::{self, Long};
use ringmill_sdk::{
    Layers, Packet,
    testing::{START, TestHost},
};

const MUTANTS: usize = 40;

/// How often each thing happened, so that a test that compared nothing fails.
#[derive(Debug, Default)]
struct Seen {
    by_hand: usize,
    by_etherparse: usize,
    dropped: usize,
    with_oracle: usize,
}

#[test]
fn both_paths_and_etherparse_agree_on_captures_and_their_mutants() {
    let frames = frames();
    let mut long = Long::new(&TestHost::new(Some(0)).0);
    let (mut plain, mut mutants) = (Seen::default(), Seen::default());
    for (at, frame) in frames.iter().enumerate() {
        compare(&mut long, frame, &mut plain);
        let mut dice = Dice::new(at as u64);
        for _ in 0..MUTANTS {
            compare(&mut long, &dice.mutate(frame), &mut mutants);
        }
    }
    println!("{} frames: {plain:?}; their mutants: {mutants:?}", frames.len());
    assert!(plain.by_hand > 100 && plain.with_oracle > 100 && plain.dropped > 0, "{plain:?}");
    assert!(mutants.by_hand > 100 && mutants.by_etherparse > 1000, "{mutants:?}");
    assert!(mutants.dropped > 100 && mutants.with_oracle > 100, "{mutants:?}");
}

fn compare(long: &mut Long, frame: &Captured, seen: &mut Seen) {
    let shown = || format!("{}: {:02x?}", frame.name, &frame.bytes[..frame.bytes.len().min(120)]);
    let packet = || Packet::new(&frame.bytes, START, frame.wire_len, frame.link, 0);
    let (mut by_hand, mut by_etherparse) = (packet(), packet());
    let hand = paths::by_hand(&mut by_hand);
    let answer = long.decode(&mut by_etherparse).map(|()| by_etherparse.layers());
    match (hand, &answer) {
        (Some(()), Ok(layers)) => {
            assert_eq!(by_hand.layers(), *layers, "{}", shown());
            assert_eq!(by_hand.flow_hash(), by_etherparse.flow_hash(), "{}", shown());
            seen.by_hand += 1;
        }
        (Some(()), Err(reason)) => panic!("by hand, but not by etherparse: {reason}: {}", shown()),
        (None, answer) => {
            assert_eq!(by_hand.layers(), Layers::default(), "{}", shown());
            *(if answer.is_ok() { &mut seen.by_etherparse } else { &mut seen.dropped }) += 1;
        }
    }
    // Etherparse reads no tunnels.
    if frame.link != 1 || !by_etherparse.encapsulation().is_empty() {
        return;
    }
    match (oracle(frame), answer) {
        (Some(expected), Ok(layers)) => {
            assert_eq!(layers, expected, "{}", shown());
            seen.with_oracle += 1;
        }
        (None, Err(_)) => seen.with_oracle += 1,
        // The lax slicer does not look at these lengths.
        (Some(_), Err("bad_ip_length" | "bad_udp_length")) => {}
        // It does not look into the datagram in which these are.
        (Some(Layers { protocol: 17, .. }), Err("ip_fragment" | "too_deep")) => {}
        // It stops after three tags.
        (None, Ok(layers)) if layers.l3 > 14 + 3 * 4 => {}
        (expected, answer) => panic!("{expected:?}, not {answer:?}: {}", shown()),
    }
}

/// What etherparse makes of the whole frame, `None` when it finds no TCP or UDP.
fn oracle(frame: &Captured) -> Option<Layers> {
    let sliced = LaxSlicedPacket::from_ethernet(&frame.bytes).ok()?;
    let (ip_version, l3, zero, ip) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(v4) => {
            (4, v4.header().slice(), v4.header().total_len() == 0, v4.payload())
        }
        LaxNetSlice::Ipv6(v6) => {
            (6, v6.header().slice(), v6.header().payload_length() == 0, v6.payload())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let cut = zero && frame.wire_len as usize > frame.bytes.len();
    let (protocol, l4, payload, truncated) = match sliced.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => (6, tcp.header_slice(), tcp.payload(), ip.incomplete || cut),
        TransportSlice::Udp(udp) => {
            let beyond = usize::from(udp.length()) > ip.payload.len();
            let rest = udp.length() == 0 && (ip.incomplete || cut);
            (17, udp.header_slice(), udp.payload(), beyond || rest)
        }
        _ => return None,
    };
    let offset = |part: &[u8]| (part.as_ptr() as usize - frame.bytes.as_ptr() as usize) as u16;
    Some(Layers {
        ip_version,
        protocol,
        vlan: match sliced.link_exts.first() {
            Some(LaxLinkExtSlice::Vlan(tag)) => {
                u16::from_be_bytes([tag.slice()[0], tag.slice()[1]])
            }
            Some(LaxLinkExtSlice::Macsec(_)) => return None,
            None => 0,
        },
        l3: offset(l3),
        l4: offset(l4),
        payload: offset(payload),
        payload_len: payload.len() as u32,
        truncated,
        tcp_flags: if protocol == 6 { frame.bytes[usize::from(offset(l4)) + 13] } else { 0 },
    })
}
