//! Whether a stage or a sink is still the same.
//!
//! It is, when all that it was made from is: its label, its table of the config, its plugin, and the
//! files that its options name and that it reads. Of a plugin its content counts, of another file its
//! place on the disk, length and time, so that a list of networks or a key that was written anew is
//! read anew.
//!
//! What stands before or behind it in the chain does not count: a stage takes what comes in any
//! case, and `http` shall not forget its connections because another list of networks is excluded.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use crate::{
    chain::{Blueprint, Named},
    config::{OnError, Place, Plugged, SinkEntry},
    loader,
};

/// The label of each stage and sink, and what it was made from.
pub(super) struct Marks {
    pub(super) stages: Vec<(String, String)>,
    pub(super) sinks: Vec<(String, String)>,
}

impl Marks {
    pub(super) fn of(blueprint: &Blueprint) -> Self {
        let mut marks = blueprint.files().map(|(plugged, plugin, named)| Mark {
            // Without what differs for nothing.
            plugged: Plugged { place: Place::TOP, on_error: OnError::default(), ..plugged.clone() },
            plugin: plugin.cloned(),
            files: named.into_iter().filter(|it| !it.is_written).filter_map(file).collect(),
        });
        let stages = blueprint.stage_labels().into_iter().zip(marks.by_ref());
        let stages = stages.map(|(label, mark)| (label, format!("{mark:?}"))).collect();
        let sinks = blueprint.sink_labels().into_iter().zip(blueprint.sinks()).zip(marks);
        let sinks = sinks.map(|((label, sink), mark)| {
            let sink = SinkEntry { plugged: mark.plugged.clone(), ..sink.clone() };
            (label, format!("{sink:?} {mark:?}"))
        });
        Self { stages, sinks: sinks.collect() }
    }
}

/// What one was made from.
#[derive(Debug)]
#[expect(dead_code, reason = "marks are compared as text")]
struct Mark {
    plugged: Plugged,
    plugin: Option<loader::Facts>,
    files: Vec<File>,
}

/// A file as it was.
#[derive(Debug)]
#[expect(dead_code, reason = "marks are compared as text")]
struct File {
    path: PathBuf,
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

/// A file as it is; none where it is no file.
fn file(Named { path, .. }: Named) -> Option<File> {
    let about = fs::metadata(&path).ok().filter(|about| about.is_file())?;
    Some(File {
        path,
        place: (about.dev(), about.ino()),
        length: about.len(),
        changed: (about.mtime(), about.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let marks = |text: &str| {
            let config = config::parse(Path::new("test"), text.to_owned()).expect(text);
            Marks::of(&Blueprint::new(&config, &[]).expect(text))
        };
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
