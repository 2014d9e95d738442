//! Dead letters: records that a store has refused for good, beside what it said.
//!
//! ```text
//! DIRECTORY/20261123T031500Z-000001-http_request.arrows
//! ```
//!
//! An Arrow IPC stream for each record type and run, which Polars and `pyarrow` read. The last
//! column, `refused`, is the store's reason. Nothing marks the end of the stream, so it can be
//! read at any time.

use std::{
    fs::{self, DirBuilder, File},
    io::{ErrorKind, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use ringmill_sdk::{Error, Result, render, schema};

use super::spill::private;

const ENDING: &str = "arrows";
/// Files open at once.
const OPEN: usize = 16;

/// Where they go.
pub(super) struct DeadLetters {
    directory: PathBuf,
    /// Bytes that may still be written.
    left: u64,
    number: u32,
    files: Vec<Letters>,
}

/// The file of one record type.
struct Letters {
    /// Of the records, without the reason.
    of: SchemaRef,
    with_reason: SchemaRef,
    writer: StreamWriter<File>,
    bytes: u64,
}

impl DeadLetters {
    /// Into this directory, which is made with the first; `limit` bytes in all, with what lies
    /// there already.
    pub(super) fn new(directory: PathBuf, limit: u64) -> Self {
        let files = fs::read_dir(&directory).into_iter().flatten().flatten();
        let used = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        Self { directory, left: limit.saturating_sub(used), number: 0, files: Vec::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts these parts of a batch aside, each with its reason, and returns when they are on the
    /// disk; false where there is no room for them any more.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub(super) fn put(
        &mut self,
        records: &RecordBatch,
        parts: &[(Range<usize>, &str)],
        now: i64,
    ) -> Result<bool> {
        if records.get_array_memory_size() as u64 > self.left {
            return Ok(false);
        }
        let at = match self.files.iter().position(|file| file.of == records.schema()) {
            Some(at) => at,
            None => self.create(records.schema(), now)?,
        };
        let file = &mut self.files[at];
        let written = parts.iter().try_for_each(|(rows, reason)| {
            let reasons = StringArray::from_iter_values(std::iter::repeat_n(reason, rows.len()));
            let mut columns = records.slice(rows.start, rows.len()).columns().to_vec();
            columns.push(Arc::new(reasons));
            let records = RecordBatch::try_new(Arc::clone(&file.with_reason), columns)?;
            file.writer.write(&records).map_err(Error::from)
        });
        let disk = file.writer.get_mut();
        let written = written.and_then(|()| Ok(disk.sync_data()?));
        let length = disk.seek(SeekFrom::End(0));
        match (written, length) {
            (Ok(()), Ok(length)) => {
                self.left = self.left.saturating_sub(length - file.bytes);
                file.bytes = length;
                Ok(true)
            }
            (written, _) => {
                // Half a batch would hide the ones behind it; the next begins a new file.
                let _ = disk.set_len(file.bytes);
                self.files.remove(at);
                let place = format!("`{}`", self.directory.display());
                written.map_err(|error| error.while_doing(place)).map(|()| true)
            }
        }
    }

    /// A new file for records of this schema; gives its place.
    fn create(&mut self, of: SchemaRef, now: i64) -> Result<usize> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let file = loop {
            self.number += 1;
            let time = render::file_time(now);
            let record =
                schema::record_name(&of).replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            let name = format!("{time}-{:06}-{record}.{ENDING}", self.number);
            match private().create_new(true).open(self.directory.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                file => break file?,
            }
        };
        let refused = Arc::new(Field::new("refused", DataType::Utf8, false));
        let fields = of.fields().iter().cloned().chain([refused]);
        let with_reason =
            Schema::new_with_metadata(fields.collect::<Vec<_>>(), of.metadata().clone());
        let mut writer = StreamWriter::try_new(file, &with_reason)?;
        File::open(&self.directory)?.sync_all()?;
        if self.files.len() == OPEN {
            self.files.remove(0);
        }
        let bytes = writer.get_mut().metadata()?.len();
        self.files.push(Letters { of, with_reason: Arc::new(with_reason), writer, bytes });
        Ok(self.files.len() - 1)
    }
}
