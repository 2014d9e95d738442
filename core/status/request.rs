//! One HTTP request of a client that may be anybody: what it asks for, and whether it may.
//!
//! Only GET and HEAD of four fixed paths are served, one request per connection, so all that
//! is needed of HTTP/1.1 is its head, which `httparse` reads.

use std::{io::Read as _, net::IpAddr, path::Path};

use ringmill_sdk::secret;
use sha2::{Digest as _, Sha256};

/// The most bytes of a head that are read.
pub(super) const MOST_HEAD: usize = 8192;
const MOST_FIELDS: usize = 64;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Page,
    Status,
    History,
    Metrics,
}

impl Resource {
    pub(super) const COUNT: usize = Self::Metrics as usize + 1;
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its head is not all there yet.
    Partial,
    /// It is answered; HEAD without the body.
    Serve { path: Resource, body: bool },
    /// It is refused, with this status.
    Refuse(u16),
}

/// Who may read.
pub(super) struct Guard {
    /// The SHA-256 of the token, which takes the same time to compare whatever the client sent.
    token: Option<[u8; 32]>,
    /// Only this machine reaches us: then a name in `Host` that is not this machine's is that of
    /// a page elsewhere which had its name resolved to us (DNS rebinding).
    loopback: bool,
}

/// Bytes of a token.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;

impl Guard {
    pub(super) fn new(ip: IpAddr, token: Option<&str>) -> Self {
        let token = token.map(|token| Sha256::digest(token).into());
        Self { token, loopback: ip.is_loopback() }
    }

    /// Reads the token.
    ///
    /// # Errors
    /// With what to do. The message never repeats what is in the file.
    pub(super) fn read_token(path: &Path) -> Result<String, String> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
        let file = secret::open(path)?;
        let mut text = String::new();
        file.take(1024).read_to_string(&mut text).map_err(unreadable)?;
        let token = text.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !TOKEN.contains(&token.len()) || !token.bytes().all(fits) {
            return Err(format!(
                "{shown} has no token: {} to {} letters, digits, `-`, `.`, `_` and `~` on one line",
                TOKEN.start(),
                TOKEN.end()
            ));
        }
        Ok(token.to_owned())
    }

    /// Looks at what a client has sent so far.
    pub(super) fn judge(&self, bytes: &[u8]) -> Verdict {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Verdict::Partial,
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Verdict::Refuse(431);
            }
            Err(_) => return Verdict::Refuse(400),
        }
        let field = |name: &str| {
            let mut all =
                request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            (all.next().map(|field| field.value), all.next().is_some())
        };
        let (host, hosts) = field("host");
        // RFC 9112, section 3.2: exactly one in HTTP/1.1.
        if hosts || host.is_none() && request.version == Some(1) {
            return Verdict::Refuse(400);
        }
        if self.loopback && host.is_some_and(|host| !is_this_machine(host)) {
            return Verdict::Refuse(421);
        }
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !self.admits(field("authorization").0, query) {
            return Verdict::Refuse(401);
        }
        let body = match request.method {
            Some("GET") => true,
            Some("HEAD") => false,
            _ => return Verdict::Refuse(405),
        };
        let path = match path {
            "/" => Resource::Page,
            "/status.json" => Resource::Status,
            "/history.json" => Resource::History,
            "/metrics" => Resource::Metrics,
            _ => return Verdict::Refuse(404),
        };
        Verdict::Serve { path, body }
    }

    fn admits(&self, authorization: Option<&[u8]>, query: &str) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = authorization.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        let in_query = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        let sent = [bearer, in_query.map(str::as_bytes)];
        sent.into_iter().flatten().any(|sent| {
            let sent: [u8; 32] = Sha256::digest(sent).into();
            sent.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
        })
    }
}

