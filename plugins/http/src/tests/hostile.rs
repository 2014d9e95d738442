//! What must not come out, and what must not take long.

use std::time::Instant;

use ringmill_sdk::{
    arrow_array::{Array, cast::AsArray},
    testing::{rows, run, tcp},
};

use super::{CLIENT, SERVER, SINGLE, row};
use crate::Http;

/// Fields that the policy of a later stage knows by their names.
const GOVERNED: [&str; 21] = [
    "authorization",
    "cf-connecting-ip",
    "client-ip",
    "cookie",
    "cookie2",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "from",
    "proxy-authorization",
    "set-cookie",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarded-for",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-user-ip",
];

/// Everything that a segment becomes, as text, but for values under their own governed names.
fn everything(head: &[u8]) -> String {
    let ran = run::<Http>(SINGLE, &[tcp(CLIENT, SERVER, head)]).unwrap();
    assert_eq!(ran.records.iter().map(|it| it.num_rows()).sum::<usize>(), 1);
    let mut rows = rows(&ran.records);
    if rows[0].remove("extras").is_some() {
        let entries = ran.records[0].column_by_name("extras").unwrap().as_map().value(0);
        let [names, values] = [0, 1].map(|at| entries.column(at).as_string::<i32>());
        for at in 0..entries.len() {
            let name = names.value(at).replace('_', "-");
            if !GOVERNED.contains(&name.as_str()) {
                rows[0].insert(name, values.value(at).to_owned());
            }
        }
    }
    format!("{rows:?}{:?}", ran.logs)
}

/// A request and a response that hold these lines; well formed if the lines are.
fn around(lines: &[u8]) -> [Vec<u8>; 2] {
    let rest = [lines, b"\r\nX-After: after\r\n\r\n"].concat();
    [
        [b"GET / HTTP/1.1\r\nX-Before: before\r\n", &rest[..]].concat(),
        [b"HTTP/1.1 200 OK\r\nX-Before: before\r\n", &rest[..]].concat(),
    ]
}

const SECRET: &[u8] = b"hunter2";

/// A credential is under its own name, where the policy finds it, or nowhere; user information
/// is nowhere.
#[test]
fn secrets_come_out_under_no_other_name() {
    let lines: &[&[u8]] = &[
        b"Cookie: a=hunter2; b",
        b"cOOKIE:hunter2",
        b"Set-Cookie: id=hunter2; HttpOnly",
        b"Cookie: a\r\nCookie: hunter2\r\nCookie: c",
        b"Cookie : hunter2",
        b"Cookie\t: hunter2",
        b" Cookie: hunter2",
        b"\tCookie: hunter2",
        b"Cookie: a\r\n hunter2",
        b"Cookie:\r\n\thunter2",
        b"X: a\r\n Cookie: hunter2",
        b"X: a\rCookie: hunter2",
        b"X: a\0Cookie: hunter2",
        b"X: a\r\0Cookie: hunter2",
        b"Coo kie: hunter2",
        b"Coo\0kie: hunter2",
        b"\0Cookie: hunter2",
        b"\x0bCookie: hunter2",
        b"\xc2\xa0Cookie: hunter2",
        b"Cookie\xff: hunter2",
        b"Cookie\r: hunter2",
        b"Cookie hunter2",
        b"Cookie=hunter2",
        b"Cookie;: hunter2",
        b"Cookie: hunter2\nX : y",
        b"Cookie: hunter2\n\x01",
        b"Cookie: \xffhunter2",
        b"Cookie2: hunter2",
        b"Authorization: Basic hunter2",
        b"AUTHORIZATION: Bearer hunter2",
        b"Proxy-Authorization: hunter2",
        b"X-Forwarded-For: hunter2, hunter2",
        b"x_forwarded_for: hunter2",
        b"X-FORWARDED_FOR : hunter2",
        b"Forwarded: for=hunter2",
        b"X-Real-IP: hunter2",
        b"True-Client-IP: hunter2",
        b"CF-Connecting-IP: hunter2",
        b"X-Client-IP: hunter2",
        b"Client-IP: hunter2",
        b"X-Cluster-Client-IP: hunter2",
        b"X-Original-Forwarded-For: hunter2",
        b"Fastly-Client-IP: hunter2",
        b"X-Forwarded: hunter2",
        b"Forwarded-For: hunter2",
        b"X-Remote-IP: hunter2",
        b"X-Remote-Addr: hunter2",
        b"From: hunter2",
        b"Referer: http://me:hunter2@h/",
        b"Referer : http://hunter2@h/",
        b"Referer: a\r\nReferer: http://me:hunter2@h/",
        b"Location: http://me:hunter2@h/",
        b"Location: a\r\nLocation: http://me:hunter2@h/",
        b"Origin: http://me:hunter2@h",
        b"Link: <http://me:hunter2@h/>; rel=preload",
        b"Link: </a>; rel=preload, <http://me:hunter2@h/>",
        b"Link: </a>; anchor=\"//me:hunter2@h/\"",
        b"Link: a\r\nLink: <http://me:hunter2@h/>",
        b"Host: me:hunter2@h",
        b"Host: a\r\nHost: me:hunter2@h",
    ];
    for lines in lines {
        for head in around(lines) {
            // Whole, and cut at every byte.
            for end in 8..=head.len() {
                let out = everything(&head[..end]);
                // Cut in the secret's middle, its beginning must not come out either.
                let shown = (4..=SECRET.len())
                    .any(|n| out.as_bytes().windows(n).any(|window| window == &SECRET[..n]));
                assert!(!shown, "{} cut at {end}: {out}", head.escape_ascii());
            }
        }
    }
    // The search finds what is there, and the fields around do come out.
    let [request, _] = around(b"X-Clear: hunter2");
    let out = everything(&request);
    for word in ["hunter2", "before", "after"] {
        assert!(out.contains(word), "{word}: {out}");
    }
}

