//! The manifest as text that can go into the methods section of a paper, and a table.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::{Manifest, OfFile, Stage, options::HIDDEN};
use crate::ledger::{
    Account,
    text::{Grouped, count, list},
};

/// Columns after which a line of text is broken.
const WIDTH: usize = 100;

impl Display for Manifest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(warning) = self.warning() {
            writeln!(f, "{}\n", wrapped(&warning, 0))?;
        }
        writeln!(f, "{}\n", wrapped(&self.recorded(), 0))?;
        let done: Vec<_> = self.chain.iter().filter_map(Stage::sentence).collect();
        if !done.is_empty() {
            writeln!(f, "{}\n", wrapped(&done.join(" "), 0))?;
        }
        if let Some(ledger) = &self.ledger {
            writeln!(f, "{}\n", wrapped(&ledger.sentences(), 0))?;
        }
        self.table(f)
    }
}

impl Manifest {
    fn warning(&self) -> Option<String> {
        let columns = self.as_on_the_wire.iter();
        let columns: Vec<_> =
            columns.map(|(record, names)| format!("{record}: {}", names.join(", "))).collect();
        self.allow_identifiable.then(|| {
            let what = match columns.is_empty() {
                true => "All columns were marked as anonymized and redacted all the same.".into(),
                false => format!(
                    "These columns are as they were on the wire and may identify people: {}.",
                    columns.join("; ")
                ),
            };
            format!(
                "ATTENTION: the run was allowed to let out what identifies people \
                 (allow_identifiable = true). {what}"
            )
        })
    }

    fn recorded(&self) -> String {
        let Self { engine, capture, .. } = self;
        let inputs = match capture.from.as_str() {
            "file" => count(capture.inputs as u64, "capture file"),
            live => format!("{} ({live})", count(capture.inputs as u64, "network interface")),
        };
        let filter = match capture.filter.as_deref() {
            None => String::new(),
            Some(HIDDEN) => {
                " A capture filter, which is not shown because it may name machines, chose the \
                 packets."
                    .to_owned()
            }
            Some(filter) => format!(" The capture filter was `{filter}`."),
        };
        let epoch = self.epoch.as_deref().map(|epoch| {
            format!(
                " Keys were replaced every {epoch} (UTC), so that nothing can be followed by \
                     pseudonyms from one {epoch} into the next."
            )
        });
        format!(
            "The data were recorded with Ringmill {} (revision {}) from {inputs}, in a run that \
             began at {} (manifest {}).{filter}{}",
            engine.version,
            engine.revision,
            to_the_second(&self.started),
            self.id,
            epoch.unwrap_or_default()
        )
    }

    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        row(f, "manifest", &format!("{} (form {})", self.id, self.manifest))?;
        row(f, "allow_identifiable", &self.allow_identifiable.to_string())?;
        row(f, "workers", &self.workers.to_string())?;
        row(f, "snaplen", &Grouped(self.capture.snaplen.into()).to_string())?;
        row(f, "record types", &join(self.records.iter().map(String::as_str)))?;
        row(f, "sinks", &join(self.sinks.iter().map(String::as_str)))?;
        writeln!(f, "chain")?;
        for stage in &self.chain {
            row(f, &format!("  {}", stage.stage), &stage.parameters())?;
        }
        if let Some(ledger) = &self.ledger {
            ledger.table(f)?;
        }
        Ok(())
    }
}

impl Stage {
    /// What it says of itself, or else what it is for; with its key.
    fn sentence(&self) -> Option<String> {
        let key = self.key().map(|key| format!(" ({key})")).unwrap_or_default();
        let said = self.facts.get("methods").map(String::as_str).filter(|it| !it.is_empty());
        match (said, self.summary.as_str()) {
            (Some(said), _) => Some(format!("{}{key}.", said.trim_end_matches('.'))),
            (None, "") => None,
            (None, summary) => Some(format!("The stage `{}` {summary}{key}.", self.stage)),
        }
    }

    /// The key, as `key::Schedule` of the SDK declares it.
    fn key(&self) -> Option<String> {
        let fact = |name: &str| self.facts.get(name).map(String::as_str);
        let id = fact("key_id")?;
        let whence = match fact("key") {
            Some("ephemeral") => "which dies with the process",
            _ => "kept in a file",
        };
        let epoch = fact("epoch").map(|epoch| format!(", another for each {epoch}"));
        Some(format!("key {id}, {whence}{}", epoch.unwrap_or_default()))
    }

