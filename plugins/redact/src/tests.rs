//! The policy from outside: tables of values by option, record batches, secrets at random.

mod batches;
mod naive;
mod secrets;
mod speed;
mod urls;
mod values;
mod words;

use ringmill_sdk::{parse_config, testing::TestHost};

use crate::{
    fields::{Class, Fields},
    hash::Hasher,
    options::Options,
    redactor::Redactor,
};

/// A redactor with these options as TOML.
fn redactor(options: &str) -> Redactor {
    let options: Options = parse_config(options).unwrap();
    Redactor::new(options, &TestHost::new(Some(0)).0).unwrap()
}

/// What the stage puts in the place of a value.
fn hash(value: &str) -> String {
    let (host, _) = TestHost::new(Some(0));
    let mut text = String::new();
    Hasher::new(&host.ephemeral_key("redact")).write(value, &mut text);
    text
}

/// The text with hashes in the place of what stands between `«` and `»`.
fn hashed(text: &str) -> String {
    let mut parts = text.split('«');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = part.split_once('»').unwrap();
        out += &hash(value);
        out += rest;
    }
    out
}

/// What comes out of the value of a column or a field.
fn out_of(redactor: &mut Redactor, column: &str, value: &str) -> Option<String> {
    let class = Fields::new(&[]).unwrap().column(column, false).unwrap();
    out_of_class(redactor, class, value)
}

fn out_of_class(redactor: &mut Redactor, class: Class, value: &str) -> Option<String> {
    let mut to = String::new();
    redactor.write(class, value, &mut to).then_some(to)
}

/// What should come out of the value of a column; `None` for nothing.
type Case<'a> = (&'a str, &'a str, Option<&'a str>);

fn check(options: &str, cases: &[Case<'_>]) {
    let mut redactor = redactor(options);
    for (column, value, expected) in cases {
        let got = out_of(&mut redactor, column, value);
        assert_eq!(got, expected.map(hashed), "{column}: {value} with {options:?}");
    }
}
