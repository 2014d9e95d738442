//! The rings themselves, without an engine.

use std::{
    fs, slice,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ringmill::{
    capture::{
        af_xdp::{AfXdp, Queue},
        live::{Backend as _, RawFrame, Ring as _, Setup},
    },
    config::{Balance, Clock, Direction},
};
use ringmill_bench::play::{self, Plan};

use crate::{Mode, pair};

/// Bytes of the memory of a ring: 256 frames.
const RING: usize = 1 << 20;

/// The ring of `cap0` in the namespace of this thread, closed, and what holds its program.
fn open() -> (AfXdp, Queue) {
    let setup = Setup {
        interfaces: vec!["cap0".to_owned()],
        workers: 1,
        cluster: None,
        balance: Balance::Flow,
        promiscuous: true,
        direction: Direction::Receive,
        clock: Clock::System,
        snaplen: 262_144,
        ring_bytes: RING,
        block_timeout_ms: 10,
        filter: None,
    };
    let backend = AfXdp::new(Arc::new(setup)).unwrap();
    let mut rings = backend.open(0, 0).unwrap();
    assert_eq!(rings.len(), 1);
    let ring = rings.remove(0);
    assert_eq!((ring.queue(), ring.link()), (Some(0), 1));
    (backend, ring)
}

/// Frames of a kind of packet that nobody knows, each with bytes of its own.
fn frames(numbers: std::ops::Range<usize>, len: usize) -> Vec<Vec<u8>> {
    let frame = |number: usize| {
        let mut frame: Vec<u8> =
            (0..len).map(|at| ((at * 31 + number * 7) % 251).try_into().unwrap()).collect();
        frame[..6].fill(0xff);
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        frame[14..22].copy_from_slice(&(number as u64).to_be_bytes());
        frame
    };
    numbers.map(frame).collect()
}

fn send(frames: &[Vec<u8>]) {
    let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
    let sent = play::play("out0", &frames, Plan::default()).unwrap();
    assert_eq!((sent.packets, sent.unfit), (frames.len() as u64, 0));
}

/// Sends, and waits until the ring has taken or dropped all of it: on a busy machine the kernel may
/// hand packets on later.
fn send_to(ring: &mut Queue, frames: &[Vec<u8>]) {
    let expected = seen(ring) + frames.len() as u64;
    send(frames);
    until(|| seen(ring) == expected);
}

/// How many packets have come to a ring, with room or without.
fn seen(ring: &mut Queue) -> u64 {
    let counts = ring.counts().unwrap();
    counts.received + counts.dropped.values().sum::<u64>()
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "what was sent does not come");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Takes all packets that there are.
fn take(ring: &mut Queue) -> Vec<RawFrame> {
    let mut taken = Vec::new();
    while let Some(frame) = ring.peek() {
        assert_eq!(ring.peek().unwrap().data, frame.data, "a second look sees the same");
        ring.take();
        taken.push(frame);
    }
    taken
}

/// The bytes of what was taken.
#[allow(unsafe_code, reason = "what the contract of `Ring` promises is what is tested")]
fn bytes(frames: &[RawFrame]) -> Vec<&[u8]> {
    // SAFETY: the callers have not released them.
    let bytes = |f: &RawFrame| unsafe { slice::from_raw_parts(f.data.as_ptr(), f.len as usize) };
    frames.iter().map(bytes).collect()
}

#[test]
fn what_was_taken_stays_as_it_is_until_it_is_released() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        net.inside(|| {
            let (_backend, mut ring) = open();
            ring.enable().unwrap();
            let first = frames(0..100, 600);
            send_to(&mut ring, &first);
            let taken = take(&mut ring);
            assert_eq!(bytes(&taken), first, "{mode:?}");
            // Four times what there is room for.
            let more = frames(100..1_124, 600);
            send_to(&mut ring, &more);
            assert_eq!(bytes(&taken), first, "{mode:?}: overwritten before it was released");
            let later = take(&mut ring);
            assert_eq!(bytes(&later), more[..156], "{mode:?}");
            let counts = ring.counts().unwrap();
            assert_eq!(counts.received, 256);
            assert_eq!(counts.dropped.values().sum::<u64>(), 1_024 - 156);
            // All frames are there again, several times over.
            for round in 0..5 {
                ring.release();
                let again = frames(2_000 + round * 250..2_250 + round * 250, 600);
                send_to(&mut ring, &again);
                assert_eq!(bytes(&take(&mut ring)), again, "{mode:?}, round {round}");
            }
            let counts = ring.counts().unwrap();
            assert_eq!(counts.received, 256 + 5 * 250);
            assert_eq!(counts.dropped.values().sum::<u64>(), 1_024 - 156);
        });
    }
}

