//! The Parquet files, read by programs that know nothing of us.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use ringmill_bench::workload::{Limit, Mix, generate};

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
fn script(python: &str, name: &str, directory: &Path, more: &[&str]) -> String {
    let script = common::root().join("tests/readers").join(name);
    let output = Command::new(python).arg(script).arg(directory).args(more).output().unwrap();
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
        println!("{}", script(&python, &format!("{reader}_reads.py"), directory.path(), &[]));
    }
}

/// `RINGMILL_RECORDS=1000000` makes so many of a few: what came out is what the capture was made of.
#[test]
fn every_record_is_there_once() {
    let Some(python) = python("duckdb") else { return };
    let records = std::env::var("RINGMILL_RECORDS");
    let records: u64 = records.map_or(5000, |text| text.parse().expect("RINGMILL_RECORDS"));
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("many.pcap");
    let mut out = BufWriter::new(File::create(&capture).unwrap());
    let packets = records * 2 + records / 10;
    let made = generate(Mix::Heavy, Limit::Packets(packets), 1, &mut out).unwrap();
    out.flush().unwrap();
    let heads = made.requests + made.responses;
    assert!(heads >= records, "{heads} of {records}: the capture is too small");
    run(&config(directory.path(), &[capture], ""), &["--workers", "2", "--quiet"]);
    println!("{}", script(&python, "same_ids.py", directory.path(), &[&heads.to_string()]));
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
