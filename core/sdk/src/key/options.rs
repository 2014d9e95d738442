//! What the options of keyed stages have in common.

use crate::OptionValue;

/// The only word that the option `key` may be.
///
/// Not `choice!`, whose error repeats what was written: that may well be somebody's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Ephemeral;

impl TryFrom<String> for Ephemeral {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, &'static str> {
        match word.as_str() {
            "ephemeral" => Ok(Self),
            _ => Err("may only be \"ephemeral\"; a key of your own goes into a file: \
                      `key_file = \"...\"`"),
        }
    }
}

impl OptionValue for Ephemeral {
    const KIND: &'static str = "\"ephemeral\"";

    fn show(&self) -> String {
        Self::KIND.to_owned()
    }
}
