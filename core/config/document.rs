//! The text of a config and the places in it.
//!
//! A stage reads its own options, perhaps in another shared object, and knows no spans: it says
//! `limits.idle` and a sentence. Here the path becomes a line and a column again.
//!
//! The tree with the spans borrows the text, so it is not kept: an error is rare and final, and
//! parsing again costs microseconds.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::ConfigError;
use super::reader;
use super::suggest;
use super::words::{self, Said};

/// A config as it was typed.
#[derive(Clone, Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
}

/// Which table of a config something came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) table: &'static str,
    pub(super) index: Option<usize>,
    /// The value of `use`, for stages and sinks.
    pub(super) name: String,
}

impl Place {
    /// What stands before the first table.
    pub const TOP: Self = Self::single("");
    /// `[engine]`
    pub const ENGINE: Self = Self::single("engine");
    /// `[capture]`
    pub const CAPTURE: Self = Self::single("capture");
    /// `[status]`
    pub const STATUS: Self = Self::single("status");

    /// `stage` or `sink`; else the name of the table.
    pub fn kind(&self) -> &'static str {
        self.table
    }

    const fn single(table: &'static str) -> Self {
        Self { table, index: None, name: String::new() }
    }
}

/// `stage[2]`, `sink[0]`, `capture`; counted from 0, as an error path counts.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.table),
            None => f.write_str(self.table),
        }
    }
}

/// One step of a path into the tree.
struct Step<'t> {
    /// What was typed to get here: `limits`, `[1]`.
    label: String,
    key: Option<Range<usize>>,
    value: &'t Spanned<DeValue<'t>>,
}

impl Document {
    /// Takes a text; a byte-order mark, which some editors leave, is dropped.
    pub(super) fn new(path: &Path, mut text: String) -> Self {
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self { path: path.to_owned(), text }
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text, as it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a stage or sink found wrong with its own options.
    ///
    /// `path` is relative to the table of the stage, as `serde_path_to_error` writes it:
    /// `limits.idle`, `nets[1].w`; empty or `.` for the table itself. `message` is serde's, which
    /// is put into plain words, or the stage's own, which is kept.
    pub fn stage_error(&self, place: &Place, path: &str, message: &str) -> ConfigError {
        let said = Said::parse(message);
        let path = match path {
            "." => "",
            path => path,
        };
        let who = format!("{} `{}`", place.table, place.name);
        let Ok(tree) = DeTable::parse(&self.text) else {
            return ConfigError::of_file(&self.path, format!("{who}: {message}"));
        };
        let Some(steps) = walk(tree.get_ref(), place, path) else {
            return ConfigError::of_file(&self.path, format!("{who}: {message}"));
        };
        let last = &steps[steps.len() - 1];
        let value = last.value.get_ref();
        match said {
            Said::UnknownField { name, allowed } => {
                // A flattened struct or a tagged enum reports the path of the whole table.
                let (depth, span) = match value.as_table().and_then(|t| t.get_key_value(&*name)) {
                    Some((key, _)) => (steps.len(), key.span()),
                    None if last.label == name => (steps.len() - 1, last.key_or_value()),
                    None => (steps.len(), last.key_or_value()),
                };
                let inside = label(&steps[..depth]);
                let message = match inside.as_str() {
                    "" => format!("unknown key `{name}` in {who}"),
                    inside => format!("unknown key `{name}` in `{inside}` of {who}"),
                };
                let mut keys: Vec<&str> = allowed.iter().map(String::as_str).collect();
                if inside.is_empty() {
                    keys.extend(reader::host_keys(place.table));
                }
                let error = self.error(span, message);
                if allowed.is_empty() && inside.is_empty() && reader::is_far(&name, &keys) {
                    error.note(format!("{who} has no options of its own"))
                } else {
                    error.note(reader::key_advice(&name, &keys))
                }
            }
            Said::MissingField { name } => {
                let inside = label(&steps);
                let message = match inside.as_str() {
                    "" => format!("`{name}` is missing in {who}"),
                    inside => format!("`{name}` is missing in `{inside}` of {who}"),
                };
                self.error(last.value.span(), message)
            }
            Said::UnknownVariant { name, allowed } => {
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let error = self.error(
                    last.value.span(),
                    format!("{who}: `{}` {}", label(&steps), words::not_one_of(&allowed, &name)),
                );
                words::note_near(error, &name, &allowed)
            }
            Said::Unfit { expected, length } => {
                let raw = self.text.get(last.value.span()).unwrap_or_default();
                let what = length.unwrap_or_else(|| words::describe(value, raw));
                let message =
                    format!("{who}: `{}` must be {expected}; this is {what}", label(&steps));
                let error = self.error(last.value.span(), message);
                words::note_quotes(error, &expected, value, raw)
            }
            Said::Own(message) => {
                let message = match path {
                    "" => format!("{who}: {message}"),
                    path if words::is_predicate(&message) => format!("{who}: `{path}` {message}"),
                    path => format!("{who}: `{path}`: {message}"),
                };
                self.error(last.value.span(), message)
            }
        }
    }

    /// A name after `use` that nothing answers to: marks the name, and names the nearest of the
    /// `candidates`, or else all of them.
    pub fn at_use(&self, place: &Place, message: &str, candidates: &[&str]) -> ConfigError {
        self.at_key(place, "use", message).note(suggest::advice(
            &place.name,
            candidates,
            &format!("the {}s here", place.table),
        ))
    }

    /// A sentence of the engine about the value of one key, which may be a path such as
    /// `interface[1]`. If the key is not in the file, the head of its table is marked.
    pub fn at_key(&self, place: &Place, key: &str, message: &str) -> ConfigError {
        let tree = DeTable::parse(&self.text).ok();
        let steps = tree.as_ref().and_then(|tree| walk(tree.get_ref(), place, key));
        match steps.as_deref() {
            Some([.., last]) => self.error(last.value.span(), message),
            _ => ConfigError::of_file(&self.path, message),
        }
    }

    /// Something wrong with a piece of the text.
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.path, &self.text, span, message)
    }
}

