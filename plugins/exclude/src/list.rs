//! The list of prefixes, from the config and from its file.

use std::{fmt, fs, path::Path};

use ringmill_sdk::{Error, Result};

use crate::{prefix::Prefix, ranges::Ranges};

/// Where a prefix stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    /// Item of `prefixes`, from 0.
    Item(usize),
    /// Line of the file, from 1.
    Line(&'a Path, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(index) => write!(f, "`prefixes[{index}]`"),
            Self::Line(path, line) => write!(f, "line {line} of {}", path.display()),
        }
    }
}

impl Place<'_> {
    fn error(self, message: &str) -> Error {
        match self {
            Self::Item(index) => Error::config(format!("prefixes[{index}]"), message),
            Self::Line(path, line) => {
                Error::config("file", format!("{}:{line}: {message}", path.display()))
            }
        }
    }
}

/// A prefix with what was typed, and where.
#[derive(Clone, Copy)]
struct Entry<'a, A> {
    range: (A, A),
    text: &'a str,
    place: Place<'a>,
}

/// All prefixes, those of IPv4 and those of IPv6.
///
/// # Errors
/// The first that is wrong, or that lies within another: whoever reads the list would take it
/// for what it is not.
pub(crate) fn read(
    prefixes: &[String],
    file: Option<&Path>,
) -> Result<(Ranges<u32>, Ranges<u128>)> {
    if prefixes.is_empty() && file.is_none() {
        return Err(Error::config(
            "prefixes",
            "names nobody; say whose packets are dropped, here or in `file = \"...\"`",
        ));
    }
    let text = match file {
        Some(path) => fs::read_to_string(path).map_err(|error| {
            Error::config("file", format!("cannot read {}: {error}", path.display()))
        })?,
        None => String::new(),
    };
    let items = prefixes.iter().enumerate();
    let items = items.map(|(index, text)| (Place::Item(index), text.as_str()));
    let lines = file.into_iter().flat_map(|path| {
        text.lines().enumerate().map(move |(index, line)| {
            let entry = line.split_once('#').map_or(line, |(entry, _)| entry);
            (Place::Line(path, index + 1), entry.trim())
        })
    });
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (place, text) in items.chain(lines.filter(|(_, entry)| !entry.is_empty())) {
        match Prefix::parse(text).map_err(|message| place.error(&message))? {
            Prefix::V4(first, last) => v4.push(Entry { range: (first, last), text, place }),
            Prefix::V6(first, last) => v6.push(Entry { range: (first, last), text, place }),
        }
    }
    Ok((Ranges::new(apart(v4)?), Ranges::new(apart(v6)?)))
}

/// The ranges in order, if none lies within another.
fn apart<A: Copy + Ord>(mut entries: Vec<Entry<'_, A>>) -> Result<Vec<(A, A)>> {
    // Of prefixes that begin alike the shorter comes first, so that it is the one that contains.
    entries.sort_by(|a, b| {
        let ends = |entry: &Entry<'_, A>| (entry.range.0, std::cmp::Reverse(entry.range.1));
        ends(a).cmp(&ends(b)).then(a.place.cmp(&b.place))
    });
    for pair in entries.windows(2) {
        let [outer, inner] = pair else { continue };
        if inner.range.0 > outer.range.1 {
            continue;
        }
        let (text, other) = (inner.text, outer.place);
        return Err(inner.place.error(&match inner.range == outer.range {
            true => format!("`{text}` is named twice, the first time as {other}; leave out one"),
            false => format!("`{text}` lies within the prefix of {other}; leave out one"),
        }));
    }
    Ok(entries.into_iter().map(|entry| entry.range).collect())
}