    fn parameters(&self) -> String {
        let plugin = self.plugin.as_ref();
        let plugin =
            plugin.map(|it| format!("plugin (sha256 {}..., ringmill-sdk {})", it.sha256, it.sdk));
        let options = self.options.iter().map(|(name, value)| format!("{name} = {}", short(value)));
        let facts = self.facts.iter().filter(|(name, _)| *name != "methods");
        let facts = facts.map(|(name, value)| format!("{name}: {value}"));
        let name = (self.name != self.stage).then(|| format!("use = {:?}", self.name));
        let all: Vec<_> = plugin.into_iter().chain(name).chain(options).chain(facts).collect();
        if all.is_empty() { "no parameters".to_owned() } else { all.join("; ") }
    }
}

impl OfFile {
    fn sentences(&self) -> String {
        let rows = match (&self.first_row, &self.last_row) {
            (Some(first), Some(last)) => {
                format!("{}, from {first} to {last}", count(self.rows, "row"))
            }
            _ => count(self.rows, "row"),
        };
        let Account { received, passed, lost, queue_full, dropped, .. } = &self.file;
        let reasons = dropped.iter().flat_map(|(stage, reasons)| {
            reasons.iter().map(move |(reason, &n)| (format!("{stage}: {reason}"), n))
        });
        let reasons: Vec<_> = reasons.collect();
        let reasons = list(reasons.iter().map(|(name, n)| (name.as_str(), *n)));
        let dropped = match self.file.all_dropped() {
            0 => "no stage dropped any".to_owned(),
            n => format!("{} dropped ({reasons})", were(n)),
        };
        let mut text = format!(
            "This file has {rows}. Its span is from {} to {}: of {} received, {dropped}, and {} \
             passed on.",
            to_the_second(&self.began),
            to_the_second(&self.ended),
            count(*received, "packet"),
            were(*passed)
        );
        if *lost > 0 {
            text += &format!(
                " {} lost before: network cards and capture rings had no room for them.",
                were(*lost)
            );
        }
        if *queue_full > 0 {
            text +=
                &format!(" {} not stored, because the store was too slow.", rows_were(*queue_full));
        }
        text
    }

    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "ledger")?;
        row(f, "  span", &format!("{} to {}", self.began, self.ended))?;
        for (title, account) in [("  in the span", &self.file), ("  since the start", &self.run)] {
            let Account { received, bytes, passed, lost, rows, .. } = account;
            row(
                f,
                title,
                &format!(
                    "{} ({}) received; {} passed; {} dropped by stages; {} lost before; {} left the \
                     chain",
                    count(*received, "packet"),
                    count(*bytes, "byte"),
                    Grouped(*passed),
                    Grouped(account.all_dropped()),
                    Grouped(*lost),
                    count(*rows, "row"),
                ),
            )?;
        }
        for stage in &self.run.stages {
            row(
                f,
                &format!("  rows of {}", stage.stage),
                &format!(
                    "{} in; {} out; {} lost",
                    Grouped(stage.rows_in),
                    Grouped(stage.rows_out),
                    Grouped(stage.rows_failed)
                ),
            )?;
        }
        Ok(())
    }
}

/// `1 row was`, `25 rows were`.
fn rows_were(n: u64) -> String {
    format!("{} {}", count(n, "row"), if n == 1 { "was" } else { "were" })
}

/// `1 was`, `25 were`.
fn were(n: u64) -> String {
    format!("{} {}", Grouped(n), if n == 1 { "was" } else { "were" })
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A value as in the config, lists without their quotes.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) if text == HIDDEN => text.clone(),
        other => other.to_string(),
    }
}

fn to_the_second(time: &str) -> String {
    let second = time.get(.."2026-11-23T03:15:00".len()).unwrap_or(time);
    format!("{} UTC", second.replace('T', " "))
}

/// Where the values of the table begin.
const VALUES: usize = 22;

fn row(f: &mut Formatter<'_>, title: &str, value: &str) -> fmt::Result {
    writeln!(f, "{title:<width$}{}", wrapped(value, VALUES), width = VALUES)
}

/// The text with line breaks between words, lines after the first indented.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut out, mut column) = (String::with_capacity(text.len()), indent);
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > indent {
            if column + 1 + width > WIDTH {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += width;
    }
    out
}
