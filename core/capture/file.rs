//! Capture files as a source: every worker walks every file and takes the packets of its own
//! hosts (see [`share`](super::share)).
//!
//! Walking is cheap beside the chain, and it needs no thread that deals out packets, no queue
//! and no order between workers. Plain files are mapped once for all workers; compressed ones
//! and pipes come as blocks that all workers share.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use memmap2::Mmap;
use ringmill_sdk::{Batch, Packet, Timestamp};

use super::{
    Filled, InputReport, Source, SourceReport,
    filter::{Filter, Judge, Sieve},
    format::{Frame, Reader, Step},
    input::{self, Block, Input, InputError, Opened, Progress, Reason, Stream, prefetch},
    share::Share,
};
use crate::lock::lock;

/// How long a worker waits for a block before it looks at its clock.
const PATIENCE: Duration = Duration::from_millis(100);
/// Records that one call walks at most, so that a worker whose share is small still sees its
/// clock and the stop signal.
const STRIDE: usize = 1 << 16;

/// The inputs of a run, opened one after the other as the first worker reaches them.
pub struct Files {
    inputs: Vec<Input>,
    workers: usize,
    snaplen: usize,
    filter: Option<Arc<Filter>>,
    shelf: Mutex<Vec<Shelf>>,
}

/// One input on its way through the workers.
enum Shelf {
    Closed,
    Mapped(Arc<Mmap>, Arc<Progress>),
    Streaming { receivers: Vec<Option<Receiver<Arc<Block>>>>, stream: Stream },
    Failed(String),
}

/// How far a run has come, for the progress bar.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// Bytes read of all inputs.
    pub bytes: u64,
    /// Bytes of all inputs, where it is known.
    pub total: Option<u64>,
}

impl Files {
    /// The inputs of a run. Nothing is opened yet but the first, so that a wrong file name or
    /// format shows at once.
    ///
    /// # Errors
    /// When the first input cannot be opened.
    pub fn new(
        inputs: Vec<Input>,
        workers: usize,
        snaplen: usize,
        filter: Option<Arc<Filter>>,
    ) -> Result<Arc<Self>, InputError> {
        let mut shelf: Vec<Shelf> = inputs.iter().map(|_| Shelf::Closed).collect();
        if let (Some(first), Some(place)) = (inputs.first(), shelf.first_mut()) {
            *place = Shelf::open(first, workers)?;
        }
        Ok(Arc::new(Self { inputs, workers, snaplen, filter, shelf: Mutex::new(shelf) }))
    }

    /// The source of one worker.
    pub fn source(self: &Arc<Self>, worker: usize, batch: usize) -> FileSource {
        let share = Share::new(worker, self.workers);
        let (sieve, report) = (Sieve::new(self.filter.clone()), SourceReport::default());
        let files = Arc::clone(self);
        FileSource { files, worker, share, sieve, limit: batch, open: None, report }
    }

    /// How far the run has come.
    pub fn read(&self) -> Read {
        let shelf = lock(&self.shelf);
        let mut read = Read { bytes: 0, total: Some(0) };
        for (place, input) in shelf.iter().zip(&self.inputs) {
            let len = match input {
                Input::File(path) => std::fs::metadata(path).ok().map(|about| about.len()),
                Input::Stdin => None,
            };
            read.total = read.total.zip(len).map(|(total, len)| total + len);
            read.bytes += match place {
                Shelf::Closed => 0,
                Shelf::Mapped(_, progress) => progress.read(),
                Shelf::Streaming { stream, .. } => stream.progress().read(),
                Shelf::Failed(_) => len.unwrap_or_default(),
            };
        }
        read
    }

    /// The worker's view of input `at`; opens it when it is the first to come.
    fn open(&self, at: usize, worker: usize) -> Result<Open, String> {
        let mut shelf = lock(&self.shelf);
        if matches!(shelf[at], Shelf::Closed) {
            let opened = Shelf::open(&self.inputs[at], self.workers);
            shelf[at] = opened.unwrap_or_else(|error| {
                // The report names the input; the sentence need not do it again.
                let (name, text) = (format!("{}: ", self.inputs[at]), error.to_string());
                Shelf::Failed(text.strip_prefix(&name).unwrap_or(&text).to_owned())
            });
        }
        let bytes = match &mut shelf[at] {
            Shelf::Mapped(map, progress) => Bytes::Mapped(Arc::clone(map), Arc::clone(progress)),
            Shelf::Streaming { receivers, .. } => match receivers[worker].take() {
                Some(receiver) => Bytes::Stream { receiver, block: None },
                None => return Err("it was opened twice; this is a bug in the engine".to_owned()),
            },
            Shelf::Failed(error) => return Err(error.clone()),
            Shelf::Closed => return Err("it was closed; this is a bug in the engine".to_owned()),
        };
        Ok(Open { bytes, reader: None, at: 0, unfit: 0, damaged: false })
    }

