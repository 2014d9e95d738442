//! The options of the sink.

use std::path::PathBuf;

use ringmill_sdk::prelude::*;

choice! {
    /// What has an index of its own.
    pub enum IndexPer { Day = "day", None = "none" }
}

options! {
    /// Options of `[[sink]] use = "elasticsearch"`.
    pub struct Options {
        /// The store's addresses, `http://` or `https://`, used in turn; one that fails is left out
        /// for ten seconds.
        urls: Vec<String>,
        /// How the names of indices begin; the record type and the day follow.
        index: String = "ringmill".to_owned(),
        /// An index for each record type and day in UTC, or for each record type.
        index_per: IndexPer = IndexPer::Day,
        /// Data streams instead, one for each record type; `index_per` has no meaning then.
        data_stream: bool = false,
        /// Put an index template with the types of the columns before the first row; one of that
        /// name that others made is left as it is.
        template: bool = true,
        /// The user's name for basic authentication.
        username: Option<String> = None,
        /// The file with the user's password, for its owner only.
        password_file: Option<PathBuf> = None,
        /// The file with an API key, for its owner only: `id:key`, or the same in base64.
        api_key_file: Option<PathBuf> = None,
        /// The certificates, in PEM, that vouch for the store's; not set: those of Mozilla.
        ca_file: Option<PathBuf> = None,
        /// Compress what is sent.
        gzip: bool = true,
        /// The most that a request has, in MiB before it is compressed, 1 to 64.
        bulk_mib: usize = 8,
        /// The most rows that a request has, 1 to 100000.
        bulk_rows: usize = 5000,
        /// Seconds until a request without an answer has failed, 1 to 600.
        timeout_seconds: u64 = 30,
    }
}

impl Options {
    /// Rows and bytes of a request.
    pub(crate) fn bulk(&self) -> Result<(usize, usize)> {
        if !(1..=100_000).contains(&self.bulk_rows) {
            return Err(Error::config("bulk_rows", "must be from 1 to 100000"));
        }
        if !(1..=64).contains(&self.bulk_mib) {
            return Err(Error::config("bulk_mib", "must be from 1 to 64"));
        }
        Ok((self.bulk_rows, self.bulk_mib << 20))
    }
}
