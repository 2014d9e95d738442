//! As the stage that the engine runs: through the adapter, on record batches.

use std::sync::Arc;

use ringmill_sdk::{
    AddressMap, Anonymizer, Counter, Host, HostApi, Level, Output, Reason, Stage,
    arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray},
    key::{Epoch, Key},
    map_v4, parse_config, schema,
};

use super::super::CryptoPan;

/// A run whose secret is one byte.
struct Run(u8);

impl HostApi for Run {
    fn log(&self, _: Level, _: &str) {}
    fn worker(&self) -> Option<usize> {
        Some(0)
    }
    fn counter(&self, _: &str) -> Counter {
        Counter::default()
    }
    fn reason(&self, _: &str) -> Reason {
        Reason::from_number(1)
    }
    fn ephemeral_key(&self, label: &str, key: &mut Key) -> bool {
        assert_eq!(label, "crypto_pan");
        *key = Key::new(std::array::from_fn(|i| self.0 ^ u8::try_from(i).unwrap()));
        true
    }
    fn epoch(&self) -> Option<Epoch> {
        None
    }
    fn is_replay(&self) -> bool {
        true
    }
    fn declare(&self, _: &str, _: &str) {}
    fn suggest(&self, _: &str) {}
    fn ledger(&self) -> String {
        String::new()
    }
    fn manifest(&self, _: &str, _: u64, _: i64, _: i64) -> String {
        String::new()
    }
}

pub(super) fn host() -> Host {
    host_with_secret(0)
}

pub(super) fn host_with_secret(secret: u8) -> Host {
    Host::from_api(Arc::new(Run(secret)))
}

fn addresses(rows: &[Option<[u8; 16]>]) -> ArrayRef {
    let rows = rows.iter().copied();
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, 16).unwrap())
}

fn run(batch: RecordBatch) -> RecordBatch {
    let options = parse_config("key = \"ephemeral\"").unwrap();
    let mut stage = Anonymizer::<CryptoPan>::new(options, &host()).unwrap();
    let mut batches = Vec::new();
    stage.records(batch, &mut Output::new(&mut batches)).unwrap();
    batches.pop().unwrap()
}

fn batch(source: &[Option<[u8; 16]>], target: &[Option<[u8; 16]>], host: Vec<&str>) -> RecordBatch {
    let schema = schema::record(
        "http",
        vec![
            schema::address("source"),
            schema::text("host", schema::Kind::Text),
            schema::address("target").with_nullable(true),
            schema::anonymized(&schema::address("seen"), "truncate"),
        ],
    );
    let columns = vec![
        addresses(source),
        Arc::new(StringArray::from(host)),
        addresses(target),
        addresses(source),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn address_columns_are_mapped_and_marked_and_nothing_else() {
    // The key of `host()` is 0, 1, 2, ..., whose pairs are published.
    let v4 = (map_v4([192, 0, 2, 1]), map_v4([2, 90, 93, 17]));
    let address: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    let pseudonym: std::net::Ipv6Addr = "dd92:2c44:3fc0:ff1e:7ff9:c7f0:8180:7e00".parse().unwrap();
    let v6 = (address.octets(), pseudonym.octets());
    let source = [Some(v4.0), Some(v6.0), Some(v4.0), Some(v6.0)];
    let target = [Some(v6.0), None, None, Some(v4.0)];
    let before = batch(&source, &target, vec!["a", "b", "c", "d"]);
    let after = run(before.clone());

    assert_eq!(after.num_rows(), 4);
    assert_eq!(after.column(0), &addresses(&[v4.1, v6.1, v4.1, v6.1].map(Some)));
    assert_eq!(after.column(1), before.column(1));
    assert_eq!(after.column(2), &addresses(&[Some(v6.1), None, None, Some(v4.1)]));
    assert_eq!(after.column(3), before.column(3), "what is anonymized already stays as it is");

    let methods: Vec<_> = after
        .schema()
        .fields()
        .iter()
        .map(|field| field.metadata().get(schema::ANONYMIZED).cloned().unwrap_or_default())
        .collect();
    assert_eq!(methods, ["crypto_pan", "", "crypto_pan", "truncate"]);
    assert!(after.schema().fields().iter().all(|field| !schema::is_identifiable(field)));
    assert_eq!(schema::record_name(&after.schema()), "http");
    assert_eq!(<Anonymizer<CryptoPan> as Stage>::NAME, CryptoPan::NAME);
}

#[test]
fn an_empty_batch_has_its_columns_marked_too() {
    let after = run(batch(&[], &[], vec![]));
    assert_eq!(after.num_rows(), 0);
    assert!(after.schema().fields().iter().all(|field| !schema::is_identifiable(field)));
}

#[test]
fn a_slice_of_a_batch_is_mapped_from_its_own_rows() {
    let rows: Vec<_> = (0..9).map(|host| Some(map_v4([192, 0, 2, host]))).collect();
    let whole = run(batch(&rows, &rows, vec!["h"; 9]));
    let slice = run(batch(&rows, &rows, vec!["h"; 9]).slice(3, 4));
    assert_eq!(slice.column(0).len(), 4);
    assert_eq!(slice.column(0), &whole.column(0).slice(3, 4));
    assert_eq!(slice.column(2), &whole.column(2).slice(3, 4));
}
