//! Heads out of streams: `decode`, `classify` and `http` over a small program of segments.
//!
//! Input: limits and first sequence numbers, then for each segment its connection, direction,
//! flags, time step, how far it lies from what its sender would send next, what it acknowledges,
//! its length, what the capture cut, and its bytes ([`program`]). Held to be true:
//!
//! * how packets are split into batches makes no difference: rows, their order, counters;
//! * when time is told makes none to the rows of a connection and their order, as long as no
//!   connection is given up for another;
//! * there are no more rows than the captured bytes can be the beginnings of;
//! * each row is of one of the connections, and counted as a head;
//! * a response that names a request names one of its own connection and exchange.

use std::collections::{BTreeMap, BTreeSet};

use ringmill_sdk::{
    BATCH, Timestamp,
    testing::{Row, START, rows},
};

use crate::{
    bytes::Bytes,
    chain::{Chain, Frame},
    seeds,
};

/// The shortest beginning of a message that is taken for one: `GET `, `PUT `.
const SHORTEST: usize = 4;

const MOST_SEGMENTS: usize = 2 * BATCH;

/// Nanoseconds from one segment to the next.
const STEPS: [i64; 8] = [
    1_000,
    1_000_000,
    0,
    500_000_000,
    1_100_000_000,
    5_100_000_000,
    11_000_000_000,
    301_000_000_000,
];

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// How many connections there are: IPv4, IPv4 with the client at the higher end, IPv6, IPv4
/// behind a VLAN tag.
const CONNECTIONS: usize = 4;

/// One segment, as the input says it.
#[derive(Clone, Copy, Debug, Default)]
struct Op<'a> {
    connection: usize,
    direction: usize,
    flags: u8,
    step: usize,
    tick: bool,
    /// From the next sequence number of its direction.
    seq: i16,
    /// From the next one of the other direction.
    ack: i16,
    cut: usize,
    payload: &'a [u8],
}

/// What is added to a row: which record type it is of.
const KIND: &str = "kind";

type Counters = BTreeMap<String, u64>;

/// What each packet of a program is.
#[derive(Debug)]
struct Program {
    options: String,
    frames: Vec<Frame>,
    /// Packets in a batch, the second time.
    split: usize,
    /// Captured bytes of payload.
    bytes: usize,
}

impl Program {
    /// The same, with time told behind each packet or never.
    fn ticking(&self, each: bool) -> Self {
        let frame = |frame: &Frame| Frame { tick: each, ..frame.clone() };
        Self {
            frames: self.frames.iter().map(frame).collect(),
            options: self.options.clone(),
            ..*self
        }
    }
}

/// Checks all of it for one input.
pub fn run(data: &[u8]) {
    let program = program(data);
    let (whole, rows_whole) = outcome(&program, BATCH);
    let most = program.split;
    let (split, rows_split) = outcome(&program, most);
    assert_eq!(rows_split, rows_whole, "batches of {BATCH} and of {most}");
    assert_eq!(split, whole, "batches of {BATCH} and of {most}");
    check(&program, &rows_whole, &whole);
    let told = [false, true].map(|each| outcome(&program.ticking(each), BATCH));
    let makes_room =
        |counters: &Counters| counters["flows.evicted"] + counters["flows.no_buffer"] > 0;
    if makes_room(&whole) || told.iter().any(|(counters, _)| makes_room(counters)) {
        return;
    }
    let expected = by_connection(rows_whole);
    for ((_, rows), often) in told.into_iter().zip(["never", "behind each packet"]) {
        assert_eq!(by_connection(rows), expected, "time told {often}, and here and there");
    }
}

/// The rows of each connection and kind, in their order.
fn by_connection(rows: Vec<Row>) -> BTreeMap<[String; 2], Vec<Row>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        all.entry([&row["flow"], &row[KIND]].map(Clone::clone)).or_default().push(row);
    }
    all
}

fn outcome(program: &Program, most: usize) -> (Counters, Vec<Row>) {
    let mut chain = Chain::new("", Some(&program.options));
    chain.run(&program.frames, most, |_| {});
    let mut all = Vec::new();
    for records in &chain.records {
        let is_response = records.schema().column_with_name("status_code").is_some();
        let kind = if is_response { "response" } else { "request" };
        for mut row in rows(std::slice::from_ref(records)) {
            row.insert(KIND.to_owned(), kind.to_owned());
            all.push(row);
        }
    }
    (chain.counters(), all)
}

