//! Connections as a mirror port shows them: most are whole, and some lose segments, stop in the
//! middle, are reset, or never carried HTTP.

use std::{collections::BTreeMap, mem};

use ringmill::sdk::{Packet, Timestamp};

pub(crate) const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Bytes of payload in a full segment.
const ROOM: usize = 1400;

/// What the requests of connections that must come out whole say as their host.
pub(crate) const WHOLE: &str = "whole.example";

/// Numbers that are the same in every run (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From 0 up to `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(((mixed >> 32) * u64::from(bound)) >> 32).unwrap()
    }

    fn percent(&mut self, share: u32) -> bool {
        self.below(100) < share
    }
}

/// What becomes of a connection on its way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    /// Segments come twice.
    Twice,
    /// Segments are missing.
    Lossy,
    /// Segments come up to three seconds late.
    Late,
    /// Nothing comes any more, at any place.
    Silent,
    /// A head ends in its middle, and then the connection.
    Half,
    Reset,
    /// Only one direction is there.
    OneWay,
    /// No response has a head.
    Unanswered,
    /// The beginning of each head is in segments of one byte.
    Bytes,
    /// The capture cut the segments.
    Cut,
    /// The first fragment of a datagram comes, the others do not.
    Fragments,
    /// It is another protocol.
    Other,
}

/// By weight, of 20.
const FATES: [Fate; 20] = [
    Fate::Whole,
    Fate::Whole,
    Fate::Whole,
    Fate::Whole,
    Fate::Whole,
    Fate::Twice,
    Fate::Twice,
    Fate::Lossy,
    Fate::Lossy,
    Fate::Late,
    Fate::Silent,
    Fate::Silent,
    Fate::Half,
    Fate::Reset,
    Fate::OneWay,
    Fate::Unanswered,
    Fate::Bytes,
    Fate::Cut,
    Fate::Fragments,
    Fate::Other,
];

/// A segment of a connection.
#[derive(Clone)]
struct Segment {
    at: i64,
    from_client: bool,
    seq: u32,
    ack: u32,
    flags: u8,
    payload: Vec<u8>,
    /// Bytes of the payload that were not captured.
    cut: usize,
    fragment: bool,
}

/// A frame on the wire.
pub(crate) struct Frame {
    time: Timestamp,
    bytes: Vec<u8>,
    wire: u32,
}

impl Frame {
    pub(crate) fn new(time: Timestamp, bytes: Vec<u8>) -> Self {
        let wire = u32::try_from(bytes.len()).unwrap();
        Self { time, bytes, wire }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet::new(&self.bytes, self.time, self.wire, 1, 0)
    }
}

/// All that comes.
pub(crate) struct Traffic {
    dice: Dice,
    /// Frames by time, and in the order in which they were made.
    to_come: BTreeMap<(i64, u64), Frame>,
    made: u64,
    connections: u32,
    /// Requests and responses that must come out whole.
    pub(crate) whole: [u64; 2],
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        let (dice, to_come) = (Dice(seed), BTreeMap::new());
        Self { dice, to_come, made: 0, connections: 0, whole: [0; 2] }
    }

    /// A connection that begins at this time.
    pub(crate) fn open(&mut self, begin: i64) {
        let fate = FATES[self.dice.below(20) as usize];
        let is_whole = matches!(fate, Fate::Whole | Fate::Twice);
        let mut plan = Plan::new(&mut self.dice, if is_whole { WHOLE } else { "hurt.example" });
        plan.exchanges();
        if is_whole {
            self.whole.iter_mut().zip(plan.heads).for_each(|(all, heads)| *all += heads);
        }
        let mut segments = mem::take(&mut plan.segments);
        befall(fate, &mut segments, &mut self.dice);
        let client = self.connections;
        self.connections += 1;
        for segment in &segments {
            self.send(begin + segment.at, client, segment);
        }
    }

    /// As many clients begin a connection and never go on.
    pub(crate) fn flood(&mut self, begin: i64, clients: u32) {
        for _ in 0..clients {
            let syn = Segment { seq: self.dice.below(u32::MAX), ..Segment::SYN };
            self.connections += 1;
            self.send(begin, self.connections, &syn);
        }
    }

    /// A connection that asks once and stays open.
    pub(crate) fn ask(&mut self, at: i64) {
        let payload = b"GET /stays-open HTTP/1.1\r\nHost: open.example\r\n\r\n".to_vec();
        let ask = Segment { seq: 1, ack: 1, flags: ACK, payload, ..Segment::SYN };
        self.connections += 1;
        self.send(at, self.connections, &ask);
    }

    /// Takes what comes before this time.
    pub(crate) fn until(&mut self, end: i64) -> Vec<Frame> {
        let later = self.to_come.split_off(&(end, 0));
        mem::replace(&mut self.to_come, later).into_values().collect()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.to_come.is_empty()
    }

    fn send(&mut self, at: i64, client: u32, segment: &Segment) {
        self.made += 1;
        self.to_come.insert((at, self.made), frame(at, client, segment));
    }
}

