//! What makes a run a service that can be left alone: it tells the service manager how it does
//! ([`notify`]), notices a worker that no stage gives back, and gives up the rights that it does
//! not need.

pub mod notify;
mod places;
mod privileges;
mod sandbox;
mod watchdog;

pub(crate) use places::Reach;
pub(crate) use privileges::keep_for_rings;
pub use privileges::renounce;
pub use watchdog::Stuck;
pub(crate) use watchdog::{Hook, Watchdog};

use crate::{
    chain::Blueprint,
    config::{Backend, Config},
};
use places::Places;

/// Gives up what a run does not need; to be called before its first thread, because all of it but
/// the user is inherited and not shared. Opening rings and reading keys is still possible, until
/// each thread has given that up, too. Returns what remains within reach.
///
/// # Errors
/// When the config names a user that the process cannot become.
pub(crate) fn confine(
    config: &Config,
    blueprint: &Blueprint,
    from: Backend,
) -> Result<Reach, String> {
    let live = from != Backend::File;
    let user = privileges::become_user(config, from)?;
    // Who reads a capture file knows who he is.
    match live || config.engine.user.is_some() {
        true => tracing::info!("{user}"),
        false => tracing::debug!("{user}"),
    }
    if !config.engine.sandbox.unwrap_or(live) {
        return Ok(Reach::default());
    }
    let places = Places::of(config, blueprint);
    let ((files, guarded), calls) = (sandbox::files(&places), sandbox::calls(from));
    tracing::info!("{files}; {calls}");
    Ok(Reach { places: guarded.then_some(places) })
}
