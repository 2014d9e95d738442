//! Says in plain words what serde says in its own.
//!
//! The messages arrive as text, because they cross the border of a shared object; so they are
//! taken apart here by the fixed phrases of `serde::de::Error`. What does not fit any of them is a
//! sentence of the stage's author and stays as it is.

use toml::de::DeValue;

use super::diagnostic::ConfigError;
use super::suggest;

/// A message about options, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    UnknownField {
        name: String,
        allowed: Vec<String>,
    },
    UnknownVariant {
        name: String,
        allowed: Vec<String>,
    },
    MissingField {
        name: String,
    },
    /// A wrong type or value, or (then with what was found) a wrong length.
    Unfit {
        expected: String,
        length: Option<String>,
    },
    Own(String),
}

impl Said {
    pub(super) fn parse(message: &str) -> Self {
        let message = sentence(message);
        if let Some((name, allowed)) = named(message, "unknown field `") {
            return Self::UnknownField { name, allowed };
        }
        if let Some((name, allowed)) = named(message, "unknown variant `") {
            return Self::UnknownVariant { name, allowed };
        }
        let quoted = |text: &str| text.split_once('`').map(|(name, _)| name.to_owned());
        if let Some(name) = message.strip_prefix("missing field `").and_then(quoted) {
            return Self::MissingField { name };
        }
        if let Some((head, expected)) = message.rsplit_once(", expected ") {
            let expected = plain(expected);
            if head.starts_with("invalid type: ") || head.starts_with("invalid value: ") {
                return Self::Unfit { expected, length: None };
            }
            if let Some(length) = head.strip_prefix("invalid length ") {
                return Self::Unfit { expected, length: Some(format!("a list of {length}")) };
            }
        }
        match message {
            "wanted string or table" => {
                Self::Unfit { expected: "text or a table".to_owned(), length: None }
            }
            _ if message.starts_with("data did not match any variant of untagged enum") => {
                Self::Own("has none of the forms that are accepted here".to_owned())
            }
            _ => match message.strip_prefix("invalid ").and_then(|m| m.strip_suffix(" syntax")) {
                Some(what) => Self::Own(format!("is not a valid {what}")),
                None => Self::Own(message.to_owned()),
            },
        }
    }
}

/// The one sentence in what an error displays: `toml` draws an excerpt of the text it was given
/// above it, and names the keys below it.
fn sentence(message: &str) -> &str {
    let mut lines = message.lines().filter(|line| !line.trim().is_empty());
    match message.starts_with("TOML parse error at ") {
        true => lines.rfind(|line| !line.starts_with("in `")).unwrap_or(message),
        false if message.lines().nth(1).is_some_and(|line| line.starts_with("in `")) => {
            lines.next().unwrap_or(message)
        }
        false => message.trim(),
    }
}

/// Splits ``unknown field `x`, expected one of `a`, `b` ``.
fn named(message: &str, head: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix(head)?;
    let (name, list) =
        rest.split_once("`, expected ").or_else(|| rest.split_once("`, there are"))?;
    let allowed = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), allowed))
}

/// What serde and its visitors call "expected", as an operator would say it.
fn plain(expected: &str) -> String {
    let said = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "i128" | "isize" => "a whole number",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero u128" | "a nonzero usize" => "a whole number, 1 or more",
        "f32" | "f64" => "a number",
        "a boolean" | "bool" => "true or false",
        "a string" | "string" | "a borrowed string" | "str" => "text",
        "a character" | "char" => "one character in quotes",
        "path string" => "a path in quotes",
        "a sequence" | "sequence" => "a list",
        "a map" | "map" => "a table",
        "a byte array" | "byte array" => "a list of whole numbers from 0 to 255",
        "a Datetime" | "a TOML datetime" => "a date or time, without quotes",
        "IPv4 address" => "an IPv4 address in quotes",
        "IPv6 address" => "an IPv6 address in quotes",
        "IP address" => "an IP address in quotes",
        "IPv4 socket address" | "IPv6 socket address" | "socket address" => {
            "an address with a port, in quotes"
        }
        "string or table" | "a string or a table" => "text or a table",
        "unit" => "left out",
        other => {
            let length = ["an array of length ", "a tuple of size ", "an array of size "];
            if let Some(n) = length.iter().find_map(|head| other.strip_prefix(head)) {
                return format!("a list of {n}");
            }
            return match other.split_once(' ') {
                Some(("struct", _)) => "a table".to_owned(),
                Some(("tuple", _)) => "a list".to_owned(),
                Some(("enum", _)) => "text or a table".to_owned(),
                _ => other.to_owned(),
            };
        }
    };
    said.to_owned()
}

