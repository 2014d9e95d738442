//! One ring of PF_RING, made safe.

use std::{
    collections::BTreeMap,
    ffi::{CString, c_int},
    io,
    os::fd::RawFd,
    ptr::{self, NonNull},
    sync::Arc,
};

use pfring_sys::{
    ClusterType, Direction, HeaderBuffer, Library, MOST_QUEUES, MOST_SNAPLEN, Pfring, SocketMode,
    Stat, Version, layout::SHORT_HEADER,
};

use super::arena::Arena;
use crate::capture::{
    live::{self, Counts, RawFrame, RingError},
    netdev,
};

/// LINKTYPE number of what PF_RING's kernel module gives, whatever the interface.
pub(super) const ETHERNET: u16 = 1;
/// `/proc/net/pf_ring` shows it beside the ring.
const APPLICATION: &std::ffi::CStr = c"ringmill";

/// What a ring is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a packet that are captured, at most [`MOST_SNAPLEN`].
    pub snaplen: u32,
    /// Whether packets for other machines are taken, too.
    pub promiscuous: bool,
    /// Whether packets that this machine sends are taken, too.
    pub transmitted: bool,
    /// Whether the card stamps the packets, where it can.
    pub hardware_clock: bool,
    /// What is let through, in tcpdump's syntax; `None` is everything.
    pub filter: Option<String>,
    /// The cluster that the ring joins.
    pub cluster: Option<Cluster>,
}

/// A ring's place in a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    /// The cluster's id, 1 to 65535; the same one on this machine is the same cluster,
    /// whoever made it.
    pub id: u16,
    /// The number of this ring in it, 0 to 63.
    pub member: u16,
    /// How packets are dealt.
    pub kind: ClusterType,
}

/// An open ring. It is used by one thread; none of its calls waits.
#[derive(Debug)]
pub struct Ring {
    library: Arc<Library>,
    handle: NonNull<Pfring>,
    fd: RawFd,
    snaplen: u32,
    header: HeaderBuffer,
    arena: Arena,
    /// The packet that was read and not yet taken.
    head: Option<RawFrame>,
    /// Packets that were read.
    read: u64,
    /// Where reading ends, by the ring's own count, and what was dropped until then.
    end: Option<(u64, u64)>,
    /// What the library said when it gave neither a packet nor none.
    broken: Option<c_int>,
}

impl Ring {
    /// Opens a ring and joins its cluster. It gives no packets until it is enabled, but from now
    /// on the cluster deals it its share: join all rings, then enable all of them at once.
    ///
    /// # Errors
    /// One sentence, with what to do.
    pub fn open(
        library: &Arc<Library>,
        interface: &str,
        options: &Options,
    ) -> Result<Self, RingError> {
        let device = device(interface)?;
        let snaplen = options.snaplen.min(MOST_SNAPLEN);
        let promiscuous = if options.promiscuous { pfring_sys::PROMISC } else { 0 };
        let stamps = if options.hardware_clock { pfring_sys::HW_TIMESTAMP } else { 0 };
        // Never PF_RING_LONG_HEADER: 209 bytes for each packet, and other ones in each version.
        // SAFETY: `device` is text that ends with a zero and lives across the call.
        let handle = unsafe { (library.open)(device.as_ptr(), snaplen, promiscuous | stamps) };
        let error = io::Error::last_os_error();
        let Some(handle) = NonNull::new(handle) else {
            return Err(RingError(refusal(interface, &error, library)));
        };
        let mut ring = Self {
            library: Arc::clone(library),
            handle,
            fd: -1,
            snaplen,
            header: HeaderBuffer::new(),
            arena: Arena::default(),
            head: None,
            read: 0,
            end: None,
            broken: None,
        };
        // From here on an error drops the ring, and that closes it.
        ring.check_layout(interface)?;
        ring.set_up(interface, options)?;
        if let Some(cluster) = options.cluster {
            ring.join(interface, cluster)?;
        }
        Ok(ring)
    }

    /// The version of the kernel module.
    pub fn module_version(&self) -> Option<Version> {
        let mut version = 0;
        // SAFETY: the ring is open; `version` lives across the call.
        let done = unsafe { (self.library.version)(self.raw(), &raw mut version) };
        (done >= 0).then_some(Version(version))
    }

    /// Refuses a kernel module whose packet header is not the one that we read.
    fn check_layout(&self, interface: &str) -> Result<(), RingError> {
        // SAFETY: the ring is open.
        let len = unsafe { (self.library.get_slot_header_len)(self.raw()) };
        if len == SHORT_HEADER {
            return Ok(());
        }
        let module = self.module_version();
        let module = module.map_or_else(|| "?".to_owned(), |version| version.to_string());
        Err(RingError(format!(
            "{interface}: PF_RING's kernel module (version {module}) writes packet headers of \
             {len} bytes, not of {SHORT_HEADER}; install PF_RING {} or newer",
            Version::OLDEST
        )))
    }