impl Step<'_> {
    fn key_or_value(&self) -> Range<usize> {
        self.key.clone().unwrap_or_else(|| self.value.span())
    }
}

/// The steps joined as they are typed: `limits.idle`, `nets[1].w`.
fn label(steps: &[Step<'_>]) -> String {
    let mut label = String::new();
    for step in steps {
        if !label.is_empty() && !step.label.starts_with('[') {
            label.push('.');
        }
        label.push_str(&step.label);
    }
    label
}

/// Follows `path` from the table of `place` as far as it leads. The first step is that table and
/// has no label. `None` if the table is not there.
fn walk<'t>(root: &'t DeTable<'t>, place: &Place, path: &str) -> Option<Vec<Step<'t>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    if place.table.is_empty() {
        let (step, after) = enter(root, rest)?;
        steps.push(step);
        rest = after;
    } else {
        let mut value = root.get(place.table)?;
        if let Some(index) = place.index {
            value = value.get_ref().as_array()?.get(index)?;
        }
        steps.push(Step { label: String::new(), key: None, value });
    }
    while let Some(step) = steps.last() {
        let next = match step.value.get_ref() {
            DeValue::Table(table) => enter(table, rest.strip_prefix('.').unwrap_or(rest)),
            DeValue::Array(array) => rest.strip_prefix('[').and_then(|rest| {
                let (index, after) = rest.split_once(']')?;
                let value = array.get(index.parse::<usize>().ok()?)?;
                Some((Step { label: format!("[{index}]"), key: None, value }, after))
            }),
            _ => None,
        };
        let Some((step, after)) = next else { break };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

/// The entry of `table` that `path` begins with, and what is left of the path. A key may itself
/// hold dots, so the longest that fits is taken.
fn enter<'t, 'p>(table: &'t DeTable<'t>, path: &'p str) -> Option<(Step<'t>, &'p str)> {
    table
        .iter()
        .filter_map(|(key, value)| {
            let after = path.strip_prefix(key.get_ref().as_ref())?;
            let whole = after.is_empty() || after.starts_with(['.', '[']);
            let label = key.get_ref().to_string();
            whole.then(|| (Step { label, key: Some(key.span()), value }, after))
        })
        .max_by_key(|(step, _)| step.label.len())
}
