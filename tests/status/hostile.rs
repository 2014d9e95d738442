//! Requests of whoever means ill, while the engine runs as fast as it can.

use std::{
    io::{BufWriter, Write as _},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Limit, Mix, generate},
};

use crate::{
    common,
    scene::{Scene, get, send},
};

/// What is sent, and the statuses that may be answered; none where nothing need be.
type Attack = (&'static str, fn(usize) -> Vec<u8>, &'static [u16]);

const ATTACKS: &[Attack] = &[
    ("noise", |n| (0..n % 700).map(|at| noise((n * 7919 + at) as u64)).collect(), &[400, 431]),
    ("TLS", |_| b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
    ("half a head", |n| b"GET / HTTP/1.1\r\nHost: localhost\r\nA: "[..n % 38].to_vec(), &[]),
    ("long target", |n| format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000 + n % 900)).into(), &[431]),
    (
        "long field",
        |_| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(20_000)).into(),
        &[431],
    ),
    ("many fields", |_| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500)).into(), &[431]),
    ("no host", |_| b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[400]),
    ("foreign host", |_| b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(), &[421]),
    ("method", |_| b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), &[405]),
    (
        "body",
        |_| {
            format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{}",
                "c".repeat(60_000)
            )
            .into()
        },
        &[405],
    ),
    (
        "path",
        |n| format!("GET /{n}/../../etc/shadow HTTP/1.1\r\nHost: localhost\r\n\r\n").into(),
        &[404],
    ),
    ("pipelined", |_| b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50), &[404]),
    ("bare LF", |_| b"GET /x HTTP/1.1\nHost: localhost\n\n".to_vec(), &[404]),
    ("good", |_| b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), &[200]),
];

/// A byte that looks like chance; the same for the same number.
fn noise(n: u64) -> u8 {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).to_le_bytes()[5]
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn hostile_requests_neither_crash_nor_block() {
    let requests = from_environment("RINGMILL_REQUESTS", 20_000);
    let scene = Scene::new("", Duration::ZERO);
    let (address, next) = (scene.address, AtomicU64::new(0));
    let (answered, slowest) = (AtomicU64::new(0), Mutex::new(Duration::ZERO));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| attack(address, &next, requests, &answered));
        }
        // Who asks as one should is answered all the while.
        scope.spawn(|| {
            while next.load(Relaxed) < requests {
                let asked = Instant::now();
                let answer = get(address, "/status.json", "").expect("an answer");
                assert_eq!(answer.status, 200);
                let mut slowest = slowest.lock().unwrap();
                *slowest = (*slowest).max(asked.elapsed());
                drop(slowest);
                thread::sleep(Duration::from_millis(100));
            }
        });
    });
    let (took, slowest) = (began.elapsed(), slowest.into_inner().unwrap());
    assert!(slowest < Duration::from_secs(5), "a good request took {slowest:?}");
    let ledger = scene.end();
    assert_eq!(ledger["imbalances"], serde_json::json!([]));
    println!(
        "{requests} requests in {took:.1?}, {} answered; a good one took {slowest:.0?} at most",
        answered.load(Relaxed)
    );
}

/// Sends what is next, until all is sent; with eight connections beside it that send a byte
/// from time to time and no more.
fn attack(address: SocketAddr, next: &AtomicU64, requests: u64, answered: &AtomicU64) {
    let mut slow: Vec<TcpStream> = Vec::new();
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= requests {
            return;
        }
        let n = usize::try_from(number).unwrap();
        let (name, bytes, expected) = ATTACKS[n % ATTACKS.len()];
        let bytes = bytes(n);
        if expected.is_empty() {
            // It hangs up in the middle, or does nothing more.
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let _ = stream.write_all(&bytes);
            slow.push(stream);
            slow.drain(..slow.len().saturating_sub(8));
        } else if let Some(answer) = send(address, &bytes) {
            assert!(expected.contains(&answer.status), "{name}: {}", answer.head);
            answered.fetch_add(1, Relaxed);
        }
        if number.is_multiple_of(64) {
            slow.iter_mut().for_each(|stream| drop(stream.write(b"x")));
        }
    }
}

/// The CPU time of runs of which every second one is looked at by a page and by a Prometheus, once a
/// second as both do.
#[test]
fn polling_costs_less_than_a_hundredth() {
    let pairs = from_environment("RINGMILL_PAIRS", 0);
    if pairs == 0 {
        return common::skipped("RINGMILL_PAIRS=10 measures what looking on costs");
    }
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("heavy.pcap");
    let mut out = BufWriter::new(std::fs::File::create(&capture).unwrap());
    let size = Limit::Bytes(from_environment("RINGMILL_MEGABYTES", 600) << 20);
    generate(Mix::Heavy, size, 7, &mut out).unwrap();
    out.flush().unwrap();
    let run = |polled: bool| {
        let port = 19_650;
        let status = format!("[status]\nlisten = \"127.0.0.1:{port}\"\n");
        let config = common::write_config(
            directory.path(),
            &format!(
                "[engine]\nworkers = 1\n{status}[capture]\nfrom = \"file\"\nfiles = [{capture:?}]\n\
                 [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
                 [[stage]]\nuse = \"user_agent\"\n[[stage]]\nuse = \"redact\"\n[[stage]]\n\
                 use = \"crypto_pan\"\nkey = \"ephemeral\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n"
            ),
        );
        let before = CpuTime::of_children().unwrap();
        let mut engine = common::engine();
        engine.arg("--config").arg(config).arg("--quiet").stderr(Stdio::null());
        let mut engine = engine.spawn().unwrap();
        let mut due = Instant::now();
        while engine.try_wait().unwrap().is_none() {
            if polled && Instant::now() >= due {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let answers = ["/status.json", "/metrics"].map(|path| get(address, path, ""));
                if answers.iter().all(Option::is_some) {
                    due += Duration::from_secs(1);
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        CpuTime::of_children().unwrap().since(before).total().as_secs_f64()
    };
    // Now the one first, now the other: the machine may grow faster or slower.
    let pair = |number: u64| {
        let looked_at_first = number % 2 == 1;
        let [first, second] = [looked_at_first, !looked_at_first].map(&run);
        if looked_at_first { second / first } else { first / second }
    };
    let ratios: Vec<f64> = (0..pairs).map(pair).collect();
    println!("CPU time without : with someone looking on, {ratios:.4?}");
    let ratio = median(ratios.iter().copied());
    println!("median {ratio:.4}");
    assert!(ratio > 0.99, "{ratio}");
}
