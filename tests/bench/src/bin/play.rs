//! Sends a capture: `play INTERFACE CAPTURE.pcap [--pps N] [--loop N] [--seconds S]`.
//!
//! Prints what the kernel took as one line of JSON. To be run where nothing but the test listens,
//! such as one end of a veth pair in a network namespace of its own.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ringmill_bench::play::{Plan, frames, play};

/// Sends the frames of a pcap file on an interface and counts those that the kernel took.
#[derive(Parser)]
struct Options {
    interface: String,
    /// A pcap file of Ethernet frames.
    capture: PathBuf,
    /// Packets in a second; as fast as the kernel takes them if not said.
    #[arg(long)]
    pps: Option<u64>,
    /// How many times the capture is sent; with --seconds, until then.
    #[arg(long = "loop")]
    rounds: Option<u64>,
    /// Ends after this time.
    #[arg(long)]
    seconds: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let limit = options.seconds.map(Duration::try_from_secs_f64).transpose()?;
    let rounds = options.rounds.unwrap_or(if limit.is_some() { u64::MAX } else { 1 });
    let said = |error| format!("{}: {error}", options.capture.display());
    let file = ringmill_bench::floor::map(&options.capture).map_err(said)?;
    let frames = frames(&file).map_err(said)?;
    if frames.is_empty() {
        return Err(said(io::ErrorKind::UnexpectedEof.into()).into());
    }
    let plan = Plan { rounds, pps: options.pps, limit };
    let sent = play(&options.interface, &frames, plan)
        .map_err(|error| format!("{}: {error}", options.interface))?;
    writeln!(io::stdout(), "{sent}")?;
    Ok(())
}
