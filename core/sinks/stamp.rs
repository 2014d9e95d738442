//! The columns that the engine puts behind those of the chain, so that rows of many runs and
//! machines can lie in one store: `sensor`, where the config names one, and `record_id`.
//!
//! A row's id is given when it leaves the chain and never changes: what is sent again, spilled or
//! replayed keeps it, so a store, or whoever reads from it, can tell what came twice. It is made
//! of what the row holds, so the same capture read twice with the same keys, or by another number
//! of workers, gives the same ids. Two rows that are equal in every column, also in the
//! nanosecond of their time, have one id.
//!
//! It is a UUID of version 8 (RFC 9562, section 5.8) of a sum modulo 2^128: a number made of the record
//! type's name, and for every value that is not null its rapidhash (v3, 64 bits) times a number made
//! of its column's name. So an id does not depend on where a column stands, or on columns that a row
//! lacks. We did not take a hash of 128 bits for each value: it took five times as long.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, SchemaRef};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use ringmill_sdk::schema::{self, Kind};

/// The column of the row's id.
const RECORD_ID: &str = "record_id";
/// The column of the machine's name.
const SENSOR: &str = "sensor";

/// The same record type with the engine's columns and the id of the run's manifest, if there is
/// one yet.
///
/// # Errors
/// The name of a column of the chain's that is called like one of ours.
pub fn stamped(
    schema: &Schema,
    sensor: bool,
    manifest: Option<&str>,
) -> Result<SchemaRef, &'static str> {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let machine = sensor.then(|| schema::text(SENSOR, Kind::Text).with_nullable(false));
    for own in machine.into_iter().chain([schema::uuid(RECORD_ID)]) {
        if schema.field_with_name(own.name()).is_ok() {
            return Err(if own.name() == SENSOR { SENSOR } else { RECORD_ID });
        }
        fields.push(Arc::new(own));
    }
    let mut metadata = schema.metadata().clone();
    metadata.extend(manifest.map(|id| (schema::MANIFEST_ID.to_owned(), id.to_owned())));
    Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
}

/// Gives the rows of one worker their columns.
#[derive(Clone, Debug)]
pub struct Stamp {
    manifest: String,
    sensor: Option<String>,
    /// As many rows of it as the largest batch so far had.
    sensors: StringArray,
    /// Keeps its memory.
    sums: Vec<u128>,
}

impl Stamp {
    /// Of the run whose manifest has the id `manifest`.
    pub fn new(manifest: &str, sensor: Option<&str>) -> Self {
        let sensors = StringArray::new_null(0);
        let (manifest, sensor) = (manifest.to_owned(), sensor.map(str::to_owned));
        Self { manifest, sensor, sensors, sums: Vec::new() }
    }

    /// As [`stamped`].
    pub fn schema(&self, schema: &Schema) -> Result<SchemaRef, &'static str> {
        stamped(schema, self.sensor.is_some(), Some(&self.manifest))
    }

    /// The rows with their columns; `schema` is what [`schema`](Self::schema) made of theirs.
    ///
    /// # Errors
    /// None that a batch which is true to its own schema could cause.
    pub fn put(
        &mut self,
        records: RecordBatch,
        schema: SchemaRef,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = records.num_rows();
        let (_, mut columns, _) = records.into_parts();
        if let Some(sensor) = &self.sensor {
            if self.sensors.len() < rows {
                self.sensors = std::iter::repeat_n(Some(sensor), rows).collect();
            }
            columns.push(Arc::new(self.sensors.slice(0, rows)));
        }
        columns.push(self.ids(&schema, &columns, rows)?);
        RecordBatch::try_new(schema, columns)
    }

    fn ids(
        &mut self,
        schema: &Schema,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, ArrowError> {
        self.sums.clear();
        self.sums.resize(rows, number(schema::record_name(schema)));
        for (field, column) in schema.fields().iter().zip(columns) {
            add(&mut self.sums, number(field.name()), &**column);
        }
        let mut ids = Vec::with_capacity(rows * 16);
        for sum in &self.sums {
            let mut id = sum.to_be_bytes();
            id[6] = id[6] & 0x0f | 0x80;
            id[8] = id[8] & 0x3f | 0x80;
            ids.extend_from_slice(&id);
        }
        Ok(Arc::new(FixedSizeBinaryArray::try_new(16, ids.into(), None)?))
    }
}

/// For values, and for the two halves of [`number`].
static SECRETS: [RapidSecrets; 3] =
    [RapidSecrets::seed(0), RapidSecrets::seed(1), RapidSecrets::seed(2)];

