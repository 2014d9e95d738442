//! A library and a wire to send packets to its rings by.

use std::{
    env,
    ffi::{CString, c_char},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use libloading::os::unix::{Library as Loaded, RTLD_LAZY, RTLD_LOCAL};
use pfring_sys::Library;
use ringmill::{
    capture::{
        live::{RawFrame, Ring as _},
        netdev,
        pf_ring::{Cluster, Options, Ring},
    },
    sdk::testing::Frame,
};
use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    net::{AddressFamily, Protocol, SocketFlags, SocketType, netdevice, socket, socket_with},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::common;

type Feed = unsafe extern "C" fn(*const c_char, *const u8, usize, u32, i64, u8);
type TakeAway = unsafe extern "C" fn(*const c_char, u8);

/// What only the double has.
#[derive(Clone, Copy)]
struct Double {
    feed: Feed,
    take_away: TakeAway,
}

/// The library that is tested: the one that the environment names, or the double.
pub(crate) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match env::var_os(pfring_sys::LIBRARY_VARIABLE) {
        Some(path) if !path.is_empty() => path.into(),
        _ => build_double(),
    })
}

/// Builds the double in the profile of this test. Alone, because it needs nothing of ours and
/// its one dependency is small.
fn build_double() -> PathBuf {
    let engine = Path::new(env!("CARGO_BIN_EXE_engine"));
    let directory = engine.parent().unwrap();
    let profile = directory.file_name().unwrap().to_str().unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked", "--package", "pfring_double"]);
    command.args(["--profile", profile, "--target-dir"]).arg(directory.parent().unwrap());
    let built = command.current_dir(common::root()).status().unwrap();
    assert!(built.success(), "the double does not build");
    directory.join("libpfring_double.so")
}

fn double() -> Option<Double> {
    static DOUBLE: OnceLock<Option<Double>> = OnceLock::new();
    *DOUBLE.get_or_init(|| {
        library();
        // SAFETY: the library is loaded already.
        let loaded = unsafe { Loaded::open(Some(path()), RTLD_LAZY | RTLD_LOCAL) }.unwrap();
        // SAFETY: the prototypes of the double.
        let feed = unsafe { loaded.get::<Feed>(b"pfring_double_feed") };
        // SAFETY: as above.
        let take_away = unsafe { loaded.get::<TakeAway>(b"pfring_double_take_away") };
        Some(Double { feed: *feed.ok()?, take_away: *take_away.ok()? })
    })
}

/// Whether it is the double.
pub(crate) fn has_double() -> bool {
    !can_load() || double().is_some()
}

/// Whether the double can be loaded, which compiles filters with libpcap as the library does; says
/// so where it cannot.
fn can_load() -> bool {
    let named = env::var_os(pfring_sys::LIBRARY_VARIABLE).is_some_and(|path| !path.is_empty());
    named || common::has_libpcap()
}

/// Whether it is the double, for tests of what only that can show; says SKIPPED if not.
pub(crate) fn is_double(why: &str) -> bool {
    if !can_load() {
        return false;
    }
    let is = double().is_some();
    if !is {
        common::skipped(format_args!("only the double can show {why}"));
    }
    is
}

/// The library, loaded as the engine does.
pub(crate) fn library() -> &'static Arc<Library> {
    static LIBRARY: OnceLock<Arc<Library>> = OnceLock::new();
    LIBRARY.get_or_init(|| Arc::new(Library::load_from(path().as_os_str()).unwrap()))
}

/// An interface with somebody at its other end.
pub(crate) struct Wire {
    pub(crate) device: String,
    end: End,
}

enum End {
    Double(Double, CString),
    /// The other end of a veth pair, in a namespace that ends with the test's threads.
    Veth(OwnedFd, i32),
}

