//! With a key for each day.

use std::{fs, os::unix::fs::OpenOptionsExt, path::PathBuf};

use ringmill_sdk::{
    AddressMap, Anonymizer, Timestamp,
    arrow_array::RecordBatch,
    arrow_schema,
    key::{Epoch, Key, Ratchet},
    parse_config, schema,
    testing::{Row, START, TestHost, Trial, records, rows},
};

use super::super::CryptoPan;

const DAY: i64 = 86_400_000_000_000;

/// A row for each of these days after the first of January 2026, always of the same host.
fn batch(days: &[i64]) -> RecordBatch {
    let schema = schema::record("http", vec![schema::time("time"), schema::address("src_ip")]);
    let times: Vec<_> = days.iter().map(|day| (START.0 + day * DAY).to_string()).collect();
    let rows: Vec<_> = times.iter().map(|time| [time.as_str(), "192.0.2.1"]).collect();
    records(&schema, &rows.iter().map(<[&str; 2]>::as_slice).collect::<Vec<_>>())
}

/// What the host became in each row.
fn pseudonyms(trial: &Trial<Anonymizer<CryptoPan>>) -> Vec<String> {
    rows(&trial.ran().records).iter().map(|row: &Row| row["src_ip"].clone()).collect()
}

fn trial(live: bool, options: &str) -> Trial<Anonymizer<CryptoPan>> {
    Trial::in_epochs(Epoch::Day, live, options).unwrap()
}

#[test]
fn a_host_has_another_pseudonym_each_day_and_the_same_within() {
    let mut trial = trial(false, "key = \"ephemeral\"");
    trial.records(batch(&[0, 0, 1, 1, 0, 2])).unwrap();
    trial.records(batch(&[2, 1])).unwrap();
    trial.records(batch(&[])).unwrap();
    let seen = pseudonyms(&trial);
    let days = [0, 0, 1, 1, 0, 2, 2, 1];
    for (at, a) in days.iter().enumerate() {
        for (other, b) in days.iter().enumerate() {
            assert_eq!(a == b, seen[at] == seen[other], "rows {at} and {other} of {seen:?}");
        }
    }
    assert!(seen.iter().all(|address| address != "192.0.2.1"), "{seen:?}");
    let times: Vec<_> = rows(&trial.ran().records).iter().map(|row| row["time"].clone()).collect();
    let sent = days.map(|day| (START.0 + day * DAY).to_string());
    assert_eq!(times, sent, "the rows keep their order");
}

#[test]
fn rows_without_a_time_are_an_error_and_not_raw() {
    let schema = schema::record("odd", vec![schema::address("who")]);
    let mut trial = trial(false, "key = \"ephemeral\"");
    let error = trial.records(records(&schema, &[&["192.0.2.1"]])).unwrap_err().to_string();
    assert!(error.contains("`odd` has no column `time`"), "{error}");
    assert!(trial.ran().records.is_empty());
    // An empty table, as `engine check` sends it, has no rows to tell apart, and counts have
    // nothing to map.
    trial.records(records(&schema, &[])).unwrap();
    let number = schema::field("n", arrow_schema::DataType::UInt64, schema::Kind::Number);
    trial.records(records(&schema::record("counts", vec![number]), &[&["7"]])).unwrap();
    assert_eq!(rows(&trial.ran().records).len(), 1);
}

#[test]
fn before_the_first_epoch_nothing_passes() {
    let (host, _) = TestHost::in_epochs(Epoch::Day, false);
    let mut map = CryptoPan::new(parse_config("key = \"ephemeral\"").unwrap(), &host).unwrap();
    let (mut v4, mut v6) = ([0xc000_0201], [1_u128 << 100 | 1]);
    map.v4(&mut v4);
    map.v6(&mut v6);
    assert_eq!((v4, v6), ([0], [0]));
}

/// A key file whose first key is that of a day after the first of January 2026.
fn key_file(directory: &std::path::Path, first: i64) -> PathBuf {
    let path = directory.join(format!("from-{first}"));
    let start = Epoch::Day.period(START);
    let mut chain = Ratchet::new(Epoch::Day, start, Key::new(super::KEY));
    chain.advance(start + first);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, chain.to_text().as_bytes()).unwrap();
    path
}

#[test]
fn an_advanced_file_gives_the_same_pseudonyms_and_none_of_the_days_before() {
    let directory = tempfile::tempdir().unwrap();
    let run = |first: i64, days: &[i64]| {
        let file = key_file(directory.path(), first);
        let mut trial = trial(false, &format!("key_file = {file:?}"));
        let done = trial.records(batch(days)).map_err(|error| error.to_string());
        (done, pseudonyms(&trial))
    };
    let (done, whole) = run(0, &[0, 1, 2]);
    assert_eq!(done, Ok(()));
    let (done, later) = run(1, &[1, 2, 0, 2]);
    assert_eq!(later, whole[1..], "later days are as before, and what follows the error is held");
    let error = done.unwrap_err();
    assert!(error.contains("a row is of the day 2026-01-01"), "{error}");
    assert!(error.contains("is that of the day 2026-01-02"), "{error}");
}

#[test]
fn live_it_forgets_with_the_clock() {
    let mut trial = trial(true, "key = \"ephemeral\"");
    trial.records(batch(&[0])).unwrap();
    trial.tick(Timestamp(START.0 + DAY)).unwrap();
    trial.records(batch(&[0, 1])).unwrap();
    trial.tick(Timestamp(START.0 + 2 * DAY)).unwrap();
    trial.records(batch(&[1, 2])).unwrap();
    assert!(trial.records(batch(&[0])).is_err());
    let seen = pseudonyms(&trial);
    assert_eq!((&seen[0], &seen[2]), (&seen[1], &seen[3]), "{seen:?}");
}