/// What stands for a name; odd, so that to multiply with it loses nothing.
fn number(name: &str) -> u128 {
    let half = |secrets| u128::from(rapidhash_v3_seeded(name.as_bytes(), secrets));
    half(&SECRETS[1]) << 64 | half(&SECRETS[2]) | 1
}

/// The part of one value in the sum of its row.
#[inline]
fn part(number: u128, value: &[u8]) -> u128 {
    u128::from(rapidhash_v3_seeded(value, &SECRETS[0])).wrapping_mul(number)
}

/// Adds the parts of a column's values to the sums of the rows.
fn add(sums: &mut [u128], number: u128, column: &dyn Array) {
    if column.null_count() == column.len() {
        return;
    }
    match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            each(sums, number, column, |row| text.value(row).as_bytes());
        }
        DataType::FixedSizeBinary(_) => {
            let bytes = column.as_fixed_size_binary();
            each(sums, number, column, |row| bytes.value(row));
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>();
            each(sums, number, column, |row| bytes.value(row));
        }
        other => {
            if let Some(width) = other.primitive_width() {
                let data = column.to_data();
                let all = data.buffers().first().map_or(&[][..], |values| values.as_slice());
                let at = data.offset();
                each(sums, number, column, |row| {
                    all.get((at + row) * width..(at + row + 1) * width).unwrap_or_default()
                });
                return;
            }
            let mut bytes = Vec::new();
            let dictionary = column.as_any_dictionary_opt();
            let keys = dictionary.map(|dictionary| (dictionary.normalized_keys(), dictionary));
            for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                bytes.clear();
                match &keys {
                    Some((keys, dictionary)) => {
                        write(&**dictionary.values(), keys[row], &mut bytes);
                    }
                    None => write(column, row, &mut bytes),
                }
                if let Some(sum) = sums.get_mut(row) {
                    *sum = sum.wrapping_add(part(number, &bytes));
                }
            }
        }
    }
}

#[inline]
fn each<'a>(
    sums: &mut [u128],
    number: u128,
    column: &dyn Array,
    value: impl Fn(usize) -> &'a [u8],
) {
    let hash = |row| part(number, value(row));
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(hash(row));
            }
        }
        Some(nulls) => {
            for row in nulls.valid_indices() {
                sums[row] = sums[row].wrapping_add(hash(row));
            }
        }
    }
}

