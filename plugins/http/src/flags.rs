//! What is to be said of a head: the words of the column `flags`, and how many heads had each.

use ringmill_sdk::{Counter, Host};

/// Declares the flags in the order in which the column names them: a constant, a word, and a
/// sentence for the documentation, which a test compares.
macro_rules! flags {
    ($( $name:ident $word:literal $sentence:literal )*) => {
        /// What is to be said of a head that was read.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Flags(u32);

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of constants")]
        #[derive(Clone, Copy)]
        enum Number { $($name),* }

        impl Flags {
            $( #[doc = $sentence] pub(crate) const $name: Self = Self(1 << Number::$name as u32); )*

            const WORDS: [&'static str; [$($word),*].len()] = [$($word),*];

            #[cfg(test)]
            pub(crate) const TABLE: &'static [(&'static str, &'static str)] =
                &[$(($word, $sentence)),*];
        }
    };
}

flags! {
    TRUNCATED "truncated" "Its end is not there; alone: the capture cut it. The word that it ends in is left out."
    MALFORMED "malformed" "It does not follow RFC 9112 and was read line by line, as far as it is sure; another flag says why."
    BARE_LF "bare_lf" "A line ends in LF without CR; it is taken as a line."
    BARE_CR "bare_cr" "A CR stands inside a line or before another CR; a value ends there."
    NUL "nul" "A byte 0; a field's value ends there."
    CONTROL_BYTE "control_byte" "A control character other than CR, LF, tab and NUL."
    UNKNOWN_METHOD "unknown_method" "The method is not in IANA's registry."
    BAD_TARGET "bad_target" "The request has no target."
    SPACE_IN_TARGET "space_in_target" "White space inside the request target, which is taken with it."
    BAD_VERSION "bad_version" "The version is missing or not HTTP/1.0 or HTTP/1.1."
    BAD_STATUS "bad_status" "The status is not three digits, and null, or not from 100 to 599."
    EXTRA_SPACE "extra_space" "More white space than one space around a word of the first line."
    SPACE_BEFORE_COLON "space_before_colon" "White space between a field's name and the colon; the field is taken."
    BAD_HEADER "bad_header" "A line without a colon, or whose name is not a token; it is not taken."
    FOLDED "folded" "A line begins with white space (obs-fold); it is not taken."
    LONG_LINE "long_line" "A line is longer than 8192 bytes, which common servers refuse."
    TOO_MANY_FIELDS "too_many_headers" "More than 256 fields; the rest is not taken."
    NOT_UTF8 "not_utf8" "A value held bytes that are not UTF-8 and were replaced by U+FFFD."
    INCOMPLETE "incomplete" "It was not completed before its connection ended, lost a segment, was idle or was given up."
    OVERSIZE "oversize" "It is longer than the option `head_bytes`; what lies behind is not taken."
    NO_REQUEST "no_request" "A response whose request was not seen, or of which nobody can tell which it was."
}

impl Flags {
    /// How many there are.
    const COUNT: usize = Self::WORDS.len();

    /// What httparse refuses. A bad status is among it only when it is no number.
    pub(crate) const REFUSED: Self = Self(
        Self::BARE_CR.0
            | Self::NUL.0
            | Self::CONTROL_BYTE.0
            | Self::BAD_TARGET.0
            | Self::SPACE_IN_TARGET.0
            | Self::BAD_VERSION.0
            | Self::EXTRA_SPACE.0
            | Self::SPACE_BEFORE_COLON.0
            | Self::BAD_HEADER.0
            | Self::FOLDED.0,
    );

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Sets them if `so`.
    pub(crate) fn set_if(&mut self, other: Self, so: bool) {
        if so {
            self.set(other);
        }
    }

    /// Whether any of them is set.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of those that are set.
    fn numbers(self) -> impl Iterator<Item = usize> {
        (0..Self::COUNT).filter(move |number| self.0 >> number & 1 != 0)
    }

    /// The words that the `flags` column holds, comma-separated.
    pub(crate) fn write(self, text: &mut String) {
        text.clear();
        for number in self.numbers() {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(Self::WORDS[number]);
        }
    }
}

/// Heads by flag that were not told to the ledger yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    heads: [u64; Flags::COUNT],
    any: bool,
}

impl Tally {
    #[cold]
    pub(crate) fn add(&mut self, flags: Flags) {
        flags.numbers().for_each(|number| self.heads[number] += 1);
        self.any = true;
    }
}

/// The counters `heads.FLAG`, but for the flags that are counted where they are found.
pub(crate) struct Counters(Vec<(usize, Counter)>);

impl Counters {
    pub(crate) fn new(host: &Host) -> Self {
        let elsewhere = Flags(
            Flags::TRUNCATED.0
                | Flags::MALFORMED.0
                | Flags::INCOMPLETE.0
                | Flags::OVERSIZE.0
                | Flags::NO_REQUEST.0,
        );
        let here = Flags(!elsewhere.0).numbers();
        let counter = |number| host.counter(&format!("heads.{}", Flags::WORDS[number]));
        Self(here.map(|number| (number, counter(number))).collect())
    }

    /// Counts what was tallied since the last time.
    pub(crate) fn publish(&self, tally: &mut Tally) {
        if !tally.any {
            return;
        }
        for (number, counter) in &self.0 {
            if tally.heads[*number] > 0 {
                counter.add(tally.heads[*number]);
            }
        }
        *tally = Tally::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_its_sentence_where_people_read() {
        let readme = include_str!("../../../README.md");
        let module = include_str!("lib.rs");
        for (word, sentence) in Flags::TABLE {
            let row = format!("| `{word}` | {sentence} |");
            assert!(readme.lines().any(|line| line == row), "README.md lacks {row}");
            assert!(module.lines().any(|line| line == format!("//! {row}")), "lib.rs lacks {row}");
        }
    }
}
