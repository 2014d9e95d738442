//! Writes synthetic captures.
//!
//! Packets are drawn one at a time: which kind of traffic, which flow of that kind (a few
//! flows carry much, most carry little), and then the flow's own script says what it sends
//! next. So flows interleave as they do on a link, and every connection is one that a
//! reassembler can follow.
//!
//! We did not replay recorded traffic: it would be people's, and it could not be given away
//! with the figures.

mod attack;
mod connection;
mod date;
mod dice;
mod frame;
mod heads;
mod mix;
mod names;
mod others;
mod payload;
mod web;
mod world;

use std::collections::VecDeque;
use std::io::{self, Write};

pub use self::attack::{Attack, attack};
use self::dice::Zipf;
pub use self::mix::Mix;
use self::others::{Tls, Udp};
use self::web::Web;
use self::world::World;

/// When a capture is long enough. What is left of cut heads still follows, a few packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At the first packet that brings the file to this many bytes.
    Bytes(u64),
    /// At this many packets.
    Packets(u64),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets.
    pub packets: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of all frames, without record headers and without frame check sequences.
    pub frame_bytes: u64,
    /// Request heads. A head counts when its first segment is written.
    pub requests: u64,
    /// Response heads.
    pub responses: u64,
    /// Heads that are cut in two segments. The second is always in the file too.
    pub cut: u64,
    /// Connections and UDP conversations.
    pub flows: u64,
}

impl Summary {
    /// Mean length of a frame in bytes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^52 bytes")]
    pub fn mean_frame(&self) -> f64 {
        if self.packets == 0 { 0.0 } else { self.frame_bytes as f64 / self.packets as f64 }
    }
}

/// A flow of some kind: each step leaves one frame in the world.
trait Script {
    fn open(world: &mut World) -> Self;
    fn step(&mut self, world: &mut World);
}

/// The flows of one kind, the most active first.
struct Flows<F>(Vec<F>);

impl<F: Script> Flows<F> {
    /// Opens a flow or draws one, lets it send, and returns its rank.
    fn step(&mut self, world: &mut World, zipf: &Zipf, open: bool) -> usize {
        let rank = if open || self.0.is_empty() {
            world.flows += 1;
            self.0.push(F::open(world));
            self.0.len() - 1
        } else {
            zipf.draw(&mut world.dice, self.0.len())
        };
        self.0[rank].step(world);
        rank
    }
}

const FILE_HEADER: u64 = 24;
const RECORD_HEADER: u64 = 16;
/// Most packets between the two segments of a cut head, roughly: a sender has both ready.
const LATEST: u32 = 8;
/// Rough bytes of a packet in the file, to make a count of packets into a size.
const ROUGH_PACKET: u64 = 800;

/// Writes a capture: pcap, little endian, microseconds, Ethernet. The same mix, limit and
/// seed give the same bytes.
///
/// # Errors
/// Those of `out`.
pub fn generate(mix: Mix, limit: Limit, seed: u64, out: &mut impl Write) -> io::Result<Summary> {
    let shape = mix.shape();
    let size = match limit {
        Limit::Bytes(bytes) => bytes,
        Limit::Packets(packets) if shape.shortest => packets * (60 + RECORD_HEADER),
        Limit::Packets(packets) => packets * ROUGH_PACKET,
    };
    let planned = (size * u64::from(shape.flows_per_gigabyte) / 1_000_000_000).max(50);
    let capacity = usize::try_from(planned).unwrap_or(usize::MAX);
    let zipf = Zipf::new(capacity);
    let mut world = World::new(shape, seed, capacity);
    let (mut web, mut tls, mut udp) =
        (Flows::<Web>(Vec::new()), Flows::<Tls>(Vec::new()), Flows::<Udp>(Vec::new()));
    // Rank of each HTTP flow that owes the rest of a head, and the packet at which it is due.
    let mut owed: VecDeque<(usize, u64)> = VecDeque::new();
    let mut summary = Summary { file_bytes: FILE_HEADER, ..Summary::default() };

    write_file_header(out)?;
    loop {
        let (done, goal) = match limit {
            Limit::Bytes(bytes) => (summary.file_bytes, bytes),
            Limit::Packets(packets) => (summary.packets, packets),
        };
        let full = done >= goal;
        // The flow may have paid on its own by now.
        while owed.front().is_some_and(|(rank, _)| !web.0[*rank].is_cut()) {
            owed.pop_front();
        }
        if full && owed.is_empty() {
            break;
        }
        world.advance();
        // Flows begin evenly over the capture.
        let open =
            u128::from(world.flows) * u128::from(goal) < u128::from(planned) * u128::from(done);
        let kind = world.dice.below(1000);
        if let Some(&(rank, due)) = owed.front()
            && (full || due <= summary.packets)
        {
            web.0[rank].step(&mut world);
        } else if kind < shape.udp {
            udp.step(&mut world, &zipf, open);
        } else if kind < shape.udp + shape.web {
            let rank = web.step(&mut world, &zipf, open);
            if web.0[rank].is_cut() {
                owed.push_back((rank, summary.packets + u64::from(world.dice.between(1, LATEST))));
            }
        } else {
            tls.step(&mut world, &zipf, open);
        }
        write_record(out, world.time(), &world.frame)?;
        summary.packets += 1;
        summary.frame_bytes += world.frame.len() as u64;
        summary.file_bytes += RECORD_HEADER + world.frame.len() as u64;
    }
    let World { requests, responses, cut, flows, .. } = world;
    Ok(Summary { requests, responses, cut, flows, ..summary })
}

fn write_file_header(out: &mut impl Write) -> io::Result<()> {
    // Magic, version 2.4, time zone and accuracy (never used), longest frame, Ethernet.
    for word in [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1_u32] {
        out.write_all(&word.to_le_bytes())?;
    }
    Ok(())
}

fn write_record(out: &mut impl Write, time: (u64, u64), frame: &[u8]) -> io::Result<()> {
    let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let length = word(frame.len() as u64);
    out.write_all(&[word(time.0), word(time.1), length, length].concat())?;
    out.write_all(frame)
}
