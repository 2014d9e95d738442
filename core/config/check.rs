//! From what was typed to what runs; every rule about the config is here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmill_sdk::key::Epoch;
use toml::de::DeTable;

use super::cores::CoreSet;
use super::diagnostic::ConfigError;
use super::document::{Document, Place};
use super::reader::{self, Entry, Table};
use super::{
    Backend, Balance, Capture, Clock, Config, Direction, Engine, Live, MOST_WORKERS, OnError,
    Plugged, SinkEntry, WhenFull, options, status, suggest, syntax,
};

/// Checks a config that is already in memory; `path` is for the messages only.
///
/// # Errors
///
/// The first thing that is wrong with what the text says.
pub fn parse(path: &Path, text: String) -> Result<Config, ConfigError> {
    let document = Document::new(path, text);
    let (engine, capture, status, stages, sinks, allow_identifiable) = {
        let tree = DeTable::parse(document.text()).map_err(|e| syntax::error(&document, &e))?;
        let top = Table {
            document: &document,
            title: "the file".to_owned(),
            head: 0..0,
            entries: tree.get_ref(),
        };
        known_at_top(&top)?;
        let engine = engine(&top)?;
        let (capture, status, stages) = (capture(&top)?, status::status(&top)?, stages(&top)?);
        let sinks = sinks(&top, engine.spill.is_some())?;
        (
            engine,
            capture,
            status,
            stages,
            sinks,
            top.entry("allow_identifiable").map_or(Ok(false), |entry| entry.flag())?,
        )
    };
    Ok(Config { engine, capture, status, stages, sinks, allow_identifiable, document })
}

/// Refuses what does not belong at the top. Tables are named with their brackets, because the
/// brackets are half of what is got wrong.
fn known_at_top(top: &Table<'_>) -> Result<(), ConfigError> {
    if top.entries.is_empty() {
        let message = "nothing is set in this file; a config has [capture], [[stage]] and [[sink]]";
        return Err(ConfigError::of_file(top.document.path(), message));
    }
    let unknown = top.names().find(|name| !reader::TOP.contains(name));
    let Some(entry) = unknown.and_then(|name| top.entry(name)) else {
        return Ok(());
    };
    let name = entry.name;
    let bracketed = |name: &str| match name {
        "stage" | "sink" => format!("[[{name}]]"),
        "allow_identifiable" => name.to_owned(),
        _ => format!("[{name}]"),
    };
    let all = reader::TOP.map(bracketed).join(", ");
    if entry.is_headed() {
        let error = match entry.raw().strip_prefix('[') {
            Some(_) => entry.error(format!("unknown table {}", entry.raw())),
            None => entry.key_error(format!("unknown table `{name}`")),
        };
        return Err(match suggest::nearest(name, &reader::TOP) {
            Some(near) => error.note(format!("did you mean {}?", bracketed(near))),
            None => error.note(format!("what can stand here: {all}")),
        });
    }
    let error = entry.key_error(format!("unknown key `{name}` at the top of the file"));
    Err(match (suggest::nearest(name, &reader::TOP), reader::home(name)) {
        (Some(near), _) => error.note(format!("did you mean {}?", bracketed(near))),
        (None, Some(home)) => error.note(format!("it belongs {home}")),
        (None, None) => error.note(format!("what can stand here: {all}")),
    })
}

