//! Names, patterns and `-` become inputs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Input, InputError};

/// As in a shell: `*` does not match a leading dot.
const RULES: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Resolves the configuration's list, in its order; relative names begin at `base`.
///
/// The matches of a pattern are sorted by name, byte by byte, as `ls` in the C locale does. A
/// file that is named more than once is read once, where it is named first. Every file is
/// looked for now, so that a misspelt last name does not show after hours of work.
pub fn expand(patterns: &[String], base: &Path) -> Result<Vec<Input>, InputError> {
    let mut inputs = Vec::new();
    for pattern in patterns {
        if pattern == "-" {
            if inputs.contains(&Input::Stdin) {
                return Err(InputError::StdinTwice);
            }
            inputs.push(Input::Stdin);
            continue;
        }
        for path in paths(pattern, base)? {
            let input = Input::File(path);
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
    }
    if inputs.is_empty() {
        return Err(InputError::NoNames);
    }
    Ok(inputs)
}

fn paths(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, InputError> {
    let literal = base.join(pattern);
    // A file may well be called `a[1].pcap`.
    let error = match fs::metadata(&literal) {
        Ok(about) if about.is_dir() => return Err(InputError::Directory(literal)),
        Ok(_) => return Ok(vec![literal]),
        Err(error) => error,
    };
    if !pattern.contains(['*', '?', '[']) {
        return Err(InputError::io(&literal, &error));
    }
    matches(pattern, base)
}

fn matches(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, InputError> {
    let mut full = glob::Pattern::escape(&base.to_string_lossy());
    if Path::new(pattern).is_absolute() {
        full.clear();
    } else if !full.is_empty() && !full.ends_with('/') {
        full.push('/');
    }
    full.push_str(pattern);
    let found = glob::glob_with(&full, RULES)
        .map_err(|error| InputError::Pattern { pattern: pattern.into(), reason: error.msg })?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| InputError::io(error.path(), error.error()))?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(InputError::NoMatch { pattern: pattern.into(), base: base.into() });
    }
    paths.sort_by(|a, b| bytes(a).cmp(bytes(b)));
    Ok(paths)
}

fn bytes(path: &Path) -> &[u8] {
    AsRef::<OsStr>::as_ref(path).as_encoded_bytes()
}
