//! Captures of somebody who wants an engine to work hard for few bytes, and to hold much.

use std::io::{self, Write};

use super::connection::{initial, wire};
use super::frame::{ACK, Addresses, PSH, RST, SYN, Segment, Side, Wire};
use super::heads;
use super::mix::Mix;
use super::world::World;
use super::{FILE_HEADER, Limit, RECORD_HEADER, Summary, write_file_header, write_record};

/// How the attacker goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Not at all: the heads of [`Self::Bytes`], as they usually come. To compare with.
    None,
    /// Every head in segments of one byte, from 1000 connections in turn.
    Bytes,
    /// The same; of each 200 bytes the first comes last and the others in any order.
    Shuffled,
    /// SYNs, each of another connection, and nothing after them.
    HalfOpen,
    /// The first half of a head, each of another connection, and nothing after it.
    HalfHeads,
    /// Connections of one flow hash, which an attacker can make because it has no key: 300 that
    /// carry HTTP, then segments of others that do not.
    Collide,
}

impl Attack {
    /// All but [`Self::None`].
    pub const ALL: [Self; 5] =
        [Self::Bytes, Self::Shuffled, Self::HalfOpen, Self::HalfHeads, Self::Collide];
}

/// Connections that are open at a time.
const TOGETHER: usize = 1000;
/// Exchanges of each.
const EXCHANGES: usize = 4;
/// Bytes that come in any order; more of them would not be waited for.
const BLOCK: usize = 200;
/// Bytes in a usual segment.
const ROOM: usize = 1400;
/// Connections with HTTP among those that collide; the filter counts up to 255.
const HTTP: u64 = 300;

/// Writes a capture of an attack; otherwise as [`generate`](super::generate), but that the
/// limit may lie within a head.
///
/// # Errors
/// Those of `out`.
pub fn attack(
    attack: Attack,
    limit: Limit,
    seed: u64,
    out: &mut impl Write,
) -> io::Result<Summary> {
    write_file_header(out)?;
    let summary = Summary { file_bytes: FILE_HEADER, ..Summary::default() };
    let mut file = File { out, limit, summary };
    let mut world = World::new(Mix::Heavy.shape(), seed, 500_000);
    match attack {
        Attack::None | Attack::Bytes | Attack::Shuffled => {
            while !file.is_full() {
                together(attack, &mut world, &mut file)?;
            }
        }
        Attack::HalfOpen => {
            while !file.is_full() {
                file.summary.flows += 1;
                Talk::open(&mut world).send(&mut world, Side::Client, SYN, &[]);
                file.put(&mut world)?;
            }
        }
        Attack::HalfHeads => {
            while !file.is_full() {
                file.summary.flows += 1;
                file.summary.requests += 1;
                let mut talk = Talk::open(&mut world);
                let head = head(&mut world, Side::Client);
                talk.send(&mut world, Side::Client, ACK, &head[..head.len() / 2]);
                file.put(&mut world)?;
            }
        }
        Attack::Collide => collide(&mut world, &mut file)?,
    }
    Ok(file.summary)
}

/// What is written.
struct File<'a, W> {
    out: &'a mut W,
    limit: Limit,
    summary: Summary,
}

impl<W: Write> File<'_, W> {
    fn is_full(&self) -> bool {
        match self.limit {
            Limit::Bytes(bytes) => self.summary.file_bytes >= bytes,
            Limit::Packets(packets) => self.summary.packets >= packets,
        }
    }

    /// Writes the frame that stands in the world.
    fn put(&mut self, world: &mut World) -> io::Result<()> {
        world.advance();
        write_record(self.out, world.time(), &world.frame)?;
        self.summary.packets += 1;
        self.summary.frame_bytes += world.frame.len() as u64;
        self.summary.file_bytes += RECORD_HEADER + world.frame.len() as u64;
        Ok(())
    }
}

/// A connection of the attacker.
struct Talk {
    wire: Wire,
    /// Next sequence number of client and server.
    next: [u32; 2],
    /// The head that is being sent, and which parts of it in which order.
    head: Vec<u8>,
    parts: Vec<(usize, usize)>,
}

impl Talk {
    fn open(world: &mut World) -> Self {
        let server = world.names.draw_host(&mut world.dice);
        let wire = wire(world, server, 80);
        Self { wire, next: initial(&mut world.dice), head: Vec::new(), parts: Vec::new() }
    }

