//! Runs one stage over frames or records, as the engine would.

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use arrow_array::RecordBatch;

use super::{TestHost, decoded};
use crate::{
    Arena, BATCH, Batch, Class, DynStage, Host, Layers, Level, Output, Packet, Result, Sink,
    SinkStage, Stage, Timestamp, factory::Guard, key::Epoch,
};

/// The time of the first frame: 2026-01-01 00:00:00 UTC.
pub const START: Timestamp = Timestamp(1_767_225_600_000_000_000);

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// The time of frame `index`: one millisecond after the one before.
#[must_use]
pub fn frame_time(index: usize) -> Timestamp {
    let index = i64::try_from(index).expect("fewer frames than nanoseconds");
    Timestamp(START.0 + index * MILLISECOND)
}

/// What came out of a run.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// All that was emitted, in order.
    pub records: Vec<RecordBatch>,
    /// For each packet the name of the reason it was dropped for, `None` if it was not.
    pub verdicts: Vec<Option<String>>,
    /// For each packet its layers after the stage.
    pub layers: Vec<Layers>,
    /// For each packet its class after the stage.
    pub classes: Vec<Class>,
    /// For each packet its flow hash after the stage.
    pub flow_hashes: Vec<u64>,
    /// For each packet its payload after the stage.
    pub payloads: Vec<Vec<u8>>,
    /// For each packet source and destination after the stage, as `10.0.0.1:1234` or
    /// `[2001:db8::1]:80`.
    pub ends: Vec<[String; 2]>,
    /// For each packet the way to its IP packet, as `gre/erspan_2/ethernet`.
    pub encapsulations: Vec<String>,
    /// Every counter that the stage asked for.
    pub counters: BTreeMap<String, u64>,
    /// The log lines.
    pub logs: Vec<(Level, String)>,
    /// What the stage suggested to the user.
    pub suggestions: Vec<String>,
}

/// One stage on the bench, driven call by call.
///
/// A panic of the stage becomes an error that names file and line, as in the engine.
#[derive(Debug)]
pub struct Trial<S: Stage> {
    stage: Guard<S>,
    host: Arc<TestHost>,
    ran: Ran,
}

impl<S: Stage> Trial<S> {
    /// Makes the stage from the TOML text of its options, as worker 0 would.
    ///
    /// # Errors
    /// What the parser or the stage says about the options.
    pub fn new(options: &str) -> Result<Self> {
        Self::on(Some(0), options)
    }

    fn on(worker: Option<usize>, options: &str) -> Result<Self> {
        Self::of(TestHost::new(worker), options)
    }

    /// The same in a run with epochs, which captures live or reads files.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_epochs(epoch: Epoch, live: bool, options: &str) -> Result<Self> {
        Self::of(TestHost::in_epochs(epoch, live), options)
    }

    fn of((host, test): (Host, Arc<TestHost>), options: &str) -> Result<Self> {
        Ok(Self { stage: Guard::new(options, &host)?, host: test, ran: Ran::default() })
    }

    /// Hands it these packets as one batch.
    ///
    /// # Errors
    /// What the stage returned.
    pub fn packets<'a>(&mut self, packets: impl IntoIterator<Item = Packet<'a>>) -> Result {
        let arena = Arena::default();
        let mut batch = Batch::default().with_arena(&arena);
        packets.into_iter().for_each(|packet| batch.push(packet));
        assert!(batch.all().len() <= BATCH, "a batch holds at most {BATCH} packets");
        self.stage.packets(&mut batch, &mut Output::new(&mut self.ran.records))?;
        for packet in batch.all() {
            self.ran.verdicts.push(self.host.reason_name(packet.verdict()));
            self.ran.layers.push(packet.layers());
            self.ran.classes.push(packet.class());
            self.ran.flow_hashes.push(packet.flow_hash());
            self.ran.payloads.push(packet.payload().to_vec());
            self.ran.encapsulations.push(packet.encapsulation().to_string());
            self.ran.ends.push(ends(packet));
        }
        Ok(())
    }

    /// Hands it a record batch.
    ///
    /// # Errors
    /// What the stage returned.
    pub fn records(&mut self, records: RecordBatch) -> Result {
        self.stage.records(records, &mut Output::new(&mut self.ran.records))
    }

    /// Tells it the time.
    ///
    /// # Errors
    /// What the stage returned.
    pub fn tick(&mut self, now: Timestamp) -> Result {
        self.stage.tick(now, &mut Output::new(&mut self.ran.records))
    }

    /// Tells it that no more packets come; may be called again.
    ///
    /// # Errors
    /// What the stage returned.
    pub fn finish(&mut self) -> Result {
        self.stage.finish(&mut Output::new(&mut self.ran.records))
    }

    /// What came out so far.
    #[must_use]
    pub fn ran(&self) -> Ran {
        Ran {
            counters: self.host.counters(),
            logs: self.host.logs(),
            suggestions: self.host.suggestions(),
            ..self.ran.clone()
        }
    }

    pub(super) fn schemas(&mut self) -> Result<Vec<arrow_schema::SchemaRef>> {
        self.stage.schemas()
    }
}

