//! Every head of every capture, against what other programs say is in it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

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
        let (mut seen, mut copies) = (BTreeSet::new(), 0);
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
            let message = without_place(truth);
            let Some(row) = found.get_mut(&at).and_then(Vec::pop) else {
                // Of a packet that was captured twice, or sent again, the first copy counts.
                assert!(seen.contains(&message), "{name}: no head at {at:?}");
                copies += 1;
                continue;
            };
            seen.insert(message);
            let cut = text(&row, "flags").is_some_and(|flags| flags.contains("truncated"));
            assert!(!cut, "{name} {at:?}: no head was cut by the capture");
            // What one packet holds is a beginning of what all of them hold.
            if truth.get("head_complete").and_then(Value::as_bool) == Some(true) {
                let wrong = differences(&row, truth, &FIELDS);
                assert_eq!(wrong, Vec::<String>::new(), "{name} {at:?}");
            }
        }
        println!("{name}: {} heads, {copies} of them copies", expected.len());
        let surplus: Vec<_> = found.into_values().flatten().collect();
        assert!(surplus.is_empty(), "{name}: heads that nobody else found: {surplus:?}");
    }
}

/// A message of the truth without when and in which frame it was seen.
fn without_place(truth: &Row) -> String {
    let mut truth = truth.clone();
    truth.remove("frame");
    truth.remove("time_ns");
    format!("{truth:?}")
}

/// Who said what to whom, as far as a first line tells.
type Message = (String, u64, String, u64, String);

fn message(row: &Row, ports: [&str; 4], status: &str) -> Message {
    let [src, sport, dst, dport] = ports;
    let line = match row.get(status).and_then(Value::as_u64) {
        Some(status) => status.to_string(),
        None => match (text(row, "method"), text(row, "uri")) {
            (None, None) => "?".to_owned(),
            // The truth ends a URL at its first space.
            (method, uri) => {
                let uri = uri.unwrap_or_default().split(' ').next();
                format!("{} {}", method.unwrap_or_default(), uri.unwrap_or_default())
            }
        },
    };
    let address = |name| text(row, name).unwrap_or_default().to_owned();
    (address(src), number(row, sport), address(dst), number(row, dport), line)
}

/// Why we find heads in a file that the truth lacks, and how that shows in each of them.
type Reason = (&'static str, &'static str, fn(&Surplus<'_>) -> bool);

/// Heads that we find and the truth lacks. Which they are, by frame, is in
/// `fixtures/not_in_the_truth.txt`; there is no other kind of exception.
const NOT_IN_THE_TRUTH: [Reason; 3] = [
    (
        "seladb_PcapPlusPlus__Tests_Pcap_Test_PcapExamples_4KHttpRequests.pcap",
        "The capture was filtered to packets that begin with a request, so the rest of a head of \
         more than one packet is not there. Tshark waits for it and takes the next requests for \
         it; its own look at single packets finds them.",
        |it| it.is_first_sight && it.is_request_line && it.has_flag("incomplete"),
    ),
    (
        "seladb_PcapPlusPlus__Tests_Pcap_Test_PcapExamples_example.pcap",
        "SUBSCRIBE on port 5005: tshark looks for the nine methods where it expects no HTTP. The \
         truth has its response.",
        |it| it.is_request_line && it.has_other_half && it.has_flag("unknown_method"),
    ),
    (
        "andrewf_pcap2har__tests_out-of-order.pcap",
        "The server answers the SYN of one connection twice, with two beginnings (frames 379 and \
         468); the client takes the first. Tshark goes by the second one and takes all but one of \
         the responses for old. Each is one to a request that the truth has.",
        |it| it.has_other_half && !it.row.contains_key("flags"),
    ),
];

/// A head that the truth lacks.
struct Surplus<'a> {
    row: &'a Row,
    /// Tshark says that the packet begins with a head and is no retransmission.
    is_first_sight: bool,
    /// A method, a target and a version.
    is_request_line: bool,
    /// The truth has its response or its request.
    has_other_half: bool,
}

impl Surplus<'_> {
    fn has_flag(&self, flag: &str) -> bool {
        text(self.row, "flags").is_some_and(|flags| flags.contains(flag))
    }
}