    fn set_up(&mut self, interface: &str, options: &Options) -> Result<(), RingError> {
        let (library, raw) = (Arc::clone(&self.library), self.raw());
        let direction = if options.transmitted { Direction::Both } else { Direction::Receive };
        // SAFETY: the ring is open, and the name ends with a zero; the library copies it.
        let named = unsafe { (library.set_application_name)(raw, APPLICATION.as_ptr().cast_mut()) };
        if named != 0 {
            tracing::debug!("{interface}: PF_RING did not take the application's name ({named})");
        }
        // SAFETY: the ring is open.
        let done = unsafe { (library.set_direction)(raw, direction) };
        accept(done, interface, "the direction of the packets")?;
        // SAFETY: as above; the ring is not enabled yet, which this call asks for.
        let done = unsafe { (library.set_socket_mode)(raw, SocketMode::Receive) };
        accept(done, interface, "that the ring only receives")?;
        // The ring is readable with its first packet, not its 128th.
        // SAFETY: as above.
        let done = unsafe { (library.set_poll_watermark)(raw, 1) };
        accept(done, interface, "the watermark")?;
        if let Some(filter) = &options.filter {
            self.filter(interface, filter)?;
        }
        // SAFETY: as above.
        self.fd = unsafe { (library.get_selectable_fd)(raw) };
        if self.fd < 0 {
            return Err(RingError(format!("{interface}: PF_RING gives the ring no socket")));
        }
        Ok(())
    }

    /// Sets the filter. PF_RING's kernel module applies it after the cluster has dealt the
    /// packets, so every ring of a cluster needs it.
    fn filter(&mut self, interface: &str, text: &str) -> Result<(), RingError> {
        let refused =
            |why: String| RingError(format!("{interface}: the filter `{text}` is refused: {why}"));
        let code = CString::new(text).map_err(|_| refused("it has a zero byte".to_owned()))?;
        // SAFETY: the ring is open; `code` ends with a zero and lives across the call.
        match unsafe { (self.library.set_bpf_filter)(self.raw(), code.as_ptr()) } {
            0 => Ok(()),
            error => Err(refused(format!("libpfring says {error}"))),
        }
    }

    fn join(&mut self, interface: &str, cluster: Cluster) -> Result<(), RingError> {
        let Cluster { id, member, kind } = cluster;
        if id == 0 || member >= MOST_QUEUES {
            return Err(RingError(format!(
                "{interface}: a PF_RING cluster has an id from 1 to 65535 and {MOST_QUEUES} rings \
                 at most; set `cluster` and `workers` within that"
            )));
        }
        let done = match self.library.set_cluster_consumer {
            // SAFETY: the ring is open.
            Some(join) => unsafe { join(self.raw(), id, member, kind, 0) },
            // SAFETY: as above.
            None => unsafe { (self.library.set_cluster)(self.raw(), id.into(), kind) },
        };
        if done == 0 {
            return Ok(());
        }
        Err(RingError(format!(
            "{interface}: ring {member} cannot join PF_RING cluster {id} ({done}): another program \
             is in it, or rings of another interface are; choose another `cluster`"
        )))
    }

    fn raw(&self) -> *mut Pfring {
        self.handle.as_ptr()
    }

    /// What the ring counts, and what is queued in it. Reads the ring's memory, no system call.
    fn state(&self) -> Option<(Stat, u64)> {
        let mut stat = Stat::default();
        // SAFETY: the ring is open; `stat` lives across the call.
        let done = unsafe { (self.library.stats)(self.raw(), &raw mut stat) };
        // SAFETY: as above.
        let queued = unsafe { (self.library.get_num_queued_pkts)(self.raw()) };
        (done == 0).then_some((stat, u64::from(queued)))
    }

    /// Reads the next packet and puts it where it stays.
    #[inline]
    fn receive(&mut self) -> Option<RawFrame> {
        let mut data = ptr::null_mut();
        let header = self.header.as_mut_ptr();
        // SAFETY: the ring is open and used by this thread alone (`&mut self`, and it is not
        // Send); `header` has 512 bytes, more than any version writes; a length of 0 makes
        // `data` point into the ring.
        let got = unsafe { (self.library.recv)(self.raw(), &raw mut data, 0, header, 0) };
        if got <= 0 || data.is_null() {
            if got < 0 {
                self.broken = Some(got);
            }
            return None;
        }
        let header = self.header.get();
        let len = header.caplen.min(self.snaplen);
        // SAFETY: a positive return promises `caplen` bytes at `data` until the next call of
        // `recv`; the arena is memory of its own, and `snaplen` at most what it takes.
        let kept = unsafe { self.arena.keep(data, len as usize) };
        self.read += 1;
        let wire_len = { header.len }.max(len);
        // The kernel module puts a VLAN tag that the card took out back into the frame
        // (`keep_vlan_offload = 0` in `pf_ring.c`).
        Some(RawFrame { data: kept, len, wire_len, time: header.time(), vlan: 0 })
    }

