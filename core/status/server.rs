//! The HTTP server of the status page, on one thread.
//!
//! Small enough to be our own: `httparse` reads the heads, and what is left is to keep slow and
//! hostile clients from costing anything. All connections are watched at once and none is ever
//! waited for; each has a deadline and one small buffer; there are at most so many, and when one
//! too many comes, the oldest that has not been answered goes. Answers are made once a second by
//! whoever calls [`Server::turn`], so a request costs a copy into a socket.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::request::{Guard, MOST_HEAD, Resource, Verdict};

/// The most connections at a time.
const MOST: usize = 64;
/// How long a connection may take from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(3);
/// Connections that are let in before those that are there get their turn.
const BURST: usize = 32;

/// The bodies that are served.
#[derive(Clone)]
pub(super) struct Bodies {
    pub(super) page: Arc<[u8]>,
    pub(super) status: Arc<[u8]>,
    pub(super) history: Arc<[u8]>,
    pub(super) metrics: Arc<[u8]>,
}

impl Bodies {
    fn of(&self, resource: Resource) -> (&'static str, &Arc<[u8]>) {
        match resource {
            Resource::Page => ("text/html; charset=utf-8", &self.page),
            Resource::Status => ("application/json", &self.status),
            Resource::History => ("application/json", &self.history),
            Resource::Metrics => {
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", &self.metrics)
            }
        }
    }
}

/// The server and its connections.
pub(super) struct Server {
    listener: TcpListener,
    guard: Guard,
    connections: Vec<Connection>,
    /// When each resource was asked for last.
    asked: [Option<Instant>; Resource::COUNT],
    /// No descriptor is left for another connection until then.
    full_until: Option<Instant>,
}

struct Connection {
    stream: TcpStream,
    since: Instant,
    state: State,
}

enum State {
    /// So much of the head has come.
    Reading(Vec<u8>),
    Writing {
        head: Vec<u8>,
        body: Option<Arc<[u8]>>,
        sent: usize,
        refused: bool,
    },
    /// What a refused client still sends is thrown away: closed at once, its system might throw
    /// away our answer.
    Draining,
    Over,
}

impl Server {
    /// Listens there.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(super) fn bind(listen: SocketAddr, guard: Guard) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            guard,
            connections: Vec::new(),
            asked: [None; Resource::COUNT],
            full_until: None,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Which resources were asked for since then; and forgets it.
    pub(super) fn take_asked(&mut self, since: Instant) -> [bool; Resource::COUNT] {
        let asked = std::mem::take(&mut self.asked);
        asked.map(|at| at.is_some_and(|at| at >= since))
    }

    /// Whether those have all been asked for, and nobody waits for an answer.
    pub(super) fn has_served(&self, resources: &[bool]) -> bool {
        let waits = |connection: &Connection| matches!(connection.state, State::Writing { .. });
        let all =
            resources.iter().zip(&self.asked).all(|(wanted, asked)| !wanted || asked.is_some());
        all && !self.connections.iter().any(waits)
    }

    /// Serves what there is to be served; returns at `until` at the latest.
    pub(super) fn turn(&mut self, until: Instant, bodies: &Bodies) {
        let now = Instant::now();
        let deadline = self.connections.iter().map(|connection| connection.since + PATIENCE).min();
        let wait = deadline.map_or(until, |at| at.min(until)).saturating_duration_since(now);
        let accepts = self.full_until.is_none_or(|at| now >= at);
        let mut fds = Vec::with_capacity(self.connections.len() + 1);
        fds.push(PollFd::new(
            &self.listener,
            if accepts { PollFlags::IN } else { PollFlags::empty() },
        ));
        fds.extend(self.connections.iter().map(|connection| {
            let wants = match connection.state {
                State::Writing { .. } => PollFlags::OUT,
                _ => PollFlags::IN,
            };
            PollFd::new(&connection.stream, wants)
        }));
        let timeout = Timespec::try_from(wait).ok();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let now = Instant::now();
        for (connection, ready) in self.connections.iter_mut().zip(&ready[1..]) {
            if *ready && let Some(resource) = connection.go_on(&self.guard, bodies) {
                self.asked[resource as usize] = Some(now);
            }
        }
        self.connections.retain(|connection| {
            !matches!(connection.state, State::Over) && now < connection.since + PATIENCE
        });
        if ready[0] {
            self.accept(now);
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..BURST {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_err() {
                        continue;
                    }
                    if self.connections.len() == MOST {
                        // Those stand in the order in which they came. Who is being answered has
                        // sent a good request and has not much time anyway.
                        let reading = |connection: &Connection| {
                            !matches!(connection.state, State::Writing { .. })
                        };
                        let oldest = self.connections.iter().position(reading);
                        self.connections.remove(oldest.unwrap_or(0));
                    }
                    let state = State::Reading(Vec::new());
                    self.connections.push(Connection { stream, since: now, state });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client has gone again, or the process has no descriptor left: asked again at
                // once, the listener would keep us busy for nothing.
                Err(_) => {
                    self.full_until = Some(now + Duration::from_millis(100));
                    return;
                }
            }
        }
    }
}

