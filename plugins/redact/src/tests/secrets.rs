//! Secrets at random, in random places: by default none comes out, and equality stays.

use std::sync::Arc;

use proptest::{prelude::*, test_runner::RngSeed};
use ringmill_sdk::{
    arrow_array::{ArrayRef, StringArray},
    columns::TextMap,
    prelude::*,
    schema::{Kind, map, record, text},
    testing::{rows, run_records},
};

use crate::Redact;

/// The same cases every time, so that a change is judged by itself; `PROPTEST_RNG_SEED` and
/// `PROPTEST_CASES` look for others.
fn config() -> ProptestConfig {
    let asked = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked("PROPTEST_CASES").and_then(|n: u64| n.try_into().ok()).unwrap_or(1000),
        rng_seed: RngSeed::Fixed(asked("PROPTEST_RNG_SEED").unwrap_or(1)),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Every text column of both record types, then the map; all in one record.
const COLUMNS: [(&str, Kind); 36] = [
    ("method", Kind::Header),
    ("host", Kind::Header),
    ("uri", Kind::Url),
    ("reason", Kind::Header),
    ("version", Kind::Header),
    ("user_agent", Kind::Header),
    ("user_agent_os_version", Kind::Header),
    ("user_agent_browser_version", Kind::Header),
    ("referer", Kind::Url),
    ("server", Kind::Header),
    ("content_encoding", Kind::Header),
    ("pragma", Kind::Header),
    ("connection", Kind::Header),
    ("content_type", Kind::Header),
    ("cache_control", Kind::Header),
    ("etag", Kind::Header),
    ("last_modified", Kind::Header),
    ("expires", Kind::Header),
    ("date", Kind::Header),
    ("vary", Kind::Header),
    ("if_none_match", Kind::Header),
    ("if_modified_since", Kind::Header),
    ("range", Kind::Header),
    ("if_range", Kind::Header),
    ("content_range", Kind::Header),
    ("transfer_encoding", Kind::Header),
    ("accept_encoding", Kind::Header),
    ("location", Kind::Url),
    ("link", Kind::Url),
    ("purpose", Kind::Header),
    ("via", Kind::Header),
    ("x_cache", Kind::Header),
    ("origin", Kind::Url),
    ("sec_fetch_dest", Kind::Header),
    ("request_host", Kind::Header),
    ("request_uri", Kind::Url),
];

/// A record with these values in columns, or in entries of `extras`, as text when it came out.
fn out_of_all(values: &[(&str, &str)]) -> String {
    let of = |place: &str| values.iter().find(|(name, _)| *name == place).map(|(_, value)| *value);
    let mut fields: Vec<_> = COLUMNS.iter().map(|(name, kind)| text(name, *kind)).collect();
    fields.push(map("extras", Kind::Header));
    let column = |(name, _): &(&str, Kind)| Arc::new(StringArray::from(vec![of(name)])) as ArrayRef;
    let mut columns: Vec<_> = COLUMNS.iter().map(column).collect();
    let mut extras = TextMap::default();
    for (name, value) in values.iter().filter(|(name, _)| !COLUMNS.iter().any(|it| it.0 == *name)) {
        extras.put(name, value);
    }
    extras.end_row();
    columns.push(extras.finish().unwrap());
    let batch = RecordBatch::try_new(record("r", fields), columns).unwrap();
    let ran = run_records::<Redact>("", &[batch]).unwrap();
    format!("{:?}", rows(&ran.records))
}

fn out(place: &str, value: &str) -> String {
    out_of_all(&[(place, value)])
}

/// Whether the text holds any eight bytes of the secret on end, as they are or encoded.
fn tells(out: &str, secret: &str) -> bool {
    let encoded: String = out.replace("%25", "%");
    let mut plain = String::new();
    let mut rest = encoded.as_str();
    while let Some(at) = rest.find('%') {
        plain += &rest[..at];
        let byte = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (char, length) = byte.map_or(('%', 1), |byte| (char::from(byte), 3));
        plain.push(char);
        rest = &rest[at + length..];
    }
    plain += rest;
    let parts = (0..=secret.len() - 8).map(|at| &secret[at..at + 8]);
    parts.into_iter().any(|part| out.contains(part) || plain.contains(part))
}

/// Every character encoded.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What looks like a session's name or a key.
fn tokens() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]{20,64}",
        base64url(27..64),
        "[0-9a-f]{16,64}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9]{9,19}",
        (base64url(8..40), base64url(8..80), base64url(43..44))
            .prop_map(|(head, claims, signature)| format!("eyJ{head}.eyJ{claims}.{signature}")),
    ]
}

