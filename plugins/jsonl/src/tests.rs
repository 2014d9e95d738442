use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use ringmill_sdk::{
    arrow_array::{builder::*, *},
    arrow_schema::*,
    columns::{Addresses, TextMap, Times},
    map_v4, parse_config,
    schema::{self, Kind},
    testing::TestHost,
};
use serde_json::{Value, json};
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

/// What a line shows of one row of one column.
fn shown(field: Field, array: ArrayRef) -> Result<Vec<Value>> {
    let batch = RecordBatch::try_new(schema::record("r", vec![field]), vec![array])?;
    let mut out = Vec::new();
    lines::Layouts::default().append(&batch, &mut out)?;
    Ok(lines(&String::from_utf8(out).unwrap()))
}

#[test]
fn a_line_has_the_columns_of_the_record_in_order_and_leaves_out_nulls() {
    let schema = schema::record(
        "http_request",
        vec![
            schema::time("time"),
            schema::address("src_ip"),
            schema::field("src_port", DataType::UInt16, Kind::Number),
            schema::field("flow", DataType::UInt64, Kind::Flow),
            schema::text("host", Kind::Header),
            schema::text("referer", Kind::Url),
            schema::map("extras", Kind::Header),
        ],
    );
    let (mut times, mut addresses, mut extras) =
        (Times::default(), Addresses::default(), TextMap::default());
    times.push(Timestamp(1_354_330_470_191_989_000));
    times.push(Timestamp(-1));
    addresses.push(&map_v4([192, 0, 2, 7]));
    addresses.push(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    extras.put("accept", "*/*");
    extras.put("x-\"odd\"", "a\tb");
    extras.end_row();
    extras.end_row();
    let batch = RecordBatch::try_new(
        schema,
        vec![
            times.finish(),
            addresses.finish().unwrap(),
            Arc::new(UInt16Array::from(vec![54321, 80])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
            Arc::new(StringArray::from(vec![Some("b\u{fc}cher.example"), None])),
            new_null_array(&DataType::Utf8, 2),
            extras.finish().unwrap(),
        ],
    )
    .unwrap();

    let mut out = Vec::new();
    Layouts::default().append(&batch, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"record":"http_request","time":"2012-12-01T02:54:30.191989000Z","#,
            r#""src_ip":"192.0.2.7","src_port":54321,"flow":18446744073709551615,"#,
            "\"host\":\"b\u{fc}cher.example\",",
            r#""extras":{"accept":"*/*","x-\"odd\"":"a\tb"}}"#,
            "\n",
            r#"{"record":"http_request","time":"1969-12-31T23:59:59.999999999Z","#,
            r#""src_ip":"2001:db8::1","src_port":80}"#,
            "\n",
        )
    );
}

#[test]
fn every_type_has_its_form() {
    let field = |data_type: &DataType| Field::new("v", data_type.clone(), true);
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let mut list = ListBuilder::new(Float64Builder::new()).with_field(item);
    list.append_value([Some(1.5), None, Some(f64::INFINITY)]);
    list.append_null();
    let mut words = StringDictionaryBuilder::<types::Int8Type>::new();
    words.append_value("GET");
    words.append_null();
    let pair = StructArray::from(vec![
        (
            Arc::new(Field::new("a", DataType::Int8, true)),
            Arc::new(Int8Array::from(vec![Some(1), None])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("b", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef,
        ),
    ]);
    let cases: Vec<(ArrayRef, Value, Value)> = vec![
        (Arc::new(NullArray::new(2)), Value::Null, Value::Null),
        (Arc::new(BooleanArray::from(vec![true, false])), json!(true), json!(false)),
        (Arc::new(Int8Array::from(vec![i8::MIN, 1])), json!(-128), json!(1)),
        (Arc::new(Int16Array::from(vec![i16::MIN, 1])), json!(-32768), json!(1)),
        (Arc::new(Int32Array::from(vec![i32::MIN, 1])), json!(i32::MIN), json!(1)),
        (Arc::new(Int64Array::from(vec![i64::MIN, 1])), json!(i64::MIN), json!(1)),
        (Arc::new(UInt8Array::from(vec![255, 1])), json!(255), json!(1)),
        (Arc::new(UInt32Array::from(vec![u32::MAX, 1])), json!(u32::MAX), json!(1)),
        (Arc::new(Float32Array::from(vec![0.5, f32::NAN])), json!(0.5), Value::Null),
        (Arc::new(Float64Array::from(vec![1e300, f64::NEG_INFINITY])), json!(1e300), Value::Null),
        (Arc::new(LargeStringArray::from(vec!["a", ""])), json!("a"), json!("")),
        (
            Arc::new(StringViewArray::from(vec!["a", "longer than twelve bytes"])),
            json!("a"),
            json!("longer than twelve bytes"),
        ),
        (Arc::new(BinaryArray::from(vec![&b"\x00\xfe"[..], b""])), json!("00fe"), json!("")),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1, 2], [3, 0xff]].iter()).unwrap()),
            json!("0102"),
            json!("03ff"),
        ),
        (Arc::new(Date32Array::from(vec![0, -1])), json!("1970-01-01"), json!("1969-12-31")),
        (
            Arc::new(TimestampSecondArray::from(vec![1, i64::MAX])),
            json!("1970-01-01T00:00:01.000000000"),
            json!("9999-12-31T23:59:59.999999999"),
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![1, -1]).with_timezone("+00:00")),
            json!("1970-01-01T00:00:00.000001000Z"),
            json!("1969-12-31T23:59:59.999999000Z"),
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![1, -1]).with_timezone("Europe/Berlin")),
            json!("1970-01-01T00:00:00.001000000Z"),
            json!("1969-12-31T23:59:59.999000000Z"),
        ),
        (Arc::new(list.finish()), json!([1.5, null, null]), Value::Null),
        (Arc::new(words.finish()), json!("GET"), Value::Null),
        (Arc::new(pair), json!({"a": 1, "b": "x"}), json!({"b": "y"})),
    ];
    for (array, first, second) in cases {
        let data_type = array.data_type().clone();
        let rows = shown(field(&data_type), array.clone()).unwrap();
        for (row, expected) in rows.iter().zip([&first, &second]) {
            let value = row.get("v").cloned().unwrap_or_default();
            assert_eq!(value, *expected, "{data_type}");
        }
        // The same of a slice, whose buffers begin elsewhere.
        let rows = shown(field(&data_type), array.slice(1, 1)).unwrap();
        assert_eq!(rows[0].get("v").cloned().unwrap_or_default(), second, "{data_type}, slice");
    }
}

