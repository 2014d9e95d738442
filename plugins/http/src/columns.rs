//! Which header fields get a column: of which name, in which record type, of what type.
//!
//! A field has its column in the record types in which RFC 9110, RFC 9111 or the field's own
//! specification gives it a meaning; in the other one it is an entry of `extras`, like any
//! field. `content_encoding` is the exception: RFC 9110 has it in requests too, where hardly
//! anybody sends it, and its column is older than this table.
//!
//! Two columns take fields of several names, see [`crate::fields`]: `purpose` (Sec-Purpose,
//! Purpose, X-Purpose, X-Moz) and `x_cache`, what a cache says of a hit: X-Cache (Fastly,
//! CloudFront, Akamai, Varnish, Squid), CF-Cache-Status (Cloudflare), Akamai-Cache-Status,
//! CDN-Cache (bunny.net), Cache-Status (RFC 9211), X-Vercel-Cache, X-Sucuri-Cache,
//! X-LiteSpeed-Cache, and what people name it in nginx and Varnish: X-Cache-Status,
//! X-Proxy-Cache, X-Nginx-Cache, X-FastCGI-Cache, X-Varnish-Cache. Counts and keys (X-Cache-Hits,
//! X-Cache-Key) and what one cache looked up in another (X-Cache-Lookup, X-Cache-Remote) are
//! other things and stay in `extras`.
//!
//! Of all columns alike the first field of the head counts, lists too (`vary`, `link`, `via`):
//! the rest of a list is in `extras` under the name it came with, so that column and extras
//! together are the whole list and each part is as it was sent. We did not join them in the
//! column: tshark and Zeek take the first as well, and what they say can be compared.

use ringmill_sdk::{
    Error, Result,
    arrow_schema::{DataType, Field},
    schema::{self, Kind as Meaning},
};

use crate::{
    fields::{self, Column},
    head::Kind,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text as it was sent.
    Text,
    /// A URL, without user information.
    Url,
    /// URLs in angle brackets with parameters (RFC 8288), without user information.
    Links,
    /// The part of a URL in which user information may stand (Host).
    Authority,
    /// A whole number; what is none goes to the extras.
    Number,
}

/// A column and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub column: Column,
    pub name: &'static str,
    request: bool,
    response: bool,
    pub value: Value,
}

const fn both(column: Column, name: &'static str, value: Value) -> Spec {
    Spec { column, name, request: true, response: true, value }
}

const fn request(column: Column, name: &'static str, value: Value) -> Spec {
    Spec { response: false, ..both(column, name, value) }
}

const fn response(column: Column, name: &'static str, value: Value) -> Spec {
    Spec { request: false, ..both(column, name, value) }
}

/// One line for each [`Column`], in its order.
pub(crate) const COLUMNS: [Spec; Column::COUNT] = [
    request(Column::Host, "host", Value::Authority),
    request(Column::UserAgent, "user_agent", Value::Text),
    request(Column::Referer, "referer", Value::Url),
    response(Column::Server, "server", Value::Text),
    response(Column::ContentEncoding, "content_encoding", Value::Text),
    both(Column::Pragma, "pragma", Value::Text),
    both(Column::Connection, "connection", Value::Text),
    both(Column::ContentType, "content_type", Value::Text),
    both(Column::CacheControl, "cache_control", Value::Text),
    response(Column::Age, "age", Value::Number),
    response(Column::Etag, "etag", Value::Text),
    response(Column::LastModified, "last_modified", Value::Text),
    response(Column::Expires, "expires", Value::Text),
    both(Column::Date, "date", Value::Text),
    response(Column::Vary, "vary", Value::Text),
    request(Column::IfNoneMatch, "if_none_match", Value::Text),
    request(Column::IfModifiedSince, "if_modified_since", Value::Text),
    request(Column::Range, "range", Value::Text),
    request(Column::IfRange, "if_range", Value::Text),
    both(Column::ContentRange, "content_range", Value::Text),
    both(Column::ContentLength, "content_length", Value::Number),
    both(Column::TransferEncoding, "transfer_encoding", Value::Text),
    both(Column::AcceptEncoding, "accept_encoding", Value::Text),
    response(Column::Location, "location", Value::Url),
    both(Column::Link, "link", Value::Links),
    request(Column::Purpose, "purpose", Value::Text),
    both(Column::Via, "via", Value::Text),
    response(Column::XCache, "x_cache", Value::Text),
    request(Column::Origin, "origin", Value::Url),
    request(Column::SecFetchDest, "sec_fetch_dest", Value::Text),
    request(Column::SecFetchMode, "sec_fetch_mode", Value::Text),
];

