//! Seeds from our own captures.

use std::{env, fs, io::Read as _, path::Path, process};

use flate2::read::MultiGzDecoder;
use ringmill_sdk::{Packet, testing::START};

use crate::{
    capture::format::{Reader, Step},
    chain::{Chain, Frame},
};

/// Names the folder that the seeds are to go to.
const FOLDER: &str = "RINGMILL_FUZZ_SEEDS";

/// One packet of a capture.
#[derive(Clone, Debug)]
pub struct Captured {
    pub link: u16,
    pub wire_len: u32,
    pub data: Vec<u8>,
}

/// With `RINGMILL_FUZZ_SEEDS=FOLDER` the process writes the seeds there and ends, instead of
/// fuzzing.
pub fn seed(make: fn() -> Vec<Vec<u8>>) {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let seeds = make();
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        for (at, seed) in seeds.iter().enumerate() {
            fs::write(Path::new(&folder).join(format!("seed-{at:04}")), seed)?;
        }
        Ok(())
    };
    match write() {
        Ok(()) => println!("{} seeds in {}", seeds.len(), folder.display()),
        Err(error) => {
            eprintln!("no seeds in {}: {error}", folder.display());
            process::exit(1);
        }
    }
    process::exit(0);
}

/// The files in `tests/captures`, as they are or unpacked from gzip; what else is packed is
/// left out.
pub fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let entries = fs::read_dir(&folder).expect("tests/captures lies beside this crate");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let kind = path.extension().and_then(|it| it.to_str());
        let Some("pcap" | "pcapng" | "gz") = kind else { continue };
        let mut bytes = fs::read(&path).expect("a capture can be read");
        if kind == Some("gz") {
            let packed = std::mem::take(&mut bytes);
            let unpacked = MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes);
            unpacked.expect("a capture can be unpacked");
        }
        files.push(bytes);
    }
    assert!(files.len() >= 12, "only {} captures in {}", files.len(), folder.display());
    files
}

/// The packets of each of them.
pub fn captures() -> Vec<Vec<Captured>> {
    files().iter().map(|bytes| packets(bytes)).collect()
}

fn packets(bytes: &[u8]) -> Vec<Captured> {
    let (mut reader, mut at) = Reader::detect_all(bytes).expect("a capture is one");
    let mut packets = Vec::new();
    loop {
        match reader.step(&bytes[at..]) {
            Step::Frame { frame, used } => {
                let (link, wire_len, data) = (frame.link, frame.wire_len, frame.data.to_vec());
                packets.push(Captured { link, wire_len, data });
                at += used;
            }
            Step::Skip { used } => at += used,
            Step::More | Step::Damaged(_) => return packets,
        }
    }
}

/// One TCP segment of a capture.
#[derive(Clone, Debug)]
pub struct Segment {
    pub from: ([u8; 16], u16),
    pub to: ([u8; 16], u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// The TCP segments of each capture, in their order.
pub fn segments() -> Vec<Vec<Segment>> {
    let segments = captures().into_iter().map(|packets| {
        let frames: Vec<_> = packets.into_iter().map(frame).collect();
        let mut segments = Vec::new();
        Chain::new("", None).run(&frames, 1, |packet| segments.extend(segment(packet)));
        segments
    });
    segments.filter(|it: &Vec<_>| !it.is_empty()).collect()
}

fn frame(packet: Captured) -> Frame {
    let cut = packet.wire_len.saturating_sub(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
    Frame { time: START, link: packet.link, vlan: 0, cut, bytes: packet.data, tick: false }
}

fn segment(packet: &Packet<'_>) -> Option<Segment> {
    let layers = packet.layers();
    let header = packet.frame().get(usize::from(layers.l4)..)?.first_chunk::<14>()?;
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|more| header[at + more]));
    let ((from, to), (from_port, to_port)) = (packet.addresses(), packet.ports());
    (packet.verdict() == 0 && packet.protocol() == 6).then(|| Segment {
        from: (from, from_port),
        to: (to, to_port),
        seq: word(4),
        ack: word(8),
        flags: header[13],
        payload: packet.payload().to_vec(),
    })
}
