use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use ringmill_sdk::{
    arrow_array::*,
    arrow_schema::*,
    parse_config,
    schema::{self, Kind},
    testing::TestHost,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::*;

fn sink_with(options: &str) -> Result<(Jsonl, Arc<TestHost>)> {
    let (host, test) = TestHost::new(None);
    Ok((Jsonl::new(parse_config(options)?, &host)?, test))
}

fn sink(options: &str) -> Jsonl {
    sink_with(options).unwrap().0
}

/// Numbers from `first`, each padded so that a line has `width` bytes and more.
fn numbers(first: u64, rows: u64, width: usize) -> RecordBatch {
    let schema = schema::record(
        "numbered",
        vec![schema::field("n", DataType::UInt64, Kind::Number), schema::text("pad", Kind::Text)],
    );
    let pad = StringArray::from_iter_values((0..rows).map(|_| "x".repeat(width)));
    let n = UInt64Array::from_iter_values(first..first + rows);
    RecordBatch::try_new(schema, vec![Arc::new(n), Arc::new(pad)]).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(path: impl Into<PathBuf>) -> Vec<Value> {
    let path = path.into();
    let mut text = String::new();
    let file = File::open(&path).unwrap();
    match path.extension().is_some_and(|ending| ending == "zst") {
        true => zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
        false => (&file).read_to_string(&mut text).unwrap(),
    };
    lines(&text)
}

/// The numbers in the lines, and that each line is one of ours.
fn numbers_in(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["n"].as_u64().unwrap()).collect()
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn options_that_cannot_work_are_refused() {
    let directory = TempDir::new().unwrap();
    let at = directory.path().display();
    fs::write(directory.path().join("file"), "").unwrap();
    let cases = [
        ("path = ''".into(), "path", "is empty; name a file, or `-` for standard output".into()),
        (
            format!("path = '{at}'"),
            "path",
            format!("`{at}` is a directory; name a file, such as `{at}/records.jsonl`"),
        ),
        (
            format!("path = '{at}/new/'"),
            "path",
            format!("`{at}/new/` is a directory; name a file, such as `{at}/new/records.jsonl`"),
        ),
        (
            format!("path = '{at}/file/deeper/a.jsonl'"),
            "path",
            format!("`{at}/file` is a file, so `{at}/file/deeper/a.jsonl` cannot be made"),
        ),
        (
            format!("path = '{at}/a'\nrotate_mib = 0"),
            "rotate_mib",
            "must be at least 1; leave it out for no limit".into(),
        ),
        (
            "path = '-'\nrotate_seconds = 60".into(),
            "rotate_seconds",
            "only a file can be renamed, which `-` is not".into(),
        ),
        (
            "path = '/dev/null'\nrotate_mib = 1".into(),
            "rotate_mib",
            "only a file can be renamed, which `/dev/null` is not".into(),
        ),
    ];
    for (options, path, message) in cases {
        let error = sink_with(&options).unwrap_err();
        assert_eq!((error.path(), error.message()), (path, &*message), "{options}");
    }
    assert_eq!(names(&directory), ["file"], "a check must write nothing");
}

#[test]
fn nothing_is_made_before_there_is_a_record() {
    let directory = TempDir::new().unwrap();
    let mut sink = sink(&format!("path = '{}/deep/er/a.jsonl'", directory.path().display()));
    sink.write(&numbers(0, 0, 0)).unwrap();
    sink.tick(Timestamp(0)).unwrap();
    sink.flush().unwrap();
    assert_eq!(names(&directory), [""; 0]);
    sink.write(&numbers(0, 3, 0)).unwrap();
    // Written without a flush: a plain file never waits.
    let path = directory.path().join("deep/er/a.jsonl");
    assert_eq!(numbers_in(&read(path)), [0, 1, 2]);
}

#[test]
fn compression_goes_by_the_ending_unless_it_is_given() {
    let cases = [
        ("a.jsonl", "", false),
        ("a.jsonl.zst", "", true),
        ("a.jsonl.zst", "compression = 'none'", false),
        ("a.jsonl", "compression = 'zstd'", true),
    ];
    for (name, more, compressed) in cases {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(name);
        let mut sink = sink(&format!("path = '{}'\n{more}", path.display()));
        sink.write(&numbers(0, 100, 10)).unwrap();
        sink.flush().unwrap();
        let magic = fs::read(path).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(magic, compressed, "{name} {more}");
    }
}

#[test]
fn a_zstd_frame_ends_when_it_is_full_or_old_or_flushed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.jsonl.zst");
    let (mut sink, log) = sink_with(&format!("path = '{}'", path.display())).unwrap();
    sink.write(&numbers(0, 10, 10)).unwrap();
    assert!(!path.exists(), "a small batch waits for its frame");
    sink.tick(Timestamp(0)).unwrap();
    sink.tick(Timestamp(4 * SECOND)).unwrap();
    assert!(!path.exists());
    sink.tick(Timestamp(5 * SECOND)).unwrap();
    assert_eq!(read(&path).len(), 10);
    sink.write(&numbers(10, 1100, 1000)).unwrap();
    assert_eq!(read(&path).len(), 1110, "a full frame does not wait");
    sink.write(&numbers(1110, 1, 10)).unwrap();
    assert_eq!(read(&path).len(), 1110);
    sink.flush().unwrap();
    assert_eq!(numbers_in(&read(&path)), (0..1111).collect::<Vec<_>>());
    assert_eq!(log.counters()["bytes"], path.metadata().unwrap().len());
    assert_eq!(log.counters()["files"], 1);

    // What is left of a file that was cut off: all lines of the frames before the cut, and
    // perhaps some of the cut one.
    let whole = fs::read(&path).unwrap();
    let cut = directory.path().join("cut.zst");
    fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    let mut text = String::new();
    let mut reader = zstd::Decoder::new(File::open(&cut).unwrap()).unwrap();
    reader.read_to_string(&mut text).unwrap_err();
    let end = text.rfind('\n').unwrap();
    assert_eq!(lines(&text[..end]).len(), 1110);
}

#[test]
fn a_file_of_an_earlier_run_is_kept_under_another_name() {
    let directory = TempDir::new().unwrap();
    let options = format!("path = '{}/records.jsonl'", directory.path().display());
    for run in 0..3 {
        let (mut sink, log) = sink_with(&options).unwrap();
        sink.write(&numbers(run * 10, 2, 0)).unwrap();
        sink.write(&numbers(run * 10 + 2, 1, 0)).unwrap();
        sink.flush().unwrap();
        let told = log.logs().iter().any(|(_, line)| line.contains("of an earlier run as"));
        assert_eq!(told, run > 0, "{:?}", log.logs());
    }
    let names = names(&directory);
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[2], "records.jsonl");
    assert_eq!(numbers_in(&read(directory.path().join("records.jsonl"))), [20, 21, 22]);
    let mut kept: Vec<_> =
        names[..2].iter().map(|name| numbers_in(&read(directory.path().join(name)))).collect();
    kept.sort();
    assert_eq!(kept, [[0, 1, 2], [10, 11, 12]]);
    for name in &names[..2] {
        let (time, number) = name["records-".len()..].split_once('-').unwrap();
        assert_eq!((time.len(), &time[8..9], &time[15..]), (16, "T", "Z"), "{name}");
        assert!(["000001.jsonl", "000002.jsonl"].contains(&number), "{name}");
    }
}

