//! `engine --config F` and `engine check --config F`.

use std::{fs, path::Path, sync::Arc, sync::atomic::AtomicBool};

use ringmill::{
    Engine, Outcome, StartError,
    config::{self, Config, ConfigError},
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{
    BAD_USAGE, ConfigArgs, DONE, FAILED, complain, describe, print, progress::Progress, reload,
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
    // First of all, so that one that comes while the engine starts does not end it.
    let hangup = reload::Hangup::watch();
    let started = load(arguments).map_err(StartError::from).and_then(|config| {
        let ledger = config.engine.ledger.clone();
        let mut engine = Engine::new(config)?;
        stop_on_signals(&engine.stop());
        let (again, stop) = (arguments.clone(), engine.stop());
        engine.reload_when(hangup.asked(), move || hangup.load(&stop, || load(&again)));
        let mut progress = None;
        let outcome = engine.run(|gauge| {
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

/// The first SIGINT or SIGTERM ends the run at the next batch; the second ends the process, for
/// whoever does not want to wait for a sink.
fn stop_on_signals(stop: &Arc<AtomicBool>) {
    for signal in [SIGINT, SIGTERM] {
        let second = flag::register_conditional_default(signal, Arc::clone(stop));
        let first = flag::register(signal, Arc::clone(stop));
        if let Err(error) = second.and(first) {
            tracing::warn!("signal {signal} will end the engine at once: {error}");
        }
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
