//! The columns of a record batch that hold addresses, whole or in text: found, mapped, marked.

use std::{ops::Range, slice, sync::Arc};

use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, MapArray, RecordBatch, StringArray, StructArray,
    cast::AsArray,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::text::{self, Finder, Found, Place};
use crate::{
    Error, Result,
    packet::{map_v4, unmap_v4},
    schema::{self, Kind},
};

/// The columns of record batches that hold addresses, wherever the strategy is.
///
/// All addresses of a batch go to the strategy in one call: ciphers work on many at once, and
/// for a loaded strategy that call crosses the plugin boundary.
#[derive(Debug)]
pub(crate) struct Columns {
    /// What the columns are marked with: the strategy's name.
    method: &'static str,
    /// Whether the strategy takes IPv4 addresses among the IPv6 ones, as ::ffff:a.b.c.d.
    widens: bool,
    /// The schemas that came in, with what they become; a handful at most.
    schemas: Vec<(SchemaRef, SchemaRef)>,
    v4: Vec<u32>,
    v6: Vec<u128>,
    finder: Finder,
    found: Vec<Found>,
}

/// A column to be written afresh.
enum Work {
    Addresses,
    /// Those of [`Columns::found`].
    Text(Range<usize>),
}

impl Columns {
    pub(crate) fn new(method: &'static str, widens: bool) -> Self {
        Self {
            method,
            widens,
            schemas: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
            finder: Finder::default(),
            found: Vec::new(),
        }
    }

    /// The batch with all its addresses mapped and the columns that may hold some marked.
    /// `strategy` replaces addresses by their pseudonyms.
    pub(crate) fn map(
        &mut self,
        records: &RecordBatch,
        mut strategy: impl FnMut(&mut [u32], &mut [u128]) -> Result,
    ) -> Result<RecordBatch> {
        let schema = self.marked(records.schema_ref());
        let mut columns = records.columns().to_vec();
        let work = self.gather(records)?;
        strategy(&mut self.v4, &mut self.v6)?;
        let (v4, v6) = (self.v4.iter(), self.v6.iter());
        let mut pseudonyms = Pseudonyms { widens: self.widens, v4, v6 };
        for (at, work) in work {
            let column = &mut columns[at];
            *column = match work {
                Work::Addresses => pseudonyms.of_column(column)?,
                Work::Text(found) => pseudonyms.of_text(column, &self.found[found])?,
            };
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn marked(&mut self, schema: &SchemaRef) -> SchemaRef {
        if let Some((_, marked)) = self.schemas.iter().find(|(from, _)| Arc::ptr_eq(from, schema)) {
            return Arc::clone(marked);
        }
        let fields: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| {
                match schema::is_identifiable(field) || schema::may_name_addresses(field) {
                    true => Arc::new(schema::anonymized(field, self.method)),
                    false => Arc::clone(field),
                }
            })
            .collect();
        let marked = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        // A stage that makes a new schema for every batch must not grow this list.
        if self.schemas.len() == 64 {
            self.schemas.clear();
        }
        self.schemas.push((Arc::clone(schema), Arc::clone(&marked)));
        marked
    }

    /// Puts all addresses into `v4` and `v6`, column by column and in each from the first to
    /// the last. Says which columns they came from.
    fn gather(&mut self, records: &RecordBatch) -> Result<Vec<(usize, Work)>> {
        self.v4.clear();
        self.v6.clear();
        self.found.clear();
        let mut work = Vec::new();
        let columns = records.schema_ref().fields().iter().zip(records.columns());
        for (at, (field, column)) in columns.enumerate() {
            if schema::is_identifiable(field) {
                for address in addresses(field.name(), column)? {
                    self.gather_one(address);
                }
                work.push((at, Work::Addresses));
            } else if schema::may_name_addresses(field) {
                let from = self.found.len();
                self.find(field, column)?;
                for n in from..self.found.len() {
                    let address = self.found[n].address;
                    self.gather_one(&address);
                }
                if self.found.len() > from {
                    work.push((at, Work::Text(from..self.found.len())));
                }
            }
        }
        Ok(work)
    }

    #[inline]
    fn gather_one(&mut self, address: &[u8; 16]) {
        match as_v4(address, self.widens) {
            Some(address) => self.v4.push(u32::from_be_bytes(address)),
            None => self.v6.push(u128::from_be_bytes(*address)),
        }
    }

    /// Finds the addresses in a column of text.
    fn find(&mut self, field: &Field, column: &ArrayRef) -> Result {
        let Self { finder, found, .. } = self;
        if let Some(texts) = column.as_string_opt::<i32>() {
            let place = match schema::is_kind(field, Kind::Url) {
                true => Place::Url,
                false => Place::named(field.name()),
            };
            finder.column(texts.value_data(), texts.value_offsets(), place, found);
            return Ok(());
        }
        if let Some((keys, values, _)) = column.as_map_opt().and_then(entries) {
            let place = |n| Place::named(if keys.is_null(n) { "" } else { keys.value(n) });
            finder.all(values.value_data(), values.value_offsets(), place, found);
            return Ok(());
        }
        match column.data_type() {
            DataType::Boolean | DataType::Null => Ok(()),
            number if number.is_primitive() => Ok(()),
            other => Err(Error::new(format!(
                "column `{}` is of kind `header` or `url` but of type {other}, in which \
                 addresses are not looked for; text is Utf8 or a Map of Utf8 to Utf8",
                field.name()
            ))),
        }
    }
}

/// The address as an IPv4 address, if the strategy takes it as one.
fn as_v4(address: &[u8; 16], widens: bool) -> Option<[u8; 4]> {
    if widens { None } else { unmap_v4(address) }
}

/// The rows of a column of addresses.
fn addresses<'a>(name: &str, column: &'a ArrayRef) -> Result<&'a [[u8; 16]]> {
    let Some(column) = column.as_fixed_size_binary_opt() else {
        return Err(Error::new(format!(
            "column `{name}` is of kind `address` but of type {}; an address is a \
             FixedSizeBinary(16)",
            column.data_type()
        )));
    };
    match column.value_data().as_chunks::<16>() {
        (rows, []) if rows.len() == column.len() => Ok(rows),
        _ => Err(Error::new(format!("column `{name}` does not hold 16 bytes a row"))),
    }
}

