//! Deals the packets of the inputs to several workers.
//!
//! The records of a file are a chain: where one ends, the next begins. So one worker at a time
//! walks a piece of it, finds whose each packet is (see [`share`](crate::capture::share)) and
//! writes its place to a list of its owner's; then each list is put into its owner's queue. The
//! one that walks is a worker that has little left to do and finds nobody walking. Nothing is
//! copied; what goes from one worker to another is four bytes a packet (24 of pcapng), and a lock
//! some thousand packets.
//!
//! A worker that has nothing to do while another walks maps the pages that come next. Of large
//! packets that takes longer than the walk itself.
//!
//! We did not give the walk a thread of its own: it would want a core, and on two of them be idle
//! for half of the time.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use ringmill_sdk::Batch;

use super::{
    Files, PATIENCE,
    list::{Form, List, PIECE_BYTES, Piece, Writer},
    packet,
    walk::{Chunk, Next, Walker},
    wire_len,
};
use crate::{
    capture::{
        Filled, InputReport, Source, SourceReport,
        filter::{Judge, Sieve},
        input::prefetch,
    },
    lock::lock,
};

/// With fewer lists than this in its queue a worker walks on, so that not all stop at once.
const SHORT: usize = 2;
/// Lists in a queue; while one is full nobody walks. A worker that has to wait for a core for a few
/// thousandths of a second should not stop the others.
pub(super) const DEPTH: usize = 32;
/// The same of a stream, whose blocks the lists hold.
const STREAM_DEPTH: usize = 8;
/// Bytes whose pages a worker maps at once, and how far from the walk.
const STRETCH: usize = 512 << 10;
const WINDOW: usize = 8 << 20;

/// What the workers have in common.
pub(super) struct Dealer {
    table: Mutex<Table>,
    /// Lists were dealt, a queue has room again, or a worker has ended.
    changed: Condvar,
}

struct Table {
    /// Not there while a worker walks with it.
    walker: Option<Box<Dealing>>,
    /// That worker.
    walking: Option<usize>,
    ahead: Ahead,
    /// No more lists come.
    is_over: bool,
    hands: Vec<Hand>,
    /// Memory of lists, to be used again.
    spare: Vec<Vec<u32>>,
    /// Packets of each input that were dealt and that nobody takes any more.
    left: Vec<u64>,
}

/// One worker's queue.
#[derive(Default)]
struct Hand {
    lists: VecDeque<List>,
    /// It takes no more.
    is_gone: bool,
}

impl Hand {
    fn is_full(&self) -> bool {
        self.lists.back().is_some_and(|last| self.lists.len() >= depth(last))
    }
}

/// How many such lists a queue holds.
fn depth(list: &List) -> usize {
    if matches!(list.chunk, Chunk::Mapped(_)) { DEPTH } else { STREAM_DEPTH }
}

/// The walker, and what it writes for each worker.
struct Dealing {
    walker: Walker,
    piece: Piece,
    lists: Vec<Vec<u32>>,
}

impl Dealing {
    /// Walks a piece.
    fn walk(&mut self, files: &Files, patience: Duration) -> Next {
        let next = self.walker.next(files, patience);
        if next == Next::Ready
            && let Some((chunk, walk, sieve)) = self.walker.parts()
        {
            let form = walk.pcap().map_or(Form::Whole, |reader| Form::Place(reader.clone()));
            self.piece = Piece { begin: walk.at, form };
            let bytes = chunk.bytes();
            let mut writer = Writer::new(bytes, &self.piece, &mut self.lists);
            let mut has_room = true;
            walk.run(bytes, sieve, |frame| {
                has_room = writer.write(&frame);
                has_room
            });
            walk.report.packets += writer.written() as u64;
            if has_room {
                walk.step(bytes, sieve, |frame, _| writer.write(&frame));
            }
        }
        next
    }
}

/// Pages of a mapped file that are to be mapped before the walk comes to them.
#[derive(Default)]
struct Ahead {
    input: usize,
    chunk: Chunk,
    pages: Range<usize>,
}