#[test]
fn half_a_line_of_a_killed_run_stays_at_the_end_of_its_own_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("records.jsonl");
    fs::write(&path, "{\"record\":\"r\"}\n{\"rec").unwrap();
    let mut sink = sink(&format!("path = '{}'", path.display()));
    sink.write(&numbers(0, 2, 0)).unwrap();
    assert_eq!(numbers_in(&read(&path)), [0, 1]);
    let aside = directory.path().join(&names(&directory)[0]);
    assert_eq!(fs::read_to_string(aside).unwrap(), "{\"record\":\"r\"}\n{\"rec");
}

#[test]
fn a_link_is_followed_so_that_data_stays_on_its_disk() {
    let directory = TempDir::new().unwrap();
    let disk = TempDir::new().unwrap();
    let link = directory.path().join("records.jsonl");
    fs::write(disk.path().join("real.jsonl"), "{}\n").unwrap();
    std::os::unix::fs::symlink(disk.path().join("real.jsonl"), &link).unwrap();
    let mut sink = sink(&format!("path = '{}'", link.display()));
    sink.write(&numbers(0, 2, 0)).unwrap();
    assert!(link.is_symlink());
    assert_eq!(names(&disk).len(), 2, "{:?}", names(&disk));
    assert_eq!(numbers_in(&read(&link)), [0, 1]);
}

#[test]
fn two_sinks_with_one_path_do_not_take_it_from_each_other() {
    let directory = TempDir::new().unwrap();
    let options = format!("path = '{}/a.jsonl'", directory.path().display());
    let (mut one, mut two) = (sink(&options), sink(&options));
    one.write(&numbers(0, 1, 0)).unwrap();
    let error = two.write(&numbers(1, 1, 0)).unwrap_err();
    assert!(error.message().contains("is being written by another engine or another sink"));
    one.write(&numbers(2, 1, 0)).unwrap();
    assert_eq!(numbers_in(&read(directory.path().join("a.jsonl"))), [0, 2]);
    drop(one);
    two.write(&numbers(3, 1, 0)).unwrap();
    assert_eq!(numbers_in(&read(directory.path().join("a.jsonl"))), [3]);
}

