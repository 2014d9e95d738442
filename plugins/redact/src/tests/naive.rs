//! What is found and what is harmless, against the rules as they are written in `scrub.rs`, one
//! after the other and without tables.

use proptest::{prelude::*, test_runner::RngSeed};

use crate::{
    glance::{Kind, harmless_segments, is_harmless},
    scrub::{Finder, Found},
};

/// A word without escapes, by splitting it.
fn naive(word: &str) -> Option<Found> {
    let words = word.split('@').collect::<Vec<_>>();
    let is_version = |text: &str| {
        let parts: Vec<_> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
        let is_number =
            |it: &&str| (1..5).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_digit());
        parts.iter().all(is_number) && parts.len() < 4
    };
    match words.as_slice() {
        [_] => {}
        [name, version] if !name.is_empty() && is_version(version) => {}
        _ => return Some(Found::Email),
    }
    let joins = |c: char| "-_+~".contains(c);
    let parts = word.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !joins(c));
    parts.into_iter().any(|part| is_token(part, joins)).then_some(Found::Token)
}

fn is_token(part: &str, joins: impl Fn(char) -> bool) -> bool {
    let runs: Vec<_> = part.split(&joins).collect();
    let count = |is: fn(&u8) -> bool, text: &str| text.bytes().filter(is).count();
    let digits = |text: &str| count(u8::is_ascii_digit, text);
    let is_mixed = |run: &&str| run.len() >= 16 && (1..run.len()).contains(&digits(run));
    let joining = runs.len() - 1;
    let small = |byte: u8| byte.is_ascii_lowercase() || byte >= 128;
    let kind = |byte: u8| (small(byte), byte.is_ascii_uppercase());
    let is_strange = |run: &&str| {
        let pairs = run.as_bytes().windows(2).enumerate();
        let changes = pairs.filter(|(at, pair)| {
            let begins = *at == 0 && pair[0].is_ascii_uppercase() && small(pair[1]);
            kind(pair[0]) != kind(pair[1]) && !begins
        });
        let is_size = run.len() <= 9 && run.bytes().all(|b| b.is_ascii_digit() || b == b'x');
        run.len() > 4 && changes.count() > 1 && !is_size
    };
    let humps = part.as_bytes().windows(2);
    let humps = humps.filter(|pair| small(pair[0]) && pair[1].is_ascii_uppercase()).count();
    let strange = humps > 1 || 3 * joining >= part.len() || runs.iter().any(is_strange);
    part.len() >= 9
        && (digits(part) >= 9
            || part.len() - joining >= 16
                && count(u8::is_ascii_hexdigit, part) == part.len() - joining
            || part.starts_with("eyJ")
            || runs.iter().any(|run| run.len() >= 20)
            || runs.iter().any(is_mixed)
            || part.len() >= 20 && strange)
}

/// Texts of what matters: short ones of few bytes, and long ones.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-f0-9]{1,9}",
        4 => "[a-zA-Z]{1,9}",
        2 => "[0-9]{1,10}",
        2 => "[a-zA-Z0-9]{1,20}",
        1 => "[0-9x]{2,9}",
        1 => Just("eyJ".to_owned()),
        1 => "[äöü]{1,9}",
        4 => "[-_+~]{1,2}",
        3 => "[ ./\\\\;=&?#:,]",
        1 => "[@%]|%[0-9a-f]{2}",
        1 => "[ -~]{0,40}",
        1 => "[a-zA-Z0-9]{1,300}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn words(text in texts()) {
        let mut finder = Finder::default();
        for word in std::iter::once(text.as_str()).chain(text.split(['.', '/', ' '])) {
            if !word.contains('%') {
                prop_assert_eq!(finder.find(word), naive(word), "{}", word);
            }
        }
    }

    #[test]
    fn what_is_harmless(text in texts()) {
        let mut finder = Finder::default();
        let kinds = [
            (Kind::VISIBLE, " \t!\"#$&'()*+,-./:;<=>?[\\]^_`{|}~"),
            (Kind::HOST, "-._"),
            (Kind::AGENT_VERSION, " ._+-"),
            (Kind::REASON, " -'"),
            (Kind::MEDIA_TYPE, " \t!\"#$&'()*+,-./:<=>?[\\]^_`{|}~"),
        ];
        for (kind, others) in kinds {
            for text in std::iter::once(text.as_str()).chain(text.split(['/', ' '])) {
                if is_harmless(text, kind) {
                    prop_assert_eq!(finder.find(text), None, "{}", text);
                    let is_of_it = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
                    prop_assert!(text.chars().all(is_of_it), "{}", text);
                }
            }
        }
        let path = harmless_segments(&text);
        let rest = &text[path.len()..];
        prop_assert!(!path.contains(['?', '#', ';', '=', '&', '@', '%']), "{}", text);
        prop_assert!(
            rest.is_empty() || rest.starts_with(['?', '#']) || path.is_empty()
                || path.ends_with(['/', '\\']),
            "{}", text
        );
        for segment in path.split(['/', '\\']) {
            prop_assert_eq!(finder.find(segment), None, "{}", text);
        }
    }
}
