//! What loading and reassembling cost: the same seven stages in two ways, side by side.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::RecordBatch;
use ringmill::{
    capture::{Filled, Source as _, file::Files, input::Input},
    chain::{Blueprint, Chain, Outlet},
    config::{self, Config},
    host::{Board, Run},
    sdk::{BATCH, Batch, Error, Packet, Timestamp, testing::Frame},
};
use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Limit, Mix, generate},
};

const STAGES: [&str; 7] =
    ["decode", "classify", "http", "user_agent", "redact", "crypto_pan", "truncate"];

fn config(folder: Option<&Path>) -> Config {
    config_with(folder, "")
}

/// `http` holds more options of that stage.
fn config_with(folder: Option<&Path>, http: &str) -> Config {
    let table = |name: &&str| {
        let plugin = folder
            .map(|folder| format!("plugin = {:?}\n", folder.join(format!("lib{name}.so"))))
            .unwrap_or_default();
        let key = if *name == "crypto_pan" { "key = \"ephemeral\"\n" } else { "" };
        let http = if *name == "http" { http } else { "" };
        format!("[[stage]]\nuse = {name:?}\n{plugin}{key}{http}\n")
    };
    let stages: String = STAGES.iter().map(table).collect();
    let text = format!(
        "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n{stages}[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n"
    );
    config::parse(Path::new("test"), text).unwrap()
}

/// Counts what leaves the chain and drops it.
#[derive(Default)]
struct Count(usize);

impl Outlet for Count {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        self.0 += records.num_rows();
        Ok(())
    }
}

fn chain(config: &Config) -> Chain {
    let blueprint = Blueprint::new(config, &[]).unwrap();
    let board = Arc::new(Board::default());
    blueprint.build_chain(&Arc::new(Run::new(None).unwrap()), &board, Some(0)).unwrap()
}

/// CPU nanoseconds per packet and rows of one pass over the capture.
fn pass(chain: &mut Chain, capture: &Path) -> (f64, usize) {
    let input = Input::File(capture.to_owned());
    let files = Files::new(vec![input], 1, usize::MAX, None).unwrap();
    let mut source = files.source(0, 256);
    let (mut spare, mut packets, mut rows) = (Batch::default(), 0, Count::default());
    let start = CpuTime::of_this_process().unwrap();
    loop {
        let mut batch = spare.recycle();
        let filled = source.fill(&mut batch);
        packets += batch.all().len();
        chain.packets(&mut batch, &mut rows).unwrap();
        spare = batch.recycle();
        if filled == Filled::End {
            break;
        }
    }
    let time = CpuTime::of_this_process().unwrap().since(start).total();
    #[allow(clippy::cast_precision_loss, reason = "packets of one capture")]
    let per_packet = time.as_secs_f64() * 1e9 / packets as f64;
    (per_packet, rows.0)
}

fn capture(directory: &Path, mix: Mix) -> PathBuf {
    let path = directory.join("capture.pcap");
    let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
    generate(mix, Limit::Packets(300_000), 3, &mut out).unwrap();
    out.flush().unwrap();
    path
}

/// One verdict over many pairs: the machine may be busy with other things for some of them.
const PAIRS: usize = 55;

#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn seven_loaded_stages_cost_at_most_2_percent_more_than_linked_ones() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), Mix::Campus);
    let mut linked = chain(&config(None));
    let mut loaded = chain(&config(Some(common::plugins())));
    let (_, rows) = pass(&mut linked, &capture);
    pass(&mut loaded, &capture);
    let mut pairs = Vec::new();
    for round in 0..PAIRS {
        // Who goes first takes turns, so that neither has the warmer cache every time.
        let (a, b) = if round % 2 == 0 {
            let a = pass(&mut linked, &capture);
            (a, pass(&mut loaded, &capture))
        } else {
            let b = pass(&mut loaded, &capture);
            (pass(&mut linked, &capture), b)
        };
        assert!(a.1.abs_diff(rows) <= 4096 && b.1.abs_diff(rows) <= 4096, "{a:?} {b:?}");
        pairs.push((a.0, b.0));
    }
    let linked = median(pairs.iter().map(|pair| pair.0));
    let loaded = median(pairs.iter().map(|pair| pair.1));
    let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0));
    println!("linked {linked:.1} ns, loaded {loaded:.1} ns a packet; ratio {ratio:.4}");
    assert!(ratio <= 1.02, "seven loaded stages cost {ratio:.4} times what linked ones do");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn reassembly_costs_at_most_a_quarter_more() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), Mix::Campus);
    let mut off = chain(&config_with(None, "reassemble = false"));
    let mut pairs = Vec::new();
    for round in 0..PAIRS {
        // A fresh chain, because the capture's connections must not be those of the last round.
        let mut on = chain(&config(None));
        let (a, b) = if round % 2 == 0 {
            let a = pass(&mut off, &capture).0;
            (a, pass(&mut on, &capture).0)
        } else {
            let b = pass(&mut on, &capture).0;
            (pass(&mut off, &capture).0, b)
        };
        pairs.push((a, b));
    }
    let off = median(pairs.iter().map(|pair| pair.0));
    let on = median(pairs.iter().map(|pair| pair.1));
    let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0));
    println!("each packet by itself {off:.1} ns, reassembled {on:.1} ns; ratio {ratio:.4}");
    assert!(ratio <= 1.25, "reassembly costs {ratio:.4} times what single packets do");
}

