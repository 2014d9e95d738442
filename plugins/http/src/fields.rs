//! Which header fields may have a column, and which never come out in clear.
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

/// Why the value of a header field does not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It lets its bearer act as somebody.
    Credential,
    /// It carries the address of a client, which only a later stage can map.
    Address,
    /// It names a person or their telephone.
    Person,
}

/// What becomes of a header field that the table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// It has a column, where the options give it one.
    Column(Column),
    /// It goes to the extras without the user information that a URL may hold.
    Url,
    /// Only its length comes out, whatever the reason.
    Withheld(#[allow(dead_code, reason = "said for whoever reads the table")] Why),
}

use Column::{
    AcceptEncoding, Age, CacheControl, Connection, ContentEncoding, ContentLength, ContentRange,
    ContentType, Date, Etag, Expires, Host, IfModifiedSince, IfNoneMatch, IfRange, LastModified,
    Link, Location, Origin, Pragma, Purpose, Range, Referer, SecFetchDest, SecFetchMode, Server,
    TransferEncoding, UserAgent, Vary, Via, XCache,
};
use Field::{Column as Own, Url, Withheld};
use Why::{Address, Credential, Person};

/// Ordered by length; names in lower case, words joined by `-`.
const FIELDS: &[(&str, Field)] = &[
    ("age", Own(Age)),
    ("via", Own(Via)),
    ("date", Own(Date)),
    ("etag", Own(Etag)),
    ("from", Withheld(Person)),
    ("host", Own(Host)),
    ("link", Own(Link)),
    ("vary", Own(Vary)),
    ("x-ip", Withheld(Address)),
    ("range", Own(Range)),
    ("x-moz", Own(Purpose)),
    ("cookie", Withheld(Credential)),
    ("msisdn", Withheld(Person)),
    ("origin", Own(Origin)),
    ("pragma", Own(Pragma)),
    ("server", Own(Server)),
    ("cookie2", Withheld(Credential)),
    ("expires", Own(Expires)),
    ("purpose", Own(Purpose)),
    ("real-ip", Withheld(Address)),
    ("referer", Own(Referer)),
    ("x-cache", Own(XCache)),
    ("if-range", Own(IfRange)),
    ("location", Own(Location)),
    ("x-msisdn", Withheld(Person)),
    ("cdn-cache", Own(XCache)),
    ("client-ip", Withheld(Address)),
    ("forwarded", Withheld(Address)),
    ("remote-ip", Withheld(Address)),
    ("x-api-key", Withheld(Credential)),
    ("x-purpose", Own(Purpose)),
    ("x-real-ip", Withheld(Address)),
    ("x-user-ip", Withheld(Address)),
    ("cdn-src-ip", Withheld(Address)),
    ("connection", Own(Connection)),
    ("set-cookie", Withheld(Credential)),
    ("user-agent", Own(UserAgent)),
    ("x-up-subno", Withheld(Person)),
    ("destination", Url),
    ("remote-addr", Withheld(Address)),
    ("sec-purpose", Own(Purpose)),
    ("set-cookie2", Withheld(Credential)),
    ("x-client-ip", Withheld(Address)),
    ("x-forwarded", Withheld(Address)),
    ("x-remote-ip", Withheld(Address)),
    ("x-source-ip", Withheld(Address)),
    ("cache-status", Own(XCache)),
    ("content-type", Own(ContentType)),
    ("x-auth-token", Withheld(Credential)),
    ("x-csrf-token", Withheld(Credential)),
    ("x-user-email", Withheld(Person)),
    ("x-wap-msisdn", Withheld(Person)),
    ("x-xsrf-token", Withheld(Credential)),
    ("authorization", Withheld(Credential)),
    ("cache-control", Own(CacheControl)),
    ("content-range", Own(ContentRange)),
    ("forwarded-for", Withheld(Address)),
    ("if-none-match", Own(IfNoneMatch)),
    ("last-modified", Own(LastModified)),
    ("x-client-addr", Withheld(Address)),
    ("x-forward-for", Withheld(Address)),
    ("x-nginx-cache", Own(XCache)),
    ("x-original-ip", Withheld(Address)),
    ("x-proxy-cache", Own(XCache)),
    ("x-remote-addr", Withheld(Address)),
    ("cf-pseudo-ipv4", Withheld(Address)),
    ("content-length", Own(ContentLength)),
    ("http-client-ip", Withheld(Address)),
    ("sec-fetch-dest", Own(SecFetchDest)),
    ("sec-fetch-mode", Own(SecFetchMode)),
    ("true-client-ip", Withheld(Address)),
    ("x-access-token", Withheld(Credential)),
    ("x-cache-status", Own(XCache)),
    ("x-nokia-msisdn", Withheld(Person)),
    ("x-proxyuser-ip", Withheld(Address)),
    ("x-sucuri-cache", Own(XCache)),
    ("x-vercel-cache", Own(XCache)),
    ("accept-encoding", Own(AcceptEncoding)),
    ("ali-cdn-real-ip", Withheld(Address)),
    ("cf-cache-status", Own(XCache)),
    ("incap-client-ip", Withheld(Address)),
    ("proxy-client-ip", Withheld(Address)),
    ("x-authorization", Withheld(Credential)),
    ("x-fastcgi-cache", Own(XCache)),
    ("x-forwarded-for", Withheld(Address)),
    ("x-varnish-cache", Own(XCache)),
    ("cf-connecting-ip", Withheld(Address)),
    ("content-encoding", Own(ContentEncoding)),
    ("content-location", Url),
    ("fastly-client-ip", Withheld(Address)),
    ("forwarded-for-ip", Withheld(Address)),
    ("www-authenticate", Withheld(Credential)),
    ("x-azure-clientip", Withheld(Address)),
    ("x-azure-socketip", Withheld(Address)),
    ("x-originating-ip", Withheld(Address)),
    ("if-modified-since", Own(IfModifiedSince)),
    ("transfer-encoding", Own(TransferEncoding)),
    ("x-litespeed-cache", Own(XCache)),
    ("x-nokia-ipaddress", Withheld(Address)),
    ("x-sucuri-clientip", Withheld(Address)),
    ("cf-connecting-ipv6", Withheld(Address)),
    ("proxy-authenticate", Withheld(Credential)),
    ("wl-proxy-client-ip", Withheld(Address)),
    ("x-up-forwarded-for", Withheld(Address)),
    ("akamai-cache-status", Own(XCache)),
    ("authentication-info", Withheld(Credential)),
    ("proxy-authorization", Withheld(Credential)),
    ("x-appengine-user-ip", Withheld(Address)),
    ("x-cluster-client-ip", Withheld(Address)),
    ("http-x-forwarded-for", Withheld(Address)),
    ("x-amz-security-token", Withheld(Credential)),
    ("x-up-calling-line-id", Withheld(Person)),
    ("x-envoy-external-address", Withheld(Address)),
    ("x-original-forwarded-for", Withheld(Address)),
    ("proxy-authentication-info", Withheld(Credential)),
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
    known(name).or_else(|| if name.contains(&b'_') { underscored(name) } else { None })
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

/// Gateways in the manner of CGI write `X_FORWARDED_FOR`. That is another field than
/// `X-Forwarded-For`, so it gets no column; what it carries is the same.
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
            "cooki",
            "cookie3",
            "x_forwarded_fo",
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
