//! The `elasticsearch` sink with OpenSearch itself: what can be searched in it is what went in,
//! also when one of the two is killed or hangs.
//!
//! The server has no security: basic authentication, API keys and TLS are tested with a proxy of
//! ours before it, which also answers 429, 503 and worse in its place.
//!
//! `RINGMILL_ROUNDS=20` makes a long chaos of a short one, `RINGMILL_RECORDS=1000000` sends so many
//! records instead of a few, and `RINGMILL_SPEED=5` compares the sink with a bare client in so many
//! rounds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "elasticsearch/chaos.rs"]
mod chaos;
mod common;
#[path = "common/cut.rs"]
mod cut;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/net.rs"]
mod net;
#[path = "elasticsearch/node.rs"]
mod node;
#[path = "elasticsearch/proxy.rs"]
mod proxy;
#[path = "elasticsearch/runs.rs"]
mod runs;
#[path = "elasticsearch/scene.rs"]
mod scene;
#[path = "elasticsearch/security.rs"]
mod security;
#[path = "common/service.rs"]
mod service;
#[path = "elasticsearch/speed.rs"]
mod speed;
#[path = "common/spill.rs"]
mod spill;
#[path = "elasticsearch/store.rs"]
mod store;
#[path = "common/whole.rs"]
mod whole;

use common::asked;

/// One node for all of these; none disturbs another, as each has indices of its own.
#[test]
fn the_store_has_what_was_sent() {
    let Some(node) = node::Node::start() else { return };
    runs::records_can_be_searched(&node);
    runs::sent_twice_is_there_once(&node);
    runs::a_data_stream_takes_them_too(&node);
    runs::what_does_not_fit_is_put_aside_with_the_reason(&node);
    runs::a_store_that_is_away_gets_them_later(&node);
    runs::only_rows_that_were_not_taken_are_sent_again(&node);
    runs::a_bulk_that_is_too_large_is_divided(&node);
    runs::strange_answers_are_a_sentence(&node);
    security::credentials(&node);
    security::tls(&node);
}
