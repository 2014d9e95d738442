//! Where rows go, and what a crash or a full disk does to them.

use std::{
    os::unix::fs::{FileExt, PermissionsExt},
    thread,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

const AN_HOUR: i64 = 3_600_000_000_000;

/// The numbers below a directory by the directories of their files.
fn by_directory(directory: &TempDir) -> Vec<(String, Vec<i64>)> {
    let mut all = std::collections::BTreeMap::<_, Vec<i64>>::new();
    for path in whole(directory) {
        let (above, _) = path.rsplit_once('/').unwrap();
        let numbers = numbers_in(directory.path().join(&path));
        all.entry(above.to_owned()).or_default().extend(numbers);
    }
    all.into_iter().collect()
}

#[test]
fn rows_go_to_the_directory_of_their_hour() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    let at = |hours: i64| Some(THEN + hours * AN_HOUR);
    // The last row of an hour and the first of the next, and one that comes late.
    sink.write(&numbers_at("r", 0, &[Some(THEN + AN_HOUR - 1), at(1), at(0), at(11)])).unwrap();
    sink.write(&numbers_at("r", 4, &[at(0), at(-14)])).unwrap();
    sink.write(&numbers_at("s", 6, &[at(0)])).unwrap();
    sink.flush().unwrap();
    let expected = [
        ("r/day=2026-05-25/hour=23", vec![5]),
        ("r/day=2026-05-26/hour=13", vec![0, 2, 4]),
        ("r/day=2026-05-26/hour=14", vec![1]),
        ("r/day=2026-05-27/hour=00", vec![3]),
        ("s/day=2026-05-26/hour=13", vec![6]),
    ];
    let expected = expected.map(|(name, numbers)| (name.to_owned(), numbers));
    assert_eq!(by_directory(&directory), expected);
}

#[test]
fn rows_without_a_time_go_to_the_hour_of_writing() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    let before = Hour::now();
    sink.write(&numbers_at("r", 0, &[None, Some(THEN), None])).unwrap();
    sink.flush().unwrap();
    let (found, hours) = (by_directory(&directory), [before, Hour::now()].map(Hour::names));
    assert_eq!(found[0], (format!("r/{HOUR}"), vec![1]));
    let now = hours.map(|(day, hour)| format!("r/{day}/{hour}"));
    assert!(now.contains(&found[1].0) && found[1].1 == [0, 2], "{found:?}");
}

#[test]
fn of_many_hours_the_one_longest_unused_is_closed_first() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    for n in 0..40 {
        sink.write(&numbers_at("r", n, &[Some(THEN + n * AN_HOUR)])).unwrap();
        // Of this one comes something all the time.
        sink.write(&numbers_at("r", 100 + n, &[Some(THEN - AN_HOUR)])).unwrap();
        assert!(sink.tables.len() <= TABLES);
    }
    sink.flush().unwrap();
    let (files, all) = all_numbers(&directory);
    assert_eq!(all, (0..40).chain(100..140).collect::<Vec<_>>());
    assert_eq!(files, 41, "one for each hour, none closed too early");
}

/// A sink that was killed when it had two row groups of a thousand rows on the disk and another
/// ten rows in memory; gives the paths of what it left.
fn killed(directory: &TempDir) -> (PathBuf, PathBuf) {
    let (mut sink, _) = sink(directory, "row_group_rows = 1000");
    for n in 0..2 {
        sink.write(&numbers("r", n * 1000, 1000)).unwrap();
    }
    sink.write(&numbers("r", 2000, 10)).unwrap();
    // It keeps what a footer was recorded for.
    drop(sink);
    let names = paths(directory);
    assert_eq!(names.len(), 2, "{names:?}");
    let path = |ending: &str| {
        directory.path().join(names.iter().find(|name| name.ends_with(ending)).unwrap())
    };
    (path(".inprogress"), path(".footers"))
}

