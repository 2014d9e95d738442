//! How libpfring itself behaves, as far as the safe ring relies on it. Run over the double this
//! says that the double tells no lies; run over a real library, that the list is still true.

use std::{
    ffi::{CString, c_int},
    io, ptr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pfring_sys::{
    ClusterType, HeaderBuffer, INVALID_ARGUMENT, NOT_ENABLED, NOT_SUPPORTED, Pfring, REENTRANT,
    SocketMode, Stat, Version, layout::SHORT_HEADER,
};
use ringmill::sdk::testing::Frame;

use crate::wire::{Wire, is_double, library};

/// A handle as the library gives it, closed at the end.
struct Raw(*mut Pfring);

// SAFETY: the tests use it in two threads only where the library allows that.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

/// Calls a function of the library on a ring.
macro_rules! call {
    ($raw:expr, $name:ident $(, $argument:expr)*) => {{
        let raw: &Raw = &$raw;
        // SAFETY: the ring is open, and all arguments live across the call.
        unsafe { (library().$name)(raw.0 $(, $argument)*) }
    }};
}

impl Raw {
    fn open(wire: &Wire, flags: u32) -> Self {
        let device = CString::new(wire.device.as_str()).unwrap();
        // SAFETY: the name ends with a zero.
        let raw = unsafe { (library().open)(device.as_ptr(), 1536, flags) };
        assert!(!raw.is_null(), "{}", io::Error::last_os_error());
        let raw = Self(raw);
        // Else the real one also gives what the test sends.
        assert_eq!(call!(raw, set_direction, pfring_sys::Direction::Receive), 0);
        raw
    }

    fn enabled(wire: &Wire) -> Self {
        let raw = Self::open(wire, 0);
        assert_eq!(call!(raw, enable_ring), 0);
        raw
    }

    fn recv(&self, wait: u8) -> (c_int, *mut u8, HeaderBuffer) {
        let (mut data, mut header) = (ptr::null_mut(), HeaderBuffer::new());
        let got = call!(self, recv, &raw mut data, 0, header.as_mut_ptr(), wait);
        (got, data, header)
    }

    fn drain(&self) -> usize {
        thread::sleep(Duration::from_millis(20));
        std::iter::repeat_with(|| self.recv(0).0).take_while(|&got| got == 1).count()
    }

    fn stats(&self) -> Stat {
        let mut stat = Stat { shunt: 77, ..Stat::default() };
        assert_eq!(call!(self, stats, &raw mut stat), 0);
        assert_eq!(stat.shunt, 77, "a ring of the kernel does not write it");
        stat
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        call!(*self, remove_from_cluster);
        call!(*self, disable_ring);
        call!(*self, close);
    }
}

fn frames(count: u8) -> Vec<Vec<u8>> {
    let frame =
        |number: u8| Frame::tcp("10.0.0.1:1000", "10.0.0.2:80").payload([number; 100]).build();
    (0..count).map(frame).collect()
}

#[test]
fn versions_and_the_header_are_those_we_know() {
    let Some(wire) = Wire::new("raw-version") else { return };
    let raw = Raw::open(&wire, 0);
    let mut version = 0;
    assert_eq!(call!(raw, version, &raw mut version), 0);
    assert_eq!(Version(version), library().version(), "library and module differ");
    assert!(library().version() >= Version::OLDEST);
    assert_eq!(call!(raw, get_slot_header_len), SHORT_HEADER);
    assert!(call!(raw, get_num_rx_channels) >= 1);
    assert!(call!(raw, get_selectable_fd) >= 0);
}

#[test]
fn open_says_why_not_by_errno() {
    let Some(_wire) = Wire::new("raw-open") else { return };
    for name in [None, Some(c"rmnone0")] {
        let name = name.map_or(ptr::null(), std::ffi::CStr::as_ptr);
        // SAFETY: null, or text that ends with a zero.
        let raw = unsafe { (library().open)(name, 1536, 0) };
        let error = io::Error::last_os_error().raw_os_error();
        assert!(raw.is_null());
        assert_eq!(error, Some(libc::EINVAL));
    }
}

#[test]
fn what_recv_returns() {
    let Some(wire) = Wire::new("raw-recv") else { return };
    let raw = Raw::open(&wire, 0);
    assert_eq!(raw.recv(0).0, NOT_ENABLED);
    assert_eq!(call!(raw, enable_ring), 0);
    assert_eq!(call!(raw, enable_ring), 0, "twice");
    assert_eq!(raw.recv(0).0, 0);
    wire.send(&frames(1));
    thread::sleep(Duration::from_millis(20));
    let (got, data, header) = raw.recv(0);
    assert_eq!((got, data.is_null()), (1, false));
    let header = header.get();
    let (caplen, len) = (header.caplen, header.len);
    assert_eq!((caplen, len, header.rx_direction), (154, 154, 1));
    let whole = header.seconds * 1_000_000 + header.microseconds;
    assert_eq!(header.time() / 1000, whole);
    assert_eq!(call!(raw, disable_ring), 0);
    assert_eq!(raw.recv(0).0, NOT_ENABLED);

    let reentrant = Raw::open(&wire, REENTRANT);
    assert_eq!(call!(reentrant, enable_ring), 0);
    assert_eq!(reentrant.recv(0).0, INVALID_ARGUMENT);

    let sender = Raw::open(&wire, 0);
    assert_eq!(call!(sender, set_socket_mode, SocketMode::Send), 0);
    assert_eq!(call!(sender, enable_ring), 0);
    assert_eq!(sender.recv(0).0, NOT_SUPPORTED);
    assert_eq!(call!(sender, set_socket_mode, SocketMode::Receive), -1, "it is enabled");

    let shut = Raw::enabled(&wire);
    call!(shut, shutdown);
    assert_eq!(shut.recv(0).0, -1);
    assert_eq!(shut.recv(1).0, -1);
    if let Some(burst) = library().recv_burst {
        let mut room = [0_u8; 64];
        // SAFETY: room for one packet.
        assert_eq!(unsafe { burst(raw.0, room.as_mut_ptr().cast(), 1, 0) }, NOT_SUPPORTED);
    }
}

#[test]
fn one_pointer_stays_and_the_one_before_does_not() {
    let Some(wire) = Wire::new("raw-pointer") else { return };
    let raw = Raw::enabled(&wire);
    wire.send(&frames(2));
    thread::sleep(Duration::from_millis(20));
    let first = raw.recv(0).1;
    // A flood does not reach the packet that was read last.
    for _ in 0..100 {
        wire.send(&frames(200));
    }
    // SAFETY: the ring is open, and its memory stays mapped.
    assert_eq!(unsafe { *first.add(60) }, 0);
    let second = raw.recv(0).1;
    // SAFETY: as above.
    assert_eq!(unsafe { *second.add(60) }, 1);
    if is_double("at once that a packet is gone when the next is read") {
        // SAFETY: as above.
        assert_eq!(unsafe { *first.add(60) }, 0xdd);
    }
}

#[test]
fn copying_reads_do_not_cut_the_header_to_the_buffer() {
    let Some(wire) = Wire::new("raw-copy") else { return };
    let raw = Raw::enabled(&wire);
    wire.send(&frames(1));
    thread::sleep(Duration::from_millis(20));
    let (mut buffer, mut header) = ([0xaa_u8; 154], HeaderBuffer::new());
    let mut data = buffer.as_mut_ptr();
    let got = call!(raw, recv, &raw mut data, 100, header.as_mut_ptr(), 0);
    let header = header.get();
    assert_eq!((got, { header.caplen }), (1, 154));
    assert_eq!(buffer[100..], [0xaa; 54]);
    assert_eq!(buffer[..100], frames(1)[0][..100]);
}

#[test]
fn poll_goes_by_the_watermark() {
    let Some(wire) = Wire::new("raw-poll") else { return };
    let raw = Raw::enabled(&wire);
    wire.send(&frames(10));
    thread::sleep(Duration::from_millis(20));
    let began = Instant::now();
    assert_eq!(call!(raw, poll, 200), 0, "ten packets are fewer than 128");
    assert!(began.elapsed() >= Duration::from_millis(190));
    assert_eq!(call!(raw, poll, 0), 1);
    assert_eq!(call!(raw, is_pkt_available), 1);
    assert_eq!(call!(raw, set_poll_watermark, 1), 0);
    assert_eq!(call!(raw, poll, 200), 1);
    assert_eq!(raw.drain(), 10);
    assert_eq!(call!(raw, poll, 0), 0);
    wire.send(&frames(200));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(call!(raw, set_poll_watermark, 128), 0);
    assert_eq!(call!(raw, poll, 100), 1);
}

#[test]
fn poll_lets_packets_into_a_ring_that_is_not_enabled() {
    let Some(wire) = Wire::new("raw-idle") else { return };
    let raw = Raw::open(&wire, 0);
    wire.send(&frames(3));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(call!(raw, get_num_queued_pkts), 0);
    assert_eq!(call!(raw, poll, 1), 0);
    wire.send(&frames(4));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(call!(raw, get_num_queued_pkts), 4);
    assert_eq!(raw.recv(0).0, NOT_ENABLED);
    assert_eq!(raw.stats().recv, 0);
}

#[test]
fn a_break_before_a_wait_is_lost_and_one_in_a_wait_comes_late() {
    let Some(wire) = Wire::new("raw-break") else { return };
    let raw = Raw::enabled(&wire);
    call!(raw, breakloop);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let waiting = &raw;
        scope.spawn(move || {
            let (got, _, _) = waiting.recv(1);
            tell.send((got, io::Error::last_os_error().raw_os_error())).unwrap();
        });
        let lost = told.recv_timeout(Duration::from_millis(1200));
        assert!(lost.is_err(), "the break before the wait ended it: {lost:?}");
        call!(raw, breakloop);
        let broken = told.recv_timeout(Duration::from_millis(1200));
        assert_eq!(broken, Ok((0, Some(libc::EINTR))));
    });
    // A shutdown is not lost, and comes at once.
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let waiting = &raw;
        scope.spawn(move || tell.send(waiting.recv(1).0).unwrap());
        thread::sleep(Duration::from_millis(50));
        call!(raw, shutdown);
        assert_eq!(told.recv_timeout(Duration::from_millis(300)), Ok(-1));
    });
}

