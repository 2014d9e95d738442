//! Heads that break the rules: what is said of them, and what of them is taken.

use std::time::{Duration, Instant};

use ringmill_sdk::testing::{run, tcp};

use super::{CLIENT, SERVER, SINGLE};
use crate::{
    Http,
    flags::Flags,
    head::{Head, Kind, Start, Take},
    rows::{Rows, Told},
};

/// Counts what is taken.
#[derive(Default)]
struct Taken {
    fields: usize,
    bytes: usize,
}

impl<'a> Take<'a> for Taken {
    fn start(&mut self, start: &Start<'a>) {
        self.bytes += start.target.len() + start.reason.len();
    }

    fn field(&mut self, name: &'a str, value: &'a [u8], _: bool) {
        self.fields += 1;
        self.bytes += name.len() + value.len();
    }
}

/// What is said of a head, and how many fields of it are taken.
fn read(head: &[u8]) -> (String, usize) {
    let kind = if head.starts_with(b"HTTP/") { Kind::Response } else { Kind::Request };
    let (mut taken, mut text) = (Taken::default(), String::new());
    Head::Bytes(head).read(kind, &mut taken).write(&mut text);
    (text, taken.fields)
}

#[test]
fn each_has_its_reason() {
    let cases: &[(&[u8], &str, usize)] = &[
        // (the head, its flags, the fields that are taken)
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", "", 1),
        // Line ends.
        (b"GET / HTTP/1.1\nA: b\n\n", "bare_lf", 1),
        (b"GET / HTTP/1.1\r\nA: b\n\r\n", "bare_lf", 1),
        (b"GET / HTTP/1.1\r\nA: b \t\r\nB:\r\n\n", "bare_lf", 2),
        (b"GET / HTTP/1.1\nA: b\r\n\r\n", "bare_lf", 1),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "bare_lf", 1),
        (b"GET / HTTP/1.1\nA : b\n\n", "malformed,bare_lf,space_before_colon", 1),
        (b"GET / HTTP/1.1\nA: b", "truncated,bare_lf", 0),
        (b"GET / HTTP/1.1\r\r\nA: b\r\n\r\n", "malformed,bare_cr", 1),
        (b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", "malformed,bare_cr", 1),
        (b"GET / HTTP/1.1\rA: b\r\n\r\n", "malformed,bare_cr", 0),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\r\n", "malformed,bare_cr", 1),
        // Bytes.
        (b"GET /a\0b HTTP/1.1\r\n\r\n", "malformed,nul", 0),
        (b"GET / HTTP/1.1\r\nA: \0b\r\nC: d\r\n\r\n", "malformed,nul", 2),
        (b"GET / HTTP/1.1\r\nA\0: b\r\nC: d\r\n\r\n", "malformed,nul,bad_header", 1),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", "malformed,nul", 0),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "malformed,control_byte", 1),
        (b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "malformed,control_byte", 1),
        (b"GET / HTTP/1.1\r\nA: a\tb\r\n\r\n", "", 1),
        // The method.
        (b"GETX / HTTP/1.1\r\n\r\n", "unknown_method", 0),
        (b"get / HTTP/1.1\r\n\r\n", "unknown_method", 0),
        (b"CCM_POST / HTTP/1.1\r\nA: b", "truncated,unknown_method", 0),
        (b"PROPFIND / HTTP/1.1\r\n\r\n", "", 0),
        // The target.
        (b"GET /a b HTTP/1.1\r\n\r\n", "malformed,space_in_target", 0),
        (b"GET /a\tb HTTP/1.1\r\n\r\n", "malformed,space_in_target", 0),
        (b"GET /a b", "truncated,malformed,space_in_target", 0),
        (b"GET  /a HTTP/1.1\r\n\r\n", "malformed,extra_space", 0),
        (b"GET /a  HTTP/1.1\r\n\r\n", "malformed,extra_space", 0),
        (b"GET  HTTP/1.1\r\n\r\n", "malformed,bad_target", 0),
        (b"GET \r\n\r\n", "malformed,bad_target,bad_version", 0),
        // The version.
        (b"GET /a\r\n\r\n", "malformed,bad_version", 0),
        (b"GET /a HTTP/1.2\r\n\r\n", "malformed,bad_version", 0),
        (b"GET /a HTTP/2.0\r\n\r\n", "malformed,bad_version", 0),
        (b"GET /a HTTP/1.1 \r\n\r\n", "malformed,extra_space", 0),
        (b"GET /a http/1.1\r\n\r\n", "malformed,space_in_target,bad_version", 0),
        (b"HTTP/1.x 200 OK\r\n\r\n", "malformed,bad_version", 0),
        (b"HTTP/1.10 200 OK\r\n\r\n", "malformed,bad_version", 0),
        // The status.
        (b"HTTP/1.1 2OO OK\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1 20 OK\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1 OK\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1 -20 OK\r\n\r\n", "malformed,bad_status", 0),
        (b"HTTP/1.1 099 OK\r\n\r\n", "bad_status", 0),
        (b"HTTP/1.1 600 OK\r\n\r\n", "bad_status", 0),
        (b"HTTP/1.1 599 OK\r\n\r\n", "", 0),
        (b"HTTP/1.1 20", "truncated", 0),
        (b"HTTP/1.1 2O", "truncated,malformed,bad_status", 0),
        (b"HTTP/1.1  200 OK\r\n\r\n", "malformed,extra_space", 0),
        // Fields.
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", "malformed,space_before_colon", 1),
        (b"GET / HTTP/1.1\r\nA B: c\r\nD: e\r\n\r\n", "malformed,bad_header", 1),
        (b"GET / HTTP/1.1\r\nA\r\nD: e\r\n\r\n", "malformed,bad_header", 1),
        (b"GET / HTTP/1.1\r\n: b\r\nD: e\r\n\r\n", "malformed,bad_header", 1),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\nD: e\r\n\r\n", "malformed,folded", 2),
        (b"GET / HTTP/1.1\r\n A: b\r\nD: e\r\n\r\n", "malformed,folded", 1),
        (b"GET / HTTP/1.1\r\nA: b\r\n\t", "truncated,malformed,folded", 1),
        // Everything at once.
        (
            b"GETX  /a b\0 HTTP/3\nA : \x01\r\n c\r\nd\re\r\n\r\n",
            "malformed,bare_lf,bare_cr,nul,control_byte,unknown_method,space_in_target,\
             bad_version,extra_space,space_before_colon,bad_header,folded",
            1,
        ),
    ];
    for (head, flags, fields) in cases {
        assert_eq!(read(head), ((*flags).to_owned(), *fields), "{}", head.escape_ascii());
    }
}