fn engine(top: &Table<'_>) -> Result<Engine, ConfigError> {
    let mut engine = Engine {
        workers: 1,
        cores: None,
        batch: 256,
        ledger: None,
        spill: None,
        sensor: None,
        epoch: None,
        stuck_after: Duration::from_secs(10),
        user: None,
        sandbox: None,
        writable: Vec::new(),
    };
    let Some(table) = top.table("engine")? else {
        return Ok(engine);
    };
    table.only(reader::ENGINE)?;
    if let Some(entry) = table.entry("workers") {
        engine.workers = entry.whole(1..=MOST_WORKERS)?;
    }
    if let Some(entry) = table.entry("cores") {
        let cores = cores(&entry)?;
        if cores.len() < engine.workers {
            let message = too_few_cores(&cores, engine.workers, "`workers` is");
            return Err(entry.error(message));
        }
        engine.cores = Some(cores);
    }
    if let Some(entry) = table.entry("batch") {
        engine.batch = entry.whole(1..=256)?;
    }
    engine.ledger = path(&table, "ledger")?;
    engine.spill = path(&table, "spill")?;
    engine.sensor = table.entry("sensor").map(|entry| sensor(&entry)).transpose()?;
    engine.epoch = table.entry("epoch").map(|entry| entry.one_of(&Epoch::ALL)).transpose()?;
    if let Some(entry) = table.entry("stuck_seconds") {
        engine.stuck_after = Duration::from_secs(entry.whole(1..=3600)?);
    }
    engine.user = table.entry("user").map(|entry| entry.text().map(str::to_owned)).transpose()?;
    engine.sandbox = table.entry("sandbox").map(|entry| entry.flag()).transpose()?;
    if let Some(entry) = table.entry("writable") {
        engine.writable = entry.texts()?.into_iter().map(|(_, path)| path.into()).collect();
    }
    Ok(engine)
}

fn sensor(entry: &Entry<'_>) -> Result<String, ConfigError> {
    let name = entry.text()?;
    if name.len() > 255 || name.chars().any(char::is_control) {
        return Err(entry.error("`sensor` must have at most 255 bytes and no control characters"));
    }
    Ok(name.to_owned())
}

/// `asked` leads to the number of workers: "`workers` is".
pub(super) fn too_few_cores(cores: &CoreSet, workers: usize, asked: &str) -> String {
    let count = match cores.len() {
        1 => "1 core".to_owned(),
        many => format!("{many} cores"),
    };
    format!("`cores` names {count}, but {asked} {workers}; every worker needs a core of its own")
}

fn cores(entry: &Entry<'_>) -> Result<CoreSet, ConfigError> {
    if let Some(items) = entry.list().filter(|items| !items.is_empty()) {
        let mut cores = CoreSet::none();
        for item in items {
            let core = item.whole(0..=CoreSet::LAST)?;
            cores.add(&core.to_string()).map_err(|message| item.error(message))?;
        }
        return Ok(cores);
    }
    match entry.text() {
        Ok(text) => CoreSet::parse(text).map_err(|bad| entry.error_within(bad.span, bad.message)),
        Err(_) => Err(entry.wrong("text such as \"2-9\" or \"0,2,4-6\"")),
    }
}

fn capture(top: &Table<'_>) -> Result<Capture, ConfigError> {
    let Some(table) = top.table("capture")? else {
        return Err(ConfigError::of_file(
            top.document.path(),
            "[capture] is missing; it says where packets come from",
        )
        .note(
            "for example:\n[capture]\nfrom = \"file\"\nfiles = [\"a.pcap\", \"more/*.pcapng.zst\"]",
        ));
    };
    table.only(reader::CAPTURE)?;
    let Some(from_entry) = table.entry("from") else {
        let names = Backend::ALL.map(|(name, _)| format!("\"{name}\"")).join(", ");
        return Err(table
            .error("`from` is missing in [capture]; it says where packets come from")
            .note(format!("one of {names}, or a list in order of preference")));
    };
    let from = backends(&from_entry)?;
    let from_file = from.contains(&Backend::File);
    let from_live = from.iter().any(|backend| *backend != Backend::File);
    let is = format!("`from` is {}", from_entry.raw_line());

    let files = match (table.entry("files"), from_file) {
        (Some(entry), true) => {
            entry.texts()?.into_iter().map(|(_, text)| text.to_owned()).collect()
        }
        (None, true) => {
            return Err(table
                .error(format!("{is}, so [capture] needs `files`"))
                .note("for example: files = [\"a.pcap\", \"more/*.pcapng.zst\"]"));
        }
        (Some(entry), false) => {
            return Err(entry
                .key_error(format!("`files` has no meaning here, because {is}"))
                .note("leave it out, or write from = \"file\""));
        }
        (None, false) => Vec::new(),
    };
    if !from_live {
        let live_key = reader::LIVE
            .iter()
            .filter_map(|name| table.entry(name))
            .min_by_key(|entry| entry.key.start);
        if let Some(entry) = live_key {
            return Err(entry
                .key_error(format!("`{}` has no meaning here, because {is}", entry.name))
                .note("leave it out, or capture live: from = \"af_packet\""));
        }
    }
    Ok(Capture {
        live: if from_live { Some(live(&table, &is)?) } else { None },
        filter: match table.entry("filter") {
            Some(entry) => Some(entry.text()?.to_owned()),
            None => None,
        },
        snaplen: table.entry("snaplen").map_or(Ok(262_144), |entry| entry.whole(64..=262_144))?,
        from,
        files,
    })
}

