//! What a kill and a full disk cost the Parquet files: no row group that was on the disk, and no
//! row that was acknowledged.
//!
//! Two rounds each; `RINGMILL_ROUNDS=20` for more.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use arrow_array::cast::AsArray as _;
use common::{asked, engine, own_captures, rows, skipped, whole_chain, write_config};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::metadata::ParquetMetaDataReader,
};
use ringmill::sdk::render;
use ringmill_bench::workload::{Limit, Mix, generate};
use serde_json::Value;

/// How often each id was found.
type Ids = BTreeMap<String, usize>;

fn rounds() -> u64 {
    asked("RINGMILL_ROUNDS").unwrap_or(2)
}

/// A capture of so many packets, half of which are heads.
fn heavy(directory: &Path, packets: u64) -> PathBuf {
    let capture = directory.join("heavy.pcap");
    let mut out = BufWriter::new(File::create(&capture).unwrap());
    generate(Mix::Heavy, Limit::Packets(packets), 7, &mut out).unwrap();
    out.flush().unwrap();
    capture
}

/// The chain with fixed keys, so that a row has one id in all runs, and these sinks.
fn config(directory: &Path, capture: &Path, engine: &str, sinks: &str) -> PathBuf {
    let text = format!(
        "[engine]\nledger = {:?}\n{engine}\n{}{sinks}",
        directory.join("ledger.json"),
        whole_chain(directory, &[capture]),
    );
    write_config(directory, &text)
}

fn ledger(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("ledger.json")).unwrap()).unwrap()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}

/// The files below a directory whose names end so.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(directory, &mut found);
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found
}

/// The ids in all Parquet files below a directory, every one of which can be read.
fn ids(directory: &Path) -> Ids {
    let mut ids = Ids::new();
    for path in files(directory, ".parquet") {
        let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for records in file.build().unwrap() {
            let records = records.unwrap();
            let column = records.column_by_name("record_id").unwrap().as_binary::<i32>();
            for id in column.iter().flatten() {
                let mut text = Vec::new();
                render::uuid(id.try_into().unwrap(), &mut text);
                *ids.entry(String::from_utf8(text).unwrap()).or_default() += 1;
            }
        }
    }
    ids
}

