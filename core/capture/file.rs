//! Capture files as a source.
//!
//! One worker walks the files by itself. Of several each takes the packets of its own hosts (see
//! [`share`](super::share)): one of them at a time walks a piece, and deals what it finds to all
//! (see [`deal`]). Plain files are mapped once for all workers; compressed ones and pipes come as
//! blocks, of which a worker holds those that it has packets in.
//!
//! We let every worker walk all of every file once. That needs no queue and no order between
//! workers, and takes each of them through the memory of all packets: of the smallest frames two
//! workers took no more in a second than one, with twice the CPU time.

mod deal;
mod list;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use crossbeam_channel::Receiver;
use memmap2::Mmap;
use ringmill_sdk::{Batch, Packet, Timestamp};

use self::{
    deal::{Dealer, Dealt},
    walk::{Chunk, Feed, Next, Walker},
};
use super::{
    Filled, InputReport, Source, SourceReport,
    filter::{Filter, Judge, Sieve},
    format::Frame,
    input::{self, Block, Input, InputError, Opened, Progress, Reason, Stream},
};
use crate::lock::lock;

/// How long a worker waits for packets before it looks at its clock.
const PATIENCE: Duration = Duration::from_millis(100);

/// The inputs of a run, opened one after the other as they are reached.
pub struct Files {
    inputs: Vec<Input>,
    snaplen: usize,
    filter: Option<Arc<Filter>>,
    shelf: Mutex<Vec<Shelf>>,
    /// Of several workers.
    dealer: Option<Dealer>,
}

/// One input on its way through the workers.
enum Shelf {
    Closed,
    Mapped(Arc<Mmap>, Arc<Progress>),
    Streaming { receiver: Option<Receiver<Arc<Block>>>, stream: Stream },
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
            *place = Shelf::open(first)?;
        }
        let walker = || Walker::new(Sieve::new(filter.clone()));
        let dealer = (workers > 1).then(|| Dealer::new(walker(), workers));
        Ok(Arc::new(Self { inputs, snaplen, filter, shelf: Mutex::new(shelf), dealer }))
    }

    /// The source of one worker, in batches of at most `batch` packets.
    pub fn source(self: &Arc<Self>, worker: usize, batch: usize) -> Box<dyn Source> {
        let (files, sieve) = (Arc::clone(self), Sieve::new(self.filter.clone()));
        match self.dealer {
            Some(_) => Box::new(Dealt::new(files, worker, sieve, batch)),
            None => Box::new(Alone { files, walker: Walker::new(sieve), limit: batch }),
        }
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

    /// Input `at`, which nobody has walked yet.
    fn open(&self, at: usize) -> Result<(Feed, Chunk), String> {
        let place = &mut lock(&self.shelf)[at];
        if matches!(place, Shelf::Closed) {
            *place = Shelf::open(&self.inputs[at]).unwrap_or_else(|error| {
                // The report names the input; the sentence need not do it again.
                let (name, text) = (format!("{}: ", self.inputs[at]), error.to_string());
                Shelf::Failed(text.strip_prefix(&name).unwrap_or(&text).to_owned())
            });
        }
        match place {
            Shelf::Mapped(map, progress) => {
                Ok((Feed::Mapped(Arc::clone(progress)), Chunk::Mapped(Arc::clone(map))))
            }
            Shelf::Streaming { receiver, .. } => match receiver.take() {
                Some(receiver) => Ok((Feed::Stream(receiver), Chunk::None)),
                None => Err("it was opened twice; this is a bug in the engine".to_owned()),
            },
            Shelf::Failed(error) => Err(error.clone()),
            Shelf::Closed => Err("it was closed; this is a bug in the engine".to_owned()),
        }
    }

    /// What became of the inputs, after all workers are done: what was found, completed by what
    /// the threads that read streams have to say.
    pub fn end(&self, reports: &[SourceReport]) -> Vec<InputReport> {
        let mut inputs = self.dealer.as_ref().map(Dealer::end).unwrap_or_default();
        let names = self.inputs.iter().map(ToString::to_string).skip(inputs.len());
        inputs.extend(names.map(|name| InputReport { name, ..InputReport::default() }));
        for report in reports {
            for (input, more) in inputs.iter_mut().zip(&report.inputs) {
                match self.dealer {
                    // Each has put its own packets through the filter.
                    Some(_) => input.filtered += more.filtered,
                    None => input.clone_from(more),
                }
            }
        }
        for (input, place) in inputs.iter_mut().zip(lock(&self.shelf).iter_mut()) {
            if let Shelf::Streaming { stream, receiver } = std::mem::replace(place, Shelf::Closed) {
                drop(receiver);
                stream.stopper().store(true, Relaxed);
                if let Some(tail) = stream.end().tail {
                    let cut = matches!(tail.reason, Reason::Cut | Reason::PackingCut(_));
                    input.failed |= !cut && tail.reason != Reason::Stopped;
                    input.complete &= tail.reason != Reason::Stopped;
                    input.tail_bytes = tail.bytes;
                    input.tail = Some(tail.to_string());
                }
            }
        }
        inputs
    }
}

impl Shelf {
    fn open(input: &Input) -> Result<Self, InputError> {
        Ok(match input::open(input)? {
            Opened::Mapped(map) => {
                let progress = Progress::new(Some(map.len() as u64));
                Self::Mapped(Arc::new(map), Arc::new(progress))
            }
            Opened::Stream(mut stream) => {
                Self::Streaming { receiver: stream.take_receiver(), stream }
            }
        })
    }
}

/// All packets, for the only worker.
struct Alone {
    files: Arc<Files>,
    walker: Walker,
    /// Packets in a batch.
    limit: usize,
}

impl Source for Alone {
    fn fill<'a>(&'a mut self, batch: &mut Batch<'a>) -> Filled {
        match self.walker.next(&self.files, PATIENCE) {
            Next::Ready => {}
            Next::Waiting => return Filled::More,
            Next::UsedUp => return Filled::End,
        }
        let Some((chunk, walk, sieve)) = self.walker.parts() else { return Filled::More };
        let (room, snaplen) = (self.limit.min(batch.room()), self.files.snaplen);
        let (chunk, mut taken, mut filtered) = (chunk.bytes(), 0, 0);
        walk.run(chunk, sieve, |frame| {
            batch.push(packet(&frame, snaplen));
            taken += 1;
            taken < room
        });
        walk.report.packets += taken as u64;
        if taken < room {
            walk.step(chunk, sieve, |frame, judge| {
                if let Judge::Program(program) = judge
                    && !program.accepts(frame.data, wire_len(&frame))
                {
                    filtered += 1;
                    return true;
                }
                batch.push(packet(&frame, snaplen));
                taken += 1;
                taken < room
            });
        }
        walk.report.filtered += filtered;
        Filled::More
    }

    fn report(self: Box<Self>) -> SourceReport {
        SourceReport { inputs: self.walker.end(), ..SourceReport::default() }
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
