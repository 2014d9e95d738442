//! URLs, by mode.

use super::{check, hash, hashed, out_of, redactor};

/// A URL, and what is left of it in the modes `full`, `no_query`, `hash_query`, `hash_path`
/// and, where it is not one hash of all, `hash`.
const URLS: &[[&str; 5]] = &[
    // url, full, no_query, hash_query, hash_path
    ["/", "/", "/", "/", "/"],
    ["*", "*", "*", "*", "*"],
    ["", "", "", "", ""],
    ["/a/b.html", "/a/b.html", "/a/b.html", "/a/b.html", "/«a/b.html»"],
    ["/a?b=c", "/a?b=c", "/a", "/a?b=«c»", "/«a»?«b=c»"],
    ["/?", "/?", "/", "/?", "/?"],
    ["/?#", "/?#", "/", "/?#", "/?#"],
    ["?b=c", "?b=c", "", "?b=«c»", "?«b=c»"],
    [
        "/a?b=c&d=&=e&f;g=c=c&",
        "/a?b=c&d=&=e&f;g=c=c&",
        "/a",
        "/a?b=«c»&d=&=«e»&f;g=«c=c»&",
        "/«a»?«b=c&d=&=e&f;g=c=c&»",
    ],
    ["/a?wsdl", "/a?wsdl", "/a", "/a?wsdl", "/«a»?«wsdl»"],
    ["/a?17", "/a?17", "/a", "/a?«17»", "/«a»?«17»"],
    ["/a?jane.doe", "/a?jane.doe", "/a", "/a?«jane.doe»", "/«a»?«jane.doe»"],
    ["/a#b", "/a#b", "/a", "/a#«b»", "/«a»#«b»"],
    ["/a?b=c#d?e", "/a?b=c#d?e", "/a", "/a?b=«c»#«d?e»", "/«a»?«b=c»#«d?e»"],
    ["/a;v=1/b", "/a;v=1/b", "/a/b", "/a;v=«1»/b", "/«a;v=1/b»"],
    ["http://h", "http://h", "http://h", "http://h", "http://h"],
    [
        "http://h:80/x?y",
        "http://h:80/x?y",
        "http://h:80/x",
        "http://h:80/x?y",
        "http://h:80/«x»?«y»",
    ],
    ["http://h?y=1", "http://h?y=1", "http://h", "http://h?y=«1»", "http://h?«y=1»"],
    ["//h/x", "//h/x", "//h/x", "//h/x", "//h/«x»"],
    ["h:443", "h:443", "h:443", "h:443", "h:443"],
    ["x/y?z=1", "x/y?z=1", "x/y", "x/y?z=«1»", "«x/y»?«z=1»"],
    ["/a\\b", "/a\\b", "/a\\b", "/a\\b", "/«a\\b»"],
    // User information never, whatever the slashes.
    ["http://u:p@h/x", "http://h/x", "http://h/x", "http://h/x", "http://h/«x»"],
    ["http://u:p@v@h", "http://h", "http://h", "http://h", "http://h"],
    ["http:\\\\u:p@h\\x", "http:\\\\h\\x", "http:\\\\h\\x", "http:\\\\h\\x", "http:\\\\h\\«x»"],
    ["http:/u:p@h/x", "http:/h/x", "http:/h/x", "http:/h/x", "http:/h/«x»"],
    ["//u:p@h/x", "//h/x", "//h/x", "//h/x", "//h/«x»"],
    ["u:p@h:443", "h:443", "h:443", "h:443", "h:443"],
    [
        "http://[2001:db8::1]:80/",
        "http://[2001:db8::1]:80/",
        "http://[2001:db8::1]:80/",
        "http://[2001:db8::1]:80/",
        "http://[2001:db8::1]:80/",
    ],
    [
        "http://192.0.2.1/",
        "http://192.0.2.1/",
        "http://192.0.2.1/",
        "http://192.0.2.1/",
        "http://192.0.2.1/",
    ],
    // What has no parts is hashed whole.
    [
        "mailto:j@x.org",
        "«mailto:j@x.org»",
        "«mailto:j@x.org»",
        "«mailto:j@x.org»",
        "«mailto:j@x.org»",
    ],
    ["data:,x", "«data:,x»", "«data:,x»", "«data:,x»", "«data:,x»"],
    // So is a host that is none.
    ["http://a b/x", "http://«a b»/x", "http://«a b»/x", "http://«a b»/x", "http://«a b»/«x»"],
    ["http://[x]/", "http://«[x]»/", "http://«[x]»/", "http://«[x]»/", "http://«[x]»/"],
    ["http://u%40h/", "http://«u%40h»/", "http://«u%40h»/", "http://«u%40h»/", "http://«u%40h»/"],
    [
        "http://h:secret/",
        "http://«h:secret»/",
        "http://«h:secret»/",
        "http://«h:secret»/",
        "http://«h:secret»/",
    ],
    // E-mail addresses and tokens.
    ["/u/j@x.org/p", "/u/«j@x.org»/p", "/u/«j@x.org»/p", "/u/«j@x.org»/p", "/«u/j@x.org/p»"],
    ["/u/j%40x.org", "/u/«j%40x.org»", "/u/«j%40x.org»", "/u/«j%40x.org»", "/«u/j%40x.org»"],
    [
        "/u/j%2540x.org",
        "/u/«j%2540x.org»",
        "/u/«j%2540x.org»",
        "/u/«j%2540x.org»",
        "/«u/j%2540x.org»",
    ],
    [
        "/i/d41d8cd98f00b204e98.png",
        "/i/«d41d8cd98f00b204e98.png».png",
        "/i/«d41d8cd98f00b204e98.png».png",
        "/i/«d41d8cd98f00b204e98.png».png",
        "/«i/d41d8cd98f00b204e98.png»",
    ],
    ["/i/j@x.com", "/i/«j@x.com»", "/i/«j@x.com»", "/i/«j@x.com»", "/«i/j@x.com»"],
    ["/a?j@x.org=1", "/a?«j@x.org»=1", "/a", "/a?«j@x.org»=«1»", "/«a»?«j@x.org=1»"],
    ["/a?b=j@x.org", "/a?b=«j@x.org»", "/a", "/a?b=«j@x.org»", "/«a»?«b=j@x.org»"],
    [
        "/a?d41d8cd98f00b204e98=1",
        "/a?«d41d8cd98f00b204e98»=1",
        "/a",
        "/a?«d41d8cd98f00b204e98»=«1»",
        "/«a»?«d41d8cd98f00b204e98=1»",
    ],
    ["/a?q w=1", "/a?«q w»=1", "/a", "/a?«q w»=«1»", "/«a»?«q w=1»"],
    ["/a#j@x.org", "/a#«j@x.org»", "/a", "/a#«j@x.org»", "/«a»#«j@x.org»"],
    [
        "http://d41d8cd98f00b204e98.x.net/",
        "http://«d41d8cd98f00b204e98».x.net/",
        "http://«d41d8cd98f00b204e98».x.net/",
        "http://«d41d8cd98f00b204e98».x.net/",
        "http://«d41d8cd98f00b204e98».x.net/",
    ],
    // A query in disguise.
    ["/a&b=c", "/a&b=c", "/«a&b=c»", "/«a&b=c»", "/«a&b=c»"],
    ["/a%3Fb%3Dc", "/a%3Fb%3Dc", "/«a%3Fb%3Dc»", "/«a%3Fb%3Dc»", "/«a%3Fb%3Dc»"],
    [
        "/\u{e9}/b?\u{e9}=\u{e9}",
        "/\u{e9}/b?«\u{e9}»=\u{e9}",
        "/\u{e9}/b",
        "/\u{e9}/b?«\u{e9}»=«\u{e9}»",
        "/«\u{e9}/b»?«\u{e9}=\u{e9}»",
    ],
];

