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

struct Hosts(PathBuf, BTreeMap<String, u64>);

impl Sink for Hosts {
    const NAME: &'static str = "hosts";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, _: &Host) -> Result<Self> {
        Ok(Self(options.path, BTreeMap::new()))
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        let Some(hosts) = records.column_by_name("host") else { return Ok(()) };
        for host in hosts.as_string::<i32>().iter().flatten() {
            *self.1.entry(host.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result {
        let lines = self.1.iter().map(|(host, n)| format!("{n}\t{host}\n"));
        Ok(fs::write(&self.0, lines.collect::<String>())?)
    }
}

export_plugin!(sink Hosts);
