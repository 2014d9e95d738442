//! How a head may reach the engine: cut, split, twice, in tunnels, in pieces, or not at all.

use super::{
    capture::{Capture, Expected},
    secrets::Form,
};

/// Where the fields of a head begin in an Ethernet frame of IPv4.
const ETHERNET: usize = 14;

/// A head full of secrets, and where each of them begins and ends.
fn head(capture: &mut Capture, way: &str) -> (String, Vec<(usize, usize)>) {
    let fields = [
        ("GET /a?b=", Form::Token, " HTTP/1.1\r\nHost: plain.example\r\n"),
        ("Cookie: a=", Form::Word, "\r\n"),
        ("Authorization: Basic ", Form::Token, "\r\n"),
        ("X-Forwarded-For: ", Form::V4, "\r\n"),
        ("X-Other: ", Form::Email, "\r\n"),
        ("Referer: http://plain.example/?q=", Form::Word, "\r\n"),
        ("User-Agent: ", Form::Word, "\r\n"),
        ("If-None-Match: \"", Form::Word, "\"\r\n\r\n"),
    ];
    let (mut head, mut places) = (String::new(), Vec::new());
    for (before, form, after) in fields {
        head += before;
        let begin = head.len();
        head += &capture.secret(form, &format!("{before}{{}} {way}"));
        places.push((begin, head.len()));
        head += after;
    }
    (head, places)
}

/// The same of which nothing is to come out even when the gate is open.
fn lost_head(capture: &mut Capture, way: &str) -> String {
    let from = capture.expected.len();
    let head = head(capture, way).0;
    capture.expected[from..].iter_mut().for_each(|it| it.when_open = Some(false));
    head
}

pub(crate) fn add(capture: &mut Capture) {
    split(capture);
    cut(capture);
    cut_short(capture);
    disordered(capture);
    around(capture);
    bodies(capture);
    tunnels(capture);
    others(capture);
}

/// Split over segments inside each canary.
fn split(capture: &mut Capture) {
    for at in 0..8 {
        let way = format!("split in {at}");
        let (head, places) = head(capture, &way);
        let mut talk = capture.talk(&way);
        let middle = usize::midpoint(places[at].0, places[at].1);
        capture.request(&mut talk, &head[..middle]);
        capture.request(&mut talk, &head[middle..]);
    }
    let (head, _) = head(capture, "byte by byte");
    let mut talk = capture.talk("byte by byte");
    let syn = talk.syn();
    capture.frame(&syn);
    head.as_bytes().chunks(1).for_each(|byte| capture.request(&mut talk, byte));
}

/// What is found by its looks, cut where it looks like any word.
const CUT: &[(&str, Form)] = &[
    ("GET /a/", Form::Token),
    ("GET /a/", Form::Hex),
    ("GET /a/", Form::Email),
    ("GET /", Form::V4),
    ("GET http://plain.example/a?b=c&d", Form::Token),
    ("GET /?a=", Form::Word),
    ("GET http://", Form::Email),
    ("GET http://me:", Form::Word),
    ("GET / HTTP/1.1\r\nHost: ", Form::Token),
    ("GET / HTTP/1.1\r\nHost: me:", Form::Word),
    ("GET / HTTP/1.1\r\nHost: ", Form::V4),
    ("GET / HTTP/1.1\r\nReferer: http://plain.example/", Form::Token),
    ("GET / HTTP/1.1\r\nReferer: http://me:", Form::Word),
    ("GET / HTTP/1.1\r\nVia: 1.1 ", Form::Token),
    ("GET / HTTP/1.1\r\nVia: 1.1 ", Form::V6),
    ("GET / HTTP/1.1\r\nVia: 1.1 a (", Form::Email),
    ("GET / HTTP/1.1\r\nX-Forwarded-For: ", Form::V4),
    ("GET / HTTP/1.1\r\nX-Forwarded-For: ", Form::V6),
    ("GET / HTTP/1.1\r\nAccept: ", Form::Email),
    ("GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (Windows NT ", Form::Token),
    ("HTTP/1.1 200 ", Form::Token),
    ("HTTP/1.1 302 Found\r\nLocation: http://plain.example/", Form::Token),
    ("HTTP/1.1 302 Found\r\nLocation: /?a=", Form::Word),
    ("HTTP/1.1 302 Found\r\nServer: ", Form::Token),
    ("HTTP/1.1 302 Found\r\nServer: ", Form::Email),
    ("HTTP/1.1 302 Found\r\nLast-Modified: ", Form::Number),
];

