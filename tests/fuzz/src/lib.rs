//! What must hold for any bytes: one module for each fuzz target, with its input format, its
//! claims and its seeds.
//!
//! The README beside says how to run them. A claim is an assertion in a `run` function; libFuzzer
//! looks for bytes that break it, AddressSanitizer watches the memory, and overflows of
//! arithmetic panic, which they do not in a release build of the engine.
//!
//! Seeds are made when they are needed, from the captures in `tests/captures`, by the same
//! binary that fuzzes: [`seed`].

#![forbid(unsafe_code)]

pub mod bytes;
pub mod chain;
pub mod decode;
pub mod http;
pub mod readers;
pub mod reassembly;
pub mod seeds;
pub mod spill;

/// The readers of the engine, without the engine: they need nothing of it, and to build Arrow,
/// Parquet and zstd with a sanitizer for them would take minutes.
#[path = "../../../core/capture"]
mod capture {
    pub mod format;
    pub mod pcap;
    pub mod pcapng;
    #[allow(dead_code, reason = "more can be built than the seeds need")]
    #[path = "format/samples.rs"]
    pub mod samples;
}

/// The frames of the spill log, which know nothing of what they hold.
#[path = "../../../core/sinks/spill/frame.rs"]
mod frame;

pub use seeds::seed;
