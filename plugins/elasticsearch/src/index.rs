//! The names of indices.

use ringmill_sdk::prelude::*;

use crate::options::{IndexPer, Options};

/// What an index may not be called by, besides upper-case letters and white space.
const FORBIDDEN: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ',', '#', ':'];
/// Leaves room for a record type and a day below the 255 bytes of a name.
const LONGEST: usize = 100;
const NANOSECONDS_A_DAY: i64 = 86_400_000_000_000;

/// How rows are dealt to indices.
#[derive(Clone, Debug)]
pub(crate) struct Indices {
    prefix: String,
    pub(crate) per_day: bool,
    pub(crate) data_stream: bool,
}

impl Indices {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let prefix = options.index.clone();
        let wrong = |why: &str| Err(Error::config("index", why));
        let forbidden = |c: char| c.is_uppercase() || c.is_whitespace() || FORBIDDEN.contains(&c);
        if prefix.is_empty() || prefix.len() > LONGEST {
            return wrong("must have from 1 to 100 bytes");
        }
        if prefix.starts_with(['-', '_', '+', '.']) {
            return wrong(
                "must not begin with `-`, `_`, `+` or `.`, which the store does not take",
            );
        }
        if prefix.contains(forbidden) {
            return wrong(
                "has a character that the store does not take in the name of an index: no upper \
                 case, no space, none of \\ / * ? \" < > | , # :",
            );
        }
        let data_stream = options.data_stream;
        Ok(Self {
            prefix,
            per_day: !data_stream && options.index_per == IndexPer::Day,
            data_stream,
        })
    }

    /// The index of a record type, without the day; also the name of its template.
    pub(crate) fn base(&self, record: &str) -> String {
        let plain = |c: char| match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        };
        let record = record.chars().take(LONGEST).map(plain);
        format!("{}-{}", self.prefix, record.collect::<String>())
    }
}

/// The number of the day since 1970-01-01, UTC, of a time in nanoseconds.
pub(crate) fn day(time: i64) -> i64 {
    time.div_euclid(NANOSECONDS_A_DAY)
}

/// Appends a day as it stands in the name of an index: `-2026.11.26`.
pub(crate) fn append_day(day: i64, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    ringmill_sdk::render::seconds(day.saturating_mul(86_400), 0, &mut text);
    text.truncate("2026-11-26".len());
    text.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'.');
    out.push(b'-');
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_that_of_utc() {
        let cases = [
            (0, "-1970.01.01"),
            (-1, "-1969.12.31"),
            (86_399_999_999_999, "-1970.01.01"),
            (86_400_000_000_000, "-1970.01.02"),
            (1_764_201_599_999_999_999, "-2025.11.26"),
        ];
        for (time, name) in cases {
            let mut out = Vec::new();
            append_day(day(time), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), name, "{time}");
        }
    }

    #[test]
    fn what_the_store_does_not_take_in_a_name_is_replaced() {
        let cases =
            [("http_request", "a-http_request"), ("Odd Type/1", "a-odd_type_1"), ("\u{e4}", "a-_")];
        let indices = Indices { prefix: "a".into(), per_day: true, data_stream: false };
        for (record, index) in cases {
            assert_eq!(indices.base(record), index, "{record}");
        }
    }
}