/// Cut behind most of a secret, so that what is left of it is long enough to be found.
fn cut_short(capture: &mut Capture) {
    for (before, form) in CUT {
        for captured in [true, false] {
            let way = if captured { "cut" } else { "not completed" };
            let named = format!("{}{{}} {way}", before.escape_default());
            let sent =
                capture.canary(*form, &named, Expected { may_come_out: false, when_open: None });
            // Fewer bytes than a token has, the name before an `@`, all numbers but one.
            let shown = match form {
                Form::Token | Form::Hex => 12,
                Form::Email => 8,
                Form::Word => 8,
                _ => sent.len() - 1,
            };
            let mut talk = capture.talk(&named);
            let head = format!("{before}{sent} HTTP/1.1\r\n");
            let missing = head.len() - before.len() - shown;
            let sent = if captured { &head } else { &head[..head.len() - missing] };
            let frame = match before.starts_with("HTTP") {
                true => talk.response(sent.as_bytes()),
                false => talk.request(sent.as_bytes()),
            };
            let frame = frame.build();
            capture.cut(&frame, frame.len() - if captured { missing } else { 0 });
        }
    }
}

/// Cut by the capture, and never completed, inside each canary.
fn cut(capture: &mut Capture) {
    for at in 0..8 {
        for captured in [true, false] {
            let way = format!("{} in {at}", if captured { "cut" } else { "not completed" });
            let from = capture.expected.len();
            let (head, places) = head(capture, &way);
            // Of this one and those behind it there is a part, or nothing.
            capture.expected[from + at].when_open = None;
            let behind = capture.expected[from + at + 1..].iter_mut();
            behind.for_each(|it| it.when_open = Some(false));
            let mut talk = capture.talk(&way);
            let missing = head.len() - usize::midpoint(places[at].0, places[at].1);
            if captured {
                let frame = talk.request(head.as_bytes()).build();
                capture.cut(&frame, frame.len() - missing);
            } else {
                capture.request(&mut talk, &head[..head.len() - missing]);
            }
        }
    }
}

fn disordered(capture: &mut Capture) {
    let (first, places) = head(capture, "out of order");
    let mut talk = capture.talk("out of order");
    let middle = places[3].0 + 2;
    // A head before, so that the connection is known.
    capture.request(&mut talk, "GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n");
    let frames = [&first[..middle], &first[middle..]].map(|it| talk.request(it.as_bytes()).build());
    frames.iter().rev().for_each(|frame| capture.frame(frame));

    let (first, places) = head(capture, "first copy");
    let second = lost_head(capture, "second copy");
    let mut talk = capture.talk("sent twice, with other content");
    let middle = places[4].0 + 2;
    capture.request(&mut talk, &first[..middle]);
    talk.back(middle);
    capture.request(&mut talk, &second[..middle]);
    capture.request(&mut talk, &first[middle..]);

    // Longer than what is kept of a head.
    let (first, _) = head(capture, "before too much");
    let behind = capture.never(Form::Email, "behind too much");
    let mut talk = capture.talk("too long a head");
    let many = format!("Accept: {}\r\n", "a".repeat(990)).repeat(80);
    let long = format!("{}\r\n{many}X-Other: {behind}\r\n\r\n", &first[..first.len() - 4]);
    long.as_bytes().chunks(1400).for_each(|part| capture.request(&mut talk, part));

    // More fields than are read.
    let (first, _) = head(capture, "before too many fields");
    let behind = capture.never(Form::Email, "behind too many fields");
    let mut talk = capture.talk("too many fields");
    let many = "A: b\r\n".repeat(300);
    let long = format!("{}\r\n{many}X-Other: {behind}\r\n\r\n", &first[..first.len() - 4]);
    long.as_bytes().chunks(1400).for_each(|part| capture.request(&mut talk, part));
}

