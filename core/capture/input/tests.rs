//! Names, openings and streams: what users hand over, good and bad.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::super::format::samples::{NgFile, PcapFile, PcapKind};
use super::super::format::{FormatError, Reader, Step};
use super::source::Source;
use super::{BLOCK, Block, End, Input, InputError, Opened, Reason, Stream, Tail, expand, open};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("ringmill-input-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, bytes).expect(name);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    // As the program `zstd` does.
    encoder.include_checksum(true).expect("memory");
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Packets whose bytes do not compress to nothing.
fn noise(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1] & 0x3f
    };
    (0..size).map(|_| next()).collect()
}

fn large_pcap(packets: u32) -> Vec<u8> {
    let mut file = PcapFile::new(PcapKind::ALL[0], 65_535, 1);
    for i in 0..packets {
        file.packet(i, 0, &noise(i, 40 + (i as usize * 37) % 1400), 1500);
    }
    file.bytes
}

fn large_ng(packets: u32) -> Vec<u8> {
    let mut file = NgFile::new(true);
    file.interface(1, 0, &[]);
    for i in 0..packets {
        file.enhanced(0, i.into(), &noise(i, 40 + (i as usize * 37) % 1400), 1500, &[]);
    }
    file.bytes
}

/// Frames in whole bytes, with their times: enough to tell one walk from another.
fn frames<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(i64, usize)> {
    let mut reader = None;
    let mut frames = Vec::new();
    for bytes in blocks {
        let mut at = 0;
        let reader = reader.get_or_insert_with(|| {
            let (reader, used) = Reader::detect_all(bytes).expect("the first block has the header");
            at = used;
            reader
        });
        loop {
            match reader.step(&bytes[at..]) {
                Step::Frame { frame, used } => {
                    frames.push((frame.time, frame.data.len()));
                    at += used;
                }
                Step::Skip { used } => at += used,
                Step::More => break,
                Step::Damaged(error) => panic!("{error}"),
            }
        }
        assert_eq!(at, bytes.len(), "a block holds whole records");
    }
    frames
}

/// Reads a stream: its frames, the sizes of its blocks, and how it ended.
fn drain(mut stream: Stream) -> (Vec<(i64, usize)>, Vec<usize>, End) {
    let receiver = stream.take_receiver().expect("nobody took it");
    let reader = std::thread::spawn(move || receiver.iter().collect::<Vec<Arc<Block>>>());
    let end = stream.end();
    let blocks = reader.join().expect("a reader");
    let mut offset = 0;
    for block in &blocks {
        assert_eq!(block.offset(), offset);
        offset += block.bytes().len() as u64;
    }
    assert_eq!(offset, end.bytes);
    let found = frames(blocks.iter().map(|block| block.bytes()));
    (found, blocks.iter().map(|block| block.bytes().len()).collect(), end)
}

