//! The options, and what librdkafka is told of them.

use std::collections::BTreeMap;

use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseProducer, DefaultProducerContext},
};
use ringmill_sdk::{Error, OptionValue, Result, choice, options, serde::Deserialize};

choice! {
    /// What a message holds.
    pub enum Format { Json = "json", Arrow = "arrow" }
}

options! {
    /// Options of `[[sink]] use = "kafka"`.
    pub struct Options {
        /// Brokers to ask first, as `host:port` with commas between.
        brokers: String,
        /// The topic of a record type is called `PREFIX.TYPE`.
        topic_prefix: String = "ringmill".to_owned(),
        /// "json": a message for every record; "arrow": a stream of Arrow IPC for as many as fit.
        format: Format = Format::Json,
        /// How long the brokers may take nothing until all since the last acknowledgement is
        /// sent again.
        timeout_seconds: u64 = 30,
        /// Any properties of librdkafka's producer, by its names, such as
        /// `compression.type = "lz4"`.
        librdkafka: Properties = Properties::default(),
    }
}

/// Properties by librdkafka's names. `sasl.mechanism = "PLAIN"` and
/// `"sasl.mechanism" = "PLAIN"` are the same.
#[derive(Clone, Default, Deserialize)]
#[serde(crate = "ringmill_sdk::serde", transparent)]
pub struct Properties(BTreeMap<String, Value>);

#[derive(Clone, Deserialize)]
#[serde(
    crate = "ringmill_sdk::serde",
    untagged,
    expecting = "a property of librdkafka is text, a number, true or false"
)]
enum Value {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    Group(BTreeMap<String, Self>),
}

impl OptionValue for Properties {
    const KIND: &'static str = "table";
    /// Nothing: it may hold passwords, and the default is empty.
    fn show(&self) -> String {
        String::new()
    }
}

impl std::fmt::Debug for Properties {
    /// Only the names: values may be passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.flat().keys()).finish()
    }
}

impl Properties {
    /// One name for each, with the dots that TOML takes for tables.
    fn flat(&self) -> BTreeMap<String, String> {
        let mut flat = BTreeMap::new();
        flatten("", &self.0, &mut flat);
        flat
    }
}

fn flatten(above: &str, group: &BTreeMap<String, Value>, flat: &mut BTreeMap<String, String>) {
    for (name, value) in group {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let text = match value {
            Value::Flag(flag) => flag.to_string(),
            Value::Whole(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Group(inner) => {
                flatten(&name, inner, flat);
                continue;
            }
        };
        flat.insert(name, text);
    }
}

/// What the sink sets itself or cannot keep its word with, and what to do instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "name them with `brokers`"),
    ("metadata.broker.list", "name them with `brokers`"),
    ("delivery.report.only.error", "the sink waits for every report"),
    ("transactional.id", "the sink has no transactions; see `record_id` for what comes twice"),
];

/// librdkafka's own default, in bytes.
const MESSAGE_MAX: usize = 1_000_000;
/// The longest name of a topic.
const TOPIC_MAX: usize = 249;

impl Options {
    /// The configuration of a producer, which librdkafka has looked at.
    pub(crate) fn client_config(&self) -> Result<ClientConfig> {
        self.check_names()?;
        let given = self.librdkafka.flat();
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Notice);
        let defaults = [
            ("client.id", "ringmill"),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "zstd"),
        ];
        for (name, value) in defaults {
            // What another name means, too, must not be set twice.
            let alias = match name {
                "acks" => "request.required.acks",
                "compression.type" => "compression.codec",
                _ => name,
            };
            if !given.contains_key(alias) {
                config.set(name, value);
            }
        }
        for (name, value) in &given {
            let path = format!("librdkafka.{name}");
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(Error::config(path, format!("cannot be set here; {instead}")));
            }
            if matches!(name.as_str(), "acks" | "request.required.acks") && value == "0" {
                let text = "with 0 no broker says that it has a record; use \"all\"";
                return Err(Error::config(path, text));
            }
            if name == "debug" {
                config.set_log_level(RDKafkaLogLevel::Debug);
            }
            config.set(name, value);
        }
        let created: Result<BaseProducer<DefaultProducerContext>, _> = config.create();
        created.map_err(|error| told(&error))?;
        // Only now, so that nothing was connected to.
        config.set("bootstrap.servers", &self.brokers);
        Ok(config)
    }

    /// How many bytes a message may have.
    pub(crate) fn message_max(&self) -> usize {
        let given = self.librdkafka.flat();
        let given = given.get("message.max.bytes").and_then(|text| text.parse().ok());
        given.unwrap_or(MESSAGE_MAX)
    }

    fn check_names(&self) -> Result {
        let is_broker = |broker: &str| {
            let address = broker.split_once("://").map_or(broker, |(_, address)| address);
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, port),
                _ => (address, "9092"),
            };
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if let Some(wrong) = self.brokers.split(',').map(str::trim).find(|it| !is_broker(it)) {
            let text = format!("`{wrong}` is no broker; write `host:port`, commas between several");
            return Err(Error::config("brokers", text));
        }
        let prefix = &self.topic_prefix;
        let fits = prefix.bytes().all(is_of_a_topic) && prefix.len() <= TOPIC_MAX / 2;
        if prefix.is_empty() || !fits {
            let text = format!(
                "topics are called by letters, digits, `.`, `_` and `-`, and this prefix by at \
                 most {} of them",
                TOPIC_MAX / 2
            );
            return Err(Error::config("topic_prefix", text));
        }
        if self.timeout_seconds == 0 {
            return Err(Error::config("timeout_seconds", "must be at least 1"));
        }
        Ok(())
    }

    /// The topic of a record type.
    pub(crate) fn topic(&self, record: &str) -> String {
        let name = record.bytes().map(|byte| match is_of_a_topic(byte) {
            true => char::from(byte),
            false => '_',
        });
        let name: String = self.topic_prefix.chars().chain(['.']).chain(name).collect();
        name.chars().take(TOPIC_MAX).collect()
    }
}

fn is_of_a_topic(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Names the property that librdkafka does not like. Never its value, which may be a password.
fn told(error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, text, name, _) => {
            Error::config(format!("librdkafka.{name}"), text)
        }
        KafkaError::ClientCreation(text) => Error::config("librdkafka", text),
        other => Error::config("librdkafka", other),
    }
}
