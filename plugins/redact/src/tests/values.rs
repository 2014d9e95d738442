//! Values that are no URLs.

use super::check;

#[test]
fn defaults() {
    check(
        "",
        &[
            // Credentials, addresses, persons.
            ("cookie", "a=b", None),
            ("set-cookie", "a=b; path=/", None),
            ("authorization", "Basic dTpw", None),
            ("proxy-authorization", "x", None),
            ("x_api_key", "x", None),
            ("from", "j@x.org", None),
            ("x-msisdn", "1", None),
            ("x-forwarded-for", "192.0.2.1", Some("192.0.2.1")),
            (
                "x-forwarded-for",
                "192.0.2.1, 2001:db8::1 ,x",
                Some("192.0.2.1, 2001:db8::1, unknown"),
            ),
            (
                "x-forwarded-for",
                "192.0.2.1:80, [2001:db8::1]:80",
                Some("192.0.2.1:80, [2001:db8::1]:80"),
            ),
            ("x-real-ip", "jane", Some("unknown")),
            ("true-client-ip", "", Some("unknown")),
            ("client-ip", "192.0.2.1 jane", Some("unknown")),
            ("client-ip", "unknown", Some("unknown")),
            ("client-ip", "fe80::1%eth0", Some("fe80::1%eth0")),
            ("client-ip", "::ffff:192.0.2.1", Some("::ffff:192.0.2.1")),
            ("client-ip", "[::1]x", Some("unknown")),
            ("client-ip", "192.0.2.1:123456", Some("unknown")),
            (
                "forwarded",
                "For=\"[2001:db8::1]:4711\";proto=http;by=_secret, for=192.0.2.1;host=h",
                Some("for=\"[2001:db8::1]:4711\";proto=http;by=unknown, for=192.0.2.1;unknown"),
            ),
            // The first line.
            ("method", "GET", Some("GET")),
            ("method", "PROPFIND", Some("PROPFIND")),
            ("method", "get", Some("«get»")),
            ("request_method", "SECRET", Some("«SECRET»")),
            ("version", "HTTP/1.1", Some("HTTP/1.1")),
            ("version", "HTTP/1.1 x", None),
            ("version", "HTTP/x.y", None),
            ("reason", "Not Found", Some("Not Found")),
            ("reason", "I'm a teapot", Some("I'm a teapot")),
            ("reason", "Non-Authoritative Information", Some("Non-Authoritative Information")),
            ("reason", "user 17", None),
            ("reason", "qwertzuiopasdfghjklyx", None),
            ("reason", &"a ".repeat(33), None),
            // The user agent.
            ("user_agent", "curl/8.5.0", None),
            ("user_agent_os_version", "NT 10.0", Some("NT 10.0")),
            ("user_agent_browser_version", "120.0.6099.109", Some("120.0.6099.109")),
            ("user_agent_browser_version", "j@x.org", None),
            ("user_agent_browser_version", "d41d8cd98f00b204e98", None),
            // Hosts.
            ("host", "www.example.org:8080", Some("www.example.org:8080")),
            ("host", "u:p@h", Some("h")),
            ("request_host", "a b", Some("«a b»")),
            ("host", "192.0.2.1", Some("192.0.2.1")),
            ("host", "[2001:db8::1]:80", Some("[2001:db8::1]:80")),
            ("host", "[fe80::1%25eth0]", Some("[fe80::1%25eth0]")),
            ("host", "2001%3Adb8::1", Some("2001%3Adb8::1")),
            ("host", "192%252E0.2.1:80", Some("192%252E0.2.1:80")),
            ("host", "[fe80::1%25this-is-a-secret]", Some("«[fe80::1%25this-is-a-secret]»")),
            ("host", "[fe80::1%49secret]", Some("«[fe80::1%49secret]»")),
            ("host", "192.0.2.1%00", Some("«192.0.2.1%00»")),
            ("host", "h:secret", Some("«h:secret»")),
            // Entity tags.
            ("etag", "\"a\"", Some("\"«a»\"")),
            ("etag", "W/\"a\"", Some("W/\"«a»\"")),
            ("etag", "\"\"", Some("\"\"")),
            ("etag", "a-b", Some("«a-b»")),
            ("etag", "\"a", Some("\"«a»")),
            ("if_none_match", "\"a\", W/\"b,c\", d ,*", Some("\"«a»\", W/\"«b,c»\", «d»,*")),
            ("if_none_match", "*", Some("*")),
            ("if_range", "\"a\"", Some("\"«a»\"")),
            ("if_range", "Wed, 21 Oct 2015 07:28:00 GMT", Some("Wed, 21 Oct 2015 07:28:00 GMT")),
            (
                "if_range",
                "Jane, 21 Oct 2015 07:28:00 GMT",
                Some("«Jane», «21 Oct 2015 07:28:00 GMT»"),
            ),
            // Words.
            ("cache_control", "max-age=315360000, public", Some("max-age=315360000, public")),
            ("cache_control", "max-age=31536000000", Some("max-age=«31536000000»")),
            ("cache_control", "no-cache=\"Set-Cookie\"", Some("no-cache=\"Set-Cookie\"")),
            ("cache_control", "315360000", Some("«315360000»")),
            ("content_range", "bytes 0-1023/12345678901", Some("bytes 0-1023/12345678901")),
            ("range", "bytes=0-,-5", Some("bytes=0-,-5")),
            ("range", "j@x.org=0-", Some("«j@x.org=0-»")),
            ("content_range", "bytes */12", Some("bytes */12")),
            ("age", "a", Some("«a»")),
            ("date", "Wed, 21 Oct 2015 07:28:00 GMT", Some("Wed, 21 Oct 2015 07:28:00 GMT")),
            ("expires", "-1", Some("-1")),
            ("expires", "0", Some("0")),
            ("expires", "Thu, 01-Jan-1970 00:00:01 GMT", Some("Thu, 01-Jan-1970 00:00:01 GMT")),
            ("last_modified", "user17", Some("«user17»")),
            ("if_modified_since", "Mon, user17", Some("«Mon, user17»")),
            ("server", "Apache/2.4.41 (Ubuntu)", Some("Apache/2.4.41 (Ubuntu)")),
            ("via", "1.1 varnish (j@x.org)", Some("1.1 varnish («j@x.org»)")),
            ("via", "1.1 192.0.2.1:3128", Some("1.1 192.0.2.1:3128")),
            ("accept_encoding", "gzip, deflate;q=0.5", Some("gzip, deflate;q=0.5")),
            ("content_type", "text/html; Charset=\"utf-8\"", Some("text/html; Charset=\"utf-8\"")),
            ("content_type", "text/html;", Some("text/html;")),
            (
                "content_type",
                "multipart/form-data; boundary=a; charset=b",
                Some("multipart/form-data;« boundary=a; charset=b»"),
            ),
            (
                "content_type",
                "a/b;charset=c;name=\"d;charset=e\"",
                Some("a/b;charset=c;«name=\"d;charset=e\"»"),
            ),
            ("content_type", "a/b; j@x.org", Some("a/b;« j@x.org»")),
            ("vary", "Accept-Encoding", Some("Accept-Encoding")),
            ("x_cache", "HIT from edge12.example.net", Some("HIT from edge12.example.net")),
            ("server", "\u{e9}", Some("«\u{e9}»")),
            ("server", "a\u{1}", Some("«a\u{1}»")),
            ("server", "", Some("")),
        ],
    );
    let long = "a ".repeat(129);
    let longest = &long[..256];
    let expected = format!("«{long}»");
    check("", &[("server", &long, Some(&expected)), ("server", longest, Some(longest))]);
}