#[test]
fn heads_that_are_too_long() {
    let request = |lines: String| format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
    let value = |bytes: usize| format!("X: {}\r\n", "v".repeat(bytes - 3));
    let many = |fields: usize| (0..fields).map(|at| format!("x-{at}: {at}\r\n")).collect();
    let target = |bytes: usize| format!("GET {} HTTP/1.1\r\n\r\n", "/".repeat(bytes)).into_bytes();
    let cases: &[(&str, Vec<u8>, &str, usize)] = &[
        ("a line of 8192 bytes", request(value(8192)), "", 1),
        ("a line of 8193 bytes", request(value(8193)), "long_line", 1),
        ("two half as long", request(value(6000).repeat(2)), "", 2),
        (
            "a folded one",
            request(format!("{} {}", value(9), value(8192))),
            "malformed,folded,long_line",
            1,
        ),
        ("1 MB", request(value(1_000_000)), "long_line", 1),
        ("more than is looked at", request(value(2_000_000)), "truncated,long_line", 0),
        ("a long target", target(9000), "long_line", 0),
        ("256 fields", request(many(256)), "", 256),
        ("257 fields", request(many(257)), "too_many_headers", 256),
        ("10,000 fields", request(many(10_000)), "too_many_headers", 256),
        ("10,000 lines that are none", request("x\r\n".repeat(10_000)), "malformed,bad_header", 0),
    ];
    for (name, head, flags, fields) in cases {
        assert_eq!(read(head), ((*flags).to_owned(), *fields), "{name}");
    }
}

