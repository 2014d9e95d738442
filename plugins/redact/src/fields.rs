//! What each header field is, by its name: the policy as a table.
//!
//! | what it is | which fields | what comes out |
//! |---|---|---|
//! | credential | [`CREDENTIALS`] | as the option `credentials` says |
//! | client address | [`ADDRESSES`] | as the option `client_addresses` says |
//! | names a person | [`PERSONS`] | nothing |
//! | has a column | [`COLUMNS`], under all names that the stage `http` knows | what its [`Class`] says |
//! | harmless | [`HARMLESS`], or what the option `headers` lists in its place | text |
//! | anything else | | nothing; its name when `names = true` |
//!
//! Names are compared without regard to case, and `_` counts as `-`: gateways in the manner of
//! CGI write `X_FORWARDED_FOR`. Columns have the names of their fields.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use ringmill_sdk::{Error, Result};

/// What a value is, which decides what of it comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It lets its bearer act as somebody.
    Credential,
    /// It carries the address of a client.
    Address,
    /// It names a person or their telephone.
    Person,
    /// A URL of the record's own request.
    Url,
    /// A URL of another request of the same client.
    Referer,
    /// A URL that a server named.
    Location,
    /// Targets in angle brackets with parameters (RFC 8288).
    Links,
    /// The name and port of a server.
    Host,
    /// Entity tags, or a date (RFC 9110, sections 8.8.3 and 13.1.5).
    Tags,
    /// What a client says of itself.
    Agent,
    /// A version out of that.
    AgentVersion,
    Method,
    Reason,
    Version,
    /// Directives with numbers (`max-age=315360000`).
    Directives,
    /// A date (RFC 9110, section 5.6.7).
    Date,
    /// A number, or ranges of bytes (RFC 9110, section 14).
    Ranges,
    /// A media type with parameters (RFC 9110, section 8.3.1).
    MediaType,
    /// Words of a small grammar.
    Text,
}

impl Class {
    /// Whether clients and servers send the same value again and again.
    pub(crate) fn repeats(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::Agent
                | Self::AgentVersion
                | Self::Reason
                | Self::Directives
                | Self::MediaType
                | Self::Text
        )
    }
}

pub(crate) const CREDENTIALS: &[&str] = &[
    "authentication-info",
    "authorization",
    "cookie",
    "cookie2",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-authorization",
    "x-csrf-token",
    "x-xsrf-token",
];

pub(crate) const PERSONS: &[&str] = &[
    "from",
    "msisdn",
    "x-msisdn",
    "x-nokia-msisdn",
    "x-up-calling-line-id",
    "x-up-subno",
    "x-user-email",
    "x-wap-msisdn",
];

pub(crate) const ADDRESSES: &[&str] = &[
    "ali-cdn-real-ip",
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "forwarded-for-ip",
    "http-client-ip",
    "http-x-forwarded-for",
    "incap-client-ip",
    "proxy-client-ip",
    "real-ip",
    "remote-addr",
    "remote-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-addr",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forward-for",
    "x-forwarded",
    "x-forwarded-for",
    "x-ip",
    "x-nokia-ipaddress",
    "x-original-forwarded-for",
    "x-original-ip",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-source-ip",
    "x-sucuri-clientip",
    "x-up-forwarded-for",
    "x-user-ip",
];

/// The fields that have a column, and what else they are called.
const COLUMNS: &[(Class, &[&str])] = &[
    (Class::Referer, &["referer", "origin"]),
    (Class::Location, &["location", "content-location", "destination"]),
    (Class::Links, &["link"]),
    (Class::Host, &["host"]),
    (Class::Tags, &["etag", "if-none-match", "if-match", "if-range"]),
    (Class::Agent, &["user-agent"]),
    (Class::Directives, &["cache-control", "pragma"]),
    (Class::Date, &["date", "expires", "if-modified-since", "last-modified"]),
    (Class::Ranges, &["age", "content-length", "content-range", "range"]),
    (Class::MediaType, &["content-type"]),
    (
        Class::Text,
        &[
            "accept-encoding",
            "connection",
            "content-encoding",
            "sec-fetch-dest",
            "sec-fetch-mode",
            "server",
            "transfer-encoding",
            "vary",
            "via",
            // The column `purpose`.
            "purpose",
            "sec-purpose",
            "x-moz",
            "x-purpose",
            // The column `x_cache`.
            "akamai-cache-status",
            "cache-status",
            "cdn-cache",
            "cf-cache-status",
            "x-cache",
            "x-cache-status",
            "x-fastcgi-cache",
            "x-litespeed-cache",
            "x-nginx-cache",
            "x-proxy-cache",
            "x-sucuri-cache",
            "x-varnish-cache",
            "x-vercel-cache",
        ],
    ),
];

