//! What the operator can choose; the defaults are strict.

use std::path::PathBuf;

use ringmill_sdk::{
    OptionValue,
    key::{self, Key},
    prelude::*,
    serde,
};

use crate::fields::HARMLESS;

options! {
    /// Options of `[[stage]] use = "redact"`.
    pub struct Options {
        /// Header fields that come out besides those that have a column; "*" for all. Credentials, clients' addresses and names of persons never come out by this list.
        headers: Vec<String> = HARMLESS.iter().map(|&name| name.to_owned()).collect(),
        /// The names of all other fields come out too, with a null value.
        names: bool = false,
        /// Cookie, Set-Cookie, Authorization, Proxy-Authorization and their kin.
        credentials: Credentials = Credentials::Drop,
        /// X-Forwarded-For, Forwarded and their kin; "addresses": what is one comes out, for the anonymizer behind to map, all else as `unknown`.
        client_addresses: ClientAddresses = ClientAddresses::Addresses,
        /// Request targets; "hash_query": each value of the query is hashed, names stay; "hash_path": path and query are hashed, the host stays; "hash": all of it.
        url: Urls = Urls::HashQuery,
        /// Referer and Origin, as `url`.
        referer: Urls = Urls::HashQuery,
        /// Location, Content-Location and Destination, as `url`.
        location: Urls = Urls::HashQuery,
        /// The targets of Link, as `url`.
        link: Urls = Urls::HashQuery,
        /// Each tag of ETag, If-None-Match, If-Match and If-Range.
        etag: Tags = Tags::Hash,
        /// "parsed": only the columns that the stage `user_agent` made of it.
        user_agent: Agent = Agent::Parsed,
        /// E-mail addresses and long tokens are hashed wherever they stand, and values that do not look as their grammar says.
        scrub: bool = true,
        /// File with the key of the hashes, 64 hex digits or 32 bytes, readable by its owner only; without it they differ from run to run.
        key_file: Option<PathBuf> = None,
        /// "ephemeral": a key that dies with the process, as without `key_file`.
        key: Option<Ephemeral> = None,
    }
}

choice! {
    /// What comes out of a credential.
    pub enum Credentials { Drop = "drop", Length = "length", Hash = "hash" }
}

choice! {
    /// What comes out of a field that carries a client's address.
    pub enum ClientAddresses { Addresses = "addresses", Drop = "drop", Length = "length" }
}

choice! {
    /// What comes out of a URL.
    pub enum Urls {
        Full = "full",
        NoQuery = "no_query",
        HashQuery = "hash_query",
        HashPath = "hash_path",
        Hash = "hash",
    }
}

choice! {
    /// What comes out of an entity tag.
    pub enum Tags { Full = "full", Hash = "hash" }
}

choice! {
    /// What comes out of a user agent.
    pub enum Agent { Full = "full", Parsed = "parsed" }
}

/// The only word that `key` may be.
///
/// Not `choice!`, whose error repeats what was written: that may well be somebody's key.
#[derive(Debug, serde::Deserialize)]
#[serde(crate = "ringmill_sdk::serde", try_from = "String")]
pub struct Ephemeral;

impl TryFrom<String> for Ephemeral {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, &'static str> {
        match word.as_str() {
            "ephemeral" => Ok(Self),
            _ => Err("may only be \"ephemeral\"; a key of your own goes into a file: \
                      `key_file = \"...\"`"),
        }
    }
}

impl OptionValue for Ephemeral {
    const KIND: &'static str = "\"ephemeral\"";

    fn show(&self) -> String {
        Self::KIND.to_owned()
    }
}

impl Options {
    /// The key of the hashes.
    pub(crate) fn key(&self, host: &Host) -> Result<Key> {
        match (&self.key_file, &self.key) {
            (Some(_), Some(_)) => {
                Err(Error::config("key", "`key_file` and `key` are both set; keep one"))
            }
            (Some(path), None) => key::read(path),
            (None, _) => Ok(host.ephemeral_key("redact")),
        }
    }
}
