//! The `jsonl` sink: every record as a line of JSON.
//!
//! ```text
//! {"record":"http_request","time":"2012-12-01T02:54:30.191989000Z","src_ip":"203.0.113.7",...}
//! ```
//!
//! The form is that of [`ringmill_sdk::json`]. There is no `time_ns` beside `time`, whose text
//! has all nine digits.
//!
//! What is on disk: lines are written whole, at the end of every batch that comes in at the latest,
//! and when compressed in zstd frames of a mebibyte or five seconds. A `kill -9` loses the frame not
//! yet written and may cut the last line of the file, never one in the middle. A file that
//! the path names already is not overwritten; it is renamed, as a full one is:
//! `records.jsonl` becomes `records-20261123T031500Z-000001.jsonl`, by the time of its last
//! write. So `path` always names the newest records.
//!
//! Beside a file lies `FILE.manifest.json`, which says how it came about (`engine manifest FILE`
//! prints it): written when the file is begun, so that a killed run leaves it too, and again with
//! the ledger up to then whenever the file is flushed or set aside. It is renamed with its file.
//! After a reload that changes what it says another file begins, as after a full one.
//! Standard output, pipes and devices have none.

mod file;
mod sidecar;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use ringmill_sdk::{json, prelude::*};
use zstd::bulk::Compressor;

use crate::file::Output;

/// As fast as plain text goes to disk; 3 takes half as long again to save 1 %.
const ZSTD_LEVEL: i32 = 1;
/// Lines that make a zstd frame, in bytes: enough to compress well, little to lose.
const FRAME: usize = 1 << 20;
/// The longest that a line waits for its zstd frame to fill, in nanoseconds.
const FRAME_WAIT: i64 = 5_000_000_000;
/// Lines that are written at once when they are not compressed, in bytes: they are still in the
/// processor's cache when the kernel copies them, which halves its time.
const CHUNK: usize = 256 << 10;
/// What a buffer may keep between batches, in bytes.
const BUFFER: usize = 16 << 20;
const SECOND: i64 = 1_000_000_000;

choice! {
    /// How the lines are compressed.
    pub enum Compression { None = "none", Zstd = "zstd" }
}

options! {
    /// Options of `[[sink]] use = "jsonl"`.
    pub struct Options {
        /// The file to write, or `-` for standard output, which has no manifest; directories
        /// are made, a file of an earlier run is renamed.
        path: PathBuf,
        /// Not set: "zstd" if the path ends in `.zst`, else "none".
        compression: Option<Compression> = None,
        /// Renames the file and starts another when it has this many MiB; not set: never.
        rotate_mib: Option<u64> = None,
        /// Renames the file and starts another when it is this many seconds old; not set:
        /// never.
        rotate_seconds: Option<u64> = None,
    }
}

/// The sink.
pub struct Jsonl {
    options: Options,
    host: Host,
    compressor: Option<Compressor<'static>>,
    json: json::Writer,
    /// Whole lines that are not written yet.
    lines: Vec<u8>,
    frame: Vec<u8>,
    output: Option<Output>,
    /// That of the open file, or of the next; with the lines that are not written yet.
    span: Span,
    /// The first tick that saw the open file, and the first that saw the waiting lines.
    opened: Option<Timestamp>,
    waiting: Option<Timestamp>,
    files: Counter,
    bytes: Counter,
}