#[test]
fn what_a_killed_engine_left_is_recovered_to_its_last_row_group() {
    let directory = TempDir::new().unwrap();
    let (data, footers) = killed(&directory);
    let (data, footers) = (fs::read(data).unwrap(), fs::read(footers).unwrap());
    // How much of the data belongs to the first group.
    let (first, _) = crate::footers::last(&footers[..footers.len() - 1], u64::MAX).unwrap();
    let first = usize::try_from(first).unwrap();
    let torn = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 1;
        bytes
    };
    let (half, all) = (footers.len() / 2, footers.len());
    let junk = [&data[..], &[7; 5000]].concat();
    let cases: &[(&str, Vec<u8>, Vec<u8>, i64)] = &[
        ("all", data.clone(), footers.clone(), 2000),
        ("half a row group behind", junk, footers.clone(), 2000),
        ("a footer cut off", data.clone(), footers[..all - 1].to_vec(), 1000),
        ("a torn footer", data.clone(), torn(footers.clone(), all - 9), 1000),
        ("all footers torn", data.clone(), torn(footers.clone(), 30), 0),
        ("no footers", data.clone(), vec![], 0),
        ("zeros for footers", data.clone(), vec![0; half], 0),
        ("data cut by a byte", data[..data.len() - 1].to_vec(), footers.clone(), 1000),
        ("data cut in the first group", data[..first - 1].to_vec(), footers.clone(), 0),
        ("no data", vec![], footers.clone(), 0),
    ];
    for (name, data, footers, rows) in cases {
        let directory = TempDir::new().unwrap();
        let (path, beside) = killed(&directory);
        fs::write(&path, data).unwrap();
        fs::write(&beside, footers).unwrap();
        let (mut sink, host) = sink(&directory, "");
        sink.tick(Timestamp(0)).unwrap();
        let (_, found) = all_numbers(&directory);
        assert_eq!(found, (0..*rows).collect::<Vec<_>>(), "{name}");
        let left = paths(&directory);
        assert!(left.iter().all(|path| path.starts_with(&format!("r/{HOUR}/part-"))), "{name}");
        let counters = host.counters();
        let told = (counters["recovered_files"], counters["recovered_rows"]);
        assert_eq!(told, (u64::from(*rows > 0), rows.cast_unsigned()), "{name}");
        let line = format!("recovered {rows} rows in {} files of `", u64::from(*rows > 0));
        assert!(host.logs().iter().any(|(_, said)| said.starts_with(&line)), "{name}");
        // Recovered rows are not this run's, and the next run finds nothing more.
        assert_eq!((counters["files"], counters["bytes"]), (0, 0), "{name}");
    }
}

#[test]
fn a_recovered_file_says_what_every_file_says() {
    let directory = TempDir::new().unwrap();
    let options = format!("directory = {:?}\nrow_group_rows = 1000", directory.path());
    let (host, _) = TestHost::with_manifest();
    let mut sink = Parquet::new(parse_config(&options).unwrap(), &host).unwrap();
    sink.write(&numbers("r", 0, 1000)).unwrap();
    drop(sink);
    Parquet::new(parse_config(&options).unwrap(), &host).unwrap().flush().unwrap();
    let metadata = metadata(directory.path().join(&whole(&directory)[0]));
    let about = metadata.file_metadata().key_value_metadata().unwrap().clone();
    let value = |key: &str| about.iter().find(|it| it.key == key).and_then(|it| it.value.clone());
    assert_eq!(value("ringmill.record").as_deref(), Some("r"));
    let manifest = format!("{{\"first\":{THEN},\"last\":{THEN},\"rows\":1000}}");
    assert_eq!(value(schema::MANIFEST), Some(manifest));
    assert!(metadata.file_metadata().column_orders().is_some(), "statistics are believed");
}

#[test]
fn a_file_that_lacks_only_its_name_gets_it() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    sink.write(&numbers("r", 0, 10)).unwrap();
    let hidden = directory.path().join(&paths(&directory)[0]);
    sink.flush().unwrap();
    fs::rename(directory.path().join(&whole(&directory)[0]), hidden).unwrap();
    let (mut sink, _) = self::sink(&directory, "");
    sink.flush().unwrap();
    assert_eq!(all_numbers(&directory), (1, (0..10).collect()));
}

