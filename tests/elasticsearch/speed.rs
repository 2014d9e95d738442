//! The sink beside a bare client that sends the same bodies ready-made.

use std::time::{Duration, Instant};

use ringmill::sdk::{Sink as _, arrow_array::RecordBatch, parse_config, testing::TestHost};
use ringmill_elasticsearch::Elasticsearch;
use ureq::Agent;

use crate::{asked, node::Node, proxy::Proxy, scene::Scene, spill, store::Store};

/// In turns, so that a machine that becomes slower does so to both; the medians of all rounds.
pub(crate) fn beside_a_bare_client(node: &Node) {
    let Some(rounds) = asked("RINGMILL_SPEED") else { return };
    let (store, proxy) = (Store::new(&node.url()), Proxy::start(&node.address(), None));
    let batches = batches();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // The bodies, as the sink makes them.
    proxy.bodies();
    sink(&format!("http://{}", proxy.address), &batches);
    let bodies = proxy.bodies();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    // The first round warms the server.
    for round in 0..=rounds {
        store.delete("speed-*");
        let by_us = sink(&node.url(), &batches);
        store.delete("speed-*");
        let by_them = client(&node.url(), &bodies);
        if round > 0 {
            ours.push(by_us);
            bare.push(by_them);
        }
    }
    let (ours, bare) = (median(ours), median(bare));
    println!(
        "{rows} rows in {} bulks: sink {:.0} rows/s, bare client {:.0} rows/s, {:.0} %",
        bodies.len(),
        rows as f64 / ours.as_secs_f64(),
        rows as f64 / bare.as_secs_f64(),
        100.0 * bare.as_secs_f64() / ours.as_secs_f64(),
    );
    store.delete("speed-*");
}

/// Record batches as a sink gets them: from the spill of a run whose store is away.
fn batches() -> Vec<RecordBatch> {
    let mut scene = Scene::new("http://127.0.0.1:1", "speed");
    scene.options = "drain_seconds = 1".to_owned();
    let capture = scene.capture(100_000, 5);
    scene.run(&[capture]);
    spill::batches(&scene.spill())
}

fn sink(url: &str, batches: &[RecordBatch]) -> Duration {
    let options = format!("urls = [{url:?}]\nindex = \"speed\"");
    let (host, _) = TestHost::new(None);
    let mut sink = Elasticsearch::new(parse_config(&options).unwrap(), &host).unwrap();
    let started = Instant::now();
    for records in batches {
        sink.write(records).unwrap();
    }
    sink.flush().unwrap();
    started.elapsed()
}

fn client(url: &str, bodies: &[Vec<u8>]) -> Duration {
    let agent = Agent::config_builder().proxy(None).build().new_agent();
    let started = Instant::now();
    for body in bodies {
        let request = agent
            .post(format!("{url}/_bulk?filter_path=items.*.status"))
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip");
        let mut answer = request.send(&body[..]).unwrap();
        answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
    }
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
