//! The way through all inputs, one after the other, from record to record.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use memmap2::Mmap;

use super::Files;
use crate::capture::{
    InputReport,
    filter::{Judge, Sieve},
    format::{Frame, Reader, Step},
    input::{Block, Progress, Reason, Tail, prefetch},
    pcap,
};

/// Records that one call walks at most, so that who walks sees its clock and the stop signal also
/// where no packets come.
const STRIDE: usize = 1 << 16;
/// Bytes likewise, so that a place among them fits into 32 bits with the longest record.
const REACH: usize = 1 << 30;

/// Walks the inputs. One worker has it for itself; several pass it around (see
/// [`deal`](super::deal)).
pub(super) struct Walker {
    sieve: Sieve,
    open: Option<Open>,
    /// Of the inputs before that.
    ended: Vec<InputReport>,
}

/// The input that is being walked.
pub(super) struct Open {
    feed: Feed,
    chunk: Chunk,
    walk: Walk,
}

/// Where the chunks of an input come from.
pub(super) enum Feed {
    Mapped(Arc<Progress>),
    Stream(Receiver<Arc<Block>>),
}

/// Bytes that are walked: a whole file, or some records of a stream.
#[derive(Clone, Default)]
pub(super) enum Chunk {
    #[default]
    None,
    Mapped(Arc<Mmap>),
    Block(Arc<Block>),
}

impl Chunk {
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Mapped(map) => map,
            Self::Block(block) => block.bytes(),
        }
    }
}

/// Whether there are bytes to walk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Ready,
    Waiting,
    UsedUp,
}

impl Walker {
    pub(super) fn new(sieve: Sieve) -> Self {
        Self { sieve, open: None, ended: Vec::new() }
    }

    /// Which input is being walked.
    pub(super) fn input(&self) -> usize {
        self.ended.len()
    }

    /// What is to be walked next, and who walks it and who judges it.
    #[inline]
    pub(super) fn parts(&mut self) -> Option<(&Chunk, &mut Walk, &mut Sieve)> {
        let Open { chunk, walk, feed } = self.open.as_mut()?;
        if let Feed::Mapped(progress) = feed {
            progress.set(walk.at as u64);
        }
        Some((chunk, walk, &mut self.sieve))
    }

    /// Sees to it that there are bytes to walk; waits for those of a stream.
    pub(super) fn next(&mut self, files: &Files, patience: Duration) -> Next {
        loop {
            let Some(Open { feed, chunk, walk }) = &mut self.open else {
                let at = self.ended.len();
                let Some(name) = files.inputs.get(at).map(ToString::to_string) else {
                    return Next::UsedUp;
                };
                let report = InputReport { name, ..InputReport::default() };
                match files.open(at) {
                    Ok((feed, chunk)) => {
                        self.open = Some(Open { feed, chunk, walk: Walk::new(report) });
                    }
                    Err(error) => {
                        self.ended.push(InputReport { failed: true, tail: Some(error), ..report });
                    }
                }
                continue;
            };
            if walk.at < chunk.bytes().len() && !walk.damaged {
                if walk.reader.is_some() {
                    return Next::Ready;
                }
                walk.detect(chunk.bytes());
                continue;
            }
            if let Feed::Stream(receiver) = feed {
                match receiver.recv_timeout(patience) {
                    Ok(next) => {
                        (*chunk, walk.at) = (Chunk::Block(next), 0);
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => return Next::Waiting,
                    Err(RecvTimeoutError::Disconnected) => {}
                }
            }
            if let Feed::Mapped(progress) = feed {
                progress.set(chunk.bytes().len() as u64);
            }
            if let Some(Open { walk, .. }) = self.open.take() {
                self.ended.push(walk.close());
            }
        }
    }

    /// What was found in each input that was begun.
    pub(super) fn end(self) -> Vec<InputReport> {
        let mut reports = self.ended;
        reports.extend(self.open.map(|open| open.walk.report));
        reports
    }
}

/// How far an input has been walked, and what was found.
pub(super) struct Walk {
    /// Made from the first bytes.
    reader: Option<Reader>,
    /// Where in the chunk the next record begins.
    pub(super) at: usize,
    /// Packets of link types for which the filter has no meaning.
    unfit: u64,
    /// No record follows that could be read.
    damaged: bool,
    pub(super) report: InputReport,
}

impl Walk {
    fn new(report: InputReport) -> Self {
        Self { reader: None, at: 0, unfit: 0, damaged: false, report }
    }

