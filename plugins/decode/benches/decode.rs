//! What a frame costs: the stage against a loop that does nothing but find the payload, and
//! against etherparse.
//!
//! `cargo bench -p ringmill-decode`; nanoseconds a packet in the best of many short,
//! interleaved rounds, which is what other work on the machine disturbs least. The frames stay in the second-level cache, so this is the work alone.

#![allow(clippy::print_stdout, reason = "a bench reports on the terminal")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of frames")]
#![allow(clippy::unwrap_used, reason = "its input is its own")]

use std::{hint::black_box, time::Instant};

use etherparse::{LaxSlicedPacket, SlicedPacket, TransportSlice};
use ringmill_decode::{Decode, paths};
use ringmill_sdk::{
    Arena, BATCH, Batch, Output, Packet, Stage,
    testing::{Frame, START, TestHost, wrap},
};

const BATCHES: usize = 16;
const ROUNDS: usize = 301;
const REPEATS: usize = 2;

fn main() {
    // name, payload bytes, one frame in how many has a VLAN tag, is IPv6, is UDP
    for (name, payload, vlan, v6, udp) in [
        ("60 bytes, IPv4 TCP", 6, 0, 0, 0),
        ("60 bytes, campus mix", 6, 10, 7, 8),
        ("campus mix, any order", 6, 3, 3, 3),
        ("1400 bytes, campus mix", 1346, 10, 7, 8),
    ] {
        let frames: Vec<_> =
            (0..BATCHES * BATCH).map(|n| frame(n, payload, vlan, v6, udp)).collect();
        measure(name, &frames);
    }
    let inside: Vec<_> = (0..BATCHES * BATCH).map(|n| frame(n, 6, 0, 0, 0)).collect();
    let wrapped =
        |wrap: &dyn Fn(&[u8]) -> Vec<u8>| inside.iter().map(|frame| wrap(frame)).collect();
    measure_stage("GRE", wrapped(&|frame| wrap::over_ip(47, wrap::gre(0x0800, &frame[14..]))));
    measure_stage("VXLAN", wrapped(&|frame| wrap::over_udp(4789, wrap::vxlan(1, frame))));
    measure_stage("GTP-U", wrapped(&|frame| wrap::over_udp(2152, wrap::gtp(1, &frame[14..]))));
    let halves = |(n, frame): (usize, &Vec<u8>)| {
        let parts = wrap::fragments(&frame[14..], 16, n as u16);
        parts.into_iter().map(wrap::frame).collect::<Vec<_>>()
    };
    let fragments = inside.iter().take(BATCHES * BATCH / 2).enumerate().flat_map(halves);
    measure_stage("fragments, two a datagram", fragments.collect());
}

/// Only the stage, on frames that nothing else here reads.
fn measure_stage(name: &str, frames: Vec<Vec<u8>>) {
    let (host, _) = TestHost::new(Some(0));
    let mut stage = Decode::new(ringmill_sdk::parse_config("").unwrap(), &host).unwrap();
    let (mut records, mut best) = (Vec::new(), f64::INFINITY);
    let mut arena = Arena::default();
    for _ in 0..ROUNDS {
        let mut seconds = 0.0;
        for frames in frames.chunks(BATCH) {
            let mut batch = Batch::default().with_arena(&arena);
            frames.iter().for_each(|frame| batch.push(Packet::ethernet(frame, START)));
            let start = Instant::now();
            stage.packets(&mut batch, &mut Output::new(&mut records)).unwrap();
            drop(batch);
            arena.clear();
            seconds += start.elapsed().as_secs_f64();
        }
        best = best.min(seconds);
    }
    println!("{name}: {:.2} ns", best * 1e9 / frames.len() as f64);
}