#[test]
fn recovery_takes_nothing_that_is_not_its_own() {
    let directory = TempDir::new().unwrap();
    let unfinished = directory.path().join("r").join(file::UNFINISHED);
    fs::create_dir_all(&unfinished).unwrap();
    let kept = ["notes", "part-1.parquet.inprogress", "day=x,hour=y,notes.inprogress"];
    let gone = ["day=x,hour=y,part-1.parquet.footers", "day=x,hour=y,part-2.parquet.inprogress"];
    for name in kept.iter().chain(&gone) {
        fs::write(unfinished.join(name), "x").unwrap();
    }
    let (mut sink, _) = sink(&directory, "");
    sink.write(&numbers("r", 0, 0)).unwrap();
    assert_eq!(paths(&directory).len(), 5, "a check must touch nothing");
    sink.flush().unwrap();
    let mut expected = kept.map(|name| format!("r/{}/{name}", file::UNFINISHED));
    expected.sort();
    assert_eq!(paths(&directory), expected);
}

#[test]
fn rows_go_to_the_disk_when_they_are_old() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "row_group_seconds = 20\nrotate_seconds = 300");
    for second in 0..100 {
        sink.write(&numbers("r", second, 1)).unwrap();
        sink.tick(Timestamp(second * SECOND)).unwrap();
    }
    drop(sink);
    let (mut sink, host) = self::sink(&directory, "");
    sink.tick(Timestamp(0)).unwrap();
    let path = directory.path().join(&whole(&directory)[0]);
    let groups: Vec<_> =
        metadata(&path).row_groups().iter().map(|group| group.num_rows()).collect();
    // The tick that sees a row is the first of its twenty seconds.
    assert_eq!(groups, [21, 21, 21, 21]);
    assert_eq!(host.counters()["recovered_rows"], 84);
}

#[test]
fn several_writers_make_the_same_file_as_one() {
    let of = |writers: u8| {
        let directory = TempDir::new().unwrap();
        let (mut sink, _) =
            sink(&directory, &format!("writers = {writers}\nrow_group_rows = 3000"));
        (0..10).for_each(|n| sink.write(&numbers("r", n * 1000, 1000)).unwrap());
        sink.write(&conventional()).unwrap();
        sink.flush().unwrap();
        let names = whole(&directory);
        names.iter().map(|name| read(directory.path().join(name)).1).collect::<Vec<_>>()
    };
    let one = of(1);
    assert_eq!(one.len(), 2);
    for writers in [2, 7, 255] {
        assert_eq!(of(writers), one, "{writers}");
    }
}

#[test]
fn below_the_floor_nothing_is_taken_and_what_is_open_is_closed() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    sink.write(&numbers("r", 0, 10)).unwrap();
    sink.options.free_mib = u64::MAX;
    for _ in 0..2 {
        let error = sink.write(&numbers("r", 10, 10)).unwrap_err();
        let (start, end) = (
            format!("the disk of `{}` has ", directory.path().display()),
            "MiB free, less than `free_mib` = 18446744073709551615; make room, or lower it",
        );
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert!(error.message().starts_with(&start) && error.message().ends_with(end), "{error}");
        assert_eq!(all_numbers(&directory), (1, (0..10).collect()));
    }
    sink.tick(Timestamp(0)).unwrap();
    sink.options.free_mib = 0;
    sink.write(&numbers("r", 10, 10)).unwrap();
    sink.flush().unwrap();
    assert_eq!(all_numbers(&directory), (2, (0..20).collect()));
}

/// Runs a test of this file by itself in a process of its own, through a shell that says this
/// first.
fn alone(test: &str, before: &str, variable: &str, directory: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before}exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tests::layout::{test}")])
        .env(variable, directory);
    command
}

