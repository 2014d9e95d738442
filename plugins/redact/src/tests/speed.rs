//! What a row costs: `cargo test --release -p ringmill-redact -- --ignored --nocapture speed`.

use std::time::Instant;

use ringmill_sdk::{
    schema::{Kind, map, record, text},
    testing::{Trial, records},
};

use crate::Redact;

/// A request of a browser for an image.
const REQUEST: &[(&str, Kind, &str)] = &[
    ("method", Kind::Header, "GET"),
    ("host", Kind::Header, "www.kittyhell.com"),
    ("uri", Kind::Url, "/wp-content/uploads/2010/03/hello-kitty-darth-vader.jpg?v=31337&id=42"),
    ("version", Kind::Header, "HTTP/1.1"),
    (
        "user_agent",
        Kind::Header,
        "Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3)",
    ),
    ("user_agent_os_version", Kind::Header, "10.6"),
    ("user_agent_browser_version", Kind::Header, "3.6.3"),
    ("referer", Kind::Url, "http://www.kittyhell.com/articles/news/a1b2c3d4e5-index.html"),
    ("accept_encoding", Kind::Header, "gzip, deflate"),
    ("connection", Kind::Header, "keep-alive"),
    ("if_modified_since", Kind::Header, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("if_none_match", Kind::Header, "\"5f3a9c1b5f3a9c\""),
];
const REQUEST_EXTRAS: &str =
    "accept=image/avif;q=0.8, accept-language=en-US;q=0.9, dnt=1, cookie=sid=0123456789abcdef";

/// What a server answers, with what was asked for.
const RESPONSE: &[(&str, Kind, &str)] = &[
    ("reason", Kind::Header, "OK"),
    ("version", Kind::Header, "HTTP/1.1"),
    ("server", Kind::Header, "Apache/2.4.41 (Ubuntu)"),
    ("content_type", Kind::Header, "text/html; charset=utf-8"),
    ("connection", Kind::Header, "keep-alive"),
    ("cache_control", Kind::Header, "max-age=31536000, immutable"),
    ("etag", Kind::Header, "\"5f3a9c1b5f3a9c\""),
    ("last_modified", Kind::Header, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("expires", Kind::Header, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("date", Kind::Header, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ("via", Kind::Header, "1.1 varnish"),
    ("x_cache", Kind::Header, "HIT from edge12.example.net"),
    ("request_method", Kind::Header, "GET"),
    ("request_host", Kind::Header, "www.kittyhell.com"),
    (
        "request_uri",
        Kind::Url,
        "/wp-content/uploads/2010/03/hello-kitty-darth-vader.jpg?v=31337&id=42",
    ),
];
const RESPONSE_EXTRAS: &str = "accept-ranges=bytes, set-cookie=sid=0123456789abcdef";

/// Nanoseconds a row; the lower quartile, because noise only ever adds.
fn cost(options: &str, columns: &[(&str, Kind, &str)], extras: &str) -> f64 {
    const ROWS: usize = 1024;
    let mut fields: Vec<_> = columns.iter().map(|(name, kind, _)| text(name, *kind)).collect();
    fields.push(map("extras", Kind::Header));
    let row: Vec<_> = columns.iter().map(|(_, _, value)| *value).chain([extras]).collect();
    let batch = records(&record("r", fields), &vec![row.as_slice(); ROWS]);
    let mut trial = Trial::<Redact>::new(options).unwrap();
    let mut times: Vec<_> = (0..201)
        .map(|_| {
            let begin = Instant::now();
            trial.records(batch.clone()).unwrap();
            #[allow(clippy::cast_precision_loss, reason = "a thousand rows")]
            let rows = ROWS as f64;
            begin.elapsed().as_secs_f64() * 1e9 / rows
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

#[test]
#[ignore = "a measurement"]
fn speed_of_rows() {
    for options in
        ["", "scrub = false", "url = \"hash\"\nreferer = \"hash\"", "user_agent = \"full\""]
    {
        let request = cost(options, REQUEST, REQUEST_EXTRAS);
        let response = cost(options, RESPONSE, RESPONSE_EXTRAS);
        println!("{options:?}: a request {request:.0} ns, a response {response:.0} ns");
    }
}
