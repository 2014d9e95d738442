//! Whole runs, read back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Write as _,
    path::PathBuf,
    time::Instant,
};

use arrow_array::{RecordBatch, cast::AsArray as _};
use arrow_ipc::reader::StreamReader;
use ringmill::sdk::{ErrorKind, Sink as _, parse_config, testing::TestHost};
use ringmill_bench::workload::{Limit, Mix, generate};
use ringmill_kafka::Kafka;
use serde_json::Value;

use crate::{
    asked,
    broker::{Broker, PARTITIONS},
    common::own_captures,
    scene::Scene,
    speed, spill,
    topics::{self, Message},
};

/// One broker for all of them: starting one takes longer than they do.
#[test]
fn what_goes_in_comes_out() {
    let Some(broker) = Broker::start() else { return };
    json(&broker);
    arrow(&broker);
    new_topics(&broker);
    too_large_for_us(&broker);
    too_large_for_the_topic(&broker);
    a_broker_that_is_away();
    read_by_kafka_itself(&broker);
}

fn json(broker: &Broker) {
    let scene = Scene::new(&broker.address(), "json");
    let ran = scene.run(&own_captures());
    let (lines, messages) = (scene.lines(), topics::read(&broker.address(), "json"));
    assert!(lines.len() > 200, "it tests nothing");
    assert_eq!(ran.books(), [lines.len() as u64, 0, 0, 0], "{ran:?}");
    let texts = messages.iter().map(|message| message.text().to_owned()).collect();
    same(texts, lines.clone(), ran.sent_again(), "the messages and the lines");
    let partitions: BTreeSet<_> = messages.iter().map(|message| message.partition).collect();
    assert_eq!(partitions.len(), PARTITIONS.cast_unsigned() as usize, "keys spread");
    for message in &messages {
        let row: BTreeMap<String, Value> = serde_json::from_str(message.text()).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        assert_eq!(message.topic, format!("json.{}", text("record")));
        assert_eq!(message.headers["record"], text("record"));
        assert_eq!(message.id(), text("record_id"));
        let manifest = &message.headers["manifest"];
        assert!(manifest.len() == 16 && manifest.bytes().all(|it| it.is_ascii_hexdigit()));
        assert_eq!(message.key.as_deref(), Some(row["flow"].to_string().as_str()));
        // To the millisecond, as text.
        let mut time = Vec::new();
        ringmill::sdk::render::timestamp(message.time.unwrap() * 1_000_000, &mut time);
        let time = String::from_utf8(time).unwrap();
        assert_eq!(time[..23], text("time")[..23], "{}", message.text());
    }
    // Beside each other in a file stand the rows of a worker, which has whole connections.
    let of_flow = |texts: &mut dyn Iterator<Item = &str>| {
        let mut flows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let row: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
            flows
                .entry(format!("{} {}", row["record"], row["flow"]))
                .or_default()
                .push(text.to_owned());
        }
        flows
    };
    let in_file = of_flow(&mut lines.iter().map(String::as_str));
    let come = of_flow(&mut messages.iter().map(Message::text));
    assert!(ran.sent_again() || come == in_file, "order in a connection");
    assert!(in_file.values().any(|rows| rows.len() > 5), "it tests nothing");
}

fn arrow(broker: &Broker) {
    let mut scene = Scene::new(&broker.address(), "arrow");
    scene.options += "format = \"arrow\"\n[sink.librdkafka]\nmessage.max.bytes = 40000\n";
    let ran = scene.run(&own_captures());
    let messages = topics::read(&broker.address(), "arrow");
    let mut ids = Vec::new();
    for message in &messages {
        assert!(message.payload.len() < 40_000);
        for records in StreamReader::try_new(message.payload.as_slice(), None).unwrap() {
            ids.extend(spill::ids(&records.unwrap()));
        }
        assert_eq!(message.key.as_ref(), Some(&message.headers["manifest"]));
    }
    let in_file = scene.ids();
    assert_eq!(ran.books(), [in_file.len() as u64, 0, 0, 0], "{ran:?}");
    assert!(messages.len() < 50, "{} messages", messages.len());
    same(ids, in_file, ran.sent_again(), "rows of Arrow");
}

