//! Addresses that clients and servers write into their heads come out as the pseudonyms that
//! the address columns have, in whatever spelling they were sent.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use common::{Row, rows, run, text, write_config};
use ringmill::sdk::testing::Frame;

/// Where the client's address stands: the column, or the header field in `extras`, what was sent
/// and what comes out. `{}` is the pseudonym, `{escaped}` with its colons percent-encoded,
/// `{dashed}` with dashes, `{reversed}` as in the DNS.
type Case = (&'static str, &'static str, &'static str);

const V4: &str = "203.0.113.77";
const REQUESTS_V4: &[Case] = &[
    ("host", "203.0.113.77", "{}"),
    ("host", "203.0.113.77:8080", "{}:8080"),
    ("host", "3405803853", "{}"),
    ("host", "0xcb.0.0x714d:80", "{}:80"),
    ("host", "[::ffff:203.0.113.77]", "[::ffff:{}]"),
    ("host", "ip-203-0-113-77.example", "ip-{dashed}.example"),
    ("uri", "http://203.0.113.77/", "http://{}/"),
    ("uri", "/?ip=203.0.113.77&n=203%2E0.113.%37%37", "/?ip={}&n={}"),
    ("uri", "/?u=http%3A%2F%2F203.0.113.77%2F", "/?u=http%3A%2F%2F{}%2F"),
    ("uri", "/?u=http%253A%252F%252F3405803853%252F", "/?u=http%253A%252F%252F{}%252F"),
    ("referer", "http://0313.0.113.77/a", "http://{}/a"),
    ("referer", "http://[::FFFF:cb00:714d]:80/", "http://[::ffff:{}]:80/"),
    ("origin", "http://203.0.113.77:81", "http://{}:81"),
    ("via", "1.1 203.0.113.77:3128 (squid/3.5.27)", "1.1 {}:3128 (squid/3.5.27)"),
    ("link", "<//203.0.113.77/>; rel=x", "<//{}/>; rel=x"),
    ("user_agent", "Probe/1.2.3.4 (203.0.113.77)", "Probe/1.2.3.4 ({})"),
    ("x-seen", "203.0.113.77, 203.000.113.077", "{}, {}"),
    ("x-seen", "77.113.0.203.in-addr.arpa", "{reversed}.in-addr.arpa"),
    ("x-seen", "for=\"203.0.113.77:4711\";proto=http", "for=\"{}:4711\";proto=http"),
    ("forwarded", "for=\"203.0.113.77:4711\";proto=http", "for=\"{}:4711\";proto=http"),
    ("x-forwarded-for", "203.0.113.77, 203.0.113.77:80", "{}, {}:80"),
    ("true-client-ip", "203.0.113.77", "{}"),
    ("x-real-ip", "203.0.113.77", "{}"),
    ("cf-connecting-ip", "203.0.113.77", "{}"),
];

const V6: &str = "2001:db8:1234::77";
const REQUESTS_V6: &[Case] = &[
    ("host", "[2001:db8:1234::77]", "[{}]"),
    ("host", "[2001:DB8:1234:0:0:0:0:77]:8080", "[{}]:8080"),
    ("uri", "http://[2001:db8:1234::77%25eth0]/", "http://[{}]/"),
    ("uri", "/?a=2001%3Adb8%3A1234%3A%3A77&b", "/?a={escaped}&b"),
    ("referer", "http://[2001:db8:1234::0.0.0.119]:80/", "http://[{}]:80/"),
    ("origin", "http://[2001:0db8:1234::77]", "http://[{}]"),
    ("via", "1.1 2001:db8:1234::77, 1.1 [2001:db8:1234::77]:80", "1.1 {}, 1.1 [{}]:80"),
    ("x-seen", "for=\"[2001:db8:1234::77]:4711\"", "for=\"[{}]:4711\""),
    ("x-seen", "2001:db8:1234::77%eth0", "{}"),
];

const RESPONSES_V4: &[Case] = &[
    ("location", "http://203.0.113.77/next", "http://{}/next"),
    ("location", "//3405803853/", "//{}/"),
    ("link", "<http://203.0.113.77/>; rel=next", "<http://{}/>; rel=next"),
    ("via", "1.1 203.0.113.77", "1.1 {}"),
    ("server", "nginx/1.22.1.1 203.0.113.77", "nginx/1.22.1.1 {}"),
    ("x-seen", "203.0.113.77", "{}"),
];

/// The head in which the case stands.
fn head(field: &str, value: &str, is_request: bool) -> String {
    let name = field.replace('_', "-");
    match field {
        "uri" => format!("GET {value} HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        "host" => format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n"),
        _ if is_request => format!("GET / HTTP/1.1\r\nHost: a.example\r\n{name}: {value}\r\n\r\n"),
        _ => format!("HTTP/1.1 302 Found\r\n{name}: {value}\r\nContent-Length: 0\r\n\r\n"),
    }
}

/// A capture with one connection for each case, from client port 20000 on, and the cases in
/// the order of these ports.
fn capture(directory: &Path) -> (PathBuf, Vec<(Case, bool)>) {
    let mut cases = Vec::new();
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0xffff, 1_u32] {
        pcap.extend(word.to_le_bytes());
    }
    let tables = [
        (V4, "192.0.2.80:80", REQUESTS_V4, true),
        (V6, "[2001:db8:ffff::80]:80", REQUESTS_V6, true),
        (V4, "192.0.2.80:80", RESPONSES_V4, false),
    ];
    for (client, server, table, is_request) in tables {
        for case in table {
            let port = 20_000 + cases.len();
            let client = match client.contains(':') {
                true => format!("[{client}]:{port}"),
                false => format!("{client}:{port}"),
            };
            let head = head(case.0, case.1, is_request);
            let frame = match is_request {
                true => Frame::tcp(&client, server),
                false => Frame::tcp(server, &client),
            };
            let frame = frame.payload(head).build();
            let len = u32::try_from(frame.len()).unwrap();
            for word in [1_700_000_000, u32::try_from(cases.len()).unwrap(), len, len] {
                pcap.extend(word.to_le_bytes());
            }
            pcap.extend(frame);
            cases.push((*case, is_request));
        }
    }
    let path = directory.join("capture.pcap");
    fs::write(&path, pcap).unwrap();
    (path, cases)
}

