//! Keys: the files, what they are refused for, epochs over midnight, and memory that stays in
//! the process.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    io::Write as _,
    ops::Range,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{engine, rows, skipped, text, write_config};
use ringmill::sdk::testing::{START, tcp};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Standard output, standard error and exit status.
fn ran(command: &mut Command) -> (String, String, Option<i32>) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn keygen(arguments: &[&str]) -> (String, String, Option<i32>) {
    ran(engine().arg("keygen").args(arguments))
}

/// Makes a key file and gives its path.
fn made(directory: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = directory.join(name);
    let (_, err, status) = keygen(&[&[path.to_str().unwrap()], arguments].concat());
    assert_eq!(status, Some(0), "{err}");
    path
}

#[test]
fn a_key_file_is_new_and_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let cases: &[(&str, &[&str], &str, &str)] = &[
        ("plain", &[], "", ""),
        ("day", &["--epoch", "day", "--from", "2026-01-02"], "epoch day 2026-01-02", "day"),
        ("week", &["--epoch", "week", "--from", "2026-01-02"], "epoch week 2025-12-29", "week"),
    ];
    let mut keys = BTreeSet::new();
    for (name, arguments, line, epoch) in cases {
        let path = directory.path().join(name);
        let shown = path.display().to_string();
        // A mask that would leave it open.
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" keygen \"$@\"", env!("CARGO_BIN_EXE_engine")]);
        let (out, err, status) = ran(command.arg(&path).args(*arguments));
        assert_eq!(status, Some(0), "{name}: {err}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "{name}");
        let content = fs::read_to_string(&path).unwrap();
        let digits = content.lines().last().unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        assert!(content.ends_with('\n') && content.contains(line), "{name}: {content}");
        assert!(out.contains(&format!("key_file = {shown:?}")), "{name}: {out}");
        assert_eq!(out.contains(&format!("epoch = {epoch:?}")), !epoch.is_empty(), "{name}: {out}");
        assert!(
            !out.contains(&digits[..8]) && !err.contains(&digits[..8]),
            "{name} is told: {out}"
        );
        assert!(keys.insert(digits.to_owned()), "{name}: the same key twice");

        let (_, err, status) = ran(engine().arg("keygen").arg(&path).args(*arguments));
        assert_eq!(status, Some(2), "{name}: {err}");
        assert!(err.contains("is there already, and a key file is never overwritten"), "{err}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{name}");
    }
    let nowhere = directory.path().join("no/such/key");
    assert_eq!(keygen(&[nowhere.to_str().unwrap()]).2, Some(1));
    let usage: &[&[&str]] = &[
        &[],
        &["k", "--epoch", "month"],
        &["k", "--from", "2026-01-01"],
        &["k", "--epoch", "day", "--from", "2026-02-30"],
        &["k", "--to", "2026-01-01"],
        &["k", "--epoch", "day", "--advance"],
        &["--advance", "/no/such/key"],
    ];
    for arguments in usage {
        let (out, err, status) = keygen(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {err}");
        assert!(out.is_empty() && !err.is_empty(), "{arguments:?}: {out}");
    }
    assert!(!common::root().join("k").exists());
}

/// A chain over `capture` whose addresses are mapped, into `out.jsonl`.
fn config(directory: &Path, engine: &str, key: &str, capture: &Path) -> PathBuf {
    let of_http = if key.starts_with("key_file") { key } else { "" };
    write_config(
        directory,
        &format!(
            "{engine}[capture]\nfrom = \"file\"\nfiles = [{capture:?}]\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
             [[stage]]\nuse = \"http\"\n{of_http}\n[[stage]]\nuse = \"redact\"\n{of_http}\n\
             [[stage]]\nuse = \"crypto_pan\"\n{key}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            directory.join("out.jsonl")
        ),
    )
}

