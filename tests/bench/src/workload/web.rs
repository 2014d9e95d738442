//! An HTTP/1.1 connection: requests and responses in turn.

use super::Script;
use super::connection::Connection;
use super::frame::Side;
use super::heads::{self, Asked};
use super::payload::Body;
use super::world::{World, looks_like_head};

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Request,
    Response,
    /// The rest of a message.
    More(Side),
    /// The receiver acknowledges the message of this side, which is complete.
    Acknowledge(Side),
}

/// One client that talks to one host.
#[derive(Debug)]
pub(super) struct Web {
    connection: Connection,
    host: u16,
    agent: u16,
    turn: Turn,
    asked: Asked,
    /// The rest of a head that was cut.
    tail: Vec<u8>,
    body: Body,
    /// Segments that the receiver has not acknowledged.
    pending: u8,
}

impl Script for Web {
    fn open(world: &mut World) -> Self {
        let host = world.names.draw_host(&mut world.dice);
        let agent = world.names.draw_agent(&mut world.dice);
        let port = if world.dice.per_mille(950) { 80 } else { 8080 };
        let connection = Connection::new(world, host, port);
        // Of the connections that are under way, half have asked already.
        let asks = connection.is_opening() || world.dice.per_mille(500);
        let turn = if asks { Turn::Request } else { Turn::Response };
        Self {
            connection,
            host: u16::try_from(host).unwrap_or(0),
            agent: u16::try_from(agent).unwrap_or(0),
            turn,
            asked: heads::UNSEEN,
            tail: Vec::new(),
            body: Body::none(),
            pending: 0,
        }
    }

    fn step(&mut self, world: &mut World) {
        if self.connection.control(world) {
            return;
        }
        match self.turn {
            Turn::Request => self.request(world),
            Turn::Response => self.respond(world),
            // Receivers acknowledge every second segment.
            Turn::More(from) if self.pending >= 2 => {
                self.connection.send_ack(world, from.peer());
                self.pending = 0;
            }
            Turn::More(from) => {
                world.payload.clear();
                world.payload.append(&mut self.tail);
                self.send(world, from);
            }
            Turn::Acknowledge(from) => {
                self.connection.send_ack(world, from.peer());
                self.end(from);
            }
        }
    }
}

impl Web {
    /// Whether the rest of a head is still to be sent.
    pub(super) fn is_cut(&self) -> bool {
        !self.tail.is_empty()
    }

    fn request(&mut self, world: &mut World) {
        let last = world.dice.per_mille(world.shape.last);
        let (now, _) = world.time();
        let host = world.names.host(self.host.into());
        let agent = world.names.agent(self.agent.into());
        let (asked, body) =
            heads::request(&mut world.head, &mut world.dice, host, agent, now, last);
        (self.asked, self.body) = (asked, body);
        world.requests += 1;
        self.begin(world, Side::Client);
    }

    fn respond(&mut self, world: &mut World) {
        let (now, _) = world.time();
        self.body =
            heads::response(&mut world.head, &mut world.dice, self.asked, now, world.shape.body);
        world.responses += 1;
        self.begin(world, Side::Server);
    }

    /// Sends the first segment of the message whose head stands in the world's buffer.
    fn begin(&mut self, world: &mut World, from: Side) {
        let head = world.head.as_bytes();
        let mut keep = head.len().min(self.connection.room());
        if world.dice.per_mille(world.shape.cut) {
            // The first word stays whole: without it nobody could tell the segment.
            let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
            keep = keep.min(world.dice.between(16, length - 1) as usize);
            // "HTTP/1.1" in a request line must not begin the second segment.
            keep -= usize::from(looks_like_head(&head[keep..]));
        }
        world.cut += u64::from(keep < head.len());
        world.payload.clear();
        world.payload.extend(&head[..keep]);
        self.tail.extend(&head[keep..]);
        self.pending = 0;
        self.send(world, from);
    }

    /// Fills the payload up with body, sends it and settles whose turn it is.
    fn send(&mut self, world: &mut World, from: Side) {
        if self.tail.is_empty() {
            let room = self.connection.room() - world.payload.len();
            self.body.send(&world.pools, room, &mut world.payload);
        }
        if self.turn == Turn::More(from) {
            world.disguise();
        }
        self.connection.send_payload(world, from);
        self.pending += 1;
        let complete = self.tail.is_empty() && self.body.is_sent();
        if !complete {
            self.turn = Turn::More(from);
        } else if world.dice.per_mille(world.shape.bare_ack) {
            self.turn = Turn::Acknowledge(from);
        } else {
            self.end(from);
        }
    }

    fn end(&mut self, from: Side) {
        self.turn = match from {
            Side::Client => Turn::Response,
            Side::Server => Turn::Request,
        };
        if from == Side::Server && self.asked.last {
            self.connection.close();
        }
    }
}
