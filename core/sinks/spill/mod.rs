//! The spill log of one sink: what its store could not take, on disk, in the order it came.
//!
//! ```text
//! DIRECTORY/00000000000000a3.spill    segments, named by their first sequence number
//! DIRECTORY/cursor                    the first number that the store has not acknowledged
//! DIRECTORY/lock                      held by the engine that uses it
//! ```
//!
//! Frames are appended (see [`frame`]) and read once, from the front; a segment is removed when
//! all of it is acknowledged. The cursor is renamed into place without waiting for the disk: a
//! lost one only makes rows come again. What a crash left torn is cut off at the next start,
//! and no run adds to a segment of another.
//!
//! Of our own and not a key-value store: a queue on disk is appended to and deleted from the
//! front, for which a tree of any kind does several times the writing.

pub(crate) mod frame;
mod payload;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use arrow_array::RecordBatch;
use frame::{HEAD, Head, LONGEST, MAGIC};
use ringmill_sdk::Error;

const ENDING: &str = "spill";
/// No segment grows larger, unless by its last frame.
const SEGMENT: u64 = 64 << 20;

/// What may lie on disk, and what is dropped when more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    /// Drops the oldest rows; else the newest.
    pub(crate) drop_oldest: bool,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(crate) enum NotAppended {
    /// The log has as many bytes as it may have.
    Full,
    /// The disk did not take it.
    Failed(Error),
}

/// The log.
#[derive(Debug)]
pub(crate) struct Spill {
    directory: PathBuf,
    limits: Limits,
    segments: VecDeque<Segment>,
    /// The end of the last segment, while it is written.
    writer: Option<File>,
    reader: Option<Reader>,
    /// The number that the next batch gets.
    next: u64,
    /// The next to be read.
    read: u64,
    /// The first that is not acknowledged.
    acknowledged: u64,
    dirty: bool,
    _lock: File,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    /// Of each frame.
    rows: Vec<u32>,
    bytes: u64,
}

#[derive(Debug)]
struct Reader {
    /// The segment.
    first: u64,
    file: File,
    /// Number and place of the next frame.
    sequence: u64,
    offset: u64,
}

