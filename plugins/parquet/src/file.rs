//! A file that has its final name only when it is whole, and that a crash leaves recoverable.
//!
//! ```text
//! http_request/.unfinished/day=2026-05-26,hour=13,part-20261123T031500Z-3f9a01c2-000001.parquet.inprogress
//! http_request/.unfinished/day=2026-05-26,hour=13,part-20261123T031500Z-3f9a01c2-000001.parquet.footers
//! http_request/day=2026-05-26/hour=13/part-20261123T031500Z-3f9a01c2-000001.parquet
//! ```
//!
//! A Parquet file cannot be read before its footer stands at the end, so it is written under a
//! name that no `*.parquet` finds, and renamed when the disk has all of it. Beside it grows a
//! second file: for each row group that the disk has, the footer that would make a whole file of
//! what there is. With that footer the next run makes one, if this run is killed (see `recover`).
//!
//! The writer holds a lock on the first file: what is found without one was left by a process
//! that died. A lock and not a process id, because it goes away with its process by itself and
//! holds between containers.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ringmill_sdk::render;

use crate::{footers, hours::Hour};

/// Where files are that have no footer yet, in the directory of their record type.
pub(crate) const UNFINISHED: &str = ".unfinished";
const DATA: &str = ".inprogress";
const FOOTERS: &str = ".footers";

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
        format!("part-{}-{:08x}-{:06}.parquet", render::file_time(ns), self.run, self.number)
    }
}

/// Where a file is while it is written, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) data: PathBuf,
    pub(crate) footers: PathBuf,
    whole: PathBuf,
}

impl Places {
    fn new(record: &Path, [day, hour, name]: [&str; 3]) -> Self {
        let unfinished = record.join(UNFINISHED);
        let hidden = |ending| unfinished.join(format!("{day},{hour},{name}{ending}"));
        Self {
            data: hidden(DATA),
            footers: hidden(FOOTERS),
            whole: record.join(day).join(hour).join(name),
        }
    }

    /// Those of something in `record/.unfinished`; `None` for what is not ours.
    pub(crate) fn of(record: &Path, found: &str) -> Option<Self> {
        let stem = found.strip_suffix(DATA).or_else(|| found.strip_suffix(FOOTERS))?;
        let parts: Vec<_> = stem.split(',').collect();
        let parts = <[&str; 3]>::try_from(parts).ok()?;
        let [day, hour, name] = parts;
        let ours = day.starts_with("day=")
            && hour.starts_with("hour=")
            && name.starts_with("part-")
            && name.ends_with(".parquet");
        ours.then(|| Self::new(record, parts))
    }

    /// Gives a file its name, which the disk has when this returns.
    pub(crate) fn publish(&self) -> io::Result<&Path> {
        let hour = self.whole.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(hour)?;
        // Nobody can have taken the name: the one before was made by us alone.
        fs::rename(&self.data, &self.whole)?;
        // The hour's, the day's and the record type's.
        for directory in self.whole.ancestors().skip(1).take(3) {
            sync_directory(directory)?;
        }
        self.forget_footers();
        Ok(&self.whole)
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.data)?;
        self.forget_footers();
        Ok(())
    }

    /// They are no use without the file; if they stay, the next run takes them away.
    fn forget_footers(&self) {
        let _ = fs::remove_file(&self.footers);
    }
}

/// A file that is being written. What no footer was recorded for goes away with it.
#[derive(Debug)]
pub(crate) struct Unfinished {
    data: File,
    places: Places,
    /// What was appended, all of it whole.
    len: u64,
    /// So much of it a recorded footer covers.
    recorded: u64,
    /// The file of the footers and its length.
    footers: Option<(File, u64)>,
    published: bool,
}

impl Unfinished {
    /// Makes a file for an hour in the directory of its record type, and both directories.
    pub(crate) fn create(record: &Path, hour: Hour, names: &mut Names) -> io::Result<Self> {
        let (day, hour) = hour.names();
        loop {
            let places = Places::new(record, [&day, &hour, &names.next()]);
            if places.whole.try_exists()? {
                continue;
            }
            let data = match OpenOptions::new().write(true).create_new(true).open(&places.data) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // Between the two calls somebody may have found it without a lock, and removes it.
            // Where a file system has no locks, nobody takes the file for a dead one's either.
            let taken = matches!(data.try_lock(), Err(TryLockError::WouldBlock));
            if !taken && data.metadata()?.nlink() > 0 {
                let (len, recorded) = (0, 0);
                return Ok(Self { data, places, len, recorded, footers: None, published: false });
            }
        }
    }

    /// Appends all of `bytes` or nothing.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        append(&self.data, &mut self.len, bytes)
    }

    /// Whether a footer covers all that was appended.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded == self.len
    }

    /// Records the footer of what was appended so far; both are on the disk when this returns.
    pub(crate) fn record(&mut self, footer: &[u8]) -> io::Result<()> {
        self.data.sync_data()?;
        if self.footers.is_none() {
            self.footers = Some((File::create(&self.places.footers)?, 0));
            if let Some(directory) = self.places.footers.parent() {
                sync_directory(directory)?;
            }
        }
        if let Some((file, len)) = &mut self.footers {
            append(file, len, &footers::frame(self.len, footer))?;
            file.sync_data()?;
        }
        self.recorded = self.len;
        Ok(())
    }

    /// Gives the file its name, when the disk has all of it; may be called again if it fails.
    pub(crate) fn publish(&mut self) -> io::Result<(PathBuf, u64)> {
        self.data.sync_all()?;
        let path = self.places.publish()?.to_owned();
        self.published = true;
        Ok((path, self.len))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.published && self.recorded == 0 {
            let _ = self.places.remove();
        }
    }
}

/// Appends all of `bytes` or nothing to a file of this length.
fn append(file: &File, len: &mut u64, bytes: &[u8]) -> io::Result<()> {
    let result = file.write_all_at(bytes, *len);
    match result {
        Ok(()) => *len += bytes.len() as u64,
        // A part of it is no use and takes room.
        Err(_) => file.set_len(*len)?,
    }
    result
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
