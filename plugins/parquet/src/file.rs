//! A file that has its final name only when it is whole.
//!
//! A Parquet file cannot be read before its footer stands at the end, so it is written as
//! `.part-....parquet.inprogress`, a name that no `*.parquet` finds, and renamed when the disk
//! has all of it. The writer holds a lock on it: what is found without one was left by a
//! process that died. A lock and not a process id, because it goes away with its process by
//! itself and holds between containers.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ringmill_sdk::{Host, render};

const PREFIX: &str = "part-";
const ENDING: &str = ".parquet";
const UNFINISHED: &str = ".inprogress";

/// Gives out names that no other sink, engine or machine gives out.
#[derive(Debug)]
pub(crate) struct Names {
    /// The same in all names of this sink; 32 random bits.
    run: u32,
    number: u32,
}

impl Names {
    pub(crate) fn new() -> Self {
        // The hasher's keys come from the system's random numbers.
        let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_be_bytes();
        Self { run: u32::from_be_bytes([a, b, c, d]), number: 0 }
    }

    /// `part-20261123T031500Z-3f9a01c2-000001.parquet`: in the order of time, then of writing.
    fn next(&mut self) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        self.number = self.number.wrapping_add(1);
        format!("{PREFIX}{}-{:08x}-{:06}{ENDING}", render::file_time(ns), self.run, self.number)
    }
}

/// A file that is being written. Dropped before [`finish`](Self::finish), it is removed.
#[derive(Debug)]
pub(crate) struct InProgress {
    /// Where it is now; `None` once it is finished.
    hidden: Option<PathBuf>,
    whole: PathBuf,
}

impl InProgress {
    /// Makes a file in `directory`, which exists.
    pub(crate) fn create(directory: &Path, names: &mut Names) -> io::Result<(Self, File)> {
        loop {
            let name = names.next();
            let hidden = directory.join(format!(".{name}{UNFINISHED}"));
            let whole = directory.join(name);
            if whole.try_exists()? {
                continue;
            }
            let file = match OpenOptions::new().write(true).create_new(true).open(&hidden) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let this = Self { hidden: Some(hidden), whole };
            // Where a file system has no locks, nobody takes the file for a dead one's either.
            let _ = file.try_lock();
            // Between the two calls somebody may have found it without a lock and removed it.
            if file.metadata()?.nlink() > 0 {
                return Ok((this, file));
            }
        }
    }

    /// Gives the file its name, when the disk has it.
    pub(crate) fn finish(mut self, file: &File) -> io::Result<PathBuf> {
        file.sync_all()?;
        if let Some(hidden) = &self.hidden {
            // Nobody can have taken the name meanwhile: the hidden one was made by us alone.
            fs::rename(hidden, &self.whole)?;
            self.hidden = None;
        }
        if let Some(directory) = self.whole.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(std::mem::take(&mut self.whole))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs::remove_file(hidden);
        }
    }
}

/// Removes what processes that died have left in `directory`: without a footer nothing in it
/// can be read.
pub(crate) fn clean(directory: &Path, host: &Host) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX))
            && name.ends_with(&format!("{ENDING}{UNFINISHED}"));
        if !ours {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() && fs::remove_file(entry.path()).is_ok() {
            files += 1;
            bytes += file.metadata().map_or(0, |found| found.len());
        }
    }
    if files > 0 {
        host.warn(format_args!(
            "removed {files} unfinished file{} ({} KiB) from `{}`, left by an engine that was \
             killed: without its end a Parquet file cannot be read",
            if files == 1 { "" } else { "s" },
            bytes / 1024,
            directory.display(),
        ));
    }
}
