//! Whole record batches: which columns are read, what becomes of them, how often the strategy
//! is asked.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, LargeStringArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field};

use super::Columns;
use crate::{
    Result,
    schema::{self, Kind},
    testing::{records, rows},
};

/// The batch after a strategy that flips every bit, and the numbers of addresses that it got
/// call by call.
fn mapped(batch: &RecordBatch) -> Result<(RecordBatch, Vec<(usize, usize)>)> {
    let mut calls = Vec::new();
    let batch = Columns::new("flip", false).map(batch, |v4, v6| {
        calls.push((v4.len(), v6.len()));
        v4.iter_mut().for_each(|address| *address = !*address);
        v6.iter_mut().for_each(|address| *address = !*address);
        Ok(())
    })?;
    Ok((batch, calls))
}

fn sample() -> RecordBatch {
    let schema = schema::record(
        "sample",
        vec![
            schema::address("src"),
            schema::text("host", Kind::Header),
            schema::text("user_agent", Kind::Header),
            schema::text("uri", Kind::Url),
            schema::map("extras", Kind::Header),
            schema::text("note", Kind::Text),
            schema::anonymized(&schema::text("via", Kind::Header), "other"),
            schema::address("dst"),
            schema::field("length", DataType::UInt64, Kind::Header),
        ],
    );
    let a = "10.0.0.1";
    records(
        &schema,
        &[
            &[
                a,
                "10.0.0.1:80",
                "A/1.2.3.4 10.0.0.1",
                "/",
                "x-ip=10.0.0.1, 10.0.0.1=y",
                a,
                a,
                "1::",
                "1",
            ],
            &["1::", "", "", "/?a=1%3A%3A", "", "", "", a, ""],
            &[
                a,
                "x",
                "",
                "",
                "host=2130706433, server=A/1.2.3.4, n=2130706433",
                "1::",
                "",
                a,
                "10",
            ],
            &[
                a,
                "2130706433",
                "A",
                "http://[1::]/",
                "via=1.1 1::, forwarded=for=\"[1::]:1\"",
                "",
                "",
                a,
                "",
            ],
        ],
    )
}

const NOT_1: &str = "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

#[test]
fn addresses_in_text_become_what_the_address_columns_become() {
    let before = sample();
    let (after, calls) = mapped(&before).unwrap();
    // Both address columns, then host 2, user agent 1, extras 2; uri 2, extras 2.
    assert_eq!(calls, [(3 + 3 + 2 + 1 + 2, 1 + 1 + 2 + 2)], "one call for a batch");
    let rows = rows(std::slice::from_ref(&after));
    let cell = |row: usize, name: &str| rows[row].get(name).map_or("", String::as_str);
    let b = "245.255.255.254";
    let expected = [
        (0, "src", b.to_owned()),
        (0, "host", format!("{b}:80")),
        (0, "user_agent", format!("A/1.2.3.4 {b}")),
        (0, "uri", "/".to_owned()),
        (0, "extras", format!("x-ip={b}, 10.0.0.1=y")),
        (0, "note", "10.0.0.1".to_owned()),
        (0, "via", "10.0.0.1".to_owned()),
        (0, "dst", NOT_1.to_owned()),
        (0, "length", "1".to_owned()),
        (1, "src", NOT_1.to_owned()),
        (1, "host", String::new()),
        (1, "uri", format!("/?a={}", NOT_1.replace(':', "%3A"))),
        (1, "extras", String::new()),
        (2, "host", "x".to_owned()),
        (2, "extras", "host=128.255.255.254, server=A/1.2.3.4, n=2130706433".to_owned()),
        (2, "note", "1::".to_owned()),
        (3, "host", "128.255.255.254".to_owned()),
        (3, "user_agent", "A".to_owned()),
        (3, "uri", format!("http://[{NOT_1}]/")),
        (3, "extras", format!("via=1.1 {NOT_1}, forwarded=for=\"[{NOT_1}]:1\"")),
    ];
    for (row, name, value) in expected {
        assert_eq!(cell(row, name), value, "row {row}, `{name}`");
    }
    let schema = after.schema();
    let marks: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| f.metadata().get(schema::ANONYMIZED).map_or("", |m| m))
        .collect();
    assert_eq!(marks, ["flip", "flip", "flip", "flip", "flip", "", "other", "flip", "flip"]);
    assert!(!schema.fields().iter().any(|field| schema::may_name_addresses(field)));
    // What is marked is not mapped a second time.
    let (again, calls) = mapped(&after).unwrap();
    assert_eq!((again.columns(), &calls[..]), (after.columns(), &[(0, 0)][..]));
}

