//! Heads through `http` and `redact`: no secret comes out, wherever a head is cut, and what was
//! equal stays equal.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::collections::BTreeMap;

use common::{Row, own_captures, text};
use ringmill::sdk::testing::{rows, run, run_records, tcp};
use ringmill_http::Http;
use ringmill_redact::Redact;

/// Everything that a segment becomes behind both stages, as text.
fn everything(head: &[u8]) -> String {
    let frame = tcp("192.0.2.1:40000", "198.51.100.2:80", head);
    let raw = run::<Http>("reassemble = false", &[frame]).unwrap();
    let ran = run_records::<Redact>("names = true", &raw.records).unwrap();
    assert_eq!(ran.records.iter().map(|it| it.num_rows()).sum::<usize>(), 1);
    format!("{:?}{:?}{:?}", rows(&ran.records), raw.logs, ran.logs)
}

const SECRET: &[u8] = b"hunter2";

/// Nothing of the secret, however the head is cut.
fn check(head: &[u8]) {
    for end in 8..=head.len() {
        let out = everything(&head[..end]);
        // Cut in the secret's middle, its beginning must not come out either.
        let shown = (4..=SECRET.len())
            .any(|n| out.as_bytes().windows(n).any(|window| window == &SECRET[..n]));
        assert!(!shown, "{} cut at {end}: {out}", head.escape_ascii());
    }
}

#[test]
fn secrets_in_fields_never_come_out() {
    let lines: &[&[u8]] = &[
        b"Cookie: a=hunter2; b",
        b"cOOKIE:hunter2",
        b"Set-Cookie: id=hunter2; HttpOnly",
        b"Cookie: a\r\nCookie: hunter2\r\nCookie: c",
        b"Cookie : hunter2",
        b"X: a\rCookie: hunter2",
        b"Cookie: \xffhunter2",
        b"Cookie2: hunter2",
        b"Authorization: Basic hunter2",
        b"AUTHORIZATION: Bearer hunter2",
        b"Proxy-Authorization: hunter2",
        b"X-API-Key: hunter2",
        b"X-Forwarded-For: hunter2, hunter2",
        b"x_forwarded_for: hunter2",
        b"X-FORWARDED_FOR : hunter2",
        b"Forwarded: for=hunter2;by=hunter2;host=hunter2;hunter2=1",
        b"True-Client-IP: 192.0.2.1 hunter2",
        b"X-Real-IP: hunter2",
        b"From: hunter2",
        b"X-Other: hunter2",
        b"Accept-Language: hunter2",
        b"User-Agent: hunter2",
        b"User-Agent: a\r\nUser-Agent: hunter2",
        b"Referer: http://me:hunter2@h/",
        b"Referer: /?q=hunter2#hunter2",
        b"Referer: a\r\nReferer: http://h/;a=hunter2?q=hunter2",
        b"Location: /a;b=hunter2",
        b"Origin: http://me:hunter2@h",
        b"Link: <http://me:hunter2@h/?q=hunter2>; rel=preload; anchor=\"/?q=hunter2\"",
        b"Link: a\r\nLink: /?q=hunter2",
        b"Host: me:hunter2@h",
        b"ETag: \"hunter2\"",
        b"If-None-Match: W/\"a\", \"hunter2\", hunter2",
        b"If-Range: hunter2",
        b"Accept: \xe9hunter2",
    ];
    for lines in lines {
        let rest = [lines, &b"\r\nAccept: after\r\n\r\n"[..]].concat();
        check(&[b"GET / HTTP/1.1\r\nAccept-Ranges: before\r\n", &rest[..]].concat());
        check(&[b"HTTP/1.1 200 OK\r\nAccept-Ranges: before\r\n", &rest[..]].concat());
    }
    // The search finds what is there, and the fields around do come out.
    let out = everything(b"GET / HTTP/1.1\r\nDNT: hunter2\r\nAccept: after\r\n\r\n");
    assert!(out.contains("hunter2") && out.contains("after"), "{out}");
}

