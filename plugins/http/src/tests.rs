//! The stage from outside: segments in, rows out.

use std::{fs, os::unix::fs::PermissionsExt};

use ringmill_sdk::{
    Encapsulation, Step,
    prelude::*,
    testing::{Frame, Row, START, Trial, check_rules, decoded, frame_time, rows, run, tcp},
};

use crate::Http;

mod columns;
mod hostile;
mod malformed;
pub(crate) mod speed;
mod streams;

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "198.51.100.2:80";

/// Each packet by itself: what these tests look at is how a head is read.
const SINGLE: &str = "reassemble = false";

/// Columns that say where and when, which is the same for every head here.
const SEEN: [&str; 9] = [
    "time",
    "ip_version",
    "src_ip",
    "dst_ip",
    "src_port",
    "dst_port",
    "flow",
    "interface",
    "encapsulation",
];

/// The one row that a segment gives, as `column: value` lines in the order of the names.
fn row(payload: impl AsRef<[u8]>) -> String {
    let ran = run::<Http>(SINGLE, &[tcp(CLIENT, SERVER, payload)]).unwrap();
    let [row] = &rows(&ran.records)[..] else { panic!("not one row: {:?}", ran.records) };
    let told = row.iter().filter(|(name, _)| !SEEN.contains(&name.as_str()));
    told.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}

/// Checks rows of (segment, lines of the row).
fn check(cases: &[(&[u8], &[&str])]) {
    for (segment, expected) in cases {
        assert_eq!(row(segment), expected.join("\n"), "{}", segment.escape_ascii());
    }
}