#[test]
fn a_slice_becomes_the_slice_of_what_the_whole_becomes() {
    let before = sample();
    let (whole, _) = mapped(&before).unwrap();
    for from in 0..=4 {
        for len in 0..=4 - from {
            let (slice, _) = mapped(&before.slice(from, len)).unwrap();
            assert_eq!(slice, whole.slice(from, len), "{len} rows from {from}");
            slice.columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
        }
    }
}

#[test]
fn a_column_in_which_nothing_is_found_is_passed_on() {
    let schema = schema::record(
        "sample",
        vec![
            schema::text("host", Kind::Header),
            schema::map("extras", Kind::Header),
            schema::text("via", Kind::Header),
        ],
    );
    let before = records(&schema, &[&["a.example", "k=v", "1.1 10.0.0.1"], &["", "", ""]]);
    let (after, calls) = mapped(&before).unwrap();
    assert_eq!(calls, [(1, 0)]);
    for (at, same) in [true, true, false].into_iter().enumerate() {
        assert_eq!(Arc::ptr_eq(before.column(at), after.column(at)), same, "column {at}");
    }
    assert_eq!(after.column(2).as_string::<i32>().value(0), "1.1 245.255.255.254");
    assert!(after.column(2).is_null(1));
}

#[test]
fn text_of_another_type_is_refused_by_name() {
    let of = |column: ArrayRef| {
        let field: Field = schema::field("x", column.data_type().clone(), Kind::Url);
        RecordBatch::try_new(schema::record("sample", vec![field]), vec![column]).unwrap()
    };
    let error = mapped(&of(Arc::new(LargeStringArray::from(vec!["10.0.0.1"])))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column `x` is of kind `header` or `url` but of type LargeUtf8, in which addresses are \
         not looked for; text is Utf8 or a Map of Utf8 to Utf8"
    );
    let (after, _) = mapped(&of(Arc::new(StringArray::from(vec!["10.0.0.1"])))).unwrap();
    assert_eq!(after.column(0).as_string::<i32>().value(0), "245.255.255.254");
}

#[test]
fn a_strategy_that_widens_gets_ipv4_among_ipv6_from_columns_and_from_text() {
    let fields = vec![schema::address("src"), schema::text("via", Kind::Header)];
    let schema = schema::record("sample", fields);
    let before = records(&schema, &[&["10.0.0.1", "1.1 10.0.0.1"], &["1::", "by [1::]:80"]]);
    let mut calls = Vec::new();
    let after = Columns::new("wide", true).map(&before, |v4, v6| {
        calls.push((v4.len(), v6.to_vec()));
        v6.iter_mut().for_each(|address| *address |= 0x2a00 << 112);
        Ok(())
    });
    let (quad, groups) = (0xffff_0a00_0001, 1 << 112);
    assert_eq!(calls, [(0, vec![quad, groups, quad, groups])]);
    let rows = rows(&[after.unwrap()]);
    let seen: Vec<_> = rows.iter().map(|row| (row["src"].as_str(), row["via"].as_str())).collect();
    let wide = "2a00::ffff:a00:1";
    assert_eq!(seen, [(wide, "1.1 2a00::ffff:a00:1"), ("2a01::", "by [2a01::]:80")]);
}
