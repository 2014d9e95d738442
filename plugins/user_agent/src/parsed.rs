//! What woothee finds in a user agent, in one piece of memory.

use woothee::{parser::Parser, woothee::VALUE_UNKNOWN};

/// The columns, in the order of [`Parsed::values`].
pub(crate) const COLUMNS: [&str; 5] = [
    "user_agent_os_name",
    "user_agent_os_version",
    "user_agent_device_type",
    "user_agent_browser_name",
    "user_agent_browser_version",
];

/// The most of a user agent that is parsed, in bytes. Longer ones do exist, and what they say
/// of the system and the browser they say in front.
pub(crate) const LONGEST: usize = 1024;

/// The values of the five columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// All values, one behind the other.
    text: Box<str>,
    /// Where each value ends; a value that is not known is empty.
    ends: [u16; COLUMNS.len()],
}

impl Parsed {
    /// Of a text that is at most [`LONGEST`] bytes.
    pub(crate) fn new(user_agent: &str) -> Self {
        let Some(found) = Parser::new().parse(user_agent) else { return Self::default() };
        let values = [found.os, &found.os_version, found.category, found.name, found.version];
        let mut text = String::new();
        let ends = values.map(|value| {
            if value != VALUE_UNKNOWN {
                text.push_str(value);
            }
            // Versions are parts of the user agent and the names are woothee's own, so this
            // holds; and if not, the values end early.
            u16::try_from(text.len()).unwrap_or(u16::MAX)
        });
        Self { text: text.into(), ends }
    }

    /// In the order of [`COLUMNS`]; `None` where nothing is known.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&str>> {
        let mut begin = 0;
        self.ends.iter().map(move |&end| {
            let value = self.text.get(usize::from(begin)..usize::from(end));
            begin = end;
            value.filter(|value| !value.is_empty())
        })
    }
}

/// The part of a user agent that is parsed.
pub(crate) fn cut(user_agent: &str) -> &str {
    if user_agent.len() <= LONGEST {
        return user_agent;
    }
    let end = (0..=LONGEST).rev().find(|&at| user_agent.is_char_boundary(at));
    &user_agent[..end.unwrap_or(0)]
}
