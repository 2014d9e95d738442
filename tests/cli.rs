//! The commands, their exit status and what an operator reads.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{engine, own_captures, plugins, rows, text, write_config};

/// Standard output, standard error and exit status.
fn ran(command: &mut Command) -> (String, String, Option<i32>) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn check_shows_the_chain_and_what_sinks_receive() {
    for config in ["configs/demo.toml", "configs/campus.toml"] {
        let (out, err, status) = ran(engine().args(["check", "--config", config]));
        assert_eq!(status, Some(0), "{config}: {err}");
        for part in [
            "this config is good",
            "-> decode\n    -> classify\n    -> http\n    -> user_agent\n    -> redact\n    -> crypto_pan",
            "http_request",
            "http_response",
            "IP address (address, anonymized by crypto_pan)",
            "text (url, redacted by redact",
            "user_agent_browser_name",
        ] {
            assert!(out.contains(part), "{config} lacks {part:?}: {out}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let demo = fs::read_to_string(common::root().join("configs/demo.toml")).unwrap();
    let out = directory.path().join("out");
    let demo = demo.replace("\"out", &format!("\"{}", out.display()));
    let config = write_config(directory.path(), &demo);
    let said = ran(engine().args(["check", "--quiet", "--config"]).arg(&config));
    assert_eq!(said, (String::new(), String::new(), Some(0)));
    assert!(!out.exists(), "a check must write nothing");
}

#[test]
fn stages_are_listed_with_their_options() {
    let (out, _, status) = ran(engine().arg("stages"));
    assert_eq!(status, Some(0));
    for name in
        "decode exclude sample classify http user_agent redact crypto_pan truncate parquet jsonl \
         elasticsearch discard"
            .split(' ')
    {
        assert!(out.contains(&format!("\n  {name}: ")), "{name} is missing: {out}");
    }
    assert!(out.contains("path (path, required)"), "{out}");
    let (out, ..) = ran(engine().args(["stages", "truncate"]));
    assert!(out.contains("v4_prefix") && !out.contains("decode"), "{out}");
}

#[test]
fn a_plugin_is_described() {
    let file = plugins().join("libtruncate.so");
    let (out, err, status) = ran(engine().arg("plugin").arg(&file));
    assert_eq!(status, Some(0), "{err}");
    for part in [
        "is a plugin",
        "built with ringmill-sdk",
        "stage truncate:",
        "v4_prefix",
        "use = \"truncate\"",
    ] {
        assert!(out.contains(part), "{part:?} is missing: {out}");
    }
}

#[test]
fn usage_errors_have_status_2() {
    let cases: &[&[&str]] = &[
        &[],
        &["--config"],
        &["--config", "nowhere.toml"],
        &["--nonsense"],
        &["check"],
        &["check", "--config", "Cargo.toml"],
        &["check", "--config", "configs/demo.toml", "--read", "nowhere.pcap"],
        &["--config", "configs/demo.toml", "--workers", "0"],
        &["--config", "configs/demo.toml", "--workers", "many"],
        &["--config", "configs/demo.toml", "--read", "nowhere.pcap"],
        &["--config", "configs/demo.toml", "--read", "README.md"],
    ];
    for arguments in cases {
        let (out, err, status) = ran(engine().args(*arguments));
        assert_eq!(status, Some(2), "{arguments:?}: {err}");
        assert!(!err.is_empty() && out.is_empty(), "{arguments:?}: {out}");
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
    }
}

#[test]
fn help_and_completions_are_printed() {
    let (out, _, status) = ran(engine().arg("--help"));
    assert_eq!(status, Some(0));
    assert!(out.contains("--config <FILE>") && out.contains("check"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (out, _, status) = ran(engine().args(["completions", shell]));
        assert!(status == Some(0) && out.contains("engine"), "{shell}");
    }
    for (command, says) in [
        ("", ".SH \"EXIT STATUS\""),
        ("check", "\\-\\-config"),
        ("keygen", "\\-\\-advance"),
        ("doctor", "engine\\-doctor"),
    ] {
        let (out, err, status) =
            ran(engine().arg("man").args(Some(command).filter(|name| !name.is_empty())));
        assert!(status == Some(0) && out.contains(".TH engine"), "{command}: {err}");
        assert!(out.contains(says), "{command}: {out}");
    }
    let (_, err, status) = ran(engine().args(["man", "nonsense"]));
    assert!(status == Some(2) && err.contains("has no command `nonsense`"), "{err}");
    let (out, ..) = ran(engine().arg("--version"));
    assert!(out.starts_with(concat!("engine ", env!("CARGO_PKG_VERSION"), " (")), "{out}");
}

/// `configs/demo.toml`, writing below this directory; and where that is.
fn demo(directory: &Path) -> (PathBuf, PathBuf) {
    let demo = fs::read_to_string(common::root().join("configs/demo.toml")).unwrap();
    let out = directory.join("out");
    let text = demo.replace("\"out", &format!("\"{}", out.display()));
    (write_config(directory, &text), out)
}

#[test]
fn the_main_job_writes_records_and_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let (config, out) = demo(directory.path());
    // Twice: the second run must neither fail nor touch what the first has written.
    for round in 1..=2 {
        let (_, err, status) = ran(engine().arg("--config").arg(&config));
        assert_eq!(status, Some(0), "round {round}: {err}");
        assert!(err.contains("the ledger balances"), "{err}");
        assert!(err.contains("duckdb -c"), "{err}");
    }
    let ledger: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("ledger.json")).unwrap()).unwrap();
    assert_eq!(ledger["imbalances"], serde_json::json!([]));
    assert_eq!(ledger["rows"], ledger["sinks"][0]["acknowledged"]);
    let parquet = fs::read_dir(out.join("http_request/day=2026-11-23/hour=03")).unwrap().count();
    assert_eq!(parquet, 2, "one file for each run");
}

/// Every line of standard error, which must be JSON.
fn json_lines(err: &str) -> Vec<serde_json::Value> {
    err.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_log_of_json_has_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (config, _) = demo(directory.path());
    let (_, err, status) = ran(engine().args(["--log", "json", "--config"]).arg(&config));
    let lines = json_lines(&err);
    assert_eq!(status, Some(0), "{err}");
    let over = lines.iter().find(|line| line["message"] == "the run is over").unwrap();
    assert_eq!(over["level"], "info");
    assert_eq!(over["ledger"]["imbalances"], serde_json::json!([]), "{err}");
    let config = write_config(directory.path(), "[capture]\nfrom = \"fiel\"\n");
    let (_, err, status) = ran(engine().args(["--log", "json", "--config"]).arg(&config));
    let lines = json_lines(&err);
    assert_eq!((status, lines.len()), (Some(2), 1), "{err}");
    assert_eq!(lines[0]["level"], "error");
    assert!(lines[0]["message"].as_str().unwrap().contains("did you mean"), "{err}");
}

#[test]
fn standard_output_and_standard_input_are_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let config = write_config(
        directory.path(),
        "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
         [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
         [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
         [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n",
    );
    for capture in own_captures() {
        let file = fs::File::open(&capture).unwrap();
        let mut command = engine();
        let (out, err, status) =
            ran(command.arg("--config").arg(&config).arg("--quiet").stdin(file));
        assert_eq!(status, Some(0), "{}: {err}", capture.display());
        assert!(err.is_empty(), "{err}");
        let from_file = common::heads(&capture).len();
        assert_eq!(out.lines().count(), from_file, "{}", capture.display());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<_> = own_captures();
    let config = write_config(
        directory.path(),
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = {files:?}\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\nrows = 1\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n"
        ),
    );
    let mut child = engine()
        .arg("--config")
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{err}");
    assert!(err.contains("sink `jsonl`") && !err.contains("panicked"), "{err}");
}

/// Sends the signal and waits; the engine must not outlive it by much.
fn signalled(signal: &str) -> (String, Option<i32>, Vec<common::Row>) {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.jsonl");
    let config = write_config(
        directory.path(),
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n"
        ),
    );
    let mut child = engine()
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A live pipe that stays open: without the signal the run would never end.
    let capture = fs::read(common::root().join("tests/captures/curl-keepalive-ipv4.pcap")).unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&capture).unwrap();
    pipe.flush().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    common::signal(child.id(), signal);
    let sent = Instant::now();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = child.wait().unwrap().code();
    assert!(sent.elapsed() < Duration::from_secs(5), "it took {:?}", sent.elapsed());
    drop(pipe);
    (err, status, rows(&out))
}

#[test]
fn signals_end_the_run_with_everything_written() {
    for signal in ["INT", "TERM"] {
        let (err, status, rows) = signalled(signal);
        assert_eq!(status, Some(0), "{signal}: {err}");
        assert!(err.contains("the ledger balances"), "{signal}: {err}");
        assert!(err.contains("was stopped before its input ended"), "{signal}: {err}");
        let requests =
            rows.iter().filter(|row| text(row, "record") == Some("http_request")).count();
        assert_eq!(requests, 9, "{signal}: {err}");
    }
}

#[test]
fn a_bar_is_drawn_on_a_terminal_only() {
    let (_, err, _) = ran(engine().args(["--config", "configs/demo.toml", "--quiet"]));
    assert!(!err.contains('\r') && !err.contains('\u{1b}'), "{err:?}");
    // `script` gives the engine a terminal.
    let binary = env!("CARGO_BIN_EXE_engine");
    let command = format!("{binary} --config configs/demo.toml");
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(common::root());
    match script.output() {
        Ok(output) => {
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(out.contains('\u{1b}') && out.contains("packets"), "{out:?}");
        }
        Err(error) => common::skipped(format_args!("no `script` to make a terminal: {error}")),
    }
}
