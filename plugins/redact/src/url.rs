//! What of a URL comes out: its parts (RFC 3986, section 3), each by its own rule.
//!
//! | part | `full` | `no_query` | `hash_query` | `hash_path` | `hash` |
//! |---|---|---|---|---|---|
//! | scheme, host, port | kept | kept | kept | kept | one hash of all |
//! | path | kept | kept | kept | one hash | |
//! | value of a path parameter (`;a=b`) | kept | dropped | hashed | | |
//! | name in a query | kept | dropped | kept | one hash | |
//! | value in a query | kept | dropped | hashed | | |
//! | fragment | kept | dropped | hashed | hashed | |
//!
//! User information never comes out, in no mode. "Kept" means that a segment of the path, a
//! label of the host, a name or a value is looked at by [`scrub`](crate::scrub) and hashed when
//! something is found; of a segment the extension stays when it is a well-known one. Except in
//! `full` a segment that holds `=`, `&` or `?`, encoded or not, is hashed as well: it is a
//! query in disguise. Names longer than 32 bytes or with unusual characters are hashed; a part
//! without a `=` is a name when it is a short word, else a value.
//!
//! URLs are taken as browsers take them, so a backslash counts as a slash, and any number of
//! slashes may follow the scheme. What has a scheme and no slash behind it (`mailto:`, `data:`)
//! is hashed whole, but for a host and its port, as CONNECT has it.

use crate::{
    glance::{Kind, harmless_segments, has_signs, is_harmless},
    options::Urls,
    redactor::Redactor,
    tally::Did,
    values::is_address,
};

/// The longest name in a query, in bytes.
const LONGEST_NAME: usize = 32;
/// The longest part of a query that is a name without a value, in bytes.
const LONGEST_WORD: usize = 16;
/// The longest host, in bytes (RFC 1035, section 2.3.4).
const LONGEST_HOST: usize = 255;

/// Extensions that may stay when the segment before them is hashed.
const EXTENSIONS: &[&str] = &[
    "7z", "aac", "apk", "asp", "aspx", "avif", "avi", "bin", "bmp", "bz2", "cgi", "crl", "crt",
    "css", "csv", "deb", "dmg", "do", "doc", "docx", "eot", "epub", "exe", "flv", "gif", "gz",
    "htm", "html", "ico", "iso", "jar", "jpeg", "jpg", "js", "json", "jsp", "m3u8", "m4a", "m4s",
    "m4v", "map", "mjs", "mkv", "mov", "mp3", "mp4", "mpd", "mpg", "msi", "ogg", "otf", "pdf",
    "php", "pkg", "png", "ppt", "pptx", "rar", "rpm", "rss", "svg", "swf", "tar", "tgz", "tif",
    "tiff", "ts", "ttf", "txt", "wasm", "wav", "webm", "webp", "woff", "woff2", "xhtml", "xls",
    "xlsx", "xml", "xz", "zip", "zst",
];

const fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// A text before and from the first byte of this kind on.
pub(crate) fn split(text: &str, at: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(at).unwrap_or(text.len()))
}

/// What a URL begins with.
enum Begin<'a> {
    /// A path, a query or a fragment.
    Path,
    /// Scheme and slashes, then host and port.
    Host { before: &'a str, host: &'a str },
    /// A scheme with something that has no parts.
    Opaque,
}

/// What the URL begins with, and the rest of it.
fn begin(url: &str) -> (Begin<'_>, &str) {
    let (scheme, rest) = split(url, |b| is_slash(b) || matches!(b, b'?' | b'#'));
    let slashes = rest.bytes().take_while(|b| is_slash(*b)).count();
    let is_scheme = scheme.is_empty() && slashes > 1
        || scheme.strip_suffix(':').is_some_and(is_scheme) && slashes > 0;
    if is_scheme {
        let (before, rest) = url.split_at(scheme.len() + slashes);
        let (host, rest) = split(rest, |b| is_slash(b) || matches!(b, b'?' | b'#'));
        return (Begin::Host { before, host }, rest);
    }
    match scheme.rsplit_once(':') {
        None => (Begin::Path, url),
        Some((host, port)) if !host.is_empty() && is_port(port) => {
            (Begin::Host { before: "", host: scheme }, rest)
        }
        Some(_) => (Begin::Opaque, url),
    }
}

