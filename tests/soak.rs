//! What `decode`, `classify` and `http` hold: over a day of connections that come and go, with a
//! table that is too small for them, and with a million connections at once.
//!
//! Time is that of the packets, so a day takes a minute. Memory is what the stages asked for and
//! did not give back, counted by the allocator, to the byte.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "common/allocator.rs"]
mod allocator;
#[path = "soak/attacks.rs"]
mod attacks;
#[path = "soak/traffic.rs"]
mod traffic;

use std::{collections::BTreeMap, sync::Arc};

use allocator::held_here;
use ringmill::sdk::{
    Arena, BATCH, Batch, Output, Stage, Timestamp,
    arrow_array::{Array as _, RecordBatch, StringArray},
    testing::{START, TestHost},
};
use ringmill_classify::Classify;
use ringmill_decode::Decode;
use ringmill_http::Http;
use traffic::{Dice, Frame, SECOND, Traffic, WHOLE};

/// The three stages as the engine chains them, and what they hold.
struct Chain {
    decode: Decode,
    classify: Classify,
    http: Http,
    told: [Arc<TestHost>; 3],
    records: Vec<RecordBatch>,
    /// Bytes that the stages hold.
    held: i64,
    rows: usize,
    /// Requests and responses of connections that must come out whole.
    whole: [u64; 2],
}

fn stage<S: Stage>(options: &str) -> (S, Arc<TestHost>) {
    let (host, told) = TestHost::new(Some(0));
    (S::new(toml::from_str(options).unwrap(), &host).unwrap(), told)
}

impl Chain {
    fn new(http: &str) -> Self {
        let before = held_here();
        let (decode, one) = stage("");
        let (classify, two) = stage("");
        let (http, three) = stage(http);
        let (told, held) = ([one, two, three], held_here() - before);
        let (records, rows, whole) = (Vec::new(), 0, [0; 2]);
        Self { decode, classify, http, told, records, held, rows, whole }
    }

    /// Does this, and then counts and drops what came out; what is held after it is the
    /// stages'.
    fn measured(&mut self, act: impl FnOnce(&mut Self)) {
        let before = held_here();
        act(self);
        self.look();
        self.held += held_here() - before;
    }

    fn frames(&mut self, frames: &[Frame]) {
        for part in frames.chunks(BATCH) {
            self.measured(|chain| chain.batch(part));
        }
    }

    fn batch(&mut self, frames: &[Frame]) {
        let arena = Arena::default();
        let mut batch = Batch::default().with_arena(&arena);
        frames.iter().for_each(|frame| batch.push(frame.packet()));
        let mut out = Output::new(&mut self.records);
        self.decode.packets(&mut batch, &mut out).unwrap();
        self.classify.packets(&mut batch, &mut out).unwrap();
        self.http.packets(&mut batch, &mut out).unwrap();
    }

    fn tick(&mut self, now: i64) {
        self.measured(|chain| {
            let mut out = Output::new(&mut chain.records);
            chain.decode.tick(Timestamp(now), &mut out).unwrap();
            chain.classify.tick(Timestamp(now), &mut out).unwrap();
            chain.http.tick(Timestamp(now), &mut out).unwrap();
        });
    }

    fn finish(&mut self) {
        self.measured(|chain| chain.http.finish(&mut Output::new(&mut chain.records)).unwrap());
    }