fn check(program: &Program, rows: &[Row], counters: &Counters) {
    assert!(rows.len() * SHORTEST <= program.bytes, "{} of {}", rows.len(), program.bytes);
    let heads = counters["heads.request"] + counters["heads.response"];
    assert_eq!(heads, rows.len() as u64, "each row is counted");
    let ends: BTreeSet<[String; 2]> = (0..CONNECTIONS).map(|it| names(ends(it))).collect();
    let mut asked = BTreeSet::new();
    let key = |row: &Row, fields: [&str; 5]| fields.map(|field| row.get(field).cloned());
    for row in rows {
        let mut pair = [("src_ip", "src_port"), ("dst_ip", "dst_port")]
            .map(|(ip, port)| format!("{} {}", row[ip], row[port]));
        pair.sort();
        assert!(ends.contains(&pair), "{row:?}");
        if row[KIND] == "request" && row.contains_key("method") {
            assert!(row.contains_key("exchange"), "{row:?}");
            asked.insert(key(row, ["flow", "exchange", "method", "host", "uri"]));
        }
    }
    for row in rows.iter().filter(|row| row.contains_key("request_method")) {
        let request = ["flow", "exchange", "request_method", "request_host", "request_uri"];
        assert!(asked.contains(&key(row, request)), "a response to what was not asked: {row:?}");
        assert!(!row.get("flags").is_some_and(|it| it.contains("no_request")), "{row:?}");
    }
}

fn program(data: &[u8]) -> Program {
    let mut input = Bytes(data);
    let (limits, first) = (input.u8(), input.i16());
    let pick = |bit: u8, off: usize, on: usize| if limits & bit == 0 { off } else { on };
    let options = format!(
        "flows = {}\nhead_bytes = {}\nout_of_order_bytes = {}\nidle_seconds = {}\nrows = {}\n\
         buffer_bytes = 65536",
        pick(1, 64, 2),
        pick(2, 65_536, 64),
        pick(4, 65_536, 40),
        pick(8, 300, 2),
        pick(16, 4096, 3),
    );
    let first = i32::from(first).cast_unsigned();
    let mut next = [[first, first ^ 0x5555]; CONNECTIONS];
    let (mut frames, mut bytes, mut time) = (Vec::new(), 0, START);
    while !input.is_empty() && frames.len() < MOST_SEGMENTS {
        let op = op(&mut input);
        time = Timestamp(time.0 + STEPS[op.step]);
        let (own, other) = (op.direction, 1 - op.direction);
        let seq = next[op.connection][own].wrapping_add_signed(op.seq.into());
        let ack = next[op.connection][other].wrapping_add_signed(op.ack.into());
        let length = u32::try_from(op.payload.len()).unwrap_or(0);
        let end = seq.wrapping_add(length + u32::from(op.flags & (SYN | FIN) != 0));
        if end.wrapping_sub(next[op.connection][own]).cast_signed() > 0 {
            next[op.connection][own] = end;
        }
        bytes += op.payload.len() - op.cut;
        frames.push(frame(&op, seq, ack, time));
    }
    Program { options, frames, split: pick(32, 1, 7), bytes }
}

fn op<'a>(input: &mut Bytes<'a>) -> Op<'a> {
    let (who, how) = (input.u8(), input.u8());
    let (seq, ack) = (input.i16(), input.i16());
    let (length, cut) = (input.u16() & 0x7ff, input.u16());
    let payload = input.take(length.into());
    let flag = |bit: u8, flag: u8| if who & bit == 0 { 0 } else { flag };
    Op {
        connection: usize::from(who & 3),
        direction: usize::from(who >> 2 & 1),
        // An ACK is usual, so it is its absence that takes a bit.
        flags: flag(8, SYN) | flag(16, FIN) | flag(32, RST) | (ACK - flag(64, ACK)),
        step: usize::from(how & 7),
        tick: how & 0x80 != 0,
        seq,
        ack,
        cut: usize::from(cut).min(payload.len()),
        payload,
    }
}

