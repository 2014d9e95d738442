//! Traffic without heads: TLS, UDP, and bare segments of least size.

use super::Script;
use super::connection::{Connection, wire};
use super::frame::{Side, Wire};
use super::world::World;

/// Servers that speak TLS or UDP, in all.
const SERVERS: u32 = 20_000;

/// A TLS connection, or in the mix of shortest frames one that only acknowledges.
#[derive(Debug)]
pub(super) struct Tls {
    connection: Connection,
    /// Flights of the handshake that are still to be sent.
    flights: u8,
}

impl Script for Tls {
    fn open(world: &mut World) -> Self {
        let server = world.dice.below(SERVERS) as usize;
        let connection = Connection::new(world, server, 443);
        let flights = if connection.is_opening() { 2 } else { 0 };
        Self { connection, flights }
    }

    fn step(&mut self, world: &mut World) {
        if world.shape.shortest {
            let from = side(world, 500);
            self.connection.send_ack(world, from);
            return;
        }
        if self.connection.control(world) {
            if self.connection.is_opening() {
                self.flights = 2;
            }
            return;
        }
        let room = u32::try_from(self.connection.room()).unwrap_or(0);
        match self.flights {
            2 => {
                self.flights = 1;
                self.send(world, Side::Client, [0x16, 3, 1], 517);
            }
            1 => {
                self.flights = 0;
                self.send(world, Side::Server, [0x16, 3, 3], room);
            }
            _ if world.dice.per_mille(world.shape.tls_data) => {
                let from = side(world, 150);
                let full = world.dice.per_mille(830);
                let length = if full { room } else { world.dice.between(40, room) };
                self.send(world, from, [0x17, 3, 3], length);
            }
            _ if world.dice.per_mille(20) => {
                self.connection.close();
                self.connection.control(world);
            }
            _ => {
                let from = side(world, 850);
                self.connection.send_ack(world, from);
            }
        }
    }
}

impl Tls {
    /// Sends `length` bytes. Half of them begin a record; the others go on with one.
    fn send(&mut self, world: &mut World, from: Side, record: [u8; 3], length: u32) {
        world.payload.clear();
        world.pools.random(&mut world.dice, length as usize, &mut world.payload);
        if record[0] == 0x16 || world.dice.per_mille(500) {
            let rest = u16::try_from(length.saturating_sub(5)).unwrap_or(0).to_be_bytes();
            world.payload[..3].copy_from_slice(&record);
            world.payload[3..5].copy_from_slice(&rest);
        }
        world.disguise();
        self.connection.send_payload(world, from);
    }
}

/// What a UDP conversation carries.
#[derive(Clone, Copy, Debug)]
enum Datagrams {
    /// Query and answer in turn; the query to come, or the one to answer.
    Dns {
        query: Option<u16>,
        host: u16,
    },
    Quic,
}

/// A UDP conversation.
#[derive(Debug)]
pub(super) struct Udp {
    wire: Wire,
    datagrams: Datagrams,
}

impl Script for Udp {
    fn open(world: &mut World) -> Self {
        let host = world.names.draw_host(&mut world.dice);
        let dns = Datagrams::Dns { query: None, host: u16::try_from(host).unwrap_or(0) };
        let (server, port, datagrams) = if world.dice.per_mille(350) {
            (53, 53, dns)
        } else {
            (world.dice.below(SERVERS) as usize, 443, Datagrams::Quic)
        };
        Self { wire: wire(world, server, port), datagrams }
    }

    fn step(&mut self, world: &mut World) {
        world.payload.clear();
        let from = if world.shape.shortest {
            // Four bytes less than fit, for the tag of a VLAN.
            world.pools.random(&mut world.dice, 14, &mut world.payload);
            side(world, 500)
        } else {
            match &mut self.datagrams {
                Datagrams::Dns { query, host } => dns(world, query, (*host).into()),
                Datagrams::Quic => quic(world),
            }
        };
        let identification = world.identification();
        self.wire.udp(&mut world.frame, from, identification, &world.payload);
    }
}

fn dns(world: &mut World, query: &mut Option<u16>, host: usize) -> Side {
    let (id, from) = match query.take() {
        Some(id) => (id, Side::Server),
        None => (world.identification(), Side::Client),
    };
    let answers = u8::from(from == Side::Server);
    let payload = &mut world.payload;
    payload.extend(id.to_be_bytes());
    payload.extend(if from == Side::Server { [0x81, 0x80] } else { [0x01, 0x00] });
    payload.extend([0, 1, 0, answers, 0, 0, 0, 0]);
    for label in world.names.host(host).split('.') {
        payload.push(u8::try_from(label.len()).unwrap_or(63));
        payload.extend(label.as_bytes());
    }
    payload.extend([0, 0, 1, 0, 1]);
    if from == Side::Server {
        // A pointer to the name in the question, then one address for 300 seconds.
        payload.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 198, 18, 0, 80]);
    } else {
        *query = Some(id);
    }
    from
}

fn quic(world: &mut World) -> Side {
    let from = side(world, 300);
    let length = match from {
        Side::Client => world.dice.between(30, 90),
        Side::Server => world.dice.between(900, 1350),
    };
    world.pools.random(&mut world.dice, length as usize, &mut world.payload);
    // The fixed bit of a short header.
    world.payload[0] = 0x40 | world.payload[0] & 0x3f;
    from
}

fn side(world: &mut World, client: u32) -> Side {
    if world.dice.per_mille(client) { Side::Client } else { Side::Server }
}
