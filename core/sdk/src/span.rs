//! What an output file is the output of: its manifest, for whoever reads the file later.

use arrow_array::{Array, RecordBatch, cast::AsArray, types::TimestampNanosecondType};

use crate::{Host, schema::MANIFEST_ID};

/// The span of one output file: from when the file before it was closed, or else from the start
/// of the run, until it is closed itself. So the spans of a sink follow each other.
///
/// A sink makes one in its `new` and after each file that it closes, closes the file when the span
/// does not take a batch, shows it every batch that goes into the file, and puts [`manifest`](Self::manifest) into the file or beside it.
///
/// ```
/// # use ringmill_sdk::{Span, testing::TestHost};
/// # let (host, _) = TestHost::with_manifest();
/// let mut span = Span::begin(&host);
/// // span.takes(&records), else another file; span.add(&records) for each batch
/// let manifest = span.manifest().unwrap();
/// # assert!(manifest.ends_with("\"rows\":0}"));
/// ```
#[derive(Clone, Debug)]
pub struct Span {
    host: Host,
    /// The ledger then.
    began: String,
    rows: u64,
    /// The least and the greatest `time`.
    first: i64,
    last: i64,
    /// The manifest that the rows are of; empty before the first.
    manifest: String,
}

impl Span {
    /// What comes from now on is of the next file.
    #[must_use]
    pub fn begin(host: &Host) -> Self {
        let (began, host) = (host.0.ledger(), host.clone());
        Self { host, began, rows: 0, first: i64::MAX, last: i64::MIN, manifest: String::new() }
    }

    /// Whether these records have the same manifest as those before. Where they do not, because the
    /// engine has read its config again, they go into another file; so each file says of all its
    /// rows how they came about.
    #[must_use]
    pub fn takes(&self, records: &RecordBatch) -> bool {
        self.rows == 0 || self.manifest == manifest_of(records)
    }

    /// These records go into it. Rows of one file need not be in the order of time.
    pub fn add(&mut self, records: &RecordBatch) {
        self.rows += records.num_rows() as u64;
        if self.manifest != manifest_of(records) {
            manifest_of(records).clone_into(&mut self.manifest);
        }
        let times = records.column_by_name("time");
        let Some(times) = times.and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>())
        else {
            return;
        };
        if times.null_count() > 0 {
            return times.iter().flatten().for_each(|time| self.see(time));
        }
        times.values().iter().for_each(|&time| self.see(time));
    }

    fn see(&mut self, time: i64) {
        (self.first, self.last) = (self.first.min(time), self.last.max(time));
    }

    /// One JSON document: the engine, the chain with its parameters and without its secrets,
    /// and the ledger up to now and of this span. `None` where the run has no manifest, as in
    /// most tests.
    #[must_use]
    pub fn manifest(&self) -> Option<String> {
        let Self { host, began, rows, first, last, manifest } = self;
        // What began is in the engine's own form, which has the manifest in front of the ledger.
        let began = match manifest.as_str() {
            "" => began.clone(),
            manifest => format!("{manifest}\n{began}"),
        };
        let text = host.0.manifest(&began, *rows, *first, *last);
        (!text.is_empty()).then_some(text)
    }
}

/// The id of the manifest of these records; empty where they have none.
fn manifest_of(records: &RecordBatch) -> &str {
    records.schema_ref().metadata().get(MANIFEST_ID).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, TimestampNanosecondArray};

    use super::*;
    use crate::{schema, testing::TestHost};

    #[test]
    fn it_has_the_first_and_the_last_time_of_its_rows() {
        let (host, _) = TestHost::with_manifest();
        let cases: &[(&[&[Option<i64>]], &str)] = &[
            (&[&[Some(7), Some(3)], &[Some(5)]], "{\"first\":3,\"last\":7,\"rows\":3}"),
            (&[&[None, Some(-2), None]], "{\"first\":-2,\"last\":-2,\"rows\":3}"),
        ];
        for (batches, expected) in cases {
            let mut span = Span::begin(&host);
            for times in *batches {
                let times = TimestampNanosecondArray::from(times.to_vec()).with_timezone("+00:00");
                let field = schema::time("time").with_nullable(true);
                let schema = schema::record("r", vec![field]);
                let times: ArrayRef = Arc::new(times);
                span.add(&RecordBatch::try_new(schema, vec![times]).unwrap());
            }
            assert_eq!(span.manifest().as_deref(), Some(*expected));
        }
        let (host, _) = TestHost::new(None);
        assert_eq!(Span::begin(&host).manifest(), None, "a run without one");
    }
}
