//! An anonymization strategy as a stage: [`AddressMap`] says how one address becomes another,
//! [`Anonymizer`] finds the columns, maps them and marks them.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::{Schema, SchemaRef};
use serde::de::DeserializeOwned;

use crate::{
    Error, Host, OptionHelp, Output, Result, Stage,
    packet::{map_v4, unmap_v4},
    schema,
};

/// How an address becomes another. Whole slices, so that ciphers can work on many at once.
pub trait AddressMap: Sized + Send + 'static {
    /// What `use = "..."` says: lower-case letters, digits and `_`.
    const NAME: &'static str;
    /// What it does, as a phrase.
    const SUMMARY: &'static str = "";
    /// What its options are; [`options!`](crate::options) writes this table.
    const OPTIONS: &'static [OptionHelp] = &[];
    /// The stage's own table of the config.
    type Config: DeserializeOwned;

    /// Makes an instance.
    ///
    /// # Errors
    /// [`Error::config`](crate::Error::config) for an option that is wrong.
    fn new(config: Self::Config, host: &Host) -> Result<Self>;

    /// Replaces each IPv4 address (most significant byte first) by its pseudonym.
    fn v4(&mut self, addresses: &mut [u32]);

    /// Replaces each IPv6 address (most significant byte first) by its pseudonym.
    fn v6(&mut self, addresses: &mut [u128]);
}

/// The stage that a strategy is run as: maps every column of kind `address` and marks it.
///
/// A column is written afresh, never in place: as fast, and safe where the batch is shared.
#[derive(Debug)]
pub struct Anonymizer<A> {
    map: A,
    columns: Columns,
}

impl<A: AddressMap> Stage for Anonymizer<A> {
    const NAME: &'static str = A::NAME;
    const SUMMARY: &'static str = A::SUMMARY;
    const OPTIONS: &'static [OptionHelp] = A::OPTIONS;
    type Config = A::Config;

    fn new(config: A::Config, host: &Host) -> Result<Self> {
        Ok(Self { map: A::new(config, host)?, columns: Columns::new(A::NAME) })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Self { map, columns } = self;
        out.emit(columns.map(&records, |v4, v6| {
            map.v4(v4);
            map.v6(v6);
            Ok(())
        })?)
    }
}

impl<A: AddressMap> Anonymizer<A> {
    /// Maps addresses that are in no record batch here: those of the engine's, of which only
    /// the addresses cross the plugin boundary.
    pub(crate) fn map(&mut self, v4: &mut [u32], v6: &mut [u128]) {
        self.map.v4(v4);
        self.map.v6(v6);
    }
}

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
