//! The `parquet` sink: records as Parquet files, which DuckDB, Polars and Spark search.
//!
//! ```text
//! DIRECTORY/http_request/part-20261123T031500Z-3f9a01c2-000001.parquet
//! DIRECTORY/http_response/part-20261123T031500Z-3f9a01c2-000002.parquet
//! ```
//!
//! One directory for each record type, and in it a file for every so many seconds, MiB or
//! rows; the name has the time at which the file was begun. A file is written under a hidden
//! name and has its own only when it is whole and on the disk (see `file`), so everything that
//! `*.parquet` matches can be read at any time, also after a power cut. A `kill -9` loses the
//! records since the last file was closed; what it leaves is removed by the next run, with a
//! line in the log.
//!
//! Which types the columns have is in `columns`, how they are encoded in `properties`. The
//! key-value metadata says what a file holds and how it was made: `ringmill.record`,
//! `ringmill.created_by`, `ringmill.options`, for each column of addresses
//! `ringmill.anonymized.COLUMN`, the method or `none`, and `ringmill.manifest`, which
//! `engine manifest FILE` prints: the engine, its chain, and the ledger up to the end of the file.

mod columns;
mod file;
mod properties;
mod query;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use ringmill_sdk::prelude::*;

use crate::{columns::Plan, file::Names, table::Table};

/// Files open at once; a stage that makes a new schema for every batch must not eat up memory.
const TABLES: usize = 16;
const SECOND: i64 = 1_000_000_000;

choice! {
    /// How the pages of a file are compressed.
    pub enum Compression { Zstd = "zstd", None = "none" }
}

options! {
    /// Options of `[[sink]] use = "parquet"`.
    pub struct Options {
        /// Where the files go, in a directory for each record type.
        directory: PathBuf,
        /// Closes a file when it is this many seconds old; what is open at a crash is lost.
        rotate_seconds: u64 = 300,
        /// Closes a file when it has this many MiB.
        rotate_mib: u64 = 256,
        /// Closes a file when it has this many rows.
        rotate_rows: u64 = 1_048_576,
        /// Rows in a row group, the unit in which readers skip and work in parallel.
        row_group_rows: u64 = 262_144,
        /// How pages are compressed.
        compression: Compression = Compression::Zstd,
        /// From 1, fast, to 22, small.
        zstd_level: u8 = 1,
    }
}

/// The sink.
pub struct Parquet {
    options: Options,
    host: Host,
    names: Names,
    tables: Vec<Table>,
    /// Directories in which what dead processes left has been looked for.
    cleaned: HashSet<PathBuf>,
    /// That of the first file of each record type, and by record type of the next.
    first: Span,
    spans: HashMap<String, Span>,
    /// What to ask of the files, the best line so far.
    question: Option<String>,
    suggested: bool,
    /// Rows taken since the last flush that went down with a file.
    lost: u64,
    files: Counter,
    bytes: Counter,
}

impl Sink for Parquet {
    const NAME: &'static str = "parquet";
    const SUMMARY: &'static str = "writes records as Parquet files";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        options.check()?;
        Ok(Self {
            options,
            host: host.clone(),
            names: Names::new(),
            tables: Vec::new(),
            cleaned: HashSet::new(),
            first: Span::begin(host),
            spans: HashMap::new(),
            question: None,
            suggested: false,
            lost: 0,
            files: host.counter("files"),
            bytes: host.counter("bytes"),
        })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        let at = match self.tables.iter().position(|table| table.takes(records.schema_ref())) {
            Some(at) => at,
            None => {
                let plan = Plan::new(records.schema_ref())?;
                // An empty batch asks whether the schema can be written, no more.
                if records.num_rows() == 0 {
                    return Ok(());
                }
                self.open(plan)?
            }
        };
        let Some(table) = self.tables.get_mut(at) else { return Ok(()) };
        if let Err(error) = table.push(records) {
            // What is in the file is no use without its end; this batch is not taken, the
            // ones before it are lost.
            let before = table.rows() - records.num_rows() as u64;
            self.tables.remove(at);
            self.lost += before;
            return Err(error);
        }
        let full = table.rows() >= self.options.rotate_rows
            || table.bytes() >= self.options.rotate_mib.saturating_mul(1 << 20);
        if full && let Err(error) = self.close(at) {
            self.lost = self.lost.saturating_sub(records.num_rows() as u64);
            return Err(error);
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) -> Result {
        let limit = SECOND.saturating_mul(self.options.rotate_seconds.cast_signed());
        let mut result = Ok(());
        for at in (0..self.tables.len()).rev() {
            let Some(table) = self.tables.get_mut(at) else { continue };
            // A clock that was set back starts anew.
            let opened = table.opened.filter(|opened| *opened <= now).unwrap_or(now);
            table.opened = Some(opened);
            if now.0.saturating_sub(opened.0) >= limit {
                result = result.and(self.close(at));
            }
        }
        result
    }

