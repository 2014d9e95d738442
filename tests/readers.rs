//! The Parquet files, read by programs that know nothing of us; and what a crash leaves.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use common::{engine, own_captures, python, run, write_config};
use ringmill_bench::workload::{Limit, Mix, generate};

/// A config that writes Parquet and JSON Lines under `directory`.
fn config(directory: &Path, files: &[PathBuf], parquet: &str) -> PathBuf {
    let key = common::key_file(directory);
    write_config(
        directory,
        &format!(
            "[capture]\nfrom = \"file\"\nfiles = {files:?}\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\nkey_file = {key:?}\n\
             [[stage]]\nuse = \"user_agent\"\n[[stage]]\nuse = \"redact\"\nkey_file = {key:?}\n\
             [[stage]]\nuse = \"crypto_pan\"\nkey_file = {key:?}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n\
             [[sink]]\nuse = \"parquet\"\ndirectory = {directory:?}\n{parquet}\n",
            directory.join("out.jsonl"),
        ),
    )
}

/// Runs a script of `tests/readers` on the folder.
fn script(python: &str, name: &str, directory: &Path) -> String {
    let script = common::root().join("tests/readers").join(name);
    let output = Command::new(python).arg(script).arg(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn duckdb_and_polars_read_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    run(&config(directory.path(), &own_captures(), ""), &["--workers", "2"]);
    for reader in ["duckdb", "polars"] {
        let Some(python) = python(reader) else { continue };
        // The scripts compare every value with the JSON Lines of the same run.
        println!("{}", script(&python, &format!("{reader}_reads.py"), directory.path()));
    }
}

#[test]
fn the_suggested_query_works() {
    let Some(python) = python("duckdb") else { return };
    let directory = tempfile::tempdir().unwrap();
    let output = run(&config(directory.path(), &own_captures(), ""), &[]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = err.lines().find(|line| line.contains("duckdb -c")).expect(&err);
    // The command line program is not in the Python package; its one argument is the query.
    let words = shlex::split(line.trim()).unwrap();
    assert_eq!(words[..2], ["duckdb", "-c"], "{line}");
    let code = "import duckdb, sys; print(duckdb.sql(sys.argv[1]))";
    let output = Command::new(python).args(["-c", code, &words[2]]).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("host"), "{out}{err}");
}

#[test]
fn a_killed_engine_leaves_only_readable_files() {
    let Some(python) = python("pyarrow") else { return };
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("heavy.pcap");
    let mut out = BufWriter::new(fs::File::create(&capture).unwrap());
    generate(Mix::Heavy, Limit::Packets(300_000), 7, &mut out).unwrap();
    out.flush().unwrap();
    let config = config(directory.path(), &[capture], "rotate_rows = 4096");
    let (mut killed, mut files) = (0, 0);
    for round in 0..8_u64 {
        let mut child = engine()
            .arg("--config")
            .arg(&config)
            .arg("--quiet")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 250 * round));
        // SIGKILL.
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        let read = script(&python, "all_readable.py", directory.path());
        files = read.trim().parse().unwrap();
    }
    println!("{killed} of 8 runs were killed before their end; {files} files, all readable");
    assert!(killed > 0, "every run was done before it was killed");
    assert!(files > 0, "nothing was written before any kill");
    // The next run is not bothered by what was left behind, and takes it away.
    run(&config, &["--quiet"]);
    script(&python, "all_readable.py", directory.path());
    let left: Vec<_> = walk(directory.path()).filter(|p| p.contains("inprogress")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn walk(directory: &Path) -> Box<dyn Iterator<Item = String>> {
    let entries: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    Box::new(entries.into_iter().flat_map(|path| match path.is_dir() {
        true => walk(&path),
        false => Box::new(std::iter::once(path.to_string_lossy().into_owned())),
    }))
}
