//! `engine doctor --config F`.

use std::fmt::Write as _;

use ringmill::{
    Engine, StartError,
    doctor::{self, Level},
};

use super::{BAD_USAGE, ConfigArgs, DONE, FAILED, complain, print, run};

/// Prints a line for each finding. The status is that of the worst.
pub(super) fn doctor(arguments: &ConfigArgs) -> u8 {
    // A config that does not run on any machine is none to check a machine for.
    let engine = run::load(arguments).map_err(StartError::from).and_then(Engine::new);
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error.to_string());
            return BAD_USAGE;
        }
    };
    let findings = doctor::examine(engine.config(), &doctor::gather(engine.config()));
    let mut text = String::new();
    for finding in &findings {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{finding}");
    }
    let status = match findings.iter().map(|finding| finding.level).max() {
        None | Some(Level::Ok) => DONE,
        Some(Level::Warning) => FAILED,
        Some(Level::Error) => BAD_USAGE,
    };
    print(&text).max(status)
}
