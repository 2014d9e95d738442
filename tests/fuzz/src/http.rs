//! The `http` stage over one payload at a time, `reassemble = false`.
//!
//! Input: one byte (request or response, cut or not, which secret), then the payload. Held to be
//! true:
//!
//! * a payload gives one row of its kind, whatever is in it, and valid Arrow;
//! * each word in `flags` is one by which heads are counted, and as many heads are;
//! * the same payload gives the same row again, whatever lay between;
//! * the value of a credential, of a client's address that is none, or of a field that names a
//!   person is in no column behind the stage `redact`, whose records are as valid and as many.

use std::collections::BTreeMap;

use ringmill_http::Http;
use ringmill_redact::Redact;
use ringmill_sdk::{
    Arena, Batch, Class, Layers, Output, Packet, Stage as _, Timestamp,
    arrow_array::RecordBatch,
    testing::{Row, START, rows},
};

use crate::{
    bytes::Bytes,
    chain::{check_records, stage},
    seeds,
};

/// Ethernet, IPv4 and TCP from 10.0.0.1:1024 to 10.0.0.2:80.
const HEADERS: [u8; 54] = {
    let mut bytes = [0; 54];
    (bytes[12], bytes[14], bytes[23]) = (8, 0x45, 6);
    (bytes[26], bytes[29], bytes[30], bytes[33]) = (10, 1, 10, 2);
    (bytes[34], bytes[37], bytes[46]) = (4, 80, 0x50);
    bytes
};

/// Fields whose values must not come out of `redact`.
const GOVERNED: [&str; 8] = [
    "Cookie",
    "Authorization",
    "Set-Cookie",
    "Proxy-Authorization",
    "X-Forwarded-For",
    "x_forwarded_for",
    "CLIENT-IP",
    "X-Up-Calling-Line-Id",
];

const SECRET: &str = "wq7Zk0vJx";

/// Checks all of it for one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes(data);
    let how = input.u8();
    let class = if how & 1 == 0 { Class::HTTP_REQUEST } else { Class::HTTP_RESPONSE };
    let cut = how & 2 != 0;
    let payload = input.0;
    let (hidden, name) = with_secret(payload, GOVERNED[usize::from(how >> 5)]);

    let other = b"GET /x HTTP/1.1\r\nA: b\r\nHost: h\r\n\r\n";
    let all = [payload, other, payload, hidden.as_deref().unwrap_or(other)];
    let records = records_of(&all, class, cut);
    let rows = rows(&records);
    check(&rows[0], class);
    assert_eq!(rows[0], rows[2], "the same payload again");
    let redacted = redacted(records);
    assert_eq!(redacted.len(), rows.len(), "one row for each head");
    assert_eq!(redacted[0], redacted[2], "the same payload again, redacted");
    if hidden.is_some() {
        let told = redacted[3].iter().find(|(_, value)| value.contains(SECRET));
        assert_eq!(told, None, "`{name}` in clear");
    }
}

/// What is left of the records behind `redact`, as rows.
fn redacted(records: Vec<RecordBatch>) -> Vec<Row> {
    let (mut redact, _told) = stage::<Redact>("names = true");
    let mut redacted = Vec::new();
    let mut out = Output::new(&mut redacted);
    for batch in records {
        redact.records(batch, &mut out).expect("redact goes on");
    }
    check_records(&redacted);
    rows(&redacted)
}

