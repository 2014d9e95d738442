//! The log: lines for whoever sits before a terminal, JSON for the journal.
//!
//! In the journal each line begins with its priority, as sd-daemon(3) has it, so that `journalctl
//! -p warning` finds what it should, and what remains is one JSON object. No message says more
//! than the engine's own words, names of the config and counts: nothing of a packet is logged.

mod limit;

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
    sync::OnceLock,
    time::Instant,
};

use clap::ValueEnum;
use ringmill::{sdk::render, service::notify, sinks};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::Targets,
    layer::{Context, Layer, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use super::progress;
use limit::{Limit, Said};

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Lines to be read
    Text,
    /// An object of JSON a line
    Json,
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
struct Style {
    form: Form,
    /// Each begins with its priority.
    journal: bool,
    color: bool,
}

static STYLE: OnceLock<Style> = OnceLock::new();
static LIMIT: OnceLock<Limit> = OnceLock::new();

/// Begins the log on standard error. `RUST_LOG` (`debug`, `ringmill=debug,info`) chooses what is
/// logged; `info` otherwise.
pub(super) fn begin(form: Option<Form>) {
    let journal = notify::is_journal(io::stderr());
    let form = form.unwrap_or(if journal { Form::Json } else { Form::Text });
    let color = form == Form::Text && io::stderr().is_terminal();
    let style = *STYLE.get_or_init(|| Style { form, journal, color });
    let limit = LIMIT.get_or_init(Limit::default);
    let asked = std::env::var("RUST_LOG").ok();
    let filter = asked.as_deref().and_then(|text| text.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    tracing_subscriber::registry().with(Log { style, limit }.with_filter(filter)).init();
}

/// Says what the limit has kept back until now; at the end of a run.
pub(super) fn end() {
    for (place, left_out) in LIMIT.get().map(Limit::end).unwrap_or_default() {
        tracing::info!("{left_out} more messages of {place} were left out");
    }
}

/// Whether lines are JSON.
pub(super) fn is_json() -> bool {
    STYLE.get().is_some_and(|style| style.form == Form::Json)
}

/// Writes what the operator has to see, whatever is logged; `more` is for the readers of JSON.
pub(super) fn say(level: Level, message: &str, more: Option<(&str, Value)>) {
    let style = STYLE.get().copied();
    let line = match style {
        Some(style) if style.form == Form::Json => {
            let mut fields = Map::new();
            fields.insert("message".to_owned(), message.into());
            fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
            style.json(level, fields)
        }
        _ => format!("{message}\n"),
    };
    write(&line);
}

/// Where standard error is closed there is nobody to tell.
fn write(line: &str) {
    let _ = progress::above().write_all(line.as_bytes());
}

struct Log {
    style: Style,
    limit: &'static Limit,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let said = self.limit.ask(event.metadata().callsite(), fields.place(), Instant::now());
        if said == Said::LeftOut {
            return;
        }
        let level = *event.metadata().level();
        match said {
            Said::Last => fields.add("note", "more like this are left out for a minute".into()),
            Said::After(left_out) => fields.add("left_out", left_out.into()),
            Said::Freely | Said::LeftOut => {}
        }
        write(&match self.style.form {
            Form::Json => self.style.json(level, fields.0),
            Form::Text => self.style.text(level, &fields),
        });
    }
}

impl Style {
    /// ` INFO message name=value`.
    fn text(self, level: Level, fields: &Fields) -> String {
        let mut line = self.priority(level);
        let message = fields.0.get("message").and_then(Value::as_str).unwrap_or_default();
        let message = harmless(message);
        let color = match level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => "\x1b[34m",
        };
        // Writing to a String does not fail.
        let _ = match self.color {
            true => write!(line, "{color}{level:>5}\x1b[0m {message}"),
            false => write!(line, "{level:>5} {message}"),
        };
        for (name, value) in fields.0.iter().filter(|(name, _)| *name != "message") {
            let _ = write!(line, " {name}={value}");
        }
        line.push('\n');
        line
    }

    fn json(self, level: Level, fields: Map<String, Value>) -> String {
        let mut line = self.priority(level);
        let mut time = Vec::new();
        render::timestamp(sinks::now().0, &mut time);
        let mut all = Map::new();
        all.insert("time".to_owned(), String::from_utf8_lossy(&time).into());
        all.insert("level".to_owned(), level.to_string().to_lowercase().into());
        all.extend(fields);
        // Writing to a String does not fail.
        let _ = writeln!(line, "{}", Value::Object(all));
        line
    }

    /// As sd-daemon(3) has it.
    fn priority(self, level: Level) -> String {
        let number = match level {
            _ if !self.journal => return String::new(),
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        format!("<{number}>")
    }
}

/// A message of a plugin gives no orders to a terminal.
fn harmless(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for letter in message.chars() {
        match letter {
            '\n' | '\t' => text.push(letter),
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(other),
        }
    }
    text
}

/// Name and value of what an event says.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Which stage or sink it is of.
    fn place(&self) -> String {
        let named = ["stage", "sink"].into_iter().find_map(|kind| {
            let label = self.0.get(kind)?.as_str()?;
            Some(format!("{kind} `{label}`"))
        });
        named.unwrap_or_default()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let mut fields = Fields::default();
        for (name, value) in [
            ("message", "two \"words\"\nand more".into()),
            ("stage", "http".into()),
            ("worker", 3.into()),
        ] {
            fields.add(name, value);
        }
        fields
    }

    #[test]
    fn a_line_of_text_is_for_people_and_one_of_json_for_programs() {
        assert_eq!(harmless("a\tb\n\u{1b}[31mred\u{9b}é"), "a\tb\n\\u{1b}[31mred\\u{9b}é");
        let style = |form, journal, color| Style { form, journal, color };
        let text = |journal, color| style(Form::Text, journal, color).text(Level::WARN, &fields());
        let plain = " WARN two \"words\"\nand more stage=\"http\" worker=3\n";
        assert_eq!(text(false, false), plain);
        assert_eq!(text(true, false), format!("<4>{plain}"));
        assert!(text(false, true).starts_with("\u{1b}[33m WARN\u{1b}[0m two"));
        let line = style(Form::Json, true, false).json(Level::ERROR, fields().0);
        let line = line.strip_prefix("<3>").expect("its priority");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let value: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(value["level"], "error");
        assert_eq!(value["message"], "two \"words\"\nand more");
        assert_eq!((&value["stage"], &value["worker"]), (&"http".into(), &3.into()));
        assert!(value["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{value}");
    }
}
