//! The programs that are compared, each with its command and how it tells what it found.

use std::fs;
use std::io;
use std::path::Path;

use super::{Capture, Places};

/// A program with the work that it is given.
#[derive(Clone, Copy)]
pub struct Program {
    /// As the table calls it.
    pub name: &'static str,
    /// What it does of the job.
    pub does: &'static str,
    /// The workloads that it is run on; all where none is named.
    pub workloads: &'static [&'static str],
    /// It is slow: one run is enough.
    pub once: bool,
    /// What the engine is to reach against it.
    pub targets: Targets,
    pub(super) command: fn(&Capture, &Places, &Path) -> io::Result<Vec<String>>,
    /// From its standard output and the folder that it wrote into.
    pub(super) heads: fn(&str, &Path) -> Option<u64>,
}

/// A workload, and how many times the engine's time a program's is to be at least.
pub type Targets = &'static [(&'static str, f64)];

const ENGINE: Program = Program {
    name: "engine",
    does: "the whole chain, `redact` included, to Parquet",
    workloads: &[],
    once: false,
    targets: &[],
    command: |capture, places, out| engine(capture, places, out, &Chain::WHOLE),
    heads: ledger,
};

const FLOOR: Program = Program {
    name: "floor, with heads",
    does: "by hand: finds heads, httparse, user agents through a cache; no output",
    workloads: &[],
    once: false,
    targets: &[],
    command: |capture, places, _| Ok(words(&[&places.floor, Path::new("--agents"), &capture.path])),
    heads: |stdout, _| number_before(stdout, " heads"),
};

/// The engine first; all ratios are against it.
pub const PROGRAMS: &[Program] = &[
    ENGINE,
    Program {
        name: "engine, 2 workers",
        does: "the same",
        command: |capture, places, out| {
            engine(capture, places, out, &Chain { workers: 2, ..Chain::WHOLE })
        },
        ..ENGINE
    },
    Program {
        name: "engine, without redact",
        does: "the whole chain but `redact`",
        command: |capture, places, out| {
            engine(capture, places, out, &Chain { redact: false, ..Chain::WHOLE })
        },
        ..ENGINE
    },
    Program {
        name: "engine, without reassembly",
        does: "heads that one segment holds",
        command: |capture, places, out| {
            engine(capture, places, out, &Chain { reassemble: false, ..Chain::WHOLE })
        },
        ..ENGINE
    },
    Program {
        name: "engine, rows discarded",
        does: "the whole chain but `redact`, no store behind it",
        command: |capture, places, out| {
            engine(capture, places, out, &Chain { redact: false, store: false, ..Chain::WHOLE })
        },
        ..ENGINE
    },
    Program {
        name: "the same, 2 workers",
        does: "so that no thread of a store wants a core as well",
        command: |capture, places, out| {
            let chain = Chain { redact: false, store: false, workers: 2, ..Chain::WHOLE };
            engine(capture, places, out, &chain)
        },
        ..ENGINE
    },
    Program {
        name: "floor",
        does: "by hand: finds heads; no output",
        command: |capture, places, _| Ok(words(&[&places.floor, &capture.path])),
        ..FLOOR
    },
    FLOOR,
    Program {
        name: "seed's design",
        does: "gopacket, one goroutine, JSON; no reassembly, no anonymization",
        workloads: &[],
        once: false,
        targets: &[("campus", 10.0), ("heavy", 8.0)],
        command: |capture, places, out| {
            Ok(words(&[&places.folder.join("seed"), &capture.path, &out.join("json")]))
        },
        heads: |stdout, _| number_before(stdout, " heads"),
    },
    Program {
        name: "httpry",
        does: "text; no reassembly, no VLAN, no user agent, no anonymization",
        workloads: &[],
        once: false,
        targets: &[("campus", 3.0), ("heavy", 2.5)],
        command: |capture, _, out| {
            let (read, write) = (Path::new("-r"), Path::new("-o"));
            let quiet = Path::new("-q");
            let file = out.join("text");
            Ok(words(&[
                Path::new("httpry"),
                quiet,
                read,
                &capture.path,
                write,
                &file,
                Path::new("tcp"),
            ]))
        },
        heads: |_, out| lines(&fs::read_to_string(out.join("text")).ok()?, |l| !l.starts_with('#')),
    },
    Program {
        name: "ngrep",
        does: "payloads that begin like a head, as text; no VLAN",
        workloads: &["campus", "heavy"],
        once: false,
        targets: &[],
        command: |capture, _, _| {
            let pattern = "^(GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS|HTTP)";
            let path = capture.path.display().to_string();
            Ok(["ngrep", "-I", &path, "-q", "-W", "single", pattern, "tcp"]
                .map(str::to_owned)
                .to_vec())
        },
        heads: |stdout, _| lines(stdout, |line| line.starts_with("T ")),
    },
    Program {
        name: "tshark",
        does: "dissects all; two fields of each head as text",
        workloads: &["campus", "heavy"],
        once: true,
        targets: &[],
        command: |capture, _, _| {
            let path = capture.path.display().to_string();
            let heads = "http.request or http.response";
            let line = ["tshark", "-n", "-r", &path, "-Y", heads, "-T", "fields"];
            let fields = ["-e", "http.request.line", "-e", "http.response.line"];
            Ok(line.iter().chain(&fields).map(|word| (*word).to_owned()).collect())
        },
        heads: |stdout, _| lines(stdout, |_| true),
    },
    Program {
        name: "ndpiReader",
        does: "flows only",
        workloads: &["campus", "heavy"],
        once: true,
        targets: &[],
        command: |capture, _, _| {
            let path = capture.path.display().to_string();
            Ok(["ndpiReader", "-q", "-i", &path].map(str::to_owned).to_vec())
        },
        heads: |_, _| None,
    },
];

