//! Where a message's body ends (RFC 9112, section 6.3): all that is asked of it, because bodies
//! are skipped.

use crate::{
    fields::{self, Column, Field},
    head::{Start, Take},
};

/// What a head says about the body behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub method: Method,
    /// Of a response.
    pub status: Option<u16>,
    length: Length,
    coding: Coding,
}

/// The methods that decide about the body of their response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    #[default]
    Other,
    Head,
    Connect,
}

/// Content-Length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Absent,
    Bytes(u64),
    /// No number, or several that differ.
    Invalid,
}

/// Transfer-Encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    /// The last coding is `chunked`.
    Chunked,
    Other,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The next head.
    None,
    Bytes(u64),
    Chunked,
    /// All that comes until the connection ends.
    UntilClose,
    /// Another protocol, which may be HTTP again (CONNECT).
    Tunnel,
    /// Another protocol (101).
    Upgrade,
    /// Nobody can tell where the body ends.
    Unknown,
}

impl Framing {
    /// What the first line says.
    #[inline]
    pub(crate) fn start(&mut self, start: &Start<'_>) {
        self.status = start.status;
        self.method = match start.method {
            b"HEAD" => Method::Head,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        };
    }

    /// What Transfer-Encoding says.
    pub(crate) fn coding(&mut self, value: &[u8]) {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        self.coding = if chunked { Coding::Chunked } else { Coding::Other };
    }

    /// What Content-Length says. A list of equal numbers counts as one of them (RFC 9112,
    /// section 6.3, rule 5).
    pub(crate) fn length(&mut self, value: &[u8]) {
        for part in value.split(|byte| *byte == b',') {
            self.length = match (self.length, decimal(part.trim_ascii())) {
                (Length::Absent, Some(bytes)) => Length::Bytes(bytes),
                (Length::Bytes(before), Some(bytes)) if before == bytes => self.length,
                _ => Length::Invalid,
            };
        }
    }

    /// What follows a request.
    pub(crate) fn request(&self) -> Body {
        match (self.coding, self.length) {
            // Until its answer is there nobody knows whether the tunnel is open.
            _ if self.method == Method::Connect => Body::Tunnel,
            (Coding::Chunked, _) => Body::Chunked,
            (Coding::Other, _) | (_, Length::Invalid) => Body::Unknown,
            (_, Length::Bytes(bytes)) => Body::Bytes(bytes),
            (_, Length::Absent) => Body::None,
        }
    }

    /// What follows a response to a request of this method.
    pub(crate) fn response(&self, method: Method) -> Body {
        match (self.status, method) {
            (Some(101), _) => return Body::Upgrade,
            (Some(100..=199 | 204 | 304), _) | (_, Method::Head) => return Body::None,
            (Some(200..=299), Method::Connect) => return Body::Tunnel,
            _ => {}
        }
        match (self.coding, self.length) {
            (Coding::Chunked, _) => Body::Chunked,
            (Coding::Other, _) | (_, Length::Absent) => Body::UntilClose,
            (_, Length::Invalid) => Body::Unknown,
            (_, Length::Bytes(bytes)) => Body::Bytes(bytes),
        }
    }

    /// An answer that another one follows (RFC 9110, section 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, Some(100 | 102..=199))
    }
}

/// Reads a head for its framing alone, where its row is written later.
impl<'a> Take<'a> for Framing {
    fn start(&mut self, start: &Start<'a>) {
        Framing::start(self, start);
    }

    fn field(&mut self, name: &'a str, value: &'a [u8], _: bool) {
        match fields::field(name.as_bytes()) {
            Some(Field::Column(Column::ContentLength)) => self.length(value),
            Some(Field::Column(Column::TransferEncoding)) => self.coding(value),
            _ => {}
        }
    }
}

/// 1*DIGIT. A number beyond 64 bits is no length of anything.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Head, Kind};

    fn framing(kind: Kind, head: &str) -> Framing {
        let mut framing = Framing::default();
        Head::Bytes(head.as_bytes()).read(kind, &mut framing);
        framing
    }

    #[test]
    fn requests() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", Body::None),
            ("POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n", Body::Bytes(7)),
            ("POST / HTTP/1.1\r\ncontent-LENGTH:7 \r\n\r\n", Body::Bytes(7)),
            ("POST / HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", Body::Bytes(7)),
            ("POST / HTTP/1.1\r\nContent-Length: 7, 7\r\n\r\n", Body::Bytes(7)),
            ("POST / HTTP/1.1\r\nContent-Length: 7, 8\r\n\r\n", Body::Unknown),
            ("POST / HTTP/1.1\r\nContent-Length: +7\r\n\r\n", Body::Unknown),
            ("POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", Body::Unknown),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Body::Unknown),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", Body::Chunked),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Body::Chunked),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", Body::Unknown),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
                Body::Chunked,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Body::Chunked,
            ),
            ("CONNECT h:443 HTTP/1.1\r\nContent-Length: 3\r\n\r\n", Body::Tunnel),
            ("POST / HTTP/1.1\nContent-Length: 7\n\n", Body::Bytes(7)),
            ("POST /a b HTTP/1.1\r\nContent-Length : 7\r\n\r\n", Body::Bytes(7)),
        ];
        for (head, body) in cases {
            assert_eq!(framing(Kind::Request, head).request(), body, "{head}");
        }
    }

    #[test]
    fn responses() {
        let cases = [
            ("200 OK\r\nContent-Length: 5", Method::Other, Body::Bytes(5)),
            ("200 OK\r\nContent-Length: 5", Method::Head, Body::None),
            ("200 OK\r\nTransfer-Encoding: chunked", Method::Head, Body::None),
            ("200 OK\r\nContent-Length: 5", Method::Connect, Body::Tunnel),
            ("407 No\r\nContent-Length: 5", Method::Connect, Body::Bytes(5)),
            ("200 OK\r\nX: y", Method::Other, Body::UntilClose),
            ("200 OK\r\nTransfer-Encoding: gzip", Method::Other, Body::UntilClose),
            ("200 OK\r\nContent-Length: x", Method::Other, Body::Unknown),
            ("204 No Content\r\nContent-Length: 5", Method::Other, Body::None),
            ("304 Not Modified\r\nContent-Length: 5", Method::Other, Body::None),
            ("100 Continue\r\nX: y", Method::Other, Body::None),
            ("103 Early Hints\r\nLink: a", Method::Other, Body::None),
            ("101 Switching Protocols\r\nUpgrade: websocket", Method::Other, Body::Upgrade),
            ("abc\r\nContent-Length: 5", Method::Other, Body::Bytes(5)),
        ];
        for (rest, method, body) in cases {
            let framing = framing(Kind::Response, &format!("HTTP/1.1 {rest}\r\n\r\n"));
            assert_eq!(framing.response(method), body, "{rest} to {method:?}");
            let interim =
                body == Body::None && (rest.starts_with("100") || rest.starts_with("103"));
            assert_eq!(framing.is_interim(), interim, "{rest}");
        }
    }
}