/// The default of the option `headers`: fields without a column whose values are the same for
/// very many clients.
pub(crate) const HARMLESS: &[&str] = &[
    "accept",
    "accept-ch",
    "accept-charset",
    "accept-ranges",
    "allow",
    "alt-svc",
    "cdn-cache-control",
    "content-language",
    "critical-ch",
    "dnt",
    "early-data",
    "expect",
    "keep-alive",
    "max-forwards",
    "no-vary-search",
    "priority",
    "proxy-connection",
    "retry-after",
    "save-data",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "strict-transport-security",
    "supports-loading-mode",
    "surrogate-control",
    "te",
    "trailer",
    "upgrade",
    "upgrade-insecure-requests",
    "x-cache-hits",
    "x-content-type-options",
    "x-powered-by",
    "x-xss-protection",
];

/// Of [`HARMLESS`] those that say for how long.
const WITH_NUMBERS: &[&str] = &[
    "alt-svc",
    "cdn-cache-control",
    "keep-alive",
    "strict-transport-security",
    "surrogate-control",
];

/// Columns that are no header field, or a part of one.
const OTHERS: &[(&str, Class)] = &[
    ("method", Class::Method),
    ("reason", Class::Reason),
    ("request_host", Class::Host),
    ("request_method", Class::Method),
    ("request_uri", Class::Url),
    ("uri", Class::Url),
    ("user_agent_browser_version", Class::AgentVersion),
    ("user_agent_os_version", Class::AgentVersion),
    ("version", Class::Version),
];

/// What lets every field out that nothing else governs.
const ALL: &str = "*";

/// The longest name that is looked for, in bytes.
const LONGEST: usize = 64;

/// What is known of fields by their names.
pub(crate) struct Fields {
    known: HashMap<Box<str>, Class, BuildHasherDefault<Fnv>>,
    all: bool,
    /// The names that were asked for lately, each at its [`place`].
    lately: Vec<Lately>,
}

/// A name as it was written, and what is known of it.
#[derive(Clone, Default)]
struct Lately {
    name: String,
    class: Option<Class>,
    is_listed: bool,
}

/// How many names are remembered.
const LATELY: usize = 64;

impl Fields {
    /// With the fields of the option `headers`.
    ///
    /// # Errors
    /// For a name that is none or is governed by something else; it names the place.
    pub(crate) fn new(headers: &[String]) -> Result<Self> {
        let mut known = HashMap::default();
        let mut all = |class, names: &[&str]| {
            known.extend(names.iter().map(|&name| (Box::from(name), class)));
        };
        all(Class::Credential, CREDENTIALS);
        all(Class::Person, PERSONS);
        all(Class::Address, ADDRESSES);
        COLUMNS.iter().for_each(|(class, names)| all(*class, names));
        let mut fields = Self { known, all: false, lately: Vec::new() };
        for (at, name) in headers.iter().enumerate() {
            let allowed = fields.allow(name);
            allowed.map_err(|why| Error::config(format!("headers[{at}]"), why))?;
        }
        Ok(fields)
    }

    fn allow(&mut self, name: &str) -> Result<(), String> {
        if name == ALL {
            self.all = true;
            return Ok(());
        }
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_token) {
            return Err(format!(
                "`{name}` is no name of a header field; one is up to {LONGEST} letters, digits \
                 and `-`, or `*` for all"
            ));
        }
        let governed = |option: &str, what: &str| {
            Err(format!(
                "`{name}` {what} and is not let out by this list; leave it out and see the \
                 option `{option}`"
            ))
        };
        match self.find(name) {
            Some(Class::Credential) => governed("credentials", "is a credential"),
            Some(Class::Address) => governed("client_addresses", "carries a client's address"),
            Some(Class::Person) => {
                Err(format!("`{name}` names a person and never comes out; leave it out"))
            }
            // It comes out by its column's rule.
            Some(_) => Ok(()),
            None => {
                let name = normal(name, &mut [0; LONGEST]).unwrap_or_default().to_owned();
                let has_numbers = WITH_NUMBERS.contains(&name.as_str());
                let class = if has_numbers { Class::Directives } else { Class::Text };
                self.known.insert(name.into(), class);
                Ok(())
            }
        }
    }

    fn find(&self, name: &str) -> Option<Class> {
        self.known.get(normal(name, &mut [0; LONGEST])?).copied()
    }

    /// What a header field is, `None` when it does not come out; and whether it does by its own
    /// name, not because all do. The same few names come again and again.
    pub(crate) fn lately(&mut self, name: &str) -> (Option<Class>, bool) {
        if self.lately.is_empty() {
            self.lately.resize(LATELY, Lately::default());
        }
        let at = place(name);
        if name.is_empty() || self.lately[at].name != name {
            let (class, is_listed) = (self.field(name), !self.all || self.find(name).is_some());
            if name.is_empty() || name.len() > LONGEST {
                return (class, is_listed);
            }
            let known = &mut self.lately[at];
            (known.class, known.is_listed) = (class, is_listed);
            known.name.clear();
            known.name.push_str(name);
        }
        (self.lately[at].class, self.lately[at].is_listed)
    }

    /// What a header field is; `None` when it does not come out.
    pub(crate) fn field(&self, name: &str) -> Option<Class> {
        self.find(name).or_else(|| self.all.then_some(Class::Text))
    }

    /// What a column is; `None` when it does not come out.
    pub(crate) fn column(&self, name: &str, is_url: bool) -> Option<Class> {
        let other = OTHERS.iter().find(|(other, _)| *other == name).map(|(_, class)| *class);
        other.or_else(|| self.field(name)).map(|class| match class {
            // Another stage's column, of which this one knows no more than its kind.
            Class::Text if is_url => Class::Url,
            class => class,
        })
    }
}

