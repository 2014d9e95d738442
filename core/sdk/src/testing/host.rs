//! A host that remembers what a stage told it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Counter, Host, HostApi, Level, Reason,
    key::{Epoch, Key},
};

/// What stands behind a [`Host`] in tests: keeps counters, reasons, log lines, suggestions and
/// what was declared, so that they can be read afterwards.
#[derive(Default)]
pub struct TestHost {
    worker: Option<usize>,
    epoch: Option<Epoch>,
    live: bool,
    has_manifest: bool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    counters: BTreeMap<String, Counter>,
    reasons: Vec<String>,
    logs: Vec<(Level, String)>,
    suggestions: Vec<String>,
    facts: BTreeMap<String, String>,
}

impl TestHost {
    /// A host for the stage and a handle to read it by. `worker` is `None` for a sink.
    #[must_use]
    pub fn new(worker: Option<usize>) -> (Host, Arc<Self>) {
        Self { worker, ..Self::default() }.share()
    }

    /// The same for worker 0 of a run with epochs, which captures live or reads files.
    #[must_use]
    pub fn in_epochs(epoch: Epoch, live: bool) -> (Host, Arc<Self>) {
        Self { worker: Some(0), epoch: Some(epoch), live, ..Self::default() }.share()
    }

    /// The same for a sink in a run that has a manifest, which says no more than the span:
    /// `{"first":1,"last":2,"rows":3}`.
    #[must_use]
    pub fn with_manifest() -> (Host, Arc<Self>) {
        Self { has_manifest: true, ..Self::default() }.share()
    }

    fn share(self) -> (Host, Arc<Self>) {
        let test = Arc::new(self);
        (Host::from_api(Arc::clone(&test) as Arc<dyn HostApi>), test)
    }

    /// What the stage declared so far.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        self.told().facts.clone()
    }

    /// Every counter that was asked for, zeros too.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let told = self.told();
        told.counters.iter().map(|(name, counter)| (name.clone(), counter.value())).collect()
    }

    /// The name of a packet's verdict; `None` for 0 and for numbers that were not given out.
    #[must_use]
    pub fn reason_name(&self, verdict: u8) -> Option<String> {
        let index = usize::from(verdict).checked_sub(1)?;
        self.told().reasons.get(index).cloned()
    }

    /// The log lines so far.
    #[must_use]
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.told().logs.clone()
    }

    /// What the stage suggested to the user so far.
    #[must_use]
    pub fn suggestions(&self) -> Vec<String> {
        self.told().suggestions.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostApi for TestHost {
    fn log(&self, level: Level, message: &str) {
        self.told().logs.push((level, message.to_owned()));
    }

    fn worker(&self) -> Option<usize> {
        self.worker
    }

    fn counter(&self, name: &str) -> Counter {
        self.told().counters.entry(name.to_owned()).or_default().clone()
    }

    fn reason(&self, name: &str) -> Reason {
        let mut told = self.told();
        let index = told.reasons.iter().position(|known| known == name).unwrap_or_else(|| {
            told.reasons.push(name.to_owned());
            told.reasons.len() - 1
        });
        Reason::from_number(u8::try_from(index + 1).expect("a stage has at most 255 reasons"))
    }

    /// The same for a label in every run, and different for every label: `SplitMix64` over an
    /// FNV-1a hash of it.
    fn ephemeral_key(&self, label: &str, key: &mut Key) -> bool {
        let mut state = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        for eight in key.as_chunks_mut::<8>().0 {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *eight = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).to_le_bytes();
        }
        true
    }

    fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    fn is_replay(&self) -> bool {
        !self.live
    }

    fn declare(&self, name: &str, value: &str) {
        self.told().facts.insert(name.to_owned(), value.to_owned());
    }

    fn suggest(&self, text: &str) {
        self.told().suggestions.push(text.to_owned());
    }

    fn ledger(&self) -> String {
        String::new()
    }

    fn manifest(&self, _: &str, rows: u64, first: i64, last: i64) -> String {
        match self.has_manifest {
            true => format!("{{\"first\":{first},\"last\":{last},\"rows\":{rows}}}"),
            false => String::new(),
        }
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").field("worker", &self.worker).finish_non_exhaustive()
    }
}
