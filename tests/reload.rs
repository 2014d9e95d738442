//! The config is read again while the engine runs, and stages that fail are gone round.
//!
//! `RINGMILL_ROUNDS=200 cargo test --release --test reload -- --nocapture` for more than ten reloads.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "reload/bypass.rs"]
mod bypass;
#[path = "reload/carried.rs"]
mod carried;
mod common;
#[path = "common/dice.rs"]
mod dice;
#[path = "reload/fed.rs"]
mod fed;
#[path = "reload/live.rs"]
mod live;
#[path = "common/net.rs"]
mod net;
#[path = "reload/reach.rs"]
mod reach;
#[path = "reload/refused.rs"]
mod refused;
#[path = "reload/turns.rs"]
mod turns;

/// How many reloads a long test does.
fn rounds() -> usize {
    std::env::var("RINGMILL_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap())
}