impl Connection {
    /// Reads or writes what can be without waiting. What was asked for, when it has been.
    fn go_on(&mut self, guard: &Guard, bodies: &Bodies) -> Option<Resource> {
        let mut asked = None;
        if let State::Reading(head) = &mut self.state {
            let (bytes, open) = read(&mut self.stream, MOST_HEAD - head.len());
            head.extend_from_slice(&bytes);
            match guard.judge(head) {
                Verdict::Partial if open => return None,
                Verdict::Partial => self.state = State::Over,
                Verdict::Serve { path, body } => {
                    asked = Some(path);
                    let (kind, bytes) = bodies.of(path);
                    let head = response(200, kind, bytes.len());
                    let body = body.then(|| Arc::clone(bytes));
                    self.state = State::Writing { head, body, sent: 0, refused: false };
                }
                Verdict::Refuse(status) => {
                    let reason = reason(status);
                    let mut head = response(status, "text/plain; charset=utf-8", reason.len() + 1);
                    head.extend_from_slice(reason.as_bytes());
                    head.push(b'\n');
                    self.state = State::Writing { head, body: None, sent: 0, refused: true };
                }
            }
        }
        match &mut self.state {
            State::Writing { head, body, sent, refused } => {
                let body = body.as_deref().unwrap_or_default();
                match write(&mut self.stream, head, body, sent) {
                    Ok(false) => {}
                    Ok(true) => {
                        let shut = self.stream.shutdown(Shutdown::Write);
                        let drains = *refused && shut.is_ok();
                        self.state = if drains { State::Draining } else { State::Over };
                    }
                    Err(_) => self.state = State::Over,
                }
            }
            State::Draining => {
                let (_, open) = read(&mut self.stream, MOST_HEAD);
                if !open {
                    self.state = State::Over;
                }
            }
            State::Reading(_) | State::Over => {}
        }
        asked
    }
}

/// What has come, up to so many bytes, and whether more may come.
fn read(stream: &mut TcpStream, most: usize) -> (Vec<u8>, bool) {
    let mut bytes = [0; MOST_HEAD];
    match stream.read(&mut bytes[..most]) {
        Ok(0) if most > 0 => (Vec::new(), false),
        Ok(n) => (bytes[..n].to_vec(), true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => (Vec::new(), true),
        Err(_) => (Vec::new(), false),
    }
}

/// Writes on; true when all is written.
fn write(stream: &mut TcpStream, head: &[u8], body: &[u8], sent: &mut usize) -> io::Result<bool> {
    loop {
        let left = match head.get(*sent..) {
            Some(left) if !left.is_empty() => left,
            _ => &body[*sent - head.len()..],
        };
        if left.is_empty() {
            return Ok(true);
        }
        match stream.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => *sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn response(status: u16, kind: &str, length: usize) -> Vec<u8> {
    let more = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        405 => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    // Nothing is kept, nothing is loaded from elsewhere, and no page elsewhere may show or read it.
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n{more}Connection: close\r\n\r\n",
        reason(status)
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    }
}
