//! The address columns of a record batch: found, mapped, marked.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::{Schema, SchemaRef};

use crate::{
    Error, Result,
    packet::{map_v4, unmap_v4},
    schema,
};

/// The address columns of record batches, wherever the strategy is.
#[derive(Debug)]
pub(crate) struct Columns {
    /// What the columns are marked with: the strategy's name.
    method: &'static str,
    /// The schemas that came in, with what they become; a handful at most.
    schemas: Vec<(SchemaRef, SchemaRef)>,
    v4: Vec<u32>,
    v6: Vec<u128>,
}

impl Columns {
    pub(crate) fn new(method: &'static str) -> Self {
        Self { method, schemas: Vec::new(), v4: Vec::new(), v6: Vec::new() }
    }

    /// The batch with all its address columns mapped and marked. `strategy` replaces addresses
    /// by their pseudonyms.
    pub(crate) fn map(
        &mut self,
        records: &RecordBatch,
        mut strategy: impl FnMut(&mut [u32], &mut [u128]) -> Result,
    ) -> Result<RecordBatch> {
        let schema = self.marked(records.schema_ref());
        let mut columns = records.columns().to_vec();
        for (field, column) in records.schema_ref().fields().iter().zip(&mut columns) {
            if schema::is_identifiable(field) {
                *column = self.map_column(field.name(), column, &mut strategy)?;
            }
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
            .map(|field| match schema::is_identifiable(field) {
                true => Arc::new(schema::anonymized(field, self.method)),
                false => Arc::clone(field),
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

    fn map_column(
        &mut self,
        name: &str,
        column: &ArrayRef,
        strategy: &mut impl FnMut(&mut [u32], &mut [u128]) -> Result,
    ) -> Result<ArrayRef> {
        let Some(column) = column.as_any().downcast_ref::<FixedSizeBinaryArray>() else {
            return Err(Error::new(format!(
                "column `{name}` is of kind `address` but of type {}; an address is a \
                 FixedSizeBinary(16)",
                column.data_type()
            )));
        };
        let (rows, rest) = column.value_data().as_chunks::<16>();
        if !rest.is_empty() || rows.len() != column.len() {
            return Err(Error::new(format!("column `{name}` does not hold 16 bytes a row")));
        }
        self.v4.clear();
        self.v6.clear();
        for row in rows {
            match unmap_v4(row) {
                Some(address) => self.v4.push(u32::from_be_bytes(address)),
                None => self.v6.push(u128::from_be_bytes(*row)),
            }
        }
        strategy(&mut self.v4, &mut self.v6)?;
        let (mut v4, mut v6) = (self.v4.iter(), self.v6.iter());
        let mut mapped = Vec::with_capacity(rows.len() * 16);
        for row in rows {
            // The same rows in the same order as above, so neither iterator runs dry.
            let address = match unmap_v4(row) {
                Some(_) => v4.next().map(|address| map_v4(address.to_be_bytes())),
                None => v6.next().map(|address| address.to_be_bytes()),
            };
            mapped.extend_from_slice(&address.unwrap_or_default());
        }
        let nulls = column.nulls().cloned();
        Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(mapped), nulls)?))
    }
}
