//! Builds Ethernet frames with right lengths and checksums.

/// Which end of a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Addresses of client and server, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addresses {
    V4([[u8; 4]; 2]),
    V6([[u8; 16]; 2]),
}

/// What all frames of a flow have in common. Pairs are client first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) addresses: Addresses,
    pub(super) ports: [u16; 2],
    pub(super) vlan: Option<u16>,
}

/// The fields of a TCP header that change from segment to segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    /// Maximum segment size to offer; goes with SYN.
    pub(super) offer: Option<u16>,
    /// Timestamp option: own value, echoed value.
    pub(super) times: Option<[u32; 2]>,
    /// Identification of the IPv4 header.
    pub(super) identification: u16,
}

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Least bytes of a frame without its check sequence; shorter ones are padded.
const SHORTEST: usize = 60;
/// A mirror of one link shows the two routers at its ends, whoever talks behind them.
const ROUTERS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0xca, 1], [2, 0, 0, 0, 0xca, 2]];

impl Wire {
    /// Bytes of the IP header.
    pub(super) fn ip_header(&self) -> usize {
        match self.addresses {
            Addresses::V4(_) => 20,
            Addresses::V6(_) => 40,
        }
    }

    /// Replaces `frame` by a TCP segment.
    pub(super) fn tcp(&self, frame: &mut Vec<u8>, from: Side, segment: &Segment, payload: &[u8]) {
        let mut options = [1_u8; 20];
        let mut length = 0;
        if let Some(size) = segment.offer {
            options[..4].copy_from_slice(&[2, 4, size.to_be_bytes()[0], size.to_be_bytes()[1]]);
            length = 4;
        }
        if let Some([value, echo]) = segment.times {
            let option = &mut options[length..length + 12];
            option[2..4].copy_from_slice(&[8, 10]);
            option[4..8].copy_from_slice(&value.to_be_bytes());
            option[8..].copy_from_slice(&echo.to_be_bytes());
            length += 12;
        }
        let header = 20 + length;
        self.ip(frame, from, TCP, header + payload.len(), segment.identification);
        let start = frame.len();
        let [source, target] = self.ports_from(from);
        frame.extend(source.to_be_bytes());
        frame.extend(target.to_be_bytes());
        frame.extend(segment.sequence.to_be_bytes());
        frame.extend(segment.acknowledged.to_be_bytes());
        // The offset counts words of four bytes and stands in the high half of its byte.
        frame.push(low_byte(header / 4) << 4);
        frame.push(segment.flags);
        frame.extend(501_u16.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(&options[..length]);
        frame.extend(payload);
        self.seal(frame, start, TCP, 16);
    }

    /// Replaces `frame` by a UDP datagram.
    pub(super) fn udp(&self, frame: &mut Vec<u8>, from: Side, identification: u16, payload: &[u8]) {
        let length = 8 + payload.len();
        self.ip(frame, from, UDP, length, identification);
        let start = frame.len();
        let [source, target] = self.ports_from(from);
        frame.extend(source.to_be_bytes());
        frame.extend(target.to_be_bytes());
        frame.extend(wire_length(length).to_be_bytes());
        frame.extend([0; 2]);
        frame.extend(payload);
        self.seal(frame, start, UDP, 6);
    }

    fn ports_from(&self, from: Side) -> [u16; 2] {
        let [client, server] = self.ports;
        if from == Side::Client { [client, server] } else { [server, client] }
    }

    fn ip(&self, frame: &mut Vec<u8>, from: Side, protocol: u8, length: usize, id: u16) {
        frame.clear();
        let (own, peer) = (from as usize, from.peer() as usize);
        frame.extend(ROUTERS[peer]);
        frame.extend(ROUTERS[own]);
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0]);
            frame.extend(vlan.to_be_bytes());
        }
        // What comes from outside has lost some hops.
        let hops = [64, 55][own];
        match self.addresses {
            Addresses::V4(addresses) => {
                frame.extend([0x08, 0]);
                let start = frame.len();
                frame.extend([0x45, 0]);
                frame.extend(wire_length(20 + length).to_be_bytes());
                frame.extend(id.to_be_bytes());
                frame.extend([0x40, 0, hops, protocol, 0, 0]);
                frame.extend(addresses[own]);
                frame.extend(addresses[peer]);
                let check = fold(sum(&frame[start..]));
                frame[start + 10..start + 12].copy_from_slice(&check);
            }
            Addresses::V6(addresses) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(wire_length(length).to_be_bytes());
                frame.extend([protocol, hops]);
                frame.extend(addresses[own]);
                frame.extend(addresses[peer]);
            }
        }
    }

    /// Writes the checksum of the transport header at `start` and pads the frame.
    fn seal(&self, frame: &mut Vec<u8>, start: usize, protocol: u8, field: usize) {
        let addresses = match &self.addresses {
            Addresses::V4(pair) => sum(pair.as_flattened()),
            Addresses::V6(pair) => sum(pair.as_flattened()),
        };
        let length = wire_length(frame.len() - start).to_be_bytes();
        let pseudo = addresses + sum(&[0, protocol]) + sum(&length);
        let mut check = fold(pseudo + sum(&frame[start..]));
        if protocol == UDP && check == [0, 0] {
            // Zero would say that the sender computed none.
            check = [0xff, 0xff];
        }
        frame[start + field..start + field + 2].copy_from_slice(&check);
        if frame.len() < SHORTEST {
            frame.resize(SHORTEST, 0);
        }
    }
}

/// Sum of the words of `bytes` in the byte order of this machine, not yet folded. The
/// internet checksum does not care for byte order until the end, so eight bytes go at once.
fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(last))
}

/// The checksum field for a sum, as it stands on the wire.
fn fold(mut total: u64) -> [u8; 2] {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    (!wire_length_of(total)).to_ne_bytes()
}

fn wire_length_of(total: u64) -> u16 {
    u16::try_from(total).unwrap_or(u16::MAX)
}

/// Lengths here come from a sender that keeps to 1500 bytes.
fn wire_length(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
