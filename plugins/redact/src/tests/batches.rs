//! Record batches: what becomes of columns, maps and schemas.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use ringmill_sdk::{
    arrow_array::{Array, cast::AsArray},
    arrow_schema::{DataType, Field, Schema},
    columns::TextMap,
    prelude::*,
    schema::{Kind, address, field, is_unredacted, map, record, text},
    testing::{Trial, check_rules, records, rows, run_records, tcp},
};

use super::{hash, hashed};
use crate::Redact;

fn requests() -> SchemaRef {
    record(
        "http_request",
        vec![
            address("src_ip"),
            text("host", Kind::Header),
            text("uri", Kind::Url),
            text("user_agent", Kind::Header),
            text("flags", Kind::Text),
            map("extras", Kind::Header),
        ],
    )
}

/// A row, as it is and as it comes out by default.
const ROWS: [[&[&str]; 2]; 3] = [
    [
        &["192.0.2.1", "example.org", "/a?b=c", "curl/8", "truncated", "cookie=a, accept=*/*"],
        &["192.0.2.1", "example.org", "/a?b=«c»", "-", "truncated", "accept=*/*"],
    ],
    [
        &["192.0.2.2", "example.org", "/a?b=c", "", "", "x-other=1, x-real-ip=192.0.2.9"],
        &["192.0.2.2", "example.org", "/a?b=«c»", "-", "-", "x-real-ip=192.0.2.9"],
    ],
    [
        &["192.0.2.3", "", "/", "", "", "etag=\"x\", X_Forwarded_For=x, from=j"],
        &["192.0.2.3", "-", "/", "-", "-", "etag=\"«x»\", X_Forwarded_For=unknown"],
    ],
];

fn shown(records: &[RecordBatch], schema: &Schema) -> Vec<Vec<String>> {
    let cell = |row: &ringmill_sdk::testing::Row, name: &String| {
        row.get(name).cloned().unwrap_or_else(|| "-".to_owned())
    };
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    rows(records).iter().map(|row| names.iter().map(|name| cell(row, name)).collect()).collect()
}

#[test]
fn rows_by_default() {
    let schema = requests();
    let batch = records(&schema, &ROWS.map(|[row, _]| row));
    let ran = run_records::<Redact>("", &[batch.clone(), batch.slice(1, 2)]).unwrap();
    let expected = ROWS.map(|[_, row]| row.iter().map(|cell| hashed(cell)).collect::<Vec<_>>());
    let expected = [&expected[..], &expected[1..]].concat();
    assert_eq!(shown(&ran.records, &schema), expected);
    let counters = ran.counters.iter().filter(|(_, n)| **n > 0);
    let counters: Vec<_> = counters.map(|(name, n)| format!("{name} {n}")).collect();
    assert_eq!(
        counters,
        [
            "client_addresses 2",
            "credentials 1",
            "entity_tags 2",
            "persons 2",
            "unlisted 2",
            "url_parts 3",
            "user_agents 1"
        ]
    );
}

#[test]
fn names_and_lists_of_ones_own() {
    let schema = requests();
    let batch = records(&schema, &ROWS.map(|[row, _]| row));
    let extras = |options: &str| {
        let ran = run_records::<Redact>(options, std::slice::from_ref(&batch)).unwrap();
        shown(&ran.records, &schema).into_iter().map(|mut row| row.remove(5)).collect::<Vec<_>>()
    };
    let tag = format!("etag=\"{}\"", hash("x"));
    // A null value is shown as an empty one.
    assert_eq!(
        extras("names = true\nheaders = []"),
        [
            "cookie=, accept=".to_owned(),
            "x-other=, x-real-ip=192.0.2.9".to_owned(),
            format!("{tag}, X_Forwarded_For=unknown, from=")
        ]
    );
    assert_eq!(
        extras("headers = [\"X-Other\"]\nclient_addresses = \"drop\""),
        ["-".to_owned(), "x-other=1".to_owned(), tag.clone()]
    );
    assert_eq!(
        extras("headers = [\"*\"]\ncredentials = \"length\""),
        [
            "cookie=[1 bytes], accept=*/*".to_owned(),
            "x-other=1, x-real-ip=192.0.2.9".to_owned(),
            format!("{tag}, X_Forwarded_For=unknown")
        ]
    );
}

/// A name may hold a secret as well.
#[test]
fn names_are_scrubbed_and_nulls_stay() {
    let mut extras = TextMap::default();
    extras.put("x-d41d8cd98f00b204e98", "v");
    extras.put_null("accept");
    extras.end_row();
    let schema = record("r", vec![map("extras", Kind::Header)]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![extras.finish().unwrap()]).unwrap();
    let ran = run_records::<Redact>("names = true", &[batch]).unwrap();
    let expected = format!("{}=, accept=", hash("x-d41d8cd98f00b204e98"));
    assert_eq!(rows(&ran.records)[0]["extras"], expected);
    let values = ran.records[0].column(0).as_map().values().clone();
    assert_eq!(values.null_count(), 2);
}

