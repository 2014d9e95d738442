//! The status page, its data and the metrics, asked for while the engine runs: by a real browser,
//! by the parser of Prometheus' own client library, and by whoever means ill.
//!
//! Longer and measuring: `RINGMILL_REQUESTS=1000000 cargo test --release --test status hostile`,
//! `RINGMILL_PAIRS=10 cargo test --release --test status polling`. `RINGMILL_SHOTS=DIR` keeps
//! pictures of the page.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "status/browser.rs"]
mod browser;
mod common;
#[path = "status/hostile.rs"]
mod hostile;
#[path = "status/metrics.rs"]
mod metrics;
#[path = "status/page.rs"]
mod page;
#[path = "status/scene.rs"]
mod scene;
