//! PF_RING: one list of what the binding, the safe ring and the engine have to do.
//!
//! It runs over the library that `RINGMILL_LIBPFRING` names, or else over a double of our own
//! (`fixtures/pfring_double`). With a real library and its kernel module, as root:
//!
//! ```sh
//! RINGMILL_LIBPFRING=/usr/local/lib/libpfring.so cargo test --test pf_ring
//! ```
//!
//! Then each test sends its packets through a veth pair in a network namespace of its own, and
//! what only the double can show says SKIPPED.

#![allow(unsafe_code, reason = "the raw calls of libpfring; every block carries its proof")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "pf_ring/calls.rs"]
mod calls;
mod common;
#[path = "pf_ring/engine.rs"]
mod engine;
#[path = "pf_ring/rings.rs"]
mod rings;
#[path = "pf_ring/wire.rs"]
mod wire;