/// Appends one value of a type that holds others, or is rare, so that no two values look alike.
fn write(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let text = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    out.push(u8::from(array.is_valid(row)));
    if array.is_null(row) {
        return;
    }
    let several = |values: &dyn Array, out: &mut Vec<u8>| {
        out.extend_from_slice(&(values.len() as u64).to_le_bytes());
        (0..values.len()).for_each(|row| write(values, row, out));
    };
    match array.data_type() {
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Utf8 => text(array.as_string::<i32>().value(row).as_bytes(), out),
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row).as_bytes(), out),
        DataType::Utf8View => text(array.as_string_view().value(row).as_bytes(), out),
        DataType::Binary => text(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => text(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => text(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => text(array.as_fixed_size_binary().value(row), out),
        DataType::List(_) => several(&*array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => several(&*array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(..) => several(&*array.as_fixed_size_list().value(row), out),
        DataType::Map(..) => {
            let map = array.as_map();
            let at = |n: usize| usize::try_from(map.value_offsets()[n]).unwrap_or_default();
            out.extend_from_slice(&((at(row + 1) - at(row)) as u64).to_le_bytes());
            for entry in at(row)..at(row + 1) {
                write(&**map.keys(), entry, out);
                write(&**map.values(), entry, out);
            }
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                write(&**column, row, out);
            }
        }
        DataType::Dictionary(..) => {
            let one = array.slice(row, 1);
            let dictionary = one.as_any_dictionary();
            if let [key] = dictionary.normalized_keys()[..] {
                write(&**dictionary.values(), key, out);
            }
        }
        other => {
            // Of what is left, such as unions, the type alone counts.
            let Some(width) = other.primitive_width() else { return };
            let data = array.to_data();
            let at = (data.offset() + row) * width;
            let value = data.buffers().first().and_then(|all| all.as_slice().get(at..at + width));
            out.extend_from_slice(value.unwrap_or_default());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics to fail")]
mod tests {
    use std::{collections::BTreeSet, iter};

    use arrow_array::{
        BooleanArray, DictionaryArray, Int32Array, MapArray, UInt16Array, UInt64Array,
        builder::{MapBuilder, MapFieldNames, StringBuilder},
        types::Int8Type,
    };
    use ringmill_sdk::schema::field;

    use super::*;

    fn ids(records: RecordBatch, sensor: Option<&str>) -> Vec<[u8; 16]> {
        let mut stamp = Stamp::new("15bf9be376a7cda3", sensor);
        let schema = stamp.schema(records.schema_ref()).unwrap();
        assert_eq!(schema.metadata()[schema::MANIFEST_ID], "15bf9be376a7cda3");
        let records = stamp.put(records, schema).unwrap();
        let column = records.column_by_name(RECORD_ID).unwrap().as_fixed_size_binary().clone();
        column.iter().map(|id| id.unwrap().try_into().unwrap()).collect()
    }

    fn map(rows: &[&[(&str, Option<&str>)]]) -> MapArray {
        let names = MapFieldNames {
            entry: "key_value".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        for row in rows {
            for (key, value) in *row {
                map.keys().append_value(key);
                map.values().append_option(*value);
            }
            map.append(true).unwrap();
        }
        map.finish()
    }

    /// Rows that differ from the first in one place each.
    fn sample() -> RecordBatch {
        let fields = vec![
            field("port", DataType::UInt16, Kind::Number),
            field("flow", DataType::UInt64, Kind::Flow),
            field("host", DataType::Utf8, Kind::Header),
            field("uri", DataType::Utf8, Kind::Url),
            field("cut", DataType::Boolean, Kind::Text),
            schema::map("extras", Kind::Header),
            field("none", DataType::Int32, Kind::Number),
        ];
        let plain: &[(&str, Option<&str>)] = &[("accept", Some("a"))];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(vec![80, 81, 80, 80, 80, 80, 80, 80, 80, 80])),
            Arc::new(UInt64Array::from(vec![7, 7, 8, 7, 7, 7, 7, 7, 7, 7])),
            Arc::new(StringArray::from(["a", "a", "a", "b", "", "a", "a", "a", "a", "a"].to_vec())),
            Arc::new(StringArray::from_iter(iter::repeat_n(Some("/"), 5).chain([
                None,
                Some("a"),
                Some("/"),
                Some("/"),
                Some("/"),
            ]))),
            Arc::new(BooleanArray::from_iter(iter::repeat_n(Some(false), 7).chain([
                Some(true),
                Some(false),
                None,
            ]))),
            Arc::new(map(&[
                plain,
                plain,
                plain,
                plain,
                plain,
                plain,
                plain,
                plain,
                &[("accept", None)],
                plain,
            ])),
            Arc::new(Int32Array::new_null(10)),
        ];
        RecordBatch::try_new(schema::record("http_request", fields), columns).unwrap()
    }

    #[test]
    fn an_id_is_a_uuid_of_all_that_the_row_holds() {
        let all = ids(sample(), None);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 10, "{all:x?}");
        for id in &all {
            assert_eq!((id[6] >> 4, id[8] >> 6), (8, 0b10), "{id:x?}");
        }
        let first = ids(sample(), Some("north"));
        assert!(first.iter().all(|id| !all.contains(id)), "the sensor counts, too");
        // Whoever changes this doubles the rows of those who import a capture again.
        let mut text = Vec::new();
        ringmill_sdk::render::uuid(&all[0], &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), "748e29ce-8965-8125-abf4-d77b374ce8f6");
    }

    #[test]
    fn an_id_is_the_same_in_any_batch() {
        let all = ids(sample(), Some("north"));
        let single = (0..10).flat_map(|row| ids(sample().slice(row, 1), Some("north")));
        assert_eq!(single.collect::<Vec<_>>(), all);
        let turned = sample().project(&[5, 2, 6, 1, 0, 4, 3]).unwrap();
        assert_eq!(ids(turned, Some("north")), all, "whatever the order of columns");
        let without = sample().project(&[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(ids(without, Some("north")), all, "a column of nulls is as good as none");
    }

    #[test]
    fn a_dictionary_is_looked_up() {
        let words: DictionaryArray<Int8Type> =
            [Some("a"), Some("b"), None, Some("a")].into_iter().collect();
        let fields = vec![field("word", words.data_type().clone(), Kind::Text)];
        let records =
            RecordBatch::try_new(schema::record("word", fields), vec![Arc::new(words)]).unwrap();
        let all = ids(records, None);
        assert_eq!(all[0], all[3]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_column_called_like_ours_is_refused() {
        for (name, sensor, refused) in
            [("record_id", false, true), ("sensor", true, true), ("sensor", false, false)]
        {
            let own = schema::record("mine", vec![schema::text(name, Kind::Text)]);
            assert_eq!(stamped(&own, sensor, None).err(), refused.then_some(name), "{name}");
        }
    }
}