#[test]
fn every_column_of_its_kinds_is_marked_and_what_is_not_known_is_null() {
    let marked = schema::redacted(&text("uri", Kind::Url), "another");
    let schema = record(
        "r",
        vec![
            text("x_header", Kind::Header).with_nullable(false),
            text("x_url", Kind::Url),
            field("number", DataType::UInt16, Kind::Header),
            marked,
            text("word", Kind::Text),
            text("cookie", Kind::Header),
            map("x_map", Kind::Url),
        ],
    );
    let row: &[&str] = &["v", "/a?b=c", "7", "/a?b=c", "v", "a=b", "accept=*, x=y"];
    let batch = records(&schema, &[row]);
    let out = |options: &str| {
        let ran = run_records::<Redact>(options, std::slice::from_ref(&batch)).unwrap();
        assert!(!ran.records[0].schema().fields().iter().any(|field| is_unredacted(field)));
        let marks: Vec<_> = ran.records[0]
            .schema()
            .fields()
            .iter()
            .map(|field| field.metadata().get(schema::REDACTED).cloned().unwrap_or_default())
            .collect();
        let own = "redact";
        assert_eq!(marks, [own, own, own, "another", "", own, own]);
        shown(&ran.records, &schema).remove(0).join(" ")
    };
    assert_eq!(out(""), "- - - /a?b=c v - accept=*");
    let listed = hashed("v /a?b=«c» - /a?b=c v - x=y");
    assert_eq!(out("headers = [\"X-Header\", \"x-url\", \"x\"]"), listed);
}

#[test]
fn other_batches_pass_untouched() {
    let plain = Arc::new(Schema::new(vec![Field::new("uri", DataType::Utf8, true)]));
    for schema in [plain, record("r", vec![text("uri", Kind::Text)])] {
        let batch = records(&schema, &[&["/a?b=c"]]);
        let ran = run_records::<Redact>("", std::slice::from_ref(&batch)).unwrap();
        assert_eq!(ran.records, [batch]);
        assert!(Arc::ptr_eq(ran.records[0].schema_ref(), &schema));
    }
}

/// A column in which nothing changes is not written afresh.
#[test]
fn what_does_not_change_is_passed_on() {
    let schema = record("r", vec![text("host", Kind::Header), text("uri", Kind::Url)]);
    let batch = records(&schema, &[&["h", "/"], &["h", "/a?b=c"]]);
    let ran = run_records::<Redact>("", std::slice::from_ref(&batch)).unwrap();
    let same: Vec<_> = batch
        .columns()
        .iter()
        .zip(ran.records[0].columns())
        .map(|(a, b)| Arc::ptr_eq(a, b))
        .collect();
    assert_eq!(same, [true, false]);
}

#[test]
fn one_schema_in_is_one_schema_out_and_many_do_not_pile_up() {
    let mut trial = Trial::<Redact>::new("").unwrap();
    let schema = requests();
    for _ in 0..3 {
        trial.records(records(&schema, &[ROWS[0][0]])).unwrap();
    }
    for _ in 0..200 {
        trial.records(records(&requests(), &[ROWS[0][0]])).unwrap();
    }
    let out = trial.ran().records;
    let first = out[0].schema();
    assert!(out[..3].iter().all(|batch| Arc::ptr_eq(batch.schema_ref(), &first)));
    assert!(out.iter().all(|batch| *batch.schema() == *first));
}

#[test]
fn options_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, [b'k'; 31]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let shown = path.display();
    let modes = "`full`, `no_query`, `hash_query`, `hash_path`, `hash`";
    let governed = "and is not let out by this list; leave it out and see the option";
    let cases = [
        ("url = \"none\"".to_owned(), format!("`url`: unknown variant `none`, expected one of {modes}")),
        ("etag = \"no_query\"".to_owned(), "`etag`: unknown variant `no_query`, expected `full` or `hash`".to_owned()),
        (
            "headers = [\"accept\", \"a b\"]".to_owned(),
            "`headers[1]`: `a b` is no name of a header field; one is up to 64 letters, digits and `-`, or `*` for all".to_owned(),
        ),
        ("headers = [\"Cookie\"]".to_owned(), format!("`headers[0]`: `Cookie` is a credential {governed} `credentials`")),
        (
            "headers = [\"x_forwarded_for\"]".to_owned(),
            format!("`headers[0]`: `x_forwarded_for` carries a client's address {governed} `client_addresses`"),
        ),
        (
            "headers = [\"From\"]".to_owned(),
            "`headers[0]`: `From` names a person and never comes out; leave it out".to_owned(),
        ),
        (
            "key = \"00112233\"".to_owned(),
            "`key`: may only be \"ephemeral\"; a key of your own goes into a file: `key_file = \"...\"`".to_owned(),
        ),
        (
            format!("key = \"ephemeral\"\nkey_file = {path:?}"),
            "`key`: `key_file` and `key` are both set; keep one".to_owned(),
        ),
        (
            format!("key_file = {path:?}"),
            format!(
                "`key_file`: {shown} holds 31 bytes; a key is 64 hex digits or exactly 32 bytes; \
                 `engine keygen FILE` makes a file with one"
            ),
        ),
    ];
    for (options, message) in cases {
        let error = Trial::<Redact>::new(&options).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(message.as_str()), "{options}");
    }
    // The same key gives the same hashes, another one others.
    fs::write(&path, [b'k', b'K'].repeat(16)).unwrap();
    let batch = records(&requests(), &[ROWS[0][0]]);
    let uri = |options: &str| {
        let ran = run_records::<Redact>(options, std::slice::from_ref(&batch)).unwrap();
        rows(&ran.records)[0]["uri"].clone()
    };
    let own = format!("key_file = {path:?}");
    assert_eq!(uri(&own), uri(&own));
    assert_ne!(uri(&own), uri(""));
    assert_eq!(
        uri("key = \"ephemeral\""),
        uri(""),
        "the test's ephemeral key follows from its label"
    );
}

#[test]
fn the_rules_of_every_stage() {
    let frames = [tcp("192.0.2.1:1", "192.0.2.2:80", "GET / HTTP/1.1\r\n\r\n")];
    check_rules::<Redact>("", &frames);
    check_rules::<Redact>("names = true\nurl = \"hash\"", &frames);
}
