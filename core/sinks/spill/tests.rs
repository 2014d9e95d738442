//! The log after every kind of end: torn at each byte, damaged, full.

use std::{
    fs,
    io::{Cursor, Write as _},
    path::Path,
    sync::Arc,
};

use arrow_array::{Array as _, RecordBatch, UInt64Array, cast::AsArray as _, types::UInt64Type};
use proptest::prelude::*;
use ringmill_sdk::schema;

use super::{
    HEAD, Head, Limits, MAGIC, NotAppended, Spill,
    frame::{Scan, scan},
    private, rows_in,
};

const ROOMY: Limits = Limits { bytes: 1 << 30, drop_oldest: true };

/// A batch whose rows are these numbers.
fn batch(numbers: std::ops::Range<u64>) -> RecordBatch {
    let field = schema::field("n", arrow_schema::DataType::UInt64, schema::Kind::Number);
    let column = UInt64Array::from_iter_values(numbers);
    RecordBatch::try_new(schema::record("numbers", vec![field]), vec![Arc::new(column)])
        .expect("the column is of the schema")
}

fn numbers(records: &RecordBatch) -> Vec<u64> {
    records.column(0).as_primitive::<UInt64Type>().values().to_vec()
}

fn open(directory: &Path, limits: Limits) -> Spill {
    Spill::open(directory, limits).unwrap_or_else(|error| panic!("{error}"))
}

fn append(spill: &mut Spill, numbers: std::ops::Range<u64>) {
    let (dropped, result) = spill.append(&batch(numbers), true);
    assert!(dropped == 0 && result.is_ok(), "{result:?}");
}

/// Everything that is still to be read, with the rows that could not be.
fn read(spill: &mut Spill) -> (Vec<u64>, u64) {
    let (mut all, mut damaged) = (Vec::new(), 0);
    while let Some(next) = spill.next() {
        match next {
            Ok((_, records)) => all.extend(numbers(&records)),
            Err((rows, _)) => damaged += rows,
        }
    }
    (all, damaged)
}

fn segment(directory: &Path) -> std::path::PathBuf {
    directory.join("0000000000000000.spill")
}

#[test]
fn what_is_appended_is_read_in_order_and_after_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spill = open(directory.path(), ROOMY);
    append(&mut spill, 0..3);
    append(&mut spill, 3..4);
    let first = spill.next().expect("there are two").expect("it is whole");
    assert_eq!((first.0, numbers(&first.1)), (0, vec![0, 1, 2]));
    assert_eq!(first.1.schema(), batch(0..0).schema(), "metadata too");
    append(&mut spill, 4..9);
    assert_eq!((spill.rows(), spill.end(), spill.is_dirty()), (6, 3, true));
    spill.sync().expect("the disk takes it");
    spill.acknowledge(1);
    assert_eq!(spill.rows(), 6);
    // Dropped without a word, as a kill does.
    drop(spill);
    assert_eq!(rows_in(directory.path()).ok(), Some(6));
    let mut spill = open(directory.path(), ROOMY);
    assert_eq!(spill.rows(), 6);
    append(&mut spill, 9..10);
    assert_eq!(read(&mut spill), ((3..10).collect(), 0));
    spill.acknowledge(spill.end());
    assert_eq!((spill.rows(), spill.is_read()), (0, true));
    let left: Vec<_> = fs::read_dir(directory.path()).into_iter().flatten().flatten().collect();
    assert_eq!(left.len(), 2, "lock and cursor: {left:?}");
    drop(spill);
    let mut spill = open(directory.path(), ROOMY);
    assert_eq!((spill.rows(), spill.end()), (0, 4), "numbers go on");
    append(&mut spill, 0..1);
    assert_eq!(read(&mut spill).0, [0]);
}

#[test]
fn two_engines_do_not_share_a_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let _first = open(directory.path(), ROOMY);
    let error = Spill::open(directory.path(), ROOMY).err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|it| it.starts_with("another engine")), "{error:?}");
}

/// Whatever a crash leaves of the last frame, those before it are read and new ones follow.
#[test]
fn a_torn_tail_is_cut_off_at_every_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spill = open(directory.path(), ROOMY);
    append(&mut spill, 0..2);
    let before = fs::metadata(segment(directory.path())).expect("it is there").len();
    append(&mut spill, 2..5);
    drop(spill);
    let whole = fs::read(segment(directory.path())).expect("it is there");
    for cut in 0..whole.len() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(segment(directory.path()), &whole[..cut]).expect("it can be written");
        let mut spill = open(directory.path(), ROOMY);
        let expected: Vec<u64> = if (cut as u64) < before { vec![] } else { vec![0, 1] };
        append(&mut spill, 7..8);
        assert_eq!(read(&mut spill), ([expected, vec![7]].concat(), 0), "cut at {cut}");
    }
}

