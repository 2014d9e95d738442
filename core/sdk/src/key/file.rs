//! Keys in files: plain ones, and chains of epochs.

use std::{
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

use super::{Key, Ratchet, ratchet};
use crate::{Error, Result, secret};

/// More than any key with white space around it.
const LONGEST: usize = 1024;

/// What a key file holds.
#[derive(Debug)]
pub enum Stored {
    /// One key for all times.
    Plain(Key),
    /// A key for each day or week from one on.
    Epochs(Ratchet),
}

impl Stored {
    /// Reads a key file. A plain one is 64 hex digits, white space around them ignored, or
    /// exactly 32 bytes; one with epochs is what `engine keygen --epoch` writes.
    ///
    /// # Errors
    /// [`Error::config`] for `key_file`: no regular file, open to others than its owner, no
    /// key. The message never repeats what is in the file.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let refused = |why: String| Error::config("key_file", why);
        let unreadable = |error: io::Error| refused(format!("cannot read {shown}: {error}"));

        let file = secret::open(path).map_err(refused)?;
        let mut bytes = Zeroizing::new([0; LONGEST]);
        let length = read_up_to(file, &mut *bytes).map_err(unreadable)?;
        let bytes = &bytes[..length];
        if bytes.starts_with(ratchet::MAGIC.as_bytes()) {
            let chain = Ratchet::parse(bytes).map_err(|why| refused(format!("{shown} {why}")))?;
            return Ok(Self::Epochs(chain));
        }
        let key = plain(bytes).map_err(|why| {
            refused(format!("{shown} {why}; `engine keygen FILE` makes a file with one"))
        })?;
        // What `truncate -s 32` or a full disk leaves behind.
        if key.iter().all(|byte| *byte == key[0]) {
            return Err(refused(format!("{shown} holds one byte 32 times, which is no key")));
        }
        Ok(Self::Plain(key))
    }
}

/// Reads a key that is the same at all times; [`Schedule`](super::Schedule) reads both kinds.
///
/// # Errors
/// Those of [`Stored::read`], and a file with epochs.
pub fn read(path: &Path) -> Result<Key> {
    match Stored::read(path)? {
        Stored::Plain(key) => Ok(key),
        Stored::Epochs(chain) => Err(has_epochs(path, &chain)),
    }
}

/// A file with epochs where none are asked for.
pub(super) fn has_epochs(path: &Path, chain: &Ratchet) -> Error {
    let (shown, name) = (path.display(), chain.epoch().name());
    Error::config(
        "key_file",
        format!(
            "{shown} has a key for each {name}; say `epoch = \"{name}\"` under [engine], or take a \
             file that `engine keygen` made without `--epoch`"
        ),
    )
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

fn plain(bytes: &[u8]) -> Result<Key, String> {
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
    hex_key(digits).ok_or_else(|| "holds 64 characters that are not all hex digits".to_owned())
}

/// 64 hex digits as a key.
pub(super) fn hex_key(digits: &[u8]) -> Option<Key> {
    let mut key = Key::new([0; 32]);
    let (pairs, _) = digits.as_chunks::<2>();
    if digits.len() != 2 * key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(pairs) {
        *byte = match pair.map(|digit| char::from(digit).to_digit(16)) {
            #[allow(clippy::cast_possible_truncation, reason = "two hex digits are a byte")]
            [Some(high), Some(low)] => (high << 4 | low) as u8,
            _ => return None,
        };
    }
    Some(key)
}
