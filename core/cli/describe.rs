//! What `check`, `stages` and `plugin` print.

use std::{borrow::Cow, fmt::Write as _, path::Path};

use ringmill::{
    Engine,
    config::{OnError, WhenFull},
    loader::{self, LoadError},
    registry::BUILTIN,
    sdk::{
        Factory, Role,
        schema::{self, Kind},
    },
    sinks,
};

/// Writing to a String does not fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => {{ let _ = writeln!($text, $($arg)*); }};
}

/// One option, wherever it comes from.
struct OptionLine<'a> {
    name: &'a str,
    kind: &'a str,
    /// `None` where it is required.
    default: Option<Cow<'a, str>>,
    help: &'a str,
}

/// The built-in stages and sinks with their options; all, or those named.
pub(super) fn stages(names: &[String]) -> String {
    let mut text = String::new();
    for (role, title) in [(Role::Stage, "stages"), (Role::Sink, "sinks")] {
        let wanted = |factory: &&Factory| {
            factory.role == role && (names.is_empty() || names.iter().any(|n| n == factory.name))
        };
        let mut found = BUILTIN.iter().filter(wanted).peekable();
        if found.peek().is_some() {
            line!(text, "{title}");
        }
        for factory in found {
            line!(text, "  {}: {}", factory.name, factory.summary);
            options(
                &mut text,
                factory.options.iter().map(|option| OptionLine {
                    name: option.name,
                    kind: option.kind,
                    default: option.default.map(|show| show().into()),
                    help: option.help,
                }),
            );
        }
    }
    if text.is_empty() {
        line!(text, "nothing of that name is built in; `engine stages` lists what is");
    }
    if names.is_empty() {
        line!(text, "every [[stage]] and [[sink]] also takes");
        options(&mut text, EVERY.into_iter());
        line!(text, "every [[stage]] also takes");
        options(&mut text, EVERY_STAGE.into_iter());
        line!(text, "every [[sink]] also takes");
        options(&mut text, EVERY_SINK.into_iter());
    }
    text
}

/// What the engine itself reads of each entry; see [`ringmill::config`].
const EVERY: [OptionLine<'static>; 2] = [
    OptionLine { name: "use", kind: "text", default: None, help: "Its name." },
    OptionLine {
        name: "plugin",
        kind: "path",
        default: Some(Cow::Borrowed("")),
        help: "The shared library that it is loaded from; built in where not set.",
    },
];

/// What the engine itself reads of each stage.
const EVERY_STAGE: [OptionLine<'static>; 1] = [OptionLine {
    name: "on_error",
    kind: "\"stop\" or \"bypass\"",
    default: Some(Cow::Borrowed("\"stop\"")),
    help: "When it fails the run ends, or the worker goes on without it; refused where more would \
           come out without it.",
}];

/// What the engine itself reads of each sink.
const EVERY_SINK: [OptionLine<'static>; 7] = [
    OptionLine {
        name: "queue",
        kind: "whole number",
        default: Some(Cow::Borrowed("64")),
        help: "Record batches that wait for it, 1 to 65536.",
    },
    OptionLine {
        name: "when_full",
        kind: "\"block\", \"drop\" or \"spill\"",
        default: Some(Cow::Borrowed("")),
        help: "Then the worker waits, or the batch is dropped and its rows are counted, or what \
               the sink cannot take goes to disk. Not set: \"spill\" for what sends to a store, \
               else \"block\" for capture files, \"drop\" for live capture.",
    },
    OptionLine {
        name: "spill_mib",
        kind: "whole number",
        default: Some(Cow::Borrowed("4096")),
        help: "Mebibytes that it spills at most, into `spill` of [engine].",
    },
    OptionLine {
        name: "spill_full",
        kind: "\"drop_oldest\" or \"drop_newest\"",
        default: Some(Cow::Borrowed("\"drop_oldest\"")),
        help: "Which rows are dropped when it has spilled that many.",
    },
    OptionLine {
        name: "retries",
        kind: "whole number",
        default: Some(Cow::Borrowed("3")),
        help: "Failures in a row after which the store counts as away.",
    },
    OptionLine {
        name: "retry_seconds",
        kind: "whole number",
        default: Some(Cow::Borrowed("30")),
        help: "Seconds between two tries at most; the first waits are shorter.",
    },
    OptionLine {
        name: "drain_seconds",
        kind: "whole number",
        default: Some(Cow::Borrowed("10")),
        help: "Seconds that the end of the run waits for a store that takes nothing; what is left \
               stays spilled for the next.",
    },
];