#[test]
fn a_wrong_key_file_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (plain, day) = (made(at, "plain", &[]), made(at, "day", &["--epoch", "day"]));
    let week = made(at, "week", &["--epoch", "week"]);
    let open = made(at, "open", &[]);
    fs::set_permissions(&open, Permissions::from_mode(0o604)).unwrap();
    let short = made(at, "short", &[]);
    fs::write(&short, "00ff").unwrap();
    let cut = made(at, "cut", &["--epoch", "day"]);
    fs::write(&cut, &fs::read_to_string(&cut).unwrap()[..60]).unwrap();

    let (none, by_day) = ("", "[engine]\nepoch = \"day\"\n");
    let cases = [
        (none, &open, "is open to others (mode 0604); `chmod 600"),
        (by_day, &open, "is open to others (mode 0604); `chmod 600"),
        (none, &short, "holds 4 bytes; a key is 64 hex digits or exactly 32 bytes; `engine keygen"),
        (by_day, &cut, "has a third line that is not 64 hex digits"),
        (none, &day, "has a key for each day; say `epoch = \"day\"` under [engine]"),
        (
            by_day,
            &plain,
            "has one key for all times, and [engine] says `epoch = \"day\"`; `engine \
                          keygen --epoch day FILE` makes a file",
        ),
        (by_day, &week, "has a key for each week, and [engine] says `epoch = \"day\"`"),
    ];
    let capture = Path::new("tests/captures/curl-keepalive-ipv4.pcap");
    for (engine_table, file, message) in cases {
        let config = config(at, engine_table, &format!("key_file = {file:?}"), capture);
        for command in [&["check", "--config"][..], &["--config"]] {
            let (_, err, status) = ran(engine().args(command).arg(&config));
            assert_eq!(status, Some(2), "{}: {err}", file.display());
            assert!(
                err.contains(message),
                "{} should say\n{message}\nand says\n{err}",
                file.display()
            );
            assert!(err.contains("key_file = \""), "{err}");
        }
    }
    for (engine_table, file) in [(none, &plain), (by_day, &day)] {
        let config = config(at, engine_table, &format!("key_file = {file:?}"), capture);
        let (_, err, status) = ran(engine().args(["check", "--config"]).arg(&config));
        assert_eq!(status, Some(0), "{}: {err}", file.display());
    }
}

/// A capture of 41 hosts that ask for something twice a day, an hour after noon and an hour
/// before midnight, on these days after the first of January 2026.
fn capture(directory: &Path, days: Range<i64>) -> PathBuf {
    const HOUR: i64 = 3_600_000_000_000;
    let path = directory.join(format!("{days:?}.pcap"));
    let mut file = fs::File::create(&path).unwrap();
    // Nanoseconds, Ethernet.
    let head = [0xa1b2_3c4d_u32, 4 << 16 | 2, 0, 0, 65535, 1];
    head.iter().for_each(|word| file.write_all(&word.to_le_bytes()).unwrap());
    for day in days {
        for hour in [13, 23] {
            for host in 1..=41 {
                let time = START.0 + (day * 24 + hour) * HOUR + host * 1_000;
                let from = format!("192.0.2.{host}:{}", 1024 + day * 24 + hour);
                let request = format!("GET /{day}/{hour} HTTP/1.1\r\nHost: h{host}\r\n\r\n");
                let frame = tcp(&from, "198.51.100.1:80", request);
                let length = i64::try_from(frame.len()).unwrap();
                for word in [time / 1_000_000_000, time % 1_000_000_000, length, length] {
                    file.write_all(&u32::try_from(word).unwrap().to_le_bytes()).unwrap();
                }
                file.write_all(&frame).unwrap();
            }
        }
    }
    path
}

/// For each host, by the name it asked for, the pseudonyms it had on each day.
fn pseudonyms(directory: &Path) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut hosts: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
    for row in rows(&directory.join("out.jsonl")) {
        let [host, epoch, source] =
            ["host", "epoch", "src_ip"].map(|name| text(&row, name).unwrap_or_default().to_owned());
        let time = text(&row, "time").unwrap();
        assert!(epoch.is_empty() || time.starts_with(&epoch), "{time} is not of {epoch}");
        let day = time[..10].to_owned();
        hosts.entry(host).or_default().entry(day).or_default().insert(source);
    }
    hosts
}

