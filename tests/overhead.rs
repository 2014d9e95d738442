//! What loading and reassembling cost, and what attacks do: two ways side by side.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use arrow_array::RecordBatch;
use ringmill::{
    capture::{Filled, file::Files, input::Input},
    chain::{Blueprint, Chain, Outlet},
    config::{self, Config},
    host::{Board, Run},
    sdk::{Batch, Error},
};
use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Attack, Limit, Mix, attack, generate},
};

const STAGES: [&str; 7] =
    ["decode", "classify", "http", "user_agent", "redact", "crypto_pan", "truncate"];

fn config(folder: Option<&Path>) -> Config {
    let table = |name: &&str| {
        let plugin = folder
            .map(|folder| format!("plugin = {:?}\n", folder.join(format!("lib{name}.so"))))
            .unwrap_or_default();
        let key = if *name == "crypto_pan" { "key = \"ephemeral\"\n" } else { "" };
        format!("[[stage]]\nuse = {name:?}\n{plugin}{key}\n")
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
    let start = CpuTime::of_this_thread().unwrap();
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
    let time = CpuTime::of_this_thread().unwrap().since(start).total();
    #[allow(clippy::cast_precision_loss, reason = "packets of one capture")]
    let per_packet = time.as_secs_f64() * 1e9 / packets as f64;
    (per_packet, rows.0)
}

fn capture(directory: &Path, mix: Mix, packets: u32) -> PathBuf {
    let path = directory.join("capture.pcap");
    let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
    generate(mix, Limit::Packets(packets.into()), 3, &mut out).unwrap();
    out.flush().unwrap();
    path
}

/// One verdict over many pairs: the machine may be busy with other things for some of them.
const PAIRS: usize = 55;

#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn seven_loaded_stages_cost_at_most_2_percent_more_than_linked_ones() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), Mix::Campus, 300_000);
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

/// CPU nanoseconds per packet of a whole process, from the capture to Parquet.
fn process(directory: &Path, reassemble: bool, packets: u32) -> f64 {
    let stages: String = ["decode", "classify", "http", "user_agent", "redact", "crypto_pan"]
        .iter()
        .map(|name| match *name {
            "http" => format!("[[stage]]\nuse = \"http\"\nreassemble = {reassemble}\n"),
            "crypto_pan" => "[[stage]]\nuse = \"crypto_pan\"\nkey = \"ephemeral\"\n".to_owned(),
            _ => format!("[[stage]]\nuse = {name:?}\n"),
        })
        .collect();
    let config = directory.join("config.toml");
    let text = format!(
        "[engine]\nworkers = 1\n[capture]\nfrom = \"file\"\nfiles = [{:?}]\n{stages}\
         [[sink]]\nuse = \"parquet\"\ndirectory = {:?}\n",
        directory.join("capture.pcap"),
        directory.join("out")
    );
    std::fs::write(&config, text).unwrap();
    let before = CpuTime::of_children().unwrap();
    let engine = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(["--quiet".as_ref(), "--config".as_ref(), config.as_os_str()])
        .output()
        .unwrap();
    assert!(engine.status.success(), "{}", String::from_utf8_lossy(&engine.stderr));
    let time = CpuTime::of_children().unwrap().since(before).total();
    std::fs::remove_dir_all(directory.join("out")).unwrap();
    time.as_secs_f64() * 1e9 / f64::from(packets)
}

/// Whole processes and the chain of `campus.toml`: what only shows outside of the stage, memory
/// that is touched and rows that say more, counts as well.
#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn reassembly_costs_at_most_a_quarter_more() {
    const PACKETS: u32 = 600_000;
    let directory = tempfile::tempdir().unwrap();
    capture(directory.path(), Mix::Campus, PACKETS);
    let mut pairs = Vec::new();
    for round in 0..21 {
        let cost = |reassemble| process(directory.path(), reassemble, PACKETS);
        pairs.push(if round % 2 == 0 {
            let off = cost(false);
            (off, cost(true))
        } else {
            let on = cost(true);
            (cost(false), on)
        });
    }
    let off = median(pairs.iter().map(|pair| pair.0));
    let on = median(pairs.iter().map(|pair| pair.1));
    let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0));
    println!("each packet by itself {off:.1} ns, reassembled {on:.1} ns; ratio {ratio:.4}");
    assert!(ratio <= 1.25, "reassembly costs {ratio:.4} times what single packets do");
}

/// By the byte of the frames: to what a mirror port brings of them there is a limit.
#[test]
#[cfg_attr(debug_assertions, ignore = "a timing; `cargo test --release --test overhead`")]
fn attacks_cost_at_most_5_times_the_time_a_byte_of_the_same_heads_as_usual() {
    let directory = tempfile::tempdir().unwrap();
    let write = |kind: Attack| {
        let path = directory.path().join(format!("{kind:?}.pcap"));
        let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
        let summary = attack(kind, Limit::Bytes(50_000_000), 1, &mut out).unwrap();
        out.flush().unwrap();
        (path, summary.mean_frame())
    };
    let config = config(None);
    // A fresh chain for each, because its connections must not be those of the last round.
    let cost = |(path, mean): &(PathBuf, f64)| pass(&mut chain(&config), path).0 / mean;
    let plain = write(Attack::None);
    for kind in Attack::ALL {
        let attack = write(kind);
        let pairs: Vec<_> = (0..9).map(|_| (cost(&plain), cost(&attack))).collect();
        let usual = median(pairs.iter().map(|pair| pair.0));
        let attacked = median(pairs.iter().map(|pair| pair.1));
        let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0));
        println!("{kind:?}: {attacked:.3} ns a byte, usually {usual:.3}; ratio {ratio:.2}");
        assert!(ratio <= 5.0, "{kind:?} costs {ratio:.2} times the time a byte");
    }
}