    /// Whether all has been read that was in the ring when it was stopped.
    #[cold]
    fn is_at_end(&self, end: u64) -> bool {
        self.state().is_none_or(|(stat, _)| stat.recv >= end)
    }
}

// SAFETY: frames lie in the arena, which neither moves nor changes them until `release`, and
// then only those that were taken: `peek` reads no further while there is a head, so the packet
// that was kept last is the only one that was not taken.
unsafe impl live::Ring for Ring {
    fn enable(&mut self) -> Result<(), RingError> {
        // SAFETY: the ring is open.
        match unsafe { (self.library.enable_ring)(self.raw()) } {
            0 => Ok(()),
            error => Err(RingError(format!("PF_RING does not enable the ring ({error})"))),
        }
    }

    #[inline]
    fn release(&mut self) {
        if self.head.is_none() { self.arena.clear() } else { self.arena.clear_but_last() }
    }

    #[inline]
    fn peek(&mut self) -> Option<RawFrame> {
        if self.head.is_none() {
            if let Some((end, _)) = self.end
                && self.is_at_end(end)
            {
                return None;
            }
            self.head = self.receive();
        }
        self.head
    }

    #[inline]
    fn take(&mut self) {
        self.head = None;
    }

    fn fd(&self) -> RawFd {
        self.fd
    }

    fn link(&self) -> u16 {
        ETHERNET
    }

    fn counts(&mut self) -> Result<Counts, RingError> {
        if let Some(error) = self.broken {
            return Err(RingError(format!("PF_RING stopped giving packets ({error})")));
        }
        let Some((stat, queued)) = self.state() else {
            return Err(RingError("PF_RING does not give the ring's counters".to_owned()));
        };
        let (received, lost) = match self.end {
            Some((end, lost)) => (end.max(stat.recv), lost),
            None => (stat.recv + queued, stat.drop),
        };
        Ok(Counts {
            received,
            dropped: BTreeMap::from([("ring_full", lost)]),
            // Where the kernel does not take the filter, the library runs it, after it has
            // counted the packet as read.
            filtered: stat.recv.saturating_sub(self.read),
        })
    }

    /// PF_RING cannot be told to let no more in and still give what it has: a disabled ring
    /// gives nothing and counts zero. So the ring stays as it is until it is dropped, and what
    /// arrives from now on is left in it.
    fn stop(&mut self) {
        if let Some((stat, queued)) = self.state()
            && self.end.is_none()
        {
            self.end = Some((stat.recv + queued, stat.drop));
        }
    }
}

impl Drop for Ring {
    /// In this order: a disabled ring that is still in its cluster swallows its share, and some
    /// builds of the library leave the socket open.
    fn drop(&mut self) {
        let raw = self.raw();
        // SAFETY: the ring is open.
        unsafe { (self.library.remove_from_cluster)(raw) };
        // SAFETY: as above.
        unsafe { (self.library.disable_ring)(raw) };
        // SAFETY: as above; nobody has the handle after this.
        unsafe { (self.library.close)(raw) };
    }
}

/// The device as libpfring is told it. It takes much that we do not mean: `zc:eth0` and
/// `pcap:file` name other modules, `eth0@1` a queue, `eth0,eth1` two interfaces.
fn device(interface: &str) -> Result<CString, RingError> {
    let plain = !interface.is_empty() && !interface.contains([':', '@', ',', ';']);
    let device = CString::new(interface).ok().filter(|_| plain && interface != "any");
    device.ok_or_else(|| {
        RingError(format!(
            "`{interface}` is not the plain name of an interface, which is all that is captured \
             from with PF_RING; write `eth2`"
        ))
    })
}

/// Why a ring was not opened.
fn refusal(interface: &str, error: &io::Error, library: &Library) -> String {
    match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => super::NO_MODULE.to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            let program = std::env::current_exe().unwrap_or_else(|_| "engine".into());
            format!(
                "capturing from {interface} needs CAP_NET_RAW; run as root, or once `setcap \
                 cap_net_raw,cap_net_admin+ep {}`",
                program.display()
            )
        }
        Some(libc::EINVAL | libc::ENODEV) => match netdev::state(interface) {
            Ok(None) => {
                format!("there is no interface `{interface}`; `ip link` lists those there are")
            }
            _ => format!(
                "{interface}: PF_RING does not open it; libpfring ({}) and its kernel module have \
                 to be of one version, see /proc/net/pf_ring/info",
                library.version()
            ),
        },
        _ => format!("{interface}: PF_RING does not open it: {error}"),
    }
}

fn accept(done: c_int, interface: &str, what: &str) -> Result<(), RingError> {
    match done {
        0 => Ok(()),
        error => Err(RingError(format!("{interface}: PF_RING does not take {what} ({error})"))),
    }
}
