//! The open file of one schema and hour.
//!
//! Encoding and writing are apart: row groups are encoded into memory, and what is there goes to
//! the file in one step that may be tried again. So a full disk costs no row that was taken.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{
    arrow::arrow_writer::{
        ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions,
        compute_leaves,
    },
    basic::ColumnOrder,
    errors::ParquetError,
    file::{
        metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter},
        writer::SerializedFileWriter,
    },
    schema::types::SchemaDescriptor,
};
use ringmill_sdk::{
    Result, Span, Timestamp,
    arrow_array::{ArrayRef, RecordBatch},
    arrow_schema::SchemaRef,
    schema,
};

use crate::{
    Options,
    columns::{Column, Plan},
    disk::{cannot, cannot_encode},
    file::{Names, UNFINISHED, Unfinished},
    hours::Hour,
    properties::properties,
    threads,
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
    hour: Hour,
    /// Of the record type.
    directory: PathBuf,
    /// Writes to memory; [`save`](Self::save) empties it.
    writer: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    /// The leaf columns of each column.
    leaves: Vec<usize>,
    threads: usize,
    /// The row group in hand: a writer for each leaf column.
    group: Vec<ArrowColumnWriter>,
    group_rows: usize,
    group_limit: usize,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    /// Rows taken, waiting ones too.
    rows: u64,
    span: Span,
    /// The first tick that saw the file, and the first that saw rows which are in no row group.
    opened: Option<Timestamp>,
    unsaved: Option<Timestamp>,
    /// When it was last written to, in any unit that grows.
    pub(crate) used: u64,
    /// It is to be closed and takes no more rows.
    pub(crate) closing: bool,
    /// Its footer is written.
    ended: bool,
    file: Unfinished,
}

impl Table {
    /// Makes the file in the directory of the record type, and that directory.
    pub(crate) fn create(
        plan: Plan,
        hour: Hour,
        options: &Options,
        names: &mut Names,
        span: Span,
    ) -> Result<Self> {
        let directory = directory_of(&options.directory, schema::record_name(&plan.source));
        make(&directory)?;
        make(&directory.join(UNFINISHED))?;
        let options_of_writer = ArrowWriterOptions::new()
            .with_properties(properties(options, &plan)?)
            // The Parquet types say all; a second schema is a second truth.
            .with_skip_arrow_metadata(true);
        let (writer, factory) =
            ArrowWriter::try_new_with_options(Vec::new(), plan.schema(), options_of_writer)
                .and_then(ArrowWriter::into_serialized_writer)
                .map_err(|error| cannot_encode(&directory, &error))?;
        let mut leaves = vec![0; plan.columns.len()];
        let descriptor = writer.schema_descr();
        for leaf in 0..descriptor.num_columns() {
            leaves[descriptor.get_column_root_idx(leaf)] += 1;
        }
        let file = Unfinished::create(&directory, hour, names)
            .map_err(|error| cannot("write to", &directory, &error))?;
        Ok(Self {
            plan,
            hour,
            directory,
            writer,
            factory,
            leaves,
            threads: options.writers.into(),
            group: Vec::new(),
            group_rows: 0,
            group_limit: usize::try_from(options.row_group_rows).unwrap_or(usize::MAX),
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
            span,
            opened: None,
            unsaved: None,
            used: 0,
            closing: false,
            ended: false,
            file,
        })
    }

    /// Whether records of this schema and hour go here.
    pub(crate) fn takes(&self, schema: &SchemaRef, hour: Hour) -> bool {
        // Every worker has a schema of its own, all with the same content.
        let source = &self.plan.source;
        hour == self.hour && !self.closing && (Arc::ptr_eq(source, schema) || source == schema)
    }

    /// Whether its manifest is that of these records, whatever their type.
    pub(crate) fn says_the_same(&self, records: &RecordBatch) -> bool {
        self.span.takes(records)
    }

    pub(crate) fn record(&self) -> &str {
        schema::record_name(&self.plan.source)
    }

