//! Whatever the workers do, every packet of the inputs is one worker's, in the order of the file,
//! and nobody waits for ever.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use ringmill_sdk::{Batch, testing};

use super::{
    super::{
        Filled, InputReport, Source, SourceReport,
        filter::Filter,
        format::samples::{NgFile, PcapFile, PcapKind, good_files},
        input::Input,
        share,
    },
    Files,
    deal::DEPTH,
    list::PIECE,
};

/// Longer than any row takes, on any machine.
const HANGS: Duration = Duration::from_secs(60);

/// All that there is to tell a packet by: time, length on the wire, link type, interface, bytes.
type Seen = (i64, u32, u16, u16, Vec<u8>);

/// What the first worker does. The others take all there is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    TakesAll,
    /// Begins when the others do not get on any more.
    BeginsLate,
    /// Is dropped after a batch, as by a panic.
    IsDropped,
    /// Is told to stop after a batch.
    IsStopped,
}

/// What a worker does, as the engine would, and all that it saw.
fn work(
    mut source: Box<dyn Source>,
    first: First,
    quiet: &Sender<()>,
) -> (Vec<Seen>, SourceReport) {
    let (mut spare, mut seen, mut empty) = (Batch::default(), Vec::new(), 0);
    loop {
        let mut batch = spare.recycle();
        let filled = source.fill(&mut batch);
        seen.extend(batch.all().iter().map(|packet| {
            let (time, frame) = (packet.time().0, packet.frame().to_vec());
            (time, packet.wire_len(), packet.link(), packet.interface(), frame)
        }));
        empty = if batch.all().is_empty() { empty + 1 } else { 0 };
        spare = batch.recycle();
        if empty == 10 {
            let _ = quiet.send(());
        }
        match (filled, first) {
            (Filled::End, _) => break,
            (_, First::IsDropped) if !seen.is_empty() => {
                return (seen, SourceReport::default());
            }
            (_, First::IsStopped) if !seen.is_empty() => {
                assert_eq!(source.stop(), Filled::End);
                break;
            }
            _ => {}
        }
    }
    let _ = quiet.send(());
    (seen, source.report())
}

/// What each of `workers` workers saw, and what became of the inputs.
fn run(
    name: &str,
    inputs: &[Input],
    workers: usize,
    filter: Option<&Arc<Filter>>,
    first: First,
) -> (Vec<Vec<Seen>>, Vec<InputReport>) {
    let files = Files::new(inputs.to_vec(), workers, usize::MAX, filter.cloned()).expect(name);
    let (done, results) = channel();
    let (quiet, all_quiet): (_, Receiver<()>) = channel();
    let start = |worker: usize| {
        let (files, done, quiet) = (Arc::clone(&files), done.clone(), quiet.clone());
        let first = if worker == 0 { first } else { First::TakesAll };
        thread::spawn(move || done.send((worker, work(files.source(worker, 256), first, &quiet))));
    };
    let fails =
        |what: &str| -> ! { panic!("{name}, {workers} workers, the first {first:?}: {what}") };
    (1..workers).for_each(start);
    if first == First::BeginsLate {
        for _ in 1..workers {
            all_quiet.recv_timeout(HANGS).unwrap_or_else(|_| fails("the others do not end"));
        }
    }
    start(0);
    let (mut seen, mut reports) = (vec![Vec::new(); workers], Vec::new());
    for _ in 0..workers {
        let result = results.recv_timeout(HANGS);
        let (worker, (packets, report)) = result.unwrap_or_else(|_| fails("a worker hangs"));
        seen[worker] = packets;
        reports.push(report);
    }
    (seen, files.end(&reports))
}

/// A frame between two hosts, of which the last byte of an address is given.
fn frame(host: u8, size: usize) -> Vec<u8> {
    let from = format!("10.0.0.{host}:1000");
    testing::Frame::tcp(&from, "192.0.2.1:80").payload(vec![host; size]).build()
}

