//! Requests to the store: to which of its addresses, and what an answer as a whole means.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use ringmill_sdk::prelude::*;
use ureq::{
    Agent,
    http::{Method, Request, Uri, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{options::Options, secret::Credentials};

/// How hard gzip tries: five times smaller, at half the price of a sixth time.
const LEVEL: Compression = Compression::new(2);
const CONNECT: Duration = Duration::from_secs(5);
/// How long an address that failed is left out.
const OUT: Duration = Duration::from_secs(10);
/// The most that an answer may have; one to a bulk of 100000 rows has 4 MiB and their reasons.
const LONGEST: u64 = 64 << 20;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoints: Vec<Endpoint>,
    next: usize,
    credentials: Credentials,
    gzip: bool,
    seconds: u64,
    /// Keeps its memory.
    compressed: Vec<u8>,
    requests: Counter,
    bytes: Counter,
}

/// One of the store's addresses.
#[derive(Debug)]
struct Endpoint {
    url: String,
    out_until: Option<Instant>,
}

/// An answer, of which the whole was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Who answered.
    pub(crate) url: String,
}

/// Why there is none.
enum Failure {
    /// The answer is longer than it may be.
    TooLong,
    Away(String),
}

impl Client {
    pub(crate) fn new(options: &Options, host: &Host) -> Result<Self> {
        let credentials = Credentials::new(options)?;
        if options.urls.is_empty() {
            return Err(Error::config("urls", "names no address, such as `https://search:9200`"));
        }
        let mut endpoints = Vec::new();
        for (at, url) in options.urls.iter().enumerate() {
            let url = check_url(url).map_err(|why| Error::config(format!("urls[{at}]"), why))?;
            if credentials.are_set() && is_open(&url) {
                host.warn("credentials go over the network as plain text; use `https://`");
            }
            endpoints.push(Endpoint { url, out_until: None });
        }
        let seconds = options.timeout_seconds;
        if !(1..=600).contains(&seconds) {
            return Err(Error::config("timeout_seconds", "must be from 1 to 600"));
        }
        let tls = match &options.ca_file {
            None => TlsConfig::builder().root_certs(RootCerts::WebPki),
            Some(path) => TlsConfig::builder().root_certs(authorities(path)?),
        };
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_connect(Some(CONNECT))
            .timeout_per_call(Some(Duration::from_secs(seconds)))
            .http_status_as_error(false)
            .max_redirects(0)
            // Records go where the config says, not where an environment variable does.
            .proxy(None)
            .user_agent(concat!("ringmill/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            endpoints,
            next: 0,
            credentials,
            gzip: options.gzip,
            seconds,
            compressed: Vec::new(),
            requests: host.counter("requests"),
            bytes: host.counter("bytes"),
        })
    }

    /// Sends a bulk. `None`: the answer is too long, so send fewer rows.
    ///
    /// # Errors
    /// The store cannot be reached, or an answer that is not about the rows: it is to be tried
    /// again.
    pub(crate) fn bulk(&mut self, body: &[u8]) -> Result<Option<Answer>> {
        const PATH: &str =
            "/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason";
        let compressed = self.gzip.then(|| self.compress(body)).transpose()?;
        let answer = self.request(&Method::POST, PATH, compressed.as_deref().or(Some(body)));
        self.compressed = compressed.unwrap_or_default();
        answer
    }

    /// Asks for something small, or puts it.
    ///
    /// # Errors
    /// As [`bulk`](Self::bulk).
    pub(crate) fn ask(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let gzip = std::mem::take(&mut self.gzip);
        let answer = self.request(method, path, body);
        self.gzip = gzip;
        answer?.ok_or_else(|| Error::retry("the store's answer is longer than 64 MiB"))
    }

