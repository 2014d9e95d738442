//! One thread reads and hands out blocks, which the workers walk in turn.
//!
//! A block ends where a record ends, so nobody joins two halves of a packet, and a packet lies
//! in the block as it would in a mapped file.
//!
//! A block is sent when it is full, or when the next read would have to wait: a file goes in
//! blocks of 1 MiB, a live `tcpdump -w -` packet by packet, and in larger blocks when the
//! workers do not keep up.
//!
//! We did not let the thread find whose each packet is: the thread that decompresses is the
//! slowest already.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::super::format::Reader;
use super::source::{Progress, Source, Unpacked};
use super::{Reason, Tail};

/// The usual size of a block.
pub const BLOCK: usize = 1 << 20;
/// With less room than this a block is full: smaller reads are not worth a call.
const ROOM: usize = 64 << 10;
/// Blocks that may wait to be walked.
const DEPTH: usize = 8;
/// Blocks that are waited for to be used again: those that wait, and those that workers have.
const LENT: usize = 2 * DEPTH;

/// Whole records, as they lie in the decompressed capture.
#[derive(Debug)]
pub struct Block {
    /// Longer than its contents, so that it is cleared once and not for each use.
    buffer: Vec<u8>,
    len: usize,
    offset: u64,
}

impl Block {
    /// The records; the first block has the file header before them.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Where it begins in the decompressed capture.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Bytes handed out, the file header with them.
    pub bytes: u64,
    /// What was left at the end, if anything was.
    pub tail: Option<Tail>,
}

/// An input that is being read by a thread of its own.
#[derive(Debug)]
pub struct Stream {
    receiver: Option<Receiver<Arc<Block>>>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<End>,
}

impl Stream {
    /// Begins to read. On a regular file the format is known before this returns.
    pub(super) fn start(source: Source) -> Result<Self, Reason> {
        let (progress, stop) = (source.progress(), source.stop());
        let (sender, receiver) = bounded(DEPTH);
        let thread = thread::Builder::new().name("capture-read".into());
        let thread = if source.live() {
            thread.spawn(move || match Cutter::open(source, sender) {
                Ok(cutter) => cutter.run(),
                Err(tail) => End { bytes: 0, tail: Some(tail) },
            })
        } else {
            let cutter = Cutter::open(source, sender).map_err(|tail| tail.reason)?;
            thread.spawn(move || cutter.run())
        };
        Ok(Self {
            receiver: Some(receiver),
            progress,
            stop,
            thread: thread.map_err(|error| Reason::read(&error))?,
        })
    }

    /// Gives the blocks, to whoever takes it first; it disconnects after the last. Dropping it
    /// tells that no more are wanted.
    pub fn take_receiver(&mut self) -> Option<Receiver<Arc<Block>>> {
        self.receiver.take()
    }

