//! A proxy in front of the store, which answers in its place when a test wants so. It takes one
//! request a connection.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    Forward,
    /// This status, with no more to say.
    Status(u16),
    /// A page for people, with a secret on it.
    Page,
    /// To another address.
    Redirect(String),
    /// Forwards the even rows of each bulk of more than one, and says of the odd ones that there is
    /// too much to do.
    Half,
    /// Too many bytes for it.
    Small(usize),
    /// Takes every bulk and forgets it; there need be no store.
    Yes,
    /// Only with this value of `Authorization`.
    Authorized(String),
}

pub(crate) struct Proxy {
    pub(crate) address: String,
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    store: String,
    mood: Mutex<Mood>,
    requests: AtomicUsize,
    /// Bodies of bulks, where they are wanted.
    bodies: Mutex<Option<Vec<Vec<u8>>>>,
}

impl Proxy {
    /// To the store at this address; with TLS to the client where there is a config for it.
    pub(crate) fn start(store: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::start_on("127.0.0.1", store, tls)
    }

    /// The same on this address.
    pub(crate) fn start_on(address: &str, store: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            store: store.to_owned(),
            mood: Mutex::new(Mood::Forward),
            requests: AtomicUsize::new(0),
            bodies: Mutex::new(None),
        });
        let served = Arc::clone(&shared);
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&served), tls.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    // Either side may go at any time: that is what is tested.
                    let _ = match tls {
                        None => shared.serve(stream),
                        Some(tls) => ServerConnection::new(tls)
                            .map_err(io::Error::other)
                            .and_then(|tls| shared.serve(StreamOwned::new(tls, stream))),
                    };
                });
            }
        });
        Self { address: format!("127.0.0.1:{port}"), port, shared }
    }

    /// Its address, reached by this one.
    pub(crate) fn at(&self, address: &str) -> String {
        format!("{address}:{}", self.port)
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Relaxed)
    }

    /// Keeps the bodies of bulks from now on, and gives those that were kept so far.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared.bodies.lock().unwrap().replace(Vec::new()).unwrap_or_default()
    }
}

impl Shared {
    fn serve(&self, mut client: impl Read + Write) -> io::Result<()> {
        let (head, body) = request(&mut client)?;
        self.requests.fetch_add(1, Relaxed);
        let is_bulk = head.starts_with("POST /_bulk");
        if let Some(bodies) = self.bodies.lock().unwrap().as_mut().filter(|_| is_bulk) {
            bodies.push(body.clone());
        }
        let mood = self.mood.lock().unwrap().clone();
        let answer = match mood {
            Mood::Status(status) => plain(status, "", ""),
            Mood::Page => plain(200, "Content-Type: text/html\r\n", "<html>hunter2</html>"),
            Mood::Redirect(url) => plain(302, &format!("Location: {url}/_bulk\r\n"), ""),
            Mood::Small(most) if body.len() > most => plain(413, "", ""),
            Mood::Authorized(value) if field(&head, "authorization") != Some(&value) => {
                plain(401, "", "{\"error\":{\"type\":\"security_exception\"},\"status\":401}")
            }
            Mood::Yes => {
                let rows = body.iter().filter(|byte| **byte == b'\n').count() / 2;
                let items = vec![json!({"index": {"status": 201}}); rows];
                plain(200, "", &json!({"items": items}).to_string())
            }
            Mood::Half if is_bulk => self.half(&head, &body)?,
            _ => self.forward(&head, &body)?,
        };
        client.write_all(&answer)?;
        client.flush()
    }

    fn forward(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut store = TcpStream::connect(&self.store)?;
        store.set_read_timeout(Some(Duration::from_secs(60)))?;
        let kept = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !matches!(name.as_str(), "connection" | "authorization" | "content-length")
        };
        let kept: Vec<&str> = head.trim_end().split("\r\n").filter(kept).collect();
        let length = body.len();
        let head = kept.join("\r\n");
        write!(store, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        store.write_all(body)?;
        let mut answer = Vec::new();
        store.read_to_end(&mut answer)?;
        // The store does not say that it closes the connection.
        let end = answer.iter().position(|byte| *byte == b'\r');
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        answer.splice(end..end, *b"\r\nConnection: close");
        Ok(answer)
    }

    fn half(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
        let rows: Vec<_> = lines.chunks(2).map(<[_]>::concat).collect();
        if rows.len() == 1 {
            return self.forward(head, body);
        }
        let even: Vec<u8> = rows.iter().step_by(2).flatten().copied().collect();
        let answer = self.forward(head, &even)?;
        let begin = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let parsed: Value = serde_json::from_slice(&answer[begin..])?;
        let mut items = Vec::new();
        for item in parsed["items"].as_array().unwrap() {
            items.push(item.clone());
            let error = json!({"type": "rejected_execution_exception", "reason": "it is full"});
            items.push(json!({"index": {"status": 429, "error": error}}));
        }
        items.truncate(rows.len());
        Ok(plain(200, "", &json!({"errors": true, "items": items}).to_string()))
    }
}

/// The head, with its last empty line, and the body.
fn request(client: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end.map(|at| at + 4) {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length: usize =
                field(&head, "content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
            let mut body = bytes.split_off(end);
            let missing = length.saturating_sub(body.len()) as u64;
            client.take(missing).read_to_end(&mut body)?;
            return Ok((head, body));
        }
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// The value of a field.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn plain(status: u16, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} x\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
