//! What of one value comes out.

use ringmill_sdk::{
    Host, Result, is_registered_method,
    key::{Current, Ephemeral, Schedule},
};

use crate::{
    fields::Class,
    glance::{Kind, is_harmless},
    hash::Hasher,
    options::{Agent, Credentials, Options},
    scrub::{Finder, Found},
    tally::{Did, Tally},
    url::{is_plain_host, split},
    values::{is_date, is_usual_date},
};

/// The longest value of a small grammar, in bytes.
const LONGEST_TEXT: usize = 256;
/// The longest user agent, in bytes.
const LONGEST_AGENT: usize = 1024;
/// The longest reason phrase, in bytes; of those that are registered one has 31.
const LONGEST_REASON: usize = 64;
/// The longest version of a system or a browser, in bytes.
const LONGEST_VERSION: usize = 32;

/// The parameters of a media type whose values come out.
const MEDIA_PARAMETERS: &[&str] = &["", "charset", "codecs", "level", "q", "version"];

/// Decides value by value; the methods write what comes out.
pub(crate) struct Redactor {
    pub policy: Options,
    /// Of the epoch whose rows are looked at.
    pub hasher: Current<Hasher>,
    pub tally: Tally,
    pub finder: Finder,
}

impl Redactor {
    pub(crate) fn new(policy: Options, host: &Host) -> Result<Self> {
        let key = policy.key.or(policy.key_file.is_none().then_some(Ephemeral));
        let keys = Schedule::new(policy.key_file.as_deref(), key, host, "redact")?;
        Ok(Self {
            policy,
            hasher: Current::new(keys, host, |key| Ok(Hasher::new(key)))?,
            tally: Tally::new(host),
            finder: Finder::default(),
        })
    }

    /// What is counted for a value of a class of which nothing comes out; `None` where something
    /// may.
    pub(crate) fn drops(&self, class: Class) -> Option<Did> {
        match class {
            Class::Person => Some(Did::Person),
            Class::Agent if self.policy.user_agent == Agent::Parsed => Some(Did::Agent),
            Class::Credential if self.policy.credentials == Credentials::Drop => {
                Some(Did::Credential)
            }
            _ => None,
        }
    }

    /// Writes what comes out of a value; `false` when nothing does.
    pub(crate) fn write(&mut self, class: Class, value: &str, to: &mut String) -> bool {
        if let Some(did) = self.drops(class) {
            self.tally.add(did);
            return false;
        }
        match class {
            Class::Person => return false,
            Class::Credential => self.credential(value, to),
            Class::Address => return self.client_addresses(value, to),
            Class::Url => self.url(self.policy.url, value, to),
            Class::Referer => self.url(self.policy.referer, value, to),
            Class::Location => self.url(self.policy.location, value, to),
            Class::Links => self.links(value, to),
            Class::Host => self.host(value, to),
            Class::Tags => self.tags(value, to),
            Class::Agent => self.text(value, LONGEST_AGENT, false, to),
            Class::AgentVersion => return self.agent_version(value, to),
            Class::Method => self.method(value, to),
            Class::Reason => return self.reason(value, to),
            Class::Version => return self.version(value, to),
            Class::Directives => self.text(value, LONGEST_TEXT, true, to),
            Class::Date if is_date(value) || matches!(value, "0" | "-1") => to.push_str(value),
            Class::Ranges if is_ranges(value) => to.push_str(value),
            Class::Date | Class::Ranges => self.keep_or_hash(value, to),
            Class::MediaType => self.media_type(value, to),
            Class::Text => self.text(value, LONGEST_TEXT, false, to),
        }
        true
    }

    /// Writes the hash of a value; nothing while there is no key.
    pub(crate) fn hash(&mut self, value: &str, to: &mut String) {
        if let Some(hasher) = self.hasher.get() {
            hasher.write(value, to);
        }
    }

    /// The name of a field that is on no list. The stages behind look for addresses in values
    /// only, so one that could be an address is hashed: it has four digits, or other characters
    /// than names have.
    pub(crate) fn name(&mut self, name: &str, to: &mut String) {
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        match is_name && digits < 4 || !self.policy.scrub {
            true => _ = self.word(name, to),
            false => self.odd(name, to),
        }
    }

    fn credential(&mut self, value: &str, to: &mut String) {
        self.tally.add(Did::Credential);
        match self.policy.credentials {
            Credentials::Drop => {}
            Credentials::Length => write_length(value, to),
            Credentials::Hash => self.hash(value, to),
        }
    }

    fn method(&mut self, value: &str, to: &mut String) {
        if is_registered_method(value.as_bytes()) || !self.policy.scrub {
            return to.push_str(value);
        }
        self.odd(value, to);
    }

