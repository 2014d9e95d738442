//! Keys in files: for stages that map or name things under a key of the operator's.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{Error, Result};
use zeroize::Zeroizing;

/// 32 bytes; wiped on drop.
pub type Key = Zeroizing<[u8; 32]>;

/// More than any key with white space around it.
const LONGEST: usize = 1024;

/// Reads the key that the option `key_file` names: 64 hex digits, white space around them
/// ignored, or exactly 32 bytes.
///
/// # Errors
/// [`Error::config`] for `key_file`: no regular file, open to others than its owner, no key.
/// The message never repeats what is in the file.
pub fn read(path: &Path) -> Result<Key> {
    let shown = path.display();
    let refused = |why: String| Error::config("key_file", why);
    let unreadable = |error: io::Error| refused(format!("cannot read {shown}: {error}"));

    // Asked before opening: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(refused(format!("{shown} is not a regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & 0o077 != 0 {
        return Err(refused(format!(
            "{shown} is open to others (mode {:04o}); `chmod 600 {shown}`",
            mode & 0o7777
        )));
    }
    let mut bytes = Zeroizing::new([0; LONGEST]);
    let length = read_up_to(file, &mut *bytes).map_err(unreadable)?;
    let key = parse(&bytes[..length]).map_err(|why| {
        refused(format!("{shown} {why}; `openssl rand -hex 32 > {shown}` makes a key"))
    })?;
    // What `truncate -s 32` or a full disk leaves behind.
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(refused(format!("{shown} holds one byte 32 times, which is no key")));
    }
    Ok(key)
}

/// Fills as much of the buffer as there is. Not `read_to_end`: a growing `Vec` leaves unwiped
/// copies behind.
fn read_up_to(mut file: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn parse(bytes: &[u8]) -> Result<Key, String> {
    let mut key = Key::new([0; 32]);
    if bytes.len() == key.len() {
        key.copy_from_slice(bytes);
        return Ok(key);
    }
    let digits = bytes.trim_ascii();
    if bytes.len() == LONGEST || digits.len() != 2 * key.len() {
        let more = if bytes.len() == LONGEST { " or more" } else { "" };
        return Err(format!(
            "holds {}{more} bytes; a key is 64 hex digits or exactly 32 bytes",
            bytes.len()
        ));
    }
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, pair) in key.iter_mut().zip(pairs) {
        *byte = match pair.map(|digit| char::from(digit).to_digit(16)) {
            #[allow(clippy::cast_possible_truncation, reason = "two hex digits are a byte")]
            [Some(high), Some(low)] => (high << 4 | low) as u8,
            _ => return Err("holds 64 characters that are not all hex digits".to_owned()),
        };
    }
    Ok(key)
}
