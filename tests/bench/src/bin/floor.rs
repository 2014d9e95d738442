//! Measures the floor on one capture: `floor FILE [--repeat N]`.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use ringmill_bench::cpu::{CpuTime, median, nanos_per, pin};
use ringmill_bench::floor::{self, Depth};

/// The hand-written floor: finds HTTP heads in a mapped pcap file on one pinned core.
///
/// The first pass also pays for the page faults of the mapping, as system time.
#[derive(Parser)]
struct Options {
    /// Ethernet pcap file, little endian.
    file: PathBuf,
    /// Passes over the file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Do not ask for the lines of the file ahead of the walk.
    #[arg(long)]
    no_prefetch: bool,
    /// Also parse each head with httparse, 64 headers at most.
    #[arg(long, conflicts_with = "walk_only")]
    httparse: bool,
    /// And each user agent with woothee, once for each text.
    #[arg(long, conflicts_with = "walk_only")]
    agents: bool,
    /// Read the record headers only.
    #[arg(long)]
    walk_only: bool,
    /// Core to run on [default: the one it starts on].
    #[arg(long)]
    core: Option<usize>,
}

/// Nanoseconds per packet of one pass.
struct Pass {
    user: f64,
    system: f64,
    wall: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let depth = match &options {
        Options { walk_only: true, .. } => Depth::Walk,
        Options { agents: true, .. } => Depth::Agents,
        Options { httparse: true, .. } => Depth::Parse,
        _ => Depth::Find,
    };
    let core = pin(options.core)?;
    let file = floor::map(&options.file)
        .map_err(|error| format!("{}: {error}", options.file.display()))?;
    let mut out = io::stdout().lock();
    let mut passes = Vec::new();
    for number in 1..=options.repeat {
        let (cpu, clock) = (CpuTime::of_this_process()?, Instant::now());
        let counts = floor::pass(&file, depth, !options.no_prefetch)?;
        let (wall, cpu) = (clock.elapsed(), CpuTime::of_this_process()?.since(cpu));
        if number == 1 {
            writeln!(
                out,
                "{} packets, {} bytes, {} TCP payloads, {} heads ({} requests, {} responses), \
                 {} complete; core {core}",
                counts.packets,
                counts.bytes,
                counts.payloads,
                counts.heads(),
                counts.requests,
                counts.responses,
                counts.complete,
            )?;
        }
        let pass = Pass {
            user: nanos_per(cpu.user, counts.packets),
            system: nanos_per(cpu.system, counts.packets),
            wall: nanos_per(wall, counts.packets),
        };
        report(&mut out, &format!("pass {number}"), &pass)?;
        passes.push(pass);
    }
    let of = |part: fn(&Pass) -> f64| median(passes.iter().map(part));
    let middle = Pass { user: of(|p| p.user), system: of(|p| p.system), wall: of(|p| p.wall) };
    report(&mut out, "median", &middle)?;
    Ok(())
}

fn report(out: &mut impl Write, name: &str, pass: &Pass) -> io::Result<()> {
    let Pass { user, system, wall } = pass;
    writeln!(out, "{name}: user {user:.1} ns/packet, system {system:.1}, wall {wall:.1}")
}
