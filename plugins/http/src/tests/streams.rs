//! Streams: what several segments hold, and which response belongs to which request.

use ringmill_sdk::{
    Timestamp,
    testing::{Frame, Ran, Row, Trial, decoded, frame_time, rows},
};

mod generated;
mod time;

use super::{CLIENT, SERVER};
use crate::Http;

/// One segment of a connection; `true` from the client.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub from_client: bool,
    pub seq: u32,
    pub ack: u32,
    pub bytes: Vec<u8>,
    pub flags: &'static str,
    /// Bytes of the payload that the capture cut off.
    pub cut: usize,
}

pub(super) fn step(from_client: bool, seq: u32, ack: u32, bytes: impl AsRef<[u8]>) -> Step {
    Step { from_client, seq, ack, bytes: bytes.as_ref().to_vec(), flags: "", cut: 0 }
}

impl Step {
    pub(super) fn flags(self, flags: &'static str) -> Self {
        Self { flags, ..self }
    }

    pub(super) fn cut(self, cut: usize) -> Self {
        Self { cut, ..self }
    }

    fn frame(&self) -> Vec<u8> {
        self.frame_of(CLIENT)
    }

    /// The same of a connection of this client.
    pub(super) fn frame_of(&self, client: &str) -> Vec<u8> {
        let (from, to) = if self.from_client { (client, SERVER) } else { (SERVER, client) };
        let frame = Frame::tcp(from, to).seq(self.seq).ack(self.ack).payload(&self.bytes);
        let frame = frame.header(|tcp| {
            tcp.syn = self.flags.contains('S');
            tcp.fin = self.flags.contains('F');
            tcp.rst = self.flags.contains('R');
            tcp.ack = !(tcp.syn && self.ack == 0);
        });
        let mut frame = frame.build();
        frame.truncate(frame.len() - self.cut);
        frame
    }
}

/// Runs the stage over segments, one millisecond after the other; then all is flushed.
pub(super) fn ran(options: &str, steps: &[Step]) -> Ran {
    let frames: Vec<_> = steps.iter().map(Step::frame).collect();
    let mut trial = Trial::<Http>::new(options).unwrap();
    for (at, frame) in frames.iter().enumerate() {
        trial.packets([decoded(frame, frame_time(at))]).unwrap();
    }
    trial.finish().unwrap();
    trial.ran()
}

/// A row in short: what it is, its exchange, what it is paired with, `ttfb` in milliseconds,
/// flags.
pub(super) fn short(row: &Row) -> String {
    let get = |name: &str| row.get(name).map_or("-", String::as_str);
    let exchange = row.get("exchange").map_or(String::new(), |n| format!("{n}: "));
    let flags = row.get("flags").map_or(String::new(), |flags| format!(" [{flags}]"));
    match row.get("status_code") {
        Some(status) => {
            let asked = match row.get("request_method") {
                Some(method) => {
                    let ttfb = row.get("ttfb").map_or("?".to_owned(), |ns| {
                        (ns.parse::<i64>().unwrap() / 1_000_000).to_string()
                    });
                    let (host, uri) = (get("request_host"), get("request_uri"));
                    format!(" to {method} {host} {uri} after {ttfb}")
                }
                None => String::new(),
            };
            format!("{exchange}{status}{asked}{flags}")
        }
        None => format!("{exchange}{} {} {}{flags}", get("method"), get("host"), get("uri")),
    }
}

