//! What will come out, known before the first packet: an empty table of every record type is
//! pushed through a chain like the workers', and what reaches the end is what sinks get.
//!
//! Here stands the gate of privacy: a column of addresses that no stage has marked as
//! anonymized, or of header fields or URLs that none has marked as both redacted and anonymized
//! (an address may stand in them), does not reach a sink, unless the config says in so many words
//! that it may.
//!
//! Marks stay, so that the two may come in either order. An anonymizer behind the header policy
//! sees what came out of it; one before it sees all, and what the policy then hashes or lets out
//! has pseudonyms where addresses were. Columns that are made in between are marked by one alone.
//!
//! And a stage that drops packets must stand before the one that makes records of them: behind
//! it, it would drop what is recorded already.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use ringmill_sdk::{Error, Factory, schema};

use crate::{
    chain::{Blueprint, Outlet},
    config::{Config, ConfigError, SinkEntry},
    host::{Board, Run},
    sinks,
};

/// A checked chain with what it yields.
pub struct Plan {
    /// How the chains are made.
    pub blueprint: Blueprint,
    /// What every sink receives.
    pub records: Vec<SchemaRef>,
}

#[derive(Default)]
struct Collect(Vec<SchemaRef>);

impl Outlet for Collect {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        let schema = records.schema();
        if !self.0.contains(&schema) {
            self.0.push(schema);
        }
        Ok(())
    }
}

impl Plan {
    /// Makes one instance of every stage and sink, and drops them again.
    ///
    /// # Errors
    /// With the place in the config.
    pub fn new(config: &Config, linked: &[Factory], run: &Arc<Run>) -> Result<Self, ConfigError> {
        let blueprint = Blueprint::new(config, linked)?;
        let board = Arc::new(Board::default());
        let built = blueprint.build_chain(run, &board, None);
        let mut chain = built.map_err(|failed| failed.at(config))?;
        let mut collected = Collect::default();
        let mut emitters = Vec::new();
        let pushed = chain.schemas().and_then(|schemas| {
            emitters.extend(schemas.iter().map(|(at, _)| *at));
            schemas.into_iter().try_for_each(|(at, schema)| {
                chain.push(Some(at), RecordBatch::new_empty(schema), &mut collected)
            })
        });
        pushed.map_err(|failure| {
            ConfigError::of_arguments(format!(
                "an empty table could not be pushed through the chain: {failure}"
            ))
        })?;
        for index in 0..config.sinks.len() {
            blueprint.build_sink(index, run, &board).map_err(|failed| failed.at(config))?;
            check_spill(blueprint.sink(index), config)?;
        }
        let droppers: Vec<_> = board.reasons().into_iter().map(|(stage, _)| stage).collect();
        check_order(config, &blueprint, &emitters, &droppers)?;
        let mut plan = Self { blueprint, records: collected.0 };
        plan.check_gate(config)?;
        plan.stamp(config)?;
        Ok(plan)
    }

    /// Adds the engine's own columns to those of the chain.
    fn stamp(&mut self, config: &Config) -> Result<(), ConfigError> {
        for schema in &mut self.records {
            match sinks::stamped(schema, config.engine.sensor.is_some(), None) {
                Ok(stamped) => *schema = stamped,
                Err(column) => {
                    return Err(ConfigError::of_arguments(format!(
                        "a stage makes a column `{column}` in `{}`, and so does the engine, in \
                         every record; give the stage's another name",
                        schema::record_name(schema)
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_gate(&self, config: &Config) -> Result<(), ConfigError> {
        if config.allow_identifiable {
            return Ok(());
        }
        for schema in &self.records {
            let Some((column, lack)) = identifiable(schema) else { continue };
            let Some(sink) = config.sinks.first() else { continue };
            let message = format!(
                "column `{column}` of `{}` would reach this sink as it was on the wire: no stage \
                 {}, or say `allow_identifiable = true` at the top of the config",
                schema::record_name(schema),
                lack.remedy()
            );
            return Err(config.document.at_key(&sink.plugged.place, "use", &message));
        }
        Ok(())
    }
}

/// Refuses a stage that drops packets behind all stages that make records of them.
fn check_order(
    config: &Config,
    blueprint: &Blueprint,
    emitters: &[usize],
    droppers: &[String],
) -> Result<(), ConfigError> {
    let (Some(first), Some(last)) = (emitters.iter().min(), emitters.iter().max()) else {
        return Ok(());
    };
    let labels = blueprint.stage_labels();
    for (label, stage) in labels.iter().zip(&config.stages).skip(last + 1) {
        if droppers.contains(label) {
            let message = format!(
                "`{label}` drops packets, but `{}` before it has made records of them already; \
                 put it before `{0}`",
                labels[*first]
            );
            return Err(config.document.at_key(&stage.place, "use", &message));
        }
    }
    Ok(())
}

/// A sink that spills unless it is told otherwise needs a place for it.
fn check_spill((entry, network): (&SinkEntry, bool), config: &Config) -> Result<(), ConfigError> {
    if !network || entry.when_full.is_some() || config.engine.spill.is_some() {
        return Ok(());
    }
    let message = "this sink sends to a store; name a directory for what that cannot take in time \
                   (in [engine], for example: spill = \"/var/lib/ringmill/spill\"), or say here what \
                   to do without: when_full = \"drop\" or \"block\"";
    Err(config.document.at_key(&entry.plugged.place, "use", message))
}

/// What no stage has done to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Its addresses are those of the wire.
    Anonymized,
    /// Nobody chose what of its values comes out.
    Redacted,
    /// Addresses that stand in its text are those of the wire.
    AnonymizedText,
}

impl Lack {
    /// Behind "no stage".
    fn remedy(self) -> &'static str {
        match self {
            Self::Anonymized => {
                "anonymizes it; put one before the sinks (`[[stage]] use = \"crypto_pan\"` or \
                 `use = \"truncate\"`)"
            }
            Self::Redacted => {
                "chooses what of it comes out; put `[[stage]] use = \"redact\"` behind the last \
                 stage that makes such columns"
            }
            Self::AnonymizedText => {
                "anonymizes the addresses that may stand in it; put an anonymizer (`[[stage]] use \
                 = \"crypto_pan\"` or `use = \"truncate\"`) behind the last stage that makes such \
                 columns"
            }
        }
    }
}

/// The first column whose values are as they were on the wire, addresses before text.
pub fn identifiable(schema: &Schema) -> Option<(&str, Lack)> {
    let find = |is: fn(&Field) -> bool| schema.fields().iter().find(|field| is(field));
    let addresses = find(schema::is_identifiable).map(|field| (field, Lack::Anonymized));
    let found = addresses
        .or_else(|| find(schema::is_unredacted).map(|field| (field, Lack::Redacted)))
        .or_else(|| find(schema::may_name_addresses).map(|field| (field, Lack::AnonymizedText)));
    found.map(|(field, lack)| (field.name().as_str(), lack))
}
