//! "Did you mean": the allowed name nearest to the one that was typed.
//!
//! True Damerau-Levenshtein, because the commonest slip of a hurried hand is two letters
//! swapped (`form` for `from`), which plain Levenshtein counts as two mistakes.

/// The candidate that `typed` most likely stands for, if one is near enough to be worth naming.
///
/// Case and `-` against `_` do not count as mistakes. Short names tolerate one mistake, longer
/// ones two: with two, every name of three letters would resemble every other. A beginning of
/// at least three letters that fits one candidate only (`promisc`) counts as near, too.
pub(super) fn nearest<'a>(typed: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let plain = normal(typed);
    let limit = if plain.chars().count() < 6 { 1 } else { 2 };
    let near = candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &normal(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, candidate)) = near {
        return Some(candidate);
    }
    let mut begun = candidates
        .iter()
        .filter(|candidate| plain.len() >= 3 && normal(candidate).starts_with(&plain));
    match (begun.next(), begun.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace('-', "_")
}

/// The second half of an "unknown" message: the near name, or else all there are.
///
/// `what` names the candidates in the plural with their article: `the keys here`.
pub(super) fn advice(typed: &str, candidates: &[&str], what: &str) -> String {
    match nearest(typed, candidates) {
        Some(name) => format!("did you mean `{name}`?"),
        None if candidates.is_empty() => format!("{what}: none"),
        None => format!("{what}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_is_what_a_hand_slips_to() {
        let keys = &["from", "files", "interface", "promiscuous", "when_full", "use"];
        let cases = [
            ("form", Some("from")),
            ("file", Some("files")),
            ("interfce", Some("interface")),
            ("inetrfaces", Some("interface")),
            ("Interface", Some("interface")),
            ("when-full", Some("when_full")),
            ("whenfull", Some("when_full")),
            ("promisc", Some("promiscuous")),
            ("uses", Some("use")),
            ("us", Some("use")),
            ("fuse", Some("use")),
            ("abc", None),
            ("", None),
            ("interlude", None),
            ("größe", None),
        ];
        for (typed, wanted) in cases {
            assert_eq!(nearest(typed, keys), wanted, "{typed:?}");
        }
    }
}
