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
//! For the same reason a stage may only be missing (`on_error = "bypass"`) if nothing more would come
//! out without it.
//!
//! And a stage that drops packets must stand before the one that makes records of them: behind
//! it, it would drop what is recorded already.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use ringmill_sdk::{Error, Factory, schema};

use crate::{
    chain::{Blueprint, Chain, Entry, Outlet, StageFailure},
    config::{Config, ConfigError, OnError, Place, SinkEntry},
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
        Self::of(Blueprint::new(config, linked)?, config, run)
    }

    /// The same, of a config whose stages and sinks have been found.
    ///
    /// # Errors
    /// With the place in the config.
    pub(crate) fn of(
        blueprint: Blueprint,
        config: &Config,
        run: &Arc<Run>,
    ) -> Result<Self, ConfigError> {
        let board = Arc::new(Board::default());
        let built = blueprint.build_chain(run, &board, None);
        let mut chain = built.map_err(|failed| failed.at(config))?;
        let (emitters, records) = pushed(&mut chain).map_err(|failure| {
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
        let mut plan = Self { blueprint, records };
        plan.check_gate(config)?;
        plan.check_bypass(config, &droppers)?;
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

    /// Refuses `on_error = "bypass"` for a stage without which more would come out: whose packets
    /// it keeps out, or what it hides of them. That holds for each alone and for all at once, also
    /// where `allow_identifiable` opens the gate.
    fn check_bypass(&self, config: &Config, droppers: &[String]) -> Result<(), ConfigError> {
        let may_be_missing = |entry: &Entry| entry.plugged.on_error == OnError::Bypass;
        let refused = |place: &Place, why: String| {
            config.document.at_key(place, "on_error", &format!("{why}; so it has to stop the run"))
        };
        let all = || self.blueprint.stages().filter(|(_, entry)| may_be_missing(entry));
        for (at, (label, entry)) in self.blueprint.stages().enumerate() {
            let place = &entry.plugged.place;
            if !may_be_missing(entry) {
                continue;
            }
            if droppers.contains(&label) {
                let why = format!("without `{label}` the packets would be recorded that it drops");
                return Err(refused(place, why));
            }
            if let Some(what) = self.comes_out(config, |missing, _| missing == at) {
                return Err(refused(place, format!("without `{label}` {what}")));
            }
        }
        let Some((_, last)) = all().last() else { return Ok(()) };
        match self.comes_out(config, |_, entry| may_be_missing(entry)) {
            Some(what) => {
                let labels: Vec<_> = all().map(|(label, _)| format!("`{label}`")).collect();
                let why = format!("without {} {what}", labels.join(", "));
                Err(refused(&last.plugged.place, why))
            }
            None => Ok(()),
        }
    }

    /// What the chain would let out, as it was on the wire, without those stages that are
    /// `missing`.
    fn comes_out(
        &self,
        config: &Config,
        missing: impl Fn(usize, &Entry) -> bool,
    ) -> Option<String> {
        // What its stages declare and count is nothing to the run.
        let run = match Run::new(config.engine.epoch) {
            Ok(run) => Arc::new(run),
            Err(error) => return Some(format!("nobody knows what comes out: {error}")),
        };
        let without = self.blueprint.without(missing);
        let built = without.build_chain(&run, &Arc::default(), None);
        let records = match built.map(|mut chain| pushed(&mut chain)) {
            Ok(Ok((_, records))) => records,
            Ok(Err(failure)) => return Some(format!("the chain fails: {failure}")),
            Err(failed) => return Some(format!("the chain fails: {}", failed.error)),
        };
        let mut columns = records.iter().flat_map(|schema| {
            let wire = schema.fields().iter().filter(|field| is_exposed(field));
            wire.map(|field| (schema::record_name(schema), field.name().as_str()))
        });
        let known = |record: &str, column: &str| {
            let mut same = self.records.iter().filter(|it| schema::record_name(it) == record);
            same.any(|it| it.field_with_name(column).is_ok_and(is_exposed))
        };
        let (record, column) = columns.find(|(record, column)| !known(record, column))?;
        Some(format!("column `{column}` of `{record}` would reach the sinks as it was on the wire"))
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

/// The numbers of the stages that emit records, and what an empty table of each becomes.
fn pushed(chain: &mut Chain) -> Result<(Vec<usize>, Vec<SchemaRef>), StageFailure> {
    let mut collected = Collect::default();
    let schemas = chain.schemas()?;
    let emitters = schemas.iter().map(|(at, _)| *at).collect();
    schemas.into_iter().try_for_each(|(at, schema)| {
        chain.push(Some(at), RecordBatch::new_empty(schema), &mut collected)
    })?;
    Ok((emitters, collected.0))
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

/// Whether values are as they were on the wire, in any respect.
fn is_exposed(field: &Field) -> bool {
    schema::is_identifiable(field)
        || schema::is_unredacted(field)
        || schema::may_name_addresses(field)
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
