//! Rows as JSON objects, for sinks whose store takes JSON.
//!
//! ```text
//! {"record":"http_request","time":"2012-12-01T02:54:30.191989000Z","src_ip":"203.0.113.7",...}
//! ```
//!
//! `record` is the record type's name; what follows are its columns in their order, without
//! those that are null. Addresses and times are text, numbers are numbers (`flow` has 64 bits,
//! more than a JavaScript number keeps), a map is an object. Floats that are not finite are left
//! out; binary columns are hexadecimal. Nothing stands between the objects, and no line break in
//! one.
//!
//! The JSON is written by hand from the Arrow columns, a quarter of the time that a general
//! writer takes.

mod escape;
#[cfg(test)]
mod tests;
mod value;

use std::{collections::HashSet, sync::Arc};

use arrow_array::{Array, RecordBatch};
use arrow_schema::{Field, SchemaRef};

use crate::{Error, Result, schema};
use value::Column;

pub use escape::string;

/// What is the same in every row of a schema.
#[derive(Debug)]
struct Layout {
    schema: SchemaRef,
    /// `{"record":"http_request"`
    head: Vec<u8>,
    /// For each column.
    names: Vec<Name>,
}

/// `,"name":`
#[derive(Debug)]
struct Name {
    text: Vec<u8>,
    /// The same, where it fits, with anything behind it: a copy of a fixed length is two
    /// instructions, and one of any length a call.
    padded: Option<[u8; PADDED]>,
}

const PADDED: usize = 32;

impl Name {
    fn new(field: &Field) -> Self {
        let text = [b",".to_vec(), value::name(field)].concat();
        let mut padded = [0; PADDED];
        let fits = padded.get_mut(..text.len()).map(|begin| begin.copy_from_slice(&text));
        Self { padded: fits.map(|()| padded), text }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match &self.padded {
            Some(padded) => {
                let end = out.len() + self.text.len();
                out.extend_from_slice(padded);
                out.truncate(end);
            }
            None => out.extend_from_slice(&self.text),
        }
    }
}

/// Writes rows; keeps what is the same in all rows of the schemas that have come in, a handful at
/// most.
#[derive(Debug, Default)]
pub struct Writer(Vec<Layout>);

impl Writer {
    /// The rows of a batch, ready to be written one by one.
    ///
    /// # Errors
    /// A column cannot be shown.
    pub fn rows<'a>(&'a mut self, records: &'a RecordBatch) -> Result<Rows<'a>> {
        let layout = self.of(records.schema_ref())?;
        let fields = layout.schema.fields().iter();
        let mut columns = Vec::with_capacity(layout.names.len());
        for ((field, name), array) in fields.zip(&layout.names).zip(records.columns()) {
            // Many headers are absent in a whole batch.
            if array.null_count() < array.len() {
                columns.push((name, Column::new(field, &**array)?));
            }
        }
        Ok(Rows { head: &layout.head, columns })
    }

    fn of(&mut self, schema: &SchemaRef) -> Result<&Layout> {
        // Every worker has a schema of its own, all with the same content.
        let same =
            |layout: &Layout| Arc::ptr_eq(&layout.schema, schema) || layout.schema == *schema;
        let at = match self.0.iter().position(same) {
            Some(at) => at,
            None => {
                // A stage that makes a new schema for every batch must not grow this list.
                if self.0.len() == 64 {
                    self.0.clear();
                }
                self.0.push(Layout::new(schema)?);
                self.0.len() - 1
            }
        };
        self.0.get(at).ok_or_else(|| Error::new("a layout was lost"))
    }
}

/// The rows of one batch.
#[derive(Debug)]
pub struct Rows<'a> {
    head: &'a [u8],
    columns: Vec<(&'a Name, Column<'a>)>,
}

impl Rows<'_> {
    /// Appends the object of a row, which must be one of the batch.
    #[inline]
    pub fn append(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        for (name, column) in &self.columns {
            if !column.is_absent(row) {
                name.write(out);
                column.write(row, out);
            }
        }
        out.push(b'}');
    }
}

impl Layout {
    fn new(schema: &SchemaRef) -> Result<Self> {
        let mut head = b"{\"record\":".to_vec();
        escape::string(schema::record_name(schema).as_bytes(), &mut head);
        let mut seen = HashSet::from(["record"]);
        let mut names = Vec::new();
        for field in schema.fields() {
            if !seen.insert(field.name()) {
                return Err(Error::new(format!(
                    "two columns of `{}` are called `{}`; an object of JSON can hold only one \
                     (`record` is taken by the record type's name)",
                    schema::record_name(schema),
                    field.name()
                )));
            }
            value::check(field)?;
            names.push(Name::new(field));
        }
        Ok(Self { schema: Arc::clone(schema), head, names })
    }
}