    /// What became of the inputs, after all workers are done: their reports, completed by what
    /// the threads that read streams have to say.
    pub fn end(&self, reports: &[SourceReport]) -> Vec<InputReport> {
        let mut shelf = lock(&self.shelf);
        let mut merged = Vec::new();
        for (at, place) in shelf.iter_mut().enumerate() {
            let walked = reports.iter().filter_map(|report| report.inputs.get(at));
            // All workers walk all packets, so the one that came furthest saw what any saw.
            let mut input = match walked.max_by_key(|input| input.packets).cloned() {
                Some(input) => input,
                None => InputReport { name: self.inputs[at].to_string(), ..InputReport::default() },
            };
            // But each has put only its own packets through the filter.
            let walked = reports.iter().filter_map(|report| report.inputs.get(at));
            input.filtered = walked.map(|input| input.filtered).sum();
            if let Shelf::Streaming { stream, .. } = std::mem::replace(place, Shelf::Closed) {
                stream.stopper().store(true, Relaxed);
                if let Some(tail) = stream.end().tail {
                    let cut = matches!(tail.reason, Reason::Cut | Reason::PackingCut(_));
                    input.failed |= !cut && tail.reason != Reason::Stopped;
                    input.complete &= tail.reason != Reason::Stopped;
                    input.tail_bytes = tail.bytes;
                    input.tail = Some(tail.to_string());
                }
            }
            merged.push(input);
        }
        merged
    }
}

impl Shelf {
    fn open(input: &Input, workers: usize) -> Result<Self, InputError> {
        Ok(match input::open(input, workers)? {
            Opened::Mapped(map) => {
                let progress = Progress::new(Some(map.len() as u64));
                Self::Mapped(Arc::new(map), Arc::new(progress))
            }
            Opened::Stream(mut stream) => {
                let receivers = stream.take_receivers().into_iter().map(Some).collect();
                Self::Streaming { receivers, stream }
            }
        })
    }
}

/// One worker's way through the files.
pub struct FileSource {
    files: Arc<Files>,
    worker: usize,
    share: Share,
    sieve: Sieve,
    /// Packets in a batch.
    limit: usize,
    /// The input that is being walked; its report is the last of `report`.
    open: Option<Open>,
    report: SourceReport,
}

/// The input that is being walked.
struct Open {
    bytes: Bytes,
    /// Made from the first bytes.
    reader: Option<Reader>,
    /// Where in the map or the block the next record begins.
    at: usize,
    /// Packets of link types for which the filter has no meaning.
    unfit: u64,
    /// No record follows that could be read.
    damaged: bool,
}

enum Bytes {
    Mapped(Arc<Mmap>, Arc<Progress>),
    Stream { receiver: Receiver<Arc<Block>>, block: Option<Arc<Block>> },
}

impl Bytes {
    #[inline]
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Mapped(map, _) => map,
            Self::Stream { block, .. } => {
                block.as_ref().map(|block| block.bytes()).unwrap_or_default()
            }
        }
    }
}

/// Whether there are bytes to walk.
enum Next {
    Ready,
    Waiting,
    UsedUp,
}

impl Source for FileSource {
    fn fill<'a>(&'a mut self, batch: &mut Batch<'a>) -> Filled {
        match self.next() {
            Next::Ready => {}
            Next::Waiting => return Filled::More,
            Next::UsedUp => return Filled::End,
        }
        let (Some(open), Some(report)) = (&mut self.open, self.report.inputs.last_mut()) else {
            return Filled::More;
        };
        let Open { bytes, reader: Some(reader), at, unfit, damaged } = open else {
            return Filled::More;
        };
        let (share, snaplen) = (self.share, self.files.snaplen);
        if let Bytes::Mapped(_, progress) = bytes {
            progress.set(*at as u64);
        }
        let chunk = bytes.chunk();
        let room = self.limit.min(batch.room());
        let (mut from, mut found, mut filtered, mut taken) = (*at, 0, 0, 0);
        let mut loaded = 0;
        // The usual case, in which nothing has to be asked of a packet.
        if let Reader::Pcap(reader) = reader
            && share.is_all()
            && self.sieve.is_open()
        {
            from = reader.run(chunk, from, |frame, place| {
                loaded ^= prefetch::lines(chunk, place.start, place.end);
                batch.push(packet(&frame, snaplen));
                taken += 1;
                taken < room
            });
            found = taken as u64;
        }
        // The others, or what ended that one.
        let most = if taken < room { STRIDE } else { 0 };
        for _ in 0..most {
            match reader.step(chunk.get(from..).unwrap_or_default()) {
                Step::Frame { frame, used } => {
                    loaded ^= prefetch::lines(chunk, from, from + used);
                    from += used;
                    let judge = self.sieve.judge(frame.link);
                    if matches!(judge, Judge::Unfit) {
                        count_unfit(unfit, &self.sieve, frame.link, report);
                        continue;
                    }
                    found += 1;
                    if share.has(frame.data, frame.link) {
                        if let Judge::Program(program) = judge
                            && !program.accepts(frame.data, wire_len(&frame))
                        {
                            filtered += 1;
                            continue;
                        }
                        batch.push(packet(&frame, snaplen));
                        taken += 1;
                        if taken == room {
                            break;
                        }
                    }
                }
                Step::Skip { used } => from += used,
                Step::More => {
                    end_of_chunk(chunk, from, damaged, report);
                    break;
                }
                Step::Damaged(error) => {
                    report.tail_bytes = (chunk.len() - from) as u64;
                    say(report, error.to_string());
                    (report.failed, *damaged) = (true, true);
                    break;
                }
            }
        }
        // What is used by nobody would not be loaded.
        std::hint::black_box(loaded);
        *at = from;
        report.packets += found;
        report.filtered += filtered;
        Filled::More
    }

    fn report(self: Box<Self>) -> SourceReport {
        self.report
    }
}

