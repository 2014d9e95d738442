//! The canaries: what must not come out, in every form that a secret has.
//!
//! Each is made from its number and is unlike all others, so that what is found says where it
//! stood.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::search::base64;

/// What a canary looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A user name, which looks like any other word.
    Word,
    Email,
    /// Letters and digits mixed, as the name of a session.
    Token,
    Hex,
    Uuid,
    Jwt,
    /// A telephone or card number.
    Number,
    V4,
    V6,
    /// IPv4 in IPv6, in three ways.
    Mapped,
    SixToFour,
    Nat64,
    /// Every character percent-encoded.
    EncodedToken,
    EncodedEmail,
    EncodedV4,
    /// Only what must be.
    EncodedAt,
    TwiceEncodedAt,
    /// As trackers put addresses of people into URLs.
    HexEmail,
    Base64Email,
    EncodedV6,
    Dashed,
    Reversed,
}

/// In every place.
pub(crate) const EVERYWHERE: &[Form] =
    &[Form::Word, Form::Email, Form::Token, Form::Hex, Form::V4, Form::V6];

/// In turn.
pub(crate) const IN_TURN: &[Form] = &[
    Form::Uuid,
    Form::Jwt,
    Form::Number,
    Form::Mapped,
    Form::SixToFour,
    Form::Nat64,
    Form::EncodedToken,
    Form::EncodedEmail,
    Form::EncodedV4,
    Form::EncodedAt,
    Form::TwiceEncodedAt,
    Form::HexEmail,
    Form::Base64Email,
    Form::EncodedV6,
    Form::Dashed,
    Form::Reversed,
];

