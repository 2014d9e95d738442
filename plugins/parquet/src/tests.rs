use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    basic::Encoding,
    file::{
        metadata::ParquetMetaData, reader::FileReader, serialized_reader::SerializedFileReader,
    },
};
use ringmill_sdk::{
    arrow_array::{builder::*, cast::AsArray, types, *},
    arrow_schema::*,
    columns::{Addresses, TextMap, Times},
    map_v4, parse_config,
    schema::Kind,
    testing::TestHost,
};
use tempfile::TempDir;

use crate::*;

mod layout;

fn sink_with(options: &str) -> Result<(Parquet, Arc<TestHost>)> {
    let (host, test) = TestHost::new(None);
    Ok((Parquet::new(parse_config(options)?, &host)?, test))
}

fn sink(directory: &TempDir, more: &str) -> (Parquet, Arc<TestHost>) {
    sink_with(&format!("directory = '{}'\n{more}", directory.path().display())).unwrap()
}

/// In this hour, in nanoseconds since 1970.
const THEN: i64 = 1_779_800_400_000_000_000;
const HOUR: &str = "day=2026-05-26/hour=13";

/// Rows `first..first + rows` of a record type; `pad` is text that does not compress.
fn numbers(record: &str, first: i64, rows: i64) -> RecordBatch {
    numbers_at(record, first, &vec![Some(THEN); usize::try_from(rows).unwrap()])
}

/// The same with these times.
fn numbers_at(record: &str, first: i64, times: &[Option<i64>]) -> RecordBatch {
    let rows = i64::try_from(times.len()).unwrap();
    let fields = vec![
        schema::field("n", DataType::Int64, Kind::Number),
        schema::text("pad", Kind::Text),
        schema::time("time").with_nullable(true),
    ];
    let pad = (first..first + rows).map(|n| {
        let mix = |n: i64| n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{:016x}{:016x}", mix(n), mix(mix(n).cast_signed() >> 7))
    });
    RecordBatch::try_new(
        schema::record(record, fields),
        vec![
            Arc::new(Int64Array::from_iter_values(first..first + rows)),
            Arc::new(StringArray::from_iter_values(pad)),
            Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("+00:00")),
        ],
    )
    .unwrap()
}

/// The paths below a directory, hidden ones too, relative to it.
fn paths(directory: impl AsRef<Path>) -> Vec<String> {
    fn walk(above: &Path, at: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(above, &path, out),
                false => out.push(path.strip_prefix(above).unwrap().display().to_string()),
            }
        }
    }
    let mut out = Vec::new();
    walk(directory.as_ref(), directory.as_ref(), &mut out);
    out.sort();
    out
}

fn whole(directory: impl AsRef<Path>) -> Vec<String> {
    let mut paths = paths(directory);
    paths.retain(|path| path.ends_with(".parquet"));
    paths
}

fn read(path: impl AsRef<Path>) -> (SchemaRef, Vec<RecordBatch>) {
    let file = File::open(path.as_ref()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
    (reader.schema().clone(), reader.build().unwrap().map(Result::unwrap).collect())
}

fn numbers_in(path: impl AsRef<Path>) -> Vec<i64> {
    let (_, batches) = read(path);
    let columns = batches.iter().map(|batch| batch.column_by_name("n").unwrap());
    columns.flat_map(|column| column.as_primitive::<types::Int64Type>().values().to_vec()).collect()
}

/// All numbers in all files, and how many files there are.
fn all_numbers(directory: impl AsRef<Path>) -> (usize, Vec<i64>) {
    let paths = whole(&directory);
    let mut all: Vec<i64> =
        paths.iter().flat_map(|path| numbers_in(directory.as_ref().join(path))).collect();
    all.sort_unstable();
    (paths.len(), all)
}

fn metadata(path: impl AsRef<Path>) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().clone()
}

