//! What makes a run a service that can be left alone: it tells the service manager how it does
//! ([`notify`]), and notices a worker that no stage gives back.

pub mod notify;
mod watchdog;

pub use watchdog::Stuck;
pub(crate) use watchdog::{Hook, Watchdog};
