//! The rules that every stage obeys, whatever it does.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{
    Ran, Row, START, Trial, decoded, frame_time, records, rows,
    run::{run_split, undecoded},
};
use crate::{
    BATCH, Layers, Packet, Result, Stage, Timestamp,
    schema::{self, Kind},
};

/// Runs a stage over the frames in several ways and checks what every stage must obey:
///
/// * rows, verdicts and counters do not depend on how packets are split into batches;
/// * what it emits has a schema that [`Stage::schemas`] named, or is made from one that came
///   in;
/// * batches without packets and record batches without rows are fine, and so are a tick
///   before the first packet, packets that no stage has decoded, and layers that point
///   outside their frame;
/// * a second `finish` is fine, and nothing is emitted after the first;
/// * an address column is neither renamed as something else nor loses its mark.
///
/// # Panics
/// With a sentence that names the rule.
pub fn check_rules<S: Stage>(options: &str, frames: &[Vec<u8>]) {
    let kit = Kit::<S> { options, frames, stage: std::marker::PhantomData };
    kit.splits_agree();
    kit.schemas_are_named();
    kit.strange_packets_are_fine();
    kit.nothing_is_fine();
    kit.finish_is_the_end();
    kit.records_keep_their_meaning();
}

struct Kit<'a, S> {
    options: &'a str,
    frames: &'a [Vec<u8>],
    stage: std::marker::PhantomData<S>,
}

type Rows = (Vec<Row>, Vec<Option<String>>, BTreeMap<String, u64>);

impl<S: Stage> Kit<'_, S> {
    fn must<T>(&self, rule: &str, result: Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => panic!("stage `{}`: {rule}: {error}", S::NAME),
        }
    }

    fn trial(&self) -> Trial<S> {
        self.must("it must be possible to make it from these options", Trial::new(self.options))
    }

    fn split(&self, size: usize) -> Ran {
        let ran = run_split::<S>(self.options, self.frames, size, decoded);
        self.must(&format!("batches of {size}"), ran)
    }

    fn splits_agree(&self) {
        let seen = |ran: Ran| -> Rows { (rows(&ran.records), ran.verdicts, ran.counters) };
        let whole = seen(self.split(BATCH));
        for size in [1, 7] {
            let (rows, verdicts, counters) = seen(self.split(size));
            let rule = format!("batches of {size} and of {BATCH} must give the same");
            assert_eq!(rows, whole.0, "stage `{}`: {rule} rows", S::NAME);
            assert_eq!(verdicts, whole.1, "stage `{}`: {rule} verdicts", S::NAME);
            assert_eq!(counters, whole.2, "stage `{}`: {rule} counters", S::NAME);
        }
    }

    fn schemas_are_named(&self) {
        let named = self.must("schemas() must not fail", self.trial().schemas());
        for (at, schema) in named.iter().enumerate() {
            assert!(
                schema.metadata().contains_key(schema::RECORD),
                "stage `{}`: schema {at} has no name; make it with `schema::record`",
                S::NAME
            );
        }
        for batch in self.split(BATCH).records {
            assert!(
                named.contains(&batch.schema()),
                "stage `{}` emitted a schema that schemas() does not name: {:#?}",
                S::NAME,
                batch.schema()
            );
        }
    }

    fn strange_packets_are_fine(&self) {
        type Make = for<'a> fn(&'a [u8], Timestamp) -> Packet<'a>;
        let cases: [(&str, Make); 3] = [
            ("packets that no stage has decoded must be fine", undecoded),
            ("layers that point outside the frame must be fine", |frame, time| {
                let mut packet = decoded(frame, time);
                packet.set_layers(&Layers {
                    l3: u16::MAX,
                    l4: u16::MAX,
                    payload: u16::MAX,
                    payload_len: u32::MAX,
                    ..packet.layers()
                });
                packet
            }),
            ("layers in the wrong order must be fine", |frame, time| {
                let mut packet = decoded(frame, time);
                let Layers { l3, payload, .. } = packet.layers();
                packet.set_layers(&Layers { l3: payload, payload: l3, ..packet.layers() });
                packet
            }),
        ];
        for (rule, make) in cases {
            self.must(rule, run_split::<S>(self.options, self.frames, BATCH, make));
        }
    }

    fn nothing_is_fine(&self) {
        let mut trial = self.trial();
        self.must("a tick before the first packet must be fine", trial.tick(START));
        self.must("a batch without packets must be fine", trial.packets([]));
        let mut known = self.must("schemas() must not fail", trial.schemas());
        known.push(sample_schema());
        for schema in known {
            let empty = RecordBatch::new_empty(schema);
            self.must("a record batch without rows must be fine", trial.records(empty));
        }
        self.must("finish() without packets must be fine", trial.finish());
        let emitted = rows(&trial.ran().records);
        assert!(emitted.is_empty(), "stage `{}` made rows from nothing: {emitted:?}", S::NAME);
    }

    fn finish_is_the_end(&self) {
        let mut trial = self.trial();
        for (at, part) in self.frames.chunks(BATCH).enumerate() {
            let packets = part.iter().map(|frame| decoded(frame, frame_time(at)));
            self.must("batches", trial.packets(packets));
        }
        self.must("finish()", trial.finish());
        let before = trial.ran().records.len();
        self.must("a second finish() must be fine", trial.finish());
        self.must("a tick after finish() must be fine", trial.tick(frame_time(1_000_000)));
        self.must("a third finish() must be fine", trial.finish());
        let after = trial.ran().records.len();
        assert_eq!(before, after, "stage `{}` emitted after its first finish()", S::NAME);
    }

    /// Sends a table through whose columns the stage has never seen.
    fn records_keep_their_meaning(&self) {
        let sample = sample_schema();
        let row: &[&str] = &["1", "192.0.2.1", "2001:db8::1", "text", "a=b, c=d", "7"];
        let mut trial = self.trial();
        self.must("a table it does not know must be fine", trial.records(records(&sample, &[row])));
        self.must("finish()", trial.finish());
        for batch in trial.ran().records {
            for field in batch.schema().fields() {
                let Ok(before) = sample.field_with_name(field.name()) else { continue };
                self.same_meaning(before, field);
            }
        }
    }

    fn same_meaning(&self, before: &Field, after: &Field) {
        let (stage, name) = (S::NAME, before.name());
        if schema::is_kind(before, Kind::Address) {
            let kept = schema::is_kind(after, Kind::Address);
            assert!(kept, "stage `{stage}`: `{name}` was of kind `address` and is no longer");
        }
        if let Some(method) = before.metadata().get(schema::ANONYMIZED) {
            let mark = after.metadata().get(schema::ANONYMIZED);
            assert!(mark.is_some(), "stage `{stage}`: `{name}` lost its mark `{method}`");
        }
    }
}

/// One column of each kind; one address as it was on the wire, one anonymized.
fn sample_schema() -> SchemaRef {
    let fields = vec![
        schema::time("time"),
        schema::address("raw"),
        schema::anonymized(&schema::address("mapped"), "sample"),
        schema::text("text", Kind::Text),
        schema::map("map", Kind::Header),
        schema::field("number", DataType::UInt16, Kind::Number),
    ];
    let sample: Arc<Schema> = schema::record("sample", fields);
    sample
}