#[test]
fn packets_of_several_frames_stay_as_they_are_too() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        net.inside(|| {
            let (_backend, mut ring) = open();
            ring.enable().unwrap();
            for round in 0..3 {
                // Long and short in turn; the long ones take six frames each.
                let mut first = frames(round * 100..round * 100 + 20, 20_000);
                first.iter_mut().step_by(2).for_each(|frame| frame.truncate(700));
                send_to(&mut ring, &first[..10]);
                let mut taken = take(&mut ring);
                send_to(&mut ring, &first[10..]);
                taken.extend(take(&mut ring));
                assert_eq!(bytes(&taken), first, "{mode:?}, round {round}");
                assert!(taken.iter().all(|frame| frame.len == frame.wire_len));
                let next = frames(50..52, 20_000);
                send_to(&mut ring, &next);
                // What was looked at and not taken goes over a release.
                let peeked = ring.peek().unwrap();
                ring.release();
                assert_eq!(bytes(&[peeked]), next[..1], "{mode:?}, round {round}");
                assert_eq!(bytes(&take(&mut ring)), next, "{mode:?}, round {round}");
                ring.release();
            }
            let counts = ring.counts().unwrap();
            assert_eq!((counts.received, counts.dropped.values().sum::<u64>()), (66, 0));
        });
    }
}

#[test]
fn a_queue_that_another_socket_has_is_waited_for_and_then_refused() {
    let Some(net) = pair(1, Mode::Native) else { return };
    net.inside(|| {
        let (backend, ring) = open();
        let start = Instant::now();
        let said = backend.open(0, 0).err().unwrap().to_string();
        let expected =
            "cannot open queue 0 of cap0: another AF_XDP socket has it; stop the program";
        assert!(said.starts_with(expected), "{said}");
        assert!(start.elapsed() > Duration::from_millis(500), "it may be about to give it back");
        drop(ring);
        assert_eq!(backend.open(0, 0).unwrap().len(), 1);
    });
}

/// How many IPv4 packets the kernel got, in the namespace of this thread.
fn kernel_got() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let line = table.lines().filter(|line| line.starts_with("Ip:")).nth(1).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn packets_go_to_the_kernel_while_the_ring_is_closed() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        net.inside(|| {
            let mut all = frames(0..10, 100);
            all.iter_mut().for_each(|frame| frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]));
            let (backend, mut ring) = open();
            let start = kernel_got();
            send(&all);
            // Before it is enabled.
            until(|| kernel_got() - start == 10);
            assert!(ring.peek().is_none());
            ring.enable().unwrap();
            send_to(&mut ring, &all);
            assert_eq!(kernel_got() - start, 10, "{mode:?}: while it is enabled");
            ring.stop();
            send(&all);
            // After it is stopped.
            until(|| kernel_got() - start == 20);
            assert_eq!(bytes(&take(&mut ring)), all, "{mode:?}: what was in it is still there");
            assert_eq!(ring.counts().unwrap().received, 10);
            drop((ring, backend));
            send(&all);
            // After it is closed.
            until(|| kernel_got() - start == 30);
        });
    }
}
