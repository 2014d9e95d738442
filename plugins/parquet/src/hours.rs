//! Which hour a row belongs to, and the directories of the hours.

use std::time::SystemTime;

use ringmill_sdk::{
    arrow_array::{Array, RecordBatch, cast::AsArray, types::TimestampNanosecondType},
    render,
};

const SECONDS: i64 = 3_600;
const NANOS: i64 = SECONDS * 1_000_000_000;

/// An hour in UTC, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hour(i64);

impl Hour {
    fn of(nanos: i64) -> Self {
        Self(nanos.div_euclid(NANOS))
    }

    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::of(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// `day=2026-05-26` and `hour=13`, which DuckDB, Polars and Spark read as two columns. Not
    /// `date=`: heads have a column of that name, and a reader would show one for the other.
    pub(crate) fn names(self) -> (String, String) {
        let mut text = Vec::new();
        render::seconds(self.0.saturating_mul(SECONDS), 0, &mut text);
        let text = String::from_utf8_lossy(&text);
        let (day, time) = text.split_once('T').unwrap_or_default();
        (format!("day={day}"), format!("hour={}", time.get(..2).unwrap_or_default()))
    }
}

/// The rows of a batch by the hours of their `time`, in their order. Those without one are of
/// the hour `now`. Almost every batch is of one hour and stays whole.
pub(crate) fn split(records: &RecordBatch, now: Hour) -> Vec<(Hour, RecordBatch)> {
    let times = records.column_by_name("time");
    let Some(times) = times.and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>()) else {
        return vec![(now, records.clone())];
    };
    let hour = |row: usize| match times.is_null(row) {
        true => now,
        false => Hour::of(times.value(row)),
    };
    let mut parts = Vec::new();
    let mut begin = 0;
    for row in 1..=records.num_rows() {
        if row == records.num_rows() || hour(row) != hour(begin) {
            parts.push((hour(begin), records.slice(begin, row - begin)));
            begin = row;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringmill_sdk::{
        arrow_array::{ArrayRef, Int64Array, TimestampNanosecondArray},
        arrow_schema::{DataType, Field},
        schema,
    };

    use super::*;

    #[test]
    fn an_hour_has_two_directories() {
        let cases = [
            (0, "day=1970-01-01", "hour=00"),
            (-1, "day=1969-12-31", "hour=23"),
            (1_779_800_400_000_000_000, "day=2026-05-26", "hour=13"),
            (1_779_803_999_999_999_999, "day=2026-05-26", "hour=13"),
            (1_709_164_800_000_000_000, "day=2024-02-29", "hour=00"),
            (i64::MIN, "day=1677-09-21", "hour=00"),
            (i64::MAX, "day=2262-04-11", "hour=23"),
        ];
        for (nanos, day, hour) in cases {
            assert_eq!(Hour::of(nanos).names(), (day.to_owned(), hour.to_owned()), "{nanos}");
        }
    }

    #[test]
    fn a_batch_is_divided_where_the_hour_changes() {
        const NOW: Hour = Hour(1000);
        let of = |times: Option<Vec<Option<i64>>>| {
            let rows = times.as_ref().map_or(3, Vec::len);
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
            let mut fields = vec![Field::new("n", DataType::Int64, false)];
            let mut columns = vec![numbers];
            if let Some(times) = times {
                let hours = times.into_iter().map(|hour| hour.map(|hour| hour * NANOS + 5));
                let hours = TimestampNanosecondArray::from(hours.collect::<Vec<_>>());
                fields.push(schema::time("time").with_nullable(true));
                columns.push(Arc::new(hours.with_timezone("+00:00")));
            }
            let records = RecordBatch::try_new(schema::record("r", fields), columns).unwrap();
            let parts = split(&records, NOW);
            let parts = parts.into_iter().map(|(hour, rows)| {
                let numbers =
                    rows.column(0).as_primitive::<ringmill_sdk::arrow_array::types::Int64Type>();
                (hour.0, numbers.values().to_vec())
            });
            parts.collect::<Vec<_>>()
        };
        assert_eq!(of(None), [(1000, vec![0, 1, 2])]);
        assert_eq!(of(Some(vec![Some(7); 3])), [(7, vec![0, 1, 2])]);
        assert_eq!(
            of(Some(vec![Some(7), Some(7), Some(8), Some(7), None, Some(-1)])),
            [(7, vec![0, 1]), (8, vec![2]), (7, vec![3]), (1000, vec![4]), (-1, vec![5])]
        );
        assert_eq!(of(Some(vec![])), []);
    }
}
