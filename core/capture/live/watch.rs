//! Watches the interfaces of a capture from a thread of its own.
//!
//! Four times a second it looks whether each interface is there and running, and says when that
//! changes; the workers read what it saw. Once a second it reads what the network card counted.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    capture::{netdev, nic},
    lock::lock,
};

/// How often the interfaces are looked at.
pub const LOOK: Duration = Duration::from_millis(250);

/// The interfaces of a capture.
#[derive(Debug)]
pub struct Watch {
    interfaces: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// 0 while the interface is not there; another number each time it appears.
    generation: AtomicU32,
    notes: Mutex<Notes>,
}

/// What the watching thread remembers of an interface.
#[derive(Debug)]
struct Notes {
    index: u32,
    running: bool,
    since: Instant,
    generations: u32,
    report: InterfaceReport,
    counted: Option<(Instant, nic::Counters)>,
}

/// What became of an interface during a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Packets that the network card or its driver took from the wire.
    pub nic_received: u64,
    /// Packets that it dropped, by the driver's own names.
    pub nic_dropped: BTreeMap<String, u64>,
    /// The most packets that it dropped in one second.
    pub nic_worst_second: u64,
    /// How often it went down or away.
    pub interruptions: u64,
    /// Milliseconds for which it was down or away.
    pub absent_ms: u64,
}

impl InterfaceReport {
    /// Takes off what a ring dropped and the driver counted, too.
    pub(crate) fn without(&mut self, mut dropped: u64) {
        for count in self.nic_dropped.values_mut() {
            let ours = dropped.min(*count);
            *count -= ours;
            dropped -= ours;
        }
        self.nic_dropped.retain(|_, count| *count > 0);
    }
}

impl Watch {
    /// The interfaces as they are now.
    pub fn new(names: &[String]) -> Self {
        let watched = |name: &String| {
            let state = netdev::state(name).ok().flatten();
            let notes = Notes {
                index: state.map_or(0, |state| state.index),
                running: state.is_some_and(|state| state.running),
                since: Instant::now(),
                generations: 1,
                report: InterfaceReport { name: name.clone(), ..InterfaceReport::default() },
                counted: nic::Counters::read(name).ok().map(|now| (Instant::now(), now)),
            };
            let generation = AtomicU32::new(u32::from(notes.index != 0));
            Watched { name: name.clone(), generation, notes: Mutex::new(notes) }
        };
        Self { interfaces: names.iter().map(watched).collect() }
    }

    /// Which appearance of the interface this is, from 1; 0 while it is not there.
    pub fn generation(&self, interface: usize) -> u32 {
        self.interfaces[interface].generation.load(Relaxed)
    }

    /// Looks at all interfaces.
    pub fn look(&self) {
        for watched in &self.interfaces {
            let Ok(state) = netdev::state(&watched.name) else { continue };
            let mut notes = lock(&watched.notes);
            let generation = notes.see(&watched.name, state);
            watched.generation.store(generation, Relaxed);
            notes.count(&watched.name);
        }
    }

    /// Packets that the cards had dropped when they were last looked at, by their own count.
    pub fn lost(&self) -> u64 {
        let of = |watched: &Watched| -> u64 {
            let notes = lock(&watched.notes);
            notes.report.nic_dropped.values().sum()
        };
        self.interfaces.iter().map(of).sum()
    }

    /// What became of the interfaces.
    pub fn end(&self) -> Vec<InterfaceReport> {
        self.look();
        for watched in &self.interfaces {
            let mut notes = lock(&watched.notes);
            notes.count_now(&watched.name);
        }
        self.reports()
    }

    /// What has become of the interfaces when they were last looked at.
    pub fn reports(&self) -> Vec<InterfaceReport> {
        let report = |watched: &Watched| {
            let notes = lock(&watched.notes);
            let mut report = notes.report.clone();
            if !notes.running {
                report.absent_ms += notes.ms();
            }
            report
        };
        self.interfaces.iter().map(report).collect()
    }
}

impl Notes {
    /// Compares with what was seen last; returns the generation.
    fn see(&mut self, name: &str, state: Option<netdev::State>) -> u32 {
        let index = state.map_or(0, |state| state.index);
        let running = state.is_some_and(|state| state.running);
        let replaced = index != self.index && index != 0 && self.index != 0;
        if self.running && (!running || replaced) {
            let how = if index == self.index { "down" } else { "gone" };
            tracing::warn!("{name} is {how}; its packets are missed until it is back");
            self.report.interruptions += 1;
            self.since = Instant::now();
        }
        if running && (!self.running || replaced) {
            tracing::info!("{name} is back after {:.1} s", self.since.elapsed().as_secs_f64());
            self.report.absent_ms += self.ms();
        }
        if index != self.index {
            // A new interface counts from zero.
            self.counted = None;
            self.generations += u32::from(index != 0);
        }
        (self.index, self.running) = (index, running);
        if index == 0 { 0 } else { self.generations }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&mut self, name: &str) {
        let fresh = |(at, _): &(Instant, _)| at.elapsed() < Duration::from_secs(1);
        if self.index != 0 && !self.counted.as_ref().is_some_and(fresh) {
            self.count_now(name);
        }
    }

    fn count_now(&mut self, name: &str) {
        let Ok(now) = nic::Counters::read(name) else { return };
        let before = self.counted.take().map(|(_, before)| before).unwrap_or_default();
        self.report.nic_received += now.received.saturating_sub(before.received);
        let mut second = 0;
        for (reason, count) in &now.dropped {
            let more = count.saturating_sub(before.dropped.get(reason).copied().unwrap_or(0));
            if more > 0 {
                *self.report.nic_dropped.entry(reason.clone()).or_default() += more;
                second += more;
            }
        }
        self.report.nic_worst_second = self.report.nic_worst_second.max(second);
        self.counted = Some((Instant::now(), now));
    }
}