#[test]
fn urls_by_mode() {
    for (at, mode) in ["full", "no_query", "hash_query", "hash_path", "hash"].iter().enumerate() {
        let mut redactor = redactor(&format!("url = {mode:?}"));
        for row in URLS {
            let expected = match row.get(at + 1) {
                Some(expected) => hashed(expected),
                None => hash(row[0]),
            };
            let got = out_of(&mut redactor, "uri", row[0]);
            assert_eq!(got, Some(expected), "{} in mode {mode}", row[0]);
        }
    }
}

/// Each column has the mode of its own option.
#[test]
fn options_of_columns() {
    let url = "http://h/a?b=c";
    let columns = [
        ("url", ["uri", "request_uri"]),
        ("referer", ["referer", "origin"]),
        ("location", ["location", "content-location"]),
    ];
    for (option, named) in columns {
        let mut one = redactor(&format!("{option} = \"no_query\""));
        for (_, others) in columns {
            for column in others {
                let expected =
                    if named.contains(&column) { "http://h/a" } else { "http://h/a?b=«c»" };
                let got = out_of(&mut one, column, url);
                assert_eq!(got, Some(hashed(expected)), "{column} with {option}");
            }
        }
    }
}

#[test]
fn links() {
    check(
        "",
        &[
            ("link", "</a?b=c>; rel=preload; as=style", Some("</a?b=«c»>; rel=preload; as=style")),
            ("link", "</a>;rel=\"a b\", <//u:p@h/?x=1>", Some("</a>;rel=\"a b\", <//h/?x=«1»>")),
            ("link", "</>; anchor=\"/a?b=c\"", Some("</>; anchor=\"/a?b=«c»\"")),
            ("link", "</>; anchor=/a?b=c; x", Some("</>; anchor=/a?b=«c»; x")),
            ("link", "/a?b=c&d=e, f", Some("/a?b=«c»&d=«e», f")),
            ("link", "</>; title=\"j@x.org\"", Some("</>; title=\"«j@x.org»\"")),
            ("link", "</>; nonce=d41d8cd98f00b204e98", Some("</>; nonce=«d41d8cd98f00b204e98»")),
            ("link", "</a?b=c", Some("</a?b=«c»")),
            ("link", "\"/a?b=c", Some("\"/a?b=«c»")),
            ("link", "", Some("")),
        ],
    );
    check("link = \"no_query\"", &[("link", "</a?b=c>; rel=x", Some("</a>; rel=x"))]);
    check("link = \"hash\"", &[("link", "</a?b=c>; rel=x", Some("<«/a?b=c»>; rel=x"))]);
}

#[test]
fn nothing_is_looked_for_without_scrub() {
    check(
        "scrub = false\nurl = \"full\"\nreferer = \"full\"",
        &[
            ("uri", "/u/j@x.org?j@x.org=j@x.org", Some("/u/j@x.org?j@x.org=j@x.org")),
            ("uri", "http://u:p@a b/", Some("http://a b/")),
            ("uri", "data:,x", Some("data:,x")),
            ("referer", "mailto:u@x", Some("«mailto:u@x»")),
        ],
    );
    check(
        "scrub = false",
        &[("uri", "/d41d8cd98f00b204e98?a=b", Some("/d41d8cd98f00b204e98?a=«b»"))],
    );
}
