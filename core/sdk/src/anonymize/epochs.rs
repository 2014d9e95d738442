//! Which rows of a record batch belong to which epoch.

use std::ops::Range;

use arrow_array::{RecordBatch, cast::AsArray, types::TimestampNanosecondType};
use arrow_schema::Field;

use crate::{
    Error, Result, Timestamp,
    key::Epoch,
    schema::{self, Kind},
};

/// The column that says when a row was seen.
const TIME: &str = "time";

/// Whether a batch has anything whose key depends on the epoch.
pub(super) fn matter(records: &RecordBatch) -> bool {
    let keyed = |field: &Field| {
        [Kind::Address, Kind::Header, Kind::Url].iter().any(|kind| schema::is_kind(field, *kind))
    };
    records.num_rows() > 0 && records.schema_ref().fields().iter().any(|field| keyed(field))
}

/// The rows of each period, in order; rows of one period stand together as far as they do so
/// in the batch.
///
/// # Errors
/// When the batch has no column `time`.
pub(super) fn runs(records: &RecordBatch, epoch: Epoch) -> Result<Vec<(i64, Range<usize>)>> {
    let column = records.column_by_name(TIME);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    let Some(times) = times else {
        return Err(Error::new(format!(
            "`{}` has no column `time` of nanoseconds, so nobody can tell of which {} its rows \
             are; put a stage that drops the column behind the anonymizer",
            schema::record_name(records.schema_ref()),
            epoch.name()
        )));
    };
    let mut runs: Vec<(i64, Range<usize>)> = Vec::new();
    for (row, time) in times.values().iter().enumerate() {
        let period = epoch.period(Timestamp(*time));
        match runs.last_mut() {
            Some((last, rows)) if *last == period => rows.end = row + 1,
            _ => runs.push((period, row..row + 1)),
        }
    }
    Ok(runs)
}