/// A record of every convention of the engine: two rows, and nulls in the second.
fn conventional() -> RecordBatch {
    let (mut times, mut addresses, mut extras) =
        (Times::default(), Addresses::default(), TextMap::default());
    times.push(Timestamp(-1_500_000_877));
    times.push(Timestamp(-1));
    addresses.push(&map_v4([192, 0, 2, 7]));
    addresses.push(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    extras.put("accept", "*/*");
    extras.put("x-odd", "\"\t\u{1}\u{2028}b\u{fc}");
    extras.end_row();
    extras.end_row();
    let fields = vec![
        schema::time("time"),
        schema::anonymized(&schema::address("src_ip"), "crypto_pan"),
        schema::address("dst_ip"),
        schema::field("ip_version", DataType::UInt8, Kind::Number),
        schema::field("src_port", DataType::UInt16, Kind::Number),
        schema::field("length", DataType::UInt32, Kind::Number),
        schema::field("flow", DataType::UInt64, Kind::Flow),
        schema::text("host", Kind::Header),
        schema::text("uri", Kind::Url),
        schema::text("referer", Kind::Url),
        schema::map("extras", Kind::Header),
        schema::text("etag", Kind::Header),
        schema::field("ttfb", DataType::Int64, Kind::Number),
        schema::uuid("record_id"),
    ];
    let ids = FixedSizeBinaryArray::try_from_iter([[7; 16], [9; 16]].into_iter()).unwrap();
    let address = addresses.finish().unwrap();
    RecordBatch::try_new(
        schema::record("http_request", fields),
        vec![
            times.finish(),
            address.clone(),
            address,
            Arc::new(UInt8Array::from(vec![4, 6])),
            Arc::new(UInt16Array::from(vec![Some(65535), None])),
            Arc::new(UInt32Array::from(vec![Some(u32::MAX), None])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
            Arc::new(StringArray::from(vec![Some("\"\\\0\u{1f600}"), None])),
            Arc::new(StringArray::from(vec![Some("/"), None])),
            new_null_array(&DataType::Utf8, 2),
            extras.finish().unwrap(),
            Arc::new(StringArray::from(vec![Some("W/\"1\""), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
            Arc::new(ids),
        ],
    )
    .unwrap()
}

#[test]
fn columns_come_out_with_types_that_need_no_cast() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    sink.write(&conventional()).unwrap();
    // A slice, whose buffers begin elsewhere.
    sink.write(&conventional().slice(1, 1)).unwrap();
    sink.flush().unwrap();
    let (schema, batches) = read(directory.path().join(&whole(&directory)[0]));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let entries = |columns: &Field| match columns.data_type() {
        DataType::Map(entries, _) => entries.clone(),
        other => panic!("{other}"),
    };
    let expected = [
        ("time", micros, false),
        ("time_ns", DataType::Int64, false),
        ("src_ip", DataType::Utf8, false),
        ("dst_ip", DataType::Utf8, false),
        ("ip_version", DataType::Int32, true),
        ("src_port", DataType::Int32, true),
        ("length", DataType::Int64, true),
        ("flow", DataType::UInt64, true),
        ("host", DataType::Utf8, true),
        ("uri", DataType::Utf8, true),
        ("referer", DataType::Utf8, true),
        ("extras", schema.field(11).data_type().clone(), true),
        ("etag", DataType::Utf8, true),
        ("ttfb", DataType::Int64, true),
        ("record_id", DataType::Binary, false),
    ];
    assert_eq!(schema.fields().len(), expected.len());
    for (field, (name, data_type, nullable)) in schema.fields().iter().zip(expected) {
        assert_eq!(
            (field.name().as_str(), field.data_type(), field.is_nullable()),
            (name, &data_type, nullable)
        );
        assert!(field.metadata().is_empty(), "{name}: {:?}", field.metadata());
    }
    let entries = entries(schema.field(11));
    assert_eq!(entries.name(), "key_value");
    let DataType::Struct(parts) = entries.data_type() else { panic!("{entries}") };
    let parts: Vec<_> = parts.iter().map(|part| (&**part.name(), part.is_nullable())).collect();
    assert_eq!(parts, [("key", false), ("value", true)]);

    let batch = &batches[0];
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let numbers = |name: &str| column(name).as_primitive::<types::Int64Type>().clone();
    let small = |name: &str| column(name).as_primitive::<types::Int32Type>().clone();
    let text = |name: &str| column(name).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(
        **column("time").as_primitive::<types::TimestampMicrosecondType>().values(),
        [-1_500_001, -1, -1]
    );
    assert_eq!(**numbers("time_ns").values(), [-1_500_000_877, -1, -1]);
    for name in ["src_ip", "dst_ip"] {
        assert_eq!(text(name), [Some("192.0.2.7"), Some("2001:db8::1"), Some("2001:db8::1")]);
    }
    let ids: Vec<_> = column("record_id").as_binary::<i32>().iter().collect();
    assert_eq!(ids, [Some(&[7; 16][..]), Some(&[9; 16]), Some(&[9; 16])]);
    assert_eq!(small("ip_version"), Int32Array::from(vec![4, 6, 6]));
    assert_eq!(small("src_port"), Int32Array::from(vec![Some(65535), None, None]));
    assert_eq!(numbers("length"), Int64Array::from(vec![Some(4_294_967_295), None, None]));
    assert_eq!(
        *column("flow").as_primitive::<types::UInt64Type>(),
        UInt64Array::from(vec![Some(u64::MAX), None, None])
    );
    assert_eq!(text("host"), [Some("\"\\\0\u{1f600}"), None, None]);
    assert_eq!(text("referer"), [None; 3]);
    let extras = column("extras").as_map();
    assert_eq!(extras.value_offsets(), [0, 2, 2, 2]);
    assert_eq!((extras.is_null(0), extras.is_null(1)), (false, true));
    let values: Vec<_> = extras.values().as_string::<i32>().iter().collect();
    assert_eq!(values, [Some("*/*"), Some("\"\t\u{1}\u{2028}b\u{fc}")]);
}

#[test]
fn a_file_says_what_it_holds_and_how_it_was_made() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "zstd_level = 3\nrotate_seconds = 60");
    sink.write(&conventional()).unwrap();
    sink.flush().unwrap();
    let metadata = metadata(directory.path().join(&whole(&directory)[0]));
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some("ringmill-parquet version 0.1.0"));
    let mut about: Vec<_> = file.key_value_metadata().unwrap().iter().collect();
    about.sort_by_key(|entry| &entry.key);
    let about: Vec<_> =
        about.iter().map(|entry| (&*entry.key, entry.value.as_deref().unwrap())).collect();
    assert_eq!(
        about,
        [
            ("ringmill.anonymized.dst_ip", "none"),
            ("ringmill.anonymized.src_ip", "crypto_pan"),
            ("ringmill.created_by", "ringmill-parquet 0.1.0"),
            (
                "ringmill.options",
                "compression=zstd zstd_level=3 row_group_rows=262144 rotate_rows=1048576 \
             rotate_mib=256 rotate_seconds=60"
            ),
            ("ringmill.record", "http_request"),
        ]
    );
}

#[test]
fn columns_are_encoded_for_what_they_hold_and_searched_ones_have_a_bloom_filter() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    sink.write(&conventional()).unwrap();
    sink.flush().unwrap();
    let metadata = metadata(directory.path().join(&whole(&directory)[0]));
    let (dictionary, delta, lengths) = (
        Encoding::RLE_DICTIONARY,
        Encoding::DELTA_BINARY_PACKED,
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
    );
    let expected = [
        ("time", delta, false),
        ("time_ns", delta, false),
        ("src_ip", dictionary, true),
        ("dst_ip", dictionary, true),
        ("src_port", dictionary, false),
        ("flow", dictionary, false),
        ("host", dictionary, true),
        ("uri", lengths, false),
        ("extras.key_value.key", dictionary, false),
        ("extras.key_value.value", dictionary, false),
        ("etag", Encoding::PLAIN, false),
        ("ttfb", delta, false),
        ("record_id", lengths, false),
    ];
    for (name, encoding, bloom) in expected {
        let columns = metadata.row_group(0).columns();
        let column = columns.iter().find(|c| c.column_path().string() == name).unwrap();
        let encodings: Vec<_> = column.encodings().collect();
        assert!(encodings.contains(&encoding), "{name}: {encodings:?}");
        let has_dictionary = encodings.contains(&dictionary);
        assert_eq!(has_dictionary, encoding == dictionary, "{name}: {encodings:?}");
        assert_eq!(column.bloom_filter_offset().is_some(), bloom, "{name}");
    }
}

