//! Says of each user agent what system and what browser it names.
//!
//! Every record batch with a text column `user_agent` gets five more right behind it; all
//! others pass untouched. What woothee does not know is null. Versions are parts of what the
//! client wrote and so of kind `header`; the other three are of woothee's vocabulary. Woothee takes 1.5 us for a usual
//! text, so each instance remembers what it has parsed; see [`cache`].

mod cache;
mod parsed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ringmill_sdk::{
    arrow_array::{Array, RecordBatch, StringArray},
    arrow_schema::{DataType, Schema, SchemaRef},
    columns::Text,
    prelude::*,
    schema::{Kind, text},
};

use cache::Cache;
use parsed::COLUMNS;

/// The column that is read.
const SOURCE: &str = "user_agent";

/// The most that an operator may ask for: about 3 GiB when every text is as long as it may be.
const MOST_ENTRIES: usize = 1 << 20;

options! {
    /// Options of `[[stage]] use = "user_agent"`.
    pub struct Options {
        /// How many user agents each worker remembers; they take up to 3 KiB each, usually 250 bytes.
        cache: usize = 4096,
    }
}

/// The stage `user_agent`.
pub struct UserAgent {
    cache: Cache,
    /// The schemas that came in, with what they become; a handful at most.
    schemas: Vec<(SchemaRef, Option<Wider>)>,
    columns: [Text; COLUMNS.len()],
    hits: Counter,
    misses: Counter,
}

/// A schema with the five columns.
#[derive(Clone)]
struct Wider {
    schema: SchemaRef,
    /// Where the column to read is; the five come behind it.
    source: usize,
}

impl Stage for UserAgent {
    const NAME: &'static str = "user_agent";
    const SUMMARY: &'static str = "says what system and browser a user agent names";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        if !(2..=MOST_ENTRIES).contains(&options.cache) {
            return Err(Error::config("cache", format!("must be from 2 to {MOST_ENTRIES}")));
        }
        Ok(Self {
            cache: Cache::new(options.cache),
            schemas: Vec::new(),
            columns: Default::default(),
            hits: host.counter("cache.hits"),
            misses: host.counter("cache.misses"),
        })
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let Some(Wider { schema, source }) = self.wider(records.schema_ref()) else {
            return out.emit(records);
        };
        let Some(texts) = records.column(source).as_any().downcast_ref::<StringArray>() else {
            return Err(Error::new("column `user_agent` is not of the type that its schema says"));
        };
        self.parse(texts);
        let mut columns = records.columns().to_vec();
        let rows = records.num_rows();
        let new = self.columns.iter_mut().map(|column| column.finish(rows));
        columns.splice(source + 1..source + 1, new);
        out.emit(RecordBatch::try_new(schema, columns)?)
    }
}

impl UserAgent {
    fn parse(&mut self, texts: &StringArray) {
        let (mut hits, mut misses) = (0, 0);
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            let (parsed, known) = self.cache.parsed(text);
            hits += u64::from(known);
            misses += u64::from(!known);
            for (column, value) in self.columns.iter_mut().zip(parsed.values()) {
                if let Some(value) = value {
                    column.put(row, value);
                }
            }
        }
        self.hits.add(hits);
        self.misses.add(misses);
    }

    /// `None` for what has no such column, or has the new ones already.
    fn wider(&mut self, schema: &SchemaRef) -> Option<Wider> {
        if let Some((_, wider)) = self.schemas.iter().find(|(from, _)| Arc::ptr_eq(from, schema)) {
            return wider.clone();
        }
        let wider = widen(schema);
        // A stage that makes a new schema for every batch must not grow this list.
        if self.schemas.len() == 64 {
            self.schemas.clear();
        }
        self.schemas.push((Arc::clone(schema), wider.clone()));
        wider
    }
}

fn widen(schema: &SchemaRef) -> Option<Wider> {
    let (source, field) = schema.column_with_name(SOURCE)?;
    let has_them = COLUMNS.iter().any(|name| schema.column_with_name(name).is_some());
    if *field.data_type() != DataType::Utf8 || has_them {
        return None;
    }
    let mut fields = schema.fields().to_vec();
    let new = COLUMNS.iter().map(|name| Arc::new(text(name, kind(name))));
    fields.splice(source + 1..source + 1, new);
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    Some(Wider { schema, source })
}

/// Names are of woothee's vocabulary; versions are what a client wrote.
fn kind(column: &str) -> Kind {
    match column.ends_with("_version") {
        true => Kind::Header,
        false => Kind::Text,
    }
}
