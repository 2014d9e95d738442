//! Where a head begins and where it ends, while it still comes in pieces.

use memchr::memchr;
use ringmill_sdk::is_registered_method;

use crate::{head::Kind, lenient::is_token};

/// What bytes at the beginning of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Head(Kind),
    /// More bytes will tell.
    Open,
    /// No HTTP/1 message begins like this.
    Other,
}

/// With their space: none of them is the beginning of another.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"PATCH ",
    b"HEAD ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
];
const RESPONSE: &[u8] = b"HTTP/1.";

/// The longest method that is looked for, in bytes; the longest one registered
/// (UPDATEREDIRECTREF) has 17.
const LONGEST_METHOD: usize = 32;

/// How far the version of an uncommon method may be; servers allow 8 KiB for the first line.
pub(crate) const LONGEST_LINE: usize = 8192;

/// What certainly is a head, wherever it stands: as the stage `classify` sees it.
#[inline]
pub(crate) fn begins(bytes: &[u8]) -> Option<Kind> {
    match bytes.first()? {
        b'H' if bytes.starts_with(RESPONSE) => Some(Kind::Response),
        b'G' | b'P' | b'D' | b'H' | b'O' | b'C' | b'T' => {
            METHODS.iter().any(|method| bytes.starts_with(method)).then_some(Kind::Request)
        }
        _ => None,
    }
}

/// Whether a head begins here, where anything else may: the end of a request line that was cut
/// before its version looks like the beginning of a response. Of a method that is not one of the
/// nine it takes the whole line, because lines of a log may hold one.
#[inline]
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    match begins(bytes) {
        Some(Kind::Request) => true,
        Some(Kind::Response) => bytes.get(RESPONSE.len() + 1) == Some(&b' '),
        None => is_request_line(bytes),
    }
}

/// Whether the bytes begin with a line `METHOD target HTTP/1.x` of a registered method: the end of
/// a word that was cut is none.
fn is_request_line(bytes: &[u8]) -> bool {
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(line) = memchr(b'\n', line).map(|end| line[..end].trim_ascii_end()) else {
        return false;
    };
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    is_registered_method(method)
        && matches!(line, [start @ .., minor] if minor.is_ascii_digit() && start.ends_with(b" HTTP/1."))
}

/// Whether the bytes begin with a version and a status: more than [`is_head`] asks for, for
/// places where a body would be as likely.
pub(crate) fn is_status_line(bytes: &[u8]) -> bool {
    bytes.starts_with(RESPONSE)
        && matches!(bytes.get(RESPONSE.len()..RESPONSE.len() + 5), Some([minor, b' ', status @ ..])
            if minor.is_ascii_digit() && status.iter().all(u8::is_ascii_digit))
}

/// What the bytes are where a message must begin.
///
/// A method that is not one of the nine must be a token that begins with a letter (RFC 9110,
/// section 9.1), and its line must say `HTTP/1.`, because other protocols begin with such a word
/// too. One of the nine may stand alone in its line.
pub(crate) fn start(bytes: &[u8]) -> Start {
    if let Some(kind) = begins(bytes) {
        return Start::Head(kind);
    }
    let length = bytes.iter().take(LONGEST_METHOD + 1).take_while(|byte| is_token(**byte)).count();
    match bytes.get(length) {
        _ if length > LONGEST_METHOD => Start::Other,
        _ if !bytes.first().is_none_or(u8::is_ascii_alphabetic) => Start::Other,
        None => Start::Open,
        Some(b'/') if RESPONSE.starts_with(bytes) => Start::Open,
        Some(b' ') => {
            let line = memchr(b'\n', bytes).map(|end| &bytes[..end]);
            match line {
                Some(line) if memchr::memmem::find(line, RESPONSE).is_some() => {
                    Start::Head(Kind::Request)
                }
                None if bytes.len() < LONGEST_LINE => Start::Open,
                _ => Start::Other,
            }
        }
        Some(b'\r' | b'\n') if METHODS.iter().any(|it| it.trim_ascii() == &bytes[..length]) => {
            Start::Head(Kind::Request)
        }
        Some(_) if bytes.len() < RESPONSE.len() && RESPONSE.starts_with(bytes) => Start::Open,
        Some(_) => Start::Other,
    }
}

/// Looks for the end of a head: an empty line, which may hold CRs as in [`crate::lenient`].
///
/// It goes on where it stopped, so that a head in segments of one byte costs no more than a
/// whole one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    at: usize,
    /// Since the last LF there were only CRs.
    empty: bool,
}

