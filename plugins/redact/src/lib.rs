//! Chooses what of header fields and URLs comes out: the privacy policy as a stage of its own.
//!
//! It stands behind the stages that take header fields out of packets (`http`) and that read
//! them (`user_agent`), and before the anonymizer, which maps the addresses that are left. It
//! looks at every column of kind `header` or `url` by its name, and at every entry of a map by
//! its key; what it does not know by name does not come out. Each such column is marked with
//! `ringmill.redacted`, without which the engine lets none reach a sink. All other columns pass
//! untouched, and so does a column that another stage has marked.
//!
//! What comes out by default:
//!
//! * header fields that have a column, and a short list of harmless ones (option `headers`); of
//!   all others nothing, on request their names;
//! * of credentials nothing, on request their length or a keyed hash;
//! * of fields that carry a client's address only what is an address;
//! * of fields that name a person nothing, ever;
//! * of URLs host and path as they are, each value of the query as a keyed hash; user
//!   information never;
//! * of entity tags a keyed hash of each;
//! * of a media type the parameters that are known, and a hash of all from another one on;
//! * of the user agent only what the stage `user_agent` made of it;
//! * an e-mail address or a long token anywhere as a keyed hash, and so a value that is longer
//!   or has other characters than its grammar wants; a reason phrase, an HTTP version or a
//!   version of a browser that does not look like one not at all.
//!
//! Equal values have equal hashes under one key, so that a URL that is asked for again can be
//! seen to be the same. See `fields.rs` for the table of names, `url.rs` for the parts of a URL
//! and `scrub.rs` for what is a token.
//!
//! What it does not hide: names of hosts and paths, which say what somebody read; sizes and
//! times; a short secret in a path, which looks like any word. `url = "hash_path"` or `"hash"`
//! is stricter.
//!
//! Counters, in values: `credentials`, `client_addresses` (of which something did not come
//! out), `persons`, `unlisted`, `user_agents`; `url_parts` and `entity_tags` that were hashed or
//! dropped; `scrubbed.emails`, `scrubbed.tokens`, `scrubbed.odd`.

mod batch;
mod fields;
mod fresh;
mod glance;
mod hash;
mod memo;
mod methods;
mod options;
mod redactor;
mod scrub;
mod tally;
#[cfg(test)]
mod tests;
mod url;
mod values;

use ringmill_sdk::{by_epoch, key::Epoch, prelude::*};

use batch::Columns;
pub use options::Options;

/// The stage `redact`.
pub struct Redact {
    columns: Columns,
    epoch: Option<Epoch>,
}

impl Stage for Redact {
    const NAME: &'static str = "redact";
    const SUMMARY: &'static str = "chooses what of header fields and URLs comes out";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        host.describe(methods::of(&options));
        Ok(Self { columns: Columns::new(options, host)?, epoch: host.epoch() })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Self { columns, epoch } = self;
        by_epoch(*epoch, records, |period, records| out.emit(columns.redact(period, records)?))
    }

    fn tick(&mut self, now: Timestamp, _: &mut Output<'_>) -> Result {
        self.columns.tick(now);
        Ok(())
    }
}
