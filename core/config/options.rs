//! Hands the options of a stage on: from the tree with spans to TOML text.
//!
//! TOML text, because it crosses the border of a shared object as a plain string and keeps what
//! JSON would lose: dates, `inf`, and the difference between 1 and 1.0.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::diagnostic::ConfigError;
use super::document::Document;

/// The entries of a table but for the `host` keys.
pub(super) fn text(
    document: &Document,
    entries: &DeTable<'_>,
    host: &[&str],
) -> Result<String, ConfigError> {
    let options = table(document, entries, host)?;
    toml::to_string(&options)
        .map_err(|error| ConfigError::of_file(document.path(), error.to_string()))
}

fn table(document: &Document, entries: &DeTable<'_>, skip: &[&str]) -> Result<Table, ConfigError> {
    entries
        .iter()
        .filter(|(key, _)| !skip.contains(&key.get_ref().as_ref()))
        .map(|(key, entry)| Ok((key.get_ref().to_string(), value(document, entry)?)))
        .collect()
}

fn value(document: &Document, entry: &Spanned<DeValue<'_>>) -> Result<Value, ConfigError> {
    let bad = |message: &str| document.error(entry.span(), message);
    Ok(match entry.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Value::Integer)
            .map_err(|_| bad("this whole number does not fit into 64 bits"))?,
        DeValue::Float(digits) => match digits.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() || !digits.as_str().contains(['e', 'E']) => {
                Value::Float(number)
            }
            _ => return Err(bad("this number is too large")),
        },
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(at) => Value::Datetime(*at),
        DeValue::Array(array) => {
            Value::Array(array.iter().map(|item| value(document, item)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => Value::Table(table(document, entries, &[])?),
    })
}
