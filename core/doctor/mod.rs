//! `engine doctor`: looks whether this machine is fit for a config, and says what mends it.
//!
//! First everything is gathered into a [`Machine`]; then each check is a small function over it.
//! So the checks can be tried on machines that are made up, and none of them touches a thing.

mod gather;
mod host;
mod interface;
mod machine;
mod sample;
#[cfg(test)]
mod tests;
mod traffic;

use std::fmt;

pub use gather::gather;
pub use machine::{Interface, Machine, PfRing};
pub use sample::{Sample, Sampler};

use crate::config::{Backend, Config};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// The capture runs, but loses packets or shows others than were on the wire.
    Warning,
    /// The capture cannot run.
    Error,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// A sentence.
    pub text: String,
    /// Commands, or keys of the config, one a line; empty where nothing is to be mended.
    pub mend: Vec<String>,
}

impl Finding {
    fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), mend: Vec::new() }
    }

    fn warning(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into(), mend: vec![mend.into()] }
    }

    fn error(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { level: Level::Error, text: text.into(), mend: vec![mend.into()] }
    }

    fn or(mut self, mend: impl Into<String>) -> Self {
        self.mend.push(mend.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level:<7} {}", self.text)?;
        self.mend.iter().try_for_each(|line| write!(f, "\n        {line}"))
    }
}

/// Checks a machine for a config: only what its way of capturing has to do with.
pub fn examine(config: &Config, machine: &Machine) -> Vec<Finding> {
    let (back_end, mut findings) = host::back_end(config, machine);
    let live = config.capture.live.as_ref().zip(back_end.filter(|it| *it != Backend::File));
    if let Some((live, back_end)) = live {
        for interface in &machine.interfaces {
            findings.extend(interface::examine(config, live, back_end, interface));
        }
        findings.extend(traffic::examine(config, back_end, machine));
        findings.extend(host::capabilities(live, back_end, machine));
        findings.extend(host::memory(config, live, back_end, machine));
    } else if let Some(files) = &machine.files {
        findings.push(host::files(files));
    }
    findings.extend(host::cores(config, machine));
    findings.extend(host::open_files(config, machine));
    findings
}