fn expected(template: &str, pseudonym: &str) -> String {
    let reversed: Vec<_> = pseudonym.rsplit('.').collect();
    template
        .replace("{}", pseudonym)
        .replace("{escaped}", &pseudonym.replace(':', "%3A"))
        .replace("{dashed}", &pseudonym.replace('.', "-"))
        .replace("{reversed}", &reversed.join("."))
}

/// The value of a column, or of a header field in `extras`.
fn value<'a>(row: &'a Row, field: &str) -> Option<&'a str> {
    text(row, field).or_else(|| row.get("extras")?.get(field)?.as_str())
}

/// What the strategy makes of the capture, held against what its address columns say. No other
/// stage chooses what comes out.
fn check(strategy: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (capture, cases) = capture(directory.path());
    let out = directory.path().join("out.jsonl");
    let config = write_config(
        directory.path(),
        // The header policy would hash much of what is to be seen here.
        &format!(
            "allow_identifiable = true\n\
             [capture]\nfrom = \"file\"\nfiles = [{capture:?}]\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
             [[stage]]\nuse = \"user_agent\"\n[[stage]]\n{strategy}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n"
        ),
    );
    run(&config, &["--quiet"]);
    let rows = rows(&out);
    assert_eq!(rows.len(), cases.len(), "{strategy}");
    let mut pseudonyms = Vec::new();
    for row in rows {
        let port = |name| row.get(name).and_then(serde_json::Value::as_u64).unwrap();
        let is_request = text(&row, "record") == Some("http_request");
        let (address, port) = match is_request {
            true => (text(&row, "src_ip").unwrap(), port("src_port")),
            false => (text(&row, "dst_ip").unwrap(), port("dst_port")),
        };
        let ((field, sent, template), _) = cases[usize::try_from(port).unwrap() - 20_000];
        let expected = expected(template, address);
        assert_eq!(value(&row, field), Some(&*expected), "{strategy}: `{field}: {sent}`");
        pseudonyms.push(address.parse::<IpAddr>().unwrap());
    }
    pseudonyms.sort_unstable();
    pseudonyms.dedup();
    assert_eq!(pseudonyms.len(), 2, "one pseudonym for each of the client's addresses");
    let written = fs::read_to_string(&out).unwrap().to_lowercase();
    let spellings = [
        V4,
        "203-0-113-77",
        "77.113.0.203",
        "3405803853",
        "cb00:714d",
        "1234::77",
        "1234:0",
        "1234%3a%3a77",
        "::0.0.0.119",
    ];
    for address in spellings {
        assert!(!written.contains(address), "{strategy} let `{address}` out");
    }
}

#[test]
fn addresses_in_text_match_those_of_the_columns() {
    check("use = \"crypto_pan\"\nkey = \"ephemeral\"");
    check("use = \"truncate\"\nv4_prefix = 16\nv6_prefix = 32");
}

/// Only addresses cross to a plugin; the text stays with the engine.
#[test]
fn a_loaded_strategy_has_them_mapped_too() {
    let site = common::plugins().join("libcustom_anonymizer.so");
    check(&format!("plugin = {site:?}\nuse = \"site\""));
}