#[test]
fn statistics_count_what_was_read_and_nothing_while_disabled() {
    let Some(wire) = Wire::new("raw-stats") else { return };
    let raw = Raw::enabled(&wire);
    wire.send(&frames(10));
    thread::sleep(Duration::from_millis(20));
    assert_eq!((raw.stats().recv, call!(raw, get_num_queued_pkts)), (0, 10));
    raw.recv(0);
    raw.recv(0);
    assert_eq!((raw.stats().recv, call!(raw, get_num_queued_pkts)), (2, 8));
    assert_eq!(call!(raw, disable_ring), 0);
    assert_eq!((raw.stats().recv, raw.stats().drop), (0, 0));
}

#[test]
fn a_filter_that_does_not_compile_leaves_the_one_before() {
    let Some(wire) = Wire::new("raw-filter") else { return };
    let raw = Raw::enabled(&wire);
    assert_eq!(call!(raw, remove_bpf_filter), -1, "there is none");
    for (filter, result, taken) in [
        (c"udp", 0, 0),
        (c"udp prot 5", INVALID_ARGUMENT, 0),
        (c"tcp", 0, 9),
        (c"", 0, 9),
        (c"tcp port 81", 0, 0),
    ] {
        assert_eq!(call!(raw, set_bpf_filter, filter.as_ptr()), result, "{filter:?}");
        wire.send(&frames(9));
        assert_eq!(raw.drain(), taken, "{filter:?}");
    }
    assert_eq!(call!(raw, remove_bpf_filter), 0);
    wire.send(&frames(9));
    assert_eq!(raw.drain(), 9);
    assert_eq!((raw.stats().recv, raw.stats().drop), (27, 0), "what is kept out is not counted");
}

