//! Reads typed values out of the spanned tree; every miss is a finished diagnostic.
//!
//! The engine's own keys are read with this rather than with serde: there are twenty of them, and
//! by hand each mistake is marked where it is and said in a sentence written for it.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::ConfigError;
use super::document::Document;
use super::{suggest, words};

pub(super) const ENGINE: &[&str] = &[
    "workers",
    "cores",
    "batch",
    "ledger",
    "spill",
    "sensor",
    "epoch",
    "stuck_seconds",
    "user",
    "sandbox",
    "writable",
];
pub(super) const CAPTURE: &[&str] = &[
    "from",
    "files",
    "interface",
    "cluster",
    "balance",
    "filter",
    "snaplen",
    "promiscuous",
    "direction",
    "clock",
    "ring_mib",
    "block_timeout_ms",
    "window_ms",
];
/// Those of `[capture]` that mean nothing for capture files.
pub(super) const LIVE: &[&str] = &[
    "interface",
    "cluster",
    "balance",
    "promiscuous",
    "direction",
    "clock",
    "ring_mib",
    "block_timeout_ms",
    "window_ms",
];
pub(super) const STAGE: &[&str] = &["use", "plugin", "on_error"];
/// Those that a `[[stage]]` and a `[[sink]]` have in common.
const BOTH: &[&str] = &["use", "plugin"];
pub(super) const SINK: &[&str] = &[
    "use",
    "plugin",
    "queue",
    "when_full",
    "spill_mib",
    "spill_full",
    "retries",
    "retry_seconds",
    "drain_seconds",
];
pub(super) const STATUS: &[&str] = &["listen", "token_file"];
pub(super) const TOP: [&str; 6] =
    ["engine", "capture", "status", "stage", "sink", "allow_identifiable"];

/// The keys in a `[[stage]]` or `[[sink]]` that are for the engine, not for the stage.
pub(super) fn host_keys(table: &str) -> &'static [&'static str] {
    if table == "sink" { SINK } else { STAGE }
}

/// Where a key stands that the engine knows, but not here.
pub(super) fn home(name: &str) -> Option<&'static str> {
    let homes = [
        ("in [engine]", ENGINE),
        ("in [capture]", CAPTURE),
        ("in [status]", STATUS),
        ("in [[stage]] or [[sink]]", BOTH),
        ("in [[stage]]", STAGE),
        ("in [[sink]]", SINK),
    ];
    match name {
        "allow_identifiable" => Some("at the top of the file, above the first [table]"),
        _ => homes.iter().find(|(_, keys)| keys.contains(&name)).map(|(home, _)| *home),
    }
}

/// Whether nothing that the engine knows explains a key.
pub(super) fn is_far(typed: &str, allowed: &[&str]) -> bool {
    home(typed).is_none() && suggest::nearest(typed, allowed).is_none()
}

/// The help for an unknown key: the near name, or the table it belongs in, or all names.
pub(super) fn key_advice(typed: &str, allowed: &[&str]) -> String {
    match home(typed) {
        Some(home) if suggest::nearest(typed, allowed).is_none() => format!("it belongs {home}"),
        _ => suggest::advice(typed, allowed, "the keys here"),
    }
}

/// One table of the config.
pub(super) struct Table<'a> {
    pub(super) document: &'a Document,
    /// How it is called in a message: `[capture]`.
    pub(super) title: String,
    /// Its head line, or the braces of an inline table.
    pub(super) head: Range<usize>,
    pub(super) entries: &'a DeTable<'a>,
}

/// One key with its value, or one item of the list that is its value.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    document: &'a Document,
    pub(super) name: &'a str,
    pub(super) key: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
    item: bool,
}

impl<'a> Table<'a> {
    /// Refuses every key but the allowed; the first in the file is the one that is told.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), ConfigError> {
        match self.names().find(|name| !allowed.contains(name)).and_then(|name| self.entry(name)) {
            None => Ok(()),
            Some(entry) => Err(entry
                .key_error(format!("unknown key `{}` in {}", entry.name, self.title))
                .note(key_advice(entry.name, allowed))),
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<Entry<'a>> {
        let (key, value) = self.entries.get_key_value(name)?;
        Some(Entry {
            document: self.document,
            name: key.get_ref(),
            key: key.span(),
            value,
            item: false,
        })
    }

