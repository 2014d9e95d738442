//! Which files and folders the options of a stage or a sink name, and which of them it writes.
//!
//! An option names one when its kind is `path`, set or by its default, and any other text in the
//! options when it is the name of a file that is there: not every author says which of his options
//! are paths, and they may stand in lists and tables. What a stage names it reads. What a sink names
//! it reads under `file` and `..._file`, and writes under any other key; a text of a sink that is
//! not known to be a path is nothing then, because nobody knows what becomes of it.

use std::path::{Path, PathBuf};

use ringmill_sdk::Role;
use toml::Value;

use crate::manifest::Known;

/// A file or a folder that an option names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The option.
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    pub(crate) is_written: bool,
}

/// What `options`, TOML text, name, of a stage or a sink that takes those that are `known`.
pub(super) fn named(role: Role, options: &str, known: &[Known]) -> Vec<Named> {
    let is_read = |key: &str| role == Role::Stage || key == "file" || key.ends_with("_file");
    let is_path = |key: &str| known.iter().any(|it| it.name == key && it.kind == "path");
    let mut all = Vec::new();
    for (key, value) in &Known::complete(options, known) {
        texts(key, value, &mut |inner, text| {
            let path = PathBuf::from(text);
            let (is_written, key) = (!is_read(inner), key.clone());
            if is_path(&key) || !is_written && path.is_file() {
                all.push(Named { key, path, is_written });
            }
        });
    }
    all
}

/// Each text in a value, with the key that it stands under.
fn texts(key: &str, value: &Value, each: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => each(key, text),
        Value::Array(items) => items.iter().for_each(|item| texts(key, item, each)),
        Value::Table(table) => table.iter().for_each(|(key, item)| texts(key, item, each)),
        _ => {}
    }
}

impl Named {
    /// Whether it is a device or standard output: nothing is made there.
    pub(crate) fn is_stream(&self) -> bool {
        use std::os::unix::fs::FileTypeExt as _;
        let about = self.path.metadata();
        self.path == Path::new("-") || about.is_ok_and(|it| it.file_type().is_char_device())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_found_by_their_kind_and_by_their_names() {
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("list");
        fs::write(&file, "").expect("room");
        let known = |name: &str, kind: &str, default: Option<&str>| Known {
            name: name.to_owned(),
            kind: kind.to_owned(),
            default: default.map(str::to_owned),
        };
        let kinds = [
            known("path", "path", None),
            known("spare", "path", Some("\"aside\"")),
            known("ca_file", "path", Some("")),
            known("mode", "text", Some("\"all\"")),
        ];
        // The options, and what a stage and a sink name by them: `r` is read, `w` written.
        let rows = [
            ("", "r spare aside", "w spare aside"),
            ("path = \"new\"", "r path new, r spare aside", "w path new, w spare aside"),
            ("ca_file = \"new\"", "r ca_file new, r spare aside", "r ca_file new, w spare aside"),
            ("mode = \"FILE\"", "r mode FILE, r spare aside", "w spare aside"),
            ("mode = \"none\"", "r spare aside", "w spare aside"),
            ("other = [1, \"FILE\"]", "r other FILE, r spare aside", "w spare aside"),
            (
                "tls = { ca_file = \"FILE\", name = \"FILE\" }",
                "r spare aside, r tls FILE, r tls FILE",
                "w spare aside, r tls FILE",
            ),
        ];
        let shown = file.display().to_string();
        for (options, stage, sink) in rows {
            for (role, expected) in [(Role::Stage, stage), (Role::Sink, sink)] {
                let found = named(role, &options.replace("FILE", &shown), &kinds);
                let each = |Named { key, path, is_written }: &Named| {
                    let how = if *is_written { 'w' } else { 'r' };
                    format!("{how} {key} {}", path.display()).replace(&shown, "FILE")
                };
                let found: Vec<_> = found.iter().map(each).collect();
                assert_eq!(found.join(", "), expected, "{options} of a {role:?}");
            }
        }
    }
}
