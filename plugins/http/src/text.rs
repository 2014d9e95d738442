//! Text out of a head, checked once.

/// A head that is UTF-8 from its first byte to its last.
///
/// Checking it whole and then finding its parts in it takes a third of the time of checking
/// each part, and is as safe: a part that does not lie between characters of it is not found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked<'a>(&'a str);

impl<'a> Checked<'a> {
    /// Nothing is found in it if `head` is not UTF-8.
    #[inline]
    pub(crate) fn new(head: &'a [u8]) -> Self {
        Self(std::str::from_utf8(head).unwrap_or_default())
    }

    /// The part as text; it is found by its place in memory, not by what it says.
    #[inline]
    pub(crate) fn find(self, part: &[u8]) -> Option<&'a str> {
        let begin = part.as_ptr().addr().wrapping_sub(self.0.as_ptr().addr());
        self.0.get(begin..begin.checked_add(part.len())?)
    }

    /// The part as text, whether it was checked before or not.
    #[inline]
    pub(crate) fn text<'p>(self, part: &'p [u8]) -> Option<&'p str>
    where
        'a: 'p,
    {
        self.find(part).or_else(|| std::str::from_utf8(part).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_their_place() {
        let memory = "before h\u{e9}ad after".as_bytes();
        let head = Checked::new(&memory[7..12]);
        let elsewhere = String::from("ad");
        let cases = [
            ("all of it", &memory[7..12], Some("h\u{e9}ad")),
            ("its beginning", &memory[7..8], Some("h")),
            ("its end", &memory[10..12], Some("ad")),
            ("nothing, at its end", &memory[12..12], Some("")),
            ("half a character", &memory[7..9], None),
            ("more than it", &memory[7..13], None),
            ("before it", &memory[6..8], None),
            ("behind it", &memory[13..14], None),
            ("the same text elsewhere", elsewhere.as_bytes(), None),
        ];
        for (what, part, expected) in cases {
            assert_eq!(head.find(part), expected, "{what}");
        }
        assert_eq!(Checked::new(b"a\xff").find(b"a"), None, "not UTF-8 as a whole");
        assert_eq!(Checked::new(b"a\xff").text(b"a"), Some("a"), "UTF-8 in itself");
    }
}
