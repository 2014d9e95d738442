//! The engine with a `kafka` sink.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    common::plugins,
    whole::{Ran, Whole},
};

pub(crate) struct Scene {
    whole: Whole,
    pub(crate) brokers: String,
    pub(crate) plugin: PathBuf,
    /// Of the sink.
    pub(crate) options: String,
}

impl Scene {
    pub(crate) fn new(brokers: &str, prefix: &str) -> Self {
        let options = format!("topic_prefix = {prefix:?}\n");
        let plugin = plugins().join("libkafka.so");
        Self { whole: Whole::new("kafka"), brokers: brokers.to_owned(), plugin, options }
    }

    /// The table of the sink.
    pub(crate) fn sink(&self) -> String {
        format!(
            "[[sink]]\nplugin = {:?}\nuse = \"kafka\"\nbrokers = {:?}\n{}",
            self.plugin, self.brokers, self.options
        )
    }

    /// The engine over these captures.
    pub(crate) fn command(&self, files: &[impl AsRef<Path>]) -> Command {
        self.whole.command(files, &self.sink())
    }

    /// Runs it to its end; the ledger balances.
    pub(crate) fn run(&self, files: &[impl AsRef<Path>]) -> Ran {
        self.whole.run(files, &self.sink())
    }
}

impl Deref for Scene {
    type Target = Whole;

    fn deref(&self) -> &Whole {
        &self.whole
    }
}