    fn flush(&mut self) -> Result {
        let mut result = Ok(());
        while !self.tables.is_empty() {
            result = result.and(self.close(self.tables.len() - 1));
        }
        if let Some(question) = self.question.take_if(|_| !self.suggested) {
            self.host.suggest(question);
            self.suggested = true;
        }
        let lost = std::mem::take(&mut self.lost);
        match lost {
            0 => result,
            _ => Err(result.err().unwrap_or_else(|| Error::new("a file could not be finished")))
                .map_err(|error| error.while_doing(format_args!("{lost} records were lost"))),
        }
    }
}

impl Parquet {
    /// Opens a file for records of a schema that has none; gives its place.
    fn open(&mut self, plan: Plan) -> Result<usize> {
        if self.tables.len() == TABLES {
            self.close(0)?;
        }
        let record = schema::record_name(&plan.source);
        let directory = table::directory_of(&self.options.directory, record);
        table::make(&directory)?;
        if !self.cleaned.contains(&directory) {
            file::clean(&directory, &self.host);
            self.cleaned.insert(directory.clone());
        }
        let span = self.spans.remove(record).unwrap_or_else(|| self.first.clone());
        self.tables.push(Table::create(plan, &directory, &self.options, &mut self.names, span)?);
        Ok(self.tables.len() - 1)
    }

    fn close(&mut self, at: usize) -> Result {
        let table = self.tables.remove(at);
        let has_host = table.record() == "http_request" && table.has_column("host");
        let (rows, record) = (table.rows(), table.record().to_owned());
        let closed = table.close();
        self.spans.insert(record, Span::begin(&self.host));
        let (path, bytes) = closed.inspect_err(|_| self.lost += rows)?;
        self.host.debug(format_args!("closed `{}`", path.display()));
        self.files.add(1);
        self.bytes.add(bytes);
        if let Some(directory) = path.parent()
            && (has_host || self.question.is_none())
        {
            self.question = query::line(directory, has_host);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Parquet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parquet").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Options {
    fn check(&self) -> Result {
        let directory = &self.directory;
        let shown = directory.display();
        if directory.as_os_str().is_empty() {
            return Err(Error::config("directory", "is empty; name a directory, such as `out`"));
        }
        // The nearest thing on the way that exists.
        if let Some(above) = directory.ancestors().find(|above| above.exists())
            && !above.is_dir()
        {
            let text = match above == directory {
                true => format!("`{shown}` is a file; name a directory"),
                false => format!("`{}` is a file, so `{shown}` cannot be made", above.display()),
            };
            return Err(Error::config("directory", text));
        }
        let limits = [
            ("rotate_seconds", self.rotate_seconds),
            ("rotate_mib", self.rotate_mib),
            ("rotate_rows", self.rotate_rows),
            ("row_group_rows", self.row_group_rows),
        ];
        if let Some((key, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
            return Err(Error::config(key, "must be at least 1"));
        }
        if !(1..=22).contains(&self.zstd_level) {
            return Err(Error::config("zstd_level", "must be from 1 to 22"));
        }
        Ok(())
    }

    /// As the file's metadata tells them; without the directory, which is nobody's business.
    fn told(&self) -> String {
        let Self { rotate_seconds, rotate_mib, rotate_rows, row_group_rows, .. } = self;
        let compression = match self.compression {
            Compression::None => "none".to_owned(),
            Compression::Zstd => format!("zstd zstd_level={}", self.zstd_level),
        };
        format!(
            "compression={compression} row_group_rows={row_group_rows} rotate_rows={rotate_rows} \
             rotate_mib={rotate_mib} rotate_seconds={rotate_seconds}"
        )
    }
}
