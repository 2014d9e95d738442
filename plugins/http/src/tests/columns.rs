//! Which field is in which column, and what of it.

use ringmill_sdk::{
    prelude::*,
    testing::{rows, run, tcp},
};

use super::{CLIENT, SERVER, SINGLE, check};
use crate::Http;

/// Every field of the default list, in a head of its own kind.
#[test]
fn every_column_takes_its_fields() {
    let request = [
        "User-Agent",
        "Referer",
        "Pragma",
        "Connection",
        "Content-Type",
        "Cache-Control",
        "Date",
        "If-None-Match",
        "If-Modified-Since",
        "Range",
        "If-Range",
        "Content-Range",
        "Transfer-Encoding",
        "Accept-Encoding",
        "Link",
        "Via",
        "Origin",
        "Sec-Fetch-Dest",
        "Sec-Fetch-Mode",
    ];
    let response = [
        "Server",
        "Content-Encoding",
        "Pragma",
        "Connection",
        "Content-Type",
        "Cache-Control",
        "ETag",
        "Last-Modified",
        "Expires",
        "Date",
        "Vary",
        "Content-Range",
        "Transfer-Encoding",
        "Accept-Encoding",
        "Location",
        "Link",
        "Via",
    ];
    let alias = |column: &'static str| move |name: &&'static str| (*name, column.to_owned());
    let own = |name: &&'static str| (*name, name.to_ascii_lowercase().replace('-', "_"));
    let purposes = ["Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"];
    let caches = [
        "X-Cache",
        "CF-Cache-Status",
        "Akamai-Cache-Status",
        "Cache-Status",
        "CDN-Cache",
        "X-Cache-Status",
        "X-Proxy-Cache",
        "X-Nginx-Cache",
        "X-FastCGI-Cache",
        "X-Varnish-Cache",
        "X-LiteSpeed-Cache",
        "X-Vercel-Cache",
        "X-Sucuri-Cache",
    ];
    let requests: Vec<_> =
        request.iter().map(own).chain(purposes.iter().map(alias("purpose"))).collect();
    let responses: Vec<_> =
        response.iter().map(own).chain(caches.iter().map(alias("x_cache"))).collect();
    for (line, fields, others) in
        [("GET / HTTP/1.1", &requests, &responses), ("HTTP/1.1 200 OK", &responses, &requests)]
    {
        for (name, column) in fields {
            let head = format!("{line}\r\n{}: W/\"v\", 1\r\n\r\n", name.to_uppercase());
            let ran = run::<Http>(SINGLE, &[tcp(CLIENT, SERVER, head)]).unwrap();
            let row = &rows(&ran.records)[0];
            assert_eq!(row.get(column).map(String::as_str), Some("W/\"v\", 1"), "{name}");
            assert_eq!(row.get("extras"), None, "{name}");
        }
        // Where the kind has no such column the field is in the extras.
        for (name, column) in others {
            if fields.iter().any(|(_, own)| own == column) {
                continue;
            }
            let head = format!("{line}\r\n{name}: v\r\n\r\n");
            let ran = run::<Http>(SINGLE, &[tcp(CLIENT, SERVER, head)]).unwrap();
            let row = &rows(&ran.records)[0];
            let expected = format!("{}=v", name.to_ascii_lowercase());
            assert_eq!(row.get("extras"), Some(&expected), "{name}");
        }
    }
}

#[test]
fn numbers() {
    let first = ["reason: OK", "status_code: 200", "version: HTTP/1.1"];
    let cases: &[(&str, &[&str])] = &[
        (
            "Age: 0\r\nContent-Length: 18446744073709551615",
            &["age: 0", "content_length: 18446744073709551615"],
        ),
        // What is no number is lost neither.
        ("Content-Length: 18446744073709551616", &["extras: content-length=18446744073709551616"]),
        ("Age: 1, 2\r\nContent-Length: +5", &["extras: age=1, 2, content-length=+5"]),
        ("Age:\r\nContent-Length: 0x10", &["extras: age=, content-length=0x10"]),
        ("Age: -1\r\nAge: 007\r\nAge: 8", &["age: 7", "extras: age=-1, 8"]),
        (
            "Content-Length: 5\r\nContent-Length: 5",
            &["content_length: 5", "extras: content-length=5"],
        ),
    ];
    for (lines, expected) in cases {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
        let mut expected = [*expected, &first[..]].concat();
        expected.sort_unstable();
        check(&[(head.as_bytes(), &expected)]);
    }
    // Of a number that is cut nobody knows how much is missing.
    check(&[(
        b"HTTP/1.1 200 OK\r\nAge: 12\r\nContent-Length: 12 3",
        &[
            "age: 12",
            "extras: content-length=12",
            "flags: truncated",
            "reason: OK",
            "status_code: 200",
            "version: HTTP/1.1",
        ],
    )]);
}