impl Ahead {
    /// The walk has come to `at`.
    fn follow(&mut self, input: usize, chunk: &Chunk, at: usize) {
        if self.input != input {
            *self = Self { input, ..Self::default() };
        }
        if let Chunk::Mapped(map) = chunk {
            self.chunk = chunk.clone();
            // Who walks next maps its own.
            let from = self.pages.start.max(at + PIECE_BYTES);
            self.pages = from..(at + WINDOW).min(map.len());
        }
    }

    fn claim(&mut self) -> Option<(Chunk, Range<usize>)> {
        let stretch = self.pages.start..self.pages.end.min(self.pages.start + STRETCH);
        self.pages.start = self.pages.start.max(stretch.end);
        (!stretch.is_empty()).then(|| (self.chunk.clone(), stretch))
    }
}

impl Table {
    /// The walker, if `worker` should walk.
    fn walker(&mut self, worker: usize) -> Option<Box<Dealing>> {
        let is_short = self.hands[worker].lists.len() < SHORT;
        if !is_short || self.is_over || self.hands.iter().any(Hand::is_full) {
            return None;
        }
        let walker = self.walker.take()?;
        self.walking = Some(worker);
        Some(walker)
    }

    /// Puts what was walked into the queues.
    fn deal(&mut self, mut dealing: Box<Dealing>) {
        let Dealing { walker, piece, lists } = &mut *dealing;
        let input = walker.input();
        if let Some((chunk, walk, _)) = walker.parts() {
            self.ahead.follow(input, chunk, walk.at);
            for (hand, words) in self.hands.iter_mut().zip(lists) {
                if hand.is_gone {
                    leave(&mut self.left, input, piece.packets(words.len()));
                    words.clear();
                } else if !words.is_empty() {
                    let words = mem::replace(words, self.spare.pop().unwrap_or_default());
                    hand.lists.push_back(List::new(chunk.clone(), input, piece.clone(), words));
                }
            }
        }
        (self.walker, self.walking) = (Some(dealing), None);
    }
}

/// Packets that nobody takes any more.
fn leave(left: &mut Vec<u64>, input: usize, packets: usize) {
    left.resize(left.len().max(input + 1), 0);
    left[input] += packets as u64;
}

impl Dealer {
    pub(super) fn new(walker: Walker, workers: usize) -> Self {
        let lists = (0..workers).map(|_| Vec::new()).collect();
        let table = Table {
            walker: Some(Box::new(Dealing { walker, piece: Piece::default(), lists })),
            walking: None,
            ahead: Ahead::default(),
            is_over: false,
            hands: (0..workers).map(|_| Hand::default()).collect(),
            spare: Vec::new(),
            left: Vec::new(),
        };
        Self { table: Mutex::new(table), changed: Condvar::new() }
    }

