//! What makes a run a service that can be left alone: it tells the service manager how it does
//! ([`notify`]), notices a worker that no stage gives back, and gives up the rights that it does
//! not need.

pub mod notify;
mod privileges;
mod sandbox;
mod watchdog;

pub(crate) use privileges::keep_for_rings;
pub use privileges::renounce;
pub use watchdog::Stuck;
pub(crate) use watchdog::{Hook, Watchdog};

use crate::{
    config::{Backend, Config},
    plan::Plan,
};

/// Gives up what a run does not need; to be called before its first thread, because all of it but
/// the user is inherited and not shared. Opening rings and reading keys is still possible, until
/// each thread has given that up, too.
///
/// # Errors
/// When the config names a user that the process cannot become.
pub(crate) fn confine(config: &Config, plan: &Plan, from: Backend) -> Result<(), String> {
    let live = from != Backend::File;
    let user = privileges::become_user(config, from)?;
    // Who reads a capture file knows who he is.
    match live || config.engine.user.is_some() {
        true => tracing::info!("{user}"),
        false => tracing::debug!("{user}"),
    }
    if config.engine.sandbox.unwrap_or(live) {
        let (files, calls) = (sandbox::files(config, plan), sandbox::calls(from));
        tracing::info!("{files}; {calls}");
    }
    Ok(())
}
