//! The `kafka` sink with Apache Kafka itself: what comes out of it is what went in, also when
//! one of the two is killed or hangs.
//!
//! `RINGMILL_ROUNDS=20` makes a long chaos of a short one, and `RINGMILL_RECORDS=1000000` sends
//! so many records instead of a few. `RINGMILL_OUTAGE=600` keeps the broker away for so many
//! seconds. TLS and SASL are tried with a plugin that has them:
//! `cargo build -p ringmill-kafka-dynamic --features ssl --target-dir D`, and
//! `RINGMILL_KAFKA_SSL=D/debug/libkafka.so`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/chaos.rs"]
mod chaos;
mod common;
#[path = "common/cut.rs"]
mod cut;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/net.rs"]
mod net;
#[path = "kafka/outage.rs"]
mod outage;
#[path = "kafka/runs.rs"]
mod runs;
#[path = "kafka/scene.rs"]
mod scene;
#[path = "kafka/security.rs"]
mod security;
#[path = "common/service.rs"]
mod service;
#[path = "kafka/speed.rs"]
mod speed;
#[path = "common/spill.rs"]
mod spill;
#[path = "kafka/topics.rs"]
mod topics;
#[path = "common/whole.rs"]
mod whole;

use common::asked;