    fn compress(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.compressed);
        out.clear();
        let mut encoder = GzEncoder::new(out, LEVEL);
        std::io::Write::write_all(&mut encoder, body)?;
        Ok(encoder.finish()?)
    }

    /// Tries each address once, those that failed a short while ago only when no other is left.
    fn request(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Option<Answer>> {
        let count = self.endpoints.len();
        let now = Instant::now();
        let mut order: Vec<usize> = (0..count).map(|n| (self.next + n) % count).collect();
        let is_out = |at: &usize| self.endpoints[*at].out_until.filter(|until| *until > now);
        order.sort_by_key(is_out);
        if order.iter().any(|at| is_out(at).is_none()) {
            order.retain(|at| is_out(at).is_none());
        }
        let mut why = String::new();
        for at in order {
            self.next = (at + 1) % count;
            match self.send(at, method, path, body) {
                Ok(answer) if matches!(answer.status, 502..=504) => {
                    why = format!("`{}` answers {}", answer.url, answer.status);
                }
                Ok(answer) => {
                    self.endpoints[at].out_until = None;
                    return self.judge(answer).map(Some);
                }
                Err(Failure::TooLong) => return Ok(None),
                Err(Failure::Away(text)) => why = text,
            }
            self.endpoints[at].out_until = Some(Instant::now() + OUT);
        }
        Err(Error::retry(why))
    }

    fn send(
        &self,
        at: usize,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let url = self.endpoints[at].url.clone();
        let away = |error: ureq::Error| match error {
            ureq::Error::BodyExceedsLimit(_) => Failure::TooLong,
            ureq::Error::Timeout(_) => {
                Failure::Away(format!("`{url}` does not answer within {} s", self.seconds))
            }
            other => Failure::Away(format!("`{url}` cannot be reached: {other}")),
        };
        let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
        if let Some(credentials) = self.credentials.header() {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        let sent = match body {
            None => request.body(()).map_err(ureq::Error::from).and_then(|it| self.agent.run(it)),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                if self.gzip {
                    request = request.header(header::CONTENT_ENCODING, "gzip");
                }
                self.bytes.add(body.len() as u64);
                request.body(body).map_err(ureq::Error::from).and_then(|it| self.agent.run(it))
            }
        };
        self.requests.add(1);
        let mut response = sent.map_err(away)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_vec();
        Ok(Answer { status, body: body.map_err(away)?, url: url.clone() })
    }

    /// Lets through what says something of the request itself.
    fn judge(&mut self, answer: Answer) -> Result<Answer> {
        let Answer { status, url, .. } = &answer;
        Err(Error::retry(match status {
            200..=299 | 400 | 404 | 413 => return Ok(answer),
            300..=399 => format!(
                "`{url}` answers {status}, a redirect, which is not followed; put the store's own \
                 address into `urls`"
            ),
            401 => {
                self.credentials.reload();
                let how = match self.credentials.are_set() {
                    true => "mend the file that they are in, which is read again",
                    false => "set `username` and `password_file`, or `api_key_file`",
                };
                format!("`{url}` does not accept our credentials (401); {how}")
            }
            403 => {
                self.credentials.reload();
                format!("`{url}` does not let us do this (403); give the user or the key the right")
            }
            429 => format!("`{url}` has too much to do (429)"),
            _ => format!("`{url}` answers {status}"),
        }))
    }
}

/// An address without a slash at its end.
fn check_url(url: &str) -> Result<String, &'static str> {
    const EXAMPLE: &str = "is no address such as `https://search.example.org:9200`";
    let parsed: Uri = url.parse().map_err(|_| EXAMPLE)?;
    let scheme = parsed.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || parsed.host().is_none_or(str::is_empty) {
        return Err(EXAMPLE);
    }
    if parsed.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("has a user in it; use `username` and `password_file`");
    }
    if parsed.query().is_some() || url.contains('#') {
        return Err("must end with its path");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Whether what goes there can be read on its way.
fn is_open(url: &str) -> bool {
    let uri: Uri = url.parse().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && !here
}

/// The certificates in a file.
fn authorities(path: &Path) -> Result<RootCerts> {
    let shown = path.display();
    let wrong = |why: String| Error::config("ca_file", why);
    let bytes = fs::read(path).map_err(|error| wrong(format!("cannot read {shown}: {error}")))?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(wrong(format!("{shown} is no PEM file"))),
        }
    }
    match found.is_empty() {
        true => Err(wrong(format!("{shown} has no certificate in PEM"))),
        false => Ok(RootCerts::new_with_certs(&found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_lose_their_last_slash() {
        let cases = [
            ("http://127.0.0.1:9200", Some("http://127.0.0.1:9200")),
            ("https://search.example.org/store/", Some("https://search.example.org/store")),
            ("search.example.org:9200", None),
            ("ftp://search.example.org", None),
            ("https://", None),
            ("https://me:secret@search.example.org", None),
            ("https://search.example.org/?pretty", None),
            ("https://search.example.org/#a", None),
        ];
        for (url, expected) in cases {
            assert_eq!(check_url(url).ok().as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn only_what_leaves_the_machine_as_plain_text_is_open() {
        let cases = [
            ("http://search.example.org", true),
            ("http://192.0.2.1:9200", true),
            ("https://search.example.org", false),
            ("http://localhost:9200", false),
            ("http://127.0.0.1", false),
            ("http://[::1]:9200", false),
        ];
        for (url, open) in cases {
            assert_eq!(is_open(url), open, "{url}");
        }
    }
}
