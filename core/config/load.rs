//! Reads a config from its file, and says why where it cannot.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::diagnostic::ConfigError;
use super::{Config, check, suggest};

/// No config is larger; what is larger is some other file, given by mistake.
const LARGEST: u64 = 1 << 20;

/// How pcap (four kinds), pcapng, gzip and Zstandard files begin.
const CAPTURE_MAGIC: &[&[u8]] = &[
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
];

/// Reads and checks a config file.
///
/// # Errors
///
/// The first thing that is wrong with the file or with what it says.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    let magic = bytes.get(..4).unwrap_or_default();
    if CAPTURE_MAGIC.iter().any(|known| magic.starts_with(known)) {
        return Err(ConfigError::of_file(path, "this is a capture or an archive, not a config")
            .note("a capture file is given with `--read`"));
    }
    if bytes.len() as u64 > LARGEST {
        return Err(ConfigError::of_file(path, "larger than 1 MiB, so it cannot be a config"));
    }
    let at = match std::str::from_utf8(&bytes) {
        Ok(text) => return check::parse(path, text.to_owned()),
        Err(error) => error.valid_up_to(),
    };
    let message = match magic {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this file is UTF-16, and a config must be UTF-8",
        _ => "this is not UTF-8, and a config must be",
    };
    let mark = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
    Err(ConfigError::at(path, &String::from_utf8_lossy(&bytes), mark, message)
        .note("save the file again with the encoding UTF-8"))
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    match error.kind() {
        ErrorKind::NotFound => not_found(path),
        ErrorKind::IsADirectory => {
            ConfigError::of_file(path, "this is a directory; name the config file in it")
        }
        ErrorKind::PermissionDenied => {
            ConfigError::of_file(path, "no permission to read this file")
        }
        _ => ConfigError::of_file(path, format!("cannot be read: {error}")),
    }
}

/// Names the nearest file of the same directory, or else says where was looked.
fn not_found(path: &Path) -> ConfigError {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let Ok(entries) = std::fs::read_dir(directory) else {
        let message = format!("no such file; there is no directory {}", directory.display());
        return ConfigError::of_file(path, message);
    };
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let typed = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let error = ConfigError::of_file(path, "no such file");
    match suggest::nearest(typed, &names) {
        Some(name) => error.note(format!("did you mean {}?", path.with_file_name(name).display())),
        None if path.is_relative() => match std::env::current_dir() {
            Ok(here) => {
                error.note(format!("relative to the current directory, {}", here.display()))
            }
            Err(_) => error,
        },
        None => error,
    }
}