#[test]
fn fields_of_several_names_and_lists() {
    check(&[
        (
            b"HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nCF-Cache-Status: HIT\r\nLink: </a>\r\n\
              X-Cache: MISS from h\r\nX-Cache-Hits: 3\r\nVia: 1.1 a\r\nVia: 1.1 b\r\nVary: Origin\r\n\
              Link: </b>\r\nX-Cache: HIT\r\n\r\n",
            &[
                "extras: x-cache=MISS from h, HIT, x-cache-hits=3, via=1.1 b, vary=Origin, link=</b>",
                "link: </a>",
                "reason: OK",
                "status_code: 200",
                "vary: Accept-Encoding",
                "version: HTTP/1.1",
                "via: 1.1 a",
                "x_cache: HIT",
            ],
        ),
        (
            b"GET / HTTP/1.1\r\nPurpose: prefetch\r\nSec-Purpose: prefetch;prerender\r\n\
              Link: <http://u:p@h/a>; rel=preload\r\nLink: <http://u:p@h/b>\r\nOrigin: http://u@h\r\n\r\n",
            &[
                "extras: sec-purpose=prefetch;prerender, link=<http://h/b>",
                "link: <http://h/a>; rel=preload",
                "method: GET",
                "origin: http://h",
                "purpose: prefetch",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
    ]);
}

#[test]
fn the_columns_that_the_options_name() {
    let frames = [
        tcp(
            CLIENT,
            SERVER,
            "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\nReferer: http://u:p@r/\r\n\
             Link: <//u:p@l/>\r\nContent-Length: 7\r\nRange: bytes=0-\r\n\r\n",
        ),
        tcp(SERVER, CLIENT, "HTTP/1.1 200 OK\r\nAge: 3\r\nServer: s\r\nContent-Length: 7\r\n\r\n"),
    ];
    let seen = |columns: &str| {
        let ran = run::<Http>(&format!("{SINGLE}\ncolumns = {columns}"), &frames).unwrap();
        let names = |at: usize| {
            let schema = ran.records[at].schema();
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
            let from = names.iter().position(|name| name == "version").unwrap() + 1;
            let to = names.iter().position(|name| name == "exchange").unwrap();
            names[from..to].join(" ")
        };
        let rows = rows(&ran.records);
        assert_eq!(rows[0]["host"], "h", "always there");
        let extras = |at: usize| rows[at].get("extras").cloned().unwrap_or_default();
        [names(0), names(1), extras(0), extras(1)]
    };
    assert_eq!(
        seen(r#"["range", "age", "content_length"]"#),
        [
            "range content_length",
            "age content_length",
            "user-agent=a, referer=http://r/, link=<//l/>",
            "server=s",
        ]
    );
    assert_eq!(
        seen("[]"),
        [
            "",
            "",
            "user-agent=a, referer=http://r/, link=<//l/>, content-length=7, range=bytes=0-",
            "age=3, server=s, content-length=7",
        ]
    );
}

/// What a column means decides what later stages do to it.
#[test]
fn kinds_and_types() {
    let ran = run::<Http>(
        SINGLE,
        &[tcp(CLIENT, SERVER, "GET / \n\n"), tcp(SERVER, CLIENT, "HTTP/1.1 \n\n")],
    )
    .unwrap();
    let numbers = ["age", "content_length"];
    let urls = ["referer", "location", "link", "origin"];
    for spec in &crate::columns::COLUMNS {
        for records in &ran.records {
            let schema = records.schema();
            let Ok(field) = schema.field_with_name(spec.name) else { continue };
            let (kind, data_type) = match spec.name {
                name if numbers.contains(&name) => ("number", "UInt64"),
                name if urls.contains(&name) => ("url", "Utf8"),
                _ => ("header", "Utf8"),
            };
            assert_eq!(field.metadata()[schema::KIND], kind, "{}", spec.name);
            assert_eq!(field.data_type().to_string(), data_type, "{}", spec.name);
        }
    }
    // A malformed first line may hold anything.
    for (name, at) in
        [("method", 0), ("version", 0), ("version", 1), ("reason", 1), ("request_method", 1)]
    {
        let schema = ran.records[at].schema();
        assert_eq!(
            schema.field_with_name(name).unwrap().metadata()[schema::KIND],
            "header",
            "{name}"
        );
    }
}
