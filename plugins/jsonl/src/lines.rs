//! From a record batch to lines of JSON.

use std::{collections::HashSet, sync::Arc};

use ringmill_sdk::{
    Error, Result,
    arrow_array::{Array, RecordBatch},
    arrow_schema::SchemaRef,
    schema,
};

use crate::{
    escape,
    value::{self, Column},
};

/// What is the same in every line of a schema.
#[derive(Debug)]
struct Layout {
    schema: SchemaRef,
    /// `{"record":"http_request"`
    head: Vec<u8>,
    /// `,"name":` for each column.
    names: Vec<Vec<u8>>,
}

/// The schemas that have come in; a handful at most.
#[derive(Debug, Default)]
pub(crate) struct Layouts(Vec<Layout>);

impl Layouts {
    /// Appends a line for every row.
    ///
    /// # Errors
    /// A column cannot be shown; nothing has been appended then.
    pub(crate) fn append(&mut self, records: &RecordBatch, out: &mut Vec<u8>) -> Result {
        let layout = self.of(records.schema_ref())?;
        let fields = layout.schema.fields().iter();
        let mut columns = Vec::with_capacity(layout.names.len());
        for ((field, name), array) in fields.zip(&layout.names).zip(records.columns()) {
            // Many headers are absent in a whole batch.
            if array.null_count() < array.len() {
                columns.push((name, Column::new(field, &**array)?));
            }
        }
        for row in 0..records.num_rows() {
            out.extend_from_slice(&layout.head);
            for (name, column) in &columns {
                if !column.is_absent(row) {
                    out.extend_from_slice(name);
                    column.write(row, out);
                }
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
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

impl Layout {
    fn new(schema: &SchemaRef) -> Result<Self> {
        let mut head = b"{\"record\":".to_vec();
        escape::string(schema::record_name(schema).as_bytes(), &mut head);
        let mut seen = HashSet::from(["record"]);
        let mut names = Vec::new();
        for field in schema.fields() {
            if !seen.insert(field.name()) {
                return Err(Error::new(format!(
                    "two columns of `{}` are called `{}`; a line of JSON can hold only one \
                     (`record` is taken by the record type's name)",
                    schema::record_name(schema),
                    field.name()
                )));
            }
            value::check(field)?;
            names.push([b",".to_vec(), value::name(field)].concat());
        }
        Ok(Self { schema: Arc::clone(schema), head, names })
    }
}
