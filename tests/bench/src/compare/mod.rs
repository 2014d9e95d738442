//! Runs programs in turn on the same capture and takes their CPU time.

pub mod live;
mod programs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cpu::CpuTime;
use crate::workload::{Limit, Mix, generate};

pub use self::programs::{PROGRAMS, Program, Targets};

/// A generated capture.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The mix.
    pub name: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// Heads in it.
    pub heads: u64,
}

/// What is compared on: a name, the mix, and the bytes for each byte of `campus`, in thousandths.
pub const WORKLOADS: &[(&str, Mix, u64)] =
    &[("campus", Mix::Campus, 1000), ("heavy", Mix::Heavy, 300), ("min64", Mix::Min64, 380)];

impl Capture {
    /// Makes it, unless it is there from the last time.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make(name: &'static str, mix: Mix, bytes: u64, folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{name}-{bytes}.pcap"));
        let summary = path.with_extension("summary");
        let known = fs::read_to_string(&summary).ok();
        let mut numbers = known.iter().flat_map(|text| text.split_whitespace());
        let mut number = || numbers.next().and_then(|text| text.parse().ok());
        if let (Some(packets), Some(heads), true) = (number(), number(), path.exists()) {
            return Ok(Self { name, path, packets, heads });
        }
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let made = generate(mix, Limit::Bytes(bytes), 1, &mut out)?;
        out.flush()?;
        let (packets, heads) = (made.packets, made.requests + made.responses);
        fs::write(summary, format!("{packets} {heads}\n"))?;
        Ok(Self { name, path, packets, heads })
    }
}

/// Where the programs are and write.
#[derive(Clone, Debug)]
pub struct Places {
    /// For what is written, and the program `seed`.
    pub folder: PathBuf,
    /// The engine.
    pub engine: PathBuf,
    /// The hand-written floor.
    pub floor: PathBuf,
}

/// What a run cost and found.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// User and system time of the whole process.
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
    /// Heads that it found; none where it does not tell.
    pub heads: Option<u64>,
}

/// The runs of each program, in the order of the rounds.
pub type Runs = BTreeMap<&'static str, Vec<Run>>;

/// Runs every program once, or `rounds` times, in turn. `missing` is told of those that are not
/// there, and of those that fail.
///
/// # Errors
/// What the disk says.
pub fn measure(
    capture: &Capture,
    places: &Places,
    rounds: u32,
    mut missing: impl FnMut(&Program, &str),
) -> io::Result<Runs> {
    let mut runs = Runs::new();
    // The first of all pays for the page cache, and does not count.
    fs::read(&capture.path)?;
    for round in 0..rounds {
        for program in PROGRAMS {
            let gone = round > 0 && !runs.contains_key(program.name);
            if gone || (program.once && round > 0) || !program.is_for(capture.name) {
                continue;
            }
            match program.run(capture, places) {
                Ok(run) => runs.entry(program.name).or_default().push(run),
                Err(error) => missing(program, &error.to_string()),
            }
        }
    }
    Ok(runs)
}

impl Program {
    /// Whether it is run on that workload.
    #[must_use]
    pub fn is_for(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.contains(&workload)
    }

    fn run(&self, capture: &Capture, places: &Places) -> io::Result<Run> {
        let out = places.folder.join("out");
        match fs::remove_dir_all(&out) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&out)?,
        }
        let words = (self.command)(capture, places, &out)?;
        let told = out.join("stdout");
        let (before, clock) = (CpuTime::of_children()?, Instant::now());
        let status = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(File::create(&told)?)
            .stderr(File::create(out.join("stderr"))?)
            .status()?;
        let (wall, cpu) = (clock.elapsed(), CpuTime::of_children()?.since(before).total());
        if !status.success() {
            let stderr = fs::read_to_string(out.join("stderr"))?;
            let last = stderr.lines().last().unwrap_or_default();
            return Err(io::Error::other(format!("{status}: {last}")));
        }
        let heads = (self.heads)(&fs::read_to_string(told)?, &out);
        Ok(Run { cpu, wall, heads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_made_once_and_known_again() {
        let folder = std::env::temp_dir().join(format!("compare-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let made = Capture::make("heavy", Mix::Heavy, 100_000, &folder).expect("made");
        let changed = fs::metadata(&made.path).and_then(|it| it.modified()).expect("it is there");
        let known = Capture::make("heavy", Mix::Heavy, 100_000, &folder).expect("known");
        assert!(made.packets > 50 && made.heads > 20, "{made:?}");
        assert_eq!((known.packets, known.heads), (made.packets, made.heads));
        let again = fs::metadata(&known.path).and_then(|it| it.modified()).expect("it is there");
        assert_eq!(changed, again);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let program =
            Program { command: |_, _, _| Ok(vec!["/no/such/program".to_owned()]), ..PROGRAMS[0] };
        let folder = std::env::temp_dir().join(format!("compare-none-{}", std::process::id()));
        let (engine, floor) = (PathBuf::new(), PathBuf::new());
        let places = Places { folder: folder.clone(), engine, floor };
        let capture = Capture { name: "campus", path: PathBuf::new(), packets: 0, heads: 0 };
        let error = program.run(&capture, &places).expect_err("it is not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        fs::remove_dir_all(folder).expect("removed");
    }
}
