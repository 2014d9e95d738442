//! What Ringmill's speed is measured with.
//!
//! * [`workload`] writes synthetic captures: the same bytes for the same seed, on every
//!   machine, so that figures can be compared and no real traffic has to be kept.
//! * [`floor`] is the least that any engine has to do with such a file, by hand: walk the
//!   records, find the TCP payload, look at four bytes. An engine is judged by its distance
//!   to this, because the absolute figures belong to one machine.
//! * [`cpu`] pins a process and reads its CPU time.
//! * [`compare`] runs the engine and its peers in turn on one capture.
//! * [`play`] sends a capture on an interface, for live capture.
//!
//! The binaries `workload`, `floor`, `play`, `ratio` and `compare` are thin command lines over these.

pub mod compare;
pub mod cpu;
pub mod floor;
pub mod play;
pub mod workload;
