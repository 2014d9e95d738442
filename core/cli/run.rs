//! `engine --config F` and `engine check --config F`.

use std::{fs, path::Path, sync::Arc};

use ringmill::{
    Engine, Outcome, StartError,
    config::{self, Config, ConfigError},
};
use tracing::Level;

use super::{
    BAD_USAGE, ConfigArgs, DONE, FAILED, complain, describe, log, print, progress::Progress,
    reload, service::Manager, signals::Signals,
};

pub(super) fn check(arguments: &ConfigArgs, quiet: bool) -> u8 {
    let checked = load(arguments).map_err(StartError::from).and_then(|config| {
        let engine = Engine::new(config)?;
        let inputs = engine.inputs()?;
        Ok((engine, inputs.len()))
    });
    match checked {
        Ok(_) if quiet => DONE,
        Ok((engine, inputs)) => print(&describe::plan(&engine, inputs)),
        Err(error) => {
            complain(&error.to_string());
            BAD_USAGE
        }
    }
}

pub(super) fn run(arguments: &ConfigArgs, quiet: bool, profile: bool) -> u8 {
    // First of all, so that one that comes while the engine starts does not end it.
    let hangup = reload::Hangup::watch();
    let started = load(arguments).map_err(StartError::from).and_then(|config| {
        let ledger = config.engine.ledger.clone();
        let mut engine = Engine::new(config)?;
        engine.confine();
        let manager = Arc::new(Manager::from_env());
        let looks = Arc::clone(&manager);
        engine.on_look(move |gauge| looks.tell(gauge));
        let (signals, ended) = (Signals::catch(), engine.stop());
        let (again, stop) = (arguments.clone(), engine.stop());
        engine.reload_when(
            hangup.asked(),
            move || hangup.load(&stop, || load(&again)),
            move |reload| manager.tell_of(reload),
        );
        let mut progress = None;
        let outcome = engine.run(|gauge| {
            signals.heed(ended, gauge.clone());
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
    log::end();
    if !quiet && log::is_json() {
        let ledger = serde_json::to_value(&outcome.ledger).unwrap_or_default();
        log::say(Level::INFO, "the run is over", Some(("ledger", ledger)));
    } else if !quiet {
        log::say(Level::INFO, outcome.ledger.to_string().trim_end(), None);
    }
    if profile {
        log::say(Level::INFO, outcome.ledger.profile().trim_end(), None);
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
            log::say(Level::INFO, &format!("next:\n  {line}"), None);
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