/// The keys and the values of the rows of a map, and where in its entries they begin.
fn entries(map: &MapArray) -> Option<(StringArray, StringArray, i32)> {
    let (first, last) = (*map.value_offsets().first()?, *map.value_offsets().last()?);
    let (from, to) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
    let entries = map.entries().slice(from, to.checked_sub(from)?);
    let text = |column: &ArrayRef| column.as_string_opt::<i32>().cloned();
    Some((text(entries.columns().first()?)?, text(entries.columns().get(1)?)?, first))
}

/// The addresses that were gathered, after the strategy; they are taken in the same order, so
/// neither iterator runs dry.
struct Pseudonyms<'a> {
    widens: bool,
    v4: slice::Iter<'a, u32>,
    v6: slice::Iter<'a, u128>,
}

impl Pseudonyms<'_> {
    /// The pseudonym of the next address, which was this one.
    #[inline]
    fn of(&mut self, address: &[u8; 16]) -> [u8; 16] {
        let pseudonym = match as_v4(address, self.widens) {
            Some(_) => self.v4.next().map(|address| map_v4(address.to_be_bytes())),
            None => self.v6.next().map(|address| address.to_be_bytes()),
        };
        pseudonym.unwrap_or_default()
    }

    fn of_column(&mut self, column: &ArrayRef) -> Result<ArrayRef> {
        let mut mapped = Vec::with_capacity(column.len() * 16);
        for row in addresses("", column)? {
            mapped.extend_from_slice(&self.of(row));
        }
        let nulls = column.nulls().cloned();
        Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(mapped), nulls)?))
    }

    /// The column of text with these addresses replaced.
    fn of_text(&mut self, column: &ArrayRef, found: &[Found]) -> Result<ArrayRef> {
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Ok(Arc::new(self.of_texts(texts, found)?));
        }
        let (DataType::Map(field, sorted), Some(map)) = (column.data_type(), column.as_map_opt())
        else {
            return Ok(Arc::clone(column));
        };
        let (DataType::Struct(fields), Some((keys, values, first))) =
            (field.data_type(), entries(map))
        else {
            return Ok(Arc::clone(column));
        };
        let values = self.of_texts(&values, found)?;
        let entries =
            StructArray::try_new(fields.clone(), vec![Arc::new(keys), Arc::new(values)], None)?;
        let offsets = map.value_offsets().iter().map(|offset| offset - first).collect();
        let (offsets, nulls) = (OffsetBuffer::new(offsets), map.nulls().cloned());
        Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *sorted)?))
    }

    fn of_texts(&mut self, texts: &StringArray, found: &[Found]) -> Result<StringArray> {
        let before = texts.value_data();
        let place = |offset: &i32| usize::try_from(*offset).unwrap_or_default();
        let [first, .., last] = texts.value_offsets() else { return Ok(texts.clone()) };
        // Up to here the text was copied.
        let mut copied = place(first);
        let mut after = Vec::with_capacity(place(last) - copied + 24 * found.len());
        let mut offsets = Vec::with_capacity(texts.len() + 1);
        let mut found = found.iter().peekable();
        for end in texts.value_offsets().iter().map(place) {
            while let Some(found) = found.next_if(|found| found.start < end) {
                after.extend_from_slice(&before[copied..found.start]);
                text::write(found, &self.of(&found.address), &mut after);
                copied = found.end;
            }
            let end = i32::try_from(after.len() + end - copied);
            offsets.push(end.map_err(|_| {
                Error::new("a column of text would be larger than 2 GiB; let batches be smaller")
            })?);
        }
        after.extend_from_slice(&before[copied..place(last)]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = texts.nulls().cloned();
        Ok(StringArray::try_new(offsets, Buffer::from_vec(after), nulls)?)
    }
}
