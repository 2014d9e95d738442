//! The capture that is full of canaries.

use ringmill::sdk::testing::{Frame, udp};

use super::{
    places::{GROUPS, Group, Line, Side, Word},
    secrets::{Canary, EVERYWHERE, Form, IN_TURN},
};

/// What a canary should do, beside its place and form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// It may come out of the strictest chain.
    pub may_come_out: bool,
    /// It comes out when the gate is open; `None` where only a part of it does.
    pub when_open: Option<bool>,
}

/// A capture file with all canaries in it.
#[derive(Default)]
pub(crate) struct Capture {
    pub canaries: Vec<Canary>,
    pub expected: Vec<Expected>,
    pub pcap: Vec<u8>,
    frames: u32,
}

/// Two ends and what they have sent.
pub(crate) struct Talk {
    client: String,
    server: String,
    /// The next sequence number of each.
    sent: [u32; 2],
}

const PLAIN: &str = "Host: plain.example\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

impl Capture {
    pub(crate) fn new() -> Self {
        let mut capture = Self::default();
        // Microseconds, Ethernet.
        for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
            capture.pcap.extend(word.to_le_bytes());
        }
        capture.places();
        super::ways::add(&mut capture);
        capture
    }

    /// A new canary, as it is to be sent.
    pub(crate) fn canary(&mut self, form: Form, place: &str, expected: Expected) -> String {
        let mut canary = Canary::new(self.canaries.len() as u64, form, place);
        if is_host(place) {
            canary.may_show_host();
        }
        let sent = canary.sent.clone();
        self.canaries.push(canary);
        self.expected.push(expected);
        sent
    }

    /// One that must not come out, and does when the gate is open.
    pub(crate) fn secret(&mut self, form: Form, place: &str) -> String {
        self.canary(form, place, Expected { may_come_out: false, when_open: Some(true) })
    }

    /// One that comes out in no case.
    pub(crate) fn never(&mut self, form: Form, place: &str) -> String {
        self.canary(form, place, Expected { may_come_out: false, when_open: Some(false) })
    }

    /// Of an end of packets; `v6` where it matters which it is.
    fn address(&mut self, what: &str, v6: Option<bool>, when_open: bool) -> String {
        loop {
            let (canary, address) = Canary::of_packets(self.canaries.len() as u64, what);
            let fits = v6.is_none_or(|v6| v6 == address.contains(':'));
            // One that is not used has its number all the same.
            self.canaries.push(canary);
            self.expected
                .push(Expected { may_come_out: false, when_open: Some(fits && when_open) });
            if fits {
                return address;
            }
        }
    }

    /// A new connection, whose addresses are canaries.
    pub(crate) fn talk(&mut self, what: &str) -> Talk {
        self.talk_of(what, None, true)
    }

    /// The same; `v6` where it matters, and whether it makes rows.
    pub(crate) fn talk_of(&mut self, what: &str, v6: Option<bool>, when_open: bool) -> Talk {
        let client = self.address(&format!("client of {what}"), v6, when_open);
        let v6 = client.contains(':');
        let server = self.address(&format!("server of {what}"), Some(v6), when_open);
        let with_port = |address: &str, port: u16| match v6 {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        Talk { client: with_port(&client, 40_000), server: with_port(&server, 80), sent: [1000; 2] }
    }

    pub(crate) fn frame(&mut self, frame: &[u8]) {
        self.cut(frame, frame.len());
    }

    /// A frame of which only the first bytes were captured.
    pub(crate) fn cut(&mut self, frame: &[u8], captured: usize) {
        self.frames += 1;
        let micros = self.frames * 50;
        let lengths = [captured, frame.len()].map(|length| u32::try_from(length).unwrap());
        let time = [1_700_000_000 + micros / 1_000_000, micros % 1_000_000];
        for word in time.into_iter().chain(lengths) {
            self.pcap.extend(word.to_le_bytes());
        }
        self.pcap.extend(&frame[..captured]);
    }

    pub(crate) fn request(&mut self, talk: &mut Talk, bytes: impl AsRef<[u8]>) {
        let frame = talk.request(bytes.as_ref()).build();
        self.frame(&frame);
    }

    pub(crate) fn response(&mut self, talk: &mut Talk, bytes: impl AsRef<[u8]>) {
        let frame = talk.response(bytes.as_ref()).build();
        self.frame(&frame);
    }

    /// Every form in every place, each in a connection of its own.
    fn places(&mut self) {
        let mut turn = 0;
        for group in GROUPS {
            let sides: &[Side] = match group.side {
                Side::Both => &[Side::Request, Side::Response],
                Side::Request => &[Side::Request],
                Side::Response => &[Side::Response],
            };
            for place in group.places {
                for side in sides {
                    let forms = EVERYWHERE.iter().chain([&IN_TURN[turn % IN_TURN.len()]]);
                    turn += 1;
                    for form in forms {
                        let when_open = exception(place, *form).unwrap_or(group.open.is_ok());
                        let may_come_out = may_come_out(group, place, *form);
                        // Numbers may be in a column of numbers, and no text.
                        let is_number = may_come_out && *form == Form::Number;
                        let when_open = Some(when_open).filter(|_| !is_number);
                        let expected = Expected { may_come_out, when_open };
                        self.place(group.line, *side, place, *form, expected);
                    }
                }
            }
        }
    }

    fn place(&mut self, line: Line, side: Side, place: &str, form: Form, expected: Expected) {
        let named = format!("{} in {side:?}", place.escape_default());
        let mut sent = self.canary(form, &named, expected);
        if is_host(place)
            && let Some(canary) = self.canaries.last_mut()
        {
            canary.may_show_host();
        }
        let hosts = ["://", "Host: ", "GET //", "CONNECT "];
        let is_host = |before: &&str| place.contains(&format!("{before}{{}}"));
        if sent.contains(':') && !place.contains('@') && hosts.iter().any(is_host) {
            sent = format!("[{sent}]");
        }
        let at = place.replace("{}", &sent);
        let mut talk = self.talk(&named);
        match (line, side) {
            (Line::First, Side::Response) => {
                self.request(&mut talk, format!("GET / HTTP/1.1\r\n{PLAIN}\r\n"));
                self.response(&mut talk, format!("{at}\r\nContent-Length: 0\r\n\r\n"));
            }
            (Line::First, _) => {
                self.request(&mut talk, format!("{at}\r\n{PLAIN}\r\n"));
                self.response(&mut talk, OK);
            }
            (Line::Field, Side::Response) => {
                self.request(&mut talk, format!("GET / HTTP/1.1\r\n{PLAIN}\r\n"));
                self.response(&mut talk, format!("HTTP/1.1 200 OK\r\n{at}\r\nAge: 1\r\n\r\n"));
            }
            (Line::Field, _) => {
                let host = if at.starts_with("Host: ") { "" } else { PLAIN };
                let head = format!("GET / HTTP/1.1\r\n{host}{at}\r\nAccept: a\r\n\r\n");
                self.request(&mut talk, head);
                self.response(&mut talk, OK);
            }
        }
    }
}