/// A capture of so many packets between such hosts.
fn pcap(kind: PcapKind, packets: u32, host: impl Fn(u32) -> u8) -> Vec<u8> {
    let frames: Vec<_> = (0..=u8::MAX).map(|host| frame(host, 6)).collect();
    let mut file = PcapFile::new(kind, 65_535, 1);
    for number in 0..packets {
        let frame = &frames[usize::from(host(number))];
        file.packet(number, number % 1000, &frame[..54 + number as usize % 7], 1500);
    }
    file.bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Inputs by name; each is a list of files.
fn inputs() -> Vec<(String, Vec<Vec<u8>>)> {
    let spread = |number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes()[0];
    let [little, big] = [PcapKind::ALL[0], PcapKind::ALL[1]];
    let many = u32::try_from(5 * PIECE).expect("few");
    let (plain, cut) = (pcap(little, many, spread), pcap(little, 1000, spread));
    let mut damaged = pcap(big, 1000, spread);
    let middle = 24 + (16 + 54) * 3 + 3;
    damaged[middle + 8..middle + 12].fill(0xff);
    let mut large = PcapFile::new(little, 16 << 20, 1);
    for (host, size) in [(1, 3 << 20), (2, 5), (3, 1 << 20), (4, 70), (5, 3 << 20), (6, 1)] {
        let mut padded = frame(host, 6);
        padded.resize(size.max(padded.len()), 0);
        large.packet(host.into(), 1, &padded, 9);
    }
    let mut no_ip = PcapFile::new(little, 65_535, 1);
    (0..3000).for_each(|second| no_ip.packet(second, 0, &[0; 60], 60));
    let mut ng = NgFile::new(false);
    ng.interface(1, 0, &[]);
    ng.interface(1, 0, &[(9, &[9])]);
    for number in 0..3000 {
        ng.enhanced(number % 3, number.into(), &frame(spread(number), 10), 1500, &[]);
        if number % 5 == 0 {
            ng.simple(&frame(spread(number + 1), 4), 80);
        }
    }
    let one = |name: &str, bytes: Vec<u8>| (name.to_owned(), vec![bytes]);
    let mut all = vec![
        one("packed", gzip(&plain)),
        one("many packets", plain),
        one("the packets of one worker", pcap(little, many, |_| 7)),
        one("almost all the packets of one", pcap(big, 9000, |n| u8::from(n % 1000 == 9))),
        one("packets without IP", no_ip.bytes),
        one("packets longer than a piece", large.bytes),
        one("no packet", cut[..24].to_vec()),
        one("cut", cut[..cut.len() - 3].to_vec()),
        one("damaged", damaged.clone()),
        one("interfaces, one of them undeclared", ng.bytes.clone()),
    ];
    all.extend(good_files().into_iter().map(|(name, bytes)| (name, vec![bytes])));
    let several = [cut.clone(), gzip(&cut), b"no capture".to_vec(), damaged, ng.bytes, cut];
    all.push(("several, one of them no capture".to_owned(), several.to_vec()));
    all
}

fn write(folder: &Path, files: &[Vec<u8>]) -> Vec<Input> {
    let paths = files.iter().enumerate().map(|(at, bytes)| {
        let path = folder.join(at.to_string());
        fs::write(&path, bytes).expect("a file");
        Input::File(path)
    });
    paths.collect()
}

/// The packets of each of `workers`, of all.
fn deal(all: &[Seen], workers: usize) -> Vec<Vec<Seen>> {
    let mut dealt = vec![Vec::new(); workers];
    for packet in all {
        dealt[share::owner(&packet.4, packet.2, workers)].push(packet.clone());
    }
    dealt
}

fn assert_same(found: &[Seen], expected: &[Seen], name: &str) {
    let other = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!((found.len(), other), (expected.len(), None), "{name}");
}

#[test]
fn every_packet_is_taken_once_by_its_owner_and_in_order() {
    for (name, files) in inputs() {
        let folder = tempfile::tempdir().expect("a folder");
        let inputs = write(folder.path(), &files);
        let (alone, reports) = run(&name, &inputs, 1, None, First::TakesAll);
        for (workers, first) in [
            (2, First::TakesAll),
            (4, First::TakesAll),
            (7, First::TakesAll),
            (2, First::BeginsLate),
            (2, First::IsDropped),
            (3, First::IsStopped),
        ] {
            let name = format!("{name}, {workers} workers, the first {first:?}");
            let (mut seen, found) = run(&name, &inputs, workers, None, first);
            let mut expected = deal(&alone[0], workers);
            if matches!(first, First::IsDropped | First::IsStopped) {
                let taken = seen[0].len();
                assert!(taken <= 256, "{name}: {taken}");
                expected[0].truncate(taken);
            }
            for (worker, expected) in expected.iter().enumerate() {
                assert_same(&seen[worker], expected, &format!("{name}, worker {worker}"));
            }
            let all = seen.iter_mut().map(|seen| seen.len() as u64).sum::<u64>();
            assert_eq!(found.iter().map(|input| input.packets).sum::<u64>(), all, "{name}");
            if all == alone[0].len() as u64 {
                assert_eq!(found, reports, "{name}");
            } else {
                assert!(found.iter().any(|input| !input.complete), "{name}: {found:?}");
            }
        }
    }
}

/// A worker that takes nothing stops the others, who hold no more than their queues.
#[test]
fn what_waits_for_a_slow_worker_is_bounded() {
    let owner = |host| share::owner(&frame(host, 0), 1, 2);
    let (many, few) = (owner(0), 1 - owner(0));
    let other = (1..).find(|&host| owner(host) == few).expect("two hosts, two workers");
    let spread = |number: u32| if number.is_multiple_of(8) { other } else { 0 };
    let packets = u32::try_from((DEPTH + 8) * PIECE).expect("few");
    let folder = tempfile::tempdir().expect("a folder");
    let inputs = write(folder.path(), &[pcap(PcapKind::ALL[0], packets, spread)]);
    let files = Files::new(inputs, 2, usize::MAX, None).expect("a file");
    let (slow, fast) = (files.source(many, 256), Arc::clone(&files));
    let ((quiet, _), (done, results)) = (channel(), channel());
    let fast = move || work(fast.source(few, 256), First::TakesAll, &quiet);
    thread::spawn(move || done.send(fast()));
    let early = results.recv_timeout(Duration::from_secs(1));
    assert!(early.is_err(), "it went on to the end though nobody took what was another's");
    drop(slow);
    let (seen, _) = results.recv_timeout(HANGS).expect("it hangs though nobody is slow any more");
    assert_eq!(seen.len(), packets as usize / 8, "all that are its own");
}

#[test]
fn the_filter_is_everybodys() {
    let filter = Arc::new(Filter::new("host 10.0.0.3 or host 10.0.0.4").expect("a filter"));
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = pcap(PcapKind::ALL[0], 3000, |number| number.to_le_bytes()[0]);
    let mut unfit = PcapFile::new(PcapKind::ALL[0], 65_535, 147);
    (0..5).for_each(|second| unfit.packet(second, 0, &[0; 60], 60));
    let inputs = write(folder.path(), &[hosts, unfit.bytes]);
    let (alone, reports) = run("a filter", &inputs, 1, Some(&filter), First::TakesAll);
    assert_eq!((reports[0].packets, reports[0].filtered), (3000, 3000 - 24), "{reports:?}");
    assert_eq!(reports[1].unreadable.get("filter_unfit"), Some(&5), "{reports:?}");
    for workers in [2, 3, 8] {
        let (seen, found) = run("a filter", &inputs, workers, Some(&filter), First::TakesAll);
        assert_eq!(found, reports, "{workers} workers");
        assert_eq!(seen, deal(&alone[0], workers), "{workers} workers");
    }
}
