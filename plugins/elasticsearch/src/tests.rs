use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use ringmill_sdk::{
    arrow_array::{ArrayRef, FixedSizeBinaryArray, TimestampNanosecondArray},
    json, parse_config,
    prelude::*,
    schema::{self, Kind},
    testing::TestHost,
};

use crate::{Elasticsearch, bulk::Table, index::Indices};

fn options(text: &str) -> Result<crate::Options> {
    parse_config(text)
}

#[test]
fn options_that_cannot_work_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let cases = [
        ("open", "secret", 0o644),
        ("empty", " \n", 0o600),
        ("lines", "a\nb", 0o600),
        ("good", "secret\n", 0o600),
        ("no.pem", "secret", 0o600),
    ];
    for (name, text, mode) in cases {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let user = |name: &str| format!("username = 'me'\npassword_file = '{at}/{name}'");
    let cases: &[(&str, &str)] = &[
        ("index = 'Upper'", "index"),
        ("index = '_a'", "index"),
        ("index = ''", "index"),
        ("index = 'a b'", "index"),
        ("bulk_mib = 0", "bulk_mib"),
        ("bulk_rows = 0", "bulk_rows"),
        ("timeout_seconds = 0", "timeout_seconds"),
        ("username = 'me'", "username"),
        ("password_file = '/x'", "password_file"),
        ("username = 'a:b'\npassword_file = '/x'", "username"),
        ("username = 'me'\npassword_file = '/x'\napi_key_file = '/y'", "api_key_file"),
        (&user("missing"), "password_file"),
        (&user("open"), "password_file"),
        (&user("empty"), "password_file"),
        (&user("lines"), "password_file"),
        (&user(""), "password_file"),
        (&format!("ca_file = '{at}/no.pem'"), "ca_file"),
    ];
    let made = |text: &str| {
        let (host, _) = TestHost::new(None);
        Elasticsearch::new(options(&format!("urls = ['http://127.0.0.1:1']\n{text}"))?, &host)
    };
    for (text, path) in cases {
        let error = made(text).unwrap_err();
        assert_eq!(error.path(), *path, "{text}: {error}");
        assert!(!error.message().contains("secret"), "{text}: {error}");
    }
    for text in ["", &user("good"), &format!("api_key_file = '{at}/good'")] {
        let shown = format!("{:?}", made(text).unwrap());
        assert!(!shown.contains("secret") && !shown.contains("bWU6c2VjcmV0"), "{text}: {shown}");
    }
    let (host, _) = TestHost::new(None);
    for urls in ["urls = []", "urls = ['http://a', 'b']"] {
        let error = Elasticsearch::new(options(urls).unwrap(), &host).unwrap_err();
        assert!(error.path().starts_with("urls"), "{urls}: {error}");
    }
}

#[test]
fn each_row_says_where_it_goes() {
    let ids = FixedSizeBinaryArray::try_from_iter([[0xab_u8; 16], [1; 16]].iter()).unwrap();
    let times = TimestampNanosecondArray::from(vec![1_000_000_001, 86_400_000_000_000]);
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(times.with_timezone("+00:00"))];
    let schema = schema::record("head", vec![schema::uuid("record_id"), schema::time("time")]);
    let records = RecordBatch::try_new(schema, columns).unwrap();
    let first = "abababab-abab-abab-abab-abababababab";
    let second = "01010101-0101-0101-0101-010101010101";
    let (one, two) = ("1970-01-01T00:00:01.000000001Z", "1970-01-02T00:00:00.000000000Z");
    let cases = [
        (
            "",
            format!(
                r#"{{"index":{{"_index":"x-head-1970.01.01","_id":"{first}"}}}}
{{"record":"head","time":"{one}"}}
{{"index":{{"_index":"x-head-1970.01.02","_id":"{second}"}}}}
{{"record":"head","time":"{two}"}}
"#
            ),
        ),
        (
            "data_stream = true",
            format!(
                r#"{{"create":{{"_index":"x-head","_id":"{first}"}}}}
{{"@timestamp":"{one}","record":"head","time":"{one}"}}
{{"create":{{"_index":"x-head","_id":"{second}"}}}}
{{"@timestamp":"{two}","record":"head","time":"{two}"}}
"#
            ),
        ),
    ];
    for (more, expected) in cases {
        let options = options(&format!("urls = []\nindex = 'x'\n{more}")).unwrap();
        let indices = Indices::new(&options).unwrap();
        let table = Table::new(&records.schema(), &indices).unwrap();
        let documents = table.documents(&records).unwrap();
        let mut writer = json::Writer::default();
        let rows = writer.rows(&documents).unwrap();
        let mut actions = table.actions(&records, &indices);
        let mut out = Vec::new();
        for row in 0..records.num_rows() {
            actions.append(row, &mut out);
            let begin = out.len();
            rows.append(row, &mut out);
            actions.join(begin, &mut out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{more}");
    }
}

/// Without a time nothing can go into a data stream; without an id the store makes one.
#[test]
fn what_a_record_type_lacks_is_told_or_left_out() {
    let schema = schema::record("head", vec![schema::text("a", Kind::Text)]);
    let stream = options("urls = []\ndata_stream = true").unwrap();
    let error = Table::new(&schema, &Indices::new(&stream).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ringmill_sdk::ErrorKind::Refused);
    let indices = Indices::new(&options("urls = []").unwrap()).unwrap();
    let table = Table::new(&schema, &indices).unwrap();
    let records = RecordBatch::new_empty(schema);
    let mut out = Vec::new();
    table.actions(&records, &indices).append(0, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "{\"index\":{\"_index\":\"ringmill-head\"}}\n");
}
