//! Options and messages, without a broker; with one see `tests/kafka.rs` of the engine.

use std::{collections::HashMap, sync::Arc};

use arrow_ipc::reader::StreamReader;
use ringmill_sdk::{
    Sink,
    arrow_array::{
        ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampNanosecondArray,
        UInt64Array,
    },
    arrow_schema::{DataType, Schema},
    parse_config, schema,
    testing::TestHost,
};

use crate::{
    Kafka, Options,
    messages::{Columns, Payloads, Text},
};

fn options(text: &str) -> Options {
    parse_config(&format!("brokers = \"localhost\"\n{text}")).unwrap()
}

/// Rows of one connection, each with a `host` of so many letters.
fn batch(hosts: &[usize]) -> RecordBatch {
    let rows = hosts.len() as u64;
    let fields = vec![
        schema::time("time"),
        schema::field("flow", DataType::UInt64, schema::Kind::Flow),
        schema::text("host", schema::Kind::Text),
        schema::uuid("record_id"),
    ];
    let metadata = HashMap::from([
        (schema::RECORD.to_owned(), "http_request".to_owned()),
        (schema::MANIFEST_ID.to_owned(), "15bf9be376a7cda3".to_owned()),
    ]);
    let times = (0..rows).map(|row| 1_700_000_000_123_456_789 + row.cast_signed() * 1_000_000);
    let ids = (0..rows).map(|row| u128::from(row) | 0x15bf_9be3_76a7_8da3 << 64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00")),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|_| u64::MAX))),
        Arc::new(StringArray::from_iter_values(hosts.iter().map(|letters| "h".repeat(*letters)))),
        Arc::new(FixedSizeBinaryArray::try_from_iter(ids.map(u128::to_be_bytes)).unwrap()),
    ];
    let schema = Schema::new_with_metadata(fields, metadata);
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[test]
fn a_wrong_option_is_named_before_the_run() {
    let cases: &[(&str, &str, &str)] = &[
        ("brokers = \"\"", "brokers", "is no broker"),
        ("brokers = \"a:9092,\"", "brokers", "is no broker"),
        ("brokers = \"a:port\"", "brokers", "`a:port` is no broker"),
        ("topic_prefix = \"my topics\"", "topic_prefix", "letters, digits"),
        ("topic_prefix = \"\"", "topic_prefix", "letters, digits"),
        ("timeout_seconds = 0", "timeout_seconds", "at least 1"),
        ("[librdkafka]\nno.such = 1", "librdkafka.no.such", "No such configuration property"),
        ("[librdkafka]\nlinger.ms = \"soon\"", "librdkafka.linger.ms", "Invalid value"),
        ("[librdkafka]\nbootstrap.servers = \"a\"", "librdkafka.bootstrap.servers", "`brokers`"),
        ("[librdkafka]\nacks = 0", "librdkafka.acks", "no broker says"),
        ("[librdkafka]\n\"transactional.id\" = \"x\"", "librdkafka.transactional.id", "record_id"),
        // What only the whole of them shows.
        ("[librdkafka]\nacks = 1", "librdkafka", "`acks` must be set to `all`"),
        ("[librdkafka]\nlinger.ms = [1]", "librdkafka", "text, a number, true or false"),
    ];
    for (text, path, says) in cases {
        let text = match text.starts_with("brokers") {
            true => (*text).to_owned(),
            false => format!("brokers = \"localhost:9092\"\n{text}"),
        };
        let made = parse_config(&text).and_then(|it| Kafka::new(it, &TestHost::new(None).0));
        let error = made.map(drop).expect_err(&text);
        assert!(error.path().starts_with(path), "{text}: {error:?}");
        assert!(error.message().contains(says), "{text}: {error:?}");
    }
}

#[test]
fn good_options_are_taken_and_passwords_not_shown() {
    let cases = [
        "",
        "brokers = \"a.example, b.example:9093 ,[2001:db8::1]:9092,[2001:db8::1]\"",
        "[librdkafka]\nlinger.ms = 20\ncompression.type = \"lz4\"\nmessage.max.bytes = 2000000",
        "[librdkafka]\n\"linger.ms\" = 0.5\n\"compression.codec\" = \"none\"",
        "[librdkafka]\nenable.idempotence = false\nacks = 1",
        "[librdkafka]\nsasl.username = \"u\"\nsasl.password = \"s3cret\"",
    ];
    for text in cases {
        let text = match text.starts_with("brokers") {
            true => text.to_owned(),
            false => format!("brokers = \"localhost:9092\"\n{text}"),
        };
        let (host, _) = TestHost::new(None);
        let sink = Kafka::new(parse_config(&text).unwrap(), &host).expect(&text);
        assert!(!format!("{sink:?}").contains("s3cret"), "{sink:?}");
    }
}

#[test]
fn topics_are_called_by_the_record_type() {
    let cases = [
        ("http_request", "ringmill.http_request"),
        ("a b/c", "ringmill.a_b_c"),
        ("ä", "ringmill.__"),
    ];
    for (record, topic) in cases {
        assert_eq!(options("").topic(record), topic, "{record}");
    }
    assert_eq!(options("").topic(&"x".repeat(500)).len(), 249);
}

#[test]
fn a_message_of_json_has_its_labels() {
    let records = batch(&[3, 5]);
    let mut payloads = Payloads::new(&options(""));
    payloads.make(&records).unwrap();
    assert_eq!(payloads.len(), 2);
    let mut text = Text::default();
    let message = payloads.message(1, &Columns::of(&records), &mut text);
    assert_eq!(message.key, Some(b"18446744073709551615".as_slice()));
    assert_eq!(message.time, Some(1_700_000_000_124));
    let headers: Vec<_> = message
        .headers()
        .map(|(name, value)| (name, std::str::from_utf8(value).unwrap()))
        .collect();
    let expected = [
        ("manifest", "15bf9be376a7cda3"),
        ("record", "http_request"),
        ("record_id", "15bf9be3-76a7-8da3-0000-000000000001"),
    ];
    assert_eq!(headers, expected);
    let json: serde_json::Value = serde_json::from_slice(message.payload).unwrap();
    assert_eq!((&json["record"], &json["host"]), (&"http_request".into(), &"hhhhh".into()));
}

#[test]
fn rows_without_the_columns_make_messages_without_labels() {
    let records = batch(&[1]).project(&[2]).unwrap();
    let mut payloads = Payloads::new(&options(""));
    payloads.make(&records).unwrap();
    let mut text = Text::default();
    let message = payloads.message(0, &Columns::of(&records), &mut text);
    assert_eq!((message.key, message.time), (None, None));
    assert_eq!(message.headers().map(|(name, _)| name).collect::<Vec<_>>(), ["manifest", "record"]);
}

#[test]
fn messages_of_arrow_are_below_the_limit_and_hold_every_row() {
    let hosts: Vec<usize> = (0..300).map(|n| n % 50 * 10).collect();
    let records = batch(&hosts);
    let mut payloads =
        Payloads::new(&options("format = \"arrow\"\n[librdkafka]\nmessage.max.bytes = 20000"));
    payloads.make(&records).unwrap();
    assert!(payloads.len() > 2, "{}", payloads.len());
    let (columns, mut text, mut row) = (Columns::of(&records), Text::default(), 0);
    for n in 0..payloads.len() {
        let message = payloads.message(n, &columns, &mut text);
        assert!(message.payload.len() < 20_000);
        assert_eq!(message.key, Some(b"15bf9be376a7cda3".as_slice()));
        let first = 1_700_000_000_123 + i64::try_from(row).unwrap();
        assert_eq!(message.time, Some(first));
        for part in StreamReader::try_new(message.payload, None).unwrap() {
            let part = part.unwrap();
            assert_eq!(part, records.slice(row, part.num_rows()));
            row += part.num_rows();
        }
    }
    assert_eq!(row, 300);
}

#[test]
fn a_row_that_is_too_long_is_known_before_it_is_sent() {
    for format in ["json", "arrow"] {
        let text = format!("format = {format:?}\n[librdkafka]\nmessage.max.bytes = 20000");
        let mut payloads = Payloads::new(&options(&text));
        let records = batch(&[10, 30_000, 10]);
        payloads.make(&records).unwrap();
        let (columns, mut text, mut row) = (Columns::of(&records), Text::default(), 0);
        for n in 0..payloads.len() {
            let message = payloads.message(n, &columns, &mut text);
            let why = message.too_long(payloads.most);
            assert_eq!(why.is_some(), row == 1, "{format}, row {row}: {why:?}");
            if let Some(why) = why {
                assert_eq!(message.rows, 1, "{format}");
                assert!(why.contains("message.max.bytes") && !why.contains("hhh"), "{why}");
            }
            row += message.rows;
        }
        assert_eq!(row, 3, "{format}");
    }
}
