//! What lies in the topics, read by librdkafka's consumer.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::{BorrowedMessage, Headers as _},
};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) time: Option<i64>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

/// How many messages are in the topics that begin with a prefix and a dot.
pub(crate) fn count(brokers: &str, prefix: &str) -> u64 {
    let all = ends(&consumer(brokers), prefix);
    all.iter().map(|(_, low, high)| (high - low).cast_unsigned()).sum()
}

fn consumer(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    // No group: who reads is not remembered.
    config.set("bootstrap.servers", brokers).set("group.id", "test");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("check.crcs", "true");
    config.create().unwrap()
}

/// Topic and partition of each that has messages, and where they begin and end.
fn ends(consumer: &BaseConsumer, prefix: &str) -> Vec<((String, i32), i64, i64)> {
    let metadata = patiently(|| consumer.fetch_metadata(None, PATIENCE));
    let mut ends = Vec::new();
    for topic in metadata.topics() {
        if !topic.name().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')) {
            continue;
        }
        for partition in topic.partitions() {
            let (topic, partition) = (topic.name(), partition.id());
            let (low, high) = patiently(|| consumer.fetch_watermarks(topic, partition, PATIENCE));
            if high > low {
                ends.push(((topic.to_owned(), partition), low, high));
            }
        }
    }
    ends
}

/// All messages of the topics that begin with a prefix and a dot: each partition in its order.
pub(crate) fn read(brokers: &str, prefix: &str) -> Vec<Message> {
    let consumer = consumer(brokers);
    let (mut from, mut left) = (TopicPartitionList::new(), BTreeMap::new());
    for (id, low, high) in ends(&consumer, prefix) {
        from.add_partition_offset(&id.0, id.1, Offset::Offset(low)).unwrap();
        left.insert(id, high);
    }
    consumer.assign(&from).unwrap();
    let (mut messages, mut heard) = (Vec::new(), Instant::now());
    while !left.is_empty() {
        assert!(heard.elapsed() < PATIENCE, "the broker holds messages back: {left:?}");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Ok(message) = message else { continue };
        heard = Instant::now();
        let id = (message.topic().to_owned(), message.partition());
        if left.get(&id).is_some_and(|high| message.offset() + 1 >= *high) {
            left.remove(&id);
        }
        messages.push(owned(&message));
    }
    messages
}

/// A broker that has just been started is not ready at once.
fn patiently<T>(ask: impl Fn() -> KafkaResult<T>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn owned(message: &BorrowedMessage<'_>) -> Message {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Message {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        key: message.key().map(text),
        time: message.timestamp().to_millis(),
        headers: headers.map(|it| (it.key.to_owned(), text(it.value.unwrap()))).collect(),
        payload: message.payload().unwrap().to_vec(),
    }
}

impl Message {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["record_id"]
    }
}

/// Messages that come again with an id that another has; what has one id must be one record.
pub(crate) fn duplicates(messages: &[Message]) -> usize {
    let mut by_id = BTreeMap::new();
    for message in messages {
        let first = by_id.entry(message.id()).or_insert(message.text());
        assert_eq!(*first, message.text(), "two records have one id");
    }
    messages.len() - by_id.len()
}

pub(crate) fn ids(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(|message| message.id().to_owned()).collect()
}
