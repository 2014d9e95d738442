//! Request and response heads as browsers and servers write them.

use std::fmt::{Arguments, Write};

use super::date::HttpDate;
use super::dice::Dice;
use super::names::Agent;
use super::payload::{Body, Content};

/// What a response has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    resource: &'static Resource,
    /// HEAD was the method.
    head_only: bool,
    /// The client has a copy and asks whether it is still good.
    conditional: bool,
    /// A part was asked for.
    ranged: bool,
    /// The connection ends after this exchange.
    pub(super) last: bool,
}

/// What a connection asked before the capture began.
pub(super) const UNSEEN: Asked =
    Asked { resource: &PAGE, head_only: false, conditional: false, ranged: false, last: false };

#[derive(Debug)]
struct Resource {
    folder: &'static str,
    extension: &'static str,
    accept: &'static str,
    content_type: &'static str,
    compressed: bool,
}

/// Weighted by repetition.
const RESOURCES: &[Resource] = &[PAGE, IMAGE, SCRIPT, IMAGE, DATA, STYLE, IMAGE, DOWNLOAD, PAGE];

const PAGE: Resource = Resource {
    folder: "articles",
    extension: "html",
    accept: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    content_type: "text/html; charset=utf-8",
    compressed: true,
};
const IMAGE: Resource = Resource {
    folder: "media/images",
    extension: "jpg",
    accept: "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    content_type: "image/jpeg",
    compressed: false,
};
const SCRIPT: Resource = Resource {
    folder: "assets/js",
    extension: "js",
    accept: "*/*",
    content_type: "application/javascript",
    compressed: true,
};
const STYLE: Resource = Resource {
    folder: "assets/css",
    extension: "css",
    accept: "text/css,*/*;q=0.1",
    content_type: "text/css",
    compressed: true,
};
const DATA: Resource = Resource {
    folder: "api/v2/items",
    extension: "json",
    accept: "application/json, text/plain, */*",
    content_type: "application/json",
    compressed: true,
};
const DOWNLOAD: Resource = Resource {
    folder: "pool/main",
    extension: "bin",
    accept: "*/*",
    content_type: "application/octet-stream",
    compressed: false,
};

const METHODS: [(&str, u32); 6] =
    [("GET", 880), ("POST", 80), ("HEAD", 20), ("PUT", 10), ("PATCH", 5), ("DELETE", 5)];
const STATUSES: [(&str, u32); 10] = [
    ("200 OK", 740),
    ("304 Not Modified", 60),
    ("302 Found", 50),
    ("301 Moved Permanently", 40),
    ("404 Not Found", 50),
    ("204 No Content", 25),
    ("403 Forbidden", 15),
    ("500 Internal Server Error", 10),
    ("503 Service Unavailable", 5),
    ("401 Unauthorized", 5),
];
const LANGUAGES: &[&str] =
    &["en-US,en;q=0.9", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "fr,en;q=0.5", "zh-CN,zh;q=0.9"];
const SERVERS: &[&str] = &[
    "nginx",
    "nginx/1.18.0 (Ubuntu)",
    "Apache",
    "Apache/2.4.41 (Ubuntu)",
    "cloudflare",
    "Microsoft-IIS/10.0",
    "AmazonS3",
    "LiteSpeed",
    "ECS (nyb/1D2E)",
];
const CACHING: &[&str] = &[
    "max-age=31536000, immutable",
    "public, max-age=86400",
    "private, no-cache",
    "no-store",
    "max-age=0, must-revalidate",
    "public, max-age=604800",
];

