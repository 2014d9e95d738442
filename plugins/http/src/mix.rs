//! What the responses are, in counters: the class of their status and the kind of their content.
//!
//! A handful of each, whatever servers send, so that what is counted says nothing of anybody.

use ringmill_sdk::{Counter, Host};

/// The classes of status codes (RFC 9110, section 15); what is none of these is not counted.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The kinds of content, the last for all others.
const KINDS: [&str; 12] = [
    "html",
    "css",
    "javascript",
    "json",
    "xml",
    "text",
    "image",
    "font",
    "audio",
    "video",
    "octet_stream",
    "other",
];

/// The kind of a media type (RFC 9110, section 8.3.1), as its place in [`KINDS`].
fn kind(value: &[u8]) -> usize {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let begins = |with: &str| {
        essence.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    let ends = |with: &str| {
        let at = essence.len().checked_sub(with.len());
        at.is_some_and(|at| essence[at..].eq_ignore_ascii_case(with.as_bytes()))
    };
    // `image/svg+xml` is an image, `application/xhtml+xml` is HTML.
    match () {
        () if begins("image/") => 6,
        () if begins("text/html") || begins("application/xhtml") => 0,
        () if begins("text/css") => 1,
        () if ends("javascript") || ends("ecmascript") => 2,
        () if ends("json") => 3,
        () if ends("xml") => 4,
        () if begins("text/") => 5,
        () if begins("font/") || begins("application/font") => 7,
        () if begins("audio/") => 8,
        () if begins("video/") => 9,
        () if ends("/octet-stream") => 10,
        () => 11,
    }
}

/// Responses that were not told to the ledger yet.
#[derive(Debug, Default)]
pub(crate) struct Mix {
    classes: [u64; CLASSES.len()],
    kinds: [u64; KINDS.len()],
    any: bool,
}

impl Mix {
    /// A response with this status.
    #[inline]
    pub(crate) fn status(&mut self, status: u16) {
        let class = usize::from(status / 100).wrapping_sub(1);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
            self.any = true;
        }
    }

    /// A response whose first `Content-Type` this is.
    #[inline]
    pub(crate) fn content(&mut self, value: &[u8]) {
        self.kinds[kind(value)] += 1;
        self.any = true;
    }
}

/// The counters `status.CLASS` and `types.KIND`.
pub(crate) struct Counters {
    classes: [Counter; CLASSES.len()],
    kinds: [Counter; KINDS.len()],
}

impl Counters {
    pub(crate) fn new(host: &Host) -> Self {
        Self {
            classes: CLASSES.map(|name| host.counter(&format!("status.{name}"))),
            kinds: KINDS.map(|name| host.counter(&format!("types.{name}"))),
        }
    }

    /// Counts what was tallied since the last time.
    pub(crate) fn publish(&self, mix: &mut Mix) {
        if !mix.any {
            return;
        }
        let counters = self.classes.iter().chain(&self.kinds);
        for (counter, count) in counters.zip(mix.classes.iter().chain(&mix.kinds)) {
            if *count > 0 {
                counter.add(*count);
            }
        }
        *mix = Mix::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_of_a_kind() {
        let rows: &[(&str, &str)] = &[
            ("text/html; charset=utf-8", "html"),
            ("TEXT/HTML", "html"),
            (" text/html ;x", "html"),
            ("application/xhtml+xml", "html"),
            ("text/css", "css"),
            ("text/javascript", "javascript"),
            ("application/x-javascript", "javascript"),
            ("application/json", "json"),
            ("application/ld+json", "json"),
            ("text/xml", "xml"),
            ("application/rss+xml", "xml"),
            ("image/svg+xml", "image"),
            ("image/png", "image"),
            ("text/plain", "text"),
            ("font/woff2", "font"),
            ("application/font-woff", "font"),
            ("audio/mpeg", "audio"),
            ("video/mp4", "video"),
            ("application/octet-stream", "octet_stream"),
            ("application/pdf", "other"),
            ("", "other"),
            (";", "other"),
            ("html", "other"),
            ("\u{e9}", "other"),
        ];
        for (value, expected) in rows {
            assert_eq!(KINDS[kind(value.as_bytes())], *expected, "{value}");
        }
    }
}
