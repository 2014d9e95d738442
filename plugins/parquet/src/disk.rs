//! The disk that files go to: how much room it has, and what its errors mean.

use std::{io, path::Path};

use parquet::errors::ParquetError;
use ringmill_sdk::{Error, ErrorKind, Result};

/// Bytes that are free where `directory` is, or will be.
fn free(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find_map(|above| rustix::fs::statvfs(above).ok())?;
    // What has no blocks at all does not say.
    (there.f_blocks > 0).then(|| there.f_bavail.saturating_mul(there.f_frsize))
}

/// # Errors
/// One to try again after, when the disk has less than `free_mib` free.
pub(crate) fn has_room(directory: &Path, free_mib: u64) -> Result {
    match free(directory) {
        Some(free) if free < free_mib.saturating_mul(1 << 20) => Err(Error::retry(format!(
            "the disk of `{}` has {} MiB free, less than `free_mib` = {free_mib}; make room, or \
             lower it",
            directory.display(),
            free >> 20,
        ))),
        // Where nobody knows, writing will tell.
        _ => Ok(()),
    }
}

/// What the system said of a file or of the directory itself: an error to try again after, where
/// there may be room later.
pub(crate) fn cannot(what: &str, directory: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::Retry
        }
        _ => ErrorKind::Failed,
    };
    let shown = directory.display();
    Error::of(kind, "", format!("cannot {what} the directory `{shown}`: {error}"))
}

/// What the encoder said, which writes to memory.
pub(crate) fn cannot_encode(directory: &Path, error: &ParquetError) -> Error {
    Error::new(format!("cannot make a file for the directory `{}`: {error}", directory.display()))
}
