//! What a row costs: `cargo test --release -p ringmill-http -- --ignored --nocapture speed`.

use std::{hint::black_box, mem::MaybeUninit, time::Instant};

use ringmill_sdk::{Timestamp, map_v4};

use crate::{
    head::Kind,
    rows::{Rows, Seen, Told},
};

/// 455 bytes, 10 fields: what browsers sent in the captures that the project measures with.
const HEAD: &[u8] = b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n\
Host: www.kittyhell.com\r\n\
User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3\r\n\
Accept: image/png,image/*;q=0.8,*/*;q=0.5\r\n\
Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
Accept-Encoding: gzip,deflate\r\n\
Keep-Alive: 115\r\n\
Connection: keep-alive\r\n\
Referer: http://www.kittyhell.com/a/\r\n\
Cache-Control: max-age=0\r\n\
Cookie: id=12345678\r\n\
\r\n";

/// Few enough for a batch to be done within one time slice.
const ROWS: u32 = 1024;

/// The lower quartile: what others run on the machine only ever adds.
fn time(mut body: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..401)
        .map(|_| {
            let begin = Instant::now();
            body();
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROWS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

/// Where and when, the same for all.
pub(crate) fn seen() -> Seen {
    Seen {
        time: Timestamp(0),
        ip_version: 4,
        src: map_v4([192, 0, 2, 1]),
        dst: map_v4([198, 51, 100, 2]),
        src_port: 40000,
        dst_port: 80,
        flow: 1,
        interface: 0,
        encapsulation: ringmill_sdk::Encapsulation::default(),
    }
}

fn rows_of(head: &[u8]) -> f64 {
    let seen = seen();
    let mut rows = Rows::new(Kind::Request);
    let mut last = None;
    let result = time(|| {
        for _ in 0..ROWS {
            rows.add(&seen, black_box(head).into(), &Told::default());
        }
        last = rows.finish().unwrap();
    });
    assert!(last.is_some());
    result
}

fn httparse_alone(room: usize) -> f64 {
    time(|| {
        for _ in 0..ROWS {
            let mut headers = [const { MaybeUninit::uninit() }; 256];
            let mut request = httparse::Request::new(&mut []);
            let headers = &mut headers[..room];
            black_box(request.parse_with_uninit_headers(black_box(HEAD), headers)).unwrap();
            black_box(&request);
        }
    })
}

#[test]
#[ignore = "a measurement"]
fn speed_whole() {
    println!("{} bytes as a row: {:.0} ns", HEAD.len(), rows_of(HEAD));
}

#[test]
#[ignore = "a measurement"]
fn speed_cut() {
    println!("the same, cut before its end: {:.0} ns", rows_of(&HEAD[..HEAD.len() - 2]));
}

#[test]
#[ignore = "a measurement"]
fn speed_httparse() {
    for room in [64, 256] {
        println!("httparse alone, room for {room}: {:.0} ns", httparse_alone(room));
    }
}