#[test]
fn secrets_in_the_first_line_never_come_out() {
    let heads: &[&[u8]] = &[
        b"GET http://me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"GET http://me:hunter2@h HTTP/1.1\r\n\r\n",
        b"GET http:\\\\me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"CONNECT me:hunter2@h:443 HTTP/1.1\r\n\r\n",
        b"GET /?q=hunter2 HTTP/1.1\r\n\r\n",
        b"GET /a&q=hunter2 HTTP/1.1\r\n\r\n",
        b"GET /?q=a hunter2 HTTP/1.1\r\n\r\n",
        b"GET /a;b=hunter2 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/hunter2\r\n\r\n",
        b"GET / HTTP/1.1 hunter2\r\n\r\n",
        b"HTTP/1.1hunter2 200 OK\r\n\r\n",
    ];
    heads.iter().for_each(|head| check(head));
}

/// What is found by how it looks; cut, it may look like any word.
#[test]
fn secrets_that_are_found_by_their_looks() {
    let heads: &[&[u8]] = &[
        b"GET /?hunter2 HTTP/1.1\r\n\r\n",
        b"GET /hunter2@example.org HTTP/1.1\r\n\r\n",
        b"GET /%68unter2%2540example.org/x HTTP/1.1\r\n\r\n",
        b"GET /hunter2hunter2hunter2.png HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 hunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x hunter2@example.org\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nVia: 1.1 hunter2hunter2hunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Location: /?hunter2\r\n\r\n",
    ];
    for head in heads {
        let out = everything(head);
        assert!(!out.contains("unter2"), "{}: {out}", head.escape_ascii());
    }
}

/// The heads of one capture with the default policy, addresses as they were.
fn redacted(capture: &str) -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let config = common::plain_config(directory.path(), &[capture]);
    let stage = "[[stage]]\nuse = \"redact\"\nnames = true\n[[sink]]";
    let config = std::fs::read_to_string(config).unwrap().replace("[[sink]]", stage);
    common::run(&common::write_config(directory.path(), &config), &["--quiet"]);
    common::rows(&directory.path().join("out.jsonl"))
}

/// Two values are equal behind `redact` if and only if they were before, in all captures; and
/// an entity tag is found again.
#[test]
fn what_was_equal_stays_equal() {
    let columns = ["host", "uri", "request_uri", "referer", "location", "etag", "if_none_match"];
    let (mut heads, mut tags) = (0, 0);
    for capture in own_captures() {
        let (raw, out) = (common::heads(&capture), redacted(capture.to_str().unwrap()));
        assert_eq!(raw.len(), out.len(), "{}", capture.display());
        heads += raw.len();
        let (mut there, mut back) = (BTreeMap::new(), BTreeMap::new());
        for (raw, out) in raw.iter().zip(&out) {
            assert_eq!(raw.get("time"), out.get("time"), "in the same order");
            for column in columns {
                let (raw, out) = (text(raw, column), text(out, column));
                assert_eq!(raw.is_some(), out.is_some(), "{column}: {raw:?}");
                let (Some(raw), Some(out)) = (raw, out) else { continue };
                assert_eq!(*there.entry(raw).or_insert(out), out, "{raw} in {column}");
                assert_eq!(*back.entry(out).or_insert(raw), raw, "{out} in {column}");
                let hidden =
                    raw.contains('?') || column.contains("etag") || column.contains("match");
                assert_eq!(raw != out, hidden && !raw.ends_with('?'), "{raw} in {column}");
                tags += u32::from(column == "if_none_match");
            }
            assert_eq!(text(out, "user_agent"), None);
            let extras = |row: &Row| row.get("extras").cloned().unwrap_or_default();
            for name in ["cookie", "set-cookie", "authorization"] {
                let (raw, out) = (extras(raw), extras(out));
                assert_eq!(raw.get(name).is_some(), out.get(name).is_some(), "{name}");
                assert!(out.get(name).is_none_or(serde_json::Value::is_null), "{out}");
            }
        }
    }
    println!("{heads} heads, {tags} of them with If-None-Match");
    assert!(heads > 200 && tags > 0, "{heads} heads, {tags} tags");
}
