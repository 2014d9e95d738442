//! Says in plain words what the TOML parser could not read.
//!
//! The parser tells what it expected; an operator needs to know what to type. So each of its
//! messages is looked at together with the text it is about, and the slips that people make (no
//! quotes, `:` for `=`, `//` for `#`, one bracket for two) get a sentence of their own.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{ConfigError, floor};
use super::document::Document;
use super::words;

const LINES: &str = "a line is a comment (# ...), a table ([name]) or a setting (key = value)";
const LIST: &str = "a comma is missing before this, or the list above does not end with `]`";
const DATES: &[&str] =
    &["invalid date", "invalid time", "invalid date-time", "invalid datetime", "invalid offset"];

/// The diagnostic for a text that is not TOML.
pub(super) fn error(document: &Document, error: &toml::de::Error) -> ConfigError {
    let text = document.text();
    let span = error.span().unwrap_or(0..0);
    let mut span = floor(text, span.start)..floor(text, span.end);
    // What is missing at the end of the file is missing after its last line.
    if span.start >= text.trim_end().len() {
        let end = text.trim_end().len();
        span = end..end;
    }
    let at = Spot::new(document, span);
    let what = error.message().split(", expected ").next().unwrap_or_default();
    if at.rest().starts_with(|c: char| c.is_control() && c != '\t' && c != '\r') {
        return at.error("a control character stands here; it may only be written as an escape");
    }
    match what {
        "duplicate key" => at.duplicate(),
        "string values must be quoted" | "invalid boolean" => at.bare_value(),
        _ if DATES.contains(&what) && at.is_bare_value() => {
            at.value("this is neither a date nor a time; other text must be in quotes")
        }
        _ if what.starts_with("invalid ") && at.is_bare_value() => at.bare_value(),
        "key with no value" | "missing value for key" => at.no_value(),
        "invalid key-value pair" => at.line("this is not TOML").note(LINES),
        "unquoted keys cannot be empty" if at.head().starts_with('[') => {
            at.error("a table needs a name between its brackets")
        }
        "unquoted keys cannot be empty" => at.error("a key is missing here").note(LINES),
        "extra `=`" => at.error("one `=` is enough"),
        "invalid basic string" | "invalid literal string" => {
            at.error("this text does not end: its closing quote is missing")
        }
        "invalid multi-line basic string" | "invalid multi-line literal string" => {
            at.error("this text does not end: its three closing quotes are missing")
        }
        "unclosed table" => at.error("`]` is missing at the end of this table's name"),
        "unclosed array table" => at.error("`]]` is missing at the end of this table's name"),
        "unclosed array" => at.error("this list does not end: its `]` is missing"),
        "unclosed inline table" | "invalid inline table element" => {
            at.error("this table does not end: its `}` is missing")
        }
        "missing comma between array elements" if at.before().contains('[') => {
            at.word("a comma is missing before this")
        }
        "missing comma between array elements" | "unexpected `=` in array" => at.word(LIST),
        "missing comma between key-value pairs" => at.word("a comma is missing before this"),
        _ if what.starts_with("extra comma") => at.error("there is a comma too many"),
        "unexpected leading zero" => at.value("a number must not begin with 0"),
        "`_` may only go between digits" => {
            at.error("in a number, `_` may only stand between digits")
        }
        "missing escaped value" | "too few unicode value digits" | "invalid unicode value" => {
            at.escape()
        }
        "unexpected key or value" => at.rest_of_line(),
        _ if what.starts_with("cannot extend value of type") => {
            at.error("this key has a value already, so it cannot have keys of its own")
        }
        other => at.error(&format!("this is not TOML: {other}")),
    }
}

/// A mistake and the line that it is on.
struct Spot<'t> {
    document: &'t Document,
    text: &'t str,
    mistake: Range<usize>,
    line: Range<usize>,
    /// From after the last `=`, `[` or `,` before the mistake to the end of that value.
    value: Range<usize>,
}

