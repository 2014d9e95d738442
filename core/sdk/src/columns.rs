//! Writers for the columns of a record type.
//!
//! Arrow's own builders, with two things added that measured better: nulls are not appended
//! one by one but when the next value comes (most headers are absent in most rows), and each
//! builder is made with the size its predecessor had, because finishing a builder gives its
//! memory away. A column in which every row is null is not built at all.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, MapArray, PrimitiveArray, StringArray, StructArray,
    TimestampNanosecondArray,
    builder::{PrimitiveBuilder, StringBuilder},
    new_null_array,
    types::ArrowPrimitiveType,
};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};

use crate::{Timestamp, schema};

type Result<T> = std::result::Result<T, ArrowError>;

/// A column of text.
#[derive(Debug)]
pub struct Text {
    values: StringBuilder,
    /// Rows that were written; to ask the builder costs as much as to count.
    rows: usize,
    /// Bytes that the last batch needed.
    bytes: usize,
    /// The column of nulls that the last batch ended in, to be shared while the length fits.
    nulls: Option<ArrayRef>,
}

impl Default for Text {
    fn default() -> Self {
        Self { values: StringBuilder::new(), rows: 0, bytes: 0, nulls: None }
    }
}

impl Text {
    /// Writes the value of row `row`; the rows between the last one and this are null.
    #[inline]
    pub fn put(&mut self, row: usize, value: &str) {
        self.fill(row);
        self.values.append_value(value);
        self.rows += 1;
    }

    /// Writes a value that came from the wire. Bytes that are not UTF-8 become U+FFFD; the
    /// result says whether all were.
    #[inline]
    pub fn put_bytes(&mut self, row: usize, value: &[u8]) -> bool {
        match std::str::from_utf8(value) {
            Ok(text) => {
                self.put(row, text);
                true
            }
            Err(_) => {
                self.put(row, &String::from_utf8_lossy(value));
                false
            }
        }
    }

    /// Whether the row has its value already.
    #[inline]
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        self.rows > row
    }

    /// The value of the row that was written last, as the bytes of its text, if that is row `row`.
    #[inline]
    #[must_use]
    pub fn last(&self, row: usize) -> Option<&[u8]> {
        let &[.., begin, end] = self.values.offsets_slice() else { return None };
        let range = usize::try_from(begin).ok()?..usize::try_from(end).ok()?;
        self.values.values_slice().get(range).filter(|_| self.has(row))
    }

    #[inline]
    fn fill(&mut self, row: usize) {
        if row > self.rows {
            self.values.append_nulls(row - self.rows);
            self.rows = row;
        }
    }

    /// The column with `rows` rows; the writer starts again.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        if self.rows == 0 {
            return share_nulls(&mut self.nulls, &DataType::Utf8, rows);
        }
        self.fill(rows);
        self.rows = 0;
        self.bytes = self.values.values_slice().len();
        let column = self.values.finish();
        self.values = StringBuilder::with_capacity(rows, self.bytes + self.bytes / 16);
        Arc::new(column)
    }
}

/// A column of nulls: the last one while the length fits.
fn share_nulls(last: &mut Option<ArrayRef>, data_type: &DataType, rows: usize) -> ArrayRef {
    match last {
        Some(nulls) if nulls.len() == rows => Arc::clone(nulls),
        _ => Arc::clone(last.insert(new_null_array(data_type, rows))),
    }
}

/// A column of numbers.
#[derive(Debug)]
pub struct Number<T: ArrowPrimitiveType> {
    values: PrimitiveBuilder<T>,
    /// As in [`Text`].
    nulls: Option<ArrayRef>,
}

impl<T: ArrowPrimitiveType> Default for Number<T> {
    fn default() -> Self {
        Self { values: PrimitiveBuilder::new(), nulls: None }
    }
}

impl<T: ArrowPrimitiveType> Number<T> {
    /// Writes the value of row `row`; the rows between the last one and this are null.
    #[inline]
    pub fn put(&mut self, row: usize, value: T::Native) {
        self.fill(row);
        self.values.append_value(value);
    }

    fn fill(&mut self, row: usize) {
        let len = arrow_array::builder::ArrayBuilder::len(&self.values);
        if row > len {
            self.values.append_nulls(row - len);
        }
    }