impl Wire {
    /// `None`, having said why, where there can be none.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !can_load() {
            return None;
        }
        if let Some(double) = double() {
            let device = format!("double-{name}");
            let c_name = CString::new(device.as_str()).unwrap();
            return Some(Self { device, end: End::Double(double, c_name) });
        }
        Self::veth()
    }

    /// A veth pair in a network namespace of this thread's own; needs root.
    fn veth() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            common::skipped("rings of the real library need root");
            return None;
        }
        let (near, far) = ("rmva0", "rmvb0");
        // SAFETY: the namespace of this thread alone changes; nothing else of the process does.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").ok();
        for line in [
            format!("link add {near} type veth peer name {far}"),
            format!("link set {near} up"),
            format!("link set {far} up"),
        ] {
            let done = Command::new("ip").args(line.split(' ')).status();
            assert!(done.is_ok_and(|status| status.success()), "ip {line}");
        }
        // Before the kernel has noticed the carrier it drops what the interface sends.
        let running = |name| netdev::state(name).unwrap().is_some_and(|state| state.running);
        let began = Instant::now();
        while !(running(near) && running(far)) {
            assert!(began.elapsed() < Duration::from_secs(10), "the veth pair does not come up");
            thread::sleep(Duration::from_millis(5));
        }
        // Without a protocol it receives nothing; it only sends.
        let socket = socket(AddressFamily::PACKET, SocketType::RAW, None).unwrap();
        let index = netdevice::name_to_index(&socket, far).unwrap();
        Some(Self { device: near.to_owned(), end: End::Veth(socket, index.cast_signed()) })
    }

    /// Sends frames to the interface.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) {
        for (number, frame) in frames.iter().enumerate() {
            match &self.end {
                End::Double(double, device) => {
                    let len = u32::try_from(frame.len()).unwrap();
                    let ns = TIME + i64::try_from(number).unwrap();
                    // SAFETY: all pointers live across the call.
                    unsafe {
                        (double.feed)(device.as_ptr(), frame.as_ptr(), frame.len(), len, ns, 1);
                    }
                }
                End::Veth(socket, index) => transmit(socket, *index, frame),
            }
        }
    }

    /// Sends a frame out of the interface, as this machine's own.
    pub(crate) fn transmit(&self, frame: &[u8]) {
        match &self.end {
            End::Double(double, device) => {
                let len = u32::try_from(frame.len()).unwrap();
                // SAFETY: all pointers live across the call.
                unsafe { (double.feed)(device.as_ptr(), frame.as_ptr(), frame.len(), len, TIME, 0) }
            }
            End::Veth(socket, _) => {
                let index = netdevice::name_to_index(socket, &self.device).unwrap();
                transmit(socket, index.cast_signed(), frame);
            }
        }
    }

    /// Takes the interface away.
    pub(crate) fn vanish(&self) {
        match &self.end {
            // SAFETY: the name lives across the call.
            End::Double(double, device) => unsafe { (double.take_away)(device.as_ptr(), 1) },
            End::Veth(..) => {
                let done = Command::new("ip").args(["link", "del", &self.device]).status();
                assert!(done.unwrap().success());
            }
        }
    }
}

/// When the double's packets came, in nanoseconds since 1970; each a nanosecond after the other.
pub(crate) const TIME: i64 = 1_700_000_000_123_456_789;

/// Sends a frame by an interface, see packet(7).
fn transmit(socket: &OwnedFd, index: i32, frame: &[u8]) {
    // SAFETY: a C struct of integers.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    to.sll_ifindex = index;
    let len = libc::socklen_t::try_from(size_of_val(&to)).unwrap();
    let (data, to) = (frame.as_ptr().cast(), (&raw const to).cast());
    // SAFETY: frame and address live across the call and are as long as said.
    let sent = unsafe { libc::sendto(socket.as_raw_fd(), data, frame.len(), 0, to, len) };
    assert_eq!(sent, frame.len().cast_signed(), "{}", std::io::Error::last_os_error());
}

/// Options of most tests.
pub(crate) fn options() -> Options {
    Options {
        snaplen: 1536,
        promiscuous: true,
        transmitted: false,
        hardware_clock: false,
        filter: None,
        cluster: None,
    }
}

/// Waits until what was sent has come: at once with the double, while a veth pair may leave
/// packets to a thread of the kernel.
pub(crate) fn settle() {
    if double().is_none() {
        thread::sleep(Duration::from_millis(200));
    }
}

/// Opens a ring and lets packets in.
pub(crate) fn ring(wire: &Wire, options: &Options) -> Ring {
    let mut ring = Ring::open(library(), &wire.device, options).unwrap();
    ring.enable().unwrap();
    ring
}

