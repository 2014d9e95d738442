//! The engine: drives one pinned worker per capture ring through a chain of stages.
//!
//! The chain is declared in TOML ([`config`]); what it can name stands in one table
//! ([`registry`]) or comes from plugins ([`loader`]). Each worker owns its source
//! ([`capture`]) and its instance of the chain ([`chain`]); records leave to the sinks'
//! threads ([`sinks`]), and all of it is accounted for ([`ledger`]).
//!
//! ```no_run
//! let config = ringmill::config::load("configs/demo.toml".as_ref())?;
//! let outcome = ringmill::Engine::new(config)?.run(|_| ())?;
//! print!("{}", outcome.ledger);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod capture;
pub mod chain;
pub mod config;
pub mod doctor;
mod engine;
mod gauge;
pub mod host;
pub mod ledger;
pub mod loader;
mod lock;
pub mod manifest;
pub mod plan;
pub mod registry;
mod reload;
pub mod service;
pub mod sinks;
mod status;
mod supply;
mod worker;

pub use engine::{Engine, Outcome, StartError};
pub use gauge::{Counted, Gauge};
pub use reload::Reload;
pub use ringmill_sdk as sdk;

/// Version, git revision and compiler of this engine.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("RINGMILL_REVISION"),
    ", ",
    env!("RINGMILL_RUSTC"),
    ")"
);