impl Sink for Jsonl {
    const NAME: &'static str = "jsonl";
    const SUMMARY: &'static str = "writes records as lines of JSON";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        options.check()?;
        let compressor = match options.compression() {
            Compression::None => None,
            Compression::Zstd => {
                let mut compressor = Compressor::new(ZSTD_LEVEL)?;
                compressor.include_checksum(true)?;
                Some(compressor)
            }
        };
        Ok(Self {
            options,
            host: host.clone(),
            compressor,
            json: json::Writer::default(),
            lines: Vec::new(),
            frame: Vec::new(),
            output: None,
            span: Span::begin(host),
            opened: None,
            waiting: None,
            files: host.counter("files"),
            bytes: host.counter("bytes"),
        })
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        self.rotate_if_due(records)?;
        let before = self.lines.len();
        let result = match self.compressor {
            None => self.append_plain(records),
            Some(_) => self.append_compressed(records),
        };
        match result {
            Ok(()) => self.span.add(records),
            // This batch was not taken; lines of earlier ones may still be.
            Err(_) => self.lines.truncate(before),
        }
        result
    }

    fn tick(&mut self, now: Timestamp) -> Result {
        if !self.lines.is_empty() && age(&mut self.waiting, now) >= FRAME_WAIT {
            self.write_out()?;
        }
        let limit = self.options.rotate_seconds.map(|s| SECOND.saturating_mul(s.cast_signed()));
        let old = limit.is_some_and(|limit| age(&mut self.opened, now) >= limit);
        if old && self.output.as_ref().is_some_and(|output| output.len() > 0) {
            self.write_out()?;
            self.rotate()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result {
        self.write_out()?;
        self.output.as_ref().map_or(Ok(()), Output::sync)?;
        self.describe()
    }
}

impl Jsonl {
    /// Writes the lines of a batch, all or none.
    fn append_plain(&mut self, records: &RecordBatch) -> Result {
        if records.num_rows() == 0 {
            // It asks whether the schema can be written, no more.
            return self.json.rows(records).map(drop);
        }
        self.open()?;
        let Some(output) = &mut self.output else { return Ok(()) };
        let rows = self.json.rows(records)?;
        output.begin()?;
        let before = output.len();
        for row in 0..records.num_rows() {
            rows.append(row, &mut self.lines);
            self.lines.push(b'\n');
            if self.lines.len() >= CHUNK {
                output.write(&self.lines)?;
                self.lines.clear();
            }
        }
        output.write(&self.lines)?;
        self.lines.clear();
        self.lines.shrink_to(BUFFER);
        self.bytes.add(output.len() - before);
        Ok(())
    }

    /// Adds the lines of a batch to the frame, and writes it when it is full.
    fn append_compressed(&mut self, records: &RecordBatch) -> Result {
        let rows = self.json.rows(records)?;
        for row in 0..records.num_rows() {
            rows.append(row, &mut self.lines);
            self.lines.push(b'\n');
        }
        match self.lines.len() >= FRAME {
            true => self.write_out(),
            false => Ok(()),
        }
    }

    /// Writes the waiting lines as a frame, all or none.
    fn write_out(&mut self) -> Result {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.open()?;
        let (Some(compressor), Some(output)) = (&mut self.compressor, &mut self.output) else {
            return Ok(());
        };
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(self.lines.len()));
        compressor.compress_to_buffer(&self.lines, &mut self.frame)?;
        output.begin()?;
        output.write(&self.frame)?;
        self.bytes.add(self.frame.len() as u64);
        self.waiting = None;
        for buffer in [&mut self.lines, &mut self.frame] {
            buffer.clear();
            buffer.shrink_to(BUFFER);
        }
        Ok(())
    }

    /// Makes the file, if there is none, with its manifest beside it.
    fn open(&mut self) -> Result {
        if self.output.is_some() {
            return Ok(());
        }
        let output = match self.options.is_stdout() {
            true => Output::stdout()?,
            false => Output::create(&self.options.path, &self.host)?,
        };
        self.files.add(1);
        self.opened = None;
        let output = self.output.insert(output);
        if let Some(manifest) = self.span.manifest()
            && !output.describe(&manifest)?
        {
            self.host.debug("no manifest: what is no file has none beside it");
        }
        Ok(())
    }

    /// Brings the manifest beside the file up to date.
    fn describe(&self) -> Result {
        match (&self.output, self.span.manifest()) {
            (Some(output), Some(manifest)) => output.describe(&manifest).map(drop),
            _ => Ok(()),
        }
    }

    /// Begins another file where this one is full, or says something else of its rows.
    fn rotate_if_due(&mut self, records: &RecordBatch) -> Result {
        if !self.span.takes(records) {
            self.write_out()?;
            return self.rotate();
        }
        let limit = self.options.rotate_mib.map(|mib| mib.saturating_mul(1 << 20));
        let full = |output: &Output| limit.is_some_and(|limit| output.len() >= limit);
        match self.output.as_ref().is_some_and(full) {
            true => self.rotate(),
            false => Ok(()),
        }
    }

    fn rotate(&mut self) -> Result {
        self.describe()?;
        self.span = Span::begin(&self.host);
        // What is no file goes on, and has no manifest.
        if let Some(output) = self.output.take_if(|output| output.is_file()) {
            let aside = output.set_aside()?;
            self.host.debug(format_args!("closed `{}`", aside.display()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Jsonl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jsonl").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Options {
    fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }

    fn compression(&self) -> Compression {
        self.compression.unwrap_or_else(|| match self.path.extension() {
            Some(ending) if ending == "zst" => Compression::Zstd,
            _ => Compression::None,
        })
    }

    fn check(&self) -> Result {
        let path = &self.path;
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return Err(Error::config("path", "is empty; name a file, or `-` for standard output"));
        }
        if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            let file = path.join("records.jsonl");
            let text =
                format!("`{shown}` is a directory; name a file, such as `{}`", file.display());
            return Err(Error::config("path", text));
        }
        // The nearest thing above it that exists.
        if let Some(above) = path.ancestors().skip(1).find(|above| above.exists())
            && !above.is_dir()
        {
            let text = format!("`{}` is a file, so `{shown}` cannot be made", above.display());
            return Err(Error::config("path", text));
        }
        let limits = [("rotate_mib", self.rotate_mib), ("rotate_seconds", self.rotate_seconds)];
        for (key, limit) in limits {
            if limit == Some(0) {
                return Err(Error::config(key, "must be at least 1; leave it out for no limit"));
            }
            if limit.is_some() && (self.is_stdout() || !file::is_regular_or_absent(path)) {
                let text = format!("only a file can be renamed, which `{shown}` is not");
                return Err(Error::config(key, text));
            }
        }
        Ok(())
    }
}

/// How long ago, in nanoseconds, the first tick was that asked; a clock set back starts anew.
fn age(since: &mut Option<Timestamp>, now: Timestamp) -> i64 {
    let start = since.filter(|start| *start <= now).unwrap_or(now);
    *since = Some(start);
    now.0.saturating_sub(start.0)
}