#[test]
fn every_other_type_reads_back_or_is_refused_by_name_before_there_are_rows() {
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let mut list = ListBuilder::new(StringBuilder::new()).with_field(item);
    list.append_value([Some("a"), None]);
    list.append_null();
    let mut words = StringDictionaryBuilder::<types::Int8Type>::new();
    words.append_value("GET");
    words.append_null();
    let arrays: Vec<(ArrayRef, DataType)> = vec![
        (Arc::new(NullArray::new(2)), DataType::Int32),
        (Arc::new(BooleanArray::from(vec![true, false])), DataType::Boolean),
        (Arc::new(Int8Array::from(vec![i8::MIN, 1])), DataType::Int8),
        (Arc::new(Float64Array::from(vec![f64::NAN, 1.5])), DataType::Float64),
        (Arc::new(LargeStringArray::from(vec!["a", "b"])), DataType::Utf8),
        (Arc::new(StringViewArray::from(vec!["a", "b"])), DataType::Utf8),
        (Arc::new(BinaryArray::from(vec![&b"\xff"[..], b""])), DataType::Binary),
        (
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1; 16], [2; 16]].iter()).unwrap()),
            DataType::FixedSizeBinary(16),
        ),
        (Arc::new(words.finish()), DataType::Utf8),
        (
            Arc::new(TimestampSecondArray::from(vec![1, i64::MAX])),
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![1, -1]).with_timezone("Europe/Berlin")),
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        ),
        (
            Arc::new(Decimal128Array::from(vec![1, 2]).with_precision_and_scale(10, 2).unwrap()),
            DataType::Decimal128(10, 2),
        ),
    ];
    for (array, read_as) in arrays {
        let directory = TempDir::new().unwrap();
        let (mut sink, _) = sink(&directory, "");
        let field = Field::new("v", array.data_type().clone(), true);
        let schema = schema::record("r", vec![field]);
        sink.write(&RecordBatch::try_new(schema, vec![array.clone()]).unwrap()).unwrap();
        sink.flush().unwrap();
        let (schema, batches) = read(directory.path().join(&whole(&directory)[0]));
        assert_eq!(batches[0].num_rows(), 2, "{}", array.data_type());
        if array.data_type() != &DataType::Null {
            assert_eq!(schema.field(0).data_type(), &read_as, "{}", array.data_type());
        }
    }
    let months = DataType::Interval(IntervalUnit::MonthDayNano);
    let refused = [
        months.clone(),
        DataType::Union(UnionFields::empty(), UnionMode::Sparse),
        DataType::Struct(Fields::empty()),
        DataType::List(Arc::new(Field::new("item", months, true))),
    ];
    for data_type in refused {
        let directory = TempDir::new().unwrap();
        let (mut sink, _) = sink(&directory, "");
        let schema = schema::record("r", vec![Field::new("v", data_type.clone(), true)]);
        let error = sink.write(&RecordBatch::new_empty(schema)).unwrap_err();
        let start = format!("column `v` is of type {data_type}, which Parquet has no form for");
        assert!(error.message().starts_with(&start), "{error}");
        assert_eq!(paths(&directory), [""; 0]);
    }
}