#[test]
fn with_epochs_a_host_is_another_each_day_and_the_same_within() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let capture = capture(at, 0..3);
    let key = made(at, "key", &["--epoch", "day", "--from", "2025-12-31"]);
    let by_file = format!("key_file = {key:?}");
    let by_day = "[engine]\nepoch = \"day\"\n";
    let mut of_file = Vec::new();
    for key in [by_file.as_str(), "key = \"ephemeral\""] {
        for workers in ["1", "4"] {
            let config = config(at, by_day, key, &capture);
            common::run(&config, &["--workers", workers]);
            let hosts = pseudonyms(at);
            assert_eq!(hosts.len(), 41, "{key}, {workers} workers");
            let mut all = BTreeSet::new();
            for (host, days) in &hosts {
                assert_eq!(days.len(), 3, "{host}: {key}, {workers} workers");
                for (day, seen) in days {
                    assert_eq!(seen.len(), 1, "{host} on {day}: {key}, {workers} workers");
                    all.extend(seen.iter().cloned());
                }
            }
            assert_eq!(all.len(), 3 * 41, "no pseudonym lasts: {key}, {workers} workers");
            if key == by_file {
                of_file.push(hosts);
            }
            fs::remove_file(at.join("out.jsonl")).unwrap();
        }
    }
    assert_eq!(of_file[0], of_file[1], "1 worker and 4");

    // Loaded, so that the epochs cross the plugin boundary.
    let config_of = |path: PathBuf| {
        let linked = fs::read_to_string(config(at, by_day, &by_file, &capture)).unwrap();
        let of = "use = \"crypto_pan\"";
        write_config(at, &linked.replace(of, &format!("plugin = {path:?}\n{of}")))
    };
    common::run(&config_of(common::plugins().join("libcrypto_pan.so")), &["--quiet"]);
    assert_eq!(of_file[0], pseudonyms(at), "linked and loaded");
    fs::remove_file(at.join("out.jsonl")).unwrap();

    // Without epochs the same host stays the same.
    common::run(&config(at, "", "key = \"ephemeral\"", &capture), &["--quiet"]);
    for (host, days) in pseudonyms(at) {
        let all: BTreeSet<_> = days.into_values().flatten().collect();
        assert_eq!(all.len(), 1, "{host}");
    }
}

#[test]
fn advancing_destroys_the_days_before_and_changes_none_after() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let [all, later] = [0..3, 1..3].map(|days| capture(at, days));
    let key = made(at, "key", &["--epoch", "day", "--from", "2026-01-01"]);
    let kept = fs::read_to_string(&key).unwrap();
    let config = config(at, "[engine]\nepoch = \"day\"\n", &format!("key_file = {key:?}"), &all);
    common::run(&config, &["--quiet"]);
    let before = pseudonyms(at);

    // By a link, whose target is what is replaced; what else names the old file sees zeros.
    let (link, hard) = (at.join("link"), at.join("hard"));
    symlink(&key, &link).unwrap();
    fs::hard_link(&key, &hard).unwrap();
    let advance = |to: &str| keygen(&["--advance", link.to_str().unwrap(), "--to", to]);
    let (out, err, status) = advance("2026-01-02");
    assert_eq!(status, Some(0), "{err}");
    for part in ["begins with the day 2026-01-02 now", "from 2026-01-01 on", "a backup may still"] {
        assert!(out.contains(part), "{part:?} is missing: {out}");
    }
    assert!(link.is_symlink());
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
    assert!(!at.join("key.new").exists());
    let now = fs::read_to_string(&key).unwrap();
    assert!(now.contains("epoch day 2026-01-02") && now.lines().last() != kept.lines().last());
    let old = fs::read_to_string(&hard).unwrap();
    assert_eq!(old, "0".repeat(kept.len()), "the old content is still there");

    // The first day is refused, with what to do; without it the others are as they were.
    let (_, err, status) = ran(engine().arg("--config").arg(&config));
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("a row is of the day 2026-01-01, and the first key of"), "{err}");
    assert!(err.contains("is that of the day 2026-01-02"), "{err}");
    assert!(!err.contains("192.0.2."), "an address is told: {err}");

    fs::remove_file(at.join("out.jsonl")).unwrap();
    common::run(&config, &["--quiet", "--read", later.to_str().unwrap()]);
    let mut expected = before;
    expected.values_mut().for_each(|days| drop(days.remove("2026-01-01")));
    assert_eq!(pseudonyms(at), expected);

    let cases = [
        ("2026-01-02", Some(0), "there is nothing to destroy"),
        ("2026-01-01", Some(2), "the keys before are destroyed, and nothing brings them back"),
    ];
    for (to, code, message) in cases {
        let (out, err, status) = advance(to);
        assert!(status == code && (out + &err).contains(message), "{to}: {err}");
        assert_eq!(fs::read_to_string(&key).unwrap(), now, "{to}");
    }
    let plain = made(at, "plain", &[]);
    let (_, err, status) = keygen(&["--advance", plain.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(err.contains("has one key for all times, so there is none to destroy"), "{err}");
    fs::write(at.join("key.new"), "").unwrap();
    let (_, err, status) = advance("2026-01-03");
    assert!(status == Some(1) && err.contains("an advance that was cut off"), "{err}");
    assert_eq!(fs::read_to_string(&key).unwrap(), now);
}

/// An engine that waits for a capture on its standard input, allowed to leave a core file.
fn waiting(directory: &Path) -> std::process::Child {
    let config = config(directory, "", "key = \"ephemeral\"", Path::new("-"));
    let engine = env!("CARGO_BIN_EXE_engine");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\"", engine, "--config"]);
    command.arg(config).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether a program without our precautions leaves a core file here.
