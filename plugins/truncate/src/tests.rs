use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ringmill_sdk::{
    AddressMap, Anonymizer, Error, Output, Stage,
    arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray},
    map_v4, parse_config, schema,
    testing::TestHost,
};

use super::Truncate;

fn build(options: &str) -> Result<Truncate, Error> {
    let (host, _) = TestHost::new(Some(0));
    parse_config(options).and_then(|options| Truncate::new(options, &host))
}

fn truncated(options: &str, address: &str) -> String {
    let mut stage = build(options).unwrap();
    match address.parse().unwrap() {
        IpAddr::V4(address) => {
            let mut addresses = [address.into()];
            stage.v4(&mut addresses);
            Ipv4Addr::from(addresses[0]).to_string()
        }
        IpAddr::V6(address) => {
            let mut addresses = [address.into()];
            stage.v6(&mut addresses);
            Ipv6Addr::from(addresses[0]).to_string()
        }
    }
}

#[test]
fn first_bits_stay() {
    let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let cases: &[(&str, &str, &str)] = &[
        ("", "192.0.2.129", "192.0.0.0"),
        ("", "255.255.255.255", "255.255.0.0"),
        ("", "0.0.255.255", "0.0.0.0"),
        ("", "2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8::"),
        ("", "fe80::1", "fe80::"),
        ("", "::1", "::"),
        ("v4_prefix = 24", "192.0.2.129", "192.0.2.0"),
        ("v4_prefix = 25", "192.0.2.129", "192.0.2.128"),
        ("v4_prefix = 31", "255.255.255.255", "255.255.255.254"),
        ("v4_prefix = 1", "255.255.255.255", "128.0.0.0"),
        ("v4_prefix = 0", "255.255.255.255", "0.0.0.0"),
        ("v4_prefix = 0", "2001:db8:1::1", "2001:db8::"),
        ("v6_prefix = 48", "2001:db8:85a3:8d3::1", "2001:db8:85a3::"),
        ("v6_prefix = 64", ones, "ffff:ffff:ffff:ffff::"),
        ("v6_prefix = 65", ones, "ffff:ffff:ffff:ffff:8000::"),
        ("v6_prefix = 127", ones, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
        ("v6_prefix = 1", ones, "8000::"),
        ("v6_prefix = 0", ones, "::"),
        ("v6_prefix = 0", "192.0.2.129", "192.0.0.0"),
        ("v4_prefix = 8\nv6_prefix = 16", "10.1.2.3", "10.0.0.0"),
        ("v4_prefix = 8\nv6_prefix = 16", "2001:db8::1", "2001::"),
    ];
    for (options, address, expected) in cases {
        assert_eq!(truncated(options, address), *expected, "{address} with {options:?}");
    }
}

#[test]
fn a_slice_is_mapped_whole() {
    let mut stage = build("").unwrap();
    let (mut short, mut long) = ([u32::MAX; 1000], [u128::MAX; 1000]);
    stage.v4(&mut short);
    stage.v6(&mut long);
    assert!(short.iter().all(|address| *address == 0xffff_0000));
    assert!(long.iter().all(|address| *address == 0xffff_ffff << 96));
    stage.v4(&mut []);
    stage.v6(&mut []);
}

#[test]
fn wrong_options_say_what_to_do() {
    let cases = [
        // All of an address may not stay: the column would be marked as anonymized.
        ("v4_prefix = 32", "`v4_prefix`: must be 0 to 31, the bits that stay; it is 32"),
        ("v6_prefix = 128", "`v6_prefix`: must be 0 to 127, the bits that stay; it is 128"),
        ("v4_prefix = 33", "`v4_prefix`: must be 0 to 31, the bits that stay; it is 33"),
        (
            "v4_prefix = 5000000000",
            "`v4_prefix`: must be 0 to 31, the bits that stay; it is 5000000000",
        ),
        ("v6_prefix = 129", "`v6_prefix`: must be 0 to 127, the bits that stay; it is 129"),
        (
            "v6_prefix = 4294967296",
            "`v6_prefix`: must be 0 to 127, the bits that stay; it is 4294967296",
        ),
        ("v4_prefix = -1", "`v4_prefix`: invalid value: integer `-1`, expected u64"),
        ("v4_prefix = \"/16\"", "`v4_prefix`: invalid type: string \"/16\", expected u64"),
        ("v6_prefix = 32.5", "`v6_prefix`: invalid type: floating point `32.5`, expected u64"),
    ];
    for (options, message) in cases {
        assert_eq!(build(options).unwrap_err().to_string(), message, "{options}");
    }
    let unknown = build("prefix = 16").unwrap_err().to_string();
    assert!(unknown.contains("v4_prefix"), "{unknown}");
}

#[test]
fn options_are_described() {
    let shown: Vec<_> = Truncate::OPTIONS
        .iter()
        .map(|option| (option.name, option.kind, option.default.map(|default| default())))
        .collect();
    let default = |value: &str| Some(value.to_owned());
    assert_eq!(
        shown,
        [
            ("v4_prefix", "whole number", default("16")),
            ("v6_prefix", "whole number", default("32")),
            ("special", "\"map\" or \"keep\"", default("\"map\""))
        ]
    );
}

fn addresses(rows: &[Option<&str>]) -> ArrayRef {
    let rows = rows.iter().map(|row| {
        row.map(|address| match address.parse().unwrap() {
            IpAddr::V4(address) => map_v4(address.octets()),
            IpAddr::V6(address) => address.octets(),
        })
    });
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, 16).unwrap())
}