#[test]
fn a_full_disk_costs_no_row_that_was_taken() {
    const RUN: &str = "RINGMILL_TEST_PARQUET_LIMITED";
    // A limit on the size of files stands in for a full disk; it needs a process of its own.
    let Ok(path) = std::env::var(RUN) else {
        let directory = TempDir::new().unwrap();
        let name = "a_full_disk_costs_no_row_that_was_taken";
        let limit = "trap '' XFSZ; ulimit -S -f 800; ";
        let output = alone(name, limit, RUN, directory.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let (mut sink, _) = sink_with(&format!("directory = '{path}'\nrow_group_rows = 1000")).unwrap();
    let mut taken = 0;
    let error = loop {
        match sink.write(&numbers("r", taken, 1000)) {
            Ok(()) => taken += 1000,
            Err(error) => break error,
        }
    };
    let start = format!("cannot write to the directory `{path}/r`: File too large");
    assert!(error.message().starts_with(&start), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
    for _ in 0..3 {
        assert_eq!(sink.write(&numbers("r", taken, 1000)).unwrap_err(), error);
        sink.tick(Timestamp(0)).unwrap();
        assert_eq!(sink.flush().unwrap_err(), error);
    }
    // When there is room again:
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
    sink.write(&numbers("r", taken, 1000)).unwrap();
    sink.flush().unwrap();
    let (files, all) = all_numbers(&path);
    assert_eq!((files, all), (2, (0..taken + 1000).collect()));
    assert_eq!(paths(&path).len(), 2, "nothing half-written is left");
}

#[test]
fn a_batch_of_two_hours_is_taken_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    let (first, second) = (Some(THEN), Some(THEN + AN_HOUR));
    sink.write(&numbers_at("r", 0, &[first])).unwrap();
    let unfinished = directory.path().join("r").join(file::UNFINISHED);
    let mode = |mode| fs::set_permissions(&unfinished, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    // Root may write all the same.
    if fs::write(unfinished.join("x"), "").is_ok() {
        println!("SKIPPED: directories cannot be closed to root");
        return;
    }
    let error = sink.write(&numbers_at("r", 1, &[first, second])).unwrap_err();
    assert!(error.message().contains("Permission denied"), "{error}");
    mode(0o700);
    sink.write(&numbers_at("r", 3, &[first, second])).unwrap();
    sink.flush().unwrap();
    assert_eq!(by_directory(&directory)[1].1, [4]);
}

#[test]
fn kill_9_loses_no_row_group_and_leaves_no_unreadable_file() {
    const RUN: &str = "RINGMILL_TEST_PARQUET_KILLED";
    if let Ok(path) = std::env::var(RUN) {
        let (mut sink, _) =
            sink_with(&format!("directory = '{path}'\nrotate_rows = 5000\nrow_group_rows = 1000"))
                .unwrap();
        let saved = Path::new(&path).join("saved");
        let first: i64 =
            fs::read_to_string(&saved).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        for n in first / 1000.. {
            sink.write(&numbers("r", n * 1000, 1000)).unwrap();
            // A number of a fixed width is overwritten in one go.
            let note = format!("{:08}", (n + 1) * 1000);
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create(true).truncate(false);
            file.open(&saved).unwrap().write_all_at(note.as_bytes(), 0).unwrap();
        }
    }
    // In memory where there is such a place: a kill takes nothing from the disk's cache, and a
    // busy disk takes seconds for each of hundreds of syncs.
    let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let mut unfinished = 0;
    for round in 0..8 {
        let name = "kill_9_loses_no_row_group_and_leaves_no_unreadable_file";
        let mut child =
            alone(name, "", RUN, directory.path()).stdout(Stdio::null()).spawn().unwrap();
        let before = whole(&directory).len();
        let patience = Instant::now();
        while whole(&directory).len() < before + 2 && patience.elapsed().as_secs() < 60 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(round * 1700));
        child.kill().unwrap();
        child.wait().unwrap();
        unfinished += paths(&directory).iter().filter(|it| it.ends_with(".inprogress")).count();
        let (mut sink, _) = sink(&directory, "");
        sink.flush().unwrap();
        let names = paths(&directory);
        assert!(names.iter().all(|it| it.ends_with(".parquet") || it == "saved"), "{names:?}");
        let (_, mut all) = all_numbers(&directory);
        // A batch that was saved and not yet noted comes again.
        all.dedup();
        let saved: i64 =
            fs::read_to_string(directory.path().join("saved")).unwrap().parse().unwrap_or_default();
        assert!(saved >= 9_000 && all.len().cast_signed() as i64 >= saved, "{saved}");
        assert_eq!(all, (0..all.len() as i64).collect::<Vec<_>>(), "round {round}");
    }
    assert!(unfinished > 0, "no round was killed in the middle of a file");
}
