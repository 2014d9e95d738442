//! `engine --config F` and `engine check --config F`.

use std::{fs, path::Path};

use ringmill::{
    Engine, Outcome, StartError,
    config::{self, Config, ConfigError},
};

use super::{
    BAD_USAGE, ConfigArgs, DONE, FAILED, complain, describe, print, progress::Progress,
    service::Manager, signals::Signals,
};

pub(super) fn check(arguments: &ConfigArgs) -> u8 {
    let checked = load(arguments).map_err(StartError::from).and_then(|config| {
        let engine = Engine::new(config)?;
        let inputs = engine.inputs()?;
        Ok((engine, inputs.len()))
    });
    match checked {
        Ok((engine, inputs)) => print(&describe::plan(&engine, inputs)),
        Err(error) => {
            complain(&error.to_string());
            BAD_USAGE
        }
    }
}

pub(super) fn run(arguments: &ConfigArgs, quiet: bool, profile: bool) -> u8 {
    let started = load(arguments).map_err(StartError::from).and_then(|config| {
        let ledger = config.engine.ledger.clone();
        let mut engine = Engine::new(config)?;
        let mut manager = Manager::from_env();
        engine.on_look(move |gauge| manager.tell(gauge));
        let signals = Signals::catch();
        let stop = engine.stop();
        let mut progress = None;
        let outcome = engine.run(|gauge| {
            signals.heed(stop, gauge.clone());
            progress = (!quiet).then(|| Progress::start(gauge)).flatten();
        })?;
        drop(progress);
        Ok((outcome, ledger))
    });
    match started {
        Ok((outcome, ledger)) => finish(&outcome, ledger.as_deref(), quiet, profile),
        Err(error) => {
            complain(&error.to_string());
            BAD_USAGE
        }
    }
}

pub(super) fn load(arguments: &ConfigArgs) -> Result<Config, ConfigError> {
    let mut config = config::load(&arguments.config)?;
    if !arguments.read.is_empty() {
        config = config.with_files(arguments.read.clone());
    }
    match arguments.workers {
        Some(workers) => config.with_workers(workers),
        None => Ok(config),
    }
}

fn finish(outcome: &Outcome, ledger: Option<&Path>, quiet: bool, profile: bool) -> u8 {
    let mut status = if outcome.is_good() { DONE } else { FAILED };
    if !quiet {
        complain(outcome.ledger.to_string().trim_end());
    }
    if profile {
        complain(outcome.ledger.profile().trim_end());
    }
    if let Some(path) = ledger
        && let Err(error) = write_ledger(outcome, path)
    {
        complain(&format!("the ledger could not be written to `{}`: {error}", path.display()));
        status = FAILED;
    }
    for failure in &outcome.failures {
        complain(&format!("error: {failure}"));
    }
    for wrong in &outcome.ledger.imbalances {
        if quiet {
            complain(&format!("error: the ledger does not balance: {wrong}"));
        }
    }
    if !quiet && status == DONE {
        for line in outcome.suggestions.iter().take(1) {
            complain(&format!("next:\n  {line}"));
        }
    }
    status
}

/// Written aside and renamed, so that a reader never sees half of it.
fn write_ledger(outcome: &Outcome, path: &Path) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(&outcome.ledger)?;
    text.push('\n');
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let aside = path.with_extension("inprogress");
    fs::write(&aside, text)?;
    fs::rename(&aside, path)
}
