//! Time: the records of a connection are made by its packets, whenever time is told, however
//! packets are split into batches, and whatever other connections do meanwhile.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use ringmill_sdk::{
    Timestamp,
    testing::{Row, START, Trial, decoded, rows},
};

use super::{
    Step,
    generated::{config, doubled, exchanges, firsts, lengths, moved, opening, segments},
    step,
};
use crate::Http;

const MS: i64 = 1_000_000;

/// A packet of one of the connections.
#[derive(Clone)]
struct Told {
    time: i64,
    client: &'static str,
    frame: Vec<u8>,
}

/// The clients of the connections.
const CLIENTS: [&str; 3] = ["192.0.2.1:40000", "192.0.2.1:40001", "203.0.113.9:40000"];

/// What may come between two packets: less and more than what anything waits for.
fn pauses() -> impl Strategy<Value = Vec<i64>> {
    let pause = prop::sample::select(vec![
        0, 1, 1, 1, 400, 999, 1000, 1001, 4990, 5001, 9990, 10_050, 31_000,
    ]);
    prop::collection::vec(pause, 1..40)
}

/// The segments of one connection, out of order, doubled and lost.
fn connection() -> impl Strategy<Value = Vec<Step>> {
    let moves = prop::collection::vec((any::<Index>(), 1usize..6), 0..8);
    let doubles = prop::collection::vec((any::<Index>(), any::<Index>()), 0..4);
    let lost = prop::collection::vec(any::<Index>(), 0..3);
    (exchanges(), firsts(), lengths(), moves, doubles, lost, 0usize..=2).prop_map(
        |(exchanges, first, lengths, moves, doubles, lost, skip)| {
            let mut steps = segments(&exchanges, first, &lengths);
            doubled(&mut steps, &doubles);
            moved(&mut steps, &moves);
            for which in lost {
                if steps.len() > 1 {
                    steps.remove(which.index(steps.len()));
                }
            }
            // With both SYNs, or without one, or in mid-stream.
            [&opening(first)[skip..], &steps].concat()
        },
    )
}

/// All connections at once, in the order of `turns`.
fn mixed(connections: &[Vec<Step>], turns: &[Index], pauses: &[i64]) -> Vec<Told> {
    let mut rest: Vec<_> =
        connections.iter().zip(CLIENTS).map(|(it, client)| (it.iter(), client)).collect();
    let (mut turns, mut pauses) = (turns.iter().cycle(), pauses.iter().cycle());
    let (mut told, mut time) = (Vec::new(), START.0);
    while !rest.is_empty() {
        let at = turns.next().unwrap().index(rest.len());
        let (steps, client) = &mut rest[at];
        match steps.next() {
            Some(step) => told.push(Told { time, client, frame: step.frame_of(client) }),
            None => drop(rest.remove(at)),
        }
        time += pauses.next().unwrap() * MS;
    }
    told
}

/// The rows of each connection and kind, in the order in which they came out. Time is told
/// behind a packet where `ticks` says a time.
fn outcome(
    told: &[Told],
    ticks: impl Fn(usize) -> Option<i64>,
    most: usize,
) -> BTreeMap<(String, bool), Vec<Row>> {
    let mut trial = Trial::<Http>::new("idle_seconds = 10").unwrap();
    let mut batch = Vec::new();
    for (at, it) in told.iter().enumerate() {
        batch.push(decoded(&it.frame, Timestamp(it.time)));
        let tick = ticks(at);
        if tick.is_some() || batch.len() >= most || at + 1 == told.len() {
            trial.packets(batch.drain(..)).unwrap();
        }
        if let Some(now) = tick {
            trial.tick(Timestamp(now)).unwrap();
        }
    }
    trial.finish().unwrap();
    let mut by_connection: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for records in trial.ran().records {
        let is_response = records.schema().column_with_name("status_code").is_some();
        for row in rows(&[records]) {
            by_connection.entry((row["flow"].clone(), is_response)).or_default().push(row);
        }
    }
    by_connection
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn when_time_is_told_decides_nothing(
        connections in prop::collection::vec(connection(), 1..4),
        turns in prop::collection::vec(any::<Index>(), 1..40),
        pauses in pauses(),
        ticks in prop::collection::vec(prop::option::of(0u8..=10), 1..30),
        most in 1usize..20,
    ) {
        let told = mixed(&connections, &turns, &pauses);
        let without = outcome(&told, |_| None, 256);
        // From the time of the packet before to that of the next one, and a little more, as by
        // a clock that goes on while packets lie in a ring.
        let between = |at: usize, tenths: u8| {
            let now = told[at].time;
            let next = told.get(at + 1).map_or(now + 60_000 * MS, |next| next.time) + 900 * MS;
            now + (next - now) / 10 * i64::from(tenths)
        };
        let some = |at: usize| ticks[at % ticks.len()].map(|tenths| between(at, tenths));
        prop_assert_eq!(&outcome(&told, some, most), &without, "ticks here and there");
        let each = outcome(&told, |at| Some(between(at, 10)), 1);
        prop_assert_eq!(&each, &without, "a tick behind each packet");
        // And each connection by itself.
        let mut alone = BTreeMap::new();
        for client in CLIENTS {
            let only: Vec<_> = told.iter().filter(|it| it.client == client).cloned().collect();
            alone.extend(outcome(&only, |_| None, most));
        }
        prop_assert_eq!(&alone, &without, "each connection alone");
    }
}

/// Not even one that came long after, of which a connection would otherwise show that it was idle.
#[test]
fn a_packet_without_payload_asks_for_no_connection() {
    let head = step(true, 1, 1, "GET / HTTP/1.1\r\n\r\n").frame_of(CLIENTS[0]);
    let ack = step(true, 19, 1, "").frame_of(CLIENTS[0]);
    let late = Timestamp(START.0 + 100_000 * MS);
    for most in [1, 2] {
        let mut trial = Trial::<Http>::new("idle_seconds = 10").unwrap();
        let mut packets = vec![decoded(&head, START), decoded(&ack, late)];
        while !packets.is_empty() {
            trial.packets(packets.drain(..most)).unwrap();
        }
        trial.finish().unwrap();
        let counters = trial.ran().counters;
        assert_eq!((counters["flows"], counters["flows.idle"]), (1, 0), "batches of {most}");
    }
}