/// Frame `n` of a mix in which what comes next cannot be guessed.
fn frame(n: usize, payload: usize, vlan: usize, v6: usize, udp: usize) -> Vec<u8> {
    let dice = |salt: usize, sides: usize| {
        let mixed = (n * 8 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        sides != 0 && (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33).is_multiple_of(sides)
    };
    let port = 1024 + n % 60_000;
    let (from, to) = match dice(1, v6) {
        false => (format!("10.0.{}.{}:{port}", n >> 8, n & 255), "192.0.2.1:443"),
        true => (format!("[2001:db8::{n:x}]:{port}"), "[2001:db8:1::2]:443"),
    };
    let frame = if dice(2, udp) { Frame::udp(&from, to) } else { Frame::tcp(&from, to) };
    let frame = if dice(3, vlan) { frame.vlan(7) } else { frame };
    frame.payload(vec![b'x'; payload]).build()
}

type Way = Box<dyn FnMut(&mut Batch<'_>)>;

fn measure(name: &str, frames: &[Vec<u8>]) {
    let mut batches: Vec<Batch<'_>> = frames
        .chunks(BATCH)
        .map(|frames| {
            let mut batch = Batch::default();
            frames.iter().for_each(|frame| batch.push(Packet::ethernet(frame, START)));
            batch
        })
        .collect();
    let (host, _) = TestHost::new(Some(0));
    let mut stage = Decode::new(ringmill_sdk::parse_config("").unwrap(), &host).unwrap();
    let mut long = paths::Long::new(&host);
    let mut records = Vec::new();
    let mut ways: Vec<(&str, Way)> = vec![
        ("find the payload by hand", Box::new(|batch| each(batch, find_payload))),
        (
            "the stage",
            Box::new(move |batch| stage.packets(batch, &mut Output::new(&mut records)).unwrap()),
        ),
        (
            "path by hand",
            Box::new(|batch| {
                batch.live().for_each(|packet| {
                    black_box(paths::by_hand(packet));
                })
            }),
        ),
        (
            "the long way",
            Box::new(move |batch| {
                batch.live().for_each(|packet| {
                    black_box(long.decode(packet).is_ok());
                })
            }),
        ),
        ("SlicedPacket", Box::new(|batch| each(batch, sliced))),
        ("LaxSlicedPacket", Box::new(|batch| each(batch, lax_sliced))),
    ];
    let mut best = vec![f64::INFINITY; ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way), best) in ways.iter_mut().zip(&mut best) {
            let start = Instant::now();
            for _ in 0..REPEATS {
                batches.iter_mut().for_each(&mut *way);
            }
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    println!("{name}");
    let mut floor = None;
    for ((way, _), seconds) in ways.iter().zip(best) {
        let ns = seconds * 1e9 / (frames.len() * REPEATS) as f64;
        println!("  {way:28} {ns:6.2} ns  x {:.2}", ns / *floor.get_or_insert(ns));
    }
}

#[inline(always)]
fn each<'a, T>(batch: &Batch<'a>, mut way: impl FnMut(&'a [u8]) -> T) {
    for packet in batch.all() {
        black_box(way(packet.frame()));
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The floor: looks at nothing that the answer does not need.
#[inline(always)]
fn find_payload(frame: &[u8]) -> Option<&[u8]> {
    let (mut at, mut ether_type) = (14, be16(frame, 12)?);
    while ether_type == 0x8100 || ether_type == 0x88a8 {
        ether_type = be16(frame, at + 2)?;
        at += 4;
    }
    let (protocol, body) = match ether_type {
        0x0800 => {
            let head: &[u8; 20] = frame.get(at..)?.first_chunk()?;
            let end = at + usize::from(be16(head, 2)?);
            (head[9], frame.get(at + usize::from(head[0] & 15) * 4..end)?)
        }
        0x86dd => {
            let head: &[u8; 40] = frame.get(at..)?.first_chunk()?;
            (head[6], frame.get(at + 40..at + 40 + usize::from(be16(head, 4)?))?)
        }
        _ => return None,
    };
    match protocol {
        6 => body.get(usize::from(*body.get(12)? >> 4) * 4..),
        17 => body.get(8..),
        _ => None,
    }
}

fn sliced(frame: &[u8]) -> Option<&[u8]> {
    payload(SlicedPacket::from_ethernet(frame).ok()?.transport?)
}

fn lax_sliced(frame: &[u8]) -> Option<&[u8]> {
    payload(LaxSlicedPacket::from_ethernet(frame).ok()?.transport?)
}

fn payload(transport: TransportSlice<'_>) -> Option<&[u8]> {
    match transport {
        TransportSlice::Tcp(tcp) => Some(tcp.payload()),
        TransportSlice::Udp(udp) => Some(udp.payload()),
        _ => None,
    }
}
