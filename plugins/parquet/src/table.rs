//! The open file of one schema.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{
    arrow::arrow_writer::{
        ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions,
        compute_leaves,
    },
    errors::ParquetError,
    file::{metadata::KeyValue, writer::SerializedFileWriter},
};
use ringmill_sdk::{
    Error, Result, Span, Timestamp, arrow_array::RecordBatch, arrow_schema::SchemaRef, schema,
};

use crate::{
    Options,
    columns::Plan,
    file::{InProgress, Names},
    properties::properties,
};

/// Rows that are encoded in one go, a column at a time. A column's dictionary then stays in
/// the cache: a fifth faster than batch by batch. Putting the batches together first costs
/// more than it gains.
const ROWS_AT_ONCE: usize = 65_536;
/// The memory that waiting rows may take, and a row group that is not yet written.
const BYTES_AT_ONCE: usize = 64 << 20;
const GROUP_BYTES: usize = 128 << 20;

pub(crate) struct Table {
    plan: Plan,
    directory: PathBuf,
    writer: SerializedFileWriter<File>,
    factory: ArrowRowGroupWriterFactory,
    /// The row group in hand: a writer for each leaf column.
    group: Vec<ArrowColumnWriter>,
    group_rows: usize,
    group_limit: usize,
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
    /// Rows taken, waiting ones too.
    rows: u64,
    span: Span,
    /// The first tick that saw the file.
    pub(crate) opened: Option<Timestamp>,
    // After the writer, so that the file is removed when nobody writes to it any more.
    file: InProgress,
}

impl Table {
    /// Makes the file in `directory`, which exists.
    pub(crate) fn create(
        plan: Plan,
        directory: &Path,
        options: &Options,
        names: &mut Names,
        span: Span,
    ) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| cannot_write(directory, error);
        let properties = properties(options, &plan)?;
        let options_of_writer = ArrowWriterOptions::new()
            .with_properties(properties)
            // The Parquet types say all; a second schema is a second truth.
            .with_skip_arrow_metadata(true);
        let (file, handle) =
            InProgress::create(directory, names).map_err(|error| failed(&error))?;
        let (writer, factory) =
            ArrowWriter::try_new_with_options(handle, plan.schema(), options_of_writer)
                .and_then(ArrowWriter::into_serialized_writer)
                .map_err(|error| failed(&reason(&error)))?;
        let group_limit = usize::try_from(options.row_group_rows).unwrap_or(usize::MAX);
        Ok(Self {
            plan,
            directory: directory.to_owned(),
            writer,
            factory,
            group: Vec::new(),
            group_rows: 0,
            group_limit,
            waiting: Vec::new(),
            waiting_bytes: 0,
            rows: 0,
            span,
            opened: None,
            file,
        })
    }

    /// Whether records of this schema go here.
    pub(crate) fn takes(&self, schema: &SchemaRef) -> bool {
        // Every worker has a schema of its own, all with the same content.
        Arc::ptr_eq(&self.plan.source, schema) || self.plan.source == *schema
    }

    pub(crate) fn record(&self) -> &str {
        schema::record_name(&self.plan.source)
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.plan.columns.iter().any(|column| column.field.name() == name)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes written and about to be, without waiting rows.
    pub(crate) fn bytes(&self) -> u64 {
        let group: usize =
            self.group.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum();
        (self.writer.bytes_written() + group) as u64
    }

    /// Takes a batch; encodes it now or with those that follow.
    ///
    /// # Errors
    /// The file cannot be used any more.
    pub(crate) fn push(&mut self, records: &RecordBatch) -> Result {
        self.rows += records.num_rows() as u64;
        self.span.add(records);
        self.waiting_bytes += records.get_array_memory_size();
        self.waiting.push(records.clone());
        let waiting: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        let enough = ROWS_AT_ONCE.min(self.group_limit.saturating_sub(self.group_rows));
        match waiting >= enough || self.waiting_bytes >= BYTES_AT_ONCE {
            true => self.encode().map_err(|error| cannot_write(&self.directory, &reason(&error))),
            false => Ok(()),
        }
    }

    /// Writes what waits, the footer and the name; gives the file's path and size.
    pub(crate) fn close(mut self) -> Result<(PathBuf, u64)> {
        let written = self.encode().and_then(|()| self.end_group());
        if let Some(manifest) = self.span.manifest() {
            let entry = KeyValue::new(schema::MANIFEST.to_owned(), manifest);
            self.writer.append_key_value_metadata(entry);
        }
        let handle = written.and_then(|()| self.writer.into_inner());
        let handle = handle.map_err(|error| cannot_write(&self.directory, &reason(&error)))?;
        let failed = |error: std::io::Error| cannot_write(&self.directory, &error);
        let path = self.file.finish(&handle).map_err(failed)?;
        let bytes = handle.metadata().map_err(failed)?.len();
        Ok((path, bytes))
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.group.is_empty() {
            let number = self.writer.flushed_row_groups().len();
            self.group = self.factory.create_column_writers(number)?;
        }
        let mut writers = self.group.as_mut_slice();
        for column in &self.plan.columns {
            let mut leaves_of_column = 0;
            for records in &self.waiting {
                let array =
                    column.of(records).map_err(|error| ParquetError::General(error.to_string()))?;
                let leaves = compute_leaves(&column.field, &array)?;
                leaves_of_column = leaves.len();
                for (writer, leaf) in writers.iter_mut().zip(&leaves) {
                    writer.write(leaf)?;
                }
            }
            writers = writers.get_mut(leaves_of_column..).unwrap_or_default();
        }
        self.group_rows += self.waiting.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.waiting.clear();
        self.waiting_bytes = 0;
        let memory: usize = self.group.iter().map(ArrowColumnWriter::memory_size).sum();
        match self.group_rows >= self.group_limit || memory >= GROUP_BYTES {
            true => self.end_group(),
            false => Ok(()),
        }
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in self.group.drain(..) {
            column.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.group_rows = 0;
        Ok(())
    }
}

/// The directory of a record type; a name from a plugin must not lead out of the one above.
pub(crate) fn directory_of(above: &Path, record: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = record.chars().take(100).map(|c| if plain(c) { c } else { '_' }).collect();
    above.join(if name.is_empty() { "record" } else { &name })
}

/// Makes `directory` and those above it.
pub(crate) fn make(directory: &Path) -> Result {
    fs::create_dir_all(directory).map_err(|error| {
        Error::new(format!("cannot make the directory `{}`: {error}", directory.display()))
    })
}

fn cannot_write(directory: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("cannot write to the directory `{}`: {error}", directory.display()))
}

/// Without the writer's own words round an error of the system.
fn reason(error: &ParquetError) -> String {
    match error {
        ParquetError::External(inner) => inner.to_string(),
        other => other.to_string(),
    }
}