/// A flipped bit costs its frame and those behind it in the segment, and never the run.
#[test]
fn damage_is_survived_before_and_after_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spill = open(directory.path(), ROOMY);
    for n in 0..3 {
        append(&mut spill, n..n + 1);
    }
    let path = segment(directory.path());
    let whole = fs::read(&path).expect("it is there");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("it can be written");
        // While it is open: what was appended is known, so the rows are counted.
        spill.read = 0;
        spill.reader = None;
        let (read_now, damaged) = read(&mut spill);
        assert!(read_now.len() as u64 + damaged == 3 && (damaged > 0 || at < 8), "byte {at}");
        assert!(read_now.iter().all(|n| *n < 3) && read_now.is_sorted(), "byte {at}");
        // At a start.
        let other = tempfile::tempdir().expect("a directory");
        fs::copy(&path, segment(other.path())).expect("it can be copied");
        let read_then = read(&mut open(other.path(), ROOMY)).0;
        let expected: Vec<u64> = (0..read_then.len() as u64).collect();
        assert!(read_then.len() < 3 && read_then == expected, "byte {at}: {read_then:?}");
    }
}

#[test]
fn a_foreign_file_is_put_aside_and_an_empty_one_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("0000000000000007.spill"), "a letter to grandma")
        .expect("it can be written");
    fs::write(directory.path().join("0000000000000008.spill"), "").expect("it can be written");
    fs::write(directory.path().join("notes.txt"), "keep").expect("it can be written");
    fs::write(directory.path().join("cursor"), "torn").expect("it can be written");
    let spill = open(directory.path(), ROOMY);
    assert_eq!(spill.rows(), 0);
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["0000000000000007.damaged", "cursor", "lock", "notes.txt"]);
}

/// Numbers that do not compress, so that bytes are what they seem.
fn noise(seed: u64) -> RecordBatch {
    let mut state = seed;
    let column = UInt64Array::from_iter_values((0..1000).map(|n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if n == 0 { seed } else { state }
    }));
    RecordBatch::try_new(batch(0..0).schema(), vec![Arc::new(column)]).expect("of the schema")
}

#[test]
fn a_full_log_drops_the_oldest_or_the_newest_and_counts_them() {
    for drop_oldest in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut spill = open(directory.path(), Limits { bytes: 100_000, drop_oldest });
        let (mut dropped, mut refused) = (0, 0);
        for n in 0..100 {
            let (oldest, result) = spill.append(&noise(n), true);
            dropped += oldest;
            match result {
                Ok(()) => {}
                Err(NotAppended::Full) => refused += 1000,
                Err(NotAppended::Failed(error)) => panic!("{error}"),
            }
            let on_disk: u64 = fs::read_dir(directory.path())
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.metadata().map_or(0, |data| data.len()))
                .sum();
            assert!(on_disk <= 100_000, "{on_disk} bytes");
        }
        assert_eq!(spill.rows() + dropped + refused, 100_000, "oldest {drop_oldest}");
        assert!(spill.rows() >= 6000, "{} rows are left", spill.rows());
        let mut firsts = Vec::new();
        while let Some(next) = spill.next() {
            firsts.push(numbers(&next.expect("it is whole").1)[0]);
        }
        let kept = firsts.len() as u64;
        let expected: Vec<u64> =
            if drop_oldest { (100 - kept..100).collect() } else { (0..kept).collect() };
        assert_eq!(firsts, expected, "oldest {drop_oldest}");
        assert_eq!((dropped == 0, refused == 0), (!drop_oldest, drop_oldest));
    }
}