#[test]
fn rotation_by_size_loses_and_repeats_nothing() {
    for ending in ["jsonl", "jsonl.zst"] {
        let directory = TempDir::new().unwrap();
        let path = format!("{}/a.{ending}", directory.path().display());
        let (mut sink, log) =
            sink_with(&format!("path = '{path}'\ncompression = 'none'\nrotate_mib = 1")).unwrap();
        for n in 0..50 {
            sink.write(&numbers(n * 100, 100, 1000)).unwrap();
        }
        sink.flush().unwrap();
        let names = names(&directory);
        assert_eq!(names.len(), 5, "{names:?}");
        assert_eq!(log.counters()["files"], 5);
        let mut all = Vec::new();
        let mut bytes = 0;
        for name in &names {
            assert!(name.starts_with('a') && name.ends_with(ending), "{name}");
            let text = fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(text.len() < 2 << 20, "{name}: {}", text.len());
            bytes += text.len() as u64;
            all.extend(numbers_in(&lines(&text)));
        }
        all.sort_unstable();
        assert_eq!(all, (0..5000).collect::<Vec<_>>());
        assert_eq!(log.counters()["bytes"], bytes);
    }
}

#[test]
fn rotation_by_age_counts_from_the_first_tick_that_saw_the_file() {
    let directory = TempDir::new().unwrap();
    let mut sink =
        sink(&format!("path = '{}/a.jsonl.zst'\nrotate_seconds = 60", directory.path().display()));
    let tick = |sink: &mut Jsonl, second: i64| sink.tick(Timestamp(second * SECOND)).unwrap();
    sink.write(&numbers(0, 1, 0)).unwrap();
    sink.flush().unwrap();
    tick(&mut sink, 1000);
    tick(&mut sink, 1059);
    assert_eq!(names(&directory).len(), 1);
    sink.write(&numbers(1, 1, 0)).unwrap();
    tick(&mut sink, 1060);
    assert_eq!(names(&directory).len(), 1, "renamed");
    assert!(!directory.path().join("a.jsonl.zst").exists());
    // An hour without records makes no files.
    (1061..4661).for_each(|second| tick(&mut sink, second));
    assert_eq!(names(&directory).len(), 1);
    sink.write(&numbers(2, 1, 0)).unwrap();
    sink.flush().unwrap();
    // A clock that is set back does not keep the file open for ever.
    tick(&mut sink, 4661);
    tick(&mut sink, 100);
    tick(&mut sink, 160);
    let names = names(&directory);
    assert_eq!(names.len(), 2, "{names:?}");
    let mut all: Vec<_> =
        names.iter().map(|name| numbers_in(&read(directory.path().join(name)))).collect();
    all.sort();
    assert_eq!(all, [vec![0, 1], vec![2]]);
}