/// Pipelined, one-sided, without what belongs to it.
fn around(capture: &mut Capture) {
    let heads = [head(capture, "pipelined, first").0, head(capture, "pipelined, second").0];
    let mut talk = capture.talk("pipelined");
    capture.request(&mut talk, heads.concat());

    let mut talk = capture.talk("a response without a request");
    let cookie = capture.secret(Form::Word, "Set-Cookie of a response without a request");
    let to = capture.secret(Form::Word, "Location of a response without a request");
    let head =
        format!("HTTP/1.1 302 Found\r\nSet-Cookie: a={cookie}\r\nLocation: /?a={to}\r\n\r\n");
    capture.response(&mut talk, head);

    // What the request asked for stands in the row of the response, too.
    let mut talk = capture.talk("asked");
    let asked = capture.secret(Form::Word, "GET /?a={} and its response");
    let host = capture.secret(Form::Token, "Host: {} and its response");
    let head = format!("GET /?a={asked} HTTP/1.1\r\nHost: {host}.example\r\n\r\n");
    capture.request(&mut talk, head);
    capture.response(&mut talk, "HTTP/1.1 304 Not Modified\r\n\r\n");
    capture.response(&mut talk, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

    // Words before a head.
    let mut talk = capture.talk_of("the PROXY protocol", None, false);
    let address = capture.never(Form::V4, "PROXY TCP4 {}");
    let line = format!("PROXY TCP4 {address} 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\n\r\n");
    capture.request(&mut talk, line);
}

/// Bodies, trailers, chunk extensions and what follows an upgrade.
fn bodies(capture: &mut Capture) {
    let mut talk = capture.talk("bodies");
    let mut secret = |what: &str, form| capture.never(form, what);
    let [body, part, extension, chunk] =
        ["a body", "a part", "a chunk extension", "a chunk"].map(|what| secret(what, Form::Word));
    let [trailer, line] = ["a trailer", "a head in a body"].map(|what| secret(what, Form::Email));
    let body = format!(
        "user={body}&mail=a\r\n--b\r\nContent-Disposition: form-data; name=\"{part}\"\r\n\r\n\
         GET /?a={line} HTTP/1.1\r\nCookie: {line}\r\n\r\n"
    );
    let head =
        format!("POST / HTTP/1.1\r\nHost: plain.example\r\nContent-Length: {}\r\n\r\n", body.len());
    capture.request(&mut talk, head);
    capture.request(&mut talk, body);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Other\r\n\r\n";
    capture.response(&mut talk, head);
    let length = chunk.len();
    let chunks = format!("{length:x};a={extension}\r\n{chunk}\r\n0\r\nX-Other: {trailer}\r\n\r\n");
    capture.response(&mut talk, chunks);

    let mut talk = capture.talk("an upgrade");
    capture
        .request(&mut talk, "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n";
    capture.response(&mut talk, head);
    let sent = capture.never(Form::Email, "a message behind an upgrade");
    capture.request(&mut talk, sent);

    let mut talk = capture.talk("a tunnel by CONNECT");
    capture.request(&mut talk, "CONNECT plain.example:25 HTTP/1.1\r\n\r\n");
    capture.response(&mut talk, "HTTP/1.1 200 OK\r\n\r\n");
    let sent = capture.never(Form::Email, "MAIL FROM behind CONNECT");
    capture.request(&mut talk, format!("MAIL FROM:<{sent}>\r\n"));
}

/// An IPv4 packet.
fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0x47, 0x11]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    packet
}

fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &kind.to_be_bytes(), packet].concat()
}

/// An address of a header around the packet, which comes out nowhere.
fn outer(capture: &mut Capture, what: &str) -> [u8; 4] {
    let address = capture.never(Form::V4, what);
    address.parse::<std::net::Ipv4Addr>().unwrap().octets()
}

/// A frame with a head, of IPv4.
fn inner(capture: &mut Capture, way: &str) -> Vec<u8> {
    let mut talk = capture.talk_of(way, Some(false), true);
    talk.request(head(capture, way).0.as_bytes()).build()
}