/// Where a head was refused another flag says why: a head broken at one place by every byte value, whole and cut behind that place.
#[test]
fn what_is_refused_has_a_reason() {
    let wholes: [&[u8]; 3] = [
        b"GET /a HTTP/1.1\r\nHost: h\r\nX-Y:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nHost: h\r\nX-Y: z\r\n\r\n",
        b"POST /a HTTP/1.0\nHost:h \n\n",
    ];
    let marks = ["", "truncated", "malformed", "bare_lf", "unknown_method"];
    for whole in wholes {
        let kind = if whole.starts_with(b"HTTP/") { Kind::Response } else { Kind::Request };
        let (mut rows, mut text) = (Rows::new(kind), String::new());
        // Behind that by which it is taken for a head.
        for at in whole.iter().position(|byte| b" .".contains(byte)).unwrap() + 1..whole.len() {
            for byte in 0..=u8::MAX {
                let mut head = whole.to_vec();
                head[at] = byte;
                for end in [head.len(), at + 1, at + 2, at + 9] {
                    let head = &head[..end.min(head.len())];
                    rows.add(&super::speed::seen(), head.into(), &Told::default())
                        .flags
                        .write(&mut text);
                    let has_reason = text.split(',').any(|flag| !marks.contains(&flag));
                    let is_refused = text.contains("malformed");
                    assert!(has_reason || !is_refused, "{}: {text}", head.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn the_ledger_counts_by_reason() {
    let frames = [
        tcp(CLIENT, SERVER, "GET /a b HTTP/1.1\nA: b\n\n"),
        tcp("192.0.2.1:40001", SERVER, "GET /c HTTP/1.1\n\n"),
        tcp(SERVER, CLIENT, "HTTP/1.1 2OO OK\n\n"),
        tcp("192.0.2.1:40002", SERVER, "GET / HTTP/1.1\r\n\r\n"),
    ];
    for mode in [SINGLE, ""] {
        let ran = run::<Http>(mode, &frames).unwrap();
        let counted = |name: &str| ran.counters.get(&format!("heads.{name}")).copied();
        assert_eq!(counted("bare_lf"), Some(3), "{mode}");
        assert_eq!(counted("space_in_target"), Some(1), "{mode}");
        assert_eq!(counted("bad_status"), Some(1), "{mode}");
        assert_eq!(counted("malformed"), Some(2), "{mode}");
        assert_eq!(counted("folded"), Some(0), "{mode}");
        for (word, _) in Flags::TABLE {
            let elsewhere = *word == "no_request";
            assert_eq!(counted(word).is_some(), !elsewhere, "{word}");
        }
    }
}

/// The worst shapes, of one length and of four times it: what costs a square would cost sixteen
/// times as much. A shape is compared with itself, so that a slow build makes no difference, and
/// is short enough to be read within one time slice of a busy machine. Both lengths are beyond
/// those of a usual line.
#[test]
fn four_times_the_bytes_of_the_worst_shapes_cost_no_square() {
    const BYTES: usize = 12_288;
    for (small, large) in shapes(BYTES).iter().zip(shapes(4 * BYTES)) {
        let pairs = (0..200).map(|_| (cost(&small.1), cost(&large.1)));
        let mut least = (Duration::MAX, Duration::MAX);
        // The fastest of each is that which nothing else disturbed.
        let is_linear = pairs.enumerate().any(|(round, pair)| {
            least = (least.0.min(pair.0), least.1.min(pair.1));
            round >= 2 && least.1 < least.0 * 8
        });
        assert!(is_linear, "{}: {:?}, and four times of it {:?}", small.0, least.0, least.1);
    }
}

fn shapes(length: usize) -> Vec<(&'static str, Vec<u8>)> {
    let fill = |unit: &str| unit.repeat(length / unit.len()).into_bytes();
    let request = |lines: Vec<u8>| [&b"GET / HTTP/1.1\r\n"[..], &lines, b"\r\n"].concat();
    vec![
        ("fields", request(fill(&format!("Name: {}\r\n", "value ".repeat(50))))),
        ("one value", request([b"X: ".to_vec(), fill("v")].concat())),
        ("one name", request(fill("n"))),
        ("one target", [b"GET /".to_vec(), fill("a"), b" HTTP/1.1\r\n\r\n".to_vec()].concat()),
        (
            "spaces in the target",
            [b"GET /".to_vec(), fill(" a"), b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
        ),
        ("versions", [b"GET /".to_vec(), fill(" HTTP/"), b"\r\n\r\n".to_vec()].concat()),
        ("spaces", [b"GET ".to_vec(), fill(" "), b"\r\n\r\n".to_vec()].concat()),
        ("a status", [b"HTTP/1.1 ".to_vec(), fill("2"), b"\r\n\r\n".to_vec()].concat()),
        ("bare LFs", [b"GET / HTTP/1.1\n".to_vec(), fill("a: b\n"), b"\n".to_vec()].concat()),
        ("CRs", request(fill("\r"))),
        ("CRs in a value", request([b"X: ".to_vec(), fill("\ra")].concat())),
        ("NULs", request([b"X: ".to_vec(), fill("\0")].concat())),
        ("folded lines", request(fill(" a\r\n"))),
        ("lines without a colon", request(fill("a\n"))),
        ("names that are none", request(fill("a b:\n"))),
        ("spaces before colons", request(fill("a : b\n"))),
        ("one name many times", request(fill("a: b\r\n"))),
        ("colons", request(fill(":"))),
        ("links", request([b"Link: ".to_vec(), fill("<@>,")].concat())),
        ("link words", request([b"Link: ".to_vec(), fill("a@ ")].concat())),
        ("link brackets", request([b"Link: ".to_vec(), fill("<@")].concat())),
        ("at signs in a URL", request([b"Referer: //".to_vec(), fill("@")].concat())),
        ("not UTF-8", request([&b"X: "[..], &vec![0xff; length]].concat())),
        ("digits", request([b"Content-Length: ".to_vec(), fill("9")].concat())),
    ]
}

fn cost(head: &[u8]) -> Duration {
    let seen = super::speed::seen();
    let kind = if head.starts_with(b"HTTP/") { Kind::Response } else { Kind::Request };
    let mut rows = Rows::new(kind);
    let begin = Instant::now();
    rows.add(&seen, head.into(), &Told::default());
    let cost = begin.elapsed();
    assert_eq!(rows.len(), 1);
    cost
}