    fn detect(&mut self, chunk: &[u8]) {
        match Reader::detect_all(chunk) {
            Ok((reader, used)) => (self.reader, self.at) = (Some(reader), used),
            Err(error) => {
                (self.damaged, self.report.failed) = (true, true);
                self.report.tail = Some(error.to_string());
            }
        }
    }

    /// Of a pcap file what reads its packets again.
    pub(super) fn pcap(&self) -> Option<&pcap::Reader> {
        match &self.reader {
            Some(Reader::Pcap(reader)) => Some(reader),
            _ => None,
        }
    }

    /// Walks on in `chunk` for as long as `take` wants the next packet: over what most captures are,
    /// in which nothing has to be asked of a packet. The caller counts them.
    #[inline]
    pub(super) fn run<'a>(
        &mut self,
        chunk: &'a [u8],
        sieve: &Sieve,
        mut take: impl FnMut(Frame<'a>) -> bool,
    ) {
        if let Some(Reader::Pcap(reader)) = &mut self.reader
            && sieve.is_open()
        {
            let mut loaded = 0;
            self.at = reader.run(chunk, self.at, |frame, place| {
                loaded ^= prefetch::lines(chunk, place.start, place.end);
                take(frame)
            });
            // What is used by nobody would not be loaded.
            std::hint::black_box(loaded);
        }
    }

    /// Walks on likewise, but not for ever, over whatever is there.
    #[inline]
    pub(super) fn step<'a>(
        &mut self,
        chunk: &'a [u8],
        sieve: &mut Sieve,
        mut take: impl FnMut(Frame<'a>, &Judge<'_>) -> bool,
    ) {
        let Some(reader) = &mut self.reader else { return };
        let (mut from, mut loaded) = (self.at, 0);
        for _ in 0..STRIDE {
            if from - self.at > REACH {
                break;
            }
            match reader.step(chunk.get(from..).unwrap_or_default()) {
                Step::Frame { frame, used } => {
                    loaded ^= prefetch::lines(chunk, from, from + used);
                    from += used;
                    let judge = sieve.judge(frame.link);
                    if matches!(judge, Judge::Unfit) {
                        count_unfit(&mut self.unfit, sieve, frame.link, &mut self.report);
                        continue;
                    }
                    self.report.packets += 1;
                    if !take(frame, &judge) {
                        break;
                    }
                }
                Step::Skip { used } => from += used,
                Step::More => {
                    // A block ends where a record ends; what is left of a mapped file was cut off.
                    let left = (chunk.len() - from) as u64;
                    if left > 0 {
                        let tail = Tail { offset: from as u64, bytes: left, reason: Reason::Cut };
                        self.report.tail_bytes = left;
                        say(&mut self.report, tail.to_string());
                        self.damaged = true;
                    }
                    break;
                }
                Step::Damaged(error) => {
                    self.report.tail_bytes = (chunk.len() - from) as u64;
                    say(&mut self.report, error.to_string());
                    (self.report.failed, self.damaged) = (true, true);
                    break;
                }
            }
        }
        std::hint::black_box(loaded);
        self.at = from;
    }

    /// The report of an input that was walked to its end.
    fn close(mut self) -> InputReport {
        self.report.complete = true;
        if let Some(reader) = &self.reader {
            let skipped = reader.skipped();
            let reasons = [
                ("undeclared_interface", skipped.undeclared),
                ("overlong_packet", skipped.overlong),
                ("filter_unfit", self.unfit),
            ];
            self.report.unreadable = reasons.into_iter().filter(|(_, count)| *count > 0).collect();
        }
        self.report
    }
}

/// A packet of a link type for which the filter has no meaning; the run goes on and has failed.
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
