//! The kit for authors: packets from a line of text and [`wrap`]pers around them, a stage run over them, rows as text, and
//! the rules that every stage obeys.
//!
//! Everything is deterministic: times start at [`START`], keys follow from their labels. What
//! the kit is given is trusted, so wrong use panics with a sentence; it never belongs outside
//! tests and benches.
//!
//! ```
//! use ringmill_sdk::{prelude::*, testing::{Frame, check_rules, run}};
//!
//! struct Count { seen: Counter }
//!
//! impl Stage for Count {
//!     const NAME: &'static str = "count";
//!     type Config = NoOptions;
//!     fn new(_: Self::Config, host: &Host) -> Result<Self> {
//!         Ok(Self { seen: host.counter("seen") })
//!     }
//!     fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
//!         self.seen.add(batch.live().count() as u64);
//!         Ok(())
//!     }
//! }
//!
//! let frames = [Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload("GET / HTTP/1.1\r\n\r\n").build()];
//! assert_eq!(run::<Count>("", &frames)?.counters["seen"], 1);
//! check_rules::<Count>("", &frames);
//! # Ok::<(), Error>(())
//! ```

mod decoded;
mod frame;
mod host;
mod rows;
mod rules;
mod run;
#[cfg(test)]
mod tests;
pub mod wrap;

pub use decoded::decoded;
pub use frame::{Frame, tcp, udp};
pub use host::TestHost;
pub use rows::{Row, records, rows};
pub use rules::check_rules;
pub use run::{Ran, START, Trial, frame_time, run, run_raw, run_records, run_sink};
