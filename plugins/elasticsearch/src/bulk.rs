//! The lines of `_bulk` that say where a document goes.

use ringmill_sdk::{
    arrow_array::{
        Array, FixedSizeBinaryArray, TimestampNanosecondArray, cast::AsArray as _, types,
    },
    arrow_schema::{DataType, Field, TimeUnit},
    json,
    prelude::*,
    render,
    schema::Kind,
};

use crate::index::{self, Indices};

/// The column whose value is a document's `_id`.
const ID: &str = "record_id";

/// What is to be known of a schema.
#[derive(Debug)]
pub(crate) struct Table {
    schema: SchemaRef,
    /// The columns that are in the document, in a schema of their own.
    document: SchemaRef,
    places: Vec<usize>,
    /// The name of the record type's index, without a day.
    pub(crate) base: String,
    /// `{"index":{"_index":"ringmill-http_request`
    begin: Vec<u8>,
    id: Option<usize>,
    time: Option<usize>,
}

impl Table {
    pub(crate) fn new(schema: &SchemaRef, indices: &Indices) -> Result<Self> {
        let record = schema::record_name(schema);
        let base = indices.base(record);
        let is = |name: &str, data_type: &DataType, field: &Field| {
            field.name() == name && field.data_type() == data_type
        };
        let fields = schema.fields();
        let id = fields.iter().position(|it| is(ID, &DataType::FixedSizeBinary(16), it));
        let time = fields.iter().position(|field| {
            let ns =
                matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, Some(_)));
            ns && schema::is_kind(field, Kind::Time)
        });
        if indices.data_stream && time.is_none() {
            return Err(Error::refused(format!(
                "`{record}` has no column of times, which a data stream needs; leave `data_stream` \
                 out"
            )));
        }
        let places: Vec<usize> = (0..fields.len()).filter(|at| Some(*at) != id).collect();
        let document = schema.project(&places)?.into();
        let action = if indices.data_stream { "create" } else { "index" };
        let mut begin = format!("{{\"{action}\":{{\"_index\":").into_bytes();
        json::string(base.as_bytes(), &mut begin);
        // The day follows before the quote.
        begin.pop();
        Ok(Self { schema: schema.clone(), document, places, base, begin, id, time })
    }

    pub(crate) fn is_of(&self, schema: &SchemaRef) -> bool {
        std::sync::Arc::ptr_eq(&self.schema, schema) || self.schema == *schema
    }

    /// The columns of a document.
    pub(crate) fn document(&self) -> &SchemaRef {
        &self.document
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// What of the records is in the documents.
    pub(crate) fn documents(&self, records: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.places.iter().map(|at| records.column(*at).clone()).collect();
        let options = ringmill_sdk::arrow_array::RecordBatchOptions::new()
            .with_row_count(Some(records.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.document.clone(), columns, &options)?)
    }

    /// The lines that say where these records go.
    pub(crate) fn actions<'a>(
        &'a self,
        records: &'a RecordBatch,
        indices: &Indices,
    ) -> Actions<'a> {
        let id = self.id.map(|at| records.column(at).as_fixed_size_binary());
        let time =
            self.time.map(|at| records.column(at).as_primitive::<types::TimestampNanosecondType>());
        Actions {
            begin: &self.begin,
            id,
            time,
            per_day: indices.per_day,
            stamped: indices.data_stream,
            day: None,
            day_text: Vec::new(),
        }
    }
}

/// The lines of one batch.
#[derive(Debug)]
pub(crate) struct Actions<'a> {
    begin: &'a [u8],
    id: Option<&'a FixedSizeBinaryArray>,
    time: Option<&'a TimestampNanosecondArray>,
    per_day: bool,
    /// Documents have `@timestamp`, without which a data stream takes none.
    stamped: bool,
    day: Option<i64>,
    /// `-2026.11.26`
    day_text: Vec<u8>,
}

impl Actions<'_> {
    /// Appends the line of a row, and what of its document the columns do not have.
    pub(crate) fn append(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.begin);
        let time = self.time.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        if let Some(time) = time.filter(|_| self.per_day) {
            let day = index::day(time);
            if self.day != Some(day) {
                self.day_text.clear();
                index::append_day(day, &mut self.day_text);
                self.day = Some(day);
            }
            out.extend_from_slice(&self.day_text);
        }
        out.push(b'"');
        let id = self.id.filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row));
        if let Some(id) = id.and_then(|id| id.try_into().ok()) {
            out.extend_from_slice(b",\"_id\":\"");
            render::uuid(id, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}}\n");
        if self.stamped {
            out.extend_from_slice(b"{\"@timestamp\":\"");
            render::timestamp(time.unwrap_or_default(), out);
            out.push(b'"');
        }
    }

    /// Joins the row's own object, which begins at `begin`, to what [`append`](Self::append) has
    /// begun, and ends the line.
    pub(crate) fn join(&self, begin: usize, out: &mut Vec<u8>) {
        if let Some(brace) = out.get_mut(begin).filter(|_| self.stamped) {
            *brace = b',';
        }
        out.push(b'\n');
    }
}
