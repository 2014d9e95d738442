//! What the store says of each row.

use std::{borrow::Cow, collections::BTreeSet};

use ringmill_sdk::prelude::*;
use serde::Deserialize;

use crate::client::Answer;

/// What becomes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Safe,
    /// It was there already.
    Present,
    /// Not taken now.
    Again(String),
    /// Not taken ever.
    Refused(String),
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    items: Vec<Action<'a>>,
}

/// One of the two, by what was asked for.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    index: Option<Item<'a>>,
    #[serde(borrow)]
    create: Option<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<Trouble<'a>>,
}

#[derive(Deserialize)]
struct Trouble<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
}

/// The fates of the rows that a bulk had, in their order.
///
/// # Errors
/// The answer is none to such a bulk.
pub(crate) fn fates(answer: &Answer, rows: usize, known: &Known) -> Result<Vec<Fate>> {
    let parsed: Items<'_> =
        serde_json::from_slice(&answer.body).map_err(|_| not_of_a_store(answer))?;
    if parsed.items.len() != rows {
        return Err(Error::retry(format!(
            "`{}` answered for {} of {rows} rows",
            answer.url,
            parsed.items.len()
        )));
    }
    let fate = |action: Action<'_>| match (action.index, action.create) {
        (Some(item), _) => Ok(item.fate(false, known)),
        (None, Some(item)) => Ok(item.fate(true, known)),
        (None, None) => Err(not_of_a_store(answer)),
    };
    parsed.items.into_iter().map(fate).collect()
}

/// The error of an answer as a whole, in a few words.
pub(crate) fn trouble(answer: &Answer, known: &Known) -> String {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        error: Trouble<'a>,
    }
    match serde_json::from_slice::<Whole<'_>>(&answer.body) {
        Ok(whole) => whole.error.told(known),
        Err(_) => format!("status {}", answer.status),
    }
}

pub(crate) fn not_of_a_store(answer: &Answer) -> Error {
    Error::retry(format!(
        "`{}` answers {} with something that Elasticsearch would not say; is it the page of a \
         proxy, or another program?",
        answer.url, answer.status
    ))
}

impl Item<'_> {
    fn fate(self, created: bool, known: &Known) -> Fate {
        let told = |error: Option<Trouble<'_>>| match error {
            Some(error) => error.told(known),
            None => format!("status {}", self.status),
        };
        // The one 400 that means: not now. The cluster may have no more shards.
        let full = self.error.as_ref().is_some_and(|it| it.kind == "validation_exception");
        match self.status {
            200..=299 => Fate::Safe,
            409 if created => Fate::Present,
            401 | 403 | 404 | 408 | 409 | 429 | 500.. => Fate::Again(told(self.error)),
            _ if full => Fate::Again(told(self.error)),
            _ => Fate::Refused(told(self.error)),
        }
    }
}

/// Words that may stand in the brackets of a reason: the names of columns, and types.
#[derive(Debug)]
pub(crate) struct Known(BTreeSet<String>);

/// The types of a mapping.
const TYPES: &[&str] = &[
    "boolean",
    "byte",
    "date",
    "date_nanos",
    "double",
    "flat_object",
    "flattened",
    "float",
    "integer",
    "ip",
    "keyword",
    "long",
    "object",
    "short",
    "text",
    "unsigned_long",
];

impl Default for Known {
    fn default() -> Self {
        Self(TYPES.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl Known {
    pub(crate) fn add<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        // A stage that invents columns must not grow this for ever.
        if self.0.len() < 4096 {
            self.0.extend(names.map(str::to_owned));
        }
    }
}

/// The most of a reason that is told, in characters.
const TOLD: usize = 200;

impl Trouble<'_> {
    /// The type, and the reason up to the first quote; what stands in brackets is shown if it is
    /// known. A reason may quote a value.
    fn told(&self, known: &Known) -> String {
        let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
        let mut told: String = self.kind.chars().filter(plain).take(TOLD).collect();
        if told.is_empty() {
            told.push_str("an error without a type");
        }
        let reason = self.reason.split(['\'', '"', '`', '\n']).next().unwrap_or_default();
        let reason = reason.trim_end_matches(" in document with id ").trim();
        if reason.is_empty() {
            return told;
        }
        told.push_str(": ");
        let mut rest = reason;
        while let Some((before, behind)) = rest.split_once('[') {
            let (inside, after) = behind.split_once(']').unwrap_or((behind, ""));
            let shown = if known.0.contains(inside) { inside } else { ".." };
            told.push_str(before);
            told.push('[');
            told.push_str(shown);
            told.push(']');
            rest = after;
        }
        told.push_str(rest);
        told.chars().filter(|c| !c.is_control()).take(TOLD).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, body: body.into(), url: "http://store".into() }
    }

    #[test]
    fn each_status_has_its_fate() {
        let again = |text: &str| Fate::Again(text.to_owned());
        let refused = |text: &str| Fate::Refused(text.to_owned());
        let cases = [
            (r#"{"index":{"status":200}}"#, Fate::Safe),
            (r#"{"index":{"status":201}}"#, Fate::Safe),
            (r#"{"create":{"status":201}}"#, Fate::Safe),
            (r#"{"create":{"status":409,"error":{"type":"x"}}}"#, Fate::Present),
            (r#"{"index":{"status":409,"error":{"type":"x"}}}"#, again("x")),
            (r#"{"index":{"status":429,"error":{"type":"rejected"}}}"#, again("rejected")),
            (r#"{"index":{"status":503}}"#, again("status 503")),
            (
                r#"{"index":{"status":403,"error":{"type":"security_exception"}}}"#,
                again("security_exception"),
            ),
            (
                r#"{"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [a]"}}}"#,
                again("index_not_found_exception: no such index [..]"),
            ),
            (
                r#"{"index":{"status":400,"error":{"type":"validation_exception"}}}"#,
                again("validation_exception"),
            ),
            (
                r#"{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [host] of type [ip] in document with id 'abc'. Preview of field's value: 'secret'"}}}"#,
                refused("mapper_parsing_exception: failed to parse field [host] of type [ip]"),
            ),
            (
                r#"{"index":{"status":400,"error":{"type":"A <b>","reason":"For input: \"secret\""}}}"#,
                refused("b: For input:"),
            ),
            (
                r#"{"index":{"status":400,"error":{"reason":"cannot read [secret] and [open"}}}"#,
                refused("an error without a type: cannot read [..] and [..]"),
            ),
        ];
        let mut known = Known::default();
        known.add(["host"].into_iter());
        for (item, fate) in cases {
            let found = fates(&answer(&format!("{{\"items\":[{item}]}}")), 1, &known).unwrap();
            assert_eq!(found, [fate], "{item}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_a_sentence_without_its_content() {
        let cases = [
            "<html>secret</html>",
            "",
            "{}",
            "[]",
            "{\"items\":[]}",
            "{\"items\":[{}]}",
            "{\"items\":[{\"index\":{}}]}",
            "{\"items\":[{\"index\":{\"status\":99999}}]}",
            "{\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":200}}]}",
        ];
        for body in cases {
            let error = fates(&answer(body), 1, &Known::default()).unwrap_err();
            assert_eq!(error.kind(), ringmill_sdk::ErrorKind::Retry, "{body}");
            assert!(error.message().starts_with("`http://store` answer"), "{body}: {error}");
            assert!(!error.message().contains("secret"), "{body}: {error}");
        }
    }
}
