//! `Live` over rings that are lists.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    ptr::NonNull,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ringmill_sdk::Batch;

use super::{Backend, Counts, Live, Missing, RawFrame, Ring, RingError, Setup, Shared};
use crate::{
    capture::{Filled, Source},
    config::{Balance, Clock, Direction},
};

/// A packet: its bytes and its time.
type Made = (Vec<u8>, i64);

/// Rings that give what was put in beforehand, and scribble over what was released.
struct Lists(Mutex<VecDeque<VecDeque<Made>>>);

struct List {
    waiting: VecDeque<Made>,
    lent: Vec<Made>,
    received: u64,
    enabled: bool,
    /// How often it says that it is empty before it gives a packet.
    shy: u32,
    /// Never readable.
    fd: OwnedFd,
}

impl Backend for Lists {
    type Ring = List;

    fn new(_: Arc<Setup>) -> Result<Self, Missing> {
        Err(Missing("lists are made by hand".to_owned()))
    }

    fn open(&self, _: usize, _: usize) -> Result<Vec<List>, RingError> {
        let waiting = self.0.lock().unwrap().pop_front();
        let waiting = waiting.ok_or_else(|| RingError("no ring".to_owned()))?;
        let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        let received = waiting.len() as u64;
        Ok(vec![List { waiting, lent: Vec::new(), received, enabled: false, shy: 0, fd }])
    }
}

// SAFETY: the bytes of a frame are a `Vec` of their own on the heap, which moves from `waiting`
// to `lent` and is overwritten and freed by `release` only.
unsafe impl Ring for List {
    fn enable(&mut self) -> Result<(), RingError> {
        self.enabled = true;
        Ok(())
    }

    fn release(&mut self) {
        self.lent.iter_mut().for_each(|(bytes, _)| bytes.fill(0xdd));
        self.lent.clear();
    }

    fn peek(&mut self) -> Option<RawFrame> {
        assert!(self.enabled, "a closed ring was read");
        if self.shy > 0 {
            self.shy -= 1;
            return None;
        }
        let (bytes, time) = self.waiting.front_mut()?;
        let len = u32::try_from(bytes.len()).unwrap();
        let data = NonNull::new(bytes.as_mut_ptr()).unwrap();
        Some(RawFrame { data, len, wire_len: len, time: *time, vlan: 7 })
    }

    fn take(&mut self) {
        self.lent.extend(self.waiting.pop_front());
    }

    fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn link(&self) -> u16 {
        1
    }

    fn counts(&mut self) -> Result<Counts, RingError> {
        let dropped = BTreeMap::from([("ring_full", 3)]);
        Ok(Counts { received: self.received, dropped, filtered: 0 })
    }

    fn stop(&mut self) {}
}

fn live(interfaces: &[&str], rings: &[&[i64]], window: Duration) -> Live<Lists> {
    batches(interfaces, rings, window, 256)
}

fn batches(interfaces: &[&str], rings: &[&[i64]], window: Duration, limit: usize) -> Live<Lists> {
    let made = |time: &i64| (time.to_be_bytes().to_vec(), *time);
    let rings = rings.iter().map(|times| times.iter().map(made).collect()).collect();
    let setup = Setup {
        interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        workers: 1,
        cluster: None,
        balance: Balance::Flow,
        promiscuous: false,
        direction: Direction::Receive,
        clock: Clock::System,
        snaplen: 262_144,
        ring_bytes: 1 << 20,
        block_timeout_ms: 10,
        filter: None,
    };
    let shared = Shared::new(Lists(Mutex::new(rings)), Arc::new(setup), window);
    let mut live = Live::open(&shared, 0, limit).unwrap();
    live.enable().unwrap();
    live
}

/// Times and interfaces of all packets, in the order in which they came.
fn drain(live: &mut Live<Lists>) -> Vec<(i64, u16)> {
    let mut all = Vec::new();
    assert_eq!(live.stop(), Filled::More);
    loop {
        let mut batch = Batch::default();
        let filled = live.fill(&mut batch);
        for packet in batch.all() {
            let time = packet.time().0;
            assert_eq!(packet.frame(), time.to_be_bytes(), "the frame is still what it was");
            assert_eq!(packet.vlan(), 7);
            all.push((time, packet.interface()));
        }
        if filled == Filled::End {
            return all;
        }
    }
}

#[test]
fn packets_of_several_interfaces_come_in_time_order() {
    let mut live = live(&["lo", "lo2"], &[&[1, 4, 5, 9], &[2, 3, 6, 7, 8]], Duration::ZERO);
    let all = drain(&mut live);
    let expected = [(1, 0), (2, 1), (3, 1), (4, 0), (5, 0), (6, 1), (7, 1), (8, 1), (9, 0)];
    assert_eq!(all, expected);
    let report = Box::new(live).report();
    let sums: Vec<_> =
        report.rings.iter().map(|ring| (ring.received, ring.taken, ring.lost())).collect();
    assert_eq!(sums, [(4, 4, 3), (5, 5, 3)]);
    assert!(report.rings.iter().all(|ring| ring.imbalance().is_none()));
}

#[test]
fn what_a_failed_worker_leaves_behind_is_counted() {
    let mut live = batches(&["lo"], &[&[1, 2, 3]], Duration::ZERO, 2);
    let mut batch = Batch::default();
    assert_eq!(live.fill(&mut batch), Filled::More);
    assert_eq!(batch.all().len(), 2);
    drop(batch);
    let report = Box::new(live).report();
    assert_eq!((report.rings[0].taken, report.rings[0].not_taken), (2, 1));
    assert_eq!(report.rings[0].imbalance(), None);
}

#[test]
fn a_packet_that_came_during_the_last_batch_is_not_slept_over() {
    let mut live = live(&["lo"], &[&[1]], Duration::ZERO);
    // The ring is empty at first, and has its packet when the worker is about to sleep.
    live.lanes[0].ring.shy = 1;
    for expected in [0, 1] {
        let mut batch = Batch::default();
        let start = Instant::now();
        live.fill(&mut batch);
        assert_eq!(batch.all().len(), expected);
        assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    }
}

#[test]
fn a_ring_that_is_silent_holds_up_the_others_for_the_window_only() {
    let old = super::source::now() - 1_000_000_000;
    let young = super::source::now();
    for (window, expected) in [(60_000, &[][..]), (50, &[old])] {
        let window = Duration::from_millis(window);
        let mut live = live(&["lo", "lo2"], &[&[old, young], &[]], window);
        let mut batch = Batch::default();
        live.fill(&mut batch);
        let times: Vec<_> = batch.all().iter().map(|packet| packet.time().0).collect();
        assert_eq!(times, expected, "{window:?}");
    }
}
