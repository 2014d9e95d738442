//! Heads: what is in one, and how it is read.
//!
//! A head is read in one pass and handed on field by field, borrowed from the bytes it lies
//! in; nothing is collected here. It does not matter where the bytes come from: one segment
//! today, several put together tomorrow.
//!
//! Httparse reads what follows the standard. What it refuses and what ends too early goes to
//! [`lenient`], the one fallback. We did not use httparse's own lenient
//! options: they differ between requests and responses, and with all of them on there would
//! still be heads that need the fallback.

use std::mem::MaybeUninit;

use httparse::{Error, ParserConfig, Status};

use crate::lenient;

/// The most header fields that are taken of one head. Servers stop at 100 (Apache, nginx by
/// size) or 128 (IIS); more than this is an attack or not a head.
pub(crate) const MAX_FIELDS: usize = 256;

/// The longest head in bytes; what lies behind counts as not captured.
pub(crate) const MAX_HEAD: usize = 1 << 20;

/// The two kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// The first line of a head. What is missing or not sure is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    /// All of the head, where its end is there and it follows the standard.
    pub head: &'a [u8],
    /// Of a request (RFC 9112, section 3.1).
    pub method: &'a [u8],
    /// The request target (RFC 9112, section 3.2).
    pub target: &'a [u8],
    /// The segment ends inside the target.
    pub target_cut: bool,
    /// Of a response: three digits (RFC 9112, section 4).
    pub status: Option<u16>,
    /// Of a response.
    pub reason: &'a [u8],
    /// `HTTP/1.1` or alike.
    pub version: &'a [u8],
}

/// Takes a head as it is read: the first line, then the fields in their order.
pub(crate) trait Take<'a> {
    fn start(&mut self, start: &Start<'a>);
    /// A header field: a token, and a value without white space around it. `cut` when the
    /// segment ends inside the value.
    fn field(&mut self, name: &'a str, value: &'a [u8], cut: bool);
}

/// What is to be said of a head that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// The end of the head is not there.
    pub(crate) const TRUNCATED: Self = Self(1);
    /// Not according to RFC 9112; taken line by line as far as it is sure.
    pub(crate) const MALFORMED: Self = Self(2);
    /// A value went on in the next line (obs-fold); only its first line is taken.
    pub(crate) const FOLDED: Self = Self(4);
    /// More than [`MAX_FIELDS`] fields; the rest is not taken.
    pub(crate) const TOO_MANY_FIELDS: Self = Self(8);
    /// A value held bytes that are not UTF-8 and were replaced by U+FFFD.
    pub(crate) const NOT_UTF8: Self = Self(16);
    /// The rest of the head never came: its connection ended, lost a segment, was idle or was
    /// given up for another. A head that is only truncated was cut by the capture.
    pub(crate) const INCOMPLETE: Self = Self(32);
    /// Longer than the option `head_bytes`; what lies behind is not taken.
    pub(crate) const OVERSIZE: Self = Self(64);
    /// A response whose request was not seen, or of which nobody can tell which it was.
    pub(crate) const NO_REQUEST: Self = Self(128);

    const WORDS: [(Self, &'static str); 8] = [
        (Self::TRUNCATED, "truncated"),
        (Self::MALFORMED, "malformed"),
        (Self::FOLDED, "folded"),
        (Self::TOO_MANY_FIELDS, "too_many_headers"),
        (Self::NOT_UTF8, "not_utf8"),
        (Self::INCOMPLETE, "incomplete"),
        (Self::OVERSIZE, "oversize"),
        (Self::NO_REQUEST, "no_request"),
    ];

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words that the `flags` column holds, comma-separated.
    pub(crate) fn write(self, text: &mut String) {
        text.clear();
        for (flag, word) in Self::WORDS {
            if self.has(flag) {
                if !text.is_empty() {
                    text.push(',');
                }
                text.push_str(word);
            }
        }
    }
}

/// Reads the head that `bytes` begin with.
#[inline]
pub(crate) fn read<'a>(kind: Kind, bytes: &'a [u8], to: &mut impl Take<'a>) -> Flags {
    let bytes = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let refused = match kind {
        Kind::Request => request(bytes, to),
        Kind::Response => response(bytes, to),
    };
    match refused {
        Ok(()) => Flags::default(),
        Err(why) => lenient::read(kind, bytes, why, to),
    }
}

/// `Err` says why the head has to be read line by line.
#[inline]
fn request<'a>(bytes: &'a [u8], to: &mut impl Take<'a>) -> Result<(), Flags> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let length = complete(request.parse_with_uninit_headers(bytes, &mut fields))?;
    to.start(&Start {
        head: bytes.get(..length).unwrap_or_default(),
        method: request.method.unwrap_or_default().as_bytes(),
        target: request.path.unwrap_or_default().as_bytes(),
        version: version(request.version),
        ..Start::default()
    });
    request.headers.iter().for_each(|field| to.field(field.name, field.value, false));
    Ok(())
}

#[inline]
fn response<'a>(bytes: &'a [u8], to: &mut impl Take<'a>) -> Result<(), Flags> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let length =
        complete(config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields))?;
    let reason = response.reason.unwrap_or_default().as_bytes();
    to.start(&Start {
        head: bytes.get(..length).unwrap_or_default(),
        status: response.code,
        // Httparse gives an empty text where the phrase is not ASCII.
        reason: if reason.is_empty() { lenient::reason(bytes) } else { reason },
        version: version(response.version),
        ..Start::default()
    });
    response.headers.iter().for_each(|field| to.field(field.name, field.value, false));
    Ok(())
}

#[inline]
fn complete(result: httparse::Result<usize>) -> Result<usize, Flags> {
    match result {
        Ok(Status::Complete(length)) => Ok(length),
        Ok(Status::Partial) => Err(Flags::TRUNCATED),
        Err(Error::TooManyHeaders) => Err(Flags::TOO_MANY_FIELDS),
        Err(_) => Err(Flags::MALFORMED),
    }
}

#[inline]
fn version(minor: Option<u8>) -> &'static [u8] {
    match minor {
        Some(0) => b"HTTP/1.0",
        Some(1) => b"HTTP/1.1",
        _ => b"",
    }
}
