//! The pcap and pcapng readers: `Reader::detect`, `step` and `whole` over any bytes.
//!
//! Input: a file, as it is. Held to be true:
//!
//! * a walk ends, and every step of it uses up at least a record header;
//! * a packet lies inside the bytes its record used, its interface is one that was described;
//! * damage is told with the place at which the walk stands;
//! * a run over a pcap file takes what steps take, and a packet that is read again is the same;
//! * of a file that comes in two pieces the same is read, wherever it was cut: what a stream
//!   does with its blocks.

use crate::{
    capture::{
        format::{FormatError, Frame, Reader, Skipped, Step},
        pcapng::{Interface, MAGIC},
        samples,
    },
    seeds,
};

/// A record header of pcap has 16 bytes, the smallest block of pcapng 12.
const LEAST: usize = 12;

/// How a walk ended.
#[derive(Debug, PartialEq)]
struct Walk<'a> {
    frames: Vec<Frame<'a>>,
    /// Where the last whole record ended.
    at: usize,
    error: Option<FormatError>,
    interfaces: Vec<Interface>,
    skipped: Skipped,
}

/// Checks all of it for one file.
pub fn run(bytes: &[u8]) {
    let whole =
        Reader::detect_all(bytes).map(|(reader, used)| walk(reader, bytes, used, bytes.len()));
    match &whole {
        Ok(walk) => {
            check(walk, bytes.len());
            check_run(bytes, walk);
        }
        Err(error) => assert!(error.to_string().len() > 20, "{error}"),
    }
    // The cut is anywhere, and the same for the same bytes.
    let seed = bytes.iter().rev().take(4).fold(0, |sum, byte| sum * 257 + usize::from(*byte));
    let cut = seed % (bytes.len() + 1);
    match (Reader::detect(&bytes[..cut]), whole) {
        (Ok(None), _) => assert!(cut < 24, "{cut} bytes are enough to tell"),
        (Ok(Some((reader, used))), Ok(whole)) => {
            assert_eq!(walk(reader, bytes, used, cut), whole, "cut at {cut}");
        }
        // What a file looks like may show later in it.
        (Err(_), Err(_)) => {}
        (part, whole) => panic!("cut at {cut}: {part:?}, but {whole:?}"),
    }
}

/// Walks the first `there` bytes as far as their records are whole, then all of them.
fn walk(mut reader: Reader, bytes: &[u8], used: usize, mut there: usize) -> Walk<'_> {
    let (mut frames, mut at) = (Vec::new(), used);
    let error = loop {
        let rest = &bytes[at..there];
        let mut again = reader.clone();
        match reader.step(rest) {
            Step::Frame { frame, used } => {
                assert!(used >= LEAST && used <= rest.len(), "{used} of {}", rest.len());
                assert!(frame.data.len() <= used - LEAST, "{} in {used}", frame.data.len());
                assert!(lies_in(frame.data, &rest[..used]), "outside of its record");
                frames.push(frame);
                at += used;
            }
            Step::Skip { used } => {
                assert!(used >= LEAST && used <= rest.len(), "{used} of {}", rest.len());
                at += used;
            }
            Step::More => {
                assert_eq!(again.whole(rest), (0, None), "`whole` after `More`");
                if there == bytes.len() {
                    break None;
                }
                there = bytes.len();
            }
            Step::Damaged(error) => {
                assert_eq!(again.whole(rest), (0, Some(error)), "`whole` after damage");
                break Some(error);
            }
        }
    };
    let (interfaces, skipped) = (reader.interfaces().to_vec(), reader.skipped());
    Walk { frames, at, error, interfaces, skipped }
}

fn lies_in(inner: &[u8], outer: &[u8]) -> bool {
    let (inner, outer) = (inner.as_ptr_range(), outer.as_ptr_range());
    inner.start >= outer.start && inner.end <= outer.end
}

fn check(walk: &Walk<'_>, length: usize) {
    assert!(walk.at <= length && walk.frames.len() <= length / LEAST);
    match walk.error {
        Some(FormatError::Length { offset, .. } | FormatError::Block { offset, .. }) => {
            assert_eq!(offset, walk.at as u64, "damage is where the walk stands");
        }
        Some(other) => panic!("not an error of a record: {other}"),
        None => {}
    }
    if let Some(error) = walk.error {
        assert!(error.to_string().len() > 20, "{error}");
    }
    for frame in &walk.frames {
        let described = walk.interfaces.get(usize::from(frame.interface));
        assert!(
            walk.interfaces.is_empty() && frame.interface == 0
                || described.is_some_and(|it| it.link == frame.link),
            "{frame:?}"
        );
    }
}

/// A run takes all of a file of this machine's byte order, and nothing of the others.
fn check_run(bytes: &[u8], walk: &Walk<'_>) {
    let Ok((Reader::Pcap(reader), used)) = Reader::detect_all(bytes) else { return };
    let mut frames = Vec::new();
    let at = reader.clone().run(bytes, used, |frame, place| {
        assert!(lies_in(frame.data, &bytes[place]), "outside of its record");
        frames.push(frame);
        true
    });
    if at > used || walk.frames.is_empty() {
        assert_eq!((at, &frames), (walk.at, &walk.frames), "a run");
    }
    for frame in &walk.frames {
        let place = frame.data.as_ptr().addr() - bytes.as_ptr().addr();
        assert_eq!(reader.packet(bytes, place).as_ref(), Some(frame), "at {place}");
    }
}

/// Our captures and one small file of each layout.
pub fn pcap_seeds() -> Vec<Vec<u8>> {
    all(false)
}

/// Our captures and two small files with blocks of every kind.
pub fn pcapng_seeds() -> Vec<Vec<u8>> {
    all(true)
}

fn all(is_ng: bool) -> Vec<Vec<u8>> {
    let small = samples::good_files().into_iter().map(|(_, bytes)| bytes);
    small.chain(seeds::files()).filter(|bytes| bytes.starts_with(&MAGIC) == is_ng).collect()
}
