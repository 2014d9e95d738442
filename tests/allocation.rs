//! The worker's loop allocates nothing per packet, and what the engine holds does not grow with
//! the length of a capture.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "common/allocator.rs"]
mod allocator;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::atomic::Ordering::Relaxed,
};

use allocator::{CALLS, HELD, MOST};
use ringmill::{
    Engine, Outcome, config,
    sdk::{Factory, prelude::*},
};
use ringmill_bench::workload::{Limit, Mix, generate};

/// A sink that takes everything and keeps nothing.
struct Discard;

impl Sink for Discard {
    const NAME: &'static str = "discard";
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self)
    }

    fn write(&mut self, _: &RecordBatch) -> Result {
        Ok(())
    }
}

const CONFIG: &str = r#"
[capture]
from = "file"
files = ["-"]
[[stage]]
use = "decode"
[[stage]]
use = "classify"
[[stage]]
use = "http"
[[stage]]
use = "user_agent"
[[stage]]
use = "redact"
[[stage]]
use = "crypto_pan"
key = "ephemeral"
[[sink]]
use = "discard"
"#;

/// Calls of the allocator and the most bytes held, over one run.
fn cost(capture: &Path) -> (u64, i64, Outcome) {
    let config = config::parse(Path::new("test"), CONFIG.to_owned()).unwrap();
    let config = config.with_files(vec![capture.to_string_lossy().into_owned()]);
    let engine = Engine::with(config, &[Factory::sink::<Discard>()]).unwrap();
    let (calls, held) = (CALLS.load(Relaxed), HELD.load(Relaxed));
    MOST.store(held, Relaxed);
    let outcome = engine.run(|_| ()).unwrap();
    assert!(outcome.is_good(), "{:?} {}", outcome.failures, outcome.ledger);
    (CALLS.load(Relaxed) - calls, MOST.load(Relaxed) - held, outcome)
}

/// Segments and responses that had to wait for others.
fn waits(outcome: &Outcome) -> u64 {
    let counters = outcome.ledger.stages.iter().flat_map(|stage| &stage.counters);
    let waits = ["segments.early", "responses.no_request"];
    counters.filter(|(name, _)| waits.contains(&name.as_str())).map(|(_, count)| count).sum()
}

fn capture(directory: &Path, mix: Mix, packets: u64) -> std::path::PathBuf {
    let path = directory.join(format!("{packets}.pcap"));
    let mut out = BufWriter::new(File::create(&path).unwrap());
    generate(mix, Limit::Packets(packets), 1, &mut out).unwrap();
    out.flush().unwrap();
    path
}

// One test, because the counts are the process's.
#[test]
fn packets_cost_no_allocation_and_memory_stays_flat() {
    let directory = tempfile::tempdir().unwrap();
    let (few, many) = (100_000, 400_000);

    let short = capture(directory.path(), Mix::Min64, few);
    let long = capture(directory.path(), Mix::Min64, many);
    cost(&short);
    let (short_calls, short_bytes, _) = cost(&short);
    let (long_calls, long_bytes, outcome) = cost(&long);
    assert_eq!(outcome.ledger.received(), many);
    println!("without heads: {short_calls} allocations for {few} packets, {long_calls} for {many}");
    println!("               {short_bytes} bytes at most, and {long_bytes}");
    // Ticks and the sink's thread may add a handful; packets may not.
    assert!(long_calls <= short_calls + 100, "{short_calls} and {long_calls} allocations");
    assert!(long_bytes <= short_bytes + 100_000, "{short_bytes} and {long_bytes} bytes");

    let short = capture(directory.path(), Mix::Heavy, few);
    let long = capture(directory.path(), Mix::Heavy, many);
    let (short_calls, short_bytes, outcome) = cost(&short);
    let (short_rows, short_waits) = (outcome.ledger.rows, waits(&outcome));
    let (long_calls, long_bytes, outcome) = cost(&long);
    let rows = outcome.ledger.rows - short_rows;
    let waits = waits(&outcome) - short_waits;
    let calls = long_calls - short_calls;
    println!("with heads: {calls} allocations for {rows} more rows, {waits} more waits");
    println!("            {short_bytes} bytes at most, and {long_bytes}");
    assert!(rows > 100_000, "{rows} rows");
    // Columns are allocated by batch of rows, a new user agent by user agent, and what waits by
    // segment and response: here a tenth of the responses wait a second of the capture's two for
    // requests that were not captured, so that no memory of those before can be used again.
    assert!(calls < rows / 4 + 3 * waits, "{calls} allocations for {rows} rows and {waits} waits");
    // The queue to the sink may be fuller in one run than in another.
    assert!(long_bytes < 2 * short_bytes.max(64 << 20), "{short_bytes} and {long_bytes} bytes");
}
