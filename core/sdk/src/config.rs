//! From the text of a stage's table to its options.

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a stage's options from TOML text.
///
/// Static and loaded stages both come through here, so that the same mistake gives the same
/// message.
///
/// # Errors
/// [`Error::config`] with the path of the key.
pub fn parse<C: DeserializeOwned>(text: &str) -> Result<C> {
    let table =
        toml::Deserializer::parse(text).map_err(|error| Error::config("", error.message()))?;
    serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { path.as_str() };
        Error::config(path, error.inner().message())
    })
}