/// Client and server, as address and port.
fn ends(connection: usize) -> [([u8; 16], u16); 2] {
    let v4 = |last: u8| ringmill_sdk::map_v4([10, 0, 0, last]);
    let v6 = |last: u8| [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    match connection {
        0 => [(v4(1), 1024), (v4(2), 80)],
        1 => [(v4(2), 1024), (v4(1), 8080)],
        2 => [(v6(1), 1024), (v6(2), 80)],
        _ => [(v4(1), 1025), (v4(2), 80)],
    }
}

fn names(ends: [([u8; 16], u16); 2]) -> [String; 2] {
    let mut names = ends.map(|(address, port)| {
        format!("{} {port}", std::net::Ipv6Addr::from(address).to_canonical())
    });
    names.sort();
    names
}

fn frame(op: &Op<'_>, seq: u32, ack: u32, time: Timestamp) -> Frame {
    let ends = ends(op.connection);
    let (from, to) = (ends[op.direction], ends[1 - op.direction]);
    let length = |headers: usize| {
        u16::try_from(headers + op.payload.len()).unwrap_or(u16::MAX).to_be_bytes()
    };
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if op.connection == 3 {
        bytes.extend([0x81, 0, 0, 5]);
    }
    if op.connection == 2 {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend(length(20));
        bytes.extend([6, 64]);
        bytes.extend(from.0);
        bytes.extend(to.0);
    } else {
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend(length(40));
        bytes.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        bytes.extend(&from.0[12..]);
        bytes.extend(&to.0[12..]);
    }
    for port in [from.1, to.1] {
        bytes.extend(port.to_be_bytes());
    }
    bytes.extend(seq.to_be_bytes());
    bytes.extend(if op.flags & ACK == 0 { [0; 4] } else { ack.to_be_bytes() });
    bytes.extend([0x50, op.flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(&op.payload[..op.payload.len() - op.cut]);
    let cut = u32::try_from(op.cut).unwrap_or(0);
    Frame { time, link: 1, vlan: 0, cut, bytes, tick: op.tick }
}

/// The connections of our captures, a few at a time, and again with the same segments mangled.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (at, segments) in seeds::segments().iter().enumerate() {
        for limits in [0, 0x1f] {
            all.push(write(segments, limits, |_| 0));
        }
        // Every third one later than the one behind it; every fifth again.
        let mut swapped = segments.clone();
        (2..swapped.len()).step_by(3).for_each(|at| swapped.swap(at - 1, at));
        all.push(write(&swapped, 0, |_| 0));
        let doubled = segments.iter().enumerate().flat_map(|(at, segment)| {
            std::iter::repeat_n(segment.clone(), if at % 5 == 0 { 2 } else { 1 })
        });
        all.push(write(&doubled.collect::<Vec<_>>(), 0, |_| 0));
        // With loss, ticks and idle times.
        let mut lossy = segments.clone();
        lossy.remove(at % lossy.len());
        all.push(write(&lossy, 8, |at| [0, 0x81, 3, 0x84, 5][at % 5]));
    }
    all
}

/// The input that [`program`] reads so.
fn write(segments: &[seeds::Segment], limits: u8, how: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut out = vec![limits, 0, 0];
    let mut known: Vec<([u8; 16], u16)> = Vec::new();
    let mut next: Vec<[Option<u32>; 2]> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let client = known.iter().position(|end| *end == segment.from || *end == segment.to);
        let connection = client.unwrap_or_else(|| {
            known.push(segment.from);
            next.push([None; 2]);
            known.len() - 1
        });
        if connection >= CONNECTIONS {
            continue;
        }
        let direction = usize::from(known[connection] != segment.from);
        let mut rest = &segment.payload[..];
        let mut seq = segment.seq;
        loop {
            let (now, later) = rest.split_at(rest.len().min(0x7ff));
            let awaited = &mut next[connection];
            let own = awaited[direction].unwrap_or(seq);
            let offset = |seq: u32, next: u32| {
                let far = seq.wrapping_sub(next).cast_signed();
                i16::try_from(far).unwrap_or(if far < 0 { i16::MIN } else { i16::MAX })
            };
            let to_ack = awaited[1 - direction].map_or(0, |next| offset(segment.ack, next));
            let flags = u8::from(segment.flags & SYN != 0) << 3
                | u8::from(segment.flags & FIN != 0 && later.is_empty()) << 4
                | u8::from(segment.flags & RST != 0) << 5
                | u8::from(segment.flags & ACK == 0) << 6;
            out.push(u8::try_from(connection | direction << 2).unwrap_or(0) | flags);
            out.push(how(at));
            out.extend(offset(seq, own).to_be_bytes());
            out.extend(to_ack.to_be_bytes());
            out.extend(u16::try_from(now.len()).unwrap_or(0).to_be_bytes());
            out.extend([0, 0]);
            out.extend(now);
            let length = u32::try_from(now.len()).unwrap_or(0);
            let end = seq.wrapping_add(length + u32::from(segment.flags & (SYN | FIN) != 0));
            if end.wrapping_sub(own).cast_signed() >= 0 {
                awaited[direction] = Some(end);
            }
            (rest, seq) = (later, seq.wrapping_add(length));
            if rest.is_empty() {
                break;
            }
        }
    }
    out
}
