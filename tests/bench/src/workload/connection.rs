//! One TCP connection: opening, sequence numbers, closing.
//!
//! Both directions are seen, in order and without loss, so each acknowledgement covers all
//! that the peer has sent.

use super::dice::Dice;
use super::frame::{ACK, Addresses, FIN, PSH, SYN, Segment, Side, Wire};
use super::world::World;

/// Where a connection stands. The name is that of the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Syn,
    SynAck,
    Ack,
    Open,
    ServerFin,
    ClientFin,
    LastAck,
}

/// A connection, and the next one from the same client when it has ended.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    phase: Phase,
    /// Next sequence number of client and server.
    next: [u32; 2],
    /// Clocks of client and server for the timestamp option, ahead of the capture's, ms.
    clocks: Option<[u32; 2]>,
}

impl Connection {
    /// A connection to `port` of the server with this rank, just opened or under way.
    pub(super) fn new(world: &mut World, server: usize, port: u16) -> Self {
        let shape = world.shape;
        let wire = wire(world, server, port);
        let dice = &mut world.dice;
        let fresh = !shape.shortest && dice.per_mille(shape.fresh);
        let clocks = (!shape.shortest && dice.per_mille(700))
            .then(|| [dice.below(1 << 30), dice.below(1 << 30)]);
        Self {
            wire,
            phase: if fresh { Phase::Syn } else { Phase::Open },
            next: initial(dice),
            clocks,
        }
    }

    /// Sends what opening or closing asks for; `false` if it is open and the script's turn.
    pub(super) fn control(&mut self, world: &mut World) -> bool {
        use Side::{Client, Server};
        let (from, flags, next) = match self.phase {
            Phase::Open => return false,
            Phase::Syn => (Client, SYN, Phase::SynAck),
            Phase::SynAck => (Server, SYN | ACK, Phase::Ack),
            Phase::Ack => (Client, ACK, Phase::Open),
            Phase::ServerFin => (Server, FIN | ACK, Phase::ClientFin),
            Phase::ClientFin => (Client, FIN | ACK, Phase::LastAck),
            Phase::LastAck => (Server, ACK, Phase::Syn),
        };
        self.send(world, from, flags, &[]);
        if self.phase == Phase::LastAck {
            self.reopen(world);
        }
        self.phase = next;
        true
    }

    /// Whether nothing has been sent but what opens the connection.
    pub(super) fn is_opening(&self) -> bool {
        self.phase == Phase::Syn
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::ServerFin;
    }

    /// Most bytes of payload in a segment.
    pub(super) fn room(&self) -> usize {
        let options = if self.clocks.is_some() { 12 } else { 0 };
        1500 - self.wire.ip_header() - 20 - options
    }

    /// Sends a segment with the payload that stands in the world's buffer.
    pub(super) fn send_payload(&mut self, world: &mut World, from: Side) {
        let payload = std::mem::take(&mut world.payload);
        self.send(world, from, PSH | ACK, &payload);
        world.payload = payload;
    }

    /// Acknowledges what the peer has sent.
    pub(super) fn send_ack(&mut self, world: &mut World, from: Side) {
        self.send(world, from, ACK, &[]);
    }

    fn send(&mut self, world: &mut World, from: Side, flags: u8, payload: &[u8]) {
        let (own, peer) = (from as usize, from.peer() as usize);
        let first = flags & SYN != 0;
        let now = world.milliseconds();
        let times = self.clocks.map(|clocks| {
            // The echo lags by the round trip; before the peer spoke there is none.
            let echo = if flags & ACK == 0 { 0 } else { (clocks[peer] + now).saturating_sub(20) };
            [clocks[own] + now, echo]
        });
        let segment = Segment {
            sequence: self.next[own],
            acknowledged: if flags & ACK == 0 { 0 } else { self.next[peer] },
            flags,
            offer: first.then_some(1460),
            times,
            identification: world.identification(),
        };
        self.wire.tcp(&mut world.frame, from, &segment, payload);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let flag_bytes = u32::from(flags & (SYN | FIN) != 0);
        self.next[own] = self.next[own].wrapping_add(length + flag_bytes);
    }

    fn reopen(&mut self, world: &mut World) {
        world.flows += 1;
        self.wire.ports[0] = next_port(self.wire.ports[0]);
        self.next = initial(&mut world.dice);
    }
}

/// What a new flow to `port` of the server with this rank looks like on the wire.
pub(super) fn wire(world: &mut World, server: usize, port: u16) -> Wire {
    let dice = &mut world.dice;
    let [host_high, host_low] = u16::try_from(server % 0x1_0000).unwrap_or(0).to_be_bytes();
    let [.., a, b] = dice.below(world.clients).to_be_bytes();
    let addresses = if dice.per_mille(world.shape.ipv6) {
        let mut client = [0x20, 0x01, 0x0d, 0xb8, 0xca, 0xfe, 0, a, 0, 0, 0, 0, 0, 0, 0, 0];
        client[8..].copy_from_slice(&interface(a, b));
        let server = [0x20, 0x01, 0x0d, 0xb8, 0, 1, host_high, host_low, 0, 0, 0, 0, 0, 0, 0, 0x50];
        Addresses::V6([client, server])
    } else {
        // 198.18/15 is set aside for benchmarks (RFC 2544), as 2001:db8::/32 is for examples.
        Addresses::V4([[10, 32, a, b], [198, 18, host_high, host_low]])
    };
    let vlan = dice.per_mille(100).then(|| *dice.of(&[100, 101, 210, 2044]));
    let ephemeral = 32_768 + u16::try_from(dice.below(28_000)).unwrap_or(0);
    Wire { addresses, ports: [ephemeral, port], vlan }
}

/// An interface identifier that is the client's own, as privacy extensions make it.
fn interface(a: u8, b: u8) -> [u8; 8] {
    (u64::from(a) << 8 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn next_port(port: u16) -> u16 {
    if port >= 60_999 { 32_768 } else { port + 1 }
}

pub(super) fn initial(dice: &mut Dice) -> [u32; 2] {
    [dice.below(u32::MAX), dice.below(u32::MAX)]
}