#[test]
fn shared_captures_have_every_message() {
    let Some(folder) = shared_captures() else { return };
    let (mut all, mut missing, mut surplus) = (0, Vec::new(), Vec::new());
    let mut unproven = Vec::new();
    for file in truth_table(&folder).iter().map(|truth| &truth["file"]) {
        let truth = common::rows(&folder.join(format!("truth/{file}.jsonl")));
        all += truth.len();
        let mut expected: BTreeMap<Message, Vec<String>> = BTreeMap::new();
        for row in &truth {
            let message = message(row, ["src", "sport", "dst", "dport"], "status");
            let time = text(row, "time_first").unwrap().replace('.', "");
            expected.entry(message).or_default().push(time);
        }
        // At the same time; of what was sent twice either copy may count.
        let mut rows = heads(&folder.join(file));
        for same_time in [true, false] {
            rows.retain(|row| {
                let message =
                    message(row, ["src_ip", "src_port", "dst_ip", "dst_port"], "status_code");
                let time = nanoseconds(text(row, "time").unwrap());
                let times = expected.entry(message).or_default();
                let found = times.iter().position(|it| !same_time || *it == time);
                found.map(|at| times.remove(at)).is_none()
            });
        }
        for (message, times) in expected {
            missing.extend(times.iter().map(|time| format!("{file}: {message:?} at {time}")));
        }
        if rows.is_empty() {
            continue;
        }
        let frames = frames(&fs::read(folder.join(file)).unwrap());
        let singles = common::rows(&folder.join(format!("truth/{file}.single.jsonl")));
        for row in &rows {
            let frame = frames.iter().position(|it| *it == place(row).0).map_or(0, |at| at + 1);
            let words = [text(row, "method"), text(row, "uri")].map(Option::unwrap_or_default);
            let line = match row.get("status_code") {
                Some(status) => status.to_string(),
                None => words.join(" ").chars().take(60).collect(),
            };
            surplus.push(format!("{file} {frame} {line}"));
            let it = Surplus {
                row,
                is_first_sight: singles.iter().any(|it| {
                    let is = |field: &str| it.get(field).and_then(Value::as_bool).unwrap_or(true);
                    number(it, "frame") == frame as u64
                        && !is("retransmission")
                        && !is("is_message_head")
                }),
                is_request_line: words.iter().all(|word| !word.is_empty())
                    && text(row, "version").is_some_and(|it| it.starts_with("HTTP/1.")),
                has_other_half: truth.iter().any(|it| {
                    let asked = text(row, "request_uri");
                    let ports = (number(row, "dst_port"), number(row, "src_port"));
                    let is_other = text(it, "kind")
                        == Some(if asked.is_some() { "request" } else { "response" });
                    is_other
                        && text(it, "uri") == asked
                        && (number(it, "sport"), number(it, "dport")) == ports
                }),
            };
            let reason = NOT_IN_THE_TRUTH.iter().find(|(of, ..)| of == file);
            if !reason.is_some_and(|(.., holds)| holds(&it)) {
                unproven.push(surplus.last().cloned());
            }
        }
    }
    println!("{all} messages; {} heads that the truth lacks", surplus.len());
    assert!(all > 1000, "only {all} messages");
    assert_eq!(missing, Vec::<String>::new(), "of {all}");
    assert!(unproven.is_empty(), "for no reason that holds: {unproven:#?}");
    surplus.sort();
    let listed = fs::read_to_string(common::root().join("tests/fixtures/not_in_the_truth.txt"));
    let listed: Vec<_> = listed.unwrap().lines().map(ToOwned::to_owned).collect();
    let (new, gone) = (without(&surplus, &listed), without(&listed, &surplus));
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}; gone: {gone:#?}");
}

/// What the one has and the other has not, each as often as it is there.
fn without(one: &[String], other: &[String]) -> Vec<String> {
    let mut other = other.to_vec();
    let is_new = |line: &&String| match other.iter().position(|it| it == *line) {
        Some(at) => {
            other.swap_remove(at);
            false
        }
        None => true,
    };
    one.iter().filter(is_new).cloned().collect()
}

/// When each frame of a pcap file was captured, in nanoseconds since the epoch.
fn frames(pcap: &[u8]) -> Vec<String> {
    let word =
        |at: usize| pcap.get(at..at + 4).map(|it| u32::from_le_bytes(it.try_into().unwrap()));
    assert_eq!(word(0), Some(0xa1b2_c3d4), "a pcap file in little endian with microseconds");
    let (mut times, mut at) = (Vec::new(), 24);
    while let (Some(seconds), Some(micros), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        times.push(format!("{seconds}{micros:06}000"));
        at += 16 + length as usize;
    }
    times
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
            // Several heads may begin in one segment.
            let uri = text(&message, "uri");
            let rows = found.get_mut(&at);
            let Some(row) = rows.and_then(|rows| {
                let same = rows.iter().position(|row| text(row, "uri") == uri);
                (!rows.is_empty()).then(|| rows.remove(same.unwrap_or(0)))
            }) else {
                continue;
            };
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