#[test]
fn a_column_called_time_ns_that_a_stage_made_is_kept() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    let fields = vec![schema::time("time"), schema::text("time_ns", Kind::Text)];
    let mut times = Times::default();
    times.push(Timestamp(1));
    let text = Arc::new(StringArray::from(vec!["mine"]));
    let schema = schema::record("r", fields);
    sink.write(&RecordBatch::try_new(schema, vec![times.finish(), text]).unwrap()).unwrap();
    sink.flush().unwrap();
    let (schema, batches) = read(directory.path().join(&whole(&directory)[0]));
    assert_eq!(schema.fields().len(), 2);
    assert_eq!(batches[0].column(1).as_string::<i32>().value(0), "mine");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let directory = TempDir::new().unwrap();
    let at = directory.path().display();
    fs::write(directory.path().join("file"), "").unwrap();
    let with = |more: &str| format!("directory = '{at}/out'\n{more}");
    let cases = [
        (String::new(), "", "missing field `directory`".to_owned()),
        ("directory = ''".into(), "directory", "is empty; name a directory, such as `out`".into()),
        (
            format!("directory = '{at}/file'"),
            "directory",
            format!("`{at}/file` is a file; name a directory"),
        ),
        (
            format!("directory = '{at}/file/deep/er'"),
            "directory",
            format!("`{at}/file` is a file, so `{at}/file/deep/er` cannot be made"),
        ),
        (with("rotate_seconds = 0"), "rotate_seconds", "must be at least 1".into()),
        (with("rotate_mib = 0"), "rotate_mib", "must be at least 1".into()),
        (with("rotate_rows = 0"), "rotate_rows", "must be at least 1".into()),
        (with("row_group_rows = 0"), "row_group_rows", "must be at least 1".into()),
        (with("row_group_seconds = 0"), "row_group_seconds", "must be at least 1".into()),
        (with("writers = 0"), "writers", "must be at least 1".into()),
        (with("zstd_level = 0"), "zstd_level", "must be from 1 to 22".into()),
        (with("zstd_level = 23"), "zstd_level", "must be from 1 to 22".into()),
        (
            with("compression = 'lz4'"),
            "compression",
            "unknown variant `lz4`, expected `zstd` or `none`".into(),
        ),
    ];
    for (options, path, message) in cases {
        let error = sink_with(&options).unwrap_err();
        assert_eq!((error.path(), error.message()), (path, &*message), "{options}");
    }
    assert_eq!(paths(&directory), ["file"], "a check must write nothing");
}