fn stream(path: &Path) -> Stream {
    match open(&Input::File(path.into())) {
        Ok(Opened::Stream(stream)) => stream,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn compressed_files_give_what_is_in_them() {
    let folder = Folder::new();
    let (pcap, ng) = (large_pcap(6000), large_ng(2000));
    let half = pcap.len() / 2;
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let mut jumbo = PcapFile::new(PcapKind::ALL[0], 16 << 20, 1);
    for size in [100, 3 * BLOCK, 100, BLOCK, 70] {
        jumbo.packet(1, 1, &noise(1, size), 9);
    }
    let cases: &[(&str, Vec<u8>, &[u8])] = &[
        ("gzip", gzip(&pcap), &pcap),
        ("zstd", zstd(&pcap), &pcap),
        ("gzip, pcapng", gzip(&ng), &ng),
        ("zstd, pcapng", zstd(&ng), &ng),
        ("two gzip members", [gzip(&pcap[..half]), gzip(&pcap[half..])].concat(), &pcap),
        (
            "two zstd frames and two to be skipped",
            [skippable.clone(), zstd(&pcap[..half]), skippable, zstd(&pcap[half..])].concat(),
            &pcap,
        ),
        ("packets larger than a block", gzip(&jumbo.bytes), &jumbo.bytes),
        ("no packet", zstd(&pcap[..24]), &pcap[..24]),
    ];
    for (name, packed, plain) in cases {
        // The name says nothing: the bytes do.
        let path = folder.write(name, packed);
        let stream = stream(&path);
        let progress = stream.progress();
        let (found, sizes, end) = drain(stream);
        assert_eq!(found, frames([*plain]), "{name}");
        assert_eq!((end.bytes, end.tail), (plain.len() as u64, None), "{name}");
        assert_eq!(Some(progress.read()), progress.total(), "{name}");
        assert_eq!(progress.read(), packed.len() as u64, "{name}");
        let small = plain.len() < 2 * BLOCK;
        assert!(small || sizes.iter().any(|&size| size > BLOCK / 2), "{name}: {sizes:?}");
    }
}

#[test]
fn what_is_whole_before_trouble_is_read_and_the_rest_is_told() {
    let folder = Folder::new();
    let plain = large_pcap(3000);
    let all = frames([&plain[..]]);
    let mut damaged = plain.clone();
    let place = 24 + all[..1000].iter().map(|(_, size)| size + 16).sum::<usize>();
    damaged[place + 8..place + 12].fill(0xff);
    let flipped = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        bytes
    };
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 2 / 3].to_vec();
    // Name, file, fewest frames, most frames, words of the reason.
    let cases: &[(&str, Vec<u8>, usize, usize, &str)] = &[
        (
            "the capture is cut",
            gzip(&plain[..plain.len() - 1]),
            2999,
            2999,
            "cut off inside a record",
        ),
        ("the gzip is cut", cut(gzip(&plain)), 1900, 2100, "gzip: it was cut off"),
        ("the zstd is cut", cut(zstd(&plain)), 1700, 2100, "zstd: it was cut off"),
        ("the gzip is damaged", flipped(gzip(&plain)), 1400, 1700, "gzip: "),
        ("the zstd is damaged", flipped(zstd(&plain)), 1300, 1700, "zstd: "),
        ("a record is damaged", zstd(&damaged), 1000, 1000, "a packet that claims 4294967295"),
        ("something follows", [gzip(&plain), b"garbage!".to_vec()].concat(), 3000, 3000, "gzip: "),
        (
            "only a checksum is missing",
            {
                let mut z = gzip(&plain);
                z.truncate(z.len() - 8);
                z
            },
            3000,
            3000,
            "gzip: it was cut off",
        ),
    ];
    for (name, file, least, most, words) in cases {
        let (found, _, end) = drain(stream(&folder.write(name, file)));
        let tail = end.tail.expect(name);
        assert!((least..=most).contains(&&found.len()), "{name}: {}", found.len());
        assert!(tail.reason.to_string().contains(words), "{name}: {tail}");
        assert_eq!(tail.offset, end.bytes, "{name}");
        // Damage inside a compressed block may change packets before it shows.
        if !name.ends_with("is damaged") || name.starts_with("a record") {
            assert_eq!(found, all[..found.len()], "{name}");
        }
        if name.starts_with("a record") {
            assert_eq!(tail.bytes, (plain.len() - place) as u64, "{name}");
        }
    }
}

#[test]
fn a_live_pipe_is_handed_on_at_once() {
    let (reading, mut writing) = io::pipe().expect("a pipe");
    let source = Source::new(File::from(std::os::fd::OwnedFd::from(reading))).expect("a source");
    let mut stream = Stream::start(source).expect("a stream");
    let receiver = stream.take_receiver().expect("nobody took it");
    let mut file = PcapFile::new(PcapKind::ALL[3], 65_535, 1);
    let mut sent = 0;
    let mut got = Vec::new();
    for round in 0..20 {
        file.packet(round, 0, &noise(round, 500), 500);
        // Now and then half of the next packet, which has to wait for its other half.
        let whole = file.bytes.len();
        file.packet(round, 1, &noise(round, 90), 90);
        writing.write_all(&file.bytes[sent..whole + 50]).expect("room in the pipe");
        sent = whole + 50;
        while got.len() < whole {
            let block = receiver.recv_timeout(Duration::from_secs(20)).expect("a block");
            got.extend_from_slice(block.bytes());
        }
        assert_eq!(got.len(), whole, "round {round}");
    }
    drop(writing);
    let end = stream.end();
    let reason = Reason::Cut;
    assert_eq!(end.tail, Some(Tail { offset: end.bytes, bytes: 50, reason }));
    assert_eq!(got, file.bytes[..got.len()]);
}