/// What is not to be found.
#[derive(Clone, Debug)]
pub(crate) enum Secret {
    /// Text, by any of its parts that nothing else has.
    Text(Vec<String>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// One secret in one place.
#[derive(Debug)]
pub(crate) struct Canary {
    /// Where it stands.
    pub place: String,
    pub form: Form,
    /// As it was sent.
    pub sent: String,
    pub secrets: Vec<Secret>,
}

impl Canary {
    pub(crate) fn new(number: u64, form: Form, place: impl Into<String>) -> Self {
        let text = |parts: &[&str]| Secret::Text(parts.iter().map(|&it| it.to_owned()).collect());
        let (local, domain) =
            (format!("jv{}k", letters(number)), format!("mx{}n", letters(number)));
        let email = format!("{local}@{domain}.example");
        let of_email = || vec![text(&[&local, &domain])];
        let token = token(number, 22);
        let (four, six) = (v4(number), v6(number));
        let [a, b, c, d] = four.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let hex = format!("{:016x}{:016x}", mix(number), mix(number ^ 0xabcd));
        let (sent, secrets) = match form {
            Form::Word => {
                let word = format!("zq{}x", letters(number));
                (word.clone(), vec![text(&[&word])])
            }
            Form::Email => (email, of_email()),
            Form::EncodedEmail => (percent(&email), of_email()),
            Form::EncodedAt => (email.replace('@', "%40"), of_email()),
            Form::TwiceEncodedAt => (email.replace('@', "%2540"), of_email()),
            Form::HexEmail => {
                (email.bytes().map(|byte| format!("{byte:02x}")).collect(), of_email())
            }
            Form::Base64Email => {
                let whole = email.len() / 3 * 3;
                let digits = base64(&email.as_bytes()[..whole], b"-_");
                (String::from_utf8(digits).unwrap(), of_email())
            }
            Form::Token => (token.clone(), parts(&token)),
            Form::EncodedToken => (percent(&token), parts(&token)),
            Form::Hex => (hex.clone(), parts(&hex)),
            Form::Uuid => {
                let [a, b] = [&hex[..8], &hex[20..]];
                let uuid = format!("{a}-{}-4{}-a{}-{b}", &hex[8..12], &hex[12..15], &hex[15..18]);
                (uuid, vec![text(&[a, b])])
            }
            Form::Jwt => {
                let [head, claims] = [1, 2].map(|n| self::token(number ^ (n << 40), 24));
                let jwt = format!("eyJ{head}.eyJ{claims}.{token}");
                (jwt, [parts(&head), parts(&claims), parts(&token)].concat())
            }
            Form::Number => {
                let number = format!("49{:010}", mix(number) % 10_000_000_000);
                (number.clone(), vec![text(&[&number])])
            }
            Form::V4 => (four.to_string(), vec![Secret::V4(four)]),
            Form::EncodedV4 => (percent(&four.to_string()), vec![Secret::V4(four)]),
            Form::Dashed => (format!("ip-{a}-{b}-{c}-{d}"), vec![Secret::V4(four)]),
            Form::Reversed => (format!("{d}.{c}.{b}.{a}.in-addr.arpa"), vec![Secret::V4(four)]),
            Form::V6 => (six.to_string(), vec![Secret::V6(six)]),
            Form::EncodedV6 => (six.to_string().replace(':', "%3A"), vec![Secret::V6(six)]),
            Form::Mapped => (format!("::ffff:{four}"), vec![Secret::V4(four)]),
            Form::SixToFour => {
                let [.., e, f, g, h] = six.segments();
                let six = Ipv6Addr::new(0x2002, high, low, 1, e, f, g, h);
                (six.to_string(), vec![Secret::V4(four), Secret::V6(six)])
            }
            Form::Nat64 => {
                let six = format!("64:ff9b::{high:x}:{low:x}");
                (six.clone(), vec![Secret::V4(four), text(&[&six])])
            }
        };
        Self { place: place.into(), form, sent, secrets }
    }

    /// The canary that an address is which sends or receives packets.
    pub(crate) fn of_packets(number: u64, what: &str) -> (Self, String) {
        let [a, b, c, d] = v4(number).octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let form = [Form::V4, Form::V6, Form::SixToFour, Form::V4, Form::Nat64, Form::Mapped];
        let form = form[usize::try_from(number % 6).unwrap()];
        let canary = Self::new(number, form, what);
        let address = match form {
            Form::Mapped => format!("::ffff:{high:x}:{low:x}"),
            _ => canary.sent.clone(),
        };
        (canary, address)
    }

    /// Whether it is a plain word in the name of a field.
    pub(crate) fn is_word_of_name(&self) -> bool {
        self.form == Form::Word && self.place.contains("{}: a")
    }

    /// Of an e-mail address only the name of the person is to be looked for.
    pub(crate) fn may_show_host(&mut self) {
        let emails = [Form::Email, Form::EncodedEmail, Form::EncodedAt, Form::TwiceEncodedAt];
        if let Some(Secret::Text(parts)) = self.secrets.first_mut()
            && emails.contains(&self.form)
        {
            parts.truncate(1);
        }
    }
}

/// Beginning, middle and end: of what is hashed no part may come out either.
fn parts(text: &str) -> Vec<Secret> {
    let middle = text.len() / 2 - 5;
    let parts = [0, middle, text.len() - 10].map(|at| text[at..at + 10].to_owned());
    vec![Secret::Text(parts.to_vec())]
}

pub(crate) fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Another number for each number (the last steps of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Five letters, other ones for each number below 18^5, and no word of any language.
fn letters(number: u64) -> String {
    const LETTERS: &[u8; 18] = b"bcdfghjklmnprstvwy";
    let spread = number * 1_000_003 % 18_u64.pow(5);
    let letter = |at| char::from(LETTERS[usize::try_from(spread / 18_u64.pow(at) % 18).unwrap()]);
    (0..5).map(letter).collect()
}

fn token(number: u64, length: u64) -> String {
    const DIGITS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let digit = |at| DIGITS[usize::try_from(mix(number << 8 | at) % 62).unwrap()];
    // A digit stands in it, whatever the dice say.
    (0..length).map(|at| char::from(if at == 7 { b'7' } else { digit(at) })).collect()
}

/// Three digits in each number, so that none is the beginning of another.
fn v4(number: u64) -> Ipv4Addr {
    let spread = number * 1_000_003 % 150_u64.pow(3);
    let octet = |n: u64| 100 + u8::try_from(spread / n % 150).unwrap();
    Ipv4Addr::new(171, octet(22_500), octet(150), octet(1))
}

/// Four digits in each group.
fn v6(number: u64) -> Ipv6Addr {
    let (high, low) = (mix(number ^ 0x6666), mix(number ^ 0x7777));
    let group = |of: u64, n: u32| 0x1000 | u16::try_from(of >> (16 * n) & 0xffff).unwrap();
    let [b, c, d] = [2, 1, 0].map(|n| group(high, n));
    let [e, f, g, h] = [3, 2, 1, 0].map(|n| group(low, n));
    Ipv6Addr::new(0x2a0f, b, c, d, e, f, g, h)
}