#[test]
fn a_run_without_records_writes_nothing_and_suggests_nothing() {
    let directory = TempDir::new().unwrap();
    let (mut sink, host) = sink(&directory, "");
    sink.write(&numbers("r", 0, 0)).unwrap();
    sink.tick(Timestamp(0)).unwrap();
    sink.tick(Timestamp(1000 * SECOND)).unwrap();
    sink.flush().unwrap();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    assert_eq!((host.suggestions(), host.logs()), (vec![], vec![]));
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole_and_a_dropped_one_has_none() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    sink.write(&numbers("r", 0, 10)).unwrap();
    let open = paths(&directory);
    assert_eq!(open.len(), 1);
    let hidden = "r/.unfinished/day=2026-05-26,hour=13,part-";
    assert!(open[0].starts_with(hidden) && open[0].ends_with(".parquet.inprogress"), "{open:?}");
    sink.flush().unwrap();
    let closed = paths(&directory);
    let name = open[0].replace(".unfinished/", "").replace(',', "/").replace(".inprogress", "");
    assert_eq!(closed, [name]);
    sink.write(&numbers("r", 10, 10)).unwrap();
    drop(sink);
    assert_eq!(paths(&directory), closed);
}

#[test]
fn after_a_flush_writing_goes_on_in_a_new_file() {
    let directory = TempDir::new().unwrap();
    let (mut sink, host) = sink(&directory, "");
    for n in 0..3 {
        sink.write(&numbers("r", n * 10, 10)).unwrap();
        sink.flush().unwrap();
        sink.flush().unwrap();
    }
    assert_eq!(all_numbers(&directory), (3, (0..30).collect()));
    let size = |path: &String| directory.path().join(path).metadata().unwrap().len();
    let bytes: u64 = whole(&directory).iter().map(size).sum();
    assert_eq!((host.counters()["files"], host.counters()["bytes"]), (3, bytes));
}

