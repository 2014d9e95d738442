//! The `kafka` sink: every record as a message, in one topic for each record type.
//!
//! ```text
//! topic      ringmill.http_request
//! key        16640842252629830877                    `flow`: both directions stay in order
//! time       of the record, in milliseconds
//! headers    manifest   15bf9be376a7cda3             the run that made it
//!            record     http_request
//!            record_id  15bf9be3-76a7-8da3-8000-...  what comes twice has it twice
//! value      {"record":"http_request","time":...}    as a line of the `jsonl` sink
//! ```
//!
//! With `format = "arrow"` a message is a stream of Arrow IPC with as many rows as fit. They are of
//! many connections, so the key is the run's: what one engine sends stays in order, in one
//! partition.
//!
//! A record is acknowledged when the brokers say that all replicas in sync have it (`acks=all`).
//! The producer is idempotent: what librdkafka sends again comes once. What the engine sends
//! again after a failure, or after its own crash, comes twice, with the same `record_id`.
//!
//! We did not use transactions: they would hide what an unfinished one holds from readers that
//! ask for that, at the price of a coordinator's round trip for each flush, and a restarted
//! engine would still send again what it cannot know to be committed.

mod log;
mod messages;
mod options;
mod producer;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rdkafka::ClientConfig;
use ringmill_sdk::prelude::*;

pub use crate::options::{Format, Options, Properties};
use crate::{
    messages::{Columns, Payloads, Text},
    producer::Producer,
};

/// The sink.
pub struct Kafka {
    options: Options,
    config: ClientConfig,
    host: Host,
    payloads: Payloads,
    text: Text,
    /// Made when there is something to send, and again after a failure.
    producer: Option<Producer>,
    messages: Counter,
    bytes: Counter,
}

impl Sink for Kafka {
    const NAME: &'static str = "kafka";
    const SUMMARY: &'static str = "sends records to Apache Kafka, a topic for each record type";
    const NETWORK: bool = true;
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let config = options.client_config()?;
        let payloads = Payloads::new(&options);
        Ok(Self {
            options,
            config,
            host: host.clone(),
            payloads,
            text: Text::default(),
            producer: None,
            messages: host.counter("messages"),
            bytes: host.counter("bytes"),
        })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        self.payloads.make(records)?;
        let columns = Columns::of(records);
        let topic = self.options.topic(schema::record_name(records.schema_ref()));
        let producer = match &mut self.producer {
            Some(producer) => producer,
            None => {
                let timeout = Duration::from_secs(self.options.timeout_seconds);
                self.producer.insert(Producer::new(&self.config, timeout, &self.host)?)
            }
        };
        let mut bytes = 0;
        let result = (0..self.payloads.len()).try_for_each(|n| {
            let message = self.payloads.message(n, &columns, &mut self.text);
            if let Some(why) = message.too_long(self.payloads.most) {
                producer.refuse(&message, why);
                return Ok(());
            }
            bytes += message.payload.len() as u64;
            producer.send(&topic, &message)
        });
        self.messages.add(self.payloads.len() as u64);
        self.bytes.add(bytes);
        self.kept(result)
    }

    fn tick(&mut self, _: Timestamp) -> Result {
        match &mut self.producer {
            Some(producer) => producer.look(),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result {
        let result = self.producer.as_mut().map_or(Ok(()), Producer::flush);
        self.kept(result)
    }
}

impl Kafka {
    /// After a failure all comes again, so what the producer still holds is forgotten with it.
    fn kept(&mut self, result: Result) -> Result {
        if result.as_ref().is_err_and(|error| error.kind() != ringmill_sdk::ErrorKind::Refused) {
            self.producer = None;
        }
        result
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("options", &self.options).finish_non_exhaustive()
    }
}
