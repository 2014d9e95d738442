//! What went wrong in a stage, in words that an operator can act on.
//!
//! One type for all stages, not an enum per stage: the engine can do only three things with
//! an error (show it at its place in the config, stop, or step round the stage), and it has
//! to cross a plugin boundary. Like `anyhow::Error` it does not implement
//! [`std::error::Error`], so that `?` converts every error that does.

use std::fmt;

/// The result of most functions of a stage.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a stage could not be made or could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    path: String,
    message: String,
    rows: Vec<(usize, String)>,
}

/// What the engine may do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An option is wrong; [`Error::path`] names it.
    Config,
    /// The stage cannot do its work.
    Failed,
    /// The store cannot take it now, and may later.
    Retry,
    /// The store will never take these records.
    Refused,
    /// The stage panicked; this instance is not called again.
    Panicked,
}

impl Error {
    /// The stage cannot do its work. `message` says what the operator can do about it. It is
    /// printed and logged, so nothing of a packet or a record may stand in it: neither addresses
    /// nor values, also not as part of another error that quotes what it could not read.
    #[must_use]
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Failed, "", message)
    }

    /// The store cannot take the records now; the engine tries again with the same. For a sink.
    #[must_use]
    pub fn retry(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Retry, "", message)
    }

    /// The store will never take these records, and says why. The engine finds out
    /// which of them are meant, puts those aside with the message, and goes on. For a sink.
    #[must_use]
    pub fn refused(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Refused, "", message)
    }

    /// Of all rows since the last flush that succeeded, numbered from 0 in the order they were
    /// written, the store will never take these, and says why; all others are safe in it. The engine
    /// puts them aside and goes on, without asking for anything again. For the `flush` of a sink
    /// whose store names the rows.
    #[must_use]
    pub fn refused_rows(rows: Vec<(usize, String)>) -> Self {
        let first = rows.first().map_or("no row is named", |(_, why)| why.as_str());
        let message = format!("{} rows are refused: {first}", rows.len());
        Self { rows, ..Self::refused(message) }
    }

    /// The option at `path` (`"limits.idle"`, `"nets[1].width"`, relative to the stage's own
    /// table) is wrong.
    #[must_use]
    pub fn config(path: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Config, path, message)
    }

    /// Any kind of error, as it arrives from a plugin.
    #[must_use]
    pub fn of(kind: ErrorKind, path: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self { kind, path: path.to_string(), message: message.to_string(), rows: Vec::new() }
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The option that is wrong, relative to the stage's table; empty where there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The sentence for the operator.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The rows that the store refused, where it named them, each with its reason.
    #[must_use]
    pub fn rows(&self) -> &[(usize, String)] {
        &self.rows
    }

    /// The same, of these rows, as it arrives from a plugin.
    pub(crate) fn with_rows(self, rows: Vec<(usize, String)>) -> Self {
        Self { rows, ..self }
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.path.as_str()) {
            (ErrorKind::Config, path) if !path.is_empty() => {
                write!(f, "`{path}`: {}", self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors already print their source; saying it twice helps nobody.
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Self::new(message)
    }
}