/// A request of this client and its response.
pub(crate) fn exchange(at: i64, client: u32) -> [Frame; 2] {
    let (ask, answer) = (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n");
    let ask = Segment { flags: ACK, seq: 1, ack: 1, payload: ask.to_vec(), ..Segment::SYN };
    let (ack, payload) = (1 + u32::try_from(ask.payload.len()).unwrap(), answer.to_vec());
    let answer = Segment { from_client: false, ack, payload, ..ask.clone() };
    [frame(at, client, &ask), frame(at, client, &answer)]
}

/// What a connection would be.
struct Plan<'a> {
    dice: &'a mut Dice,
    host: &'static str,
    now: i64,
    /// Next sequence numbers of client and server.
    next: [u32; 2],
    segments: Vec<Segment>,
    /// Requests and responses.
    heads: [u64; 2],
}

impl<'a> Plan<'a> {
    fn new(dice: &'a mut Dice, host: &'static str) -> Self {
        let next = [dice.below(u32::MAX), dice.below(u32::MAX)];
        Self { dice, host, now: 0, next, segments: Vec::new(), heads: [0; 2] }
    }

    fn exchanges(&mut self) {
        self.send(true, SYN, &[]);
        self.send(false, SYN | ACK, &[]);
        self.send(true, ACK, &[]);
        for number in 0..=self.dice.below(6) {
            if number > 0 {
                self.now += i64::from(self.dice.below(30_000)) * MILLISECOND;
            }
            let (request, is_head) = self.request(number);
            self.message(true, &request);
            let response = self.response(is_head);
            self.message(false, &response);
        }
        self.send(false, FIN | ACK, &[]);
        self.send(true, FIN | ACK, &[]);
        self.send(false, ACK, &[]);
    }

    /// Its bytes, and whether it is a HEAD.
    fn request(&mut self, number: u32) -> (Vec<u8>, bool) {
        self.heads[0] += 1;
        let (method, body) = match self.dice.below(10) {
            0 => ("HEAD", 0),
            1 => ("POST", self.dice.below(3000) as usize),
            _ => ("GET", 0),
        };
        let cookie = "c".repeat(self.dice.below(2000) as usize);
        let head = format!(
            "{method} /{number} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nContent-Length: {body}\r\n\r\n",
            self.host
        );
        ([head.as_bytes(), &vec![b'p'; body]].concat(), method == "HEAD")
    }

    fn response(&mut self, to_head: bool) -> Vec<u8> {
        self.heads[1] += 1;
        let length = self.dice.below(5000) as usize;
        let body = if to_head { 0 } else { length };
        match self.dice.below(4) {
            0 => b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".to_vec(),
            1 if !to_head => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let chunk = [format!("{length:x}\r\n").as_bytes(), &vec![b'b'; length]].concat();
                let chunk = if length > 0 { [&chunk[..], b"\r\n"].concat() } else { Vec::new() };
                [&head[..], &chunk, b"0\r\n\r\n"].concat()
            }
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                [head.as_bytes(), &vec![b'b'; body]].concat()
            }
        }
    }

    fn message(&mut self, from_client: bool, bytes: &[u8]) {
        for segment in bytes.chunks(ROOM) {
            self.send(from_client, ACK, segment);
        }
    }

    fn send(&mut self, from_client: bool, flags: u8, payload: &[u8]) {
        let (own, other) = (usize::from(!from_client), usize::from(from_client));
        let ack = if flags & ACK == 0 { 0 } else { self.next[other] };
        let (at, seq) = (self.now, self.next[own]);
        let payload = payload.to_vec();
        let length = u32::try_from(payload.len()).unwrap() + u32::from(flags & (SYN | FIN) != 0);
        self.next[own] = seq.wrapping_add(length);
        self.now += i64::from(1 + self.dice.below(20)) * MILLISECOND;
        let (cut, fragment) = (0, false);
        self.segments.push(Segment { at, from_client, seq, ack, flags, payload, cut, fragment });
    }
}