impl Column {
    #[inline]
    pub(crate) fn value(self) -> Value {
        COLUMNS[self as usize].value
    }
}

impl Spec {
    pub(crate) fn is_in(&self, kind: Kind) -> bool {
        match kind {
            Kind::Request => self.request,
            Kind::Response => self.response,
        }
    }

    /// As a schema has it.
    pub(crate) fn field(&self) -> Field {
        match self.value {
            Value::Text | Value::Authority => schema::text(self.name, Meaning::Header),
            Value::Url | Value::Links => schema::text(self.name, Meaning::Url),
            Value::Number => schema::field(self.name, DataType::UInt64, Meaning::Number),
        }
    }
}

/// The columns that the operator chose, in their order; Host is always there.
#[derive(Clone, Debug)]
pub(crate) struct Columns(Vec<Column>);

impl Default for Columns {
    fn default() -> Self {
        Self(optional().map(|spec| spec.column).collect())
    }
}

/// All but Host, which pairs and ledgers need.
fn optional() -> impl Iterator<Item = &'static Spec> {
    COLUMNS.iter().filter(|spec| spec.column != Column::Host)
}

/// The default of the option `columns`.
pub(crate) fn default_names() -> Vec<String> {
    optional().map(|spec| spec.name.to_owned()).collect()
}

impl Columns {
    /// # Errors
    /// For a name that has no column, or stands twice; it names the place in the list.
    pub(crate) fn new(names: &[String]) -> Result<Self> {
        let mut columns = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let wrong = |message| Error::config(format!("columns[{at}]"), message);
            let column = find(name).map_err(wrong)?;
            if columns.contains(&column) {
                return Err(wrong(format!("`{name}` is in the list twice; leave one out")));
            }
            columns.push(column);
        }
        Ok(Self(columns))
    }

    /// The columns of one record type.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &'static Spec> {
        let chosen = self.0.iter().map(|column| &COLUMNS[*column as usize]);
        chosen.filter(move |spec| spec.is_in(kind))
    }
}

/// The column of that name, or why there is none.
fn find(name: &str) -> Result<Column, String> {
    if let Some(spec) = optional().find(|spec| spec.name == name) {
        return Ok(spec.column);
    }
    // As it is written in a head.
    let dashed = name.replace('_', "-");
    Err(match fields::field(dashed.as_bytes()) {
        Some(fields::Field::Column(Column::Host)) => {
            "`host` is always a column; leave it out".to_owned()
        }
        Some(fields::Field::Column(column)) => {
            let spec = &COLUMNS[column as usize];
            format!("no column is named `{name}`; write `{}`", spec.name)
        }
        _ => {
            let names = default_names().join(", ");
            format!("no column is named `{name}`; the names are {names}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_stands_at_its_number_and_is_somewhere() {
        for (at, spec) in COLUMNS.iter().enumerate() {
            assert_eq!(spec.column as usize, at, "{}", spec.name);
            assert!(spec.request || spec.response, "{}", spec.name);
            // The name of a column is that of a field, or stands for several.
            let known = fields::field(spec.name.replace('_', "-").as_bytes());
            assert_eq!(known, Some(fields::Field::Column(spec.column)), "{}", spec.name);
        }
    }

    #[test]
    fn names_that_are_wrong() {
        let all = default_names();
        assert_eq!(Columns::new(&all).unwrap().0, Columns::default().0);
        assert!(Columns::new(&[]).unwrap().0.is_empty());
        let names = all.join(", ");
        let cases: &[(&[&str], String)] = &[
            (
                &["age", "etagg"],
                format!("`columns[1]`: no column is named `etagg`; the names are {names}"),
            ),
            (
                &["If-None-Match"],
                "`columns[0]`: no column is named `If-None-Match`; write `if_none_match`"
                    .to_owned(),
            ),
            (
                &["cf_cache_status"],
                "`columns[0]`: no column is named `cf_cache_status`; write `x_cache`".to_owned(),
            ),
            (
                &["vary", "age", "vary"],
                "`columns[2]`: `vary` is in the list twice; leave one out".to_owned(),
            ),
            (
                &["set_cookie"],
                format!("`columns[0]`: no column is named `set_cookie`; the names are {names}"),
            ),
            (&["host"], "`columns[0]`: `host` is always a column; leave it out".to_owned()),
            (&[""], format!("`columns[0]`: no column is named ``; the names are {names}")),
        ];
        for (list, message) in cases {
            let list: Vec<_> = list.iter().map(|&name| name.to_owned()).collect();
            let error = Columns::new(&list).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message.as_str()), "{list:?}");
        }
    }
}
