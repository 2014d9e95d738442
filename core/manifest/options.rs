//! The options of a stage as they took effect, without what must not be told.
//!
//! The engine does not know the stage, so this goes by what an option looks like, and rather
//! hides too much: what its name says is a secret, a path, and whatever holds an address, a
//! prefix, a URL or a mail address. That it was set is told all the same.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::{Value, json};

/// An option that a stage knows, whatever it comes from.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// As TOML; none or empty where there is none.
    pub(crate) default: Option<String>,
}

/// What stands in the place of a value.
pub(super) const HIDDEN: &str = "set, not shown";

impl Known {
    /// The options that `given`, TOML text, sets, and the defaults of the others.
    pub(crate) fn complete(given: &str, known: &[Self]) -> toml::Table {
        let mut options = toml::from_str::<toml::Table>(given).unwrap_or_default();
        for option in known {
            let default = option.default.as_deref().filter(|default| !default.is_empty());
            if let Some(default) = default.filter(|_| !options.contains_key(&option.name))
                && let Ok(mut parsed) = toml::from_str::<toml::Table>(&format!("value = {default}"))
                && let Some(value) = parsed.remove("value")
            {
                options.insert(option.name.clone(), value);
            }
        }
        options
    }
}

/// The same, as they may be told.
pub(super) fn told(given: &str, known: &[Known]) -> BTreeMap<String, Value> {
    let options = Known::complete(given, known);
    let is_path = |name: &str| known.iter().any(|it| it.name == name && it.kind == "path");
    let entry = |(name, value): (String, toml::Value)| {
        let value = if is_path(&name) { HIDDEN.into() } else { value_of(&name, &value) };
        (name, value)
    };
    options.into_iter().map(entry).collect()
}

fn value_of(name: &str, value: &toml::Value) -> Value {
    if is_secret(name) {
        return HIDDEN.into();
    }
    match value {
        toml::Value::String(text) if may_identify(text) => HIDDEN.into(),
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) if number.is_finite() => json!(number),
        toml::Value::Float(number) => json!(number.to_string()),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(at) => json!(at.to_string()),
        toml::Value::Array(items) => {
            let shown: Vec<_> = items.iter().map(|item| value_of("", item)).collect();
            // What is left of a list whose other items are hidden would mislead.
            if shown.iter().any(|item| item == HIDDEN) { HIDDEN.into() } else { shown.into() }
        }
        toml::Value::Table(entries) => {
            let entries = entries.iter();
            entries.map(|(name, value)| (name.clone(), value_of(name, value))).collect()
        }
    }
}

fn is_secret(name: &str) -> bool {
    const WORDS: &[&str] =
        &["key", "file", "password", "passphrase", "passwd", "secret", "token", "path"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.split(['_', '-', '.']).next_back() == Some(word))
}

/// Whether a text holds an address, a path, a URL or a mail address.
fn may_identify(text: &str) -> bool {
    let is_address = |piece: &str| piece.parse::<IpAddr>().is_ok();
    let mut pieces = text.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
    text.contains(['@', '\\'])
        || text.contains("://")
        || text.starts_with(['/', '~'])
        || text.starts_with("./")
        || text.starts_with("../")
        || pieces.any(is_address)
        // With a port, or at the end of a sentence.
        || text.split(|c: char| !c.is_ascii_digit() && c != '.').any(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, kind: &str, default: &str) -> Known {
        Known { name: name.into(), kind: kind.into(), default: Some(default.into()) }
    }

    #[test]
    fn what_could_identify_is_not_told() {
        let hidden = [
            "key = \"ephemeral\"",
            "key = \"00ff\"",
            "key_file = \"anon\"",
            "api_key = 7",
            "password = \"x\"",
            "auth_token = [\"x\"]",
            "file = \"opt-outs\"",
            "where = \"/etc/ringmill\"",
            "where = \"../a\"",
            "server = \"http://u:p@h\"",
            "who = \"me@example.org\"",
            "net = \"192.0.2.0/24\"",
            "net = \"from 192.0.2.1:80 on\"",
            "net = \"[2001:db8::]/32\"",
            "net = \"2001:db8::1\"",
            "place = \"here\"",
            "prefixes = [\"any\", \"192.0.2.0/24\"]",
        ];
        for given in hidden {
            let told = told(given, &[known("place", "path", "")]);
            assert_eq!(told.into_values().collect::<Vec<_>>(), [HIDDEN], "{given}");
        }
        let cases = [
            ("headers = [\"accept\", \"*\"]", json!(["accept", "*"])),
            ("probability = 0.1", json!(0.1)),
            ("credentials = \"drop\"", json!("drop")),
            ("ratio = \"1:2\"", json!("1:2")),
            ("keys = 3", json!(3)),
            ("a = { secret = \"x\", b = 1 }", json!({ "secret": HIDDEN, "b": 1 })),
            ("at = inf", json!("inf")),
        ];
        for (given, expected) in cases {
            assert_eq!(told(given, &[]).into_values().collect::<Vec<_>>(), [expected], "{given}");
        }
    }

    #[test]
    fn defaults_are_told_where_nothing_is_set() {
        let options = [
            known("special", "", "\"map\""),
            known("bits", "", "16"),
            known("headers", "list", "[\"accept\"]"),
            known("key_file", "path", ""),
        ];
        let told = told("bits = 8", &options);
        let expected = json!({ "special": "map", "bits": 8, "headers": ["accept"] });
        assert_eq!(json!(told), expected);
    }
}