impl Segment {
    const SYN: Self = Self {
        at: 0,
        from_client: true,
        seq: 0,
        ack: 0,
        flags: SYN,
        payload: Vec::new(),
        cut: 0,
        fragment: false,
    };

    fn is_head(&self) -> bool {
        let begins = |word: &[u8]| self.payload.starts_with(word);
        begins(b"GET ") || begins(b"POST ") || begins(b"HEAD ") || begins(b"HTTP/1.1 ")
    }

    /// The same, the first bytes each in a segment.
    fn bytes(self) -> Vec<Self> {
        let single = if self.is_head() { 30 } else { 0 };
        let part = |from: usize, to: usize| {
            let offset = u32::try_from(from).unwrap();
            let at = self.at + i64::from(offset) * MILLISECOND / 100;
            let (seq, payload) = (self.seq.wrapping_add(offset), self.payload[from..to].to_vec());
            Self { at, seq, payload, ..self.clone() }
        };
        let mut parts: Vec<_> = (0..single).map(|at| part(at, at + 1)).collect();
        parts.push(part(single, self.payload.len()));
        parts
    }
}

fn befall(fate: Fate, segments: &mut Vec<Segment>, dice: &mut Dice) {
    let some = dice.below(u32::try_from(segments.len()).unwrap()) as usize;
    match fate {
        Fate::Whole => {}
        Fate::Twice => {
            let again =
                segments.iter().map(|it| Segment { at: it.at + MILLISECOND / 2, ..it.clone() });
            *segments = segments.iter().cloned().chain(again).collect();
        }
        Fate::Lossy => segments.retain(|_| !dice.percent(10)),
        Fate::Late => {
            for segment in segments {
                let late = if dice.percent(20) { dice.below(3000) } else { 0 };
                segment.at += i64::from(late) * MILLISECOND;
            }
        }
        Fate::Silent => segments.truncate(some),
        Fate::Half | Fate::Reset => {
            segments.truncate(some);
            if fate == Fate::Half
                && let Some(head) = segments.iter().rposition(Segment::is_head)
            {
                segments.truncate(head + 1);
                let half = segments[head].payload.len() / 2;
                segments[head].payload.truncate(half);
            }
            if let Some(last) = segments.last().cloned() {
                let length = u32::try_from(last.payload.len()).unwrap();
                let (at, seq) = (last.at + MILLISECOND, last.seq.wrapping_add(length));
                let flags = if fate == Fate::Half { FIN | ACK } else { RST };
                segments.push(Segment { at, seq, flags, payload: Vec::new(), ..last });
            }
        }
        Fate::OneWay => {
            let from_client = dice.percent(50);
            segments.retain(|it| it.from_client == from_client);
        }
        Fate::Unanswered => segments.retain(|it| it.from_client || !it.is_head()),
        Fate::Bytes => *segments = segments.drain(..).flat_map(Segment::bytes).collect(),
        Fate::Cut => segments.iter_mut().for_each(|it| it.cut = it.payload.len() * 2 / 3),
        Fate::Fragments => {
            for segment in segments.iter_mut().filter(|it| it.payload.len() > 12) {
                segment.fragment = dice.percent(30);
                if segment.fragment {
                    // With the TCP header a number of eights (RFC 791).
                    segment.payload.truncate(segment.payload.len() / 8 * 8 - 4);
                }
            }
        }
        Fate::Other => {
            for segment in segments.iter_mut().filter(|it| !it.payload.is_empty()) {
                segment.payload.fill(0x17);
            }
        }
    }
}

/// Ethernet, IPv4 and TCP without checksums, which nobody reads.
fn frame(at: i64, client: u32, segment: &Segment) -> Frame {
    let [a, b, c, d] = client.to_be_bytes();
    let ends = [([10, a ^ b, c, d], 1024 + u16::from(d)), ([192, 0, 2, b], 80)];
    let (own, other) = (usize::from(!segment.from_client), usize::from(segment.from_client));
    let length = u16::try_from(40 + segment.payload.len()).unwrap();
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    bytes.extend(length.to_be_bytes());
    // Identification, flags (more fragments), offset, hops, TCP.
    bytes.extend([c, d, if segment.fragment { 0x20 } else { 0 }, 0, 64, 6, 0, 0]);
    bytes.extend(ends[own].0);
    bytes.extend(ends[other].0);
    bytes.extend(ends[own].1.to_be_bytes());
    bytes.extend(ends[other].1.to_be_bytes());
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(&segment.payload);
    let mut frame = Frame::new(Timestamp(at), bytes);
    frame.bytes.truncate(frame.len() - segment.cut);
    frame
}