#[test]
fn a_file_is_closed_by_rows_by_size_and_by_age() {
    let directory = TempDir::new().unwrap();
    let (mut by_rows, _) = sink(&directory, "rotate_rows = 2500");
    (0..10).for_each(|n| by_rows.write(&numbers("r", n * 1000, 1000)).unwrap());
    assert_eq!(all_numbers(&directory), (3, (0..9000).collect()));
    by_rows.flush().unwrap();
    assert_eq!(all_numbers(&directory), (4, (0..10_000).collect()));

    let directory = TempDir::new().unwrap();
    let (mut by_size, _) = sink(&directory, "rotate_mib = 1");
    (0..20).for_each(|n| by_size.write(&numbers("r", n * 8192, 8192)).unwrap());
    by_size.flush().unwrap();
    let (files, all) = all_numbers(&directory);
    assert_eq!(all, (0..20 * 8192).collect::<Vec<_>>());
    assert!((3..=6).contains(&files), "{files}");

    let directory = TempDir::new().unwrap();
    let (mut by_age, _) = sink(&directory, "rotate_seconds = 60");
    let mut tick = |second: i64, write: bool| {
        if write {
            by_age.write(&numbers("r", second, 1)).unwrap();
        }
        by_age.tick(Timestamp(second * SECOND)).unwrap();
        whole(&directory).len()
    };
    assert_eq!(tick(1000, true), 0);
    assert_eq!(tick(1059, true), 0);
    assert_eq!(tick(1060, true), 1);
    assert_eq!(tick(5000, false), 1, "an hour without records makes no file");
    assert_eq!(tick(5001, true), 1);
    assert_eq!(tick(100, true), 1, "a clock set back starts anew");
    assert_eq!(tick(160, true), 2);
    assert_eq!(all_numbers(&directory), (2, vec![100, 160, 1000, 1059, 1060, 5001]));
}

#[test]
fn row_groups_have_the_rows_that_were_asked_for() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "row_group_rows = 10000");
    (0..7).for_each(|n| sink.write(&numbers("r", n * 5000, 5000)).unwrap());
    sink.flush().unwrap();
    let path = directory.path().join(&whole(&directory)[0]);
    let metadata = metadata(&path);
    let rows: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [10_000, 10_000, 10_000, 5000]);
    assert_eq!(numbers_in(path), (0..35_000).collect::<Vec<_>>());
}

#[test]
fn each_record_type_and_each_schema_has_a_file_of_its_own() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    let wider = |n: i64| {
        let narrow = numbers("one", n, 1);
        let mut fields: Vec<_> = narrow.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(schema::text("added", Kind::Text)));
        let mut columns = narrow.columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec!["x"])));
        let schema = Schema::new_with_metadata(fields, narrow.schema().metadata().clone());
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    for n in 0..10 {
        sink.write(&numbers("one", n * 10, 1)).unwrap();
        sink.write(&wider(n * 10 + 1)).unwrap();
        sink.write(&numbers("two", n * 10 + 2, 1)).unwrap();
    }
    sink.flush().unwrap();
    let paths = paths(&directory);
    let of = |record: &str| paths.iter().filter(|path| path.starts_with(record)).count();
    assert_eq!((paths.len(), of("one/"), of("two/")), (3, 2, 1), "{paths:?}");
    let (_, all) = all_numbers(&directory);
    assert_eq!(all, (0..100).filter(|n| n % 10 < 3).collect::<Vec<_>>());
}

#[test]
fn a_stage_that_makes_a_new_schema_for_every_batch_does_not_eat_up_memory() {
    let directory = TempDir::new().unwrap();
    let (mut sink, _) = sink(&directory, "");
    for n in 0..100 {
        sink.write(&numbers(&format!("type_{n}"), n, 1)).unwrap();
        assert!(sink.tables.len() <= TABLES);
    }
    sink.flush().unwrap();
    assert_eq!(all_numbers(&directory), (100, (0..100).collect()));
}

#[test]
fn the_name_of_a_record_type_leads_nowhere_else() {
    let long = "x".repeat(300);
    let cases = [
        ("http_request", "http_request"),
        ("../../etc", "______etc"),
        ("/etc/cron.d", "_etc_cron_d"),
        (".hidden", "_hidden"),
        ("a\0b\nc", "a_b_c"),
        ("b\u{fc}cher", "b_cher"),
        ("", "record"),
        (&long, &long[..100]),
    ];
    for (record, name) in cases {
        let directory = TempDir::new().unwrap();
        let (mut sink, _) = sink(&directory, "");
        sink.write(&numbers(record, 0, 1)).unwrap();
        sink.flush().unwrap();
        let paths = paths(&directory);
        assert_eq!(paths.len(), 1, "{record}");
        let directory = Path::new(name).join(HOUR);
        assert_eq!(Path::new(&paths[0]).parent(), Some(&*directory), "{record}");
    }
}