/// Each of the 64 as often: a class in a pattern would favour the two that join.
fn base64url(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = prop::sample::select(&DIGITS[..]).prop_map(char::from);
    prop::collection::vec(digit, length).prop_map(String::from_iter)
}

fn emails() -> impl Strategy<Value = String> {
    "[a-z]{3,8}[a-z0-9._+-]{0,8}[a-z]@[a-z]{3,10}\\.(org|com|co\\.uk)"
}

/// Any secret, also a short one.
fn secrets() -> impl Strategy<Value = String> {
    prop_oneof![tokens(), emails(), "[A-Za-z]{8,19}", "[a-z]{4} [a-z]{5}"]
}

/// How a secret may be spelled in a URL.
fn spelled(secret: &str, how: u8) -> String {
    match how % 4 {
        0 => secret.to_owned(),
        1 => secret.replace('@', "%40"),
        2 => encoded(secret),
        _ => encoded(secret).replace('%', "%25"),
    }
}

const URLS: [&str; 7] =
    ["uri", "request_uri", "referer", "location", "origin", "content-location", "destination"];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn credentials_and_names_never(
        secret in secrets(),
        field in prop::sample::select([crate::fields::CREDENTIALS, crate::fields::PERSONS].concat()),
        upper in any::<bool>(),
        around in prop::sample::select(&["{}", "sid={}", "a=b; sid={}; c=d", "Bearer {}", "a, b={}"][..]),
    ) {
        let name = if upper { field.to_uppercase().replace('-', "_") } else { (*field).to_owned() };
        let value = around.replace("{}", &secret);
        prop_assert!(!tells(&out(&name, &value), &secret), "{name}: {value}");
    }

    #[test]
    fn fields_that_are_not_listed_never(secret in secrets(), name in "x-[a-z]{3,12}") {
        prop_assume!(!crate::fields::HARMLESS.contains(&name.as_str()) && name != "x-cache");
        prop_assert!(!tells(&out(&name, &secret), &secret), "{name}: {secret}");
    }

    #[test]
    fn values_of_queries_never(
        secret in secrets(),
        how in any::<u8>(),
        column in prop::sample::select(&URLS[..]),
        around in prop::sample::select(&[
            "/?q={}",
            "/a/b.html?a=1&q={}&z=2",
            "/a;jsessionid={}?x",
            "http://h/a;b=c;d={}/e",
            "http://h?a=b;c={}",
            "//h/x?={}",
            "x?a=b={}",
            "/x#{}",
            "/x?a#{}",
            "/a&q={}",
            "/a%3Fq={}",
            "http://u:{}@h/",
            "http:{}",
        ][..]),
    ) {
        let value = around.replace("{}", &spelled(&secret, how));
        prop_assert!(!tells(&out(column, &value), &secret), "{column}: {value}");
        let link = format!("<{value}>; rel=preload; anchor=\"{value}\"");
        prop_assert!(!tells(&out("link", &link), &secret), "link: {link}");
    }

    #[test]
    fn addresses_of_people_and_tokens_nowhere(
        secret in prop_oneof![tokens(), emails()],
        how in any::<u8>(),
        url in prop::sample::select(&URLS[..]),
        around in prop::sample::select(&["/{}", "/u/{}/p", "/{}.png", "http://h/{}", "/a?{}", "/a?{}=1", "/u.{}", "{}", "/a;{}"][..]),
    ) {
        let value = around.replace("{}", &spelled(&secret, how));
        prop_assert!(!tells(&out(url, &value), &secret), "{url}: {value}");
        // What stands before an `@` is user information, and behind it a host.
        let label = secret.split('@').next().unwrap_or_default();
        for value in [format!("{label}@h"), format!("u:{label}@h:80")] {
            prop_assert!(out("host", &value).contains("\"h"), "{value}");
        }
        let host = format!("{secret}.example.org:80");
        prop_assert!(secret.contains('@') || !tells(&out("host", &host), &secret), "{host}");
        let values = [
            secret.clone(),
            format!("a {secret}; b=c"),
            format!("x/{secret}"),
            format!("a, b={secret}"),
        ];
        for value in &values {
            let fields = ["accept", "x-powered-by", "x-forwarded-for", "forwarded", "if-match"];
            let headers = COLUMNS.iter().filter(|(_, kind)| *kind == Kind::Header);
            // Hosts are above, and of ranges a number is what they are of.
            let is_number = secret.bytes().all(|b| b.is_ascii_digit());
            let numbers = ["range", "content_range", "cache_control", "pragma"];
            let places = headers.map(|(name, _)| *name).chain(fields).filter(|name| {
                !(name.ends_with("host") || is_number && numbers.contains(name))
            });
            let all: Vec<_> = places.map(|name| (name, value.as_str())).collect();
            prop_assert!(!tells(&out_of_all(&all), &secret), "{value}");
        }
    }

    /// The same URL is the same in every column and mode, and another one another.
    #[test]
    fn equality_stays(
        a in "/[a-z]{1,3}(/[a-z0-9]{1,24}){0,2}(\\?[a-z]{1,2}=[a-z0-9%]{1,3}){0,1}",
        b in "/[a-z]{1,3}(/[a-z0-9]{1,24}){0,2}(\\?[a-z]{1,2}=[a-z0-9%]{1,3}){0,1}",
    ) {
        for mode in ["full", "hash_query", "hash_path", "hash"] {
            let mut redactor = super::redactor(&format!("url = {mode:?}\nlocation = {mode:?}"));
            let mut uri = |url: &str| super::out_of(&mut redactor, "uri", url).unwrap();
            let (out_a, out_b) = (uri(&a), uri(&b));
            prop_assert_eq!(&uri(&a), &out_a);
            prop_assert_eq!(out_a == out_b, a == b, "{} and {} with {}", &out_a, &out_b, mode);
            let location = super::out_of(&mut redactor, "location", &a).unwrap();
            prop_assert_eq!(location, out_a);
        }
    }

    /// Whatever is sent, it does not panic, and takes time by its length.
    #[test]
    fn anything_goes(value in "\\PC{0,60}", which in 0..COLUMNS.len()) {
        out(COLUMNS[which].0, &value);
        for field in ["forwarded", "etag", "link", "cookie", "location", "accept", "x-other"] {
            out(field, &value);
        }
    }
}

/// Sixty times the bytes take about sixty times the time, whatever they are.
#[test]
fn time_is_linear() {
    use std::time::Instant;
    let units = [
        "a", "%", "%25", "/", "@", ";", "=", "<", "\"", "<@>,", "a=b&", "\"a\",", "W/", ".",
        "\u{e9}", "1-",
    ];
    for (column, _) in COLUMNS {
        for unit in units {
            let time = |bytes: usize| {
                let value = unit.repeat(bytes / unit.len());
                let mut redactor = super::redactor("user_agent = \"full\"");
                let once = |redactor: &mut crate::redactor::Redactor| {
                    let begin = Instant::now();
                    super::out_of(redactor, column, &value);
                    begin.elapsed()
                };
                (0..3).map(|_| once(&mut redactor)).min().unwrap()
            };
            let (small, large) = (time(1_000), time(60_000));
            // A square would be 3600 times; what is short may be refused by its length.
            let allowed = small * 600 + std::time::Duration::from_millis(20);
            assert!(large < allowed, "{unit} in {column}: {small:?}, {large:?}");
        }
    }
}