#[test]
fn a_pipe_may_be_compressed_or_wrong_or_empty() {
    let plain = large_pcap(50);
    let empty = Reason::Format(FormatError::Empty);
    let short = Reason::Format(FormatError::Short { bytes: 10 });
    let cases: &[(&str, Vec<u8>, usize, Option<Reason>)] = &[
        ("plain", plain.clone(), 50, None),
        ("gzip", gzip(&plain), 50, None),
        ("zstd", zstd(&plain), 50, None),
        ("empty", Vec::new(), 0, Some(empty)),
        ("half a header", plain[..10].to_vec(), 0, Some(short)),
    ];
    for (name, bytes, count, reason) in cases {
        let (reading, mut writing) = io::pipe().expect("a pipe");
        let source =
            Source::new(File::from(std::os::fd::OwnedFd::from(reading))).expect("a source");
        let stream = Stream::start(source).expect("a stream");
        let bytes = bytes.clone();
        let writer = std::thread::spawn(move || writing.write_all(&bytes));
        let (found, _, end) = drain(stream);
        writer.join().expect("a writer").expect("a reader");
        assert_eq!(
            (found.len(), end.tail.map(|tail| tail.reason)),
            (*count, reason.clone()),
            "{name}"
        );
    }
}

#[test]
fn readers_may_hang_up_and_silence_may_be_stopped() {
    let folder = Folder::new();
    let path = folder.write("a", &zstd(&large_pcap(16_000)));
    let mut hung_up = stream(&path);
    drop(hung_up.take_receiver());
    for (name, stream) in [("hung up", hung_up), ("never taken", stream(&path))] {
        let tail = stream.end().tail.expect(name);
        assert_eq!(tail.reason, Reason::Stopped, "{name}");
    }

    let (reading, writing) = io::pipe().expect("a pipe");
    let source = Source::new(File::from(std::os::fd::OwnedFd::from(reading))).expect("a source");
    let mut silent = Stream::start(source).expect("a stream");
    let receiver = silent.take_receiver().expect("nobody took it");
    silent.stopper().store(true, Relaxed);
    let begun = Instant::now();
    assert_eq!(silent.end().tail.map(|tail| tail.reason), Some(Reason::Stopped));
    assert!(begun.elapsed() < Duration::from_secs(20) && receiver.recv().is_err());
    drop(writing);
}

#[test]
fn a_named_pipe_waits_for_its_writer() {
    let folder = Folder::new();
    let path = folder.0.join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("a pipe");
    let stream = stream(&path);
    std::thread::sleep(Duration::from_millis(150));
    let plain = large_pcap(2000);
    let (to, bytes) = (path.clone(), plain.clone());
    let writer = std::thread::spawn(move || fs::write(to, bytes));
    let (found, _, end) = drain(stream);
    writer.join().expect("a writer").expect("a reader");
    assert_eq!((found.len(), end.tail), (2000, None));
}

