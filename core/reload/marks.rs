//! Whether a stage or a sink is still the same.
//!
//! It is, when all that it was made from is: its label, its table of the config, the plugin's file,
//! and the files that its options name. Of a file its place on the disk, length and time count, so
//! that a list of networks or a key that was written anew is read anew. A stage writes no files, so
//! each text among its options that is the name of a file counts; of a sink those of the options
//! `file` and `..._file`, because the others name what it writes.
//!
//! What stands before or behind it in the chain does not count: a stage takes what comes in any
//! case, and `http` shall not forget its connections because another list of networks is excluded.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use toml::{Table, Value};

use crate::{
    chain::labels,
    config::{Config, OnError, Place, Plugged, SinkEntry},
};

/// The label of each stage and sink, and what it was made from.
pub(super) struct Marks {
    pub(super) stages: Vec<(String, String)>,
    pub(super) sinks: Vec<(String, String)>,
}

impl Marks {
    pub(super) fn of(config: &Config) -> Self {
        let stages = config.stages.iter().map(|stage| format!("{:?}", Mark::of(stage, |_| true)));
        let names = config.stages.iter().map(|stage| stage.name.as_str());
        let stages = labels(names).into_iter().zip(stages).collect();
        let is_read = |key: &str| key == "file" || key.ends_with("_file");
        let sinks = config.sinks.iter().map(|sink| {
            let mark = Mark::of(&sink.plugged, is_read);
            // Without what differs for nothing.
            let plugged = mark.plugged.clone();
            format!("{:?} {mark:?}", SinkEntry { plugged, ..sink.clone() })
        });
        let names = config.sinks.iter().map(|sink| sink.plugged.name.as_str());
        let sinks = labels(names).into_iter().zip(sinks).collect();
        Self { stages, sinks }
    }
}

/// What one was made from.
#[derive(Debug)]
#[expect(dead_code, reason = "marks are compared as text")]
struct Mark {
    plugged: Plugged,
    files: Vec<File>,
}

/// A file as it was.
#[derive(Debug)]
#[expect(dead_code, reason = "marks are compared as text")]
struct File {
    path: String,
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Mark {
    fn of(plugged: &Plugged, is_read: impl Fn(&str) -> bool) -> Self {
        let mut files = Vec::new();
        files.extend(plugged.plugin.as_deref().and_then(file));
        let options: Table = plugged.options.parse().unwrap_or_default();
        for (key, value) in &options {
            texts(key, value, &mut |key, text| {
                files.extend(is_read(key).then(|| file(Path::new(text))).flatten());
            });
        }
        let plugged =
            Plugged { place: Place::TOP, on_error: OnError::default(), ..plugged.clone() };
        Self { plugged, files }
    }
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

/// A file as it is; none where it is no file.
fn file(path: &Path) -> Option<File> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file())?;
    Some(File {
        path: path.display().to_string(),
        place: (about.dev(), about.ino()),
        length: about.len(),
        changed: (about.mtime(), about.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_was_made_from_the_same_is_the_same() {
        let directory = tempfile::tempdir().expect("there is room");
        let list = directory.path().join("list");
        fs::write(&list, "192.0.2.0/24\n").expect("there is room");
        let before = format!(
            "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n\
             [[stage]]\nuse = \"exclude\"\nfile = {list:?}\n\
             [[stage]]\nuse = \"sample\"\nprobability = 0.5\n\
             [[stage]]\nuse = \"sample\"\nprobability = 0.25\n\
             [[sink]]\nuse = \"jsonl\"\npath = {list:?}\nca_file = {list:?}\n\
             [[sink]]\nuse = \"jsonl\"\npath = {list:?}\n"
        );
        let marks =
            |text: &str| Marks::of(&config::parse(Path::new("test"), text.to_owned()).expect(text));
        // What is not the same, by its label, and whether the list was written anew.
        let cases: [(String, bool, &[&str]); 7] = [
            (before.clone(), false, &[]),
            (before.clone(), true, &["exclude", "jsonl"]),
            (before.replace("0.25", "0.125"), false, &["sample_2"]),
            (before.replace("0.25", "0.25 # a word"), false, &[]),
            (before.replace("0.5\n", "0.5\non_error = \"bypass\"\n"), false, &[]),
            (
                before.replace("[[stage]]\nuse = \"sample\"\nprobability = 0.5\n", ""),
                false,
                // The second has become the first.
                &["sample"],
            ),
            (format!("{before}queue = 9\n"), false, &["jsonl_2"]),
        ];
        for (text, anew, changed) in cases {
            let old = marks(&before);
            if anew {
                fs::write(&list, "192.0.2.0/24\n198.51.100.0/24\n").expect("there is room");
            }
            let new = marks(&text);
            let found = new.stages.iter().filter(|it| !old.stages.contains(it));
            let found = found.chain(new.sinks.iter().filter(|it| !old.sinks.contains(it)));
            let found: Vec<_> = found.map(|(label, _)| label.as_str()).collect();
            assert_eq!(found, changed, "{text}");
        }
    }
}
