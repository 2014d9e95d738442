use arrow_array::{builder::*, *};
use arrow_schema::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    Timestamp,
    columns::{Addresses, TextMap, Times},
    map_v4,
    schema::Kind,
};

/// The objects of all rows, a line each.
fn objects(batch: &RecordBatch) -> Result<String> {
    let (mut writer, mut out) = (Writer::default(), Vec::new());
    let rows = writer.rows(batch)?;
    for row in 0..batch.num_rows() {
        rows.append(row, &mut out);
        out.push(b'\n');
    }
    Ok(String::from_utf8(out).unwrap())
}

/// What an object shows of one row of one column.
fn shown(field: Field, array: ArrayRef) -> Result<Vec<Value>> {
    let batch = RecordBatch::try_new(schema::record("r", vec![field]), vec![array])?;
    let text = objects(&batch)?;
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn an_object_has_the_columns_of_the_record_in_order_and_leaves_out_nulls() {
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

    assert_eq!(
        objects(&batch).unwrap(),
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
    let text = objects(&batch.slice(2, 2)).unwrap();
    let rows: Vec<Value> = text.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
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
        let start = format!("column `v` is of type {data_type}, which JSON has no form for");
        assert!(error.message().starts_with(&start), "{error}");
    }
    for fields in [["record", "a"], ["a", "a"]] {
        let fields = fields.map(|name| schema::text(name, Kind::Text)).to_vec();
        let batch = RecordBatch::new_empty(schema::record("twice", fields));
        let error = objects(&batch).unwrap_err();
        assert!(error.message().starts_with("two columns of `twice` are called"), "{error}");
    }
}
