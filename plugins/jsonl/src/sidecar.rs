//! The manifest beside a file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// `records.jsonl.manifest.json` for `records.jsonl`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    with(path, ".manifest.json")
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Writes it in the place of an older one, whole or not at all.
pub(crate) fn write(path: &Path, manifest: &str) -> io::Result<()> {
    let (whole, hidden) = (beside(path), with(path, ".manifest.json.inprogress"));
    let mut file = File::create(&hidden)?;
    file.write_all(format!("{manifest}\n").as_bytes())?;
    file.sync_data()?;
    fs::rename(hidden, whole)
}

/// Renames it with its file; there may be none.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(beside(from), beside(to)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
