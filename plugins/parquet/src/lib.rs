//! The `parquet` sink: records as Parquet files, which DuckDB, Polars and Spark search.
//!
//! ```text
//! DIRECTORY/http_request/day=2026-11-23/hour=03/part-20261123T031500Z-3f9a01c2-000001.parquet
//! DIRECTORY/http_response/day=2026-11-23/hour=03/part-20261123T031500Z-3f9a01c2-000002.parquet
//! ```
//!
//! A directory for each record type, in it one for each day and hour, in UTC, of the rows' `time`
//! (rows without one go to the hour in which they are written), and there a file for every so many
//! seconds, MiB or rows, named by when it was begun. Readers take `day` and `hour` for columns, and
//! skip the hours that a query does not ask for. Several hours may be open at once.
//!
//! A file has its name only when it is whole and on the disk (see `file`), so everything that
//! `*.parquet` matches can be read at any time, also after a power cut. Row groups go to the disk
//! as they get full or old, each with a footer beside it, and what a `kill -9` leaves is made a
//! whole file by the next run (see `recover`): lost is no more than the rows of the last
//! `row_group_seconds`. Recovered rows are counted by themselves; they were another run's.
//!
//! A disk that is full, or has less than `free_mib` left, costs no row that was taken: what is
//! encoded waits in memory, and no more is taken until there is room.
//!
//! Which types the columns have is in `columns`, how they are encoded in `properties`. The
//! key-value metadata says what a file holds and how it was made: `ringmill.record`,
//! `ringmill.created_by`, `ringmill.options`, for each column of addresses
//! `ringmill.anonymized.COLUMN`, the method or `none`, and `ringmill.manifest`, which
//! `engine manifest FILE` prints: the engine, its chain, and the ledger up to the end of the file.

mod columns;
mod disk;
mod file;
mod footers;
mod hours;
mod properties;
mod query;
mod recover;
mod table;
#[cfg(test)]
mod tests;
mod threads;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use ringmill_sdk::{ErrorKind, prelude::*};

use crate::{columns::Plan, file::Names, hours::Hour, table::Table};

/// Files open at once; a stage that makes a new schema for every batch must not eat up memory,
/// nor must a capture of many hours.
const TABLES: usize = 16;
const SECOND: i64 = 1_000_000_000;

choice! {
    /// How the pages of a file are compressed.
    pub enum Compression { Zstd = "zstd", None = "none" }
}