#[test]
fn clusters_take_what_they_are_told_first() {
    let Some(wire) = Wire::new("raw-cluster") else { return };
    let join = |raw: &Raw, id, kind| call!(*raw, set_cluster, id, kind);
    let (first, second) = (Raw::open(&wire, 0), Raw::open(&wire, 0));
    assert_eq!(join(&first, 0, ClusterType::RoundRobin), -1);
    assert_eq!(join(&first, 300, ClusterType::RoundRobin), 0);
    // Cut to sixteen bits, this is 300, too; and the type is the first one's.
    assert_eq!(join(&second, 65_536 + 300, ClusterType::PerFlow), 0);
    assert_eq!(call!(first, enable_ring), 0);
    wire.send(&frames(100));
    assert_eq!(first.drain(), 50, "the share of a ring that is not enabled is lost");
    assert_eq!(call!(second, enable_ring), 0);
    wire.send(&frames(100));
    assert_eq!((first.drain(), second.drain()), (50, 50));
    assert_eq!(call!(second, disable_ring), 0);
    wire.send(&frames(100));
    assert_eq!(first.drain(), 50, "a disabled one keeps its share");
    assert_eq!(call!(second, remove_from_cluster), 0);
    assert_eq!(call!(second, remove_from_cluster), 0, "twice");
    wire.send(&frames(100));
    assert_eq!(first.drain(), 100);
    assert_eq!((first.stats().drop, second.stats().drop), (0, 0));
}

#[test]
fn a_cluster_has_64_rings_at_most() {
    let Some(wire) = Wire::new("raw-many") else { return };
    let rings: Vec<Raw> = (0..65).map(|_| Raw::open(&wire, 0)).collect();
    for (number, raw) in rings.iter().enumerate() {
        let joined = call!(*raw, set_cluster, 310, ClusterType::RoundRobin);
        assert_eq!(joined, if number < 64 { 0 } else { -1 }, "ring {number}");
    }
}
