//! What loading costs: the same six stages, linked and loaded, side by side.

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
    sdk::{Batch, Error},
};
use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Limit, Mix, generate},
};

const STAGES: [&str; 6] = ["decode", "classify", "http", "user_agent", "crypto_pan", "truncate"];

fn config(folder: Option<&Path>) -> Config {
    let table = |name: &&str| {
        let plugin = folder
            .map(|folder| format!("plugin = {:?}\n", folder.join(format!("lib{name}.so"))))
            .unwrap_or_default();
        let key = if *name == "crypto_pan" { "key = \"ephemeral\"\n" } else { "" };
        format!("[[stage]]\nuse = {name:?}\n{plugin}{key}")
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
    blueprint.build_chain(&Arc::new(Run::new().unwrap()), &board, Some(0)).unwrap()
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
fn six_loaded_stages_cost_at_most_2_percent_more_than_linked_ones() {
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
    assert!(ratio <= 1.02, "six loaded stages cost {ratio:.4} times what linked ones do");
}
