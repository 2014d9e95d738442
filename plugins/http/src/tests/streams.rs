//! Streams: what several segments hold, and which response belongs to which request.

use ringmill_sdk::{
    Packet, Timestamp,
    testing::{Frame, Ran, Row, Trial, decoded, frame_time, rows},
};

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
        let (from, to) = if self.from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
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