impl Segment {
    fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// The rows of the frames from this number on.
    fn rows_from(&self, sequence: u64) -> u64 {
        let skipped = usize::try_from(sequence.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.rows.iter().skip(skipped).map(|rows| u64::from(*rows)).sum()
    }
}

impl Spill {
    /// Opens the log, made where it is not there, and cuts off what a crash has left torn. What
    /// was done about it is logged.
    ///
    /// # Errors
    /// A directory that cannot be used, or that another engine uses.
    pub(crate) fn open(directory: &Path, limits: Limits) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            Error::new(format!("cannot spill to `{}`: {error}", directory.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = private().create(true).open(directory.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(format!(
                    "another engine spills to `{}`; give this one a directory of its own by \
                     `spill` in [engine]",
                    directory.display()
                )));
            }
            // A file system without locks: the operator's care has to do.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let cursor = read_cursor(directory).unwrap_or(0);
        let mut segments = VecDeque::new();
        let mut end = 0;
        for (first, path) in found(directory).map_err(failed)? {
            let Some(segment) = recover(first, &path, end).map_err(failed)? else { continue };
            end = segment.end();
            if end <= cursor {
                fs::remove_file(&path).map_err(failed)?;
            } else {
                segments.push_back(segment);
            }
        }
        let next = cursor.max(end);
        let acknowledged = cursor.max(segments.front().map_or(next, |segment| segment.first));
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            segments,
            writer: None,
            reader: None,
            next,
            read: acknowledged,
            acknowledged,
            dirty: false,
            _lock: lock,
        })
    }

    /// Where it lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The number that the next batch gets.
    pub(crate) fn end(&self) -> u64 {
        self.next
    }

    /// The next number to be read.
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// The oldest number that is on disk.
    pub(crate) fn begin(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// Rows that were not read yet.
    pub(crate) fn rows(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows_from(self.read)).sum()
    }

    /// Whether everything was read.
    pub(crate) fn is_read(&self) -> bool {
        self.read == self.next
    }

    /// Whether something was written that a power cut would take.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Appends a batch; gives how many older rows, of those not yet read, were dropped for it,
    /// if they may be and the limits say so.
    ///
    /// # Errors
    /// The log is then as it was, but for what was dropped.
    pub(crate) fn append(
        &mut self,
        records: &RecordBatch,
        may_drop: bool,
    ) -> (u64, Result<(), NotAppended>) {
        let drop_oldest = self.limits.drop_oldest && may_drop;
        let payload = match payload::encode(records) {
            Ok(payload) => payload,
            Err(error) => return (0, Err(NotAppended::Failed(error))),
        };
        let rows = u32::try_from(records.num_rows()).unwrap_or(u32::MAX);
        let head = Head::of(self.next, rows, &payload);
        let bytes = (HEAD + payload.len()) as u64;
        let mut dropped = 0;
        while self.bytes() + bytes > self.limits.bytes {
            if !drop_oldest || self.segments.is_empty() {
                return (dropped, Err(NotAppended::Full));
            }
            dropped += self.drop_segment();
        }
        let mut written = self.write(head, &payload);
        if matches!(&written, Err(error) if error.kind() == ErrorKind::StorageFull)
            && drop_oldest
            && self.segments.len() > 1
        {
            dropped += self.drop_segment();
            written = self.write(head, &payload);
        }
        let written = written.map_err(|error| {
            let text = format!("cannot spill to `{}`: {error}", self.directory.display());
            NotAppended::Failed(Error::new(text))
        });
        (dropped, written)
    }

    /// Takes what was appended for read: whoever appended it still has it.
    pub(crate) fn skip_to_end(&mut self) {
        self.read = self.next;
        self.reader = None;
    }

    /// The next batch and its number; none when all are read.
    ///
    /// # Errors
    /// The frame is damaged, and was skipped: its rows, and what is wrong.
    pub(crate) fn next(&mut self) -> Option<Result<(u64, RecordBatch), (u64, Error)>> {
        let segment = self.segments.iter().find(|segment| segment.end() > self.read)?;
        let first = segment.first;
        let sequence = self.read.max(first);
        let rows = segment.rows_from(sequence) - segment.rows_from(sequence + 1);
        self.read = sequence + 1;
        let read = self.read_frame(first, sequence);
        if read.is_err() {
            // The next is looked for from the head of the segment.
            self.reader = None;
        }
        Some(read.map(|records| (sequence, records)).map_err(|error| (rows, error)))
    }

    /// All before `sequence` is safe in the store: it is not read again, not even after a crash.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        if sequence <= self.acknowledged {
            return;
        }
        self.acknowledged = sequence;
        if let Err(error) = self.write_cursor() {
            tracing::debug!("the cursor in `{}`: {error}", self.directory.display());
        }
        if sequence == self.next {
            self.writer = None;
            self.dirty = false;
        }
        while let Some(segment) = self.segments.front()
            && segment.end() <= sequence
            && (self.segments.len() > 1 || self.writer.is_none())
        {
            self.remove_front();
        }
    }

    /// Returns when the disk has it.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.dirty = false;
        match &self.writer {
            Some(writer) => writer.sync_data(),
            None => Ok(()),
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn path(&self, first: u64) -> PathBuf {
        self.directory.join(format!("{first:016x}.{ENDING}"))
    }

    /// Removes the oldest segment; gives its rows that were not read yet.
    fn drop_segment(&mut self) -> u64 {
        if self.segments.len() == 1 {
            self.writer = None;
        }
        let Some(segment) = self.segments.front() else { return 0 };
        let (lost, end) = (segment.rows_from(self.read), segment.end());
        self.read = self.read.max(end);
        self.remove_front();
        lost
    }

    fn remove_front(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        self.reader.take_if(|reader| reader.first == segment.first);
        let path = self.path(segment.first);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("`{}` could not be removed: {error}", path.display());
        }
    }

    fn write(&mut self, head: Head, payload: &[u8]) -> io::Result<()> {
        let size = (self.limits.bytes / 8).min(SEGMENT);
        let full = self.segments.back().is_some_and(|last| last.bytes >= size);
        if full && self.writer.is_some() {
            self.sync()?;
            self.writer = None;
        }
        if self.writer.is_none() {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Err(ErrorKind::NotFound.into());
        };
        let written = file.write_all(&head.to_bytes()).and_then(|()| file.write_all(payload));
        if let Err(error) = written {
            // Half a frame would end the segment for the reader: away with it, or, if that
            // fails too, on with another segment.
            let mended = file.set_len(segment.bytes);
            if mended.and_then(|()| file.seek(SeekFrom::Start(segment.bytes))).is_err() {
                self.writer = None;
            }
            return Err(error);
        }
        segment.bytes += (HEAD + payload.len()) as u64;
        segment.rows.push(head.rows);
        self.next = head.sequence + 1;
        self.dirty = true;
        Ok(())
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        // An empty one, whose first write failed, has the same name.
        if self.segments.back().is_some_and(|last| last.rows.is_empty()) {
            self.segments.pop_back();
        }
        let path = self.path(self.next);
        let mut file = private().truncate(true).create(true).open(&path)?;
        if let Err(error) = file.write_all(&MAGIC) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()?;
        self.writer = Some(file);
        let bytes = MAGIC.len() as u64;
        self.segments.push_back(Segment { first: self.next, rows: Vec::new(), bytes });
        Ok(())
    }

    fn read_frame(&mut self, first: u64, sequence: u64) -> Result<RecordBatch, Error> {
        let at_hand = |reader: &Reader| reader.first == first && reader.sequence <= sequence;
        if !self.reader.as_ref().is_some_and(at_hand) {
            let file = File::open(self.path(first))?;
            let offset = MAGIC.len() as u64;
            self.reader = Some(Reader { first, file, sequence: first, offset });
        }
        let Some(reader) = &mut self.reader else { return Err(Error::new("no segment")) };
        let mut head = [0; HEAD];
        loop {
            reader.file.seek(SeekFrom::Start(reader.offset))?;
            reader.file.read_exact(&mut head)?;
            let head = Head::from_bytes(&head);
            if head.sequence != reader.sequence || head.length > LONGEST {
                return Err(Error::new("the head of a frame is damaged"));
            }
            reader.offset += HEAD as u64 + u64::from(head.length);
            reader.sequence += 1;
            if head.sequence == sequence {
                let mut payload = vec![0; head.length as usize];
                reader.file.read_exact(&mut payload)?;
                if !head.fits(&payload) {
                    return Err(Error::new("the checksum is another"));
                }
                return payload::decode(&payload);
            }
        }
    }

    fn write_cursor(&self) -> io::Result<()> {
        let number = self.acknowledged.to_le_bytes();
        let crc = crc32fast::hash(&number).to_le_bytes();
        let new = self.directory.join("cursor.new");
        private()
            .create(true)
            .truncate(true)
            .open(&new)?
            .write_all(&[&number[..], &crc].concat())?;
        fs::rename(new, self.directory.join("cursor"))
    }
}