/// What of the chain the engine runs.
struct Chain {
    workers: usize,
    reassemble: bool,
    redact: bool,
    /// Rows go to Parquet.
    store: bool,
}

impl Chain {
    const WHOLE: Self = Self { workers: 1, reassemble: true, redact: true, store: true };
}

fn engine(
    capture: &Capture,
    places: &Places,
    out: &Path,
    chain: &Chain,
) -> io::Result<Vec<String>> {
    let source = format!("from = \"file\"\nfiles = [{:?}]", capture.path);
    reading(&source, places, out, chain)
}

/// The engine with one worker on a live interface, with a ring of so many mebibytes.
pub(super) fn live(
    places: &Places,
    out: &Path,
    interface: &str,
    ring: u32,
    redact: bool,
) -> io::Result<Vec<String>> {
    let source = format!("from = \"af_packet\"\ninterface = {interface:?}\nring_mib = {ring}");
    reading(&source, places, out, &Chain { redact, ..Chain::WHOLE })
}

fn reading(source: &str, places: &Places, out: &Path, chain: &Chain) -> io::Result<Vec<String>> {
    let Chain { workers, reassemble, redact, store } = chain;
    let parquet = format!("use = \"parquet\"\ndirectory = {:?}", out.join("parquet"));
    let store = if *store { &parquet } else { "use = \"discard\"" };
    let config = format!(
        "allow_identifiable = {}\n\
         [engine]\nworkers = {workers}\nledger = {:?}\n\
         [capture]\n{source}\n\
         [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
         [[stage]]\nuse = \"http\"\nreassemble = {reassemble}\n\
         [[stage]]\nuse = \"user_agent\"\n{}\
         [[stage]]\nuse = \"crypto_pan\"\nkey = \"ephemeral\"\n\
         [[sink]]\n{store}\n",
        !redact,
        out.join("ledger.json"),
        if *redact { "[[stage]]\nuse = \"redact\"\n" } else { "" },
    );
    let path = out.join("engine.toml");
    fs::write(&path, config)?;
    Ok(words(&[&places.engine, Path::new("--config"), &path, Path::new("--quiet")]))
}

/// The rows in the engine's ledger.
fn ledger(_: &str, out: &Path) -> Option<u64> {
    let text = fs::read_to_string(out.join("ledger.json")).ok()?;
    let ledger: serde_json::Value = serde_json::from_str(&text).ok()?;
    ledger.get("rows")?.as_u64()
}

fn words(paths: &[&Path]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The number that stands before the first such word.
pub(super) fn number_before(text: &str, word: &str) -> Option<u64> {
    let before = &text[..text.find(word)?];
    let digits = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    before[digits..].parse().ok()
}

#[expect(clippy::unnecessary_wraps, reason = "a program's heads may be unknown")]
fn lines(text: &str, wanted: impl Fn(&str) -> bool) -> Option<u64> {
    Some(text.lines().filter(|line| !line.is_empty() && wanted(line)).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_tells_is_read() {
        let floor = "114099 packets, 65089 TCP payloads, 3528 heads (1727 requests)";
        assert_eq!(number_before(floor, " heads"), Some(3528));
        assert_eq!(number_before("7 heads", " heads"), Some(7));
        assert_eq!(number_before("none", " heads"), None);
        assert_eq!(number_before("heads", "heads"), None);
        assert_eq!(lines("# x\na\n\nb\n", |line| !line.starts_with('#')), Some(2));
    }
}