#[test]
fn addresses_and_maps_of_a_slice_are_those_of_its_rows() {
    let (mut addresses, mut extras) = (Addresses::default(), TextMap::default());
    for n in 0..4 {
        addresses.push(&map_v4([10, 0, 0, n]));
        extras.put("n", &n.to_string());
        extras.end_row();
    }
    let fields = vec![schema::address("ip"), schema::map("extras", Kind::Header)];
    let columns = vec![addresses.finish().unwrap(), extras.finish().unwrap()];
    let batch = RecordBatch::try_new(schema::record("r", fields), columns).unwrap();
    let mut out = Vec::new();
    Layouts::default().append(&batch.slice(2, 2), &mut out).unwrap();
    let rows = lines(&String::from_utf8(out).unwrap());
    assert_eq!(rows[0], json!({"record": "r", "ip": "10.0.0.2", "extras": {"n": "2"}}));
    assert_eq!(rows[1], json!({"record": "r", "ip": "10.0.0.3", "extras": {"n": "3"}}));
}

#[test]
fn a_type_without_a_form_is_refused_by_name_even_when_there_are_no_rows() {
    let decimal = DataType::Decimal128(10, 2);
    let map = |key: DataType| {
        let entries = Fields::from(vec![
            Field::new("key", key, false),
            Field::new("value", DataType::Utf8, true),
        ]);
        DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
    };
    let cases = [
        decimal.clone(),
        DataType::Duration(TimeUnit::Second),
        DataType::List(Arc::new(Field::new("item", decimal.clone(), true))),
        DataType::Struct(Fields::from(vec![Field::new("a", decimal, true)])),
        map(DataType::Int32),
    ];
    for data_type in cases {
        let error = shown(Field::new("v", data_type.clone(), true), new_empty_array(&data_type))
            .unwrap_err();
        let start = format!("column `v` is of type {data_type}, which JSON Lines has no form for");
        assert!(error.message().starts_with(&start), "{error}");
    }
    for fields in [["record", "a"], ["a", "a"]] {
        let fields = fields.map(|name| schema::text(name, Kind::Text)).to_vec();
        let batch = RecordBatch::new_empty(schema::record("twice", fields));
        let error = Layouts::default().append(&batch, &mut Vec::new()).unwrap_err();
        assert!(error.message().starts_with("two columns of `twice` are called"), "{error}");
    }
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
