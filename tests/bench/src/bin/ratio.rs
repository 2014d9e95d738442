//! Compares the CPU cost of two commands: `ratio --a 'CMD' --b 'CMD' --runs N`.
//!
//! The commands run in turn, A B A B, so that what else the machine does falls on both. The
//! ratio is taken within each pair and its median reported, because a slow spell then
//! spoils one pair and not the result.

use std::error::Error;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use ringmill_bench::cpu::{CpuTime, median, nanos_per, pin};

/// Runs two commands in turn and compares their user and system CPU time, whole processes.
///
/// A command is split into words as a shell would, then started without one.
#[derive(Parser)]
struct Options {
    /// First command, the base of the ratio.
    #[arg(long)]
    a: String,
    /// Second command.
    #[arg(long)]
    b: String,
    /// Measured runs of each command.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Runs of each command before the measured ones, to fill the page cache.
    #[arg(long, default_value_t = 1)]
    warmup: u32,
    /// Also print nanoseconds per packet, for captures of this many packets.
    #[arg(long)]
    packets: Option<u64>,
    /// Pin both commands to this core [default: not pinned].
    #[arg(long)]
    core: Option<usize>,
    /// Let the commands write to this program's output [default: discarded].
    #[arg(long)]
    show: bool,
}

/// Cost of one run.
#[derive(Clone, Copy)]
struct Run {
    cpu: CpuTime,
    wall: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let (a, b) = (words(&options.a)?, words(&options.b)?);
    if let Some(core) = options.core {
        pin(Some(core))?;
    }
    for _ in 0..options.warmup {
        run(&a, options.show)?;
        run(&b, options.show)?;
    }
    let mut pairs = Vec::new();
    for _ in 0..options.runs {
        pairs.push((run(&a, options.show)?, run(&b, options.show)?));
    }
    let mut out = io::stdout().lock();
    report(&mut out, 'A', &options.a, pairs.iter().map(|pair| pair.0), options.packets)?;
    report(&mut out, 'B', &options.b, pairs.iter().map(|pair| pair.1), options.packets)?;
    let ratio = |part: fn(&Run) -> Duration| {
        let ratios = pairs.iter().map(|(a, b)| part(b).as_secs_f64() / part(a).as_secs_f64());
        spread(ratios, 1.0, 3)
    };
    writeln!(out, "B/A CPU {}", ratio(|run| run.cpu.total()))?;
    writeln!(out, "B/A wall {}", ratio(|run| run.wall))?;
    Ok(())
}

fn words(command: &str) -> Result<Vec<String>, String> {
    shlex::split(command)
        .filter(|words| !words.is_empty())
        .ok_or_else(|| format!("`{command}` is no command: it is empty or a quote is open"))
}

fn run(words: &[String], show: bool) -> Result<Run, Box<dyn Error>> {
    let output = || if show { Stdio::inherit() } else { Stdio::null() };
    let (before, clock) = (CpuTime::of_children()?, Instant::now());
    let status = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(output())
        .status()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    let run = Run { wall: clock.elapsed(), cpu: CpuTime::of_children()?.since(before) };
    if status.success() { Ok(run) } else { Err(format!("{}: {status}", words.join(" ")).into()) }
}

fn report(
    out: &mut impl Write,
    name: char,
    command: &str,
    runs: impl Iterator<Item = Run> + Clone,
    packets: Option<u64>,
) -> io::Result<()> {
    let of = |part: fn(Run) -> Duration| runs.clone().map(move |run| part(run).as_secs_f64());
    writeln!(out, "{name}: {command}")?;
    writeln!(out, "  CPU ms {}", spread(of(|run| run.cpu.total()), 1e3, 2))?;
    writeln!(out, "  user ms {}", spread(of(|run| run.cpu.user), 1e3, 2))?;
    writeln!(out, "  wall ms {}", spread(of(|run| run.wall), 1e3, 2))?;
    if let Some(packets) = packets {
        let nanos = runs.map(|run| nanos_per(run.cpu.total(), packets));
        writeln!(out, "  CPU ns/packet {}", spread(nanos, 1.0, 1))?;
    }
    Ok(())
}

/// "median M min L max H", each times `scale`.
fn spread(values: impl Iterator<Item = f64>, scale: f64, digits: usize) -> String {
    let values: Vec<f64> = values.map(|value| value * scale).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values);
    format!("median {middle:.digits$} min {low:.digits$} max {high:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("true", Some(&["true"])),
            ("sh -c 'exit 0; x'", Some(&["sh", "-c", "exit 0; x"])),
            ("", None),
            ("sh -c 'open", None),
        ];
        for (command, expected) in cases {
            let got = words(command).ok();
            let expected = expected.map(|w| w.iter().map(ToString::to_string).collect());
            assert_eq!(got, expected, "{command}");
        }
    }

    #[test]
    fn cost_is_the_childs_and_failure_is_an_error() {
        let busy = words("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'");
        let cost = run(&busy.expect("a good command"), false).expect("sh counts");
        assert!(cost.cpu.total() > Duration::from_millis(1), "{:?}", cost.cpu);
        assert!(run(&["false".into()], false).is_err());
        assert!(run(&["/no/such/program".into()], false).is_err());
    }

    #[test]
    fn spread_names_the_middle_and_the_ends() {
        let text = spread([0.002, 0.001, 0.004].into_iter(), 1e3, 1);
        assert_eq!(text, "median 2.0 min 1.0 max 4.0");
    }
}