options! {
    /// Options of `[[sink]] use = "parquet"`.
    pub struct Options {
        /// Where the files go, in a directory for each record type, day and hour.
        directory: PathBuf,
        /// Closes a file when it is this many seconds old.
        rotate_seconds: u64 = 300,
        /// Closes a file when it has this many MiB.
        rotate_mib: u64 = 256,
        /// Closes a file when it has this many rows.
        rotate_rows: u64 = 1_048_576,
        /// Rows in a row group, the unit in which readers skip and work in parallel.
        row_group_rows: u64 = 262_144,
        /// Ends a row group when its oldest row is this many seconds old; a crash loses no
        /// older ones.
        row_group_seconds: u64 = 30,
        /// Takes nothing while the disk has fewer MiB free.
        free_mib: u64 = 256,
        /// Threads that encode the columns of a file.
        writers: u8 = 1,
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
    /// What is taken and in no table yet: of a batch of several hours the later ones, when
    /// there was no room for a file.
    parts: VecDeque<(Hour, RecordBatch)>,
    /// What dead processes left has been looked for.
    recovered: bool,
    /// That of the first file of each record type, and by record type of the next.
    first: Span,
    spans: HashMap<String, Span>,
    /// What to ask of the files, the best line so far.
    question: Option<String>,
    suggested: bool,
    /// Rows taken since the last flush that went down with a file.
    lost: u64,
    batches: u64,
    files: Counter,
    bytes: Counter,
    recovered_files: Counter,
    recovered_rows: Counter,
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
            parts: VecDeque::new(),
            recovered: false,
            first: Span::begin(host),
            spans: HashMap::new(),
            question: None,
            suggested: false,
            lost: 0,
            batches: 0,
            files: host.counter("files"),
            bytes: host.counter("bytes"),
            recovered_files: host.counter("recovered_files"),
            recovered_rows: host.counter("recovered_rows"),
        })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        if records.num_rows() == 0 {
            // An empty batch asks whether the schema can be written, no more.
            return Plan::new(records.schema_ref()).map(drop);
        }
        self.recover();
        // After a reload what comes has another manifest.
        for table in &mut self.tables {
            table.closing |= !table.says_the_same(records);
        }
        self.settle()?;
        self.batches += 1;
        self.parts.extend(hours::split(records, Hour::now()));
        let all = self.parts.len();
        match self.place() {
            // The batch is not taken.
            Err(error) if self.parts.len() == all || error.kind() != ErrorKind::Retry => {
                self.parts.clear();
                Err(error)
            }
            // It is, and the next call tells.
            _ => Ok(()),
        }
    }

    fn tick(&mut self, now: Timestamp) -> Result {
        self.recover();
        let limit = |seconds: u64| SECOND.saturating_mul(seconds.cast_signed());
        let (rotate, group) =
            (limit(self.options.rotate_seconds), limit(self.options.row_group_seconds));
        for table in &mut self.tables {
            let (age, unsaved) = table.ages(now);
            table.closing |= age >= rotate;
            if unsaved >= group && !table.closing {
                table.end_group()?;
            }
        }
        // A full disk is told when something is to be written.
        self.settle().or_else(|error| match error.kind() {
            ErrorKind::Retry => Ok(()),
            _ => Err(error),
        })
    }

    fn flush(&mut self) -> Result {
        self.recover();
        let mut result = self.place();
        for table in &mut self.tables {
            table.closing = true;
        }
        result = result.and(self.close_those_due());
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
    /// Makes files of what dead processes left; once, and not for a check of the config.
    fn recover(&mut self) {
        if !std::mem::replace(&mut self.recovered, true) {
            let found = recover::recover(&self.options.directory, &self.host);
            self.recovered_files.add(found.files);
            self.recovered_rows.add(found.rows);
        }
    }

    /// Does what is left of earlier calls.
    ///
    /// # Errors
    /// There is no room, or something is wrong with a file; nothing that was taken is lost by it,
    /// unless it says so.
    fn settle(&mut self) -> Result {
        let room = disk::has_room(&self.options.directory, self.options.free_mib);
        if room.is_err() {
            // While there is room for what is open.
            self.tables.iter_mut().for_each(|table| table.closing = true);
        }
        self.close_those_due()?;
        room?;
        self.tables.iter_mut().try_for_each(Table::save)?;
        self.place()
    }

    /// Puts what is taken into its tables.
    fn place(&mut self) -> Result {
        while let Some((hour, rows)) = self.parts.front().cloned() {
            let at = match self.tables.iter().position(|it| it.takes(rows.schema_ref(), hour)) {
                Some(at) => at,
                None => self.open(Plan::new(rows.schema_ref())?, hour)?,
            };
            let Some(table) = self.tables.get_mut(at) else { return Ok(()) };
            table.used = self.batches;
            if let Err(error) = table.push(&rows) {
                // What is in no row group is no use; this batch is not taken, the ones before
                // it are lost.
                self.lost += table.rows() - rows.num_rows() as u64;
                self.tables.remove(at);
                return Err(error);
            }
            self.parts.pop_front();
            table.closing |= table.rows() >= self.options.rotate_rows
                || table.bytes() >= self.options.rotate_mib.saturating_mul(1 << 20);
            match table.closing {
                true => self.close(at)?,
                false => table.save()?,
            }
        }
        Ok(())
    }

    /// Opens a file for records of a schema and hour that have none; gives its place.
    fn open(&mut self, plan: Plan, hour: Hour) -> Result<usize> {
        if self.tables.len() >= TABLES
            && let Some(oldest) = (0..self.tables.len()).min_by_key(|at| self.tables[*at].used)
        {
            self.close(oldest)?;
        }
        let record = schema::record_name(&plan.source);
        let span = self.spans.get(record).unwrap_or(&self.first).clone();
        self.tables.push(Table::create(plan, hour, &self.options, &mut self.names, span)?);
        Ok(self.tables.len() - 1)
    }

    fn close_those_due(&mut self) -> Result {
        let mut result = Ok(());
        for at in (0..self.tables.len()).rev() {
            if self.tables[at].closing {
                result = result.and(self.close(at));
            }
        }
        result
    }

    /// Closes a file. After an error that may pass it stays, to be closed later.
    fn close(&mut self, at: usize) -> Result {
        let table = &mut self.tables[at];
        let closed = table.close();
        if closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Retry) {
            return closed.map(drop);
        }
        let table = self.tables.remove(at);
        self.spans.insert(table.record().to_owned(), Span::begin(&self.host));
        let (path, bytes) = closed.inspect_err(|_| self.lost += table.rows())?;
        self.host.debug(format_args!("closed `{}`", path.display()));
        self.files.add(1);
        self.bytes.add(bytes);
        let has_host = table.record() == "http_request" && table.has_column("host");
        if has_host || self.question.is_none() {
            self.question = query::line(table.directory(), has_host);
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
            ("row_group_seconds", self.row_group_seconds),
            ("writers", self.writers.into()),
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