/// Where a name is remembered; who makes names that fall on one place gains nothing but that
/// they are looked for each time.
fn place(name: &str) -> usize {
    let (first, last) = (name.as_bytes().first(), name.as_bytes().last());
    let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    (5 * name.len() + 7 * byte(first) + byte(last)) % LATELY
}

/// FNV-1a, as names are short; only names of ours are ever put in, so nobody can make them
/// collide.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// In lower case, words joined by `-`.
fn normal<'b>(name: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b str> {
    let to = buffer.get_mut(..name.len())?;
    for (to, from) in to.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' { b'-' } else { from.to_ascii_lowercase() };
    }
    std::str::from_utf8(to).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_normal_and_stands_once() {
        let columns = COLUMNS.iter().map(|(_, names)| *names);
        let lists = [CREDENTIALS, PERSONS, ADDRESSES, HARMLESS].into_iter().chain(columns);
        let mut seen = std::collections::BTreeSet::new();
        for name in lists.flatten() {
            assert_eq!(normal(name, &mut [0; LONGEST]), Some(*name));
            assert!(seen.insert(name), "{name} stands twice");
        }
        assert!(WITH_NUMBERS.iter().all(|name| HARMLESS.contains(name)));
    }

    #[test]
    fn names_that_are_found() {
        let headers: Vec<_> = HARMLESS.iter().map(|&name| name.to_owned()).collect();
        let fields = Fields::new(&headers).unwrap();
        let cases = [
            ("cookie", Some(Class::Credential)),
            ("COOKIE", Some(Class::Credential)),
            ("x_forwarded_for", Some(Class::Address)),
            ("From", Some(Class::Person)),
            ("x-cache", Some(Class::Text)),
            ("accept", Some(Class::Text)),
            ("surrogate-control", Some(Class::Directives)),
            ("accept-language", None),
            ("*", None),
            ("", None),
        ];
        for (name, class) in cases {
            assert_eq!(fields.field(name), class, "{name}");
        }
        assert_eq!(fields.field(&"x".repeat(LONGEST + 1)), None);
        assert_eq!(fields.column("request_uri", true), Some(Class::Url));
        assert_eq!(fields.column("cache_control", false), Some(Class::Directives));
        assert_eq!(fields.column("other", false), None);
        let fields = Fields::new(&["*".to_owned(), "Other".to_owned()]).unwrap();
        assert_eq!(fields.field("anything"), Some(Class::Text));
        assert_eq!(fields.field("set-cookie"), Some(Class::Credential));
        assert_eq!(fields.column("other", true), Some(Class::Url));
    }

    #[test]
    fn what_is_remembered_of_a_name_is_what_is_known_of_it() {
        let many: Vec<_> = (0..2 * LATELY).map(|n| format!("x-{n}")).collect();
        let long = "x".repeat(LONGEST + 1);
        let others = ["", "cookie", "Cookie", "COOKIE", "x_forwarded_for", "accept", "dnt", &long];
        let names: Vec<_> = others.into_iter().chain(many.iter().map(String::as_str)).collect();
        for headers in [vec!["accept".to_owned()], vec!["*".to_owned(), "dnt".to_owned()]] {
            let mut fields = Fields::new(&headers).unwrap();
            for name in names.iter().chain(&names).flat_map(|name| [name, &"accept", name]) {
                let expected = (fields.field(name), !fields.all || fields.find(name).is_some());
                assert_eq!(fields.lately(name), expected, "{name} with {headers:?}");
            }
        }
    }
}
