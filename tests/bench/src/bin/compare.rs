//! Runs the engine and its peers in turn on the same captures and prints tables of their cost.
//!
//! Every round runs each program once, A B C A B C, so that a slow spell of the machine falls on
//! all; a ratio is taken within its round, and the median of the rounds is told. What a program
//! found is counted, so that one which is fast because it looks at less shows it.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use ringmill_bench::compare::{
    Capture, PROGRAMS, Places, Program, Run, Runs, WORKLOADS,
    live::{self, Received},
    measure,
};
use ringmill_bench::cpu::{median, nanos_per};
use ringmill_bench::workload::Mix;

/// Measures the engine beside its peers, CPU time of whole processes.
#[derive(Parser)]
struct Options {
    /// Where captures are generated and programs write; where the program `seed` is.
    #[arg(long, default_value = "target/compare")]
    folder: PathBuf,
    /// The engine.
    #[arg(long, default_value = "target/release/engine")]
    engine: PathBuf,
    /// The hand-written floor.
    #[arg(long, default_value = "target/release/floor")]
    floor: PathBuf,
    /// Rounds, of which medians are told.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these workloads; `live` is the campus one, received on an interface.
    #[arg(long)]
    only: Vec<String>,
    /// Packets a second that are sent to an interface.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    pps: u64,
    /// Megabytes of the `campus` capture; the others are smaller in proportion.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { folder, engine, floor, rounds, only, size, pps } = Options::parse();
    fs::create_dir_all(&folder)?;
    let places = Places { folder, engine, floor };
    let mut out = io::stdout().lock();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    for (name, mix, share) in WORKLOADS {
        if !wanted(name) {
            continue;
        }
        let capture = Capture::make(name, *mix, size * share * 1000, &places.folder)?;
        let mut left_out = Vec::new();
        let runs = measure(&capture, &places, rounds, |program, why| {
            left_out.push(format!("left out: {}, {why}", program.name));
        })?;
        table(&mut out, &capture, &runs)?;
        for line in left_out {
            writeln!(out, "{line}")?;
        }
        writeln!(out)?;
    }
    if wanted("live") {
        let capture = Capture::make("campus", Mix::Campus, size * 1_000_000, &places.folder)?;
        match live::measure(&capture, &places, rounds, pps) {
            Ok(received) => live_table(&mut out, pps, &received)?,
            Err(why) => writeln!(out, "left out: live, {why}")?,
        }
    }
    Ok(())
}

fn live_table(out: &mut impl Write, pps: u64, received: &[Received]) -> io::Result<()> {
    writeln!(out, "live: the campus capture over a veth pair, {pps} packets a second\n")?;
    writeln!(out, "| receiver | CPU ns a packet | in bare readers | wanted | sent | received |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (at, Received { name, nanos, ratio, packets, sent }) in received.iter().enumerate() {
        let verdict = if *ratio <= live::WANTED { "met" } else { "missed" };
        let wanted = if at > 0 { format!("{}, {verdict}", live::WANTED) } else { String::new() };
        writeln!(out, "| {name} | {nanos:.1} | {ratio:.2} | {wanted} | {sent} | {packets} |")?;
    }
    writeln!(out)
}

fn table(out: &mut impl Write, capture: &Capture, runs: &Runs) -> io::Result<()> {
    let Capture { name, packets, heads, .. } = capture;
    writeln!(out, "{name}: {packets} packets, {heads} heads\n")?;
    writeln!(
        out,
        "| program | CPU ns a packet | in engines | wanted | wall | heads found | does |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let Some(engine) = runs.get(PROGRAMS[0].name) else {
        return writeln!(out, "the engine itself failed");
    };
    for program in PROGRAMS {
        let Some(of) = runs.get(program.name) else { continue };
        let nanos = median(of.iter().map(|run| nanos_per(run.cpu, *packets)));
        let against = |part: fn(&Run) -> f64| {
            median(of.iter().zip(engine).map(|(run, engine)| part(run) / part(engine)))
        };
        let ratio = against(|run| run.cpu.as_secs_f64());
        let wall = against(|run| run.wall.as_secs_f64());
        let found = of.first().and_then(|run| run.heads);
        let found = found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        writeln!(
            out,
            "| {} | {nanos:.1} | {ratio:.2} | {} | {wall:.2} | {found} | {} |",
            program.name,
            wanted(program, name, ratio),
            program.does
        )?;
    }
    Ok(())
}

/// The target, and whether it is met.
fn wanted(program: &Program, workload: &str, ratio: f64) -> String {
    let target = program.targets.iter().find(|(of, _)| *of == workload);
    target.map_or_else(String::new, |(_, target)| {
        let verdict = if ratio >= *target { "met" } else { "missed" };
        format!("{target}, {verdict}")
    })
}