/// One row for each payload.
fn records_of(payloads: &[&[u8]], class: Class, cut: bool) -> Vec<RecordBatch> {
    let frames: Vec<_> = payloads.iter().map(|payload| [&HEADERS, *payload].concat()).collect();
    let (mut http, told) = stage::<Http>("reassemble = false");
    let mut records = Vec::new();
    let arena = Arena::default();
    let mut batch = Batch::default().with_arena(&arena);
    for frame in &frames {
        let length = u32::try_from(frame.len()).expect("an input is short");
        let mut packet = Packet::new(frame, START, length + u32::from(cut), 1, 0);
        packet.set_layers(&Layers {
            ip_version: 4,
            protocol: 6,
            vlan: 0,
            l3: 14,
            l4: 34,
            payload: 54,
            payload_len: length - 54,
            truncated: cut,
            tcp_flags: 0,
        });
        packet.set_class(class);
        batch.push(packet);
    }
    let mut out = Output::new(&mut records);
    http.packets(&mut batch, &mut out).expect("http goes on");
    http.tick(Timestamp(START.0 + 1), &mut out).expect("http goes on");
    http.finish(&mut out).expect("http goes on");
    check_records(&records);
    let count: usize = records.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, payloads.len(), "one row for each payload");
    check_flags(&rows(&records), told.counters());
    records
}

/// Heads are counted by their flags.
fn check_flags(rows: &[Row], mut counters: BTreeMap<String, u64>) {
    let flags = rows.iter().filter_map(|row| row.get("flags"));
    for word in flags.flat_map(|flags| flags.split(',')) {
        let count = counters.get_mut(&format!("heads.{word}"));
        let count = count.unwrap_or_else(|| panic!("heads are not counted by `{word}`"));
        *count = count.checked_sub(1).unwrap_or_else(|| panic!("too few heads are `{word}`"));
    }
    for kind in ["heads.request", "heads.response", "heads.undecided"] {
        counters.remove(kind);
    }
    let heads = counters.iter().find(|(name, count)| name.starts_with("heads.") && **count > 0);
    assert_eq!(heads, None, "more are counted than there are");
}

fn check(row: &Row, class: Class) {
    let own = if class == Class::HTTP_REQUEST { "status_code" } else { "method" };
    assert!(!row.contains_key(own), "{row:?}");
    assert_eq!(row["src_ip"], "10.0.0.1");
    assert_eq!(row["dst_port"], "80");
}

/// The payload with one more field behind its first line; `None` where that is not sure to be
/// one.
fn with_secret(payload: &[u8], name: &'static str) -> (Option<Vec<u8>>, &'static str) {
    let end = payload.iter().position(|byte| *byte == b'\n');
    // Empty lines may stand before the first, and the secret must be our own.
    let sure = payload.first().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && !payload.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
    let hidden = end.filter(|_| sure).map(|end| {
        let (line, rest) = payload.split_at(end + 1);
        [line, name.as_bytes(), b": a=", SECRET.as_bytes(), b"\r\n", rest].concat()
    });
    (hidden, name)
}

/// The payloads of our captures that begin with a head, and heads that are odd.
pub fn seeds() -> Vec<Vec<u8>> {
    let is_head = |payload: &&Vec<u8>| payload.first().is_some_and(u8::is_ascii_uppercase);
    let heads = seeds::segments().into_iter().flatten().map(|segment| segment.payload);
    let heads: Vec<_> = heads.collect();
    let mut all: Vec<Vec<u8>> = heads.iter().filter(is_head).map(|it| input(it)).collect();
    let odd: [&[u8]; 10] = [
        b"GET / HTTP/1.1\nHost: a\nX: b\n\n",
        b"GET /a b HTTP/1.1\r\nHost : a\r\n folded\r\n\r\n",
        b"GET http://u:p@h/ HTTP/1.1\r\nReferer: http://u:p@h/?q\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nA: \xff\xfe\x00b\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.0 200 \xe4\xf6\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX: 1\r\nx: 2\r\n\r\n",
        b"GETX / HTTP/1.1\r\nCookie: a\r\ncookie: b\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nOrigin: http://u@h\r\nLocation: //u:p@h\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\r\nX_Forwarded_For: 1\r\n\r\r\n",
        b"POST /\xc3\xa4?\xc3 HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 5, 5",
    ];
    all.extend(odd.map(input));
    all
}

fn input(payload: &[u8]) -> Vec<u8> {
    [&[u8::from(payload.starts_with(b"HTTP"))], payload].concat()
}