/// Rings in a cluster, all joined first and then all enabled.
pub(crate) fn cluster(
    wire: &Wire,
    count: u16,
    id: u16,
    kind: pfring_sys::ClusterType,
) -> Vec<Ring> {
    let open = |member| {
        let cluster = Some(Cluster { id, member, kind });
        Ring::open(library(), &wire.device, &Options { cluster, ..options() }).unwrap()
    };
    let mut rings: Vec<Ring> = (0..count).map(open).collect();
    rings.iter_mut().for_each(|ring| ring.enable().unwrap());
    rings
}

/// The bytes of a frame.
pub(crate) fn bytes(frame: &RawFrame) -> Vec<u8> {
    // SAFETY: the tests look at frames before they release them.
    unsafe { std::slice::from_raw_parts(frame.data.as_ptr(), frame.len as usize) }.to_vec()
}

/// Takes what comes until `count` packets are there, or nothing comes for half a second.
pub(crate) fn take(ring: &mut Ring, count: usize) -> Vec<Vec<u8>> {
    let (mut taken, mut last) = (Vec::new(), Instant::now());
    while taken.len() < count && last.elapsed() < Duration::from_millis(500) {
        while let Some(frame) = ring.peek() {
            taken.push(bytes(&frame));
            ring.take();
            last = Instant::now();
        }
        ring.release();
        thread::sleep(Duration::from_millis(1));
    }
    taken
}

/// All that is in a ring, after what was sent has had time to come.
pub(crate) fn take_all(ring: &mut Ring) -> Vec<Vec<u8>> {
    settle();
    let mut taken = Vec::new();
    while let Some(frame) = ring.peek() {
        taken.push(bytes(&frame));
        ring.take();
        ring.release();
    }
    taken
}

/// Packets of as many connections, in both directions, each with its number in the payload.
pub(crate) fn connections(count: usize, each: usize) -> Vec<Vec<u8>> {
    let packet = |number: usize| {
        let (connection, turn) = (number % count, number / count);
        let client = format!(
            "10.1.{}.{}:{}",
            connection / 200,
            connection % 200 + 1,
            40_000 + connection * 6
        );
        let (from, to) =
            if turn % 2 == 0 { (&*client, "192.0.2.9:80") } else { ("192.0.2.9:80", &*client) };
        Frame::tcp(from, to).payload(format!("{connection} {turn}")).build()
    };
    (0..count * each).map(packet).collect()
}

/// Nothing else shows it on machines without the real library.
#[test]
fn the_wire_for_the_real_library_carries_frames() {
    let Some(wire) = Wire::veth() else { return };
    let End::Veth(sender, far) = &wire.end else { panic!("not a veth pair") };
    let all = u32::from(u16::to_be(0x0003)).try_into().unwrap();
    let flags = SocketFlags::NONBLOCK;
    let protocol = Some(Protocol::from_raw(all));
    let receiver = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol).unwrap();
    let near = netdevice::name_to_index(sender, &wire.device).unwrap();
    assert_ne!(near.cast_signed(), *far);
    let sent = connections(8, 4);
    wire.send(&sent);
    wire.transmit(&sent[0]);
    thread::sleep(Duration::from_millis(200));
    let mut arrived = vec![Vec::new(); 2];
    let mut buffer = [0; 2048];
    loop {
        // SAFETY: a C struct of integers.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = libc::socklen_t::try_from(size_of_val(&from)).unwrap();
        let (fd, data) = (receiver.as_raw_fd(), buffer.as_mut_ptr().cast());
        // SAFETY: buffer and address live across the call and are as long as said.
        let got = unsafe {
            libc::recvfrom(fd, data, buffer.len(), 0, (&raw mut from).cast(), &raw mut len)
        };
        let Ok(got) = usize::try_from(got) else { break };
        if from.sll_pkttype != libc::PACKET_OUTGOING {
            let at = usize::from(from.sll_ifindex == near.cast_signed());
            arrived[at].push(buffer[..got].to_vec());
        }
    }
    assert_eq!(arrived[1], sent, "what was sent to the interface");
    assert_eq!(arrived[0], sent[..1], "what the interface sent");
}