#[test]
fn two_engines_may_write_to_one_directory_and_neither_removes_the_others_file() {
    let directory = TempDir::new().unwrap();
    let (mut one, _) = sink(&directory, "");
    one.write(&numbers("r", 0, 10)).unwrap();
    let (mut two, host) = sink(&directory, "");
    two.write(&numbers("r", 10, 10)).unwrap();
    one.flush().unwrap();
    two.flush().unwrap();
    assert_eq!(all_numbers(&directory), (2, (0..20).collect()));
    assert_eq!(host.logs().iter().filter(|(_, line)| line.contains("recovered")).count(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_named() {
    let (mut sink, _) = sink_with("directory = '/proc/nowhere'").unwrap();
    for _ in 0..2 {
        let error = sink.write(&numbers("r", 0, 1)).unwrap_err();
        let start = "cannot make the directory `/proc/nowhere/r`: ";
        assert!(error.message().starts_with(start), "{error}");
    }
    sink.flush().unwrap();

    let directory = TempDir::new().unwrap();
    let (mut sink, _) = self::sink(&directory, "");
    fs::write(directory.path().join("r"), "").unwrap();
    let error = sink.write(&numbers("r", 0, 1)).unwrap_err();
    let start = format!("cannot make the directory `{}/r`: ", directory.path().display());
    assert!(error.message().starts_with(&start), "{error}");
}

#[test]
fn the_user_is_told_once_what_to_ask() {
    let hosts = || {
        let fields = vec![schema::text("host", Kind::Header)];
        let host = Arc::new(StringArray::from(vec!["a.example"]));
        RecordBatch::try_new(schema::record("http_request", fields), vec![host]).unwrap()
    };
    let requests = "SELECT host, count(*) AS requests FROM 'OUT/http_request/**/*.parquet' GROUP BY \
                    host ORDER BY requests DESC LIMIT 10";
    let count = |record| format!("SELECT count(*) AS records FROM 'OUT/{record}/**/*.parquet'");
    let cases: [(&[RecordBatch], String); 4] = [
        (&[numbers("http_response", 0, 1), hosts()], requests.to_owned()),
        (&[hosts(), numbers("http_response", 0, 1)], requests.to_owned()),
        (&[numbers("dns", 0, 1)], count("dns")),
        // A request without its host, by a chain of the user's own.
        (&[numbers("http_request", 0, 1)], count("http_request")),
    ];
    for (batches, sql) in cases {
        let directory = TempDir::new().unwrap();
        let (mut sink, host) = sink(&directory, "");
        for _ in 0..2 {
            batches.iter().for_each(|batch| sink.write(batch).unwrap());
            sink.flush().unwrap();
        }
        let out = directory.path().display().to_string();
        let line = format!("duckdb -c \"{}\"", sql.replace("OUT", &out));
        assert_eq!(host.suggestions(), [line]);
    }
}

#[test]
fn every_file_has_the_manifest_of_its_own_rows() {
    let directory = TempDir::new().unwrap();
    let options = format!("directory = {:?}\nrotate_rows = 4", directory.path());
    let (host, _) = TestHost::with_manifest();
    let mut sink = Parquet::new(parse_config(&options).unwrap(), &host).unwrap();
    for (record, first, rows) in [("a", 0, 3), ("b", 0, 2), ("a", 3, 2), ("a", 5, 1)] {
        sink.write(&numbers(record, first, rows)).unwrap();
    }
    sink.flush().unwrap();
    let mut rows: Vec<_> = whole(&directory)
        .into_iter()
        .map(|name| {
            let metadata = metadata(directory.path().join(&name));
            let about = metadata.file_metadata().key_value_metadata().unwrap().clone();
            let manifest = about.into_iter().find(|entry| entry.key == schema::MANIFEST);
            (name[..1].to_owned(), manifest.unwrap().value.unwrap())
        })
        .collect();
    rows.sort_unstable();
    let of = |rows: u64| format!("{{\"first\":{THEN},\"last\":{THEN},\"rows\":{rows}}}");
    let expected = [("a", 1), ("a", 5), ("b", 2)].map(|(name, rows)| (name.to_owned(), of(rows)));
    assert_eq!(rows, expected);
}