/// Rows that lie in a log that nobody has open.
///
/// # Errors
/// What the reading gives.
pub(crate) fn rows_in(directory: &Path) -> io::Result<u64> {
    let cursor = read_cursor(directory).unwrap_or(0);
    let mut rows = 0;
    for (first, path) in found(directory)? {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let scan = frame::scan(BufReader::new(file), length, first)?;
        rows += Segment { first, rows: scan.rows, bytes: 0 }.rows_from(cursor);
    }
    Ok(rows)
}

/// Files that only their owner reads.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn read_cursor(directory: &Path) -> Option<u64> {
    let bytes = fs::read(directory.join("cursor")).ok()?;
    let (number, crc) = bytes.split_first_chunk::<8>()?;
    (crc == crc32fast::hash(number).to_le_bytes()).then(|| u64::from_le_bytes(*number))
}

/// The segments in a directory, by number.
fn found(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 16);
        let first = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
        if let Some(first) = first.filter(|_| path.extension().is_some_and(|it| it == ENDING)) {
            segments.push((first, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// What is whole in a segment of an earlier run; none where that is nothing. The rest is cut
/// off, or, where it is no segment or has numbers below `free_from`, put aside.
fn recover(first: u64, path: &Path, free_from: u64) -> io::Result<Option<Segment>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let scan = frame::scan(BufReader::new(file), length, first)?;
    let shown = path.display();
    if scan.good == 0 && length >= MAGIC.len() as u64 || first < free_from {
        let aside = path.with_extension("damaged");
        tracing::warn!("`{shown}` is no segment of a spill; kept as `{}`", aside.display());
        fs::rename(path, aside)?;
        return Ok(None);
    }
    if scan.rows.is_empty() {
        fs::remove_file(path)?;
        return Ok(None);
    }
    if scan.good < length {
        let (torn, rows) = (length - scan.good, scan.rows.iter().map(|n| u64::from(*n)));
        tracing::warn!(
            "cut {torn} torn or damaged bytes off the end of `{shown}`; the {} rows before them \
             are whole",
            rows.sum::<u64>()
        );
        private().open(path)?.set_len(scan.good)?;
    }
    Ok(Some(Segment { first, rows: scan.rows, bytes: scan.good }))
}