fn backends(entry: &Entry<'_>) -> Result<Vec<Backend>, ConfigError> {
    let mut from = Vec::new();
    for (item, _) in entry.texts()? {
        let backend = item.one_of(&Backend::ALL)?;
        if from.contains(&backend) {
            return Err(item.error(format!("`{backend}` is named twice in `from`")));
        }
        if from.contains(&Backend::File) {
            let message =
                format!("`{backend}` would never be tried: `file` before it is always there");
            return Err(item.error(message).note("put \"file\" last"));
        }
        from.push(backend);
    }
    Ok(from)
}

fn live(table: &Table<'_>, is: &str) -> Result<Live, ConfigError> {
    let Some(entry) = table.entry("interface") else {
        return Err(table
            .error(format!("{is}, so [capture] needs `interface`"))
            .note("for example: interface = \"eth2\", or a list of several"));
    };
    let mut interfaces: Vec<String> = Vec::new();
    for (item, name) in entry.texts()? {
        if name.contains([' ', '\t', '\n', ',', ';']) {
            let error = item.error(format!("`{name}` is not the name of one interface"));
            let names: Vec<String> = name
                .split([' ', '\t', '\n', ',', ';'])
                .filter(|name| !name.is_empty())
                .map(|name| format!("\"{name}\""))
                .collect();
            return Err(error.note(format!("write [{}]", names.join(", "))));
        }
        if interfaces.iter().any(|known| known == name) {
            return Err(item.error(format!("`{name}` is named twice in `interface`")));
        }
        interfaces.push(name.to_owned());
    }
    let balances = [("flow", Balance::Flow), ("round_robin", Balance::RoundRobin)];
    let directions = [("receive", Direction::Receive), ("both", Direction::Both)];
    let clocks = [("system", Clock::System), ("hardware", Clock::Hardware)];
    Ok(Live {
        interfaces,
        cluster: match table.entry("cluster") {
            Some(entry) => Some(entry.whole(1..=u16::MAX)?),
            None => None,
        },
        balance: table.entry("balance").map_or(Ok(Balance::default()), |e| e.one_of(&balances))?,
        promiscuous: table.entry("promiscuous").map_or(Ok(true), |entry| entry.flag())?,
        direction: table
            .entry("direction")
            .map_or(Ok(Direction::default()), |entry| entry.one_of(&directions))?,
        clock: table.entry("clock").map_or(Ok(Clock::default()), |e| e.one_of(&clocks))?,
        ring_mib: table.entry("ring_mib").map_or(Ok(64), |entry| entry.whole(1..=4096))?,
        block_timeout_ms: table
            .entry("block_timeout_ms")
            .map_or(Ok(10), |entry| entry.whole(1..=1000))?,
        window_ms: table.entry("window_ms").map_or(Ok(50), |entry| entry.whole(0..=10_000))?,
    })
}

fn stages(top: &Table<'_>) -> Result<Vec<Plugged>, ConfigError> {
    let tables = at_least_one(top, "stage", "use = \"decode\"")?;
    tables.iter().enumerate().map(|(index, table)| plugged(table, "stage", index)).collect()
}