/// A topic that is made by the first message loses none: the broker may refuse the first and take
/// a later one.
fn new_topics(broker: &Broker) {
    let batches = speed::batches(&own_captures());
    let topics = asked("RINGMILL_TOPICS").unwrap_or(10);
    let mut again = 0;
    for n in 0..topics {
        let options = format!(
            "brokers = {:?}\ntopic_prefix = \"new.{n}\"\nformat = \"arrow\"\n\
             [librdkafka]\nmessage.max.bytes = 25000",
            broker.address()
        );
        let mut sink = Kafka::new(parse_config(&options).unwrap(), &TestHost::new(None).0).unwrap();
        let mut deliver = || {
            batches.iter().try_for_each(|records| sink.write(records))?;
            sink.flush()
        };
        while let Err(error) = deliver() {
            assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
            again += 1;
        }
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut come: BTreeMap<String, usize> = BTreeMap::new();
    for message in topics::read(&broker.address(), "new") {
        let topic = message.topic.rsplit_once('.').unwrap().0.to_owned();
        for records in StreamReader::try_new(message.payload.as_slice(), None).unwrap() {
            *come.entry(topic.clone()).or_default() += records.unwrap().num_rows();
        }
    }
    println!("{topics} new topics of each type; {again} times all was sent again");
    let lacks = come.values().filter(|come| **come < rows).count();
    assert_eq!((come.len() as u64, lacks), (topics, 0), "{come:?}");
}

/// Rows that do not fit into a message are put aside, with the reason; the others come.
fn too_large_for_us(broker: &Broker) {
    let mut scene = Scene::new(&broker.address(), "ours");
    scene.options += "[sink.librdkafka]\nmessage.max.bytes = 1000\n";
    refused(broker, &scene, &own_captures(), "ours", "a record makes a message of ");
}

/// The same when only the broker knows.
fn too_large_for_the_topic(broker: &Broker) {
    let tool = "org.apache.kafka.tools.TopicCommand";
    for record in ["http_request", "http_response"] {
        let name = format!("theirs.{record}");
        let limit = ["--create", "--topic", &name, "--config", "max.message.bytes=850"];
        broker.tool(tool, &limit);
    }
    let mut scene = Scene::new(&broker.address(), "theirs");
    // A request with several messages is refused as a whole; each of them is tried by itself.
    scene.options += "[sink.librdkafka]\ncompression.type = \"none\"\n";
    refused(broker, &scene, &own_captures(), "theirs", "Message size too large");
}

fn refused(broker: &Broker, scene: &Scene, files: &[PathBuf], prefix: &str, why: &str) {
    let ran = scene.run(files);
    let [acknowledged, spilled, dropped, dead] = ran.books();
    let in_file = scene.ids();
    assert_eq!((acknowledged + dead, spilled, dropped), (in_file.len() as u64, 0, 0), "{ran:?}");
    assert!(acknowledged > 20 && dead > 1, "it tests nothing: {ran:?}");
    let messages = topics::read(&broker.address(), prefix);
    let mut letters = Vec::new();
    for records in spill::dead_letters(&scene.spill()) {
        letters.extend(spill::ids(&records));
        for reason in records.column_by_name("refused").unwrap().as_string::<i32>() {
            assert!(reason.unwrap().contains(why), "{reason:?}");
        }
    }
    assert_eq!(letters.len() as u64, dead);
    let extra = messages.len() as u64 - acknowledged;
    assert_eq!(extra, 0, "{prefix}: what was taken is not sent again for what was not");
    println!("{prefix}: {acknowledged} taken, {dead} refused");
    let all: BTreeSet<_> = topics::ids(&messages).into_iter().chain(letters).collect();
    let gone: BTreeSet<_> = in_file.into_iter().collect();
    same(all.into_iter().collect(), gone.into_iter().collect(), false, prefix);
}

/// Nobody listens: all is spilled, and comes first at the next start.
fn a_broker_that_is_away() {
    let Some(broker) = Broker::start() else { return };
    broker.kill();
    let mut scene = Scene::new(&broker.address(), "away");
    scene.options += "drain_seconds = 2\n";
    let ran = scene.run(&own_captures());
    let first = scene.ids();
    assert_eq!(ran.books(), [0, first.len() as u64, 0, 0], "{ran:?}");
    assert!(ran.err.contains("Connection refused"), "{ran:?}");
    broker.again();
    let ran = scene.run(&own_captures()[..1]);
    let second = scene.lines().len();
    assert_eq!(ran.books(), [(first.len() + second) as u64, 0, 0, 0], "{ran:?}");
    let come = topics::read(&broker.address(), "away");
    let ids: BTreeSet<_> = first.into_iter().collect();
    assert_eq!(topics::ids(&come).intersection(&ids).count(), ids.len());
}

/// The same messages by another reader than librdkafka.
fn read_by_kafka_itself(broker: &Broker) {
    let ours = topics::read(&broker.address(), "json");
    let ours: Vec<_> = ours
        .iter()
        .filter(|message| message.topic == "json.http_response")
        .map(|message| message.text().to_owned())
        .collect();
    let theirs = broker.tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            "json.http_response",
            "--from-beginning",
            "--max-messages",
            &ours.len().to_string(),
        ],
    );
    same(
        theirs.lines().map(str::to_owned).collect(),
        ours,
        false,
        "what Kafka's own consumer reads",
    );
}

