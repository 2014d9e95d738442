//! The Parquet files, read by programs that know nothing of us.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use common::{own_captures, python, run, whole_chain, write_config};

/// A config that writes Parquet and JSON Lines under `directory`.
fn config(directory: &Path, files: &[PathBuf], parquet: &str) -> PathBuf {
    let text = format!(
        "{}[[sink]]\nuse = \"jsonl\"\npath = {:?}\n\
         [[sink]]\nuse = \"parquet\"\ndirectory = {directory:?}\n{parquet}\n",
        whole_chain(directory, files),
        directory.join("out.jsonl"),
    );
    write_config(directory, &text)
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