/// What was found in place of the expected; `raw` is how it was typed.
pub(super) fn describe(value: &DeValue<'_>, raw: &str) -> String {
    match value {
        DeValue::String(text) if text.is_empty() => "empty text".to_owned(),
        DeValue::String(_) => "text".to_owned(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => raw.to_owned(),
        DeValue::Datetime(at) if at.date.is_none() => "a time of day".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// ``must be flow or round_robin; this is `flows` ``, to follow the key.
pub(super) fn not_one_of(allowed: &[&str], found: &str) -> String {
    let allowed = match allowed {
        [] => "nothing".to_owned(),
        [only] => format!("\"{only}\""),
        [head @ .., last] => format!("\"{}\" or \"{last}\"", head.join("\", \"")),
    };
    format!("must be {allowed}; this is \"{found}\"")
}

/// Adds the nearest name, if there is one.
pub(super) fn note_near(error: ConfigError, found: &str, allowed: &[&str]) -> ConfigError {
    match suggest::nearest(found, allowed) {
        Some(name) => error.note(format!("did you mean \"{name}\"?")),
        None => error,
    }
}

/// Adds how to mend the commonest mistakes of type: quotes and brackets.
pub(super) fn note_quotes(
    error: ConfigError,
    expected: &str,
    value: &DeValue<'_>,
    raw: &str,
) -> ConfigError {
    let wants_text = expected.starts_with("text") || expected.ends_with("in quotes");
    match value {
        DeValue::String(text) if bare_fits(text, expected) => {
            error.note(format!("leave out the quotes: {text}"))
        }
        DeValue::String(text) if expected == "true or false" => match flag(text) {
            Some(flag) => error.note(format!("write {flag}")),
            None => error,
        },
        DeValue::String(_) if expected.starts_with("a list") && !raw.contains('\n') => {
            error.note(format!("put it in brackets: [{raw}]"))
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) if wants_text => {
            error.note(format!("put it in quotes: \"{raw}\""))
        }
        _ => error,
    }
}

/// What is meant by a truth value of another language, or by a slip in ours.
pub(super) fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "tru" | "ture" => Some(true),
        "false" | "no" | "off" | "fales" | "flase" => Some(false),
        _ => None,
    }
}

/// Whether `text` would be accepted if its quotes were left out.
fn bare_fits(text: &str, expected: &str) -> bool {
    if expected.starts_with("a whole number") {
        text.parse::<i64>().is_ok()
    } else if expected.starts_with("a number") {
        text.parse::<i64>().is_ok() || (text.contains('.') && text.parse::<f64>().is_ok())
    } else if expected.starts_with("a date") {
        text.parse::<toml::value::Datetime>().is_ok()
    } else {
        expected == "true or false" && matches!(text, "true" | "false")
    }
}

/// Whether a stage's message goes on where its key ends: "must be above 0".
pub(super) fn is_predicate(message: &str) -> bool {
    let verb = message.split(' ').next().unwrap_or_default();
    matches!(
        verb,
        "must" | "needs" | "is" | "has" | "cannot" | "holds" | "names" | "may" | "should" | "does"
    )
}