#[test]
fn a_full_disk_is_one_sentence_and_no_panic() {
    let mut sink = sink("path = '/dev/full'");
    for _ in 0..2 {
        let error = sink.write(&numbers(0, 10, 0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write `/dev/full`: No space left on device (os error 28)"
        );
    }
    sink.flush().unwrap();
}

#[test]
fn a_batch_that_could_not_be_written_leaves_nothing_behind() {
    // A limit on the size of files stands in for a full disk; it needs a process of its own.
    if let Ok(path) = std::env::var("RINGMILL_TEST_LIMITED_PATH") {
        let mut sink = sink(&format!("path = '{path}'"));
        let mut taken = Vec::new();
        for n in 0..10 {
            match sink.write(&numbers(n * 1000, 1000, [100, 200, 300][taken.len() % 3])) {
                Ok(()) => taken.push(n),
                Err(error) => assert!(error.message().contains("File too large"), "{error}"),
            }
        }
        sink.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n"));
        let expected: Vec<u64> = taken.iter().flat_map(|n| n * 1000..n * 1000 + 1000).collect();
        assert_eq!(numbers_in(&lines(&text)), expected);
        assert!((1..10).contains(&taken.len()), "{taken:?}");
        return;
    }
    let directory = TempDir::new().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 800; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "tests::a_batch_that_could_not_be_written_leaves_nothing_behind"])
        .env("RINGMILL_TEST_LIMITED_PATH", directory.path().join("a.jsonl"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_one_sentence_and_no_panic() {
    // Standard output belongs to the test runner, so this too needs a process of its own.
    if std::env::var_os("RINGMILL_TEST_STDOUT").is_some() {
        let mut sink = sink("path = '-'");
        let error = loop {
            if let Err(error) = sink.write(&numbers(0, 1000, 100)) {
                break error;
            }
        };
        fs::write(std::env::var("RINGMILL_TEST_STDOUT").unwrap(), error.to_string()).unwrap();
        std::process::exit(0);
    }
    let directory = TempDir::new().unwrap();
    let said = directory.path().join("said");
    let output = Command::new("sh")
        .args(["-c", "\"$0\" \"$@\" | grep --max-count=2 '\"record\"'"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("tests::a_reader_that_goes_away_is_one_sentence_and_no_panic")
        .env("RINGMILL_TEST_STDOUT", &said)
        .output()
        .unwrap();
    assert_eq!(
        fs::read_to_string(said).unwrap(),
        "whoever read standard output has gone away (`head`, perhaps), so the remaining records \
         have nowhere to go"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let kept: String =
        text.lines().map(|line| &line[line.find('{').unwrap()..]).collect::<Vec<_>>().join("\n");
    assert_eq!(numbers_in(&lines(&kept)), [0, 1]);
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let mut sink = sink("path = '/proc/nowhere/a.jsonl'");
    let error = sink.write(&numbers(0, 1, 0)).unwrap_err();
    assert!(error.message().starts_with("cannot make the directory `/proc/nowhere`: "), "{error}");
}

/// The manifest beside a file; in tests it holds the rows of its span.
fn rows_beside(path: impl Into<PathBuf>) -> u64 {
    let text = fs::read_to_string(sidecar::beside(&path.into())).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["rows"].as_u64().unwrap()
}

#[test]
fn a_file_has_its_manifest_beside_it_from_its_first_line_on() {
    for ending in ["", ".zst"] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(format!("a.jsonl{ending}"));
        let (host, _) = TestHost::with_manifest();
        let options = format!("path = {path:?}\nrotate_seconds = 60");
        let sink = || Jsonl::new(parse_config(&options).unwrap(), &host).unwrap();
        let mut first = sink();
        assert!(names(&directory).is_empty(), "something was written before a line");
        first.write(&numbers(0, 3, 0)).unwrap();
        // Ticks see the waiting lines written, the file open, and it old.
        for second in [0, 5, 6] {
            first.tick(Timestamp(second * SECOND)).unwrap();
        }
        assert!(sidecar::beside(&path).exists(), "a killed run would leave none");
        first.write(&numbers(3, 2, 0)).unwrap();
        first.flush().unwrap();
        assert_eq!(rows_beside(&path), 5);
        first.write(&numbers(5, 2, 0)).unwrap();
        first.tick(Timestamp(7 * SECOND)).unwrap();
        first.tick(Timestamp(70 * SECOND)).unwrap();
        let aside: Vec<_> = names(&directory);
        assert_eq!(aside.len(), 2, "{aside:?}");
        assert_eq!(rows_beside(directory.path().join(&aside[0])), 7, "{aside:?}");

        // The next file counts anew, and that of another run is renamed with its own.
        first.write(&numbers(7, 1, 0)).unwrap();
        first.flush().unwrap();
        assert_eq!(rows_beside(&path), 1);
        drop(first);
        let mut second = sink();
        second.write(&numbers(0, 4, 0)).unwrap();
        second.flush().unwrap();
        let mut rows: Vec<_> = names(&directory)
            .into_iter()
            .filter(|name| !name.ends_with(".manifest.json"))
            .map(|name| (rows_beside(directory.path().join(&name)), name))
            .map(|(rows, name)| (rows, read(directory.path().join(name)).len() as u64))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [(1, 1), (4, 4), (7, 7)], "{:?}", names(&directory));
    }
}

#[test]
fn what_is_no_file_has_no_manifest_and_one_that_cannot_be_written_is_an_error() {
    let (host, test) = TestHost::with_manifest();
    let sink =
        |path: &str| Jsonl::new(parse_config(&format!("path = {path:?}")).unwrap(), &host).unwrap();
    let mut device = sink("/dev/null");
    device.write(&numbers(0, 1, 0)).unwrap();
    device.flush().unwrap();
    assert!(test.logs().iter().any(|(_, line)| line.starts_with("no manifest: ")));
    assert!(!sidecar::beside(Path::new("/dev/null")).exists());

    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.jsonl");
    fs::create_dir(sidecar::beside(&path)).unwrap();
    let error = sink(path.to_str().unwrap()).write(&numbers(0, 1, 0)).unwrap_err();
    assert!(error.message().starts_with("cannot write the manifest beside `"), "{error}");
}