    /// How far it has come.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Set it, and the input ends within a tenth of a second, even on a silent pipe. Workers
    /// still get what was read.
    pub fn stopper(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Waits for the thread and tells how it ended. A receiver that was not taken hangs up; on
    /// a pipe that stays open and silent, stop first.
    pub fn end(self) -> End {
        drop(self.receiver);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Cuts what it reads into blocks.
struct Cutter {
    input: Unpacked,
    reader: Reader,
    /// What was read and not sent: whole records, then the beginning of one.
    buffer: Vec<u8>,
    len: usize,
    whole: usize,
    /// Where `buffer` begins in the capture.
    offset: u64,
    walker: Sender<Arc<Block>>,
    /// Sent blocks, oldest first: when nobody reads the oldest any more, it is used again.
    lent: VecDeque<Arc<Block>>,
}

impl Cutter {
    /// Reads until the format is known.
    fn open(source: Source, walker: Sender<Arc<Block>>) -> Result<Self, Tail> {
        let (mut buffer, mut len) = (vec![0; BLOCK], 0);
        let left = |len: usize, reason| Tail { offset: 0, bytes: len as u64, reason };
        let mut input = Unpacked::new(source).map_err(|reason| left(0, reason))?;
        loop {
            let got = input.read(&mut buffer[len..]);
            if input.stopped() {
                return Err(left(len, Reason::Stopped));
            }
            let got = got.map_err(|reason| left(len, reason))?;
            len += got;
            let found = match got {
                0 => Reader::detect_all(&buffer[..len]).map(Some),
                _ => Reader::detect(&buffer[..len]),
            };
            if let Some((reader, whole)) = found.map_err(|error| left(len, error.into()))? {
                return Ok(Self {
                    input,
                    reader,
                    buffer,
                    len,
                    whole,
                    offset: 0,
                    walker,
                    lent: VecDeque::new(),
                });
            }
        }
    }

    fn run(mut self) -> End {
        let mut reason = self.read();
        if !self.send() {
            reason.get_or_insert(Reason::Stopped);
        }
        let mut left = self.len as u64;
        if matches!(reason, Some(Reason::Format(_))) && !self.input.live() {
            let (more, packing) = self.count_rest();
            left += more;
            // Damage to the compressed bytes shows first as nonsense in the records.
            reason = packing.or(reason);
        }
        End {
            bytes: self.offset,
            tail: reason.map(|reason| Tail { offset: self.offset, bytes: left, reason }),
        }
    }

    /// Reads and sends to the end; tells why it is no good end.
    fn read(&mut self) -> Option<Reason> {
        loop {
            let (more, damage) = self.reader.whole(&self.buffer[self.whole..self.len]);
            self.whole += more;
            if let Some(error) = damage {
                return Some(error.into());
            }
            if self.whole > 0 && self.due() && !self.send() {
                return Some(Reason::Stopped);
            }
            if self.len == self.buffer.len() {
                // A record that is larger than the block.
                self.buffer.resize(2 * self.len, 0);
            }
            let got = self.input.read(&mut self.buffer[self.len..]);
            if let Ok(got) = got {
                self.len += got;
            }
            match got {
                _ if self.input.stopped() => return Some(Reason::Stopped),
                Ok(0) => return (self.len > self.whole).then_some(Reason::Cut),
                Ok(_) => {}
                Err(reason) => return Some(reason),
            }
        }
    }

    /// Whether to send now and not to read on: the block is full, or a read would have to wait
    /// and the workers are not behind. While they are, small blocks would only fill the queue.
    fn due(&self) -> bool {
        if self.buffer.len() - self.len < ROOM {
            return true;
        }
        while !self.input.ready() {
            if !self.walker.is_full() {
                return true;
            }
            self.input.wait_a_moment();
        }
        false
    }

    /// Sends the whole records; false if there is nobody to send them to.
    fn send(&mut self) -> bool {
        if self.whole == 0 {
            return true;
        }
        let mut next = self.empty_buffer();
        let rest = self.whole..self.len;
        next.resize(next.len().max(2 * rest.len()), 0);
        next[..rest.len()].copy_from_slice(&self.buffer[rest.clone()]);
        let block = Arc::new(Block {
            buffer: std::mem::replace(&mut self.buffer, next),
            len: self.whole,
            offset: self.offset,
        });
        self.offset += self.whole as u64;
        (self.len, self.whole) = (rest.len(), 0);
        self.lent.push_back(Arc::clone(&block));
        if self.lent.len() > LENT {
            self.lent.pop_front();
        }
        self.walker.send(block).is_ok()
    }

    fn empty_buffer(&mut self) -> Vec<u8> {
        let idle = self.lent.front_mut().is_some_and(|oldest| Arc::get_mut(oldest).is_some());
        let block = idle.then(|| self.lent.pop_front()).flatten();
        match block.and_then(Arc::into_inner) {
            Some(block) if block.buffer.len() <= 4 * BLOCK => block.buffer,
            _ => vec![0; BLOCK],
        }
    }

    /// How much comes after damage, so that what is lost can be said, and whether the
    /// compression is at fault.
    fn count_rest(&mut self) -> (u64, Option<Reason>) {
        let mut count = 0;
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(0) => return (count, None),
                Ok(got) => count += got as u64,
                Err(reason) => return (count, Some(reason)),
            }
        }
    }
}
