//! A whole sink: counts the requests of each host and writes the list at the end.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ringmill_sdk::{arrow_array::cast::AsArray, prelude::*};

options! {
    /// Options of `[[sink]] use = "hosts"`.
    pub struct Options {
        /// The file that the list is written to.
        path: PathBuf,
    }
}

struct Hosts {
    path: PathBuf,
    requests: BTreeMap<String, u64>,
}

impl Sink for Hosts {
    const NAME: &'static str = "hosts";
    const SUMMARY: &'static str = "counts the requests of each host";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, _: &Host) -> Result<Self> {
        Ok(Self { path: options.path, requests: BTreeMap::new() })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        let hosts = records.column_by_name("host").and_then(|column| column.as_string_opt::<i32>());
        hosts
            .into_iter()
            .flatten()
            .flatten()
            .for_each(|host| *self.requests.entry(host.into()).or_default() += 1);
        Ok(())
    }

    fn flush(&mut self) -> Result {
        let lines = self.requests.iter().map(|(host, n)| format!("{n}\t{host}\n"));
        Ok(fs::write(&self.path, lines.collect::<String>())?)
    }
}

export_plugin!(sink Hosts);
