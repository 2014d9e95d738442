//! Clean exchanges, mangled: the rows must be those of the clean ones, or be missing for a
//! reason that is counted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index, test_runner::RngSeed};
use ringmill_sdk::testing::{Row, rows};

use super::{Step, at, ran, step};

/// One request and what comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    asks: Asks,
    answers: Answers,
    /// Bytes of a body.
    body: usize,
    /// Sent without waiting for the response before.
    pipelined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    Get,
    Head,
    Post,
    PostChunked,
    /// The body waits for an interim response.
    Expect,
}

#[derive(Clone, Copy, Debug)]
enum Answers {
    Length,
    Chunked,
    NoContent,
    NotModified,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    use Answers::{Chunked, Length, NoContent, NotModified};
    use Asks::{Expect, Get, Head, Post, PostChunked};
    let asks = prop::sample::select(vec![Get, Head, Post, PostChunked, Expect]);
    let answers = prop::sample::select(vec![Length, Chunked, NoContent, NotModified]);
    (asks, answers, 0usize..200, any::<bool>())
        .prop_map(|(asks, answers, body, pipelined)| Exchange { asks, answers, body, pipelined })
}

/// A body that looks like heads, so that only its length tells.
fn body(length: usize) -> Vec<u8> {
    b"=HTTP/1.1 404 In a body\r\n\r\nGET /body HTTP/1.1\r\n\r\n"
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(70) {
        out.extend(format!("{:x};a=b\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    [&out[..], b"0\r\nX-Trailer: t\r\n\r\n"].concat()
}

impl Exchange {
    fn request(&self, at: usize) -> (Vec<u8>, Vec<u8>) {
        let body = body(self.body);
        let (method, fields, body) = match self.asks {
            Asks::Get => ("GET", String::new(), Vec::new()),
            Asks::Head => ("HEAD", String::new(), Vec::new()),
            Asks::Post => ("POST", format!("Content-Length: {}\r\n", body.len()), body),
            Asks::PostChunked => ("PUT", "Transfer-Encoding: chunked\r\n".into(), chunked(&body)),
            Asks::Expect => (
                "POST",
                format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len()),
                body,
            ),
        };
        (format!("{method} /{at} HTTP/1.1\r\nHost: h{at}\r\n{fields}\r\n").into_bytes(), body)
    }

    fn response(&self, at: usize) -> Vec<u8> {
        let body = body(self.body);
        let (status, fields, body) = match self.answers {
            Answers::Length => ("200 OK", format!("Content-Length: {}\r\n", body.len()), body),
            Answers::Chunked => ("200 OK", "Transfer-Encoding: chunked\r\n".into(), chunked(&body)),
            Answers::NoContent => ("204 No Content", String::new(), Vec::new()),
            Answers::NotModified => {
                ("304 Not Modified", "Content-Length: 99\r\n".into(), Vec::new())
            }
        };
        let body = if self.asks == Asks::Head { Vec::new() } else { body };
        [format!("HTTP/1.1 {status}\r\nServer: s{at}\r\n{fields}\r\n").into_bytes(), body].concat()
    }
}

/// What is said in turn; `true` is the client.
fn turns(exchanges: &[Exchange]) -> Vec<(bool, Vec<u8>)> {
    let mut turns: Vec<(bool, Vec<u8>)> = Vec::new();
    let mut owed = Vec::new();
    for (at, exchange) in exchanges.iter().enumerate() {
        let (head, body) = exchange.request(at);
        if !exchange.pipelined || exchange.asks == Asks::Expect {
            turns.push((false, std::mem::take(&mut owed)));
        }
        if exchange.asks == Asks::Expect {
            turns.push((true, head));
            turns.push((false, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()));
            turns.push((true, body));
        } else {
            turns.push((true, [head, body].concat()));
        }
        owed.extend(exchange.response(at));
    }
    turns.push((false, owed));
    turns.retain(|(_, bytes)| !bytes.is_empty());
    turns
}

/// The segments of a connection whose turns are cut to these lengths, one after the other.
pub(super) fn segments(exchanges: &[Exchange], first: (u32, u32), lengths: &[usize]) -> Vec<Step> {
    let mut lengths = lengths.iter().copied().cycle();
    let mut next = [first.0, first.1];
    let mut steps = Vec::new();
    for (from_client, bytes) in turns(exchanges) {
        let (own, other) = if from_client { (0, 1) } else { (1, 0) };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = lengths.next().unwrap_or(rest.len()).min(rest.len());
            let (now, later) = rest.split_at(length);
            steps.push(step(from_client, next[own], next[other], now));
            next[own] = at(next[own], length);
            rest = later;
        }
    }
    steps
}

/// Sends segments again, some time after the first.
pub(super) fn doubled(steps: &mut Vec<Step>, doubles: &[(Index, Index)]) {
    for (which, to) in doubles {
        let which = which.index(steps.len());
        let to = which + to.index(steps.len() - which + 1);
        steps.insert(to, steps[which].clone());
    }
}

/// Lets segments come this many places later.
pub(super) fn moved(steps: &mut Vec<Step>, moves: &[(Index, usize)]) {
    for (which, far) in moves {
        let which = which.index(steps.len());
        let moved = steps.remove(which);
        steps.insert((which + far).min(steps.len()), moved);
    }
}

pub(super) fn opening(first: (u32, u32)) -> [Step; 2] {
    let before = first.0.wrapping_sub(1);
    // Number 0 as acknowledgment means none to the builder.
    let ack = first.0.max(1);
    [step(true, before, 0, "").flags("S"), step(false, first.1.wrapping_sub(1), ack, "").flags("S")]
}

/// A row without what mangling changes: its times.
fn timeless(mut row: Row) -> Row {
    row.remove("time");
    row.remove("ttfb");
    row
}

fn outcome(steps: &[Step]) -> (Vec<Row>, BTreeMap<String, u64>) {
    let ran = ran("", steps);
    let mut all: Vec<_> = rows(&ran.records).into_iter().map(timeless).collect();
    all.sort();
    (all, ran.counters)
}

/// Each head and body in segments of its own.
fn clean(exchanges: &[Exchange], first: (u32, u32)) -> Vec<Row> {
    let mut steps = opening(first).to_vec();
    steps.extend(segments(exchanges, first, &[usize::MAX]));
    outcome(&steps).0
}

/// First sequence numbers; often so that they wrap around.
pub(super) fn firsts() -> impl Strategy<Value = (u32, u32)> {
    let one = || prop_oneof![Just(1000u32), any::<u32>(), (0u32..600).prop_map(|n| u32::MAX - n)];
    (one(), one())
}

pub(super) fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    prop::collection::vec(exchange(), 1..6)
}

