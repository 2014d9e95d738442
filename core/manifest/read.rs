//! Finds the manifest of an output file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};
use ringmill_sdk::schema::MANIFEST;
use serde_json::Value;

use super::{FORMAT, Manifest};

/// What a manifest beside its file is called: the file's name and this.
const ENDING: &str = ".manifest.json";

/// No manifest is longer; what is longer is some other file.
const LONGEST: u64 = 16 << 20;

/// Why there is no manifest to show.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {reason}", path.display())]
pub struct ReadError {
    path: PathBuf,
    reason: String,
}

/// The manifest in a Parquet file, beside a file of JSON Lines, or in a file of its own.
///
/// # Errors
/// One sentence, with what to do.
pub fn read(path: &Path) -> Result<Manifest, ReadError> {
    let failed = |reason: String| ReadError { path: path.to_owned(), reason };
    if path.is_dir() {
        return Err(failed("is a directory; name one of the files in it".to_owned()));
    }
    let mut file = File::open(path).map_err(|error| failed(cannot_read(&error)))?;
    let mut magic = [0; 4];
    let is_parquet = file.read_exact(&mut magic).is_ok() && &magic == b"PAR1";
    if is_parquet || has_ending(path, ".parquet") {
        return of_parquet(file).and_then(|text| parse(&text)).map_err(failed);
    }
    if has_ending(path, ENDING) {
        let text = text_of(path).map_err(&failed)?;
        return parse(&text).map_err(failed);
    }
    let beside = beside(path);
    if !beside.exists() {
        return Err(failed(format!(
            "has no manifest: it is no Parquet file, and there is no `{}` beside it; output to a \
             pipe or a device has none, and a file that was renamed needs its manifest renamed, \
             too",
            beside.display()
        )));
    }
    let failed = |reason: String| ReadError { path: beside.clone(), reason };
    parse(&text_of(&beside).map_err(failed)?).map_err(failed)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ENDING);
    name.into()
}

fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| cannot_read(&error))?;
    if fs::metadata(path).is_ok_and(|about| about.len() > LONGEST) {
        return Err("is too long for a manifest".to_owned());
    }
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| cannot_read(&error)).map(|_| text)
}

fn of_parquet(file: File) -> Result<String, String> {
    let reader = SerializedFileReader::new(file).map_err(|error| {
        format!("was cut off or is no Parquet file, of which the end says what it holds: {error}")
    })?;
    let about = reader.metadata().file_metadata().key_value_metadata();
    let mut about = about.into_iter().flatten();
    let found = about.find(|entry| entry.key == MANIFEST).and_then(|entry| entry.value.clone());
    found.ok_or_else(|| {
        format!("holds no manifest (`{MANIFEST}` in its metadata): no run of Ringmill wrote it")
    })
}

fn parse(text: &str) -> Result<Manifest, String> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| format!("was cut off or is no manifest: {error}"))?;
    match document.get("manifest").and_then(Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => Err(format!(
            "has a manifest of form {format}, and this engine knows {FORMAT}; a newer one reads it"
        )),
        Some(_) => serde_json::from_value(document)
            .map_err(|error| format!("is no whole manifest: {error}")),
        None => Err("is JSON, and no manifest".to_owned()),
    }
}