/// Requests, then responses, each in the order in which they came out.
fn told(steps: &[Step]) -> Vec<String> {
    rows(&ran("", steps).records).iter().map(short).collect()
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

/// A connection that is known from its beginning, and these segments.
fn opened(rest: &[Step]) -> Vec<Step> {
    let mut steps = vec![step(true, 99, 0, "").flags("S"), step(false, 499, 100, "").flags("S")];
    steps.extend_from_slice(rest);
    steps
}

fn at(base: u32, offset: usize) -> u32 {
    base.wrapping_add(u32::try_from(offset).unwrap())
}

#[test]
fn a_head_split_anywhere_comes_out_whole() {
    let answer = [OK, b"hello"].concat();
    for opens in [true, false] {
        for cut in 1..GET.len() {
            // Without a SYN it takes a method and a space to know a head.
            if !opens && cut < 4 {
                continue;
            }
            let mut steps = vec![
                step(true, 100, 500, &GET[..cut]),
                step(true, at(100, cut), 500, &GET[cut..]),
                step(false, 500, at(100, GET.len()), &answer),
            ];
            if opens {
                steps = opened(&steps);
            }
            assert_eq!(
                told(&steps),
                ["1: GET h /a", "1: 200 to GET h /a after 1"],
                "cut at {cut}, opens: {opens}"
            );
        }
    }
}

/// What each run of segments becomes.
fn check(cases: &[(&str, Vec<Step>, &[&str])]) {
    for (what, steps, expected) in cases {
        assert_eq!(told(steps), *expected, "{what}");
    }
}

#[test]
fn bodies_are_skipped() {
    let post = b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
    let ask = |request: &str| step(true, 100, 500, format!("{request} HTTP/1.1\r\n\r\n"));
    let twice = |first: &str, second: &str| {
        vec![
            step(true, 100, 500, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
            step(false, 500, 138, [first, second].concat()),
        ]
    };
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let both: &[&str] =
        &["1: GET - /1", "2: GET - /2", "1: 200 to GET - /1 after 1", "2: 200 to GET - /2 after 1"];
    check(&[
        (
            "behind a body in the same segment",
            opened(&[step(true, 100, 500, [post, &b"xyz"[..], GET].concat())]),
            &["1: POST - /p", "2: GET h /a"],
        ),
        (
            "a body that looks like a head",
            opened(&[
                step(true, 100, 500, "POST /p HTTP/1.1\r\nContent-Length: 28\r\n\r\n"),
                step(true, 142, 500, GET),
                step(true, 170, 500, GET),
            ]),
            &["1: POST - /p", "2: GET h /a"],
        ),
        (
            "a body of which segments are lost and out of order",
            opened(&[
                step(true, 100, 500, "POST /p HTTP/1.1\r\nContent-Length: 3000\r\n\r\n"),
                step(true, 2144, 500, [b'x'; 500]),
                step(true, 1144, 500, [b'x'; 500]),
                step(true, 3144, 500, GET),
            ]),
            &["1: POST - /p", "2: GET h /a"],
        ),
        ("a length", twice("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", ok), both),
        (
            "chunks",
            twice("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", ok),
            both,
        ),
        (
            "an interim response",
            vec![
                ask("GET /1"),
                step(false, 500, 119, format!("HTTP/1.1 103 Early Hints\r\n\r\n{ok}")),
            ],
            &["1: GET - /1", "1: 103 to GET - /1 after 1", "1: 200 to GET - /1 after 1"],
        ),
        (
            "a response to HEAD",
            vec![
                step(true, 100, 500, "HEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
                step(false, 500, 139, format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{ok}")),
            ],
            &[
                "1: HEAD - /1",
                "2: GET - /2",
                "1: 200 to HEAD - /1 after 1",
                "2: 200 to GET - /2 after 1",
            ],
        ),
        (
            "responses without a body",
            twice("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ok),
            &[
                "1: GET - /1",
                "2: GET - /2",
                "1: 304 to GET - /1 after 1",
                "2: 200 to GET - /2 after 1",
            ],
        ),
        (
            "until the connection ends",
            twice("HTTP/1.0 200 OK\r\n\r\n", ok),
            &["1: GET - /1", "2: GET - /2", "1: 200 to GET - /1 after 1"],
        ),
        (
            "another protocol",
            vec![
                ask("GET /1"),
                step(false, 500, 119, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01"),
                step(true, 119, 550, GET),
            ],
            &["1: GET - /1", "1: 101 to GET - /1 after 1"],
        ),
        (
            "a tunnel, with HTTP in it",
            vec![
                ask("CONNECT h:80"),
                step(false, 500, 125, "HTTP/1.1 200 OK\r\n\r\n"),
                step(true, 125, 519, GET),
                step(false, 519, 153, OK),
            ],
            &[
                "1: CONNECT - h:80",
                "2: GET h /a",
                "1: 200 to CONNECT - h:80 after 1",
                "2: 200 to GET h /a after 1",
            ],
        ),
        (
            "a tunnel that is refused",
            vec![
                ask("CONNECT h:80"),
                step(false, 500, 125, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"),
                step(true, 125, 540, GET),
            ],
            &["1: CONNECT - h:80", "2: GET h /a", "1: 407 to CONNECT - h:80 after 1"],
        ),
        (
            "empty lines before a head",
            vec![step(true, 100, 500, [b"GET /1 HTTP/1.1\n\n\r\n\r\n", GET].concat())],
            &["1: GET - /1 [bare_lf]", "2: GET h /a"],
        ),
    ]);
}

#[test]
fn segments_out_of_order_repeated_and_overlapping() {
    let whole: &[&str] = &["1: GET h /a"];
    let (a, b, c) = (&GET[..8], &GET[8..20], &GET[20..]);
    check(&[
        (
            "backwards",
            opened(&[step(true, 120, 500, c), step(true, 108, 500, b), step(true, 100, 500, a)]),
            whole,
        ),
        (
            "each twice",
            opened(&[
                step(true, 100, 500, a),
                step(true, 100, 500, a),
                step(true, 120, 500, c),
                step(true, 120, 500, c),
                step(true, 108, 500, b),
                step(true, 108, 500, b),
            ]),
            whole,
        ),
        (
            "a head that is repeated",
            vec![step(true, 100, 500, GET), step(true, 100, 500, GET), step(true, 128, 500, GET)],
            &["1: GET h /a", "2: GET h /a"],
        ),
        (
            "the first copy counts, before and behind a gap",
            opened(&[
                step(true, 100, 500, "GET /abcdef"),
                step(true, 115, 500, "456 HTTP/1.1\r\n\r\n"),
                step(true, 108, 500, "XXX123XXXXX"),
            ]),
            &["1: GET - /abcdef123X456"],
        ),
        (
            "around the end of the sequence numbers",
            vec![
                step(true, u32::MAX - 20, 0, "").flags("S"),
                step(true, u32::MAX - 19, 0, a),
                step(true, u32::MAX - 11, 0, b),
                step(true, 0, 0, c),
                step(true, 8, 0, GET),
            ],
            &["1: GET h /a", "2: GET h /a"],
        ),
        (
            "a late SYN",
            vec![
                step(true, 100, 500, &GET[..20]),
                step(true, 99, 0, "").flags("S"),
                step(true, 120, 500, &GET[20..]),
            ],
            whole,
        ),
        (
            "a second answer to the SYN, which begins elsewhere, before and behind the request",
            opened(&[
                step(false, 3_000_000_000, 100, "").flags("S"),
                step(true, 100, 500, GET),
                step(false, 2_000_000_000, 100, "").flags("S"),
                step(false, 500, 128, OK),
            ]),
            &["1: GET h /a", "1: 200 to GET h /a after 2"],
        ),
        (
            "the same, and it begins behind",
            opened(&[
                step(false, 1_000_000_000, 100, "").flags("S"),
                step(true, 100, 500, GET),
                step(false, 500, 128, OK),
            ]),
            &["1: GET h /a", "1: 200 to GET h /a after 1"],
        ),
        (
            "the same ports again",
            opened(&[
                step(true, 100, 500, &GET[..20]),
                step(true, 70_000_000, 0, "").flags("S"),
                step(true, 70_000_001, 500, GET),
            ]),
            &["1: GET - /a [truncated,incomplete]", "1: GET h /a"],
        ),
    ]);
}

#[test]
fn what_is_lost_is_said() {
    check(&[
        (
            "the middle of a head",
            opened(&[
                step(true, 100, 500, &GET[..18]),
                step(true, 124, 500, &GET[24..]),
                step(true, 128, 500, GET),
            ]),
            &["1: GET - /a [truncated,incomplete]", "2: GET h /a"],
        ),
        (
            "the first request, and the next one's method is not one of the nine",
            opened(&[step(true, 128, 500, "PROPFIND /b HTTP/1.1\r\nHost: h\r\n\r\n")]),
            &["1: PROPFIND h /b"],
        ),
        (
            "a chunk's size",
            opened(&[
                step(true, 100, 500, "POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
                step(true, 170, 500, "some of it"),
                step(true, 190, 500, GET),
            ]),
            &["1: POST - /1", "2: GET h /a"],
        ),
        (
            "its end",
            opened(&[step(true, 100, 500, &GET[..18]), step(true, 118, 500, "").flags("F")]),
            &["1: GET - /a [truncated,incomplete]"],
        ),
        (
            "its end, reset",
            opened(&[step(true, 100, 500, &GET[..18]), step(false, 500, 118, "").flags("R")]),
            &["1: GET - /a [truncated,incomplete]"],
        ),
        (
            "what the capture cut",
            vec![
                step(true, 100, 500, GET).cut(12),
                step(false, 500, 128, [OK, b"hello"].concat()).cut(3),
                step(true, 128, 543, GET),
                step(false, 543, 156, OK).cut(2),
            ],
            &[
                "1: GET - /a [truncated]",
                "2: GET h /a",
                "1: 200 to GET - /a after 1",
                "2: 200 to GET h /a after 1 [truncated]",
            ],
        ),
        (
            "in the middle of a stream",
            vec![
                step(true, 100, 500, "the end of something\r\n\r\n"),
                step(false, 500, 124, "more of it"),
                step(true, 124, 510, GET),
                step(false, 510, 152, OK),
            ],
            &["1: GET h /a", "1: 200 to GET h /a after 1"],
        ),
    ]);
}

#[test]
fn responses_find_their_requests() {
    let get = |name: &str| format!("GET /{name} HTTP/1.1\r\n\r\n");
    check(&[
        (
            "the response before the request",
            opened(&[step(false, 500, 128, OK), step(true, 100, 500, GET)]),
            &["1: GET h /a", "1: 200 to GET h /a after ?"],
        ),
        (
            "the same without a beginning",
            vec![step(false, 500, 128, OK), step(true, 100, 500, GET)],
            &["1: GET h /a", "1: 200 to GET h /a after ?"],
        ),
        (
            "the first response is lost",
            opened(&[
                step(true, 100, 500, get("1")),
                step(true, 119, 540, get("2")),
                step(false, 540, 138, OK),
            ]),
            &["1: GET - /1", "2: GET - /2", "2: 200 to GET - /2 after 1"],
        ),
        (
            "the first request is lost",
            opened(&[
                step(false, 500, 119, [OK, b"hello"].concat()),
                step(true, 119, 543, get("2")),
                step(false, 543, 138, OK),
            ]),
            &["1: GET - /2", "200 [no_request]", "1: 200 to GET - /2 after 1"],
        ),
        (
            "a response that is sent while the request still comes",
            opened(&[
                step(true, 100, 500, &GET[..20]),
                step(false, 500, 120, "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"),
                step(true, 120, 540, "").flags("R"),
            ]),
            &["1: GET - /a [truncated,incomplete]", "1: 408 to GET - /a after 1"],
        ),
    ]);
}

#[test]
fn heads_from_before_where_a_stream_was_taken_up() {
    // Three exchanges of 19 and 38 bytes; none of them is the first of its connection.
    let get = |n: u32| format!("GET /{n} HTTP/1.1\r\n\r\n");
    let ask = |n: u32| step(true, 100 + 19 * n, 500 + 38 * n, get(n));
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let answer = |n: u32| step(false, 500 + 38 * n, 119 + 19 * n, ok);
    let two: &[&str] = &["1: GET - /2", "2: GET - /1"];
    let paired = |rest: &[&'static str]| [two, rest].concat();
    check(&[
        (
            "the second request before the first",
            vec![ask(2), ask(1), answer(1), answer(2)],
            &paired(&["2: 200 to GET - /1 after 1", "1: 200 to GET - /2 after 3"]),
        ),
        (
            "the second exchange before the first",
            vec![ask(2), answer(2), ask(1), answer(1)],
            &paired(&["1: 200 to GET - /2 after 1", "2: 200 to GET - /1 after 1"]),
        ),
        (
            "backwards",
            vec![answer(2), ask(2), answer(1), ask(1)],
            &paired(&["1: 200 to GET - /2 after ?", "2: 200 to GET - /1 after ?"]),
        ),
        (
            "the first response before its request, which is before the second one",
            vec![answer(1), ask(2), ask(1), answer(2)],
            &paired(&["2: 200 to GET - /1 after ?", "1: 200 to GET - /2 after 2"]),
        ),
        (
            "both requests, then the responses the other way round",
            vec![ask(1), ask(2), answer(2), answer(1)],
            &[
                "1: GET - /1",
                "2: GET - /2",
                "2: 200 to GET - /2 after 1",
                "1: 200 to GET - /1 after 3",
            ],
        ),
        (
            "its request was never seen, and the next one is not its",
            vec![ask(2), answer(2), ask(3), answer(1), answer(3)],
            &[
                "1: GET - /2",
                "2: GET - /3",
                "1: 200 to GET - /2 after 1",
                "200 [no_request]",
                "2: 200 to GET - /3 after 2",
            ],
        ),
        (
            "three of them, each once",
            vec![ask(3), ask(1), ask(2), ask(1), ask(3), ask(2), ask(4)],
            &["1: GET - /3", "2: GET - /1", "3: GET - /2", "4: GET - /4"],
        ),
        (
            "while a head is coming",
            vec![
                step(true, 138, 576, &get(2)[..9]),
                ask(1),
                step(true, 147, 576, &get(2)[9..]),
                answer(1),
                answer(2),
            ],
            &[
                "1: GET - /1",
                "2: GET - /2",
                "1: 200 to GET - /1 after 2",
                "2: 200 to GET - /2 after 2",
            ],
        ),
        (
            "in a segment that goes on behind the beginning",
            vec![ask(2), step(true, 119, 538, [get(1), get(2), get(3)].concat())],
            &["1: GET - /2", "2: GET - /1", "3: GET - /3"],
        ),
        (
            "only its beginning",
            vec![ask(2), step(true, 119, 538, &get(1)[..12])],
            &["1: GET - /2", "2: GET - /1 [truncated,incomplete]"],
        ),
        (
            "what is no head is none",
            vec![ask(2), step(true, 119, 538, &get(1)[4..]), ask(3)],
            &["1: GET - /2", "2: GET - /3"],
        ),
        (
            "behind a SYN nothing lies before",
            opened(&[step(true, 100, 500, GET), step(true, 72, 500, GET)]),
            &["1: GET h /a"],
        ),
    ]);
}

#[test]
fn one_direction_is_enough() {
    let responses = vec![
        step(false, 500, 100, [OK, b"hello"].concat()),
        step(false, 543, 200, &OK[..9]),
        step(false, 552, 200, [&OK[9..], b"hello", OK].concat()),
        // To HEAD, which nobody can know: the next one comes where its body would be.
        step(false, 629, 200, OK),
        step(false, 667, 200, OK),
    ];
    let no = |n: u32| format!("{n}: 200 [no_request]");
    assert_eq!(told(&responses), (1..=5).map(no).collect::<Vec<_>>());
}

/// The response overtook its request, which alone tells whether a body follows.
#[test]
fn a_response_to_head_before_its_request() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    let first = step(false, 500, 119, head);
    let behind = at(500, head.len());
    let asked = step(true, 100, 500, "HEAD /1 HTTP/1.1\r\n\r\n");
    let again = step(true, at(100, asked.bytes.len()), behind, "GET /2 HTTP/1.1\r\n\r\n");
    let (second, third) =
        (step(false, behind, 139, OK), step(false, at(behind, OK.len()), 158, OK));
    let pairs = ["1: HEAD - /1", "1: 200 to HEAD - /1", "2: GET - /2", "2: 200 to GET - /2"];
    let orders = [
        vec![&first, &asked, &again, &second],
        vec![&first, &asked, &second, &again],
        vec![&first, &second, &asked, &again],
        vec![&first, &third, &second, &asked, &again],
        vec![&first, &third, &asked, &second, &again],
    ];
    for order in orders {
        let steps: Vec<_> = order.into_iter().cloned().collect();
        let told = told(&steps);
        for pair in pairs {
            assert!(told.iter().any(|row| row.starts_with(pair)), "{pair} of {told:?}");
        }
    }
}

/// As much as may wait for the request of the response before it, and not more.
#[test]
fn a_body_full_of_responses_fills_no_memory() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let mut steps = vec![step(false, 500, 119, head)];
    let behind = at(500, head.len());
    steps.extend((1..3000).rev().map(|n| step(false, at(behind, 100 * n), 119, OK)));
    let early = ran("", &steps).counters["segments.early"];
    assert!((1..=600).contains(&early), "{early} segments were kept");
}

#[test]
fn user_information_does_not_come_out_of_heads_in_pieces() {
    let request = b"GET http://me:hunter2@h/x HTTP/1.1\r\nHost: me:hunter2@h\r\n\
        Referer: http://me:hunter2@r/\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nLocation: //me:hunter2@h/\r\nContent-Length: 0\r\n\r\n";
    for cut in 1..request.len() {
        for lost in [false, true] {
            let mut steps = opened(&[
                step(true, 100, 500, &request[..cut]),
                step(true, at(100, cut), 500, &request[cut..]),
                step(false, 500, at(100, request.len()), &response[..cut.min(response.len())]),
                step(false, at(500, cut), 1, response.get(cut..).unwrap_or_default()),
            ]);
            if lost {
                steps.remove(3);
            }
            let ran = ran("", &steps);
            let out = format!("{:?}{:?}", rows(&ran.records), ran.logs);
            assert!(!out.contains("hunt"), "cut at {cut}: {out}");
            if !lost {
                assert!(out.contains("\"request_uri\": \"http://h/x\""), "cut at {cut}: {out}");
                assert!(out.contains("\"request_host\": \"h\""), "cut at {cut}: {out}");
            }
        }
    }
}

/// Runs segments at these seconds, with a tick at each second between.
fn timed(options: &str, steps: &[(i64, Step)], until: i64) -> Vec<String> {
    let mut trial = Trial::<Http>::new(options).unwrap();
    let mut steps = steps.iter().peekable();
    for second in 0..=until {
        let now = Timestamp(frame_time(0).0 + second * 1_000_000_000);
        while let Some((_, step)) = steps.next_if(|(at, _)| *at == second) {
            trial.packets([decoded(&step.frame(), now)]).unwrap();
        }
        trial.tick(now).unwrap();
    }
    rows(&trial.ran().records).iter().map(short).collect()
}

#[test]
fn what_is_over_comes_out_before_the_end() {
    let part = "1: GET - /a [truncated,incomplete]";
    let begun = || (0, step(true, 100, 500, &GET[..18]));
    // (what, segments, seconds, rows)
    type Case<'a> = (&'a str, Vec<(i64, Step)>, i64, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("a head that stays away, not yet", vec![begun()], 9, &[]),
        ("a head that stays away", vec![begun()], 40, &[part]),
        (
            "its end comes too late",
            vec![begun(), (11, step(true, 118, 500, &GET[18..]))],
            40,
            &[part],
        ),
        ("behind a gap", vec![begun(), (1, step(true, 128, 500, GET))], 8, &[part, "2: GET h /a"]),
        (
            "a response that waits for a request",
            vec![(0, step(false, 500, 100, OK))],
            3,
            &["1: 200 [no_request]"],
        ),
        (
            "of two that wait, only the request of the second comes",
            vec![
                (0, step(true, 128, 529, GET)),
                (0, step(false, 500, 128, "HTTP/1.1 304 Not Modified\r\n\r\n")),
                (0, step(false, 529, 156, OK)),
            ],
            3,
            &["1: GET h /a", "304 [no_request]", "1: 200 to GET h /a after 0"],
        ),
        (
            "from before where the stream was taken up, too late",
            vec![(0, step(true, 128, 500, GET)), (1, step(true, 100, 500, GET))],
            3,
            &["1: GET h /a"],
        ),
        (
            "the end of a head comes behind the FIN",
            vec![
                begun(),
                (1, step(true, 128, 500, "").flags("F")),
                (2, step(true, 118, 500, &GET[18..])),
            ],
            3,
            &["1: GET h /a"],
        ),
    ];
    for (what, steps, until, expected) in cases {
        assert_eq!(timed("idle_seconds = 10", steps, *until), *expected, "{what}");
    }
}

#[test]
fn bounds_are_kept() {
    let long = [b"GET /a HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 300], b"\r\n\r\n".to_vec()].concat();
    let pieces: Vec<_> = long
        .chunks(50)
        .enumerate()
        .map(|(n, piece)| step(true, at(100, n * 50), 500, piece))
        .chain([step(true, at(100, long.len()), 500, GET)])
        .collect();
    let out = ran("head_bytes = 64", &pieces);
    let told: Vec<_> = rows(&out.records).iter().map(short).collect();
    assert_eq!(told, ["1: GET - /a [truncated,oversize]", "2: GET h /a"]);
    assert_eq!(out.counters["heads.oversize"], 1);

    // A table of one flow: the second takes the first one's place.
    let other = |payload: &[u8]| Frame::tcp("192.0.2.9:1", SERVER).payload(payload).build();
    let mut trial = Trial::<Http>::new("flows = 1").unwrap();
    let first = step(true, 100, 500, &GET[..18]).frame();
    let second = other(GET);
    trial.packets([decoded(&first, frame_time(0)), decoded(&second, frame_time(1))]).unwrap();
    trial.finish().unwrap();
    let out = trial.ran();
    let told: Vec<_> = rows(&out.records).iter().map(short).collect();
    assert_eq!(told, ["1: GET - /a [truncated,incomplete]", "1: GET h /a"]);
    assert_eq!(out.counters["flows.evicted"], 1);
}

/// Eight times the bytes, one in a segment, take about eight times the time.
#[test]
fn heads_in_segments_of_one_byte_take_linear_time() {
    let time = |bytes: usize, filler: &[u8]| {
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        head.extend(filler.iter().cycle().take(bytes));
        let mut frames = vec![step(true, 99, 0, "").flags("S").frame()];
        let bytes = head.iter().enumerate();
        frames.extend(bytes.map(|(n, byte)| step(true, at(100, n), 500, [*byte]).frame()));
        let mut trial = Trial::<Http>::new("").unwrap();
        let begin = std::time::Instant::now();
        for part in frames.chunks(256) {
            trial.packets(part.iter().map(|frame| decoded(frame, frame_time(0)))).unwrap();
        }
        trial.finish().unwrap();
        assert_eq!(rows(&trial.ran().records).len(), 1);
        begin.elapsed()
    };
    for filler in [&b"x"[..], b"\n\r\r\r\r\r\r\r", b"\r", b"a: b\r\n"] {
        // What else the machine does only ever adds, so one quiet moment is enough.
        let mut pairs = (0..10).map(|_| (time(7_000, filler), time(56_000, filler)));
        let is_linear = pairs.any(|(small, large)| large < small * 40);
        assert!(is_linear, "{}", filler.escape_ascii());
    }
}