pub(super) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..8, 1usize..300], 1..20)
}

/// The same cases every time, so that a change is judged by itself; `PROPTEST_RNG_SEED` and
/// `PROPTEST_CASES` look for others.
pub(super) fn config() -> ProptestConfig {
    let asked = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked("PROPTEST_CASES").and_then(|n: u64| n.try_into().ok()).unwrap_or(300),
        rng_seed: RngSeed::Fixed(asked("PROPTEST_RNG_SEED").unwrap_or(1)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn clean_exchanges_give_all_heads_in_pairs(exchanges in exchanges(), first in firsts()) {
        let rows = clean(&exchanges, first);
        let interim = exchanges.iter().filter(|it| it.asks == Asks::Expect).count();
        prop_assert_eq!(rows.len(), 2 * exchanges.len() + interim);
        for row in &rows {
            prop_assert!(!row.contains_key("flags"), "{:?}", row);
            if let Some(server) = row.get("server") {
                let n: u32 = server[1..].parse().unwrap();
                prop_assert_eq!(&row["request_uri"], &format!("/{n}"));
                prop_assert_eq!(&row["request_host"], &format!("h{n}"));
                prop_assert_eq!(&row["exchange"], &(n + 1).to_string());
            }
        }
    }

    #[test]
    fn cut_reordered_doubled_and_overlapping(
        exchanges in exchanges(),
        first in firsts(),
        lengths in lengths(),
        moves in prop::collection::vec((any::<Index>(), 1usize..6), 0..12),
        doubles in prop::collection::vec((any::<Index>(), any::<Index>()), 0..6),
        overlaps in prop::collection::vec((any::<Index>(), 1usize..60), 0..6),
    ) {
        let mut steps = segments(&exchanges, first, &lengths);
        for (which, more) in overlaps {
            // The end of the segment before in the same direction comes again.
            let which = which.index(steps.len());
            let (own, seq) = (steps[which].from_client, steps[which].seq);
            let before = steps[..which].iter().rev().find(|it| it.from_client == own);
            // Not where that was done before.
            if let Some(before) = before.filter(|it| at(it.seq, it.bytes.len()) == seq) {
                let more = more.min(before.bytes.len());
                let tail = before.bytes[before.bytes.len() - more..].to_vec();
                steps[which].bytes.splice(0..0, tail);
                steps[which].seq = seq.wrapping_sub(at(0, more));
            }
        }
        doubled(&mut steps, &doubles);
        moved(&mut steps, &moves);
        let mut all = opening(first).to_vec();
        all.extend(steps);
        let (rows, counters) = outcome(&all);
        prop_assert_eq!(rows, clean(&exchanges, first), "{:?}", counters);
    }

    #[test]
    fn one_direction_only(exchanges in exchanges(), first in firsts(), lengths in lengths(), client: bool) {
        let mut steps = opening(first).to_vec();
        steps.extend(segments(&exchanges, first, &lengths));
        steps.retain(|it| it.from_client == client);
        let heads = |rows: Vec<Row>| -> Vec<_> {
            let of_this = rows.into_iter().filter(|row| row.contains_key("method") == client);
            let head = of_this.map(|row| (row.get("uri").cloned(), row.get("status_code").cloned(), row.get("server").cloned()));
            let mut heads: Vec<_> = head.collect();
            heads.sort();
            heads
        };
        // A response to HEAD that is followed by none can't be told from one with a body; its
        // own row is right in any case, and so is the next one's unless it comes in the middle
        // of a segment that begins elsewhere.
        let heads_asked = exchanges.iter().any(|it| it.asks == Asks::Head);
        prop_assume!(client || !heads_asked);
        prop_assert_eq!(heads(outcome(&steps).0), heads(clean(&exchanges, first)));
    }

    #[test]
    fn a_start_in_mid_stream(exchanges in exchanges(), first in firsts(), lengths in lengths(), from in any::<Index>()) {
        // Bodies with heads in them would be taken for heads, rightly, at a segment's beginning.
        let exchanges: Vec<_> = exchanges.into_iter().map(|it| Exchange { body: it.body.min(3), ..it }).collect();
        let steps = segments(&exchanges, first, &lengths);
        let from = from.index(steps.len());
        let known: BTreeSet<_> = clean(&exchanges, first).iter().filter_map(name).collect();
        let (rows, _) = outcome(&steps[from..]);
        let found: BTreeSet<_> = rows.iter().filter_map(name).collect();
        prop_assert!(found.is_subset(&known), "{:?}", found.difference(&known));
        for client in [true, false] {
            // From the first segment that begins with a head on, all of them.
            let begins = |it: &&Step| it.from_client == client && crate::boundary::is_head(&it.bytes);
            let Some(begin) = steps[from..].iter().find(begins) else { continue };
            let missed: Vec<u8> = steps
                .iter()
                .filter(|it| it.from_client == client)
                .take_while(|it| it.seq != begin.seq)
                .flat_map(|it| it.bytes.clone())
                .collect();
            let missed = String::from_utf8_lossy(&missed);
            for head in known.iter().filter(|it| it.0 == client) {
                let marker = if client { format!(" /{} ", head.1) } else { format!("s{}\r", head.1) };
                let asked_head = exchanges.iter().any(|it| it.asks == Asks::Head);
                prop_assert!(missed.contains(&marker) || found.contains(head) || (!client && asked_head), "{:?}", head);
            }
        }
    }

    // Heads that overtake each other where no SYN was seen: all are found, once, and what was
    // answered is found by acknowledgment numbers. An interim response has the number that the
    // final one would need, and of what is behind a response that may be one to HEAD nobody can
    // tell where it begins.
    #[test]
    fn out_of_order_in_mid_stream(
        exchanges in exchanges(),
        first in firsts(),
        moves in prop::collection::vec((any::<Index>(), 1usize..6), 0..12),
    ) {
        let plain = |it: Exchange| Exchange {
            body: it.body.min(3),
            pipelined: false,
            asks: if it.asks == Asks::Expect { Asks::Post } else { it.asks },
            ..it
        };
        let exchanges: Vec<_> = exchanges.into_iter().map(plain).collect();
        let mut steps = segments(&exchanges, first, &[usize::MAX]);
        moved(&mut steps, &moves);
        let names = |rows: &[Row]| {
            let mut names: Vec<_> = rows.iter().filter_map(name).collect();
            names.sort();
            names
        };
        let (rows, counters) = outcome(&steps);
        prop_assert_eq!(names(&rows), names(&clean(&exchanges, first)), "{:?}", counters);
        for row in rows.iter().filter(|row| row.contains_key("server")) {
            let asked = format!("/{}", &row["server"][1..]);
            prop_assert_eq!(row.get("request_uri"), Some(&asked), "{:?}", row);
        }
    }

    // Without pipelining: a request that was lost among pipelined ones can't be told from one
    // that never was, and the module says so.
    #[test]
    fn with_loss_nothing_is_wrong(
        exchanges in exchanges(),
        first in firsts(),
        lengths in lengths(),
        lost in prop::collection::vec(any::<Index>(), 1..4),
    ) {
        let exchanges: Vec<_> = exchanges.into_iter().map(|it| Exchange { body: it.body.min(3), pipelined: false, ..it }).collect();
        let mut steps = segments(&exchanges, first, &lengths);
        for which in lost {
            if !steps.is_empty() {
                steps.remove(which.index(steps.len()));
            }
        }
        let mut all = opening(first).to_vec();
        all.extend(steps);
        let (rows, counters) = outcome(&all);
        let expected: BTreeSet<_> = clean(&exchanges, first).iter().filter_map(name).collect();
        let found: BTreeSet<_> = rows.iter().filter_map(name).collect();
        prop_assert!(found.is_subset(&expected), "{:?}", found.difference(&expected));
        for row in &rows {
            // Never the wrong request.
            if let (Some((false, number)), Some(uri)) = (name(row), row.get("request_uri")) {
                let asked = format!("/{number}");
                prop_assert!(asked.starts_with(uri), "{:?}", row);
            }
        }
        // Behind a response that may be one to HEAD, whose request was lost, the next one may be
        // taken for a body.
        let asked_head = exchanges.iter().any(|it| it.asks == Asks::Head);
        if found.len() < expected.len() && !asked_head {
            let reasons = ["gaps", "heads.incomplete", "heads.undecided"];
            let counted: u64 = reasons.iter().map(|name| counters[*name]).sum();
            prop_assert!(counted > 0 || lost_whole(&all, &expected, &found), "{:?}", counters);
        }
    }
}

/// Which whole head a row is: from the client or not, and its number.
fn name(row: &Row) -> Option<(bool, String)> {
    if row.get("flags").is_some_and(|flags| flags.contains("incomplete")) {
        return None;
    }
    match (row.get("uri"), row.get("server")) {
        (Some(uri), _) => Some((true, uri[1..].to_owned())),
        (None, Some(server)) => Some((false, server[1..].to_owned())),
        _ => None,
    }
}

/// Whether all heads that were not found lie behind the last segment of their direction that
/// was seen: then nothing shows that there was more.
fn lost_whole(
    steps: &[Step],
    expected: &BTreeSet<(bool, String)>,
    found: &BTreeSet<(bool, String)>,
) -> bool {
    expected.difference(found).all(|(client, number)| {
        let marker = if *client { format!(" /{number} ") } else { format!("s{number}\r") };
        let seen: Vec<u8> = steps
            .iter()
            .filter(|it| it.from_client == *client)
            .flat_map(|it| it.bytes.clone())
            .collect();
        !String::from_utf8_lossy(&seen).contains(&marker)
    })
}
