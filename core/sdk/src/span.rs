//! What an output file is the output of: its manifest, for whoever reads the file later.

use arrow_array::{Array, RecordBatch, cast::AsArray, types::TimestampNanosecondType};

use crate::Host;

/// The span of one output file: from when the file before it was closed, or else from the start
/// of the run, until it is closed itself. So the spans of a sink follow each other.
///
/// A sink makes one in its `new` and after each file that it closes, shows it every batch that
/// goes into the file, and puts [`manifest`](Self::manifest) into the file or beside it.
///
/// ```
/// # use ringmill_sdk::{Span, testing::TestHost};
/// # let (host, _) = TestHost::with_manifest();
/// let mut span = Span::begin(&host);
/// // span.add(&records) for each batch
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
}

impl Span {
    /// What comes from now on is of the next file.
    #[must_use]
    pub fn begin(host: &Host) -> Self {
        let (began, host) = (host.0.ledger(), host.clone());
        Self { host, began, rows: 0, first: i64::MAX, last: i64::MIN }
    }

    /// These records go into it. Rows of one file need not be in the order of time.
    pub fn add(&mut self, records: &RecordBatch) {
        self.rows += records.num_rows() as u64;
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
        let text = self.host.0.manifest(&self.began, self.rows, self.first, self.last);
        (!text.is_empty()).then_some(text)
    }
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