#[test]
fn secrets_in_the_first_line_never_come_out() {
    let heads: &[&[u8]] = &[
        b"GET http://me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"GET http://me:hunter2@h HTTP/1.1\r\n\r\n",
        b"GET http://me:hunter2@h/a b HTTP/1.1\r\n\r\n",
        b"GET  http://me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"GET //me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"GET http:\\\\me:hunter2@h/ HTTP/1.1\r\n\r\n",
        b"CONNECT me:hunter2@h:443 HTTP/1.1\r\n\r\n",
        b"GET /\rCookie: hunter2 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\rCookie: hunter2\r\n\r\n",
        b"HTTP/1.1 200 OK\rSet-Cookie: hunter2\r\n\r\n",
    ];
    for head in heads {
        for end in 8..=head.len() {
            let out = everything(&head[..end]);
            assert!(!out.contains("hunt"), "{} cut at {end}: {out}", head.escape_ascii());
        }
    }
    assert!(row("GET http://me:x@h/ HTTP/1.1\r\n\r\n").contains("uri: http://h/"));
}

/// Any bytes give one row: heads broken at one place by every byte value, and noise.
#[test]
fn broken_heads_give_one_row_each() {
    let whole = b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: c\r\nX-Y: z\r\n\r\n";
    let mut frames = Vec::new();
    for at in 4..whole.len() {
        for byte in 0..=u8::MAX {
            let mut head = whole.to_vec();
            head[at] = byte;
            frames.push(tcp(CLIENT, SERVER, head));
        }
    }
    let mut state = 1u64;
    for length in 0..2000 {
        let mut head = b"HTTP/1.".to_vec();
        for _ in 0..length % 300 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            head.push(b"\r\n: \t\0a\xffHTTP/1. 20"[usize::try_from(state >> 60).unwrap()]);
        }
        frames.push(tcp(CLIENT, SERVER, head));
    }
    let ran = run::<Http>(SINGLE, &frames).unwrap();
    assert_eq!(rows(&ran.records).len(), frames.len());
}

/// Sixty times the bytes take about sixty times the time, whatever they are.
#[test]
fn time_is_linear() {
    let fill = |unit: &[u8], bytes: usize| unit.repeat(bytes / unit.len());
    let long_name = |at: usize| format!("{}{at:03}: v\r\n", "n".repeat(200)).into_bytes();
    type Body = Box<dyn Fn(usize) -> Vec<u8>>;
    let cases: Vec<(&str, Body)> = vec![
        ("one long value", Box::new(move |n| [b"X: ".to_vec(), fill(b"v", n)].concat())),
        ("one long name", Box::new(move |n| fill(b"n", n))),
        ("empty names", Box::new(move |n| fill(b":\n", n))),
        ("no colons", Box::new(move |n| fill(b"a\n", n))),
        ("folded lines", Box::new(move |n| [b"X: y\n".to_vec(), fill(b" z\n", n)].concat())),
        ("CRs", Box::new(move |n| [b"X: ".to_vec(), fill(b"\r", n)].concat())),
        ("lines of CRs", Box::new(move |n| fill(b"x\r\r\r\r\r\r\r\n", n))),
        ("not UTF-8", Box::new(move |n| [b"X: ".to_vec(), fill(b"\xff", n)].concat())),
        ("versions", Box::new(move |n| fill(b" HTTP/", n))),
        ("spaces", Box::new(move |n| fill(b" ", n))),
        ("one name, many times", Box::new(move |n| fill(b"a: b\r\n", n))),
        (
            "long names that are almost one",
            Box::new(move |n| (0..n / 208).flat_map(long_name).collect()),
        ),
    ];
    let time = |body: &[u8], start: &[u8]| {
        let frames = [tcp(CLIENT, SERVER, [start, body].concat())];
        let once = || {
            let begin = Instant::now();
            run::<Http>(SINGLE, &frames).unwrap();
            begin.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    for (name, body) in &cases {
        for start in [&b"GET "[..], b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n"] {
            let (small, large) = (time(&body(1_000), start), time(&body(60_000), start));
            // Sixty times the bytes; a square would be 3600 times. Far from both, because a
            // machine with other work to do measures badly.
            let allowed = small * 600;
            assert!(large < allowed, "{name} after {}: {small:?}, {large:?}", start.escape_ascii());
        }
    }
}
