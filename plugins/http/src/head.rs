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

use httparse::{Error, Header, ParserConfig, Status};
use ringmill_sdk::is_registered_method;

pub(crate) use crate::flags::Flags;
use crate::lenient;

/// The most header fields that are taken of one head. Servers stop at 100 (Apache, nginx by
/// size) or 128 (IIS); more than this is an attack or not a head.
pub(crate) const MAX_FIELDS: usize = 256;

/// The longest line in bytes that servers commonly take: Apache 8190, nginx 8192.
pub(crate) const LONGEST_LINE: usize = 8192;

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

/// Where httparse puts the fields of one head.
pub(crate) type Room<'a> = [MaybeUninit<Header<'a>>; MAX_FIELDS];

/// Room for the fields of a head.
#[inline]
pub(crate) fn room<'a>() -> Room<'a> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// A whole head as httparse has read it, not handed on yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed<'h, 'a> {
    start: Start<'a>,
    fields: &'h [Header<'a>],
    flags: Flags,
}

/// A head to be handed on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'h, 'a> {
    Parsed(&'h Parsed<'h, 'a>),
    /// The bytes begin with it.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Head<'_, 'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> Head<'_, 'a> {
    /// All of its bytes, or those that begin with it.
    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Parsed(parsed) => parsed.start.head,
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Reads it.
    #[inline]
    pub(crate) fn read(self, kind: Kind, to: &mut impl Take<'a>) -> Flags {
        let bytes = match self {
            Self::Parsed(parsed) => return parsed.hand_on(to),
            Self::Bytes(bytes) => bytes.get(..MAX_HEAD).unwrap_or(bytes),
        };
        match Parsed::new(kind, bytes, &mut room()) {
            Ok(parsed) => parsed.hand_on(to),
            Err(why) => lenient::read(kind, bytes, why, to),
        }
    }
}

impl<'h, 'a> Parsed<'h, 'a> {
    /// Reads the head that `bytes` begin with; `Err` says why it has to be read line by line.
    #[inline]
    pub(crate) fn new(kind: Kind, bytes: &'a [u8], room: &'h mut Room<'a>) -> Result<Self, Flags> {
        match kind {
            Kind::Request => request(bytes, room),
            Kind::Response => response(bytes, room),
        }
    }

    /// Of the head with its empty line, in bytes.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.start.head.len()
    }

    #[inline]
    fn hand_on(&self, to: &mut impl Take<'a>) -> Flags {
        to.start(&self.start);
        self.fields.iter().for_each(|field| to.field(field.name, field.value, false));
        self.flags
    }
}

/// What is to be said of the lines of a head that httparse took.
#[inline]
fn lines(head: &[u8], fields: usize) -> Flags {
    let mut flags = Flags::default();
    // Each line, the first and the empty one too, ends in LF or CR LF, and no CR is elsewhere.
    flags.set_if(Flags::BARE_LF, carriage_returns(head) != fields + 2);
    if head.len() > LONGEST_LINE {
        flags.set_if(Flags::LONG_LINE, lenient::has_long_line(head));
    }
    flags
}

/// How many there are. In pieces that a byte can count, which sixteen at a time do: half of the
/// instructions of a search that may also stop early.
#[inline]
fn carriage_returns(head: &[u8]) -> usize {
    let count = |piece: &[u8]| piece.iter().map(|byte| u8::from(*byte == b'\r')).sum::<u8>();
    head.chunks(128).map(|piece| usize::from(count(piece))).sum()
}

#[inline]
fn request<'h, 'a>(bytes: &'a [u8], room: &'h mut Room<'a>) -> Result<Parsed<'h, 'a>, Flags> {
    let mut request = httparse::Request::new(&mut []);
    let length = complete(request.parse_with_uninit_headers(bytes, room))?;
    let head = bytes.get(..length).unwrap_or_default();
    let method = request.method.unwrap_or_default().as_bytes();
    let fields = request.headers;
    let mut flags = lines(head, fields.len());
    flags.set_if(Flags::UNKNOWN_METHOD, !is_registered_method(method));
    let start = Start {
        head,
        method,
        target: request.path.unwrap_or_default().as_bytes(),
        version: version(request.version),
        ..Start::default()
    };
    Ok(Parsed { start, fields, flags })
}

#[inline]
fn response<'h, 'a>(bytes: &'a [u8], room: &'h mut Room<'a>) -> Result<Parsed<'h, 'a>, Flags> {
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let length = complete(config.parse_response_with_uninit_headers(&mut response, bytes, room))?;
    let reason = response.reason.unwrap_or_default().as_bytes();
    let head = bytes.get(..length).unwrap_or_default();
    let fields = response.headers;
    let mut flags = lines(head, fields.len());
    flags.set_if(Flags::BAD_STATUS, response.code.is_none_or(|code| !is_status(code)));
    let start = Start {
        head,
        status: response.code,
        // Httparse gives an empty text where the phrase is not ASCII.
        reason: if reason.is_empty() { lenient::reason(bytes) } else { reason },
        version: version(response.version),
        ..Start::default()
    };
    Ok(Parsed { start, fields, flags })
}

/// RFC 9110, section 15.
#[inline]
pub(crate) fn is_status(code: u16) -> bool {
    (100..=599).contains(&code)
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