/// What is in a plugin.
pub(super) fn plugin(file: &Path) -> Result<String, LoadError> {
    let plugin = loader::load(file)?;
    let mut text = String::new();
    line!(text, "`{}` is a plugin", file.display());
    line!(text, "  built with ringmill-sdk {} by {}", plugin.facts.sdk, plugin.facts.rustc);
    for stage in plugin.stages {
        let kind = if stage.is_sink() { "sink" } else { "stage" };
        line!(text, "{kind} {}: {}", stage.name(), stage.summary());
        options(
            &mut text,
            stage.options().iter().map(|option| OptionLine {
                name: &option.name,
                kind: &option.kind,
                default: (!option.required).then(|| option.default.as_str().into()),
                help: &option.help,
            }),
        );
        line!(text, "  in a config:");
        line!(text, "    [[{kind}]]");
        line!(text, "    plugin = {:?}", file.display().to_string());
        line!(text, "    use = {:?}", stage.name());
    }
    Ok(text)
}

fn options<'a>(text: &mut String, options: impl Iterator<Item = OptionLine<'a>>) {
    for option in options {
        let default = match option.default.as_deref() {
            None => "required".to_owned(),
            Some("") => "not set".to_owned(),
            Some(value) => format!("default {value}"),
        };
        line!(text, "      {} ({}, {default})", option.name, option.kind);
        line!(text, "          {}", option.help.trim());
    }
}

/// A checked config: the chain, and what each sink will receive.
pub(super) fn plan(engine: &Engine, inputs: usize) -> String {
    let (config, plan) = (engine.config(), engine.plan());
    let mut text = String::new();
    line!(text, "{}: this config is good", config.document.path().display());
    let from: Vec<_> = config.capture.from.iter().map(|back_end| back_end.name()).collect();
    let workers = match config.engine.workers {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    let place = match &config.capture.live {
        Some(live) => live.interfaces.join(", "),
        None if inputs == 1 => config.capture.files.join(", "),
        None => format!("{}: {inputs} files", config.capture.files.join(", ")),
    };
    line!(text, "chain, in {workers}");
    line!(text, "  {} ({place})", from.join(" or "));
    for (label, entry) in plan.blueprint.stages() {
        let fate = match entry.plugged.on_error {
            OnError::Stop => "",
            OnError::Bypass => "; when it fails the others go on without it",
        };
        line!(text, "    -> {label}{fate}");
    }
    let otherwise = if config.capture.live.is_some() { WhenFull::Drop } else { WhenFull::Block };
    for (index, label) in plan.blueprint.sink_labels().iter().enumerate() {
        let (entry, network) = plan.blueprint.sink(index);
        let when_full = match sinks::when_full(entry, network, otherwise) {
            WhenFull::Block => "the workers wait",
            WhenFull::Drop => "rows are dropped and counted",
            WhenFull::Spill => "records are spilled to disk",
        };
        line!(text, "  => {label}; when it is slow {when_full}");
    }
    line!(text, "each sink receives");
    for record in &plan.records {
        line!(text, "  {}", schema::record_name(record));
        for field in record.fields() {
            let metadata = field.metadata();
            let kind = metadata.get(schema::KIND).map_or("no kind", String::as_str);
            let mark = |key, what| {
                let method = metadata.get(key).map(|method| format!(", {what} by {method}"));
                method.unwrap_or_default()
            };
            let marks =
                mark(schema::REDACTED, "redacted") + &mark(schema::ANONYMIZED, "anonymized");
            line!(text, "    {:<28} {} ({kind}{marks})", field.name(), short(field));
        }
    }
    if plan.records.is_empty() {
        line!(text, "  nothing: no stage of the chain emits records");
    }
    if config.allow_identifiable {
        line!(text, "allow_identifiable is set: all may come out as it was on the wire");
    }
    text
}

/// A type in a word or two.
fn short(field: &arrow_schema::Field) -> String {
    use arrow_schema::DataType;
    match field.data_type() {
        DataType::Utf8 => "text".to_owned(),
        DataType::Timestamp(..) => "time in ns, UTC".to_owned(),
        DataType::FixedSizeBinary(16) if schema::is_kind(field, Kind::Uuid) => "UUID".to_owned(),
        DataType::FixedSizeBinary(16) => "IP address".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Map(..) => "map of text".to_owned(),
        other => other.to_string(),
    }
}