    /// The column with `rows` rows; the writer starts again.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        if arrow_array::builder::ArrayBuilder::is_empty(&self.values) {
            return share_nulls(&mut self.nulls, &T::DATA_TYPE, rows);
        }
        self.fill(rows);
        let column: PrimitiveArray<T> = self.values.finish();
        self.values = PrimitiveBuilder::with_capacity(rows);
        Arc::new(column)
    }
}

/// A column of times; every row has one.
#[derive(Debug, Default)]
pub struct Times(Vec<i64>);

impl Times {
    /// Writes the next row.
    #[inline]
    pub fn push(&mut self, time: Timestamp) {
        self.0.push(time.0);
    }

    /// The column; the writer starts again.
    pub fn finish(&mut self) -> ArrayRef {
        let empty = Vec::with_capacity(self.0.len());
        let values = ScalarBuffer::from(std::mem::replace(&mut self.0, empty));
        Arc::new(TimestampNanosecondArray::new(values, None).with_timezone("+00:00"))
    }
}

/// A column of addresses; every row has one.
#[derive(Debug, Default)]
pub struct Addresses(Vec<u8>);

impl Addresses {
    /// Writes the next row.
    #[inline]
    pub fn push(&mut self, address: &[u8; 16]) {
        self.0.extend_from_slice(address);
    }

    /// The column; the writer starts again.
    ///
    /// # Errors
    /// None in practice: the length is a multiple of 16 by construction.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let empty = Vec::with_capacity(self.0.len());
        let values = Buffer::from_vec(std::mem::replace(&mut self.0, empty));
        Ok(Arc::new(FixedSizeBinaryArray::try_new(16, values, None)?))
    }
}

/// A column that holds a map of text to text.
#[derive(Debug)]
pub struct TextMap {
    keys: StringBuilder,
    values: StringBuilder,
    /// Where each row's entries end.
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
    entries: usize,
    bytes: (usize, usize),
}

impl Default for TextMap {
    fn default() -> Self {
        Self {
            keys: StringBuilder::new(),
            values: StringBuilder::new(),
            ends: vec![0],
            nulls: NullBufferBuilder::new(0),
            entries: 0,
            bytes: (0, 0),
        }
    }
}

impl TextMap {
    /// Adds an entry to the row that [`end_row`](Self::end_row) will close.
    #[inline]
    pub fn put(&mut self, key: &str, value: &str) {
        self.keys.append_value(key);
        self.values.append_value(value);
        self.entries += 1;
    }

    /// Adds an entry without a value.
    #[inline]
    pub fn put_null(&mut self, key: &str) {
        self.keys.append_value(key);
        self.values.append_null();
        self.entries += 1;
    }

    /// Closes a row. A row without entries is null.
    #[inline]
    pub fn end_row(&mut self) {
        // An i32 holds the entries of any batch that fits in memory: rows are emitted long
        // before two thousand million headers.
        let end = i32::try_from(self.entries).unwrap_or(i32::MAX);
        self.nulls.append(self.ends.last() != Some(&end));
        self.ends.push(end);
    }

    /// The column; the writer starts again.
    ///
    /// # Errors
    /// None in practice: the parts are of one length by construction.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.ends.len() - 1;
        let mut fresh = Vec::with_capacity(rows + 1);
        fresh.push(0);
        let ends = std::mem::replace(&mut self.ends, fresh);
        self.bytes = (self.keys.values_slice().len(), self.values.values_slice().len());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.keys.finish()) as ArrayRef,
            Arc::new(self.values.finish()) as ArrayRef,
        ];
        self.keys = StringBuilder::with_capacity(self.entries, self.bytes.0);
        self.values = StringBuilder::with_capacity(self.entries, self.bytes.1);
        self.entries = 0;
        let nulls = std::mem::replace(&mut self.nulls, NullBufferBuilder::new(rows)).finish();
        let entries = StructArray::try_new(schema::map_entries(), columns, None)?;
        let field = Field::new("key_value", DataType::Struct(schema::map_entries()), false);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(Arc::new(MapArray::try_new(Arc::new(field), offsets, entries, nulls, false)?))
    }
}

/// A column of text in which every row has the same value; `None` is null.
#[must_use]
pub fn constant(value: Option<&str>, rows: usize) -> ArrayRef {
    match value {
        Some(value) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows))),
        None => new_null_array(&DataType::Utf8, rows),
    }
}
