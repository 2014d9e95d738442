//! One mistake in a config, and how it is shown.
//!
//! The text is laid out when it is displayed; what is kept is small and owned, so that an error
//! outlives the document. No colours and no box drawing: the same lines go to a terminal, a
//! journal and a ticket.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unicode_width::UnicodeWidthChar;

/// A line longer than this is shown in part, around the place that is marked.
const WIDEST: usize = 120;

/// What is wrong with a config, where, and what to do about it.
///
/// [`Display`](fmt::Display) gives the whole text, several lines, without a line feed at the end:
///
/// ```text
/// configs/campus.toml:9:1: unknown key `interfce` in [capture]
///   9 | interfce = ["eth2", "eth3"]
///     | ^^^^^^^^
///     | did you mean `interface`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    path: Option<PathBuf>,
    excerpt: Option<Excerpt>,
    message: String,
    notes: Vec<String>,
}

/// The marked piece of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: usize,
    column: usize,
    text: String,
    mark: String,
}

impl ConfigError {
    /// About the file as a whole, or about something that stands nowhere in it.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self::new(Some(path.to_owned()), None, message.into())
    }

    /// About the command line, or about a run that no line of the config is to blame for.
    pub fn of_arguments(message: impl Into<String>) -> Self {
        Self::new(None, None, message.into())
    }

    /// About the bytes `span` of `text`.
    pub(super) fn at(
        path: &Path,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let excerpt = Some(Excerpt::cut(text, span));
        Self::new(Some(path.to_owned()), excerpt, message.into())
    }

    fn new(path: Option<PathBuf>, excerpt: Option<Excerpt>, message: String) -> Self {
        // A message that came from elsewhere may have lines of its own.
        let mut lines = message.trim_end().lines().map(str::to_owned);
        Self(Box::new(Parts {
            path,
            excerpt,
            message: lines.next().unwrap_or_default(),
            notes: lines.collect(),
        }))
    }

    /// Adds a line of help under the mark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.extend(note.into().lines().map(str::to_owned));
        self
    }

    /// The line the error is on, from 1; `None` if it is on no line (the file is missing, say).
    pub fn line(&self) -> Option<usize> {
        self.0.excerpt.as_ref().map(|excerpt| excerpt.line)
    }

    /// The column the error begins in, from 1, counted in characters.
    pub fn column(&self) -> Option<usize> {
        self.0.excerpt.as_ref().map(|excerpt| excerpt.column)
    }

    /// The sentence alone, without place, excerpt and help.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { path, excerpt, message, notes } = &*self.0;
        if let Some(path) = path {
            write!(f, "{}:", path.display())?;
            if let Some(Excerpt { line, column, .. }) = excerpt {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(message)?;
        let mut gutter = String::new();
        if let Some(Excerpt { line, text, mark, .. }) = excerpt {
            let number = line.to_string();
            gutter = " ".repeat(number.len() + 1);
            write!(f, "\n  {number} | {text}\n {gutter} | {mark}")?;
        }
        for note in notes {
            write!(f, "\n {gutter} | {note}")?;
        }
        Ok(())
    }
}

impl Excerpt {
    fn cut(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[begin..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        // A value of several lines is marked to the end of its first; a place without width, such
        // as the end of a line, still gets one mark.
        let end = floor(text, span.end).min(begin + line.len()).max(start);

        let before = text[begin..start].chars().count();
        let marked = text[start..end].chars().count().max(1);
        let chars: Vec<char> = line.chars().collect();
        let secret = secret_from(line).unwrap_or(chars.len());
        let from = if chars.len() > WIDEST { before.saturating_sub(WIDEST / 3) } else { 0 };
        let to = chars.len().min(from + WIDEST);

        let mut shown = String::new();
        let mut mark = String::new();
        if from > 0 {
            shown.push_str("... ");
            mark.push_str("    ");
        }
        for (at, &c) in chars.iter().enumerate().take(to).skip(from) {
            let shows = match c {
                '\t' | '"' | '\'' => c,
                _ if at >= secret && !c.is_whitespace() => '*',
                _ if c.is_control() => '\u{fffd}',
                _ => c,
            };
            shown.push(shows);
            // A tab is repeated under itself, so that the marks line up whatever its width.
            match (at < before, at < before + marked) {
                (true, _) if c == '\t' => mark.push('\t'),
                (true, _) => mark.extend(std::iter::repeat_n(' ', shows.width().unwrap_or(1))),
                (_, true) => mark.extend(std::iter::repeat_n('^', shows.width().unwrap_or(1))),
                _ => {}
            }
        }
        if to < chars.len() {
            shown.push_str(" ...");
        }
        if !mark.contains('^') {
            mark.push('^');
        }
        let number = text[..begin].matches('\n').count() + 1;
        Self { line: number, column: before + 1, text: shown, mark }
    }
}

/// Where on a line a secret may begin, in characters: errors end in logs, and a key that
/// somebody typed into the config must not.
fn secret_from(line: &str) -> Option<usize> {
    let (name, _) = line.split_once('=')?;
    let key = name.trim().to_ascii_lowercase();
    let names_secret =
        ["key", "secret", "password", "token"].iter().any(|word| key.ends_with(word));
    names_secret.then(|| name.chars().count() + 1)
}

/// The nearest character boundary at or before `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
