//! Files that hold a secret: keys, passwords, tokens.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Opens a file that holds a secret, if nobody but its owner may look into it.
///
/// # Errors
/// A sentence that names the file: it cannot be read, is no regular file, or is open to others;
/// then with the command that mends it.
pub fn open(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| format!("cannot read {shown}: {error}");
    // Asked before opening: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & 0o077 != 0 {
        let mode = mode & 0o7777;
        return Err(format!("{shown} is open to others (mode {mode:04o}); `chmod 600 {shown}`"));
    }
    Ok(file)
}