    fn reason(&mut self, value: &str, to: &mut String) -> bool {
        let is_phrase = value.len() <= LONGEST_REASON
            && value.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b' ' | b'-' | b'\''))
            && value.split(' ').all(|word| self.finder.find(word).is_none());
        self.keep(is_phrase, value, to)
    }

    fn version(&mut self, value: &str, to: &mut String) -> bool {
        self.keep(is_version(value), value, to)
    }

    fn agent_version(&mut self, value: &str, to: &mut String) -> bool {
        let is_version = value.len() <= LONGEST_VERSION
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._+-".contains(&b))
            && value.split(' ').all(|word| self.finder.find(word).is_none());
        self.keep(is_version, value, to)
    }

    /// A value that does not look as its grammar says.
    fn keep_or_hash(&mut self, value: &str, to: &mut String) {
        match self.policy.scrub {
            true => self.odd(value, to),
            false => to.push_str(value),
        }
    }

    /// The type and the parameters that are known. The first other one, which may say what a
    /// file is called or where its parts end, is hashed with all behind it, because its value
    /// may be quoted and hold whatever divides parameters.
    fn media_type(&mut self, value: &str, to: &mut String) {
        let (media_type, mut rest) = split(value, |b| b == b';');
        self.text(media_type, LONGEST_TEXT, false, to);
        while !rest.is_empty() {
            let (parameter, after) = split(&rest[1..], |b| b == b';');
            let name = split(parameter, |b| b == b'=').0.trim_ascii();
            to.push(';');
            if !MEDIA_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return self.keep_or_hash(&rest[1..], to);
            }
            self.text(parameter, LONGEST_TEXT, false, to);
            rest = after;
        }
    }

    fn keep(&mut self, is_good: bool, value: &str, to: &mut String) -> bool {
        if is_good || !self.policy.scrub {
            to.push_str(value);
            return true;
        }
        self.tally.add(Did::Odd);
        false
    }

    /// Words of a small grammar, each looked at by itself. With `numbers` a longer number may
    /// stand behind a `=`, for how many seconds.
    pub(crate) fn text(&mut self, value: &str, longest: usize, numbers: bool, to: &mut String) {
        if !self.policy.scrub {
            return to.push_str(value);
        }
        if is_plain_text(value, longest) {
            return to.push_str(value);
        }
        if value.len() > longest || !value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
            return self.odd(value, to);
        }
        let (mut rest, mut last) = (value, b' ');
        while let Some(&first) = rest.as_bytes().first() {
            let inside = WORD[usize::from(first)];
            let end = rest.bytes().position(|b| WORD[usize::from(b)] != inside);
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            let is_number = numbers && last == b'=' && is_number(part);
            if inside && !is_number {
                self.word(part, to);
            } else {
                to.push_str(part);
            }
            last = part.as_bytes().last().copied().unwrap_or(last);
            rest = after;
        }
    }

    /// A word as it is, or its hash when something was found in it.
    pub(crate) fn word(&mut self, word: &str, to: &mut String) -> bool {
        let found = if self.policy.scrub { self.finder.find(word) } else { None };
        match found {
            None => to.push_str(word),
            Some(found) => {
                self.tally.add(match found {
                    Found::Email => Did::Email,
                    Found::Token => Did::Token,
                });
                self.hash(word, to);
            }
        }
        found.is_some()
    }

    /// What does not look as it should.
    pub(crate) fn odd(&mut self, value: &str, to: &mut String) {
        self.tally.add(Did::Odd);
        self.hash(value, to);
    }
}

/// Whether a value looks as almost all of its class do, and so comes out as it is by every
/// policy. What is not plain may still come out as it is.
#[inline]
pub(crate) fn is_plain(class: Class, value: &str) -> bool {
    match class {
        Class::Host => is_plain_host(value),
        Class::AgentVersion => {
            value.len() <= LONGEST_VERSION && is_harmless(value, Kind::AGENT_VERSION)
        }
        Class::Reason => value.len() <= LONGEST_REASON && is_harmless(value, Kind::REASON),
        Class::Method => is_registered_method(value.as_bytes()),
        Class::Version => is_version(value),
        Class::Directives | Class::Text => is_plain_text(value, LONGEST_TEXT),
        Class::Date => is_usual_date(value.as_bytes()),
        Class::MediaType => value.len() <= LONGEST_TEXT && is_harmless(value, Kind::MEDIA_TYPE),
        _ => false,
    }
}

/// Whether it is text in which nothing can be found.
#[inline]
fn is_plain_text(value: &str, longest: usize) -> bool {
    value.len() <= longest && is_harmless(value, Kind::VISIBLE)
}

/// `HTTP/1.1`
fn is_version(value: &str) -> bool {
    matches!(value.as_bytes(), [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// What is left of a value of which only the length may be known.
pub(crate) fn write_length(value: &str, to: &mut String) {
    to.push_str(&format!("[{} bytes]", value.len()));
}

/// Seconds: RFC 9111, section 1.2.2 wants ten digits at most.
fn is_number(text: &str) -> bool {
    text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_ranges(value: &str) -> bool {
    let numbers = value.strip_prefix("bytes").unwrap_or(value);
    value.len() <= LONGEST_TEXT
        && numbers.bytes().all(|b| b.is_ascii_digit() || b" ,-/*=".contains(&b))
}

/// Bytes of a word in a text; all others divide words.
static WORD: [bool; 256] = {
    let mut word = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        word[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"!#$%&'*+-.@^_`|~";
    while let [byte, rest @ ..] = others {
        word[*byte as usize] = true;
        others = rest;
    }
    word
};