    /// Counts what came out and drops it.
    fn look(&mut self) {
        for records in self.records.drain(..) {
            self.rows += records.num_rows();
            let kinds = self.whole.iter_mut().zip(["host", "request_host"]);
            for (whole, name) in kinds {
                let hosts = records.column_by_name(name).map(|it| it.as_any().downcast_ref());
                if let Some(Some(hosts)) = hosts {
                    let hosts: &StringArray = hosts;
                    *whole += hosts.iter().filter(|host| *host == Some(WHOLE)).count() as u64;
                }
            }
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.told.iter().flat_map(|told| told.counters()).collect()
    }
}

fn print(counters: &BTreeMap<String, u64>) {
    let some: Vec<_> = counters.iter().filter(|(_, count)| **count > 0).collect();
    println!("{some:?}");
}

/// In seconds.
const HOUR: i64 = 3600;

/// How long an idle connection stays, and until its turn to be looked at comes, in seconds.
const IDLE: i64 = 300 + 17;

/// How many bytes more an hour may hold than the first one, by chance: the table and its index
/// take 6 MB, what waits 40 KB. A byte that stayed of each connection would be more.
const SPREAD: i64 = 1 << 16;

#[test]
fn a_day_of_connections_leaves_memory_as_it_was_after_an_hour() {
    let (mut traffic, mut dice) = (Traffic::new(1), Dice(2));
    let mut chain = Chain::new("");
    let (mut most, mut packets) = (Vec::new(), 0);
    for hour in 0..24 {
        let mut most_now = 0;
        for second in hour * HOUR..(hour + 1) * HOUR {
            let begin = START.0 + second * SECOND;
            (0..dice.below(3)).for_each(|_| traffic.open(begin));
            if dice.below(600) == 0 {
                traffic.flood(begin, 1000);
            }
            let frames = traffic.until(begin + SECOND);
            packets += frames.len();
            chain.frames(&frames);
            chain.tick(begin + SECOND);
            most_now = most_now.max(chain.held);
        }
        println!("hour {hour}: {} rows, {most_now} bytes at most", chain.rows);
        most.push(most_now);
    }
    // What is under way comes to its end, and is forgotten.
    let (mut now, mut quiet) = (START.0 + 24 * HOUR * SECOND, 0);
    while quiet < IDLE {
        quiet = if traffic.is_over() { quiet + 1 } else { 0 };
        now += SECOND;
        chain.frames(&traffic.until(now));
        chain.tick(now);
    }
    let (rows, counters) = (chain.rows, chain.counters());
    println!("{packets} packets; {} bytes at the end", chain.held);
    print(&counters);
    chain.finish();
    assert_eq!((chain.rows, &chain.counters()), (rows, &counters), "nothing was left");
    assert_eq!(chain.whole, traffic.whole, "heads of connections that came whole");
    assert!(chain.held <= most[0], "{} bytes at the end: {most:?}", chain.held);
    for (hour, most_now) in most.iter().enumerate() {
        assert!(*most_now <= most[0] + SPREAD, "{most_now} bytes in hour {hour}: {most:?}");
    }
    // All of these ways were gone.
    let ways = ["flows.idle", "gaps", "heads.incomplete", "requests.unanswered"];
    for way in ways.into_iter().chain(["responses.no_request", "segments.cut", "segments.early"]) {
        assert!(counters[way] > 1000, "{way}: {}", counters[way]);
    }
}

/// Connections that are never closed can only be forgotten when they are idle or for another.
#[test]
fn a_full_table_evicts_and_counts_it() {
    const FLOWS: i64 = 64;
    let (mut traffic, mut dice) = (Traffic::new(3), Dice(4));
    let mut chain = Chain::new(&format!("flows = {FLOWS}"));
    let mut asked = 0;
    for second in 0..HOUR {
        let begin = START.0 + second * SECOND;
        // In the second half of each quarter of an hour nothing comes.
        let most = if second % 900 < 450 { 4 } else { 1 };
        for _ in 0..dice.below(most) {
            traffic.ask(begin);
            asked += 1;
        }
        chain.frames(&traffic.until(begin + SECOND));
        chain.tick(begin + SECOND);
    }
    let counters = chain.counters();
    print(&counters);
    let count = |name: &str| counters[name];
    assert_eq!(count("flows"), asked, "each was taken up");
    assert_eq!(count("flows"), count("flows.idle") + count("flows.evicted"), "the balance");
    assert_eq!(count("requests.unanswered"), asked, "nothing is left of any");
    assert_eq!(chain.rows as u64, asked, "each has its row");
    assert!(count("flows.evicted") > 1000 && count("flows.idle") >= 4 * 60);
}

/// Each between two requests.
#[test]
fn a_million_open_connections_take_at_most_200_mb() {
    const FLOWS: u32 = 1_000_000;
    let mut chain = Chain::new("");
    // 10,000 a second.
    for second in 0..100 {
        let begin = START.0 + i64::from(second) * SECOND;
        let clients: Vec<_> = (second * FLOWS / 100..(second + 1) * FLOWS / 100).collect();
        for some in clients.chunks(BATCH / 2) {
            let frames = some.iter().flat_map(|client| traffic::exchange(begin, *client));
            chain.frames(&frames.collect::<Vec<_>>());
        }
        chain.tick(begin + SECOND);
    }
    let counters = chain.counters();
    print(&counters);
    println!("{} bytes held", chain.held);
    let gone = ["flows.idle", "flows.evicted", "flows.no_buffer"].map(|name| counters[name]);
    assert_eq!((counters["flows"], gone), (FLOWS.into(), [0; 3]), "all are there");
    assert_eq!(chain.rows, 2 * FLOWS as usize);
    assert!(chain.held <= 200_000_000, "{} bytes", chain.held);
}