/// As the stage that the engine runs: through the adapter, on a record batch.
fn run(options: &str, source: &[Option<&str>], target: &[Option<&str>]) -> RecordBatch {
    let schema = schema::record(
        "http",
        vec![
            schema::address("source").with_nullable(true),
            schema::text("host", schema::Kind::Text),
            schema::address("target").with_nullable(true),
        ],
    );
    let hosts = Arc::new(StringArray::from(vec!["192.0.2.129"; source.len()]));
    let batch =
        RecordBatch::try_new(schema, vec![addresses(source), hosts, addresses(target)]).unwrap();
    let (host, _) = TestHost::new(Some(0));
    let mut stage = Anonymizer::<Truncate>::new(parse_config(options).unwrap(), &host).unwrap();
    let mut batches = Vec::new();
    stage.records(batch, &mut Output::new(&mut batches)).unwrap();
    batches.pop().unwrap()
}

fn methods(batch: &RecordBatch) -> Vec<Option<String>> {
    let fields = batch.schema();
    fields.fields().iter().map(|f| f.metadata().get(schema::ANONYMIZED).cloned()).collect()
}

#[test]
fn address_columns_are_mapped_and_marked_and_nothing_else() {
    let after = run(
        "",
        &[Some("192.0.2.129"), Some("2001:db8:1::1"), None, Some("10.1.2.3")],
        &[None, Some("198.51.100.7"), Some("2001:db8:2::2"), Some("::1")],
    );
    let source = [Some("192.0.0.0"), Some("2001:db8::"), None, Some("10.1.0.0")];
    let target = [None, Some("198.51.0.0"), Some("2001:db8::"), Some("::")];
    assert_eq!(after.column(0), &addresses(&source));
    let hosts: ArrayRef = Arc::new(StringArray::from(vec!["192.0.2.129"; 4]));
    assert_eq!(after.column(1), &hosts, "text is not an address column");
    assert_eq!(after.column(2), &addresses(&target));
    let marked = Some("truncate".to_owned());
    assert_eq!(methods(&after), [marked.clone(), None, marked]);
    assert_eq!(schema::record_name(&after.schema()), "http");
}

#[test]
fn an_empty_batch_has_its_columns_marked_too() {
    let after = run("", &[], &[]);
    assert_eq!(after.num_rows(), 0);
    let marked = Some("truncate".to_owned());
    assert_eq!(methods(&after), [marked.clone(), None, marked]);
}

#[test]
fn an_address_inside_an_address_says_no_more_than_by_itself() {
    // v4_prefix, v6_prefix, address, what is left
    let cases = [
        (16, 32, "2002:c000:2ff::1", "2002:c000::"),
        (16, 127, "2002:c000:2ff:5::c000:2ff", "2002:c000::"),
        (24, 127, "2002:c000:2ff:5::c000:2ff", "2002:c000:200::"),
        (0, 127, "2002:c000:2ff::1", "2002::"),
        (24, 24, "2002:c000:2ff::1", "2002:c000::"),
        (16, 127, "2001:0:c000:2ff:8000:ffff:3fff:fd00", "2001:0:c000::"),
        (16, 127, "64:ff9b::192.0.2.255", "64:ff9b::c000:0"),
        (8, 127, "64:ff9b:1:c000:2:ff00::", "64:ff9b:1:c000::"),
        (8, 127, "64:ff9b:1:c0ff:2:ff00::", "64:ff9b:1:c000::"),
        (16, 127, "::192.0.2.255", "::c000:0"),
        (16, 127, "2a00:1:2:3:0:5efe:192.0.2.255", "2a00:1:2:3:0:5efe:c000:0"),
        (16, 64, "2a00:1:2:3:0:5efe:192.0.2.255", "2a00:1:2:3::"),
        (16, 127, "2a00:1:2:3:4:5:6:7", "2a00:1:2:3:4:5:6:6"),
    ];
    for (v4, v6, address, expected) in cases {
        let options = format!("v4_prefix = {v4}\nv6_prefix = {v6}");
        let after = run(&options, &[Some(address)], &[None]);
        let expected: ArrayRef = addresses(&[Some(expected)]);
        assert_eq!(after.column(0), &expected, "{address} with {options:?}");
    }
}

#[test]
fn special_addresses_stay_whole_where_they_are_kept() {
    let before = [Some("10.1.2.3"), Some("8.8.8.8"), Some("fd00::7"), Some("2a00:1::7")];
    let after = run("special = \"keep\"", &before, &[None; 4]);
    let expected = [Some("10.1.2.3"), Some("8.8.0.0"), Some("fd00::7"), Some("2a00:1::")];
    assert_eq!(after.column(0), &addresses(&expected));
}