    /// The directory of its record type.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
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
        self.waiting_rows += records.num_rows();
        self.waiting.push(records.clone());
        let enough = ROWS_AT_ONCE.min(self.group_limit.saturating_sub(self.group_rows));
        match self.waiting_rows >= enough || self.waiting_bytes >= BYTES_AT_ONCE {
            true => self.encode().map_err(|error| cannot_encode(&self.directory, &error)),
            false => Ok(()),
        }
    }

    /// How long the file has been open, and how long rows have waited for a row group, in
    /// nanoseconds.
    pub(crate) fn ages(&mut self, now: Timestamp) -> (i64, i64) {
        let has_unsaved = self.group_rows + self.waiting_rows > 0;
        let unsaved = if has_unsaved { age(&mut self.unsaved, now) } else { 0 };
        (age(&mut self.opened, now), unsaved)
    }

    /// Makes a row group of the rows so far.
    ///
    /// # Errors
    /// The file cannot be used any more.
    pub(crate) fn end_group(&mut self) -> Result {
        let ended = self.encode().and_then(|()| self.close_group());
        ended.map_err(|error| cannot_encode(&self.directory, &error))
    }

    /// Brings the row groups that are encoded to the disk, and the footer that recovers them.
    ///
    /// # Errors
    /// The disk did not take them; they are kept for the next call.
    pub(crate) fn save(&mut self) -> Result {
        self.try_save().map_err(|error| cannot("write to", &self.directory, &error))
    }

    fn try_save(&mut self) -> io::Result<()> {
        // Its first four bytes alone make no row group.
        if !self.ended && self.writer.flushed_row_groups().is_empty() {
            return Ok(());
        }
        self.writer.flush()?;
        if !self.writer.inner().is_empty() {
            self.file.append(self.writer.inner())?;
            *self.writer.inner_mut() = Vec::new();
        }
        if !self.ended && !self.file.is_recorded() {
            let footer = self.footer()?;
            self.file.record(&footer)?;
        }
        Ok(())
    }

    /// Writes what waits, the footer and the name; gives the file's path and size.
    ///
    /// # Errors
    /// May be called again after one of [`ErrorKind::Retry`](ringmill_sdk::ErrorKind).
    pub(crate) fn close(&mut self) -> Result<(PathBuf, u64)> {
        self.closing = true;
        if !self.ended {
            self.end_group()?;
            if let Some(manifest) = self.manifest() {
                self.writer.append_key_value_metadata(manifest);
            }
            self.writer.finish().map_err(|error| cannot_encode(&self.directory, &error))?;
            self.ended = true;
        }
        self.save()?;
        self.file.publish().map_err(|error| cannot("write to", &self.directory, &error))
    }

    fn manifest(&self) -> Option<KeyValue> {
        let manifest = self.span.manifest()?;
        Some(KeyValue::new(schema::MANIFEST.to_owned(), manifest))
    }

    /// The footer of a file that ends here. It lacks the index of pages, which readers do
    /// without.
    fn footer(&self) -> Result<Vec<u8>, ParquetError> {
        let groups = self.writer.flushed_row_groups().to_vec();
        let properties = self.writer.properties();
        let about = properties.key_value_metadata().cloned().unwrap_or_default();
        let columns = self.writer.schema_descr().columns().iter();
        let orders = columns.map(|column| {
            ColumnOrder::column_order_for_type(
                column.logical_type_ref(),
                column.converted_type(),
                column.physical_type(),
            )
        });
        let file = FileMetaData::new(
            properties.writer_version().as_num(),
            groups.iter().map(|group| group.num_rows()).sum(),
            Some(properties.created_by().to_owned()),
            Some(about.into_iter().chain(self.manifest()).collect()),
            Arc::new(SchemaDescriptor::new(self.writer.schema_descr().root_schema_ptr())),
            Some(orders.collect()),
        );
        let mut footer = Vec::new();
        ParquetMetaDataWriter::new(&mut footer, &ParquetMetaData::new(file, groups)).finish()?;
        Ok(footer)
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
        let mut jobs = Vec::with_capacity(self.plan.columns.len());
        for (column, leaves) in self.plan.columns.iter().zip(&self.leaves) {
            let (own, others) = writers.split_at_mut(*leaves);
            jobs.push((column, own));
            writers = others;
        }
        let waiting = &self.waiting;
        threads::each(self.threads, jobs, |(column, writers)| write(column, waiting, writers))?;
        self.group_rows += self.waiting_rows;
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        let memory: usize = self.group.iter().map(ArrowColumnWriter::memory_size).sum();
        match self.group_rows >= self.group_limit || memory >= GROUP_BYTES {
            true => self.close_group(),
            false => Ok(()),
        }
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.group);
        let columns = threads::each(self.threads, columns, ArrowColumnWriter::close)?;
        let mut group = self.writer.next_row_group()?;
        for column in columns {
            column.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.group_rows = 0;
        self.unsaved = None;
        Ok(())
    }
}

/// Encodes a column of all these batches.
fn write(
    column: &Column,
    batches: &[RecordBatch],
    writers: &mut [ArrowColumnWriter],
) -> Result<(), ParquetError> {
    for records in batches {
        let array: ArrayRef =
            column.of(records).map_err(|error| ParquetError::General(error.to_string()))?;
        for (writer, leaf) in writers.iter_mut().zip(&compute_leaves(&column.field, &array)?) {
            writer.write(leaf)?;
        }
    }
    Ok(())
}

/// How long ago the first tick was that asked; a clock set back starts anew.
fn age(since: &mut Option<Timestamp>, now: Timestamp) -> i64 {
    let start = since.filter(|start| *start <= now).unwrap_or(now);
    *since = Some(start);
    now.0.saturating_sub(start.0)
}

/// The directory of a record type; a name from a plugin must not lead out of the one above.
fn directory_of(above: &Path, record: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = record.chars().take(100).map(|c| if plain(c) { c } else { '_' }).collect();
    above.join(if name.is_empty() { "record" } else { &name })
}

/// Makes `directory` and those above it.
fn make(directory: &Path) -> Result {
    fs::create_dir_all(directory).map_err(|error| cannot("make", directory, &error))
}
