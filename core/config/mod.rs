//! Reads the TOML that declares the whole chain.
//!
//! What the user typed and what runs are two types: the tree that `toml` gives is checked once,
//! key by key, into [`Config`], which cannot be wrong. Nothing after this module asks whether a
//! live capture has an interface or a core list is long enough.
//!
//! The engine's own keys are read by hand from the tree with its spans and not through serde
//! derives: a derive marks the value of an unknown key and not the key, and says "invalid type:
//! string, expected usize" where an operator needs "must be a whole number from 1 to 1024; this is
//! text". The options of a stage belong to the stage, which does read them with serde; they are
//! handed on as TOML text, and what the stage says about them comes back through
//! [`Document::stage_error`] to look the same.

mod check;
mod cores;
mod diagnostic;
mod document;
mod load;
mod options;
mod reader;
mod status;
mod suggest;
mod syntax;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use check::parse;
pub use cores::CoreSet;
pub use diagnostic::ConfigError;
pub use document::{Document, Place};
pub use load::load;
use ringmill_sdk::key::Epoch;
pub use status::Status;

/// The most workers that one engine runs.
pub const MOST_WORKERS: usize = 1024;

/// A whole config, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[engine]`
    pub engine: Engine,
    /// `[capture]`
    pub capture: Capture,
    /// `[status]`; none if there is to be no status page.
    pub status: Option<Status>,
    /// Every `[[stage]]`, in order; at least one.
    pub stages: Vec<Plugged>,
    /// Every `[[sink]]`, in order; at least one.
    pub sinks: Vec<SinkEntry>,
    /// Whether addresses that no stage anonymized may reach a sink.
    pub allow_identifiable: bool,
    /// What was typed, for errors that are found later.
    pub document: Document,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// How many workers run the chain; 1 to [`MOST_WORKERS`], default 1.
    pub workers: usize,
    /// The cores that the workers are pinned to, at least one for each; default: not pinned.
    pub cores: Option<CoreSet>,
    /// Packets in a batch; 1 to 256, default 256.
    pub batch: usize,
    /// Where the ledger is written as JSON at the end, relative to the current directory.
    pub ledger: Option<PathBuf>,
    /// Where spill logs and dead letters go, in a directory for each sink; relative to the
    /// current directory. There if a sink says `when_full = "spill"`.
    pub spill: Option<PathBuf>,
    /// What every row says of the machine that recorded it, at most 255 bytes; default: nothing.
    pub sensor: Option<String>,
    /// How often keys change; default: never.
    pub epoch: Option<Epoch>,
    /// How long a worker may be in one stage before it counts as stuck; 1 to 3600 s, default 10 s.
    pub stuck_after: Duration,
    /// Whom the engine becomes when root starts it; default: it stays root.
    pub user: Option<String>,
    /// Whether files and system calls are guarded; default: for live capture.
    pub sandbox: Option<bool>,
    /// Folders that plugins may write to besides those that their options name.
    pub writable: Vec<PathBuf>,
}

/// `[capture]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The back ends in order of preference; at least one, each once, `file` only as the last.
    pub from: Vec<Backend>,
    /// Files and globs as they were typed, `-` for standard input; relative to the current
    /// directory. Not empty if `from` names [`Backend::File`], and empty otherwise.
    pub files: Vec<String>,
    /// There if `from` names a live back end, and only then.
    pub live: Option<Live>,
    /// A filter in tcpdump syntax, not yet compiled.
    pub filter: Option<String>,
    /// How many bytes of a packet are looked at; 64 to 262144, default 262144: all of any packet.
    pub snaplen: u32,
}

/// What `[capture]` says about live capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// At least one, each once.
    pub interfaces: Vec<String>,
    /// The id of the PF_RING cluster or of the fanout group, 1 to 65535.
    pub cluster: Option<u16>,
    /// How packets are dealt to the workers; default: by flow.
    pub balance: Balance,
    /// Whether packets for other machines are taken, too; default: yes.
    pub promiscuous: bool,
    /// Which way the packets go that are taken; default: those that come in.
    pub direction: Direction,
    /// Which clock stamps the packets; default: the system's.
    pub clock: Clock,
    /// Mebibytes of one ring; 1 to 4096, default 64.
    pub ring_mib: usize,
    /// Milliseconds after which the kernel hands over a block of packets that is not full; 1 to
    /// 1000, default 10.
    pub block_timeout_ms: u32,
    /// Milliseconds that a packet of one interface waits at most for older ones of another; 0 to
    /// 10000, default 50.
    pub window_ms: u32,
}

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// PF_RING, if its module and library are there.
    PfRing,
    /// A mapped packet socket; on every Linux.
    AfPacket,
    /// An XDP socket on each queue.
    AfXdp,
    /// Capture files.
    File,
}

