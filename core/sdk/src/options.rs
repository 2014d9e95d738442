//! Options of a stage: one declaration gives the type, the parser, the defaults and the help.
//!
//! A `macro_rules` instead of a derive: the whole mechanism is on this page, costs nothing to
//! compile, and a plugin needs no other crate for it. A stage may as well use any type that
//! implements [`serde::Deserialize`]; it then only lacks the help.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// One option, as `engine stages` shows it.
#[derive(Clone, Copy, Debug)]
pub struct OptionHelp {
    /// The key.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: &'static str,
    /// The default as TOML, empty text for "not set"; `None` where the option is required.
    pub default: Option<fn() -> String>,
    /// What it does, one line.
    pub help: &'static str,
}

/// A type that an option may have.
pub trait OptionValue {
    /// What kind of value it is, in plain words.
    const KIND: &'static str;
    /// The value as it would be written in TOML; empty for "not set".
    fn show(&self) -> String;
}

macro_rules! shown {
    ($kind:literal: $($ty:ty),+) => {$(
        impl OptionValue for $ty {
            const KIND: &'static str = $kind;
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

shown!("true or false": bool);
shown!("whole number": u8, u16, u32, u64, usize);
shown!("number": f64);

impl OptionValue for String {
    const KIND: &'static str = "text";
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

macro_rules! quoted {
    ($kind:literal: $ty:ty) => {
        impl OptionValue for $ty {
            const KIND: &'static str = $kind;
            fn show(&self) -> String {
                format!("\"{self}\"")
            }
        }
    };
}

quoted!("IPv4 address": Ipv4Addr);
quoted!("IPv6 address": Ipv6Addr);

impl OptionValue for PathBuf {
    const KIND: &'static str = "path";
    fn show(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: &'static str = T::KIND;
    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

impl<T: OptionValue> OptionValue for Vec<T> {
    const KIND: &'static str = "list";
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}

/// Declares the options of a stage: a struct whose fields have a doc comment (the help) and a
/// default; a field without a default is required.
///
/// It implements [`serde::Deserialize`], refuses unknown keys, and has a constant `HELP` for
/// [`Stage::OPTIONS`](crate::Stage::OPTIONS).
#[macro_export]
macro_rules! options {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $( $(#[doc = $help:literal])+ $field:ident : $ty:ty $(= $default:expr)? ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $name { $( $(#[doc = $help])+ pub $field: $ty ),* }

        impl $name {
            /// What the options are.
            $vis const HELP: &'static [$crate::OptionHelp] = &[
                $( $crate::OptionHelp {
                    name: stringify!($field),
                    kind: <$ty as $crate::OptionValue>::KIND,
                    default: $crate::options!(@default $ty $(, $default)?),
                    help: concat!($($help),+),
                } ),*
            ];
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                #[derive($crate::serde::Deserialize)]
                #[serde(crate = "ringmill_sdk::serde", deny_unknown_fields)]
                struct Typed { $(
                    #[serde(default = "Option::default")]
                    $field: Option<$ty>
                ),* }
                #[allow(unused_variables, reason = "a stage may have no options")]
                let typed = <Typed as $crate::serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self { $(
                    $field: match typed.$field {
                        Some(value) => value,
                        None => $crate::options!(@absent D, $field $(, $default)?),
                    }
                ),* })
            }
        }
    };
    (@default $ty:ty) => { None };
    (@default $ty:ty, $default:expr) => {
        Some(|| { let value: $ty = $default; $crate::OptionValue::show(&value) })
    };
    (@absent $d:ident, $field:ident) => {
        return Err(<$d::Error as $crate::serde::de::Error>::missing_field(stringify!($field)))
    };
    (@absent $d:ident, $field:ident, $default:expr) => { $default };
}

/// Declares an option that is one of a few words.
///
/// ```
/// ringmill_sdk::choice! {
///     /// How a file is compressed.
///     pub enum Compression { None = "none", Zstd = "zstd" }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $first:ident = $first_word:literal $(, $variant:ident = $word:literal)* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, $crate::serde::Deserialize)]
        #[serde(crate = "ringmill_sdk::serde")]
        #[allow(missing_docs, reason = "the words say it")]
        $vis enum $name {
            #[serde(rename = $first_word)] $first,
            $( #[serde(rename = $word)] $variant ),*
        }

        impl $crate::OptionValue for $name {
            const KIND: &'static str = concat!("\"", $first_word, "\"" $(, " or \"", $word, "\"")*);
            fn show(&self) -> String {
                match self {
                    Self::$first => concat!("\"", $first_word, "\"").to_owned(),
                    $( Self::$variant => concat!("\"", $word, "\"").to_owned() ),*
                }
            }
        }
    };
}

crate::options! {
    /// The options of a stage that has none.
    pub struct NoOptions {}
}
