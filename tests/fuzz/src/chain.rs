//! Stages outside of the engine: any panic of theirs is a finding, so nothing catches it.

use std::{collections::BTreeMap, sync::Arc};

use ringmill_classify::Classify;
use ringmill_decode::Decode;
use ringmill_http::Http;
use ringmill_sdk::{
    Arena, BATCH, Batch, Class, Layers, Output, Packet, Stage, Timestamp,
    arrow_array::{Array as _, RecordBatch},
    testing::TestHost,
};

/// A stage from its options as TOML, and what it tells its host.
pub fn stage<S: Stage>(options: &str) -> (S, Arc<TestHost>) {
    let (host, told) = TestHost::new(Some(0));
    let config = toml::from_str(options).expect("the options of a target are right");
    (S::new(config, &host).expect("the options of a target are right"), told)
}

/// Records are what Arrow says that they are: UTF-8, offsets in order, as many rows in each
/// column.
pub fn check_records(records: &[RecordBatch]) {
    for batch in records {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let valid = column.to_data().validate_full();
            assert!(valid.is_ok(), "column `{}`: {valid:?}", field.name());
            assert_eq!(column.len(), batch.num_rows(), "column `{}`", field.name());
        }
    }
}

/// What the stages found out about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Why it was dropped.
    pub verdict: Option<String>,
    /// All zero when it was.
    pub layers: Layers,
    pub class: Class,
    pub flow_hash: u64,
    pub link: u16,
    pub encapsulation: String,
    pub ends: ([u8; 16], [u8; 16]),
    pub ports: (u16, u16),
    /// The frame, if it is not the one that came.
    pub made: Option<Vec<u8>>,
}

/// A frame with its time and link type, and whether time is told after it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub time: Timestamp,
    pub link: u16,
    pub vlan: u16,
    /// Bytes that were on the wire and not captured.
    pub cut: u32,
    pub bytes: Vec<u8>,
    pub tick: bool,
}

impl Frame {
    pub fn packet(&self) -> Packet<'_> {
        let wire = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).saturating_add(self.cut);
        Packet::new(&self.bytes, self.time, wire, self.link, 0).with_vlan(self.vlan)
    }
}

/// `decode`, `classify` and perhaps `http`, as the engine chains them.
pub struct Chain {
    decode: Decode,
    classify: Classify,
    http: Option<Http>,
    told: Vec<Arc<TestHost>>,
    pub records: Vec<RecordBatch>,
    /// For each packet what was found out; nothing in a chain with `http`, where it shows in
    /// the records.
    pub found: Vec<Found>,
}

impl Chain {
    pub fn new(decode: &str, http: Option<&str>) -> Self {
        let (decode, one) = stage(decode);
        let (classify, two) = stage("");
        let (http, three) = http.map(stage).unzip();
        let told = [Some(one), Some(two), three].into_iter().flatten().collect();
        Self { decode, classify, http, told, records: Vec::new(), found: Vec::new() }
    }

    /// Sends the frames through in batches of at most `most` packets, tells the time where the
    /// frames say so, and finishes; `look` sees each packet behind the stages.
    pub fn run(&mut self, frames: &[Frame], most: usize, mut look: impl FnMut(&Packet<'_>)) {
        for told in frames.split_inclusive(|frame| frame.tick) {
            for part in told.chunks(most.min(BATCH)) {
                self.batch(part, &mut look);
            }
            if let Some(last) = told.last().filter(|last| last.tick) {
                self.tick(last.time);
            }
        }
        self.finish();
        check_records(&self.records);
    }

    fn batch(&mut self, frames: &[Frame], look: &mut impl FnMut(&Packet<'_>)) {
        let arena = Arena::default();
        let mut batch = Batch::default().with_arena(&arena);
        frames.iter().for_each(|frame| batch.push(frame.packet()));
        let mut out = Output::new(&mut self.records);
        self.decode.packets(&mut batch, &mut out).expect("decode goes on");
        self.classify.packets(&mut batch, &mut out).expect("classify goes on");
        if let Some(http) = &mut self.http {
            http.packets(&mut batch, &mut out).expect("http goes on");
        }
        assert_eq!(batch.all().len(), frames.len(), "a stage neither makes nor loses packets");
        for (packet, frame) in batch.all().iter().zip(frames) {
            look(packet);
            if self.http.is_some() {
                continue;
            }
            let made = !std::ptr::eq(packet.frame(), &raw const frame.bytes[..]);
            self.found.push(Found {
                verdict: self.told[0].reason_name(packet.verdict()),
                layers: packet.layers(),
                class: packet.class(),
                flow_hash: packet.flow_hash(),
                link: packet.link(),
                encapsulation: packet.encapsulation().to_string(),
                ends: packet.addresses(),
                ports: packet.ports(),
                made: made.then(|| packet.frame().to_vec()),
            });
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let mut out = Output::new(&mut self.records);
        self.decode.tick(now, &mut out).expect("decode goes on");
        self.classify.tick(now, &mut out).expect("classify goes on");
        if let Some(http) = &mut self.http {
            http.tick(now, &mut out).expect("http goes on");
        }
    }

    fn finish(&mut self) {
        let mut out = Output::new(&mut self.records);
        self.decode.finish(&mut out).expect("decode goes on");
        self.classify.finish(&mut out).expect("classify goes on");
        if let Some(http) = &mut self.http {
            http.finish(&mut out).expect("http goes on");
        }
    }

    /// All counters of all stages; their names differ.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.told.iter().flat_map(|told| told.counters()).collect()
    }
}