fn tunnels(capture: &mut Capture) {
    for (way, protocol, port, header) in [
        ("in VXLAN", 17, 4789_u16, &[8, 0, 0, 0, 0, 0, 1, 0][..]),
        ("in GRE with Ethernet", 47, 0, &[0, 0, 0x65, 0x58]),
        ("in GRE with IP", 47, 0, &[0, 0, 8, 0]),
        ("in IP", 4, 0, &[]),
    ] {
        let frame = inner(capture, way);
        let ends = ["source", "destination"].map(|end| outer(capture, &format!("{end} {way}")));
        let inside = if matches!(header, [_, _, 8, 0] | []) { &frame[ETHERNET..] } else { &frame };
        let mut payload = [header, inside].concat();
        if protocol == 17 {
            let length = u16::try_from(8 + payload.len()).unwrap();
            let udp = [[0x30, 0x39], port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
            payload.splice(0..0, udp);
        }
        let packet = ipv4(protocol, ends[0], ends[1], 0, &payload);
        capture.frame(&ethernet(0x0800, &packet));
    }

    let frame = inner(capture, "with a VLAN tag");
    capture.frame(&[&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat());

    // Two fragments, and one that is alone.
    let frame = inner(capture, "in fragments");
    let packet = &frame[ETHERNET..];
    let (from, to) = (packet[12..16].try_into().unwrap(), packet[16..20].try_into().unwrap());
    let (first, second) = packet[20..].split_at(160);
    capture.frame(&ethernet(0x0800, &ipv4(6, from, to, 0x2000, first)));
    capture.frame(&ethernet(0x0800, &ipv4(6, from, to, 20, second)));
    let (alone, ends) = (capture.never(Form::Email, "a fragment alone"), outer(capture, "of it"));
    let packet = ipv4(6, ends, ends, 0x2000 | 9, format!("GET /{alone} HTTP/1.1").as_bytes());
    capture.frame(&ethernet(0x0800, &packet));
}

fn others(capture: &mut Capture) {
    // A packet that came back in an ICMP message.
    let way = "quoted by ICMP";
    let quoted = lost_head(capture, way);
    let ends = ["source", "destination"].map(|end| outer(capture, &format!("{end} {way}")));
    let tcp = [&[0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 0, 0, 0, 0, 0][..]];
    let packet = ipv4(6, ends[0], ends[1], 0, &[tcp[0], quoted.as_bytes()].concat());
    let message = [&[3, 1, 0, 0, 0, 0, 0, 0], packet.as_slice()].concat();
    let router = outer(capture, "a router");
    capture.frame(&ethernet(0x0800, &ipv4(1, router, ends[0], 0, &message)));

    // ARP, and what does not decode.
    let ends = ["ARP, sender", "ARP, target"].map(|what| outer(capture, what));
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1][..], &ends[0], &[0; 6], &ends[1]];
    capture.frame(&ethernet(0x0806, &arp.concat()));
    let bad = outer(capture, "an IP header that is cut");
    let packet = ipv4(6, bad, bad, 0, &[0; 40]);
    let frame = ethernet(0x0800, &packet);
    capture.cut(&frame, ETHERNET + 20);
    capture.frame(&ethernet(0x0800, &[&[0x42], &packet[1..]].concat()));

    // A name in the DNS, and in TLS.
    let talk = capture.talk_of("DNS", None, false);
    let name = capture.never(Form::Word, "a name in the DNS");
    let mut query =
        vec![0x47, 0x11, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()];
    query.extend(name.bytes().chain([7]).chain(*b"example").chain([0, 0, 1, 0, 1]));
    let frame = talk.datagram(53, &query);
    capture.frame(&frame);
    let mut talk = capture.talk_of("TLS", None, false);
    let name = capture.never(Form::Word, "the server's name in TLS");
    let length = u8::try_from(name.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, 60 + length, 1, 0, 0, 56 + length, 3, 3];
    hello.extend([7; 33]);
    hello.extend([
        2,
        0x13,
        1,
        1,
        0,
        0,
        length + 9,
        0,
        0,
        0,
        length + 5,
        0,
        length + 3,
        0,
        0,
        length,
    ]);
    hello.extend(name.bytes());
    capture.request(&mut talk, hello);

    // Hardware addresses are in no row.
    let mac = capture.never(Form::Token, "a hardware address");
    let mut talk = capture.talk("a hardware address");
    let mut frame = talk.request(b"GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n").build();
    frame[..12].copy_from_slice(&mac.as_bytes()[..12]);
    capture.frame(&frame);
}