/// A capture may claim that less was on the wire than it holds.
#[inline]
fn wire_len(frame: &Frame<'_>) -> u32 {
    frame.wire_len.max(u32::try_from(frame.data.len()).unwrap_or(u32::MAX))
}

#[inline]
fn packet<'a>(frame: &Frame<'a>, snaplen: usize) -> Packet<'a> {
    let data = &frame.data[..frame.data.len().min(snaplen)];
    Packet::new(data, Timestamp(frame.time), wire_len(frame), frame.link, frame.interface)
}

/// The records of the chunk are used up. A block ends where a record ends; what is left of a
/// mapped file was cut off.
#[cold]
fn end_of_chunk(chunk: &[u8], from: usize, damaged: &mut bool, report: &mut InputReport) {
    let left = (chunk.len() - from) as u64;
    if left > 0 {
        let tail = input::Tail { offset: from as u64, bytes: left, reason: Reason::Cut };
        report.tail_bytes = left;
        say(report, tail.to_string());
        *damaged = true;
    }
}

/// A packet of a link type for which the filter has no meaning. All workers count it, whoever's
/// it is; the run goes on and has failed.
#[cold]
fn count_unfit(unfit: &mut u64, sieve: &Sieve, link: u16, report: &mut InputReport) {
    *unfit += 1;
    if *unfit == 1 {
        report.failed = true;
        say(report, sieve.why(link).unwrap_or_default());
    }
}

/// Adds a sentence about the input.
fn say(report: &mut InputReport, sentence: String) {
    report.tail = Some(match report.tail.take() {
        Some(before) => format!("{before}; {sentence}"),
        None => sentence,
    });
}

impl FileSource {
    /// Sees to it that `open` has bytes.
    fn next(&mut self) -> Next {
        loop {
            let Some(open) = &mut self.open else {
                let at = self.report.inputs.len();
                if at == self.files.inputs.len() {
                    return Next::UsedUp;
                }
                let name = self.files.inputs[at].to_string();
                let mut report = InputReport { name, ..InputReport::default() };
                match self.files.open(at, self.worker) {
                    Ok(open) => self.open = Some(open),
                    Err(error) => (report.failed, report.tail) = (true, Some(error)),
                }
                self.report.inputs.push(report);
                continue;
            };
            if open.at < open.bytes.chunk().len() && !open.damaged {
                if open.reader.is_some() {
                    return Next::Ready;
                }
                match Reader::detect_all(open.bytes.chunk()) {
                    Ok((reader, used)) => (open.reader, open.at) = (Some(reader), used),
                    Err(error) => {
                        open.damaged = true;
                        if let Some(report) = self.report.inputs.last_mut() {
                            (report.failed, report.tail) = (true, Some(error.to_string()));
                        }
                    }
                }
                continue;
            }
            if let Bytes::Stream { receiver, block } = &mut open.bytes {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(next) => {
                        (*block, open.at) = (Some(next), 0);
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => return Next::Waiting,
                    Err(RecvTimeoutError::Disconnected) => {}
                }
            }
            self.close();
        }
    }

    /// Ends the input that was walked.
    fn close(&mut self) {
        let (Some(open), Some(report)) = (self.open.take(), self.report.inputs.last_mut()) else {
            return;
        };
        if let Bytes::Mapped(map, progress) = &open.bytes {
            progress.set(map.len() as u64);
        }
        report.complete = true;
        if let Some(reader) = &open.reader {
            let skipped = reader.skipped();
            let reasons = [
                ("undeclared_interface", skipped.undeclared),
                ("overlong_packet", skipped.overlong),
                ("filter_unfit", open.unfit),
            ];
            report.unreadable = reasons.into_iter().filter(|(_, count)| *count > 0).collect();
        }
    }
}