fn ends(packet: &Packet<'_>) -> [String; 2] {
    let ((from, to), (from_port, to_port)) = (packet.addresses(), packet.ports());
    [(from, from_port), (to, to_port)].map(|(address, port)| {
        SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port).to_string()
    })
}

/// Runs a stage over frames whose layers, flow hash and class are set; ticks a second after
/// the last frame; finishes.
///
/// # Errors
/// What the stage returned.
pub fn run<S: Stage>(options: &str, frames: &[Vec<u8>]) -> Result<Ran> {
    run_split::<S>(options, frames, BATCH, decoded)
}

/// The same over frames that no stage has looked at; their link type is Ethernet.
///
/// # Errors
/// What the stage returned.
pub fn run_raw<S: Stage>(options: &str, frames: &[Vec<u8>]) -> Result<Ran> {
    run_split::<S>(options, frames, BATCH, undecoded)
}

pub(super) fn undecoded(frame: &[u8], time: Timestamp) -> Packet<'_> {
    Packet::ethernet(frame, time)
}

pub(super) fn run_split<S: Stage>(
    options: &str,
    frames: &[Vec<u8>],
    size: usize,
    packet: impl for<'a> Fn(&'a [u8], Timestamp) -> Packet<'a>,
) -> Result<Ran> {
    let mut trial = Trial::<S>::new(options)?;
    let mut index = 0;
    for part in frames.chunks(size) {
        trial.packets(part.iter().map(|frame| {
            index += 1;
            packet(frame, frame_time(index - 1))
        }))?;
    }
    trial.tick(Timestamp(frame_time(index).0 + SECOND))?;
    trial.finish()?;
    Ok(trial.ran())
}

/// Runs a stage over records; ticks; finishes.
///
/// # Errors
/// What the stage returned.
pub fn run_records<S: Stage>(options: &str, records: &[RecordBatch]) -> Result<Ran> {
    run_records_on::<S>(Some(0), options, records)
}

/// Runs a sink over records; ticks; flushes.
///
/// # Errors
/// What the sink returned.
pub fn run_sink<S: Sink>(options: &str, records: &[RecordBatch]) -> Result<Ran> {
    run_records_on::<SinkStage<S>>(None, options, records)
}

fn run_records_on<S: Stage>(
    worker: Option<usize>,
    options: &str,
    records: &[RecordBatch],
) -> Result<Ran> {
    let mut trial = Trial::<S>::on(worker, options)?;
    for batch in records {
        trial.records(batch.clone())?;
    }
    trial.tick(Timestamp(START.0 + SECOND))?;
    trial.finish()?;
    Ok(trial.ran())
}