    /// Leaves a segment with the next bytes in the world.
    fn send(&mut self, world: &mut World, from: Side, flags: u8, payload: &[u8]) {
        self.send_at(world, from, flags, 0, payload);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX) + u32::from(flags & SYN != 0);
        let next = &mut self.next[from as usize];
        *next = next.wrapping_add(length);
    }

    /// The same, so many bytes further.
    fn send_at(&self, world: &mut World, from: Side, flags: u8, offset: usize, payload: &[u8]) {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let segment = Segment {
            sequence: self.next[from as usize].wrapping_add(offset),
            acknowledged: if flags & ACK == 0 { 0 } else { self.next[from.peer() as usize] },
            flags,
            offer: None,
            times: None,
            identification: world.identification(),
        };
        self.wire.tcp(&mut world.frame, from, &segment, payload);
    }

    /// Makes the next head, and cuts it.
    fn compose(&mut self, attack: Attack, world: &mut World, from: Side) {
        self.head = head(world, from);
        let length = self.head.len();
        let size = if attack == Attack::None { ROOM } else { 1 };
        self.parts = (0..length).step_by(size).map(|at| (at, length.min(at + size))).collect();
        if attack == Attack::Shuffled {
            for block in self.parts.chunks_mut(BLOCK) {
                block.rotate_left(1);
                let last = block.len() - 1;
                world.dice.shuffle(&mut block[..last]);
            }
        }
    }
}

/// A whole head that no body follows.
fn head(world: &mut World, from: Side) -> Vec<u8> {
    loop {
        let (now, _) = world.time();
        let host = world.names.draw_host(&mut world.dice);
        let agent = world.names.draw_agent(&mut world.dice);
        let (host, agent) = (world.names.host(host), world.names.agent(agent));
        let (asked, mut body) =
            heads::request(&mut world.head, &mut world.dice, host, agent, now, false);
        let answers_head = world.head.starts_with("HEAD");
        if from == Side::Server {
            body = heads::response(&mut world.head, &mut world.dice, asked, now, 0);
        }
        if body.is_sent() && !answers_head {
            return world.head.clone().into_bytes();
        }
    }
}

/// Connections that send their heads in turn, a part each.
fn together(attack: Attack, world: &mut World, file: &mut File<'_, impl Write>) -> io::Result<()> {
    let mut talks: Vec<_> = (0..TOGETHER).map(|_| Talk::open(world)).collect();
    for (from, flags) in [(Side::Client, SYN), (Side::Server, SYN | ACK)] {
        for talk in &mut talks {
            talk.send(world, from, flags, &[]);
            file.put(world)?;
        }
    }
    file.summary.flows += talks.len() as u64;
    for _ in 0..EXCHANGES {
        for from in [Side::Client, Side::Server] {
            talks.iter_mut().for_each(|talk| talk.compose(attack, world, from));
            let most = talks.iter().map(|talk| talk.parts.len()).max().unwrap_or(0);
            for at in 0..most {
                for talk in &talks {
                    if file.is_full() {
                        return Ok(());
                    }
                    if let Some(&(begin, end)) = talk.parts.get(at) {
                        talk.send_at(world, from, PSH | ACK, begin, &talk.head[begin..end]);
                        file.put(world)?;
                        let heads = match from {
                            Side::Client => &mut file.summary.requests,
                            Side::Server => &mut file.summary.responses,
                        };
                        *heads += u64::from(at == 0);
                    }
                }
            }
            for talk in &mut talks {
                let length = u32::try_from(talk.head.len()).unwrap_or(u32::MAX);
                let next = &mut talk.next[from as usize];
                *next = next.wrapping_add(length);
            }
        }
    }
    for talk in &mut talks {
        talk.send(world, Side::Client, RST | ACK, &[]);
        file.put(world)?;
    }
    Ok(())
}

/// The flow hash multiplies an address's upper half, exclusive-or this, by its lower half,
/// exclusive-or another number. So all addresses with this upper half are one to it.
const COLLIDES: u64 = 0x9e37_79b9_7f4a_7c15;

fn collide(world: &mut World, file: &mut File<'_, impl Write>) -> io::Result<()> {
    while !file.is_full() {
        let mut client = [0; 16];
        client[..8].copy_from_slice(&COLLIDES.to_be_bytes());
        client[8..].copy_from_slice(&world.dice.bits().to_be_bytes());
        let mut server = client;
        server[15] ^= 1;
        let wire =
            Wire { addresses: Addresses::V6([client, server]), ports: [40_000, 80], vlan: None };
        let next = initial(&mut world.dice);
        let mut talk = Talk { wire, next, head: Vec::new(), parts: Vec::new() };
        if file.summary.flows < HTTP {
            file.summary.requests += 1;
            let head = head(world, Side::Client);
            talk.send(world, Side::Client, PSH | ACK, &head);
        } else {
            talk.send(world, Side::Client, PSH | ACK, b"x");
        }
        file.summary.flows += 1;
        file.put(world)?;
    }
    Ok(())
}