/// Whether it is a name, or an address, in which nothing can be found.
pub(crate) fn is_plain_host(host: &str) -> bool {
    host.len() <= LONGEST_HOST && is_harmless(host, Kind::HOST)
}

fn is_scheme(text: &str) -> bool {
    text.len() <= 16
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

impl Redactor {
    /// Writes what comes out of a URL.
    pub(crate) fn url(&mut self, mode: Urls, url: &str, to: &mut String) {
        if mode == Urls::Hash {
            return self.part(url, to);
        }
        let rest = match begin(url) {
            (Begin::Path, rest) => rest,
            (Begin::Host { before, host }, rest) => {
                to.push_str(before);
                self.host(host, to);
                rest
            }
            (Begin::Opaque, _)
                if mode == Urls::Full && !self.policy.scrub && !url.contains('@') =>
            {
                return to.push_str(url);
            }
            (Begin::Opaque, _) => return self.odd(url, to),
        };
        let rest = match mode {
            Urls::HashPath => {
                let (path, rest) = split(rest, |b| matches!(b, b'?' | b'#'));
                match path {
                    "*" => to.push_str(path),
                    _ => self.behind(path, usize::from(path.starts_with(['/', '\\'])), to),
                }
                rest
            }
            _ => self.path(mode, rest, to),
        };
        let (query, fragment) = split(rest, |b| b == b'#');
        match mode {
            Urls::NoQuery => {
                let dropped = usize::from(!query.is_empty()) + usize::from(!fragment.is_empty());
                (0..dropped).for_each(|_| self.tally.add(Did::UrlPart));
                return;
            }
            Urls::HashPath => self.behind(query, query.len().min(1), to),
            _ => self.query(mode, query, to),
        }
        match mode {
            Urls::Full => {
                let (sign, fragment) = fragment.split_at(fragment.len().min(1));
                to.push_str(sign);
                self.segment(mode, fragment, to);
            }
            _ => self.behind(fragment, fragment.len().min(1), to),
        }
    }

    /// Writes the hash of a part that the mode does not let out.
    fn part(&mut self, part: &str, to: &mut String) {
        if !part.is_empty() {
            self.tally.add(Did::UrlPart);
            self.hash(part, to);
        }
    }

    /// The same, behind its first bytes.
    fn behind(&mut self, part: &str, first: usize, to: &mut String) {
        let (first, part) = part.split_at(first);
        to.push_str(first);
        self.part(part, to);
    }

    /// Writes host and port without the user information before them.
    pub(crate) fn host(&mut self, host: &str, to: &mut String) {
        if is_plain_host(host) {
            return to.push_str(host);
        }
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        // An address is mapped by another stage.
        if !self.policy.scrub || is_address(host) || self.is_encoded_address(host) {
            return to.push_str(host);
        }
        let (name, port) = split(host, |b| b == b':');
        let is_host = name.len() <= LONGEST_HOST
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            && port.strip_prefix(':').is_none_or(is_port);
        if !is_host {
            return self.odd(host, to);
        }
        for (at, label) in name.split('.').enumerate() {
            to.push_str(if at > 0 { "." } else { "" });
            self.word(label, to);
        }
        to.push_str(port);
    }

    /// Whether it is an address when it is decoded.
    fn is_encoded_address(&mut self, host: &str) -> bool {
        let is_one = |it: &[u8]| std::str::from_utf8(it).is_ok_and(is_address);
        host.contains('%') && self.finder.decode(host).any(is_one)
    }

    /// The path that a URL begins with; gives what follows.
    fn path<'a>(&mut self, mode: Urls, url: &'a str, to: &mut String) -> &'a str {
        let mut rest = url;
        loop {
            let harmless = harmless_segments(rest);
            to.push_str(harmless);
            rest = rest.get(harmless.len()..).unwrap_or_default();
            let (segment, after) = split(rest, |b| is_slash(b) || matches!(b, b'?' | b'#'));
            self.segment(mode, segment, to);
            if !after.starts_with(['/', '\\']) {
                return after;
            }
            let (slash, after) = after.split_at(1);
            to.push_str(slash);
            rest = after;
        }
    }

    /// A segment of a path with its parameters.
    fn segment(&mut self, mode: Urls, segment: &str, to: &mut String) {
        if segment.is_empty() {
            return;
        }
        let has_signs = has_signs(segment);
        let (name, parameters) = match has_signs {
            true => split(segment, |b| b == b';'),
            false => (segment, ""),
        };
        if has_signs && mode != Urls::Full && self.is_query(name) {
            self.part(name, to);
        } else if self.word(name, to) {
            let extension = name.rsplit_once('.').map(|(_, extension)| extension);
            if let Some(extension) = extension.filter(|it| EXTENSIONS.contains(it)) {
                to.push('.');
                to.push_str(extension);
            }
        }
        match mode {
            Urls::NoQuery if parameters.is_empty() => {}
            Urls::NoQuery => self.tally.add(Did::UrlPart),
            _ => self.query(mode, parameters, to),
        }
    }

    /// Whether a segment holds names and values.
    fn is_query(&mut self, segment: &str) -> bool {
        let is_sign = |b: &u8| matches!(b, b'=' | b'&' | b'?');
        segment.as_bytes().iter().any(is_sign)
            || segment.contains('%') && self.finder.decode(segment).any(|it| it.iter().any(is_sign))
    }

    /// Names and values with what stands before each.
    fn query(&mut self, mode: Urls, query: &str, to: &mut String) {
        let mut rest = query;
        while !rest.is_empty() {
            let (sign, after) = rest.split_at(1);
            to.push_str(sign);
            let (part, after) = split(after, |b| matches!(b, b'&' | b';'));
            let (name, value) = split(part, |b| b == b'=');
            match value.strip_prefix('=') {
                Some(value) => {
                    self.query_name(name, to);
                    to.push('=');
                    self.query_value(mode, value, to);
                }
                None if mode == Urls::HashQuery && !is_short_word(part) => self.part(part, to),
                None => {
                    self.word(part, to);
                }
            }
            rest = after;
        }
    }

    fn query_name(&mut self, name: &str, to: &mut String) {
        let is_name = name.len() <= LONGEST_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~[]$:!*,%".contains(&b));
        if is_name || !self.policy.scrub {
            self.word(name, to);
        } else {
            self.odd(name, to);
        }
    }

    fn query_value(&mut self, mode: Urls, value: &str, to: &mut String) {
        match mode {
            Urls::Full => {
                self.word(value, to);
            }
            _ => self.part(value, to),
        }
    }

    /// A Link field, or several joined by commas.
    pub(crate) fn links(&mut self, links: &str, to: &mut String) {
        let mode = self.policy.link;
        let mut rest = links;
        while let Some(first) = rest.chars().next() {
            rest = match first {
                '<' => self.enclosed(mode, rest, '>', to),
                '"' => self.enclosed(mode, rest, '"', to),
                ' ' | '\t' | ',' | ';' | '=' | '>' => {
                    to.push(first);
                    &rest[1..]
                }
                _ => {
                    let (word, after) = split(rest, |b| {
                        matches!(b, b' ' | b'\t' | b',' | b';' | b'=' | b'<' | b'"')
                    });
                    let is_name = after.starts_with('=') && !word.contains(is_of_url);
                    // Up to where an unquoted URL ends; it may hold a `=`.
                    let (word, after) = match is_name || !word.contains(is_of_url) {
                        true => (word, after),
                        false => split(rest, |b| matches!(b, b' ' | b'\t' | b',' | b'<' | b'"')),
                    };
                    self.url_or_text(mode, word, to);
                    after
                }
            };
        }
    }

    /// What stands between two marks; gives what follows.
    fn enclosed<'a>(&mut self, mode: Urls, text: &'a str, end: char, to: &mut String) -> &'a str {
        let (open, text) = text.split_at(1);
        to.push_str(open);
        let (inside, after) = text.split_at(text.find(end).unwrap_or(text.len()));
        match end {
            '>' => self.url(mode, inside, to),
            _ => self.url_or_text(mode, inside, to),
        }
        let (close, after) = after.split_at(after.len().min(1));
        to.push_str(close);
        after
    }

    fn url_or_text(&mut self, mode: Urls, text: &str, to: &mut String) {
        match text.contains(is_of_url) {
            true => self.url(mode, text, to),
            false => self.text(text, LONGEST_NAME, false, to),
        }
    }
}

fn is_of_url(char: char) -> bool {
    matches!(char, '/' | '\\' | '?' | '#' | '@' | ':' | '%' | '&')
}

fn is_short_word(text: &str) -> bool {
    text.len() <= LONGEST_WORD
        && text.bytes().all(|b| b.is_ascii_alphabetic() || b"-_".contains(&b))
}