#[test]
fn plain_files_are_mapped() {
    let folder = Folder::new();
    for (name, bytes) in super::super::format::samples::good_files() {
        let path = folder.write(&name, &bytes);
        match open(&Input::File(path)) {
            Ok(Opened::Mapped(map)) => assert_eq!(map[..], bytes, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_opened_is_said() {
    let folder = Folder::new();
    let _listener = UnixListener::bind(folder.0.join("socket")).expect("a socket");
    folder.write("empty", b"");
    folder.write("short", b"\xd4\xc3");
    folder.write("zip", b"PK\x03\x04abcdefgh");
    folder.write("html.gz", &gzip(b"<html>404"));
    folder.write("twice.gz", &gzip(&gzip(&large_pcap(1))));
    folder.write("nothing.gz", &gzip(b""));
    folder.write("half.gz", &gzip(&large_pcap(1))[..14]);
    folder.write("bad.zst", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    let cases = [
        ("missing", "there is no file `"),
        ("", "is a directory; name the files in it, such as `"),
        ("socket", "is a socket"),
        ("empty", "there is nothing in it"),
        ("short", "it ends after 2 bytes"),
        ("zip", "zip` : not a capture file: it begins with `50 4b 03 04` (zip: unpack it first)"),
        ("html.gz", "`3c 68 74 6d` (HTML"),
        ("twice.gz", "(gzip inside gzip or zstd"),
        ("nothing.gz", "there is nothing in it"),
        ("half.gz", "gzip: it was cut off"),
        ("bad.zst", "zstd: it was cut off"),
    ];
    for (name, words) in cases {
        let input = Input::File(folder.0.join(name));
        let text = open(&input).map(|_| ()).expect_err(name).to_string();
        assert!(text.contains(&words.replace("` :", "`:")), "{name}: {text}");
        assert!(text.contains(&folder.0.join(name).display().to_string()), "{name}: {text}");
    }
    // Root may read everything, so the kernel cannot be asked for this one.
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let text = InputError::io(Path::new("/a.pcap"), &denied).to_string();
    assert!(text.starts_with("no permission to read `/a.pcap`"), "{text}");
}

#[test]
fn names_and_patterns_become_files() {
    let folder = Folder::new();
    let odd = "we[ird*";
    for name in
        ["b.pcap", "a.pcap", "A.pcap", "x[1].pcap", ".hidden.pcap", "sub/c.pcap", "sub/deep/d.pcap"]
    {
        folder.write(name, b"");
        folder.write(&format!("{odd}/{name}"), b"");
    }
    fs::create_dir(folder.0.join("dir.pcap")).expect("a folder");
    let absolute = folder.0.join("a.pcap").display().to_string();
    let absolute_pattern = folder.0.join("sub/*").display().to_string();
    let cases: &[(&[&str], &[&str])] = &[
        (&["b.pcap", "a.pcap"], &["b.pcap", "a.pcap"]),
        (&["*.pcap"], &["A.pcap", "a.pcap", "b.pcap", "x[1].pcap"]),
        (&["b.pcap", "?.pcap"], &["b.pcap", "A.pcap", "a.pcap"]),
        (&["a.pcap", "a.pcap"], &["a.pcap"]),
        (&["x[1].pcap"], &["x[1].pcap"]),
        (&["x[[]1].pcap"], &["x[1].pcap"]),
        (&["[ab].pcap"], &["a.pcap", "b.pcap"]),
        (&["**/[cd].pcap"], &["sub/c.pcap", "sub/deep/d.pcap"]),
        (&["sub/*.pcap", "-"], &["sub/c.pcap", "-"]),
    ];
    for base in [folder.0.clone(), folder.0.join(odd)] {
        for (patterns, expected) in cases {
            if patterns[0].starts_with("**") && base == folder.0 {
                continue;
            }
            let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.into()).collect();
            let inputs = expand(&patterns, &base).unwrap_or_else(|e| panic!("{patterns:?}: {e}"));
            let expected: Vec<_> = expected
                .iter()
                .map(|name| match *name {
                    "-" => Input::Stdin,
                    name => Input::File(base.join(name)),
                })
                .collect();
            assert_eq!(inputs, expected, "{patterns:?}");
        }
    }
    for (pattern, count) in [(&absolute, 1), (&absolute_pattern, 1)] {
        let inputs = expand(std::slice::from_ref(pattern), Path::new("/nowhere")).expect(pattern);
        assert_eq!(inputs.len(), count, "{pattern}");
    }
    let wrong: &[(&[&str], &str)] = &[
        (&[], "`files` names no capture"),
        (&["-", "a.pcap", "-"], "named twice"),
        (&["no.pcap"], "there is no file `"),
        (&["a.pcap", "*.pcapng"], "no file matches `*.pcapng` in `"),
        (&["dir.*"], "no file matches `dir.*`"),
        (&["sub"], "is a directory"),
        (&["a[.pcap"], "`a[.pcap` is neither a file nor a pattern: "),
        (&["a***"], "is neither a file nor a pattern: "),
    ];
    for (patterns, words) in wrong {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let text = expand(&patterns, &folder.0).expect_err(words).to_string();
        assert!(text.contains(words), "{patterns:?}: {text}");
    }
}
