//! The file, or whatever else the path names, that lines are written to.
//!
//! A file of an earlier run is renamed, not appended to: the run that left it may have been
//! killed in the middle of a line, and a new run should not add to an old one's count. It is
//! locked while it is written, so that two engines (or two sinks) with one path cannot take
//! it from each other.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ringmill_sdk::{Error, Host, Result, render};

use crate::sidecar;

/// An open file, pipe or device.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// As the operator wrote it, for messages.
    shown: String,
    /// Where the file really is; `None` for what has no length and no name to give away.
    regular: Option<PathBuf>,
    /// Bytes written, or what a file holds.
    len: u64,
    /// What a file held before the lines that are being written.
    before: u64,
    /// A failed write left some of them, or half of one, which are to be cut off.
    torn: bool,
}

impl Output {
    /// Standard output, without the line buffer of [`io::stdout`].
    pub(crate) fn stdout() -> Result<Self> {
        let file = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::new(format!("cannot write to standard output: {error}")))?;
        Ok(Self {
            file: file.into(),
            shown: "standard output".into(),
            regular: None,
            len: 0,
            before: 0,
            torn: false,
        })
    }

    /// Makes the file and the directories above it; a file with something in it is renamed
    /// first, which the log tells.
    pub(crate) fn create(path: &Path, host: &Host) -> Result<Self> {
        let shown = format!("`{}`", path.display());
        let failed = |error: io::Error| Error::new(format!("cannot write {shown}: {error}"));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| {
                Error::new(format!("cannot make the directory `{}`: {error}", parent.display()))
            })?;
        }
        if !is_regular_or_absent(path) {
            let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
            return Ok(Self { file, shown, regular: None, len: 0, before: 0, torn: false });
        }
        // Through a link to the file itself, so that it stays on the disk it was put on.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // Twice at most: what the first turn finds and renames is gone in the second.
        loop {
            let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(Error::new(format!(
                    "{shown} is being written by another engine or another sink; give this \
                     one a path of its own"
                )));
            }
            let found = file.metadata().map_err(failed)?;
            if found.len() == 0 {
                let regular = Some(path);
                return Ok(Self { file, shown, regular, len: 0, before: 0, torn: false });
            }
            let changed = found.modified().unwrap_or_else(|_| SystemTime::now());
            let aside = set_aside(&path, changed).map_err(failed)?;
            host.info(format_args!("kept {shown} of an earlier run as `{}`", aside.display()));
        }
    }

    /// Whether it is a file, which can be given another name.
    pub(crate) fn is_file(&self) -> bool {
        self.regular.is_some()
    }

    /// How much has been written.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What is written from here on stays all or, where it is a file, not at all: after an error
    /// it is cut back to here, so that no half line is left in its middle.
    pub(crate) fn begin(&mut self) -> Result {
        if self.regular.is_some() {
            let begun = self.mend().and_then(|()| self.file.metadata());
            // Asked for each time: somebody may have emptied the file meanwhile.
            self.before = begun.map_err(|error| self.failed(&error))?.len();
            self.len = self.before;
        }
        Ok(())
    }

    /// Adds to what was begun.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result {
        let written = self.file.write_all(bytes);
        if let Err(error) = written {
            self.torn = self.regular.is_some();
            self.len = self.before;
            // If this fails too, it is tried again before anything is added.
            let _ = self.mend();
            return Err(match error.kind() {
                ErrorKind::BrokenPipe => Error::new(format!(
                    "whoever read {} has gone away (`head`, perhaps), so the remaining records \
                     have nowhere to go",
                    self.shown
                )),
                _ => self.failed(&error),
            });
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.before)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Returns when the disk has it.
    pub(crate) fn sync(&self) -> Result {
        match self.regular {
            Some(_) => self.file.sync_data().map_err(|error| self.failed(&error)),
            None => Ok(()),
        }
    }

    /// Puts the manifest beside the file; whether there is such a place.
    pub(crate) fn describe(&self, manifest: &str) -> Result<bool> {
        let Some(path) = &self.regular else { return Ok(false) };
        sidecar::write(path, manifest).map(|()| true).map_err(|error| {
            Error::new(format!("cannot write the manifest beside {}: {error}", self.shown))
        })
    }

    /// Closes the file and gives it a name of its own.
    pub(crate) fn set_aside(self) -> Result<PathBuf> {
        self.sync()?;
        let path = self.regular.as_deref().unwrap_or(Path::new(""));
        set_aside(path, SystemTime::now()).map_err(|error| {
            Error::new(format!("cannot rename {}, which is full: {error}", self.shown))
        })
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::new(format!("cannot write {}: {error}", self.shown))
    }
}

/// Whether the path names a file that may be renamed, or nothing yet. `/dev/stdout` may lead
/// to a regular file, but that one is the shell's.
pub(crate) fn is_regular_or_absent(path: &Path) -> bool {
    let borrowed = path.starts_with("/proc")
        || path.starts_with("/dev/fd")
        || ["/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name));
    !borrowed && fs::metadata(path).map_or(true, |found| found.is_file())
}

/// Renames the file to the first free name of its kind.
fn set_aside(path: &Path, time: SystemTime) -> io::Result<PathBuf> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = name.split_at(stem_len(&name));
    let stem = format!("{stem}-{}", render::file_time(ns));
    for n in 1..1_000_000 {
        let aside = path.with_file_name(format!("{stem}-{n:06}{ending}"));
        // Nobody else gives out these names: whoever does holds the lock of `path`.
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            sidecar::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "a million names like it are taken"))
}

/// How much of a file's name stands before its ending, `.jsonl` or `.jsonl.zst`.
fn stem_len(name: &str) -> usize {
    let whole = name.strip_suffix(".zst").unwrap_or(name);
    match whole.rfind('.') {
        Some(dot) if dot > 0 => dot,
        _ => whole.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_between_the_name_and_its_ending() {
        let cases = [
            ("records.jsonl", ("records", ".jsonl")),
            ("records.jsonl.zst", ("records", ".jsonl.zst")),
            ("my.site.jsonl.zst", ("my.site", ".jsonl.zst")),
            ("records", ("records", "")),
            ("records.zst", ("records", ".zst")),
            (".hidden", (".hidden", "")),
            (".zst", ("", ".zst")),
            ("", ("", "")),
        ];
        for (name, parts) in cases {
            assert_eq!(name.split_at(stem_len(name)), parts, "{name}");
        }
    }
}