impl End {
    /// The length of the head with its empty line. `bytes` are those of the last call and
    /// more.
    #[inline]
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            if self.empty {
                let rest = bytes.get(self.at..)?;
                let crs = rest.iter().take_while(|byte| **byte == b'\r').count();
                self.at += crs;
                match rest.get(crs)? {
                    b'\n' => return Some(self.at + 1),
                    _ => self.empty = false,
                }
            }
            match memchr(b'\n', bytes.get(self.at..)?) {
                Some(to_lf) => {
                    self.at += to_lf + 1;
                    self.empty = true;
                }
                None => {
                    self.at = bytes.len();
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings() {
        let (request, response) = (Start::Head(Kind::Request), Start::Head(Kind::Response));
        let cases: &[(&[u8], Start)] = &[
            (b"GET /", request),
            (b"GET ", request),
            (b"GET", Start::Open),
            (b"G", Start::Open),
            (b"HTTP/1.", response),
            (b"HTTP/1.1 200 OK\r\n", response),
            (b"HTTP/1", Start::Open),
            (b"HTTP/", Start::Open),
            (b"H", Start::Open),
            (b"HTTP/2", Start::Other),
            (b"HTTQ/", Start::Other),
            (b"CCM_POST /x HTTP/1.1\r\n", request),
            (b"CCM_POST /x HTTP/1.", Start::Open),
            (b"CCM_POST /x\r\n", Start::Other),
            (b"GETX / HTTP/1.1\r\n", request),
            (b"EHLO example.org\r\n", Start::Other),
            (b"EHLO exam", Start::Open),
            (b"SSH-2.0-x\r\n", Start::Other),
            (b"CCM_POST /HTTP/1.1\r\n", request),
            (b"get / HTTP/1.1\r\n", request),
            (b"get /\r\n", Start::Other),
            (b"X.1 / HTTP/1.1\r\n", request),
            (b"X;1 / HTTP/1.1\r\n", Start::Other),
            (b"OPTIONS\nHost: h\n", request),
            (b"OPTIONS\r\n", request),
            (b"OPTIONX\r\n", Start::Other),
            (b"1X / HTTP/1.1\r\n", Start::Other),
            (b"PRI * HTTP/2.0\r\n\r\n", Start::Other),
            (b"\x16\x03\x01", Start::Other),
            (b"220 ready\r\n", Start::Other),
            (b" GET", Start::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(start(bytes), *expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(start(&[b'A'; 33]), Start::Other);
        assert_eq!(start(&[b"X ".to_vec(), vec![b'a'; LONGEST_LINE]].concat()), Start::Other);
    }

    #[test]
    fn heads_where_anything_else_may_be() {
        let cases: &[(&[u8], bool)] = &[
            (b"GET /", true),
            (b"HTTP/1.1 200 OK\r\n", true),
            (b"HTTP/1.1\r\n", false),
            (b"PROPFIND /a HTTP/1.1\r\nHost: h\r\n", true),
            (b"VERSION-CONTROL /a HTTP/1.0\n", true),
            (b"ROPFIND /a HTTP/1.1\r\n", false),
            (b"PROPFIND HTTP/1.1\r\n", true),
            (b"PROPFIND /a HTTP/1.1", false),
            (b"PROPFIND /a HTTP/1.1\" 200\r\n", false),
            (b"PROPFIND /a\r\n HTTP/1.1\r\n", false),
            (b"propfind /a HTTP/1.1\r\n", false),
            (b" / HTTP/1.1\r\n", false),
            (b"\n", false),
            (b"", false),
        ];
        for (bytes, expected) in cases {
            assert_eq!(is_head(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_end_is_the_same_however_it_comes() {
        let cases: &[(&[u8], Option<usize>)] = &[
            (b"GET / HTTP/1.1\r\n\r\nbody", Some(18)),
            (b"a\n\nb", Some(3)),
            (b"a\n\r\n", Some(4)),
            (b"a\r\r\n\r\r\nb", Some(7)),
            (b"a\nb\n\rc\n\n", Some(8)),
            (b"a\r\n\r", None),
            (b"a\r\n", None),
            (b"\r\r\r", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(End::default().find(bytes), *expected, "{}", bytes.escape_ascii());
            let (mut end, mut found) = (End::default(), None);
            for length in 0..=bytes.len() {
                found = end.find(&bytes[..length]);
                if found.is_some() {
                    break;
                }
            }
            assert_eq!(found, *expected, "{} byte by byte", bytes.escape_ascii());
        }
    }
}