/// Whether `Host` names this machine by a name that no one else can resolve to it.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let host = host.trim();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics to fail")]

    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const PAGE: Verdict = Verdict::Serve { path: Resource::Page, body: true };

    #[test]
    fn requests_are_judged() {
        let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(65));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MOST_HEAD));
        let status = Verdict::Serve { path: Resource::Status, body: true };
        let head = Verdict::Serve { path: Resource::Metrics, body: false };
        let rows: &[(&str, Verdict)] = &[
            ("", Verdict::Partial),
            ("GET / HT", Verdict::Partial),
            ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", PAGE),
            ("GET / HTTP/1.0\r\n\r\n", PAGE),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1:9650\r\n\r\n", PAGE),
            ("GET / HTTP/1.1\r\nHost: [::1]:9650\r\n\r\n", PAGE),
            ("GET / HTTP/1.1\r\nhost: LocalHost:1\r\n\r\n", PAGE),
            ("GET /status.json?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", status),
            ("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", head),
            ("GET / HTTP/1.1\r\n\r\n", Verdict::Refuse(400)),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", Verdict::Refuse(400)),
            ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", Verdict::Refuse(421)),
            ("GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", Verdict::Refuse(421)),
            ("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", Verdict::Refuse(421)),
            ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", Verdict::Refuse(405)),
            ("GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", Verdict::Refuse(404)),
            ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", Verdict::Refuse(404)),
            ("\u{16}\u{3}\u{1}", Verdict::Refuse(400)),
            ("GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", Verdict::Refuse(400)),
            (&many, Verdict::Refuse(431)),
            (&long, Verdict::Refuse(431)),
        ];
        let guard = Guard::new("127.0.0.1".parse().unwrap(), None);
        for (bytes, expected) in rows {
            assert_eq!(guard.judge(bytes.as_bytes()), *expected, "{:.60}", bytes.escape_debug());
        }
    }

    #[test]
    fn a_token_guards_every_path() {
        let rows: &[(&str, &str, Verdict)] = &[
            ("/", "", Verdict::Refuse(401)),
            ("/metrics", "", Verdict::Refuse(401)),
            ("/none", "", Verdict::Refuse(401)),
            ("/?token=0123456789abcde", "", Verdict::Refuse(401)),
            ("/?token=", "", Verdict::Refuse(401)),
            ("/", "Authorization: Bearer 0123456789abcdeF\r\n", Verdict::Refuse(401)),
            ("/", "Authorization: 0123456789abcdef\r\n", Verdict::Refuse(401)),
            ("/", "Authorization: Bearer 0123456789abcdef\r\n", PAGE),
            ("/", "authorization: bearer 0123456789abcdef\r\n", PAGE),
            ("/?token=0123456789abcdef", "", PAGE),
            ("/?a=b&token=0123456789abcdef", "", PAGE),
        ];
        for ip in ["127.0.0.1", "0.0.0.0"] {
            let guard = Guard::new(ip.parse().unwrap(), Some(TOKEN));
            for (path, field, expected) in rows {
                let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
                assert_eq!(guard.judge(head.as_bytes()), *expected, "{ip} {path} {field}");
            }
        }
    }

    #[test]
    fn tokens_are_read_from_files_of_their_owner() {
        use std::{fs, os::unix::fs::PermissionsExt as _};
        let directory = tempfile::tempdir().unwrap();
        let rows: &[(&str, u32, Result<&str, &str>)] = &[
            ("0123456789abcdef\n", 0o600, Ok(TOKEN)),
            ("0123456789abcdef\n", 0o640, Err("open to others")),
            ("short", 0o600, Err("has no token")),
            ("0123456789abcdef 0123456789abcdef", 0o600, Err("has no token")),
            ("", 0o600, Err("has no token")),
        ];
        for (text, mode, expected) in rows {
            let path = directory.path().join("token");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
            let read = Guard::read_token(&path);
            match expected {
                Ok(token) => assert_eq!(read.as_deref(), Ok(*token), "{text:?}"),
                Err(why) => assert!(read.unwrap_err().contains(why), "{text:?}"),
            }
        }
    }
}