    /// The keys in the order they were typed.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let mut keys: Vec<_> = self.entries.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().as_ref())
    }

    /// Something that is wrong with the table as a whole; marks its head.
    pub(super) fn error(&self, message: impl Into<String>) -> ConfigError {
        self.document.error(self.head.clone(), message)
    }

    /// The table under `name`, of which there is at most one.
    pub(super) fn table(&self, name: &str) -> Result<Option<Table<'a>>, ConfigError> {
        let Some(entry) = self.entry(name) else {
            return Ok(None);
        };
        match entry.value.get_ref() {
            DeValue::Table(entries) => Ok(Some(entry.table(format!("[{name}]"), entries))),
            DeValue::Array(_) if entry.is_headed() => Err(entry
                .error(format!("[[{name}]] must be written [{name}]"))
                .note("there is only one, so it has one bracket on each side")),
            _ => Err(entry.wrong("a table").note(format!("write [{name}] on a line of its own"))),
        }
    }

    /// The tables under `name`, of which there can be several.
    pub(super) fn tables(&self, name: &str) -> Result<Vec<Table<'a>>, ConfigError> {
        let Some(entry) = self.entry(name) else {
            return Ok(Vec::new());
        };
        let advice =
            format!("every {name} is a [[{name}]] of its own, with two brackets on each side");
        let misfit = |found: &Entry<'_>| {
            let what = words::describe(found.value.get_ref(), found.raw());
            found.error(format!("`{name}` must be [[{name}]] tables; this is {what}"))
        };
        match entry.value.get_ref() {
            DeValue::Array(array) => {
                let mut tables = Vec::new();
                for item in entry.items(array) {
                    match item.value.get_ref() {
                        DeValue::Table(entries) => {
                            tables.push(item.table(format!("[[{name}]]"), entries));
                        }
                        _ => return Err(misfit(&item).note(advice)),
                    }
                }
                Ok(tables)
            }
            DeValue::Table(_) => {
                Err(entry.error(format!("[{name}] must be written [[{name}]]")).note(advice))
            }
            _ => Err(misfit(&entry).note(advice)),
        }
    }
}

impl<'a> Entry<'a> {
    fn table(&self, title: String, entries: &'a DeTable<'a>) -> Table<'a> {
        Table { document: self.document, title, head: self.value.span(), entries }
    }

    /// Whether the key stands in a head line, `[x]` or `[[x]]`, rather than in `x = ...`.
    pub(super) fn is_headed(&self) -> bool {
        let before = &self.document.text()[..self.key.start];
        let line = before.rsplit('\n').next().unwrap_or_default();
        matches!(line.replace([' ', '\t'], "").as_str(), "[" | "[[")
    }

    /// How the value was typed.
    pub(super) fn raw(&self) -> &'a str {
        self.document.text().get(self.value.span()).unwrap_or_default()
    }

    /// The value on one line, to be quoted in a sentence.
    pub(super) fn raw_line(&self) -> String {
        self.raw().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Something wrong with the value.
    pub(super) fn error(&self, message: impl Into<String>) -> ConfigError {
        self.document.error(self.value.span(), message)
    }

    /// Something wrong with a piece of the text that is the value. Where an escape hides how its
    /// bytes were typed, the whole value is marked.
    pub(super) fn error_within(&self, piece: Range<usize>, message: String) -> ConfigError {
        let (span, raw) = (self.value.span(), self.raw());
        let plain = raw.len() == self.value.get_ref().as_str().map_or(0, str::len) + 2;
        if !plain {
            return self.error(message);
        }
        self.document.error(span.start + 1 + piece.start..span.start + 1 + piece.end, message)
    }

    /// Something wrong with the key being there at all.
    pub(super) fn key_error(&self, message: impl Into<String>) -> ConfigError {
        self.document.error(self.key.clone(), message)
    }

    /// The value is not what it must be.
    pub(super) fn wrong(&self, expected: &str) -> ConfigError {
        let (value, raw) = (self.value.get_ref(), self.raw());
        let what = words::describe(value, raw);
        let every = if self.item { "every item of " } else { "" };
        let message = format!("{every}`{}` must be {expected}; this is {what}", self.name);
        let error = self.error(message);
        words::note_quotes(error, expected, value, raw)
    }

    /// A whole number within the range.
    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let digits = self.value.get_ref().as_integer();
        digits
            .and_then(|digits| i64::from_str_radix(digits.as_str(), digits.radix()).ok())
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                self.wrong(&format!("a whole number from {} to {}", range.start(), range.end()))
            })
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// One of a few names.
    pub(super) fn one_of<T: Copy>(&self, known: &[(&str, T)]) -> Result<T, ConfigError> {
        let typed = self.text()?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == typed) {
            return Ok(*value);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let error = self.error(format!("`{}` {}", self.name, words::not_one_of(&names, typed)));
        Err(words::note_near(error, typed, &names))
    }

    /// Whether the value is this very text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.value.get_ref().as_str() == Some(text)
    }

    /// Text that is not empty.
    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        match self.value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) if self.item => Err(self.error(format!("an item of `{}` is empty", self.name))),
            Some(_) => Err(self.error(format!("`{}` is empty", self.name))),
            None => Err(self.wrong("text")),
        }
    }

    /// One text or a list of texts; at least one, and none of them empty.
    pub(super) fn texts(&self) -> Result<Vec<(Entry<'a>, &'a str)>, ConfigError> {
        let items = match self.value.get_ref() {
            DeValue::String(_) => vec![self.clone()],
            DeValue::Array(array) if array.is_empty() => {
                return Err(self.error(format!("`{}` is an empty list", self.name)));
            }
            DeValue::Array(array) => self.items(array),
            _ => return Err(self.wrong("text or a list of texts")),
        };
        items.into_iter().map(|item| item.text().map(|text| (item, text))).collect()
    }

    pub(super) fn list(&self) -> Option<Vec<Entry<'a>>> {
        self.value.get_ref().as_array().map(|array| self.items(array))
    }

    fn items(&self, array: &'a [Spanned<DeValue<'a>>]) -> Vec<Entry<'a>> {
        array.iter().map(|value| Entry { value, item: true, ..self.clone() }).collect()
    }
}