fn ids_of_lines(path: &Path) -> Ids {
    let mut ids = Ids::new();
    for row in rows(path) {
        *ids.entry(row["record_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    ids
}

/// Rows that the last whole footer beside an unfinished file names; see the `footers` of the sink.
fn recorded(footers: &Path) -> u64 {
    let bytes = fs::read(footers).unwrap();
    let (mut rest, mut rows) = (&bytes[..], 0);
    while let Some((head, after)) = rest.split_at_checked(20) {
        let len = usize::try_from(u32::from_le_bytes(head[12..16].try_into().unwrap())).unwrap();
        let Some((footer, after)) = after.split_at_checked(len) else { break };
        let metadata = ParquetMetaDataReader::decode_metadata(&footer[..len - 8]).unwrap();
        rows = metadata.file_metadata().num_rows();
        rest = after;
    }
    rows.cast_unsigned()
}

#[test]
fn a_killed_engine_loses_no_row_group_and_leaves_only_readable_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let capture = heavy(at, 100_000);
    let out = at.join("out");
    let sink = format!(
        "[[sink]]\nuse = \"parquet\"\ndirectory = {out:?}\nrow_group_rows = 1000\n\
         rotate_rows = 10000\n"
    );
    let whole = config(at, &capture, "", &sink);
    let started = Instant::now();
    common::run(&whole, &["--quiet"]);
    let took = started.elapsed();
    let truth = ids(&out);
    let (mut recovered_rows, mut killed) = (0, 0);
    for round in 0..rounds() {
        fs::remove_dir_all(&out).unwrap();
        let config = config(at, &capture, "", &sink);
        let mut child = engine();
        child.arg("--config").arg(&config).arg("--quiet").stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        // Later and later, and never at the same place.
        let part = (round * 37 + 30) % 71;
        thread::sleep(took * u32::try_from(part).unwrap() / 100);
        // SIGKILL.
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        let before: usize = ids(&out).values().sum();
        let left = files(&out, ".footers");
        let expected: u64 = left.iter().map(|footers| recorded(footers)).sum();
        // A run of something small, after which all is in order.
        let config = self::config(at, &own_captures()[0], "", &sink);
        common::run(&config, &["--quiet"]);
        let ledger = ledger(at);
        let sink = &ledger["sinks"][0];
        let counter = |name: &str| {
            let counters = sink["counters"].as_array().unwrap();
            counters.iter().find(|it| it[0] == name).and_then(|it| it[1].as_u64()).unwrap()
        };
        assert_eq!(counter("recovered_rows"), expected, "round {round}: {left:?}");
        recovered_rows += expected;
        let unfinished: Vec<_> =
            [".inprogress", ".footers"].iter().flat_map(|ending| files(&out, ending)).collect();
        assert!(unfinished.is_empty(), "round {round}: {unfinished:?}");
        let found = ids(&out);
        let own = usize::try_from(sink["acknowledged"].as_u64().unwrap()).unwrap();
        let sum: usize = found.values().sum();
        assert_eq!(sum, before + usize::try_from(expected).unwrap() + own, "round {round}");
        let strange = found.iter().filter(|(id, n)| truth.get(*id).is_none_or(|all| *n > all));
        assert_eq!(strange.map(|(_, n)| n).sum::<usize>(), own, "round {round}: made up or twice");
        if let Some(python) = common::python("duckdb") {
            let count = format!("SELECT count(*) FROM '{}/*/**/*.parquet'", out.display());
            let code = "import duckdb, sys; print(duckdb.sql(sys.argv[1]).fetchall()[0][0])";
            let output = Command::new(python).args(["-c", code, &count]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert_eq!(said, sum.to_string(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    println!(
        "{killed} of {} runs were killed before their end; {recovered_rows} rows were \
              recovered, none lost that a footer was recorded for",
        rounds()
    );
    assert!(killed > 0, "every run was done before it was killed");
}

/// The variable with the directory of the process that has a disk of its own.
const OWN_DISK: &str = "RINGMILL_TEST_OWN_DISK";

#[test]
fn a_full_disk_loses_nothing() {
    if let Ok(directory) = std::env::var(OWN_DISK) {
        return fill_the_disk(Path::new(&directory));
    }
    if !rustix::process::geteuid().is_root() {
        return skipped("a disk of its own needs root");
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // The mount goes with the namespace.
    let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(&disk)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_loses_nothing", "--nocapture"])
        .env(OWN_DISK, directory.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains("permission denied") || said.contains("Operation not permitted") {
        return skipped("this machine lets nobody mount anything");
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{}", said.lines().filter(|line| line.contains("rounds")).collect::<String>());
}

fn fill_the_disk(at: &Path) {
    let disk = at.join("disk");
    // It is the small one.
    assert_ne!(disk.metadata().unwrap().dev(), at.metadata().unwrap().dev());
    let capture = heavy(at, 60_000);
    let (out, ballast, lines) = (disk.join("out"), disk.join("ballast"), at.join("lines.jsonl"));
    let (mut full, mut twice) = (0, 0);
    for round in 0..rounds() {
        let _ = fs::remove_dir_all(&out);
        // Down to the last byte, or to a floor; rows that wait, or that are spilled.
        let floor = if round % 4 < 2 { 0 } else { 3 };
        let spills = round % 2 == 1;
        let (when_full, engine) = match spills {
            true => ("spill", format!("spill = {:?}", at.join("spill"))),
            false => ("block", String::new()),
        };
        let config = config(
            at,
            &capture,
            &engine,
            &format!(
                "[[sink]]\nuse = \"parquet\"\ndirectory = {out:?}\nrow_group_rows = 1000\n\
                 rotate_rows = 5000\nfree_mib = {floor}\nwhen_full = {when_full:?}\n\
                 retry_seconds = 1\n[[sink]]\nuse = \"jsonl\"\npath = {lines:?}\n"
            ),
        );
        // Some hundred KiB are left, of which the records need several times as much.
        let room = (floor << 20) + 100_000 + round * 61_000 % 700_000;
        let file = File::create(&ballast).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, (16 << 20) - room)
            .unwrap();
        // Open it would keep its room when it is removed.
        drop(file);
        let _ = fs::remove_file(&lines);
        let said = at.join("stderr");
        let mut child = self::engine()
            .arg("--config")
            .arg(&config)
            .arg("--quiet")
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let patience = Instant::now();
        let told = || fs::read_to_string(&said).unwrap().contains("takes no records: ");
        while !told() && child.try_wait().unwrap().is_none() && patience.elapsed().as_secs() < 30 {
            thread::sleep(Duration::from_millis(5));
        }
        full += u64::from(told());
        thread::sleep(Duration::from_millis(round * 97 % 900));
        fs::remove_file(&ballast).unwrap();
        let status = child.wait().unwrap();
        let err = fs::read_to_string(&said).unwrap();
        assert!(status.success(), "round {round}: {err}");
        let ledger = ledger(at);
        assert_eq!(ledger["imbalances"], serde_json::json!([]), "round {round}");
        assert_eq!(ledger["sinks"][0]["acknowledged"], ledger["rows"], "round {round}: {err}");
        let (found, truth) = (ids(&out), ids_of_lines(&lines));
        if spills {
            // What was not acknowledged when the disk was full comes again.
            let missing = truth.iter().filter(|(id, n)| found.get(*id).is_none_or(|all| all < n));
            assert_eq!(missing.count(), 0, "round {round}: {err}");
            assert!(found.keys().all(|id| truth.contains_key(id)), "round {round}");
            twice += found.values().sum::<usize>() - truth.values().sum::<usize>();
        } else {
            assert!(found == truth, "round {round}: {err}");
        }
        let left = files(&out, ".inprogress");
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    println!("the disk was full in {full} of {} rounds; {twice} rows came twice", rounds());
    assert!(full > 0, "the disk was never full");
}
