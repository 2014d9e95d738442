//! Which header fields may have a column, and which others hold a URL.
//!
//! One table, looked up by length and then by the first and last eight bytes, which are
//! compared as words. Measured: comparing byte by byte without regard to case took 10 ns a name,
//! an eighth of the whole row. The table is fixed; which of its columns a record type has is a
//! second one, [`crate::columns`], made at start from the options.

/// The columns that header fields may have, in the order of the default list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Column {
    Host,
    UserAgent,
    Referer,
    Server,
    ContentEncoding,
    Pragma,
    Connection,
    ContentType,
    CacheControl,
    Age,
    Etag,
    LastModified,
    Expires,
    Date,
    Vary,
    IfNoneMatch,
    IfModifiedSince,
    Range,
    IfRange,
    ContentRange,
    ContentLength,
    TransferEncoding,
    AcceptEncoding,
    Location,
    Link,
    Purpose,
    Via,
    XCache,
    Origin,
    SecFetchDest,
    SecFetchMode,
}

impl Column {
    pub(crate) const COUNT: usize = Self::SecFetchMode as usize + 1;
}

/// What becomes of a header field that the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// It has a column, where the options give it one.
    Column(Column),
    /// It goes to the extras without the user information that a URL may hold.
    Url,
}

use Column::{
    AcceptEncoding, Age, CacheControl, Connection, ContentEncoding, ContentLength, ContentRange,
    ContentType, Date, Etag, Expires, Host, IfModifiedSince, IfNoneMatch, IfRange, LastModified,
    Link, Location, Origin, Pragma, Purpose, Range, Referer, SecFetchDest, SecFetchMode, Server,
    TransferEncoding, UserAgent, Vary, Via, XCache,
};
use Field::{Column as Own, Url};

/// Ordered by length; names in lower case, words joined by `-`.
const FIELDS: &[(&str, Field)] = &[
    ("age", Own(Age)),
    ("via", Own(Via)),
    ("date", Own(Date)),
    ("etag", Own(Etag)),
    ("host", Own(Host)),
    ("link", Own(Link)),
    ("vary", Own(Vary)),
    ("range", Own(Range)),
    ("x-moz", Own(Purpose)),
    ("origin", Own(Origin)),
    ("pragma", Own(Pragma)),
    ("server", Own(Server)),
    ("expires", Own(Expires)),
    ("purpose", Own(Purpose)),
    ("referer", Own(Referer)),
    ("x-cache", Own(XCache)),
    ("if-range", Own(IfRange)),
    ("location", Own(Location)),
    ("cdn-cache", Own(XCache)),
    ("x-purpose", Own(Purpose)),
    ("connection", Own(Connection)),
    ("user-agent", Own(UserAgent)),
    ("destination", Url),
    ("sec-purpose", Own(Purpose)),
    ("cache-status", Own(XCache)),
    ("content-type", Own(ContentType)),
    ("cache-control", Own(CacheControl)),
    ("content-range", Own(ContentRange)),
    ("if-none-match", Own(IfNoneMatch)),
    ("last-modified", Own(LastModified)),
    ("x-nginx-cache", Own(XCache)),
    ("x-proxy-cache", Own(XCache)),
    ("content-length", Own(ContentLength)),
    ("sec-fetch-dest", Own(SecFetchDest)),
    ("sec-fetch-mode", Own(SecFetchMode)),
    ("x-cache-status", Own(XCache)),
    ("x-sucuri-cache", Own(XCache)),
    ("x-vercel-cache", Own(XCache)),
    ("accept-encoding", Own(AcceptEncoding)),
    ("cf-cache-status", Own(XCache)),
    ("x-fastcgi-cache", Own(XCache)),
    ("x-varnish-cache", Own(XCache)),
    ("content-encoding", Own(ContentEncoding)),
    ("content-location", Url),
    ("if-modified-since", Own(IfModifiedSince)),
    ("transfer-encoding", Own(TransferEncoding)),
    ("x-litespeed-cache", Own(XCache)),
    ("akamai-cache-status", Own(XCache)),
];

const LONGEST: usize = FIELDS[FIELDS.len() - 1].0.len();