    /// Puts the next list of `worker` into the place of `list`, which is used up. Walks, maps
    /// pages or waits once at most, so that the worker sees its clock.
    fn next(&self, files: &Files, worker: usize, list: &mut List) -> Next {
        let words = list.recycle();
        let mut table = lock(&self.table);
        if words.capacity() > 0 {
            table.spare.push(words);
        }
        let mut has_one = self.pop(&mut table, worker, list);
        if let Some(mut dealing) = table.walker(worker) {
            drop(table);
            let patience = if has_one { Duration::ZERO } else { PATIENCE };
            let next = dealing.walk(files, patience);
            table = lock(&self.table);
            table.is_over = next == Next::UsedUp;
            table.deal(dealing);
            self.changed.notify_all();
        } else if !has_one && !table.is_over {
            if let Some((chunk, stretch)) = table.ahead.claim() {
                drop(table);
                prefetch::pages(&chunk.bytes()[stretch]);
                table = lock(&self.table);
            } else {
                let waited = self.changed.wait_timeout(table, PATIENCE);
                table = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        has_one = has_one || self.pop(&mut table, worker, list);
        match (has_one, table.is_over) {
            (true, _) => Next::Ready,
            (false, true) => Next::UsedUp,
            (false, false) => Next::Waiting,
        }
    }

    fn pop(&self, table: &mut Table, worker: usize, list: &mut List) -> bool {
        let lists = &mut table.hands[worker].lists;
        let Some(next) = lists.pop_front() else { return false };
        // Who waits for room is not woken for every list.
        if lists.len() == depth(&next) / 2 {
            self.changed.notify_all();
        }
        *list = next;
        true
    }

    /// `worker` takes no more; what is left of `list` and in its queue is nobody's.
    fn leave(&self, worker: usize, list: &mut List) {
        let mut table = lock(&self.table);
        let Table { hands, left, walking, is_over, .. } = &mut *table;
        if *walking == Some(worker) {
            // It panicked, and the walker is gone with it.
            (*walking, *is_over) = (None, true);
        }
        hands[worker].is_gone = true;
        for list in hands[worker].lists.drain(..).chain([mem::take(list)]) {
            leave(left, list.input, list.left());
        }
        self.changed.notify_all();
    }

    /// What was found in the inputs, but for what nobody took; after all workers are done.
    pub(super) fn end(&self) -> Vec<InputReport> {
        let mut table = lock(&self.table);
        let walker = table.walker.take();
        let mut reports = walker.map(|dealing| dealing.walker.end()).unwrap_or_default();
        for (report, left) in reports.iter_mut().zip(&table.left) {
            report.packets -= left;
            report.complete &= *left == 0;
        }
        reports
    }
}

/// One worker's packets of those that are dealt.
pub(super) struct Dealt {
    files: Arc<Files>,
    worker: usize,
    sieve: Sieve,
    /// Packets in a batch.
    limit: usize,
    /// Is kept while its packets are in the batch.
    list: List,
    /// Only what the filter kept out.
    report: SourceReport,
}

impl Dealt {
    pub(super) fn new(files: Arc<Files>, worker: usize, sieve: Sieve, limit: usize) -> Self {
        let (list, report) = (List::default(), SourceReport::default());
        Self { files, worker, sieve, limit, list, report }
    }

    fn leave(&mut self) {
        if let Some(dealer) = &self.files.dealer {
            dealer.leave(self.worker, &mut self.list);
        }
    }
}

impl Source for Dealt {
    fn fill<'a>(&'a mut self, batch: &mut Batch<'a>) -> Filled {
        let Self { files, worker, sieve, limit, list, report } = self;
        if list.left() == 0 {
            let Some(dealer) = &files.dealer else { return Filled::End };
            match dealer.next(files, *worker, list) {
                Next::Ready => {}
                Next::Waiting => return Filled::More,
                Next::UsedUp => return Filled::End,
            }
        }
        let (input, snaplen) = (list.input, files.snaplen);
        let (mut room, mut filtered) = ((*limit).min(batch.room()), 0);
        list.run(|frame| {
            if let Judge::Program(program) = sieve.judge(frame.link)
                && !program.accepts(frame.data, wire_len(&frame))
            {
                filtered += 1;
                return true;
            }
            batch.push(packet(&frame, snaplen));
            room -= 1;
            room > 0
        });
        if filtered > 0 {
            let inputs = &mut report.inputs;
            inputs.resize_with(inputs.len().max(input + 1), InputReport::default);
            inputs[input].filtered += filtered;
        }
        Filled::More
    }

    fn stop(&mut self) -> Filled {
        self.leave();
        Filled::End
    }

    fn report(mut self: Box<Self>) -> SourceReport {
        mem::take(&mut self.report)
    }
}

impl Drop for Dealt {
    /// Also when the worker panicked: the others do not wait for it.
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::Batch;

    use super::{super::Files, Filled, lock};
    use crate::capture::{format::samples::good_files, input::Input};

    #[test]
    fn a_panic_on_the_way_ends_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.pcap");
        std::fs::write(&path, &good_files()[0].1).expect("a file");
        let files = Files::new(vec![Input::File(path)], 2, usize::MAX, None).expect("a file");
        let (first, mut second) = (files.source(0, 256), files.source(1, 256));
        let dealer = files.dealer.as_ref().expect("there are two");
        drop(lock(&dealer.table).walker(0).expect("nobody walks"));
        assert_eq!(second.fill(&mut Batch::default()), Filled::More, "it may come back");
        drop(first);
        assert_eq!(second.fill(&mut Batch::default()), Filled::End);
        assert_eq!(files.end(&[]).len(), 1, "the input has a report all the same");
    }
}
