//! The sink beside a bare client that sends the same bodies ready-made.

use std::time::Instant;

use ringmill::sdk::{Sink as _, arrow_array::RecordBatch, parse_config, testing::TestHost};
use ringmill_bench::cpu::median;
use ringmill_elasticsearch::Elasticsearch;
use ureq::Agent;

use crate::{asked, node::Node, proxy::Proxy, scene::Scene, spill, store::Store};

/// Batches, and the bulks that they make, before the clock starts: templates and indices are made
/// once.
const WARM: usize = 2;

/// In turns, so that a machine that becomes slower does so to both: the median of the pairs.
#[test]
fn the_sink_beside_a_bare_client() {
    let Some(rounds) = asked("RINGMILL_SPEED") else { return };
    let Some(node) = Node::start() else { return };
    let (store, proxy) = (Store::new(&node.url()), Proxy::start(&node.address(), None));
    let batches = batches();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // The bodies, as the sink makes them. It warms the server, too.
    proxy.bodies();
    sink(&format!("http://{}", proxy.address), &batches);
    let bodies = proxy.bodies();
    store.delete("speed-*");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(sink(&node.url(), &batches));
        store.delete("speed-*");
        bare.push(client(&node.url(), &bodies));
        store.delete("speed-*");
    }
    let rows = rows - batches[..WARM].iter().map(RecordBatch::num_rows).sum::<usize>();
    let share = median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours));
    println!(
        "{rows} rows in {} bulks, {:.1} MB: sink {:.0} rows/s, bare client {:.0} rows/s, {:.0} %; \
         seconds {ours:.1?} and {bare:.1?}",
        bodies.len(),
        bodies.iter().map(Vec::len).sum::<usize>() as f64 / 1e6,
        rows as f64 / median(ours.iter().copied()),
        rows as f64 / median(bare.iter().copied()),
        100.0 * share,
    );
    assert!(cfg!(debug_assertions) || share >= 0.8, "less than 80 % of a bare client");
}

/// Record batches as a sink gets them: from the spill of a run whose store is away.
fn batches() -> Vec<RecordBatch> {
    let mut scene = Scene::new("http://127.0.0.1:1", "speed");
    scene.options = "drain_seconds = 1".to_owned();
    let capture = scene.capture(100_000, 5);
    scene.run(&[capture]);
    spill::batches(&scene.spill())
}

/// Seconds.
fn sink(url: &str, batches: &[RecordBatch]) -> f64 {
    let options = format!("urls = [{url:?}]\nindex = \"speed\"");
    let (host, _) = TestHost::new(None);
    let mut sink = Elasticsearch::new(parse_config(&options).unwrap(), &host).unwrap();
    let (first, others) = batches.split_at(WARM);
    for records in first {
        sink.write(records).unwrap();
    }
    sink.flush().unwrap();
    let started = Instant::now();
    for records in others {
        sink.write(records).unwrap();
    }
    sink.flush().unwrap();
    started.elapsed().as_secs_f64()
}

fn client(url: &str, bodies: &[Vec<u8>]) -> f64 {
    let agent = Agent::config_builder().proxy(None).build().new_agent();
    let send = |body: &Vec<u8>| {
        let request = agent
            .post(format!("{url}/_bulk?filter_path=items.*.status"))
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip");
        let mut answer = request.send(&body[..]).unwrap();
        let answer = answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.contains("\"status\":4"), "{answer}");
    };
    let (first, others) = bodies.split_at(WARM);
    first.iter().for_each(send);
    let started = Instant::now();
    others.iter().for_each(send);
    started.elapsed().as_secs_f64()
}