fn weighted(dice: &mut Dice, table: &[(&'static str, u32)]) -> &'static str {
    let mut point = dice.below(table.iter().map(|row| row.1).sum());
    for (name, weight) in table {
        match point.checked_sub(*weight) {
            Some(rest) => point = rest,
            None => return name,
        }
    }
    table[0].0
}

fn put(out: &mut String, text: Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written");
}

macro_rules! line {
    ($out:expr, $($text:tt)*) => { put($out, format_args!("{}\r\n", format_args!($($text)*))) };
}

/// Replaces `out` by a request head. The body follows it; it is empty for most methods.
pub(super) fn request(
    out: &mut String,
    dice: &mut Dice,
    host: &str,
    agent: &Agent,
    now: u64,
    last: bool,
) -> (Asked, Body) {
    out.clear();
    let method = weighted(dice, &METHODS);
    let resource = dice.of(RESOURCES);
    let fetches = matches!(method, "GET" | "HEAD");
    let conditional = fetches && dice.per_mille(180);
    let ranged = method == "GET" && resource.extension == "bin" && dice.per_mille(300);
    put(out, format_args!("{method} "));
    put_target(out, dice, resource);
    line!(out, " HTTP/1.1");
    line!(out, "Host: {host}");
    line!(out, "Connection: {}", if last { "close" } else { "keep-alive" });
    let body = if matches!(method, "POST" | "PUT" | "PATCH") {
        let length = dice.below(600);
        line!(out, "Content-Length: {length}");
        line!(out, "Content-Type: application/x-www-form-urlencoded");
        line!(out, "Origin: http://{host}");
        Body::new(dice, Content::Form, length, false)
    } else {
        Body::none()
    };
    line!(out, "User-Agent: {}", agent.text);
    line!(out, "Accept: {}", resource.accept);
    if agent.browser {
        if dice.per_mille(700) {
            put(out, format_args!("Referer: http://{host}"));
            put_target(out, dice, &PAGE);
            out.push_str("\r\n");
        }
        line!(out, "Accept-Encoding: gzip, deflate");
        line!(out, "Accept-Language: {}", dice.of(LANGUAGES));
        if resource.extension == "html" {
            line!(out, "Upgrade-Insecure-Requests: 1");
        }
        if dice.per_mille(450) {
            put_cookie(out, dice, now);
        }
        if dice.per_mille(300) {
            line!(out, "DNT: 1");
        }
    } else if dice.per_mille(500) {
        line!(out, "Accept-Encoding: identity");
    }
    if ranged {
        let from = dice.below(1 << 24);
        line!(out, "Range: bytes={from}-{}", from + 65_535);
    }
    if dice.per_mille(100) {
        line!(out, "Cache-Control: max-age=0");
    }
    if conditional {
        if dice.per_mille(600) {
            line!(out, "If-None-Match: \"{:x}\"", dice.bits() >> 8);
        }
        let age = u64::from(dice.below(30_000_000));
        line!(out, "If-Modified-Since: {}", HttpDate(now - age));
    }
    // Proxies on campus tell whom they ask for; an anonymizer has to see to these too.
    if dice.per_mille(15) {
        let (x, y) = (dice.below(256), dice.below(256));
        line!(out, "X-Forwarded-For: 10.{x}.{y}.17");
        line!(out, "Via: 1.1 proxy{} (squid/5.7)", x % 8);
    }
    out.push_str("\r\n");
    (Asked { resource, head_only: method == "HEAD", conditional, ranged, last }, body)
}

/// Replaces `out` by a response head. `large` is the mean of large bodies, bytes.
pub(super) fn response(
    out: &mut String,
    dice: &mut Dice,
    asked: Asked,
    now: u64,
    large: u32,
) -> Body {
    out.clear();
    let status = match weighted(dice, &STATUSES) {
        "200 OK" if asked.ranged => "206 Partial Content",
        "200 OK" if asked.conditional && dice.per_mille(600) => "304 Not Modified",
        "304 Not Modified" if !asked.conditional => "200 OK",
        drawn => drawn,
    };
    let good = matches!(status, "200 OK" | "206 Partial Content");
    let bodiless = matches!(status, "304 Not Modified" | "204 No Content");
    line!(out, "HTTP/1.1 {status}");
    line!(out, "Date: {}", HttpDate(now));
    line!(out, "Server: {}", dice.of(SERVERS));
    let length = match status {
        "206 Partial Content" => 65_536.min(large * 2),
        _ if good => body_length(dice, large),
        _ => dice.between(100, 500),
    };
    let chunked = good && asked.resource.compressed && dice.per_mille(500);
    if !bodiless {
        let html = if good { asked.resource.content_type } else { "text/html" };
        line!(out, "Content-Type: {html}");
        if chunked {
            line!(out, "Transfer-Encoding: chunked");
        } else {
            line!(out, "Content-Length: {length}");
        }
        if good && asked.resource.compressed {
            line!(out, "Content-Encoding: gzip");
            line!(out, "Vary: Accept-Encoding");
        }
    }
    if status == "206 Partial Content" {
        let from = dice.below(1 << 24);
        line!(out, "Content-Range: bytes {from}-{}/{}", from + length - 1, (1 << 24) + 65_536);
    }
    if status.starts_with("30") && !bodiless {
        put(out, format_args!("Location: http://www.example.com"));
        put_target(out, dice, asked.resource);
        out.push_str("\r\n");
    }
    line!(out, "Connection: {}", if asked.last { "close" } else { "keep-alive" });
    if good || bodiless {
        put_validators(out, dice, now);
    }
    if dice.per_mille(150) {
        line!(out, "Set-Cookie: sid={:016x}; path=/; HttpOnly", dice.bits());
    }
    out.push_str("\r\n");
    if bodiless || asked.head_only {
        Body::none()
    } else {
        Body::new(dice, Content::Random, length, chunked)
    }
}

/// What caches live by.
fn put_validators(out: &mut String, dice: &mut Dice, now: u64) {
    let age = u64::from(dice.below(60_000_000));
    line!(out, "Last-Modified: {}", HttpDate(now - age));
    if dice.per_mille(800) {
        let weak = if dice.per_mille(200) { "W/" } else { "" };
        line!(out, "ETag: {weak}\"{:x}\"", dice.bits() >> 8);
    }
    line!(out, "Cache-Control: {}", dice.of(CACHING));
    if dice.per_mille(400) {
        line!(out, "Expires: {}", HttpDate(now + u64::from(dice.below(1_000_000))));
    }
    line!(out, "Accept-Ranges: bytes");
    if dice.per_mille(350) {
        line!(out, "Age: {}", dice.below(90_000));
        let hit = if dice.per_mille(700) { "HIT" } else { "MISS" };
        line!(out, "X-Cache: {hit} from edge{}.example.net", dice.below(64));
        line!(out, "Via: 1.1 varnish");
    }
}

/// A third of the bodies are a few lines; the rest has a long tail around `large`.
fn body_length(dice: &mut Dice, large: u32) -> u32 {
    if dice.per_mille(330) {
        return dice.below(600);
    }
    // The product of two uniform numbers of mean one half has mean one quarter.
    let part = u64::from(dice.below(1024)) * u64::from(dice.below(1024));
    u32::try_from((u64::from(large) * 4 * part) >> 20).unwrap_or(u32::MAX)
}

const WORDS: &[&str] = &[
    "news", "sport", "main", "list", "header", "small", "large", "index", "user", "profile",
    "update", "thumb", "gallery", "2024", "2025", "archive", "weather", "market", "lib", "vendor",
];

fn put_target(out: &mut String, dice: &mut Dice, resource: &Resource) {
    if dice.per_mille(40) {
        out.push('/');
        return;
    }
    put(out, format_args!("/{}/{}", resource.folder, dice.of(WORDS)));
    if dice.per_mille(500) {
        put(out, format_args!("/{}", dice.of(WORDS)));
    }
    let id = dice.bits();
    put(out, format_args!("/{:x}-{}.{}", id >> 24, dice.of(WORDS), resource.extension));
    if dice.per_mille(400) {
        put(out, format_args!("?v={}&id={}", id & 0xffff, dice.below(1_000_000)));
        if dice.per_mille(300) {
            put(out, format_args!("&q={}%20{}", dice.of(WORDS), dice.of(WORDS)));
        }
    }
}

fn put_cookie(out: &mut String, dice: &mut Dice, now: u64) {
    put(out, format_args!("Cookie: sid={:016x}", dice.bits()));
    if dice.per_mille(700) {
        let first = now - u64::from(dice.below(20_000_000));
        put(out, format_args!("; _ga=GA1.2.{}.{first}", dice.below(2_000_000_000)));
    }
    if dice.per_mille(400) {
        put(out, format_args!("; prefs=lang:en|theme:{}|tz:60", dice.of(WORDS)));
    }
    if dice.per_mille(300) {
        put(out, format_args!("; track={:016x}{:016x}", dice.bits(), dice.bits()));
    }
    out.push_str("\r\n");
}