/// What was read already is in somebody's memory; dropping it from disk loses nothing.
#[test]
fn rows_that_were_read_are_not_lost_with_their_segment() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spill = open(directory.path(), Limits { bytes: 50_000, drop_oldest: true });
    assert!(spill.append(&noise(0), true).1.is_ok());
    assert!(spill.next().is_some_and(|next| next.is_ok()));
    let dropped: u64 = (1..20).map(|n| spill.append(&noise(n), true).0).sum();
    assert_eq!(dropped + spill.rows(), 19_000);
    assert!(spill.begin() > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes: the scan ends, and what it calls good is good.
    #[test]
    fn any_bytes_are_scanned(bytes in any_segment()) {
        let length = bytes.len() as u64;
        let found = scan(Cursor::new(&bytes), length, 5).expect("memory can be read");
        prop_assert!(found.good <= length);
        let good = usize::try_from(found.good).expect("it is in memory");
        let again = scan(Cursor::new(&bytes[..good]), found.good, 5).expect("memory can be read");
        prop_assert_eq!(&again, &found);
        // A cut anywhere leaves a beginning of it.
        let cut = good / 2;
        let part = scan(Cursor::new(&bytes[..cut]), cut as u64, 5).expect("memory can be read");
        prop_assert!(part.good <= cut as u64 && found.rows.starts_with(&part.rows));
    }

    /// Payloads that no engine wrote are errors.
    #[test]
    fn any_payload_is_a_batch_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        prop_assert!(super::payload::decode(&bytes).is_err());
        // As close to a real one as can be: one byte of the stream inside is another.
        let mut ipc = super::payload::to_ipc(&batch(0..5)).expect("it can be written");
        let at = at.index(ipc.len());
        ipc[at] ^= flip;
        let length = u32::try_from(ipc.len()).expect("it is short").to_le_bytes();
        let packed = zstd::bulk::compress(&ipc, 1).expect("it can be packed");
        if let Ok(records) = super::payload::decode(&[&length[..], &packed].concat()) {
            for column in records.columns() {
                column.to_data().validate_full().expect("Arrow checked it");
            }
        }
    }
}

/// Random bytes, and frames with some of them wrong.
fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    let frame = (prop::collection::vec(any::<u8>(), 0..40), any::<u32>(), 0..12_u8, any::<u8>());
    let framed = prop::collection::vec(frame, 0..6).prop_map(|frames| {
        let mut bytes = MAGIC.to_vec();
        for (sequence, (payload, rows, wrong, flip)) in (5..).zip(frames) {
            let at = bytes.len();
            bytes.extend(Head::of(sequence, rows, &payload).to_bytes());
            bytes.extend(payload);
            if wrong < 3 {
                let last = bytes.len() - 1;
                bytes[(at + usize::from(wrong) * 7).min(last)] ^= flip;
            }
        }
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..100), framed]
}

#[test]
fn a_scan_tells_whole_frames_from_the_rest() {
    let frame = |sequence, payload: &[u8]| {
        [&Head::of(sequence, 3, payload).to_bytes()[..], payload].concat()
    };
    let cases: &[(&str, Vec<u8>, usize, usize)] = &[
        ("nothing", vec![], 0, 0),
        ("half a magic", MAGIC[..5].to_vec(), 0, 0),
        ("another version", b"RMSPILL2".to_vec(), 0, 0),
        ("no frame", MAGIC.to_vec(), 0, 8),
        ("one", [&MAGIC[..], &frame(5, b"abc")].concat(), 1, 8 + HEAD + 3),
        ("an empty payload", [&MAGIC[..], &frame(5, b"")].concat(), 1, 8 + HEAD),
        ("another number", [&MAGIC[..], &frame(6, b"abc")].concat(), 0, 8),
        ("a gap", [&MAGIC[..], &frame(5, b"a"), &frame(7, b"b")].concat(), 1, 8 + HEAD + 1),
        ("a length of 4 GiB", [&MAGIC[..], &frame(5, b"a"), &[255; 30]].concat(), 1, 8 + HEAD + 1),
    ];
    for (name, bytes, frames, good) in cases {
        let found = scan(Cursor::new(bytes), bytes.len() as u64, 5).expect("memory can be read");
        let expected = Scan { rows: vec![3; *frames], good: *good as u64 };
        assert_eq!(found, expected, "{name}");
    }
}

/// Only the owner reads what is spilled.
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("spill");
    let mut spill = open(&path, ROOMY);
    append(&mut spill, 0..1);
    spill.acknowledge(0);
    let mode = |path: &Path| fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    assert_eq!(mode(&path).ok(), Some(0o700));
    assert_eq!(mode(&segment(&path)).ok(), Some(0o600));
    let other = path.join("other");
    private().create(true).open(&other).and_then(|mut file| file.write_all(b"x")).expect("made");
    assert_eq!(mode(&other).ok(), Some(0o600));
}
