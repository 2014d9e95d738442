//! The fields of one head that have no column of their own.

use ringmill_sdk::columns::TextMap;

use crate::{
    columns::Value,
    fields::Field,
    text::Checked,
    url::{links_without_userinfo, without_userinfo},
};

/// The fields of one head without a column, in their order.
#[derive(Debug, Default)]
pub(crate) struct Extras<'a> {
    entries: Vec<Entry<'a>>,
    /// All names in lower case, one behind the other.
    names: String,
    /// Numbers of entries, by name: see [`chain`](Self::chain).
    order: Vec<u32>,
    value: String,
}

#[derive(Debug)]
struct Entry<'a> {
    /// Where its name begins and ends in `names`.
    name: (u32, u32),
    value: &'a [u8],
    show: Show,
    /// The next entry of this name.
    next: Option<u32>,
    /// There is one of this name before.
    repeats: bool,
}

#[derive(Clone, Copy, Debug)]
enum Show {
    Clear,
    Url { cut: bool },
    Links { cut: bool },
}

/// Below this many, comparing each with each is the fastest way to find a name twice.
const FEW: usize = 12;

impl<'a> Extras<'a> {
    /// Adds a field; `known` is what the table says of it.
    #[inline]
    pub(crate) fn push(&mut self, name: &str, value: &'a [u8], known: Option<Field>, cut: bool) {
        let begin = self.names.len();
        self.names.push_str(name);
        self.names[begin..].make_ascii_lowercase();
        let show = match known {
            Some(Field::Url) => Show::Url { cut },
            // What stays out of the column stays out of here too.
            Some(Field::Column(column)) => match column.value() {
                Value::Url | Value::Authority => Show::Url { cut },
                Value::Links => Show::Links { cut },
                Value::Text | Value::Number => Show::Clear,
            },
            None => Show::Clear,
        };
        // Heads are shorter than 4 GiB by far: `head::MAX_HEAD`.
        let at = |at| u32::try_from(at).unwrap_or(u32::MAX);
        let name = (at(begin), at(self.names.len()));
        self.entries.push(Entry { name, value, show, next: None, repeats: false });
    }

    /// Writes the entries of a row, those of one name joined by `, ` (RFC 9110, section 5.3).
    /// Whether bytes had to be replaced because they are not UTF-8.
    #[inline]
    pub(crate) fn write(&mut self, head: Checked<'a>, to: &mut TextMap) -> bool {
        let mut replaced = false;
        if self.repeats() {
            return self.write_joined(to);
        }
        for entry in &self.entries {
            match (entry.show, head.text(entry.value)) {
                (Show::Clear, Some(value)) => to.put(name(&self.names, entry), value),
                _ => {
                    self.value.clear();
                    replaced |= append(&mut self.value, entry);
                    to.put(name(&self.names, entry), &self.value);
                }
            }
        }
        replaced
    }

    /// Whether a name may be there twice.
    #[inline]
    fn repeats(&self) -> bool {
        let twice = |(at, entry)| {
            let before: &[Entry<'_>] = &self.entries[..at];
            let this = name(&self.names, entry);
            before.iter().any(|other| name(&self.names, other) == this)
        };
        self.entries.len() > FEW || self.entries.iter().enumerate().any(twice)
    }

    #[cold]
    fn write_joined(&mut self, to: &mut TextMap) -> bool {
        self.chain();
        let mut replaced = false;
        for first in self.entries.iter().filter(|entry| !entry.repeats) {
            self.value.clear();
            replaced |= append(&mut self.value, first);
            let mut next = first.next;
            while let Some(entry) = next.and_then(|at| self.entries.get(at as usize)) {
                self.value.push_str(", ");
                replaced |= append(&mut self.value, entry);
                next = entry.next;
            }
            to.put(name(&self.names, first), &self.value);
        }
        replaced
    }

    /// Links the entries of each name. By sorting, because comparing each with each would let
    /// a hostile head cost the square of its length.
    fn chain(&mut self) {
        let Self { entries, names, order, .. } = self;
        order.clear();
        order.extend((0u32..).zip(entries.iter()).map(|(at, _)| at));
        order.sort_unstable_by(|a, b| {
            let key = |at: &u32| (name(names, &entries[*at as usize]), *at);
            key(a).cmp(&key(b))
        });
        for pair in order.windows(2) {
            let (a, b) = (pair[0] as usize, pair[1] as usize);
            if name(names, &entries[a]) == name(names, &entries[b]) {
                entries[a].next = Some(pair[1]);
                entries[b].repeats = true;
            }
        }
    }

    /// Empty, in the same memory, free of the borrow of the old head.
    #[inline]
    pub(crate) fn for_another<'b>(self) -> Extras<'b> {
        let Self { mut entries, mut names, order, value } = self;
        entries.clear();
        names.clear();
        // Collecting a Vec's own iterator reuses its memory.
        let entries = entries.into_iter().map(|_| unreachable!("it was cleared")).collect();
        Extras { entries, names, order, value }
    }
}

#[inline]
fn name<'n>(names: &'n str, entry: &Entry<'_>) -> &'n str {
    names.get(entry.name.0 as usize..entry.name.1 as usize).unwrap_or_default()
}

/// Whether bytes had to be replaced.
fn append(text: &mut String, entry: &Entry<'_>) -> bool {
    match entry.show {
        Show::Clear => append_utf8(text, entry.value),
        Show::Url { cut } => {
            let (before, after) = without_userinfo(entry.value, cut);
            append_utf8(text, before) | append_utf8(text, after)
        }
        Show::Links { cut } => match links_without_userinfo(entry.value, cut) {
            Some(links) => append_utf8(text, &links),
            None => append_utf8(text, entry.value),
        },
    }
}

fn append_utf8(text: &mut String, bytes: &[u8]) -> bool {
    let mut replaced = false;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            replaced = true;
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise every head would allocate.
    #[test]
    fn memory_is_kept_from_head_to_head() {
        let mut extras = Extras::default();
        for at in 0..5 {
            extras.push("Name", b"value", None, at == 4);
        }
        let place = |extras: &Extras<'_>| (extras.entries.as_ptr().addr(), extras.names.as_ptr());
        let before = (place(&extras), extras.entries.capacity());
        let extras: Extras<'static> = extras.for_another();
        assert_eq!((place(&extras), extras.entries.capacity()), before);
        assert!(extras.entries.is_empty() && extras.names.is_empty());
    }
}