#[test]
fn what_else_may_be_chosen() {
    let cookie = ("cookie", "a=b; c=d");
    check("credentials = \"length\"", &[(cookie.0, cookie.1, Some("[8 bytes]"))]);
    check("credentials = \"hash\"", &[(cookie.0, cookie.1, Some("«a=b; c=d»"))]);
    check("client_addresses = \"drop\"", &[("x-real-ip", "192.0.2.1", None)]);
    check("client_addresses = \"length\"", &[("x-real-ip", "192.0.2.1", Some("[9 bytes]"))]);
    check("etag = \"full\"", &[("etag", "W/\"a\", b", Some("W/\"a\", b"))]);
    check(
        "user_agent = \"full\"",
        &[
            ("user_agent", "curl/8.5.0 (j@x.org)", Some("curl/8.5.0 («j@x.org»)")),
            ("user_agent", "Gecko/20100101", Some("Gecko/20100101")),
        ],
    );
    check(
        "scrub = false\nuser_agent = \"full\"\netag = \"full\"",
        &[
            ("user_agent", "\u{e9}", Some("\u{e9}")),
            ("etag", "j@x.org", Some("j@x.org")),
            ("server", "j@x.org", Some("j@x.org")),
            ("method", "get", Some("get")),
            ("version", "x", Some("x")),
            ("reason", "17", Some("17")),
            ("host", "u:p@a b", Some("a b")),
            ("cookie", "a", None),
            ("from", "j@x.org", None),
        ],
    );
}