/// At least so many records of a synthetic campus, where somebody asks for them.
#[test]
fn many_records_come_out() {
    let Some(records) = asked("RINGMILL_RECORDS") else { return };
    let Some(broker) = Broker::start() else { return };
    let mut scene = Scene::new(&broker.address(), "many");
    scene.options += "drain_seconds = 600\n";
    let capture = scene.path("many.pcap.zst");
    let mut out = zstd::Encoder::new(File::create(&capture).unwrap(), 1).unwrap();
    let packets = records * 2 + records / 10;
    let made = generate(Mix::Heavy, Limit::Packets(packets), 1, &mut out).unwrap();
    out.finish().unwrap().flush().unwrap();
    let heads = made.requests + made.responses;
    let started = Instant::now();
    let ran = scene.run(&[capture]);
    let took = started.elapsed().as_secs_f64();
    let in_file = scene.ids();
    let come: Vec<_> = topics::read(&broker.address(), "many");
    let come: Vec<_> = come.iter().map(|message| message.id().to_owned()).collect();
    println!("{} records in {took:.1} s, {} messages; {ran:?}", in_file.len(), come.len());
    assert!(heads >= records, "{heads} records");
    assert_eq!((ran.books(), in_file.len() as u64), ([heads, 0, 0, 0], heads), "{ran:?}");
    same(come, in_file, ran.sent_again(), "ids");
}

/// Fails when these are not the same, how often each is there included unless some were sent
/// `again`. In words, since there may be a million.
pub(crate) fn same(come: Vec<String>, gone: Vec<String>, again: bool, what: &str) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    gone.into_iter().for_each(|text| *counts.entry(text).or_default() += 1);
    come.into_iter().for_each(|text| *counts.entry(text).or_default() -= 1);
    let missing: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    let more: Vec<_> = counts.iter().filter(|(_, count)| **count < 0 && !again).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{what}: {} are missing, such as {:?}; {} are too many, such as {:?}",
        missing.len(),
        missing.first(),
        more.len(),
        more.first()
    );
}