/// For each length where its names begin in [`FIELDS`]; they end where the next begin.
const BEGIN: [u8; LONGEST + 2] = {
    assert!(FIELDS.len() <= u8::MAX as usize, "an index is one byte");
    let mut begin = [0; LONGEST + 2];
    let (mut length, mut at) = (0, 0);
    while length < begin.len() {
        while at < FIELDS.len() && FIELDS[at].0.len() < length {
            at += 1;
        }
        #[allow(clippy::cast_possible_truncation, reason = "asserted above")]
        {
            begin[length] = at as u8;
        }
        length += 1;
    }
    begin
};

/// One bit for each length of a name with `-` and without a column.
const DASHED_URLS: u64 = {
    assert!(LONGEST < 63, "one bit for each length, and one that is never set");
    let (mut lengths, mut at) = (0, 0);
    while at < FIELDS.len() {
        let (name, field) = FIELDS[at];
        let mut byte = 0;
        while byte < name.len() {
            if matches!(field, Url) && name.as_bytes()[byte] == b'-' {
                lengths |= 1 << name.len();
            }
            byte += 1;
        }
        at += 1;
    }
    lengths
};

/// The two ends of a name, at most eight bytes each, in lower case; they overlap in names
/// shorter than 16. `None` for names of less than three bytes, of which there is none here.
///
/// A name is a token and ours hold only letters, digits and `-`: setting one bit makes letters
/// small, and of all tokens only the same letter, digit or `-` becomes the same byte.
#[inline]
const fn ends(name: &[u8]) -> Option<(u64, u64)> {
    const SMALL: u64 = u64::from_ne_bytes([0x20; 8]);
    let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
            }
            _ => match *name {
                [a, b, c] => {
                    let all = u32::from_le_bytes([a, b, c, 0]) as u64;
                    (all, all)
                }
                _ => return None,
            },
        },
    };
    Some((first | SMALL, last | SMALL))
}

/// The ends of the names in [`FIELDS`].
static ENDS: [(u64, u64); FIELDS.len()] = {
    let mut all = [(0, 0); FIELDS.len()];
    let mut at = 0;
    while at < FIELDS.len() {
        if let Some(ends) = ends(FIELDS[at].0.as_bytes()) {
            all[at] = ends;
        }
        at += 1;
    }
    all
};

/// What the table says of a header field; names are compared without regard to case
/// (RFC 9110, section 5.1).
#[inline]
pub(crate) fn field(name: &[u8]) -> Option<Field> {
    known(name).or_else(|| {
        let may_be_url = DASHED_URLS >> name.len().min(63) & 1 != 0;
        if may_be_url && name.contains(&b'_') { underscored(name) } else { None }
    })
}

#[inline]
fn known(name: &[u8]) -> Option<Field> {
    let &[from, to] = BEGIN.get(name.len()..)?.first_chunk()?;
    let (from, to) = (usize::from(from), usize::from(to));
    let ends = ends(name)?;
    let at = ENDS.get(from..to)?.iter().position(|known| *known == ends)?;
    let (known, field) = FIELDS.get(from + at)?;
    // The ends of a longer name leave a gap between them.
    (name.len() <= 16 || name.eq_ignore_ascii_case(known.as_bytes())).then_some(*field)
}

/// Gateways in the manner of CGI write `CONTENT_LOCATION`. That is another field than
/// `Content-Location`, so it gets no column; what it carries is the same.
#[cold]
fn underscored(name: &[u8]) -> Option<Field> {
    let mut dashed = [0; LONGEST];
    let dashed = dashed.get_mut(..name.len())?;
    for (to, from) in dashed.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    known(dashed).filter(|field| !matches!(field, Own(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_every_name_is_found() {
        for (at, (name, field)) in FIELDS.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |at| FIELDS[at].0);
            assert!((before.len(), before) < (name.len(), name), "{name} after {before}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
            assert_eq!(super::field(name.as_bytes()), Some(*field), "{name}");
            assert_eq!(super::field(name.to_uppercase().as_bytes()), Some(*field), "{name}");
            let cgi = name.replace('-', "_");
            let expected = (cgi == *name || !matches!(field, Own(_))).then_some(*field);
            assert_eq!(super::field(cgi.as_bytes()), expected, "{cgi}");
        }
    }

    #[test]
    fn other_names_are_not_known() {
        let names = [
            "",
            "h",
            "hos",
            "hosts",
            "cookie",
            "destinatio",
            "content_locatio",
            "ag",
            "agf",
            "user_agent",
        ];
        for name in names {
            assert_eq!(field(name.as_bytes()), None, "{name}");
        }
        assert_eq!(field(&[b'_'; 4096]), None, "longer than any name");
    }
}
