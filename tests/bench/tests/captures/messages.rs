//! Follows every HTTP connection of a capture as a client or server would: each message must
//! begin where the one before ended, whether by length, by chunks or without a body.

use std::collections::HashMap;

use etherparse::{SlicedPacket, TransportSlice};
use httparse::{EMPTY_HEADER, Header, Request, Response, Status};
use ringmill_bench::workload::Mix;

use crate::common::{SYN, capture, ends, records};

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    messages: u64,
}

#[derive(Default)]
struct Exchange {
    requests: Stream,
    responses: Stream,
    head_only: bool,
}

#[test]
fn each_message_begins_where_the_one_before_ended() {
    for mix in [Mix::Campus, Mix::Heavy, Mix::Split] {
        let (file, wrote) = capture(mix, 10_000_000, 4);
        let mut connections: HashMap<_, Exchange> = HashMap::new();
        let (mut requests, mut responses) = (0, 0);
        for (number, (_, frame)) in records(&file).enumerate() {
            let packet = SlicedPacket::from_ethernet(frame).expect("a good frame");
            let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { continue };
            let from_client = matches!(tcp.destination_port(), 80 | 8080);
            if !from_client && !matches!(tcp.source_port(), 80 | 8080) {
                continue;
            }
            let (from, port, to, peer_port) = ends(&packet);
            let key =
                if from_client { (from, port, to, peer_port) } else { (to, peer_port, from, port) };
            let exchange = connections.entry(key).or_default();
            let place = format!("{mix:?} packet {number}");
            if tcp.header_slice()[13] & SYN != 0 {
                let rest = exchange.requests.bytes.len() + exchange.responses.bytes.len();
                assert_eq!(rest, 0, "{place}: a connection ended within a message");
            }
            let stream = if from_client { &mut exchange.requests } else { &mut exchange.responses };
            stream.bytes.extend(tcp.payload());
            while let Some(length) =
                message(&stream.bytes, from_client, &mut exchange.head_only, &place)
            {
                stream.bytes.drain(..length);
                stream.messages += 1;
            }
        }
        for exchange in connections.values() {
            // A message that the end of the capture cuts short has been begun all the same.
            requests += exchange.requests.messages + u64::from(!exchange.requests.bytes.is_empty());
            responses +=
                exchange.responses.messages + u64::from(!exchange.responses.bytes.is_empty());
        }
        assert_eq!((requests, responses), (wrote.requests, wrote.responses), "{mix:?}");
    }
}

/// Length of the first message, if it is whole.
fn message(bytes: &[u8], is_request: bool, head_only: &mut bool, place: &str) -> Option<usize> {
    if bytes.is_empty() {
        return None;
    }
    let mut headers = [EMPTY_HEADER; 64];
    let (head, body) = if is_request {
        let mut request = Request::new(&mut headers);
        let status = request.parse(bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
        let Status::Complete(head) = status else { return None };
        *head_only = request.method == Some("HEAD");
        (head, body_length(&bytes[head..], request.headers, place)?)
    } else {
        let mut response = Response::new(&mut headers);
        let status = response.parse(bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
        let Status::Complete(head) = status else { return None };
        let bodiless = *head_only || matches!(response.code, Some(204 | 304));
        let body = if bodiless { 0 } else { body_length(&bytes[head..], response.headers, place)? };
        (head, body)
    };
    (bytes.len() >= head + body).then_some(head + body)
}

/// Length of a body with its framing; `None` if too little of it is there to tell.
fn body_length(body: &[u8], headers: &[Header<'_>], place: &str) -> Option<usize> {
    let value = |name: &str| {
        let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    if value("Transfer-Encoding") != Some("chunked") {
        return Some(value("Content-Length").map_or(0, |n| n.parse().expect("a number")));
    }
    let mut at = 0;
    loop {
        let line = body.get(at..)?.split_inclusive(|byte| *byte == b'\n').next()?;
        let digits = line.strip_suffix(b"\r\n")?;
        let text = std::str::from_utf8(digits).unwrap_or_else(|_| panic!("{place}: chunk size"));
        let size = usize::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{place}: {text:?}"));
        let end = at + line.len() + size + 2;
        let close = body.get(end - 2..end)?;
        assert_eq!(close, b"\r\n", "{place}: end of a chunk");
        if size == 0 {
            return Some(end);
        }
        at = end;
    }
}