fn sinks(top: &Table<'_>, spills: bool) -> Result<Vec<SinkEntry>, ConfigError> {
    let tables = at_least_one(top, "sink", "use = \"jsonl\"\npath = \"-\"")?;
    tables.iter().enumerate().map(|(index, table)| sink(table, index, spills)).collect()
}

fn at_least_one<'a>(
    top: &Table<'a>,
    name: &str,
    example: &str,
) -> Result<Vec<Table<'a>>, ConfigError> {
    let tables = top.tables(name)?;
    if tables.is_empty() {
        let message = format!("no [[{name}]] in this file; a chain has at least one");
        return Err(ConfigError::of_file(top.document.path(), message)
            .note(format!("for example:\n[[{name}]]\n{example}")));
    }
    Ok(tables)
}

/// `spills` says whether there is a directory for it.
fn sink(table: &Table<'_>, index: usize, spills: bool) -> Result<SinkEntry, ConfigError> {
    let plugged = plugged(table, "sink", index)?;
    let queue = table.entry("queue").map_or(Ok(64), |entry| entry.whole(1..=65_536))?;
    let when_full = table.entry("when_full").map(|entry| entry.one_of(&WhenFull::ALL));
    let when_full = when_full.transpose()?;
    if let Some(entry) = table.entry("when_full").filter(|entry| entry.is("spill") && !spills) {
        return Err(entry
            .error("`when_full` is \"spill\", but no directory is named for it")
            .note("in [engine], for example: spill = \"/var/lib/ringmill/spill\""));
    }
    let spill_full = [("drop_oldest", true), ("drop_newest", false)];
    Ok(SinkEntry {
        plugged,
        queue,
        when_full,
        spill_mib: table.entry("spill_mib").map_or(Ok(4096), |entry| entry.whole(1..=1 << 20))?,
        spill_drops_oldest: table
            .entry("spill_full")
            .map_or(Ok(true), |entry| entry.one_of(&spill_full))?,
        retries: table.entry("retries").map_or(Ok(3), |entry| entry.whole(1..=1000))?,
        retry_seconds: table
            .entry("retry_seconds")
            .map_or(Ok(30), |entry| entry.whole(1..=3600))?,
        drain_seconds: table
            .entry("drain_seconds")
            .map_or(Ok(10), |entry| entry.whole(1..=3600))?,
    })
}

fn plugged(table: &Table<'_>, kind: &'static str, index: usize) -> Result<Plugged, ConfigError> {
    let Some(entry) = table.entry("use") else {
        let slip = table.names().find(|key| suggest::nearest(key, &["use"]).is_some());
        if let Some(slip) = slip.and_then(|slip| table.entry(slip)) {
            return Err(slip
                .key_error(format!("unknown key `{}`, and `use` is missing", slip.name))
                .note("did you mean `use`?"));
        }
        let example = if kind == "stage" { "decode" } else { "jsonl" };
        return Err(table
            .error(format!("`use` is missing in this [[{kind}]]; it says which {kind} it is"))
            .note(format!("for example: use = \"{example}\"")));
    };
    if entry.list().is_some() {
        return Err(entry
            .wrong("text")
            .note(format!("every {kind} is a [[{kind}]] of its own, with its own `use`")));
    }
    let name = entry.text()?.to_owned();
    // Of a sink it is not one of the engine's keys.
    let on_error = table.entry("on_error").filter(|_| kind == "stage");
    Ok(Plugged {
        plugin: path(table, "plugin")?,
        on_error: on_error.map_or(Ok(OnError::default()), |entry| entry.one_of(&OnError::ALL))?,
        options: options::text(table.document, table.entries, reader::host_keys(kind))?,
        place: Place { table: kind, index: Some(index), name: name.clone() },
        name,
    })
}

fn path(table: &Table<'_>, name: &str) -> Result<Option<PathBuf>, ConfigError> {
    table.entry(name).map(|entry| entry.text().map(PathBuf::from)).transpose()
}