/// How packets are dealt to the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Both directions of a connection reach the same worker.
    #[default]
    Flow,
    /// One after the other; for chains that look at single packets only.
    RoundRobin,
}

/// Which way the packets go that are taken from an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Those that come in.
    #[default]
    Receive,
    /// Also those that this machine sends.
    Both,
}

/// Which clock stamps the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The system's, when the kernel gets the packet.
    #[default]
    System,
    /// The network card's, where it has one that stamps every packet.
    Hardware,
}

/// A stage or a sink with its options.
#[derive(Clone, Debug)]
pub struct Plugged {
    /// The value of `use`.
    pub name: String,
    /// The shared object it comes from, relative to the current directory; none if built in.
    pub plugin: Option<PathBuf>,
    /// Its own part of the table as TOML text, without the keys that are for the engine.
    pub options: String,
    /// What becomes of the chain when it fails; of a sink always [`OnError::Stop`], which says
    /// nothing there.
    pub on_error: OnError,
    /// Which table it was, to be given to [`Document`] with what is wrong.
    pub place: Place,
}

/// What becomes of the chain when a stage fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The run ends.
    #[default]
    Stop,
    /// The worker goes on without the stage.
    Bypass,
}

impl OnError {
    /// Both under their names in the config.
    pub const ALL: [(&'static str, Self); 2] = [("stop", Self::Stop), ("bypass", Self::Bypass)];
}

/// `[[sink]]`
#[derive(Clone, Debug)]
pub struct SinkEntry {
    /// The sink itself.
    pub plugged: Plugged,
    /// How many batches wait for the sink at most; 1 to 65536, default 64.
    pub queue: usize,
    /// What to do when they are that many; none if the config leaves it to the engine.
    pub when_full: Option<WhenFull>,
    /// Mebibytes of its spill log at most, and of its dead letters; 1 to 1048576, default 4096.
    pub spill_mib: u64,
    /// When they are that many: drops the oldest rows, the default, or the newest.
    pub spill_drops_oldest: bool,
    /// Failures in a row after which it counts as away; 1 to 1000, default 3.
    pub retries: u32,
    /// Seconds between two tries at most; 1 to 3600, default 30.
    pub retry_seconds: u64,
    /// Seconds that the end of the run waits for a store that takes nothing; 1 to 3600, default
    /// 10.
    pub drain_seconds: u64,
}

/// What happens to a batch that finds the queue of a sink full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The worker waits.
    Block,
    /// The batch is dropped and its rows are counted.
    Drop,
    /// It never is: what the sink cannot take goes to disk, and to the sink when it can.
    Spill,
}

impl WhenFull {
    /// Every choice under its name in the config.
    pub const ALL: [(&'static str, Self); 3] =
        [("block", Self::Block), ("drop", Self::Drop), ("spill", Self::Spill)];
}

impl Backend {
    /// Every back end under its name in the config.
    pub const ALL: [(&'static str, Self); 4] = [
        ("pf_ring", Self::PfRing),
        ("af_packet", Self::AfPacket),
        ("af_xdp", Self::AfXdp),
        ("file", Self::File),
    ];

    /// The name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::PfRing => "pf_ring",
            Self::AfPacket => "af_packet",
            Self::AfXdp => "af_xdp",
            Self::File => "file",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Config {
    /// Puts capture files in the place of whatever `[capture]` says (`--read`). The filter and the
    /// snaplen stay.
    pub fn with_files(mut self, files: Vec<String>) -> Self {
        self.capture = Capture { from: vec![Backend::File], files, live: None, ..self.capture };
        self
    }

    /// Puts another number in the place of `workers` (`--workers`).
    ///
    /// # Errors
    ///
    /// If the number is out of range, or `cores` is too short for it.
    pub fn with_workers(mut self, workers: usize) -> Result<Self, ConfigError> {
        if !(1..=MOST_WORKERS).contains(&workers) {
            return Err(ConfigError::of_arguments(format!(
                "`--workers` must be a whole number from 1 to {MOST_WORKERS}; this is {workers}"
            )));
        }
        if let Some(cores) = self.engine.cores.as_ref().filter(|cores| cores.len() < workers) {
            let message = check::too_few_cores(cores, workers, "`--workers` asks for");
            return Err(self.document.at_key(&Place::ENGINE, "cores", &message));
        }
        self.engine.workers = workers;
        Ok(self)
    }
}
