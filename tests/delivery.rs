//! What becomes of records when a store is slow, away, picky, broken or hanging; and what is
//! left of them when the engine is killed.
//!
//! Through the real binary and a fixture plugin, whose stage numbers its rows and whose store
//! is a file, so that what was kept can be counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;
#[path = "common/dice.rs"]
mod dice;
#[path = "delivery/killed.rs"]
mod killed;
#[path = "delivery/limits.rs"]
mod limits;
#[path = "delivery/moods.rs"]
mod moods;
#[path = "delivery/scene.rs"]
mod scene;
#[path = "common/spill.rs"]
mod spill;
