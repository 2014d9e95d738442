//! A column of text that is written afresh, once a value of it is not what it was.
//!
//! Most columns come out as they went in and cost no copy. Of the others the values are written
//! one behind the other; the nulls stay where they were, and those that are new are remembered
//! by their rows, as there are few.

use std::mem;

use ringmill_sdk::{
    Result,
    arrow_array::{Array, ArrayRef, StringArray, builder::BooleanBufferBuilder},
    arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
};

/// The rows of a column that hold a value.
pub(crate) fn rows(column: &StringArray) -> impl Iterator<Item = usize> {
    let (all, some) = match column.nulls() {
        None => (0..column.len(), None),
        Some(nulls) => (0..0, Some(nulls.valid_indices())),
    };
    all.chain(some.into_iter().flatten())
}

/// What comes out of a column, row by row.
pub(crate) struct Fresh<'a> {
    column: &'a StringArray,
    changed: bool,
    /// The values so far, and where each of them ends, behind a zero; empty until one changes.
    text: String,
    ends: Vec<i32>,
    /// The rows of which nothing comes out.
    dropped: Vec<usize>,
}

impl<'a> Fresh<'a> {
    pub(crate) fn new(column: &'a StringArray) -> Self {
        let (text, ends, dropped) = (String::new(), Vec::new(), Vec::new());
        Self { column, changed: false, text, ends, dropped }
    }

    /// The value of this row comes out as it is.
    #[inline]
    pub(crate) fn keep(&mut self, row: usize, value: &str) {
        if self.changed {
            self.put(row, value);
        }
    }

    /// This comes out of the row.
    #[inline]
    pub(crate) fn put(&mut self, row: usize, value: &str) {
        self.change(row);
        self.text.push_str(value);
        self.end();
    }

    /// What this writes comes out of the row; nothing when it says so.
    #[inline]
    pub(crate) fn write(&mut self, row: usize, write: impl FnOnce(&mut String) -> bool) {
        self.change(row);
        let begin = self.text.len();
        if !write(&mut self.text) {
            self.text.truncate(begin);
            self.dropped.push(row);
        }
        self.end();
    }

    /// Nothing comes out of the row.
    pub(crate) fn drop(&mut self, row: usize) {
        self.write(row, |_| false);
    }

    /// Ends the rows before this one, which have no value if they were not written.
    #[inline]
    fn change(&mut self, row: usize) {
        if !mem::replace(&mut self.changed, true) {
            self.begin(row);
        }
        let end = self.ends.last().copied().unwrap_or_default();
        self.ends.resize(row + 1, end);
    }

    /// Writes the rows before this one, which came out as they are.
    #[cold]
    fn begin(&mut self, row: usize) {
        let bytes = self.column.value_data().len();
        self.text.reserve(bytes + bytes / 4);
        self.ends.reserve(self.column.len() + 1);
        self.ends.push(0);
        for row in rows(self.column).take_while(|before| *before < row) {
            self.put(row, self.column.value(row));
        }
    }

    #[inline]
    fn end(&mut self) {
        // Arrow says so when a column is too large.
        self.ends.push(i32::try_from(self.text.len()).unwrap_or(i32::MAX));
    }

    /// The column, or `None` when all came out as it is.
    pub(crate) fn finish(mut self) -> Result<Option<ArrayRef>> {
        if !self.changed {
            return Ok(None);
        }
        let rows = self.column.len();
        self.change(rows);
        let nulls = match self.dropped.as_slice() {
            [] => self.column.nulls().cloned(),
            dropped => {
                let mut valid = BooleanBufferBuilder::new(rows);
                match self.column.nulls() {
                    None => valid.append_n(rows, true),
                    Some(nulls) => valid.append_buffer(nulls.inner()),
                }
                dropped.iter().for_each(|row| valid.set_bit(*row, false));
                Some(NullBuffer::new(valid.finish()))
            }
        };
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let text = Buffer::from_vec(self.text.into_bytes());
        Ok(Some(std::sync::Arc::new(StringArray::try_new(ends, text, nulls)?)))
    }
}