/// What of a secret that stands in this place may come out.
fn may_come_out(group: &Group, place: &str, form: Form) -> bool {
    let numbers = ["Age: {}", "Content-Length: ", "Range: ", "Content-Range: "];
    match form {
        Form::Word => group.word != Word::Hidden,
        // Sizes of files have as many digits.
        Form::Number => numbers.iter().any(|field| place.contains(field)),
        // What stands behind the name of a product is its version.
        Form::V4 => place == "Server: Apache/{}",
        _ => false,
    }
}

/// Whether it is to be found when the gate is open, where that is not as in the rest of the group.
fn exception(place: &str, form: Form) -> Option<bool> {
    match (place, form) {
        // A line with a colon is a field.
        ("{}", Form::V6 | Form::SixToFour | Form::Nat64) => Some(true),
        // An `@` does not stand in the name of one.
        ("X-{}: a" | "{}: a", Form::Email) => Some(false),
        // What stands before it is user information.
        (place, Form::Email) if is_host(place) => Some(false),
        // Where a head may begin a method is of letters.
        (place, form) if place.ends_with("\n{} / HTTP/1.1") => {
            Some(matches!(form, Form::Word | Form::Token))
        }
        _ => None,
    }
}

/// Whether what stands behind an `@` there is the name of a host, which may come out.
fn is_host(place: &str) -> bool {
    let before = ["://", "GET //", "CONNECT ", "Host: ", "Host: a.", "mailto:", "data:", "data:,"];
    let more = ["javascript:", "title=\""];
    // Of fields that are on no list nothing is taken for a URL.
    let is_unlisted = place.starts_with("X-") || place.starts_with("Access-");
    !is_unlisted
        && before.iter().chain(&more).any(|before| place.contains(&format!("{before}{{}}")))
}

impl Talk {
    fn send(&mut self, from: usize, bytes: &[u8]) -> Frame {
        let (one, other) = match from {
            0 => (&self.client, &self.server),
            _ => (&self.server, &self.client),
        };
        let frame = Frame::tcp(one, other).seq(self.sent[from]).ack(self.sent[1 - from]);
        self.sent[from] += u32::try_from(bytes.len()).unwrap();
        frame.payload(bytes)
    }

    /// The next segment of the client.
    pub(crate) fn request(&mut self, bytes: &[u8]) -> Frame {
        self.send(0, bytes)
    }

    /// The next segment of the server.
    pub(crate) fn response(&mut self, bytes: &[u8]) -> Frame {
        self.send(1, bytes)
    }

    /// What the client begins with, one sequence number before its first byte.
    pub(crate) fn syn(&self) -> Vec<u8> {
        Frame::tcp(&self.client, &self.server).seq(self.sent[0] - 1).ack(0).syn().build()
    }

    /// Sends the last bytes of the client once more.
    pub(crate) fn back(&mut self, bytes: usize) {
        self.sent[0] -= u32::try_from(bytes).unwrap();
    }

    /// A UDP datagram between the two.
    pub(crate) fn datagram(&self, port: u16, bytes: &[u8]) -> Vec<u8> {
        let of = |end: &str| end.rsplit_once(':').unwrap().0.to_owned();
        udp(&format!("{}:4444", of(&self.client)), &format!("{}:{port}", of(&self.server)), bytes)
    }
}