fn cores_are_left(directory: &Path) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && exec sh -c 'kill -ABRT $$'"]);
    command.current_dir(directory);
    command.status().unwrap().core_dumped()
}

#[test]
fn no_signal_makes_the_engine_leave_a_core_file() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["ABRT", "SEGV"] {
        let mut child = waiting(directory.path());
        let limits = format!("/proc/{}/limits", child.id());
        let since = Instant::now();
        loop {
            let limits = fs::read_to_string(&limits).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            let of = line["Max core file size".len()..].split_whitespace();
            if of.take(2).eq(["0", "0"]) {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(30), "{line}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        // Whoever raises the limit from outside, which takes privileges, gets none either.
        let any = Rlimit { current: None, maximum: None };
        let raised = prlimit(Pid::from_raw(pid.parse().unwrap()), Resource::Core, any).is_ok();
        // Again, because the first SEGV only takes the handler away that tells of a stack
        // overflow.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.signal().is_some(), "{signal}: {status}");
        assert!(!status.core_dumped(), "{signal}, limit raised: {raised}: a core file was left");
    }
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("core")), "{left:?}");
    if !cores_are_left(directory.path()) {
        skipped(
            "nothing leaves core files on this machine, so that ours leaves none proves little",
        );
    }
}

#[test]
fn readers_of_the_data_are_told_what_was_done() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let key = made(at, "key", &["--epoch", "week", "--from", "2025-12-31"]);
    let list = at.join("opt-outs");
    fs::write(&list, "# two\n192.0.2.0/28\n2001:db8::/64\n").unwrap();
    let path = config(
        at,
        "[engine]\nepoch = \"week\"\n",
        &format!("key_file = {key:?}"),
        &capture(at, 0..1),
    );
    let more = format!(
        "[[stage]]\nuse = \"exclude\"\nfile = {list:?}\n[[stage]]\nuse = \"sample\"\n\
         probability = 0.5\n[[stage]]\nuse = \"classify\""
    );
    let typed = fs::read_to_string(&path).unwrap();
    let path = write_config(at, &typed.replace("[[stage]]\nuse = \"classify\"", &more));
    let engine = ringmill::Engine::new(ringmill::config::load(&path).unwrap()).unwrap();
    let facts: BTreeMap<_, BTreeMap<_, _>> =
        engine.facts().into_iter().map(|of| (of.stage, of.facts.into_iter().collect())).collect();
    let of = |stage: &str, name: &str| facts[stage].get(name).map(String::as_str);
    let cases = [
        ("exclude", "prefixes", "2"),
        ("exclude", "addresses_v4", "16"),
        ("exclude", "addresses_v6", "18446744073709551616"),
        ("sample", "probability", "0.5"),
        ("sample", "key", "ephemeral"),
        ("sample", "epoch", "week"),
        ("crypto_pan", "key", "file"),
        ("crypto_pan", "epoch", "week"),
        ("crypto_pan", "first_epoch", "2025-12-29"),
    ];
    for (stage, name, value) in cases {
        assert_eq!(of(stage, name), Some(value), "{stage}.{name} of {facts:?}");
    }
    assert_eq!(of("crypto_pan", "key_id"), of("http", "key_id"), "they have the same file");
    assert_eq!(of("crypto_pan", "key_id").map(str::len), Some(8));

    // And what was told is so: hosts 1 to 15 are out, and about half of the rest.
    let outcome = engine.run(|_| ()).unwrap();
    assert!(outcome.is_good(), "{:?}", outcome.failures);
    let hosts: BTreeSet<_> = rows(&at.join("out.jsonl"))
        .iter()
        .map(|row| text(row, "host").unwrap().to_owned())
        .collect();
    assert!((5..=26).contains(&hosts.len()), "{hosts:?}");
    assert!((1..=15).all(|host| !hosts.contains(&format!("h{host}"))), "{hosts:?}");
    let ledger = outcome.ledger.to_string();
    assert!(ledger.contains("excluded 30") && ledger.contains("not_sampled "), "{ledger}");
}