impl<'t> Spot<'t> {
    fn new(document: &'t Document, mistake: Range<usize>) -> Self {
        let text = document.text();
        let begin = text[..mistake.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[mistake.start..].find('\n').map_or(text.len(), |at| mistake.start + at);
        let before = &text[begin..mistake.start];
        let from = begin + before.rfind(['=', '[', ',']).map_or(0, |at| at + 1);
        let until = text[from..end].find([',', ']', '#']).map_or(end, |at| from + at);
        Self {
            document,
            text,
            line: trim(text, begin..end),
            value: trim(text, from..until),
            mistake,
        }
    }

    /// The line up to the mistake.
    fn before(&self) -> &'t str {
        self.text.get(self.line.start..self.mistake.start).unwrap_or_default()
    }

    /// The line from the mistake on.
    fn rest(&self) -> &'t str {
        self.text.get(self.mistake.start..self.line.end).unwrap_or_default()
    }

    /// The line without its comment.
    fn head(&self) -> &'t str {
        self.text[self.line.clone()].split('#').next().unwrap_or_default().trim_end()
    }

    fn error(&self, message: &str) -> ConfigError {
        self.document.error(self.mistake.clone(), message)
    }

    /// Marks the whole line.
    fn line(&self, message: &str) -> ConfigError {
        self.document.error(self.line.clone(), message)
    }

    /// Marks the whole value.
    fn value(&self, message: &str) -> ConfigError {
        self.document.error(self.value.clone(), message)
    }

    /// Marks the key if the mistake is the `=` after it, else the rest of the line.
    fn word(&self, message: &str) -> ConfigError {
        let span = if self.rest().starts_with('=') {
            let key = self.before().trim_end();
            let from = key.rfind([' ', '\t', ',', '[']).map_or(0, |at| at + 1);
            self.line.start + from..self.line.start + key.len()
        } else {
            trim(self.text, self.mistake.start..self.line.end.max(self.mistake.start))
        };
        self.document.error(span, message)
    }

    /// Something like `10.0.0.1` or `5s`: neither quoted nor a table nor the like.
    fn is_bare_value(&self) -> bool {
        let value = &self.text[self.value.clone()];
        self.before().contains('=') && !value.contains(['"', '\'', '{', '}', '='])
    }

    /// A value without quotes that is none of TOML's bare values.
    fn bare_value(&self) -> ConfigError {
        let value = &self.text[self.value.clone()];
        let Range { start, end } = self.value;
        if value.is_empty() {
            return self.value("a value is missing here");
        }
        if let Some(comment) = value.find(" //").or_else(|| value.find(" ;")) {
            return self.document.error(start + comment + 1..end, "a comment begins with `#`");
        }
        if value.ends_with(';') {
            return self.document.error(end - 1..end, "a line does not end with `;`");
        }
        if value.starts_with(['“', '”', '„', '‘', '’', '«']) {
            return self
                .value("these are typographic quotes")
                .note("plain ones are needed: \"...\"");
        }
        if value.contains('=') {
            return self.value(LIST);
        }
        if let Some(flag) = words::flag(value) {
            return self
                .value(&format!("`{value}` is not a value in TOML"))
                .note(format!("write {flag}"));
        }
        if matches!(value.to_ascii_lowercase().as_str(), "null" | "none" | "nil") {
            return self.value("there is no empty value in TOML").note("leave out the whole line");
        }
        let numbers: Vec<&str> = value.split_whitespace().collect();
        if numbers.iter().all(|word| word.parse::<f64>().is_ok()) {
            return match numbers.as_slice() {
                [_] => self.value("this is not a number as TOML writes it: 8, 0.5 or 1e6"),
                _ => self
                    .value("a comma is missing between these")
                    .note(format!("write {}", numbers.join(", "))),
            };
        }
        if value.contains(['"', '\'']) {
            return self.value("this is not a value; is a quote missing?");
        }
        self.value("text must be in quotes").note(format!("write \"{value}\""))
    }

    /// A key that no `=` follows.
    fn no_value(&self) -> ConfigError {
        let line = &self.text[self.line.clone()];
        let key = self.before().trim_end();
        if line.starts_with("//") || line.starts_with(';') {
            return self.line("this is not TOML").note("a comment begins with `#`");
        }
        if line.starts_with('[') {
            return self.error("`]` is missing at the end of this table's name");
        }
        if let Some(name) = key.strip_suffix(':') {
            let colon = self.line.start + name.len();
            let error = self
                .document
                .error(colon..colon + 1, "between a key and its value stands `=`, not `:`");
            return match self.rest() {
                "" => error.note(format!("a table is written [{name}]")),
                rest => error.note(format!("write {name} = {rest}")),
            };
        }
        if line.starts_with(['<', '{', '-']) || !line.contains('=') && line.contains(' ') {
            return self.line("this is not TOML").note(LINES);
        }
        self.error(&format!("after the key `{key}` must come `=` and a value")).note(LINES)
    }

    /// A backslash that begins no escape.
    fn escape(&self) -> ConfigError {
        let back = self.before().rfind('\\').map_or(self.mistake.start, |at| self.line.start + at);
        self.document
            .error(back..self.mistake.start, "in double quotes, `\\` begins an escape")
            .note("write \\\\ for one backslash, or single quotes around the whole: '...'")
    }

    /// Something after a value or a table's name that should have ended the line.
    fn rest_of_line(&self) -> ConfigError {
        let (before, rest) = (self.before(), self.rest());
        if rest.starts_with(']') && before.starts_with('[') && !before.starts_with("[[") {
            let name = before.trim_matches(['[', ']', ' ']);
            return self
                .line("the brackets of this table do not pair")
                .note(format!("write [[{name}]] or [{name}]"));
        }
        let error = self.word("the line should end before this");
        if rest == "," {
            return error.note("no comma follows a setting");
        }
        if rest.starts_with(',') {
            return error.note("several values stand in brackets: [\"a\", \"b\"]");
        }
        error.note("every setting and every [table] has a line of its own; a comment begins with #")
    }

    /// A key or a table that is there twice. The parser tells the second; the first is looked for
    /// in what it could read.
    fn duplicate(&self) -> ConfigError {
        let name = &self.text[self.mistake.clone()];
        let head = self.head();
        if !head.starts_with('[') {
            let error = self.error(&format!("`{name}` is set twice"));
            return match self.first(name) {
                Some(line) => error.note(format!("the first is on line {line}; keep one")),
                None => error,
            };
        }
        let all = self.line.start..self.line.start + head.len();
        if matches!(name, "stage" | "sink") && !head.contains('.') {
            let message = format!("{head} must be written [[{name}]]");
            return self.document.error(all, message).note(format!(
                "every {name} is a [[{name}]] of its own, with two brackets on each side"
            ));
        }
        let before = &self.text[..self.line.start];
        let same = before
            .lines()
            .zip(1..)
            .filter_map(|(line, number)| line.trim_start().starts_with(head).then_some(number))
            .last();
        let error = self.document.error(all, format!("{head} is there already"));
        match same.or_else(|| self.first(name)) {
            Some(line) => error.note(format!("the first is on line {line}; put the two together")),
            None => error,
        }
    }

    /// The line of the last key `name` before the mistake.
    fn first(&self, name: &str) -> Option<usize> {
        let (tree, _) = DeTable::parse_recoverable(self.text);
        let mut places = Vec::new();
        keys(tree.get_ref(), name.trim_matches(['"', '\'']), &mut places);
        let last = places.into_iter().filter(|at| *at < self.mistake.start).max()?;
        Some(self.text[..last].matches('\n').count() + 1)
    }
}

fn trim(text: &str, span: Range<usize>) -> Range<usize> {
    let piece = &text[span.clone()];
    let start = span.start + (piece.len() - piece.trim_start().len());
    start..start + piece.trim().len()
}

/// Where the keys called `name` begin, at any depth.
fn keys(table: &DeTable<'_>, name: &str, places: &mut Vec<usize>) {
    for (key, value) in table.iter() {
        if key.get_ref() == name {
            places.push(key.span().start);
        }
        let items = match value.get_ref() {
            DeValue::Array(array) => array.as_ref(),
            _ => std::slice::from_ref(value),
        };
        for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
            keys(table, name, places);
        }
    }
}
