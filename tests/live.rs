//! Live capture, through network namespaces and veth pairs that the tests make.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

#[path = "live/af_packet.rs"]
mod af_packet;
#[path = "live/cable.rs"]
mod cable;
mod common;
#[path = "common/net.rs"]
mod net;
#[path = "live/records.rs"]
mod records;
#[path = "live/refused.rs"]
mod refused;
#[path = "live/stages.rs"]
mod stages;
