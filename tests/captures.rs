//! Every head of every capture, against what other programs say is in it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{Row, heads, own_captures, shared_captures, text};
use serde_json::Value;

/// A head's place: when, between whom, which way.
type Place = (String, String, u64, String, u64, &'static str);

fn number(row: &Row, field: &str) -> u64 {
    row.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn place(row: &Row) -> Place {
    let kind = if text(row, "record") == Some("http_request") { "request" } else { "response" };
    let address = |field| text(row, field).unwrap_or_default().to_owned();
    (
        nanoseconds(text(row, "time").unwrap_or_default()),
        address("src_ip"),
        number(row, "src_port"),
        address("dst_ip"),
        number(row, "dst_port"),
        kind,
    )
}

/// Nanoseconds since the epoch of `2026-01-02T03:04:05.000000006Z`, as text.
fn nanoseconds(time: &str) -> String {
    let (date, clock) = time.trim_end_matches('Z').split_once('T').unwrap();
    let numbers = |text: &str, by| text.split(by).map(|n| n.parse().unwrap()).collect::<Vec<i64>>();
    let date = numbers(date, '-');
    let (clock, fraction) = clock.split_once('.').unwrap();
    let clock = numbers(clock, ':');
    // Days from civil, as in Hinnant's paper.
    let (year, month) = (date[0] - i64::from(date[1] <= 2), date[1]);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + date[2] - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2];
    format!("{seconds}{fraction}")
}

/// Our columns and the truth's, where they have the same name in both.
const FIELDS: [&str; 12] = [
    "method",
    "uri",
    "host",
    "user_agent",
    "referer",
    "content_type",
    "server",
    "cache_control",
    "content_encoding",
    "connection",
    "pragma",
    "version",
];

fn differences(ours: &Row, truth: &Row, fields: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in fields {
        // White space around a value is no part of it (RFC 9110, section 5.5); tshark keeps it.
        let (a, b) = (text(ours, field), text(truth, field).map(str::trim));
        if a.unwrap_or_default() != b.unwrap_or_default() {
            wrong.push(format!("{field}: {a:?}, but the truth is {b:?}"));
        }
    }
    let status = truth.get("status").and_then(Value::as_u64);
    if ours.get("status_code").and_then(Value::as_u64) != status {
        wrong.push(format!("status: {:?}, but the truth is {status:?}", ours.get("status_code")));
    }
    wrong
}

#[test]
fn our_captures_hold_what_an_independent_reader_finds() {
    let captures = own_captures();
    assert!(captures.len() >= 10, "the captures are missing");
    for capture in captures {
        let name = capture.file_name().unwrap().to_string_lossy().into_owned();
        let expected = common::rows(&common::expected(&capture));
        assert!(!expected.is_empty(), "{name} has no expectations");
        let mut found: BTreeMap<Place, Vec<Row>> = BTreeMap::new();
        for row in heads(&capture) {
            found.entry(place(&row)).or_default().push(row);
        }
        for truth in &expected {
            let kind = match text(truth, "kind") {
                Some("request") => "request",
                _ => "response",
            };
            let at = (
                text(truth, "time_ns").unwrap().to_owned(),
                text(truth, "src").unwrap().to_owned(),
                number(truth, "sport"),
                text(truth, "dst").unwrap().to_owned(),
                number(truth, "dport"),
                kind,
            );
            let row = found.get_mut(&at).and_then(Vec::pop);
            let row = row.unwrap_or_else(|| panic!("{name}: no head at {at:?}"));
            assert_eq!(differences(&row, truth, &FIELDS), Vec::<String>::new(), "{name} {at:?}");
            let cut = text(&row, "flags").is_some_and(|flags| flags.contains("truncated"));
            let complete = truth.get("head_complete").and_then(Value::as_bool);
            assert_eq!(Some(!cut), complete, "{name} {at:?}");
        }
        let surplus: Vec<_> = found.into_values().flatten().collect();
        assert!(surplus.is_empty(), "{name}: heads that nobody else found: {surplus:?}");
    }
}

#[test]
fn shared_captures_have_the_heads_that_single_packets_hold() {
    let Some(folder) = shared_captures() else { return };
    let mut failed = Vec::new();
    let mut met = 0;
    for truth in truth_table(&folder) {
        let (file, link) = (&truth["file"], &truth["link_type"]);
        let rows = heads(&folder.join(file));
        let count = |record| rows.iter().filter(|row| text(row, "record") == Some(record)).count();
        let found = (count("http_request").to_string(), count("http_response").to_string());
        // A datagram put together from its fragments is one packet, too.
        let packets = |whole: &str, fragmented: &str| {
            let count = |column: &str| truth[column].parse::<u32>().unwrap();
            (count(whole) + count(fragmented)).to_string()
        };
        let wanted = (
            packets("single_packet_requests", "single_packet_req_in_first_fragment"),
            packets("single_packet_responses", "single_packet_resp_in_first_fragment"),
        );
        if found == wanted {
            met += 1;
        } else {
            failed.push(format!("{file} ({link}): {found:?} of {wanted:?}"));
        }
    }
    println!("{met} captures met exactly");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(met >= 28, "only {met} captures were met");
}

#[test]
fn shared_captures_have_the_fields_that_others_see() {
    let Some(folder) = shared_captures() else { return };
    let (mut compared, mut tunnelled, mut wrong) = (0, 0, Vec::new());
    for truth in truth_table(&folder) {
        let file = &truth["file"];
        if file.contains("http-evader") {
            continue;
        }
        let mut found: BTreeMap<Place, Vec<Row>> = BTreeMap::new();
        for row in heads(&folder.join(file)) {
            found.entry(place(&row)).or_default().push(row);
        }
        for message in common::rows(&folder.join(format!("truth/{file}.jsonl"))) {
            let whole = message.get("head_complete").and_then(Value::as_bool) == Some(true);
            if number(&message, "head_segments") != 1 || !whole {
                continue;
            }
            let kind = match text(&message, "kind") {
                Some("request") => "request",
                _ => "response",
            };
            let at = (
                text(&message, "time_first").unwrap().replace('.', ""),
                text(&message, "src").unwrap().to_owned(),
                number(&message, "sport"),
                text(&message, "dst").unwrap().to_owned(),
                number(&message, "dport"),
                kind,
            );
            // A head that begins inside a segment, behind another, is not taken yet.
            let Some(row) = found.remove(&at).and_then(|mut rows| rows.pop()) else { continue };
            compared += 1;
            let way = text(&row, "encapsulation").unwrap_or_default();
            let wanted = encapsulation(text(&message, "protocols").unwrap());
            tunnelled += u32::from(!way.is_empty());
            if way != wanted {
                let frame = &message["frame_first"];
                wrong.push(format!("{file} frame {frame}: {way:?}, but the way is {wanted:?}"));
            }
            let fields = &FIELDS[..11];
            for difference in differences(&row, &message, fields) {
                wrong.push(format!("{file} frame {}: {difference}", message["frame_first"]));
            }
        }
    }
    println!("{compared} heads compared, {tunnelled} of them in tunnels");
    assert!(wrong.is_empty(), "{} of {compared}: {wrong:#?}", wrong.len());
    assert!(compared > 1000, "only {compared} heads were compared");
    assert!(tunnelled >= 7, "only {tunnelled} heads in tunnels were compared");
}

/// The way to the innermost packet, from the protocols that tshark lists.
fn encapsulation(protocols: &str) -> String {
    let name = |(at, protocol)| match (at, protocol) {
        (1.., "eth") => Some("ethernet"),
        (_, "mpls" | "gre" | "vxlan") => Some(protocol),
        (_, "pppoes") => Some("pppoe"),
        (_, "gtp") => Some("gtp_u"),
        _ => None,
    };
    protocols.split(':').enumerate().filter_map(name).collect::<Vec<_>>().join("/")
}

/// The rows of `truth.csv` by column; no field of it holds a quoted comma before `notes`.
fn truth_table(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(folder.join("truth.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        names.iter().map(ToString::to_string).zip(line.split(',').map(ToOwned::to_owned)).collect()
    };
    lines.map(row).collect()
}