/// Frames of which the client, the sequence number and the last byte are written in place.
struct Segments(Vec<Vec<u8>>);

const IP: usize = 14;
const TCP: usize = IP + 20;

impl Segments {
    fn new(payload: &[u8], syn: bool) -> Self {
        let frame = Frame::tcp("10.0.0.1:1024", "192.0.2.1:80").payload(payload);
        let frame = if syn { frame.syn() } else { frame };
        Self(vec![frame.build(); BATCH])
    }

    /// CPU nanoseconds a byte on the wire over `count` segments: of each the number of its
    /// client, its sequence number, and what becomes of its last byte.
    fn time(
        &mut self,
        chain: &mut Chain,
        count: usize,
        at: impl Fn(usize) -> (u32, u32, Option<u8>),
    ) -> f64 {
        let (mut time, mut bytes, mut spare) = (0.0, 0, Batch::default());
        for first in (0..count).step_by(BATCH) {
            for (frame, number) in self.0.iter_mut().zip(first..) {
                let (client, seq, last) = at(number);
                frame[IP + 12..IP + 16]
                    .copy_from_slice(&(0x0a00_0000 + client / 40_000).to_be_bytes());
                let port = u16::try_from(1024 + client % 40_000).unwrap();
                frame[TCP..TCP + 2].copy_from_slice(&port.to_be_bytes());
                frame[TCP + 4..TCP + 8].copy_from_slice(&seq.to_be_bytes());
                if let (Some(byte), Some(last)) = (last, frame.last_mut()) {
                    *last = byte;
                }
                bytes += frame.len();
            }
            let mut batch = spare.recycle();
            let seconds = i64::try_from(first / 1_000_000).unwrap();
            for frame in &self.0 {
                batch.push(Packet::ethernet(frame, Timestamp(seconds * 1_000_000_000)));
            }
            let start = CpuTime::of_this_process().unwrap();
            chain.packets(&mut batch, &mut Count::default()).unwrap();
            time += CpuTime::of_this_process().unwrap().since(start).total().as_secs_f64() * 1e9;
            spare = batch.recycle();
        }
        #[allow(clippy::cast_precision_loss, reason = "bytes of one run")]
        {
            time / bytes as f64
        }
    }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn attacks_cost_little_and_stay_within_their_memory() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), Mix::Campus);
    #[allow(clippy::cast_precision_loss, reason = "bytes of one capture")]
    let mean = std::fs::metadata(&capture).unwrap().len() as f64 / 300_000.0 - 16.0;
    let plain = median((0..9).map(|_| pass(&mut chain(&config(None)), &capture).0)) / mean;
    println!("campus: {plain:.3} ns a byte, {mean:.0} bytes a packet");
    let number = |at: usize| u32::try_from(at).unwrap();

    for (what, reassemble) in [("single packets", "reassemble = false"), ("reassembled", "")] {
        let mut attacked = chain(&config_with(None, reassemble));
        let half_open =
            Segments::new(b"", true).time(&mut attacked, 3_000_000, |at| (number(at), 7, None));

        let mut attacked = chain(&config_with(None, reassemble));
        let head = b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: h\r\n\r\n";
        const CLIENTS: usize = 10_000;
        let mut syns = Segments::new(b"", true);
        syns.time(&mut attacked, CLIENTS, |at| (number(at), 99, None));
        let bytes = Segments::new(b"x", false).time(&mut attacked, CLIENTS * head.len(), |at| {
            let (offset, client) = (at / CLIENTS, at % CLIENTS);
            (number(client), 100 + number(offset), head.get(offset).copied())
        });

        let before = resident();
        let mut attacked = chain(&config_with(None, reassemble));
        let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let flows =
            Segments::new(get, false).time(&mut attacked, 1_000_000, |at| (number(at), 1, None));
        let memory = resident().saturating_sub(before) >> 20;
        println!(
            "{what}: half-open {half_open:.3}, one byte at a time {bytes:.3}, a million \
             connections {flows:.3} ns a byte; a million connections {memory} MB"
        );
        if reassemble.is_empty() {
            assert!(memory <= 200, "{memory} MB for a million connections");
            for (name, cost) in [("half-open", half_open), ("one byte at a time", bytes)] {
                let ratio = cost / plain;
                println!("{name}: {ratio:.2} times the campus workload's time a byte");
                assert!(ratio <= 5.0, "{name}: {ratio:.2} times the plain time a byte");
            }
        }
    }
}
