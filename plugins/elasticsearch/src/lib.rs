//! The `elasticsearch` sink: every record as a document of Elasticsearch or OpenSearch.
//!
//! ```text
//! {"index":{"_index":"ringmill-http_request-2026.11.26","_id":"0192f5a1-..."}}
//! {"record":"http_request","time":"2026-11-26T02:54:30.191989000Z","src_ip":"203.0.113.7",...}
//! ```
//!
//! Rows go over `_bulk`, in the form of [`ringmill_sdk::json`]. A document's `_id` is the row's
//! `record_id`, so what is sent twice is there once; the column itself is left out of the document.
//! The index is that of the row's own day in UTC, not of today, so a replay finds the same one.
//! Before the first row of a record type an index template gives its columns the right types.
//!
//! A bulk that was answered by 200 may hold rows that were not taken: the status of each is read.
//!
//! | status of a row | what becomes of it |
//! |---|---|
//! | 2xx, or 409 where the row was to be created | it is there |
//! | 401, 403, 404, 408, 429, 5xx, and what says that the cluster is full | sent again, alone; after a few times all since the last flush |
//! | any other, such as 400 for a value that does not fit its type | refused for good, with the store's type of error and the begin of its reason |
//!
//! A store's reason may quote what it could not read, so what it puts in quotes or brackets is cut
//! out, but for names of columns and types. Secrets are read from files, again when the store says
//! that they are wrong, and stand in no message. A redirect is an error: credentials and records go
//! where the config says and nowhere else.

mod answer;
mod bulk;
mod client;
mod index;
mod options;
mod secret;
mod sender;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ringmill_sdk::{json, prelude::*};

use crate::{bulk::Table, client::Client, index::Indices, sender::Sender, template::Templates};

pub use options::{IndexPer, Options};

/// The sink.
#[derive(Debug)]
pub struct Elasticsearch {
    indices: Indices,
    templates: Option<Templates>,
    json: json::Writer,
    tables: Vec<Arc<Table>>,
    sender: Sender,
}

impl Sink for Elasticsearch {
    const NAME: &'static str = "elasticsearch";
    const SUMMARY: &'static str = "sends records to Elasticsearch or OpenSearch";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    const NETWORK: bool = true;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        Ok(Self {
            indices: Indices::new(&options)?,
            templates: options.template.then(|| Templates::new(host)),
            json: json::Writer::default(),
            tables: Vec::new(),
            sender: Sender::new(Client::new(&options, host)?, &options, host)?,
        })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        let table = self.table(records.schema_ref())?;
        let documents = table.documents(records)?;
        let rows = self.json.rows(&documents)?;
        if let Some(templates) = &mut self.templates {
            let put = templates.put(&table, &self.indices, self.sender.client());
            put.inspect_err(|_| self.sender.forget())?;
        }
        let mut actions = table.actions(records, &self.indices);
        for row in 0..records.num_rows() {
            self.sender.push(|out| {
                actions.append(row, out);
                let begin = out.len();
                rows.append(row, out);
                actions.join(begin, out);
            })?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result {
        self.sender.flush()
    }
}

impl Elasticsearch {
    /// What is to be known of a schema; every worker has one of its own, all with the same content.
    fn table(&mut self, schema: &SchemaRef) -> Result<Arc<Table>> {
        if let Some(table) = self.tables.iter().find(|table| table.is_of(schema)) {
            return Ok(Arc::clone(table));
        }
        // A stage that makes a new schema for every batch must not grow this list.
        if self.tables.len() == 64 {
            self.tables.clear();
        }
        let table = Arc::new(Table::new(schema, &self.indices)?);
        self.sender.know(table.columns());
        self.tables.push(Arc::clone(&table));
        Ok(table)
    }
}