#[test]
fn heads_that_follow_the_standard() {
    check(&[
        (b"GET / HTTP/1.1\r\n\r\n", &["method: GET", "uri: /", "version: HTTP/1.1"]),
        (
            b"POST /a?b=c HTTP/1.0\nHost: h\nUSER-AGENT:\t curl/8 \t\nreferer: http://r/\n\nbody",
            &[
                "flags: bare_lf",
                "host: h",
                "method: POST",
                "referer: http://r/",
                "uri: /a?b=c",
                "user_agent: curl/8",
                "version: HTTP/1.0",
            ],
        ),
        (
            b"GET / HTTP/1.1\r\nAccept: */*\r\nX-B: 1\r\nCache-Control: no-cache\r\nPragma: p\r\n\
              Connection: close\r\nContent-Type: t\r\n\r\n",
            &[
                "cache_control: no-cache",
                "connection: close",
                "content_type: t",
                "extras: accept=*/*, x-b=1",
                "method: GET",
                "pragma: p",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Encoding: gzip\r\nAge: 7\r\n\r\n",
            &[
                "age: 7",
                "content_encoding: gzip",
                "reason: Not Found",
                "server: nginx",
                "status_code: 404",
                "version: HTTP/1.1",
            ],
        ),
        (b"HTTP/1.0 200\r\n\r\n", &["status_code: 200", "version: HTTP/1.0"]),
        (
            "HTTP/1.1 404 Gibt\u{e9} nicht\r\n\r\n".as_bytes(),
            &["reason: Gibt\u{e9} nicht", "status_code: 404", "version: HTTP/1.1"],
        ),
        // A field of the other kind of message has no column in this one.
        (
            b"GET / HTTP/1.1\r\nServer: s\r\n\r\n",
            &["extras: server=s", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
        (
            b"HTTP/1.1 200 OK\r\nReferer: http://u:p@r/\r\nUser-Agent: a\r\nHost: h\r\n\r\n",
            &[
                "extras: referer=http://r/, user-agent=a, host=h",
                "reason: OK",
                "status_code: 200",
                "version: HTTP/1.1",
            ],
        ),
        // An empty value is a value.
        (
            b"GET / HTTP/1.1\r\nHost:\r\nReferer: \r\nX-A:\r\n\r\n",
            &["extras: x-a=", "host: ", "method: GET", "referer: ", "uri: /", "version: HTTP/1.1"],
        ),
    ]);
}

#[test]
fn fields_that_come_twice() {
    check(&[
        (
            b"HTTP/1.1 200 OK\r\nCache-Control: a\r\nCache-Control: b\r\nVary: c\r\n\
              cache-control: d\r\nvary: e\r\n\r\n",
            &[
                "cache_control: a",
                "extras: cache-control=b, d, vary=e",
                "reason: OK",
                "status_code: 200",
                "vary: c",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"GET / HTTP/1.1\r\nCookie: 123\r\nReferer: http://a/\r\nCookie: 1\r\n\
              Referer: http://u:p@b/\r\n\r\n",
            &[
                "extras: cookie=123, 1, referer=http://b/",
                "method: GET",
                "referer: http://a/",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
    ]);
    // So many that they are sorted: the same, still in the order of the head.
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    for (at, name) in ["z", "b", "a", "b"].iter().cycle().enumerate().take(40) {
        head.extend(format!("{name}: {at}\r\n").bytes());
    }
    head.extend(b"\r\n");
    let numbers = |from: usize, step| {
        (from..40).step_by(step).map(|at| at.to_string()).collect::<Vec<_>>().join(", ")
    };
    let expected = format!("extras: z={}, b={}, a={}", numbers(0, 4), numbers(1, 2), numbers(2, 4));
    assert_eq!(row(head).lines().next(), Some(expected.as_str()));
}

#[test]
fn heads_that_are_cut() {
    check(&[
        (b"GET ", &["flags: truncated", "method: GET"]),
        (b"GET /a b", &["flags: truncated,malformed,space_in_target", "method: GET", "uri: /a"]),
        (b"GET /a/b/c?d=e", &["flags: truncated", "method: GET", "uri: /a/b/c?d="]),
        (b"GET /a\r", &["flags: truncated,malformed,bad_version", "method: GET", "uri: /a"]),
        (b"GET /a HT", &["flags: truncated", "method: GET", "uri: /a"]),
        (b"GET /a HTTP/1.", &["flags: truncated", "method: GET", "uri: /a"]),
        (
            b"GET /a HTTP/1.1\r",
            &["flags: truncated", "method: GET", "uri: /a", "version: HTTP/1.1"],
        ),
        (b"GET http://user:pas", &["flags: truncated", "method: GET", "uri: http://"]),
        (b"CONNECT user:pas", &["flags: truncated", "method: CONNECT"]),
        (b"HTTP/1.", &["flags: truncated"]),
        (b"HTTP/1.1 20", &["flags: truncated", "version: HTTP/1.1"]),
        (
            b"HTTP/1.1 404 Not F",
            &["flags: truncated", "reason: Not", "status_code: 404", "version: HTTP/1.1"],
        ),
        // A value counts once the colon was seen, without the word that may be cut; a name that
        // is cut does not.
        (
            b"GET / HTTP/1.1\r\nHost: exam",
            &["flags: truncated", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
        (
            b"GET / HTTP/1.1\r\nHost: exam\r",
            &["flags: truncated", "host: exam", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
        (
            b"GET / HTTP/1.1\r\nVia: 1.1 a, 1.1 me.at",
            &["flags: truncated", "method: GET", "uri: /", "version: HTTP/1.1", "via: 1.1 a, 1.1"],
        ),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nUser-Ag",
            &["flags: truncated", "host: h", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
        (
            b"GET / HTTP/1.1\r\nCookie: a=b; c=secre",
            &[
                "extras: cookie=a=b; c=",
                "flags: truncated",
                "method: GET",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"GET / HTTP/1.1\r\nReferer: http://user:pas",
            &["flags: truncated", "method: GET", "referer: http://", "uri: /", "version: HTTP/1.1"],
        ),
        // Half a character is left out, not replaced.
        (
            b"GET / HTTP/1.1\r\nHost: \xc3\xa9/\xc3",
            &["flags: truncated", "host: \u{e9}/", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
    ]);
}

#[test]
fn heads_that_do_not_follow_the_standard() {
    check(&[
        (b"GET /\r\n\r\n", &["flags: malformed,bad_version", "method: GET", "uri: /"]),
        // Of two words the second is the target, whatever it looks like.
        (
            b"GET HTTP/1.1\r\n\r\n",
            &["flags: malformed,bad_version", "method: GET", "uri: HTTP/1.1"],
        ),
        (
            b"GET /a b  c HTTP/1.1\r\nHost : h\r\n\r\nX: body",
            &[
                "flags: malformed,space_in_target,space_before_colon",
                "host: h",
                "method: GET",
                "uri: /a b  c",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"GET /a HTTP/x HTTP/2.7 \r\n\r\n",
            &[
                "flags: malformed,space_in_target,bad_version",
                "method: GET",
                "uri: /a HTTP/x",
                "version: HTTP/2.7",
            ],
        ),
        (b"GET /a HTTP/1.1x\r\n\r\n", &["flags: malformed,bad_version", "method: GET", "uri: /a"]),
        (
            b"HTTP/1.1 2OO Fine\r\nServer: s\r\n\r\n",
            &["flags: malformed,bad_status", "reason: Fine", "server: s", "version: HTTP/1.1"],
        ),
        (
            b"HTTP/1.1 2000 OK\r\n\r\n",
            &["flags: malformed,bad_status", "reason: OK", "version: HTTP/1.1"],
        ),
        (
            b"HTTP/1.1  200  OK \r\n\r\n",
            &[
                "flags: malformed,extra_space",
                "reason: OK",
                "status_code: 200",
                "version: HTTP/1.1",
            ],
        ),
        (b"HTTP/1.\xff\r\n\r\n", &["flags: malformed,bad_version,bad_status"]),
        // Of a value that goes on in the next line only the first line is sure.
        (
            b"HTTP/1.1 200 OK\r\nServer: a\r\n b\r\n\tc\r\nPragma: p\r\n\r\n",
            &[
                "flags: malformed,folded",
                "pragma: p",
                "reason: OK",
                "server: a",
                "status_code: 200",
                "version: HTTP/1.1",
            ],
        ),
        // Lines that are no fields.
        (
            b"GET / HTTP/1.1\r\nno colon\r\n: no name\r\nno token: v\r\nHost: h\r\n\r\n",
            &[
                "flags: malformed,bad_header",
                "host: h",
                "method: GET",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
        // The end of a head with one CR too many; what follows is body.
        (
            b"GET / HTTP/1.1\r\r\nHost: h\r\r\n\r\r\nPragma: body\r\n\r\n",
            &["flags: malformed,bare_cr", "host: h", "method: GET", "uri: /", "version: HTTP/1.1"],
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\0b\r\nPragma: c\rd\r\n\r\n",
            &[
                "flags: malformed,bare_cr,nul",
                "host: a",
                "method: GET",
                "pragma: c",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
        // Both at once.
        (
            b"GET / HTTP/1.1\r\nHost : h\r\nPragma: p q",
            &[
                "flags: truncated,malformed,space_before_colon",
                "host: h",
                "method: GET",
                "pragma: p",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"GET /\xff HTTP/1.1\r\nHost: \xe4\r\nX: a\xffb\r\n\r\n",
            &[
                "extras: x=a\u{fffd}b",
                "flags: malformed,not_utf8",
                "host: \u{fffd}",
                "method: GET",
                "uri: /\u{fffd}",
                "version: HTTP/1.1",
            ],
        ),
        (
            b"GET / HTTP/1.1\r\nX: \xff\r\n\r\n",
            &[
                "extras: x=\u{fffd}",
                "flags: not_utf8",
                "method: GET",
                "uri: /",
                "version: HTTP/1.1",
            ],
        ),
    ]);
}

/// The number of entries in `extras`, and the flags.
fn fields_taken(head: &[u8]) -> (usize, Option<String>) {
    let ran = run::<Http>(SINGLE, &[tcp(CLIENT, SERVER, head)]).unwrap();
    let row = rows(&ran.records).remove(0);
    (row.get("extras").map_or(0, |extras| extras.split(", ").count()), row.get("flags").cloned())
}

#[test]
fn more_fields_than_anybody_needs() {
    let head = |fields: usize, end: &str| {
        let lines: String = (0..fields).map(|at| format!("x-{at}: {at}\r\n")).collect();
        format!("GET / HTTP/1.1\r\n{lines}{end}").into_bytes()
    };
    let cases = [
        (0, "\r\n", 0, None),
        (64, "\r\n", 64, None),
        (256, "\r\n", 256, None),
        (257, "\r\n", 256, Some("too_many_headers")),
        (3000, "\r\n", 256, Some("too_many_headers")),
        (256, "", 256, Some("truncated")),
        (257, "x : y\r\n\r\n", 256, Some("too_many_headers")),
        (255, "x : y\r\n\r\n", 256, Some("malformed,space_before_colon")),
    ];
    for (fields, end, taken, flags) in cases {
        let got = fields_taken(&head(fields, end));
        assert_eq!(got, (taken, flags.map(str::to_owned)), "{fields} fields, then {end:?}");
    }
}

#[test]
fn where_and_when() {
    let frames = [
        tcp("192.0.2.1:40000", "198.51.100.2:80", "GET / HTTP/1.1\r\n\r\n"),
        tcp("198.51.100.2:80", "192.0.2.1:40000", "HTTP/1.1 200 OK\r\n\r\n"),
        tcp("192.0.2.1:40001", "198.51.100.2:80", "GET / HTTP/1.1\r\n\r\n"),
        Frame::tcp("[2001:db8::1]:1", "[2001:db8::2]:2")
            .vlan(5)
            .payload("HEAD / HTTP/1.0\n\n")
            .build(),
    ];
    let ran = run::<Http>(SINGLE, &frames).unwrap();
    let names: Vec<_> =
        ran.records.iter().map(|it| schema::record_name(&it.schema()).to_owned()).collect();
    assert_eq!(names, ["http_request", "http_response"]);
    let all = rows(&ran.records);
    let seen =
        |row: &Row| SEEN[..6].iter().map(|name| row[*name].clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        all.iter().map(seen).collect::<Vec<_>>(),
        [
            "1767225600000000000 4 192.0.2.1 198.51.100.2 40000 80",
            "1767225600002000000 4 192.0.2.1 198.51.100.2 40001 80",
            "1767225600003000000 6 2001:db8::1 2001:db8::2 1 2",
            "1767225600001000000 4 198.51.100.2 192.0.2.1 80 40000",
        ]
    );
    let flow = |at: usize| all[at]["flow"].clone();
    assert_eq!(flow(0), flow(3), "both directions of one connection");
    assert_ne!(flow(0), flow(1), "another port");
    assert_ne!(flow(0), flow(2), "other addresses");
}

#[test]
fn the_columns_in_their_order() {
    let names = |at: usize| {
        let frames = [tcp(CLIENT, SERVER, "GET / \n\n"), tcp(SERVER, CLIENT, "HTTP/1.1 \n\n")];
        let schema = run::<Http>(SINGLE, &frames).unwrap().records[at].schema();
        let kind =
            |field: &str| schema.field_with_name(field).unwrap().metadata()[schema::KIND].clone();
        assert_eq!([kind("src_ip"), kind("flow"), kind("extras")], ["address", "flow", "header"]);
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names(0),
        "time ip_version src_ip dst_ip src_port dst_port flow interface encapsulation method host uri version \
         user_agent referer pragma connection content_type cache_control date if_none_match \
         if_modified_since range if_range content_range content_length transfer_encoding \
         accept_encoding link purpose via origin sec_fetch_dest sec_fetch_mode exchange extras flags"
    );
    assert_eq!(
        names(1),
        "time ip_version src_ip dst_ip src_port dst_port flow interface encapsulation status_code reason version \
         server content_encoding pragma connection content_type cache_control age etag last_modified \
         expires date vary content_range content_length transfer_encoding accept_encoding location \
         link via x_cache exchange request_method request_host request_uri ttfb extras flags"
    );
}

#[test]
fn the_way_to_the_packet() {
    let mut trial = Trial::<Http>::new(SINGLE).unwrap();
    let frame = tcp(CLIENT, SERVER, "GET / HTTP/1.1\r\n\r\n");
    let mut inside = decoded(&frame, START);
    let mut way = Encapsulation::default();
    way.push(Step::GRE);
    way.push(Step::ETHERNET);
    inside.set_encapsulation(way);
    trial.packets([inside, decoded(&frame, START)]).unwrap();
    trial.finish().unwrap();
    let rows = rows(&trial.ran().records);
    let of = |row: usize| rows[row].get("encapsulation").map(String::as_str);
    assert_eq!((of(0), of(1)), (Some("gre/ethernet"), None));
}

#[test]
fn only_live_tcp_packets_of_the_two_classes() {
    let frames = [
        tcp(CLIENT, SERVER, "GET / HTTP/1.1\r\n\r\n"),
        tcp(CLIENT, SERVER, "get / HTTP/1.1\r\n\r\n"),
        tcp(CLIENT, SERVER, ""),
        ringmill_sdk::testing::udp(CLIENT, SERVER, "GET / HTTP/1.1\r\n\r\n"),
        tcp(CLIENT, SERVER, "HTTP/1.1 200 OK\r\nA"),
        tcp(CLIENT, SERVER, "HTTP/1.1 x\r\n\r\n"),
    ];
    let mut trial = Trial::<Http>::new(SINGLE).unwrap();
    let packets = frames.iter().enumerate().map(|(at, frame)| decoded(frame, frame_time(at)));
    trial.packets(packets).unwrap();
    // As a stage before may have marked them.
    let mut udp = decoded(&frames[3], frame_time(6));
    udp.set_class(Class::HTTP_REQUEST);
    let mut dropped = decoded(&frames[0], frame_time(7));
    dropped.drop(Reason::from_number(9));
    trial.packets([udp, dropped]).unwrap();
    trial.finish().unwrap();
    let ran = trial.ran();
    assert_eq!(ran.records.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 2]);
    let counters = ran.counters.iter().filter(|(_, n)| **n > 0);
    let counters: Vec<_> = counters.map(|(name, n)| format!("{name} {n}")).collect();
    assert_eq!(
        counters,
        [
            "heads.bad_status 1",
            "heads.malformed 1",
            "heads.request 1",
            "heads.response 2",
            "heads.truncated 1",
            "status.2xx 1"
        ]
    );
}

#[test]
fn rows_go_out_when_there_are_enough_and_at_each_tick() {
    let frame = tcp(CLIENT, SERVER, "GET / HTTP/1.1\r\n\r\n");
    let mut trial = Trial::<Http>::new("rows = 3\nreassemble = false").unwrap();
    trial.packets((0..7).map(|at| decoded(&frame, frame_time(at)))).unwrap();
    let sizes = |trial: &Trial<Http>| {
        trial.ran().records.iter().map(RecordBatch::num_rows).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&trial), [3, 3]);
    trial.tick(frame_time(8)).unwrap();
    assert_eq!(sizes(&trial), [3, 3, 1]);
    trial.tick(frame_time(9)).unwrap();
    trial.finish().unwrap();
    assert_eq!(sizes(&trial), [3, 3, 1]);
}

#[test]
fn options_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let hex = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    let open = file("open", 0o644, hex);
    let short = file("short", 0o600, &hex[..40]);
    let cases = [
        ("rows = 0".to_owned(), "`rows`: must be from 1 to 1048576".to_owned()),
        ("rows = 2000000".to_owned(), "`rows`: must be from 1 to 1048576".to_owned()),
        (
            format!("key_file = {open:?}"),
            format!("`key_file`: {open} is open to others (mode 0644); `chmod 600 {open}`"),
        ),
        (
            format!("key_file = {short:?}"),
            format!(
                "`key_file`: {short} holds 40 bytes; a key is 64 hex digits or exactly 32 bytes; \
                 `engine keygen FILE` makes a file with one"
            ),
        ),
    ];
    for (options, message) in cases {
        let error = Trial::<Http>::new(&options).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(message.as_str()), "{options}");
    }

    // The same key gives the same numbers, in hex or not, and another one others.
    let flow = |options: &str| {
        let ran = run::<Http>(options, &[tcp(CLIENT, SERVER, "GET / HTTP/1.1\r\n\r\n")]).unwrap();
        rows(&ran.records)[0]["flow"].clone()
    };
    let (hex, raw) = (
        file("hex", 0o600, hex),
        file("raw", 0o400, &std::array::from_fn::<u8, 32, _>(|at| u8::try_from(at).unwrap())),
    );
    assert_eq!(flow(&format!("key_file = {hex:?}")), flow(&format!("key_file = {raw:?}")));
    assert_ne!(flow(&format!("key_file = {hex:?}")), flow(""));
}

#[test]
fn the_rules_of_every_stage() {
    let frames = [
        tcp(CLIENT, SERVER, "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"),
        tcp(SERVER, CLIENT, "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\n\r\n"),
        tcp(CLIENT, SERVER, "GET / HTT"),
        tcp(CLIENT, SERVER, "nothing"),
    ];
    let many: Vec<_> = frames.iter().cycle().take(300).cloned().collect();
    for mode in [SINGLE, ""] {
        check_rules::<Http>(mode, &many);
        check_rules::<Http>(&format!("rows = 1\n{mode}"), &frames);
    }
}

/// One connection over midnight, with a request and a response before and after.
#[test]
fn with_epochs_a_row_says_its_day_and_flow_numbers_end_with_it() {
    use ringmill_sdk::key::Epoch;

    const SECOND: i64 = 1_000_000_000;
    const MIDNIGHT: i64 = 86_400;
    let request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (client, server) = ("10.0.0.1:1234", "10.0.0.2:80");
    for options in ["", SINGLE] {
        let mut trial = Trial::<Http>::in_epochs(Epoch::Day, false, options).unwrap();
        let (mut sent, mut answered) = (1, 1);
        for after in [-2, -1, 0, 1] {
            let time = Timestamp(START.0 + (MIDNIGHT + after) * SECOND);
            let frames = [
                Frame::tcp(client, server).seq(sent).ack(answered).payload(request).build(),
                Frame::tcp(server, client)
                    .seq(answered)
                    .ack(sent + u32::try_from(request.len()).unwrap())
                    .payload(response)
                    .build(),
            ];
            sent += u32::try_from(request.len()).unwrap();
            answered += u32::try_from(response.len()).unwrap();
            trial.packets(frames.iter().map(|frame| decoded(frame, time))).unwrap();
        }
        trial.finish().unwrap();
        let rows = rows(&trial.ran().records);
        assert_eq!(rows.len(), 8, "{options:?}");
        let mut numbers: std::collections::BTreeMap<String, Vec<String>> = Default::default();
        for row in &rows {
            numbers.entry(row["epoch"].clone()).or_default().push(row["flow"].clone());
        }
        for (epoch, numbers) in &mut numbers {
            assert_eq!(numbers.len(), 4, "{options:?}, {epoch}");
            numbers.dedup();
            assert_eq!(numbers.len(), 1, "{options:?}, {epoch}: both directions, all the day");
        }
        let (days, mut numbers): (Vec<_>, Vec<_>) = numbers.into_iter().unzip();
        assert_eq!(days, ["2026-01-01", "2026-01-02"], "{options:?}");
        numbers.dedup();
        assert_eq!(numbers.len(), 2, "{options:?}: no number lasts over midnight");
        let fields = trial.ran().records[0].schema();
        assert_eq!(fields.field(1).name(), "epoch");
    }
    // A row without a key is an error, and is not among those that come out at the end.
    let mut trial = Trial::<Http>::in_epochs(Epoch::Day, true, SINGLE).unwrap();
    trial.tick(Timestamp(START.0 + 3 * MIDNIGHT * SECOND)).unwrap();
    let frame = Frame::tcp(client, server).payload(request).build();
    let late = |day: i64| decoded(&frame, Timestamp(START.0 + day * MIDNIGHT * SECOND));
    let error = trial.packets([late(2), late(3), late(1)]).unwrap_err().to_string();
    assert!(error.contains("a row is of the day 2026-01-02"), "{error}");
    trial.finish().unwrap();
    let days: Vec<_> = rows(&trial.ran().records).iter().map(|it| it["epoch"].clone()).collect();
    assert_eq!(days, ["2026-01-03", "2026-01-04"]);

    let without = run::<Http>("", &[Frame::tcp(client, server).payload(request).build()]).unwrap();
    assert!(without.records.iter().all(|it| it.schema().column_with_name("epoch").is_none()));
}
