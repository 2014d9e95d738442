//! Dead letters: records that a store has refused for good, beside what it said.
//!
//! ```text
//! DIRECTORY/20261123T031500Z-000001.arrows
//! ```
//!
//! One Arrow IPC stream for each refused batch, which Polars, `pyarrow` and DuckDB read; the
//! reason is in the metadata of its schema, as `ringmill.refused`.

use std::{
    fs::{self, DirBuilder, File},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::RecordBatch;
use ringmill_sdk::{Error, Result, render};

use super::spill::{payload, private};

/// Key of the reason in the schema's metadata.
pub(crate) const REASON: &str = "ringmill.refused";
const ENDING: &str = "arrows";

/// Where they go.
#[derive(Debug)]
pub(super) struct DeadLetters {
    directory: PathBuf,
    /// Bytes that may still be written.
    left: u64,
    number: u32,
}

impl DeadLetters {
    /// Into this directory, which is made with the first; `limit` bytes in all, with what lies
    /// there already.
    pub(super) fn new(directory: PathBuf, limit: u64) -> Self {
        let files = fs::read_dir(&directory).into_iter().flatten().flatten();
        let used = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        Self { directory, left: limit.saturating_sub(used), number: 0 }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts a batch aside; false where there is no room for it any more.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn put(&mut self, records: &RecordBatch, reason: &str, now: i64) -> Result<bool> {
        let mut schema = records.schema().as_ref().clone();
        schema.metadata.insert(REASON.to_owned(), reason.to_owned());
        let bytes = payload::to_ipc(&records.clone().with_schema(Arc::new(schema))?)?;
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else { return Ok(false) };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let (path, mut file) = self.create(now)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(Error::from(error).while_doing(format_args!("`{}`", path.display())));
        }
        File::open(&self.directory)?.sync_all()?;
        self.left = left;
        Ok(true)
    }

    fn create(&mut self, now: i64) -> Result<(PathBuf, File)> {
        loop {
            self.number += 1;
            let name = format!("{}-{:06}.{ENDING}", render::file_time(now), self.number);
            let path = self.directory.join(name);
            match private().create_new(true).open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                file => return Ok((path, file?)),
            }
        }
    }
}
