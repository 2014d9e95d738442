//! The examples do what they say, and stay as short as they promise.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use common::{own_captures, plugins, rows, run, text, write_config};

#[test]
fn the_examples_are_short() {
    for (example, most) in [("custom_sink", 40), ("custom_anonymizer", 20)] {
        let path = common::root().join("examples").join(example).join("lib.rs");
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= most, "examples/{example} has {lines} lines, not {most}");
    }
}

#[test]
fn a_custom_sink_and_a_custom_anonymizer_work_from_a_config() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, out) = (plugins(), directory.path());
    let server = Server::start("127.0.0.1:0");
    let config = write_config(
        out,
        &format!(
            "[engine]\nspill = {:?}\n[capture]\nfrom = \"file\"\nfiles = {:?}\n\
             [[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nplugin = {:?}\nuse = \"site\"\n\
             [[sink]]\nplugin = {:?}\nuse = \"hosts\"\nserver = \"{}\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            out.join("spill"),
            own_captures(),
            folder.join("libcustom_anonymizer.so"),
            folder.join("libcustom_sink.so"),
            server.address,
            out.join("out.jsonl"),
        ),
    );
    run(&config, &["--workers", "2"]);
    let rows = rows(&out.join("out.jsonl"));
    let mut hosts = BTreeMap::new();
    for row in &rows {
        let address = text(row, "src_ip").unwrap();
        assert!(address.ends_with(".0") || address.ends_with("::"), "{address}");
        if let Some(host) = text(row, "host") {
            *hosts.entry(host).or_insert(0) += 1;
        }
    }
    assert!(hosts.len() > 5, "{hosts:?}");
    let mut safe: BTreeMap<&str, i32> = BTreeMap::new();
    let kept = server.kept();
    for host in &kept {
        *safe.entry(host).or_default() += 1;
    }
    assert_eq!(safe, hosts);
}

/// The server goes away, breaks connections off, and comes back; the engine is killed and
/// started again. Of all that the sink's author has written no line.
#[test]
fn a_custom_sink_loses_nothing_when_its_server_or_the_engine_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    let server = Server::start("127.0.0.1:0");
    let config = |files: &str| {
        let text = format!(
            "[engine]\nspill = {:?}\n[capture]\nfrom = \"file\"\nfiles = [{files:?}]\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
             [[stage]]\nuse = \"http\"\nrows = 1\n[[stage]]\nuse = \"redact\"\n\
             [[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nplugin = {:?}\nuse = \"hosts\"\nserver = \"{}\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\nqueue = 1000\n",
            out.join("spill"),
            plugins().join("libcustom_sink.so"),
            server.address,
            out.join("out.jsonl"),
        );
        write_config(out, &text)
    };
    let captures = "tests/captures/*.pcap*";
    // Every third connection is broken off before the lines are safe.
    server.breaks.store(3, Relaxed);
    run(&config(captures), &[]);
    let expected: BTreeSet<String> = rows(&out.join("out.jsonl"))
        .iter()
        .filter_map(|row| text(row, "host").map(str::to_owned))
        .collect();
    assert_eq!(server.kept().into_iter().collect::<BTreeSet<_>>(), expected);
    // Away: all is spilled, and the engine killed while it waits for the server.
    server.breaks.store(1, Relaxed);
    server.safe.lock().unwrap().clear();
    let mut engine = common::engine();
    let mut child = engine.arg("--config").arg(config(captures)).stderr(Stdio::null()).spawn();
    let child = child.as_mut().unwrap();
    let spilled = || {
        let log = fs::read_dir(out.join("spill/hosts")).into_iter().flatten().flatten();
        log.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>()
    };
    let mut before = (0, Instant::now());
    while before.0 == 0 || before.1.elapsed() < Duration::from_secs(1) {
        if spilled() != before.0 {
            before = (spilled(), Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(server.kept().is_empty());
    server.breaks.store(0, Relaxed);
    let one = "tests/captures/curl-keepalive-ipv4.pcap";
    let output = run(&config(one), &[]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("spilled rows wait in") && err.contains("the ledger balances"), "{err}");
    assert_eq!(server.kept().into_iter().collect::<BTreeSet<_>>(), expected);
}

/// What the example sends to.
struct Server {
    address: SocketAddr,
    safe: Arc<Mutex<Vec<String>>>,
    /// Breaks off each connection whose number is a multiple of it; 0 breaks none.
    breaks: Arc<AtomicUsize>,
}

impl Server {
    fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (safe, breaks) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
        let server = Self { address, safe: Arc::clone(&safe), breaks: Arc::clone(&breaks) };
        std::thread::spawn(move || {
            for (number, stream) in (1..).zip(listener.incoming()) {
                let _ = serve(stream.unwrap(), number, &safe, &breaks);
            }
        });
        server
    }

    fn kept(&self) -> Vec<String> {
        self.safe.lock().unwrap().clone()
    }
}

/// One connection, until it ends; the lines behind the last empty one are lost with it.
fn serve(
    mut stream: TcpStream,
    number: usize,
    safe: &Mutex<Vec<String>>,
    breaks: &AtomicUsize,
) -> io::Result<()> {
    let mut held = Vec::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if !line.is_empty() {
            held.push(line);
            continue;
        }
        let every = breaks.load(Relaxed);
        if every > 0 && number.is_multiple_of(every) {
            return Ok(());
        }
        safe.lock().unwrap().append(&mut held);
        stream.write_all(b"+")?;
        // So that the next has a chance to be broken off.
        if every > 0 {
            return Ok(());
        }
    }
    Ok(())
}

#[test]
fn the_engine_runs_inside_another_program() {
    let embed = plugins().join("embed");
    let output = Command::new(embed).args(own_captures()).output().unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for capture in own_captures() {
        for row in common::heads(&capture) {
            if let Some(status) = row.get("status_code").and_then(serde_json::Value::as_u64) {
                *expected.entry(status).or_default() += 1;
            }
        }
    }
    let expected: String = expected.iter().map(|(code, n)| format!("{code} {n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

/// The oldest compiler that the manifest promises is one that every dependency promises, too.
#[test]
fn no_dependency_needs_a_newer_compiler_than_we_say() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(common::root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let mut newest = (vec![], String::new());
    for package in metadata["packages"].as_array().unwrap() {
        if let Some(needs) = package["rust_version"].as_str() {
            newest = newest.max((version(needs), package["name"].to_string()));
        }
    }
    println!("the newest that a dependency needs: {newest:?}");
    assert!(newest.0 <= [ours.clone(), vec![0]].concat(), "{newest:?} is newer than {ours:?}");
}
