//! What a run does to the data, as one JSON document that goes with every output file: enough for
//! a methods section, nothing that leads to a person or into the house.
//!
//! Not in it, on purpose: names of hosts, interfaces, sensors and files, which say where and of
//! whom it was recorded, so inputs are only counted; keys and paths of keys, so that a key is
//! known by its id; addresses and prefixes, also of those who are excluded; and all options of
//! sinks, which hold URLs and passwords. What an option must not tell is decided in [`options`].
//!
//! The document says the same in all files of a run, up to the next reload that changes something,
//! but for `ledger`, which is that of the file. Its `id` is the first 16 hex digits of the SHA-256 of the document without `id` and
//! `ledger`, written with sorted keys and without white space.

mod filter;
mod options;
mod read;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use ringmill_sdk::{render, schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) use options::Known;
pub use read::{ReadError, read};

use crate::{
    chain::Blueprint,
    config::{Backend, Config},
    host::Facts,
    ledger::Account,
};

/// The form of the document; a reader refuses what is newer than it knows.
pub const FORMAT: u32 = 1;

/// The document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub manifest: u32,
    /// What tells this run from others.
    #[serde(default)]
    pub id: String,
    /// The config said so: what no stage has anonymized or redacted was let out.
    pub allow_identifiable: bool,
    /// By record type, the columns that came out as they were on the wire.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub as_on_the_wire: BTreeMap<String, Vec<String>>,
    /// What made it.
    pub engine: Made,
    /// When the run was started, in UTC.
    pub started: String,
    /// Where the packets came from.
    pub capture: Capture,
    /// How many workers ran the chain.
    pub workers: usize,
    /// How often keys change, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The stages, in order.
    pub chain: Vec<Stage>,
    /// The sinks, by their labels.
    pub sinks: Vec<String>,
    /// The record types that came out of the chain.
    pub records: BTreeSet<String>,
    /// What had become of packets and rows when the file was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<OfFile>,
}

/// The engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    /// Its version.
    pub version: String,
    /// The revision of its source.
    pub revision: String,
}

/// Where the packets came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capture {
    /// The back end.
    pub from: String,
    /// How many capture files or interfaces.
    pub inputs: usize,
    /// What was let through, in tcpdump's syntax, or that there was a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Bytes of a packet that were looked at.
    pub snaplen: u32,
}

/// One stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Its label in the ledger.
    pub stage: String,
    /// Its name.
    #[serde(rename = "use")]
    pub name: String,
    /// What it does, as a phrase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The plugin that it came from; none where it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Plugin>,
    /// Its options as they took effect, defaults too.
    pub options: BTreeMap<String, Value>,
    /// What it told of itself.
    pub facts: BTreeMap<String, String>,
}

/// A loaded library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plugin {
    /// The version of the SDK that it was built with.
    pub sdk: String,
    /// First 16 hex digits of the SHA-256 of the library.
    pub sha256: String,
}

/// The ledger of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfFile {
    /// From the start of the run until the file was closed.
    pub run: Account,
    /// From `began` until `ended`.
    pub file: Account,
    /// When the file before it was closed, or the run began; in UTC by the wall clock.
    pub began: String,
    /// When it was closed, or this was written.
    pub ended: String,
    /// Rows in the file.
    pub rows: u64,
    /// The time of the first row, in UTC; none where rows have no time.
    pub first_row: Option<String>,
    /// The time of the last row.
    pub last_row: Option<String>,
}

impl Manifest {
    /// Of a run that began at `started`, in nanoseconds since 1970.
    pub(crate) fn new(
        config: &Config,
        blueprint: &Blueprint,
        records: &[SchemaRef],
        facts: &[Facts],
        (from, inputs): (Backend, usize),
        started: i64,
    ) -> Self {
        let mut manifest = Self {
            manifest: FORMAT,
            id: String::new(),
            allow_identifiable: config.allow_identifiable,
            as_on_the_wire: as_on_the_wire(records),
            engine: Made {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: env!("RINGMILL_REVISION").to_owned(),
            },
            started: utc(started),
            capture: Capture {
                from: from.name().to_owned(),
                inputs,
                filter: config.capture.filter.as_deref().map(filter::told),
                snaplen: config.capture.snaplen,
            },
            workers: config.engine.workers,
            epoch: config.engine.epoch.map(|epoch| epoch.name().to_owned()),
            chain: blueprint
                .stages()
                .map(|(label, entry)| Stage::of(label, entry, facts))
                .collect(),
            sinks: blueprint.sink_labels(),
            records: records.iter().map(|record| schema::record_name(record).to_owned()).collect(),
            ledger: None,
        };
        manifest.id = manifest.made_id();
        manifest
    }

    fn made_id(&self) -> String {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        if let Some(entries) = document.as_object_mut() {
            entries.remove("id");
            entries.remove("ledger");
        }
        sha256(document.to_string().as_bytes())
    }

    /// As text for a file that is closed now.
    pub(crate) fn of_file(&self, now: Account, began: &Account, span: &Rows) -> String {
        let ledger = OfFile {
            file: now.since(began),
            began: utc(began.at),
            ended: utc(now.at),
            run: now,
            rows: span.rows,
            first_row: (span.first <= span.last).then(|| utc(span.first)),
            last_row: (span.first <= span.last).then(|| utc(span.last)),
        };
        let document = Self { ledger: Some(ledger), ..self.clone() };
        // By way of a value, whose keys are sorted.
        serde_json::to_value(document).unwrap_or_default().to_string()
    }
}

/// The rows of a file: how many, and the times of the first and the last in nanoseconds.
pub(crate) struct Rows {
    pub(crate) rows: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Stage {
    fn of(label: String, entry: &crate::chain::Entry, facts: &[Facts]) -> Self {
        let told = facts.iter().find(|known| known.stage == label);
        let facts = told.map(|known| known.facts.iter().cloned().collect()).unwrap_or_default();
        Self {
            stage: label,
            name: entry.plugged.name.clone(),
            summary: entry.maker.summary().to_owned(),
            plugin: entry
                .plugin
                .as_ref()
                .map(|plugin| Plugin { sdk: plugin.sdk.clone(), sha256: plugin.sha256.clone() }),
            options: options::told(&entry.plugged.options, &entry.maker.options()),
            facts,
        }
    }
}

/// The columns that no stage has anonymized or redacted, where they would have to be.
fn as_on_the_wire(records: &[SchemaRef]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records {
        let fields = record.fields().iter().filter(|field| {
            schema::is_identifiable(field)
                || schema::is_unredacted(field)
                || schema::may_name_addresses(field)
        });
        let names: Vec<_> = fields.map(|field| field.name().clone()).collect();
        if !names.is_empty() {
            all.entry(schema::record_name(record).to_owned()).or_default().extend(names);
        }
    }
    all
}

/// First 16 hex digits of the SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `2026-11-23T03:15:00.000000000Z`.
fn utc(ns: i64) -> String {
    let mut text = Vec::new();
    render::timestamp(ns, &mut text);
    String::from_utf8(text).unwrap_or_default()
}
