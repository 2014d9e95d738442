//! The socket of one receive queue as a ring.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
    ptr::NonNull,
    sync::Arc,
    time::SystemTime,
};

use rustix::net::{sockopt, xdp::XdpStatistics};
use xdp::{CompletionRing, FillRing, Packet, RxRing, Umem, slab::Slab, socket::XdpSocketBuilder};

use super::{
    ETHERNET,
    joined::Joined,
    port::{Port, refused},
    socket::Access,
};
use crate::capture::{
    filter::Program,
    live::{Counts, RawFrame, Ring, RingError},
};

/// How many packets are taken out of the receive ring at once, and bear the same time.
pub(super) const BATCH: usize = 64;
/// How many batches are looked at for one that the filter lets through, before the worker is let
/// go to look at its clock.
const LOOKS: usize = 64;

/// What a ring is made of.
pub(super) struct Parts {
    pub(super) port: Arc<Port>,
    pub(super) queue: u32,
    // The rings and the socket are dropped before the memory that they fill.
    pub(super) fill: FillRing,
    pub(super) receive: RxRing,
    /// The kernel wants one, though nothing is ever sent.
    pub(super) _completion: CompletionRing,
    /// A bound socket; of the crate's two types for a socket this one can be bound by our own
    /// call, with flags that the crate does not have.
    pub(super) socket: XdpSocketBuilder,
    pub(super) umem: Umem,
    /// How many frames the memory has.
    pub(super) frames: usize,
    pub(super) access: Access,
    pub(super) filter: Option<Program>,
    pub(super) snaplen: u32,
}

/// The ring of one receive queue.
///
/// A frame goes around: the fill ring, the kernel, the receive ring, `waiting`, `head`, `lent`, the
/// memory's list of free frames, and the fill ring again.
pub struct Queue {
    parts: Parts,
    /// Taken out of the receive ring and not looked at yet.
    waiting: VecDeque<Waiting>,
    /// What `peek` gave and `take` has not taken; a packet in one frame comes with it.
    head: Option<(RawFrame, Option<Packet>)>,
    /// Taken and not released.
    lent: Vec<Packet>,
    joined: Joined,
    /// Packets that came out of the receive ring.
    received: u64,
    filtered: u64,
}

/// A frame with a packet or a piece of one.
struct Waiting {
    packet: Packet,
    time: i64,
}

impl Queue {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            waiting: VecDeque::with_capacity(BATCH),
            head: None,
            lent: Vec::with_capacity(BATCH),
            joined: Joined::default(),
            received: 0,
            filtered: 0,
            parts,
        }
    }

    /// Takes packets out of the receive ring, at most `most`; says whether there were any.
    fn receive(&mut self, most: usize) -> bool {
        let parts = &mut self.parts;
        let mut intake = Intake { waiting: &mut self.waiting, room: most, time: None, packets: 0 };
        // SAFETY: the packets go into `waiting`, `head` and `lent`, which live as long as the memory.
        let descriptors = unsafe { parts.receive.recv(&parts.umem, &mut intake) };
        self.received += intake.packets;
        descriptors > 0
    }

    /// The next packet that the filter lets through.
    fn next(&mut self) -> Option<(RawFrame, Option<Packet>)> {
        for _ in 0..LOOKS {
            while let Some(Waiting { packet, time }) = self.waiting.pop_front() {
                let found = self.whole(packet, time);
                let Some((frame, packet)) = found else { continue };
                if self.accepts(frame) {
                    return Some((frame, packet));
                }
                self.filtered += 1;
                if let Some(packet) = packet {
                    self.parts.umem.free_packet(packet);
                }
            }
            if !self.receive(BATCH) {
                return None;
            }
            if self.parts.filter.is_some() {
                // What the filter kept out can be filled again before the batch is full.
                self.fill();
            }
        }
        None
    }

    /// A packet as a frame; `None` if more of its pieces are to come.
    fn whole(&mut self, packet: Packet, time: i64) -> Option<(RawFrame, Option<Packet>)> {
        if !packet.is_continued() && !self.joined.has_begun() {
            let len = length(packet.len());
            let data = NonNull::new(packet.as_ptr().cast_mut())?;
            let frame =
                RawFrame { data, len: len.min(self.parts.snaplen), wire_len: len, time, vlan: 0 };
            return Some((frame, Some(packet)));
        }
        self.joined.add(&packet, self.parts.snaplen as usize);
        let last = !packet.is_continued();
        self.parts.umem.free_packet(packet);
        last.then(|| (self.joined.frame(time), None))
    }

    fn accepts(&self, frame: RawFrame) -> bool {
        let Some(program) = &self.parts.filter else { return true };
        // SAFETY: the frame lies in memory of ours that nobody writes to before it is released.
        let bytes = unsafe { std::slice::from_raw_parts(frame.data.as_ptr(), frame.len as usize) };
        program.accepts(bytes, frame.wire_len)
    }

    /// Gives all free frames to the kernel.
    fn fill(&mut self) {
        let parts = &mut self.parts;
        // SAFETY: the memory outlives the socket, see `Parts`. The ring has room for every frame
        // that there is, so that none stays behind.
        unsafe { parts.fill.enqueue(&mut parts.umem, parts.frames) };
    }

    fn statistics(&self) -> Result<XdpStatistics, RingError> {
        sockopt::xdp_statistics(descriptor(&self.parts.socket)).map_err(|error| {
            let (queue, name) = (self.parts.queue, &self.parts.port.name);
            refused(&format!("queue {queue} of {name} does not count"), &error.into())
        })
    }

    /// Which packets found no place.
    ///
    /// In copy mode the kernel counts a packet for which there was no free frame in `rx_dropped`
    /// *and* in `rx_fill_ring_empty_descs`, and one that is longer than a frame, where it may not
    /// take several, in `rx_dropped` only (`__xsk_rcv` and `xsk_rcv_check` in `net/xdp/xsk.c`,
    /// `__xp_alloc` in `net/xdp/xsk_buff_pool.c`). In zero-copy mode `rx_fill_ring_empty_descs`
    /// counts how often the driver looked for frames in vain, which is no number of packets; those
    /// that it loses then are in the card's own counters.
    fn dropped(&self, statistics: &XdpStatistics) -> BTreeMap<&'static str, u64> {
        let Access { zero_copy, several } = self.parts.access;
        let dropped = statistics.rx_dropped;
        // Both are there since Linux 5.9, which the link needs anyway.
        let full = statistics.rx_ring_full.unwrap_or(0);
        let empty = statistics.rx_fill_ring_empty_descs.unwrap_or(0);
        let long = match (several, zero_copy) {
            (true, _) => 0,
            (false, true) => dropped,
            (false, false) => dropped.saturating_sub(empty),
        };
        let mut reasons = BTreeMap::from([("ring_full", dropped - long + full)]);
        if long > 0 {
            reasons.insert("longer_than_frame", long);
        }
        reasons
    }
}

// SAFETY: a frame of one piece lies in the shared memory, which lives as long as the ring; the
// kernel writes only to frames that are in the fill ring, and a frame that was peeked at or taken
// is in `head` or `lent` until `release` puts it there. A packet of several pieces lies in a buffer
// of `joined`, which keeps the same rule.
unsafe impl Ring for Queue {
    fn enable(&mut self) -> Result<(), RingError> {
        self.parts.port.enter(self.parts.queue, self.parts.socket.as_raw_fd())
    }

    fn release(&mut self) {
        for packet in self.lent.drain(..) {
            self.parts.umem.free_packet(packet);
        }
        self.joined.release();
        self.fill();
    }

    #[inline]
    fn peek(&mut self) -> Option<RawFrame> {
        if self.head.is_none() {
            self.head = self.next();
        }
        self.head.as_ref().map(|(frame, _)| *frame)
    }

    #[inline]
    fn take(&mut self) {
        match self.head.take() {
            Some((_, Some(packet))) => self.lent.push(packet),
            Some((_, None)) => self.joined.take(),
            None => {}
        }
    }

    fn fd(&self) -> RawFd {
        self.parts.socket.as_raw_fd()
    }

    fn link(&self) -> u16 {
        ETHERNET
    }

    fn queue(&self) -> Option<u32> {
        Some(self.parts.queue)
    }

    fn counts(&mut self) -> Result<Counts, RingError> {
        // The kernel does not count what it put into the ring, so all of it is taken out of it.
        self.receive(usize::MAX);
        let dropped = self.dropped(&self.statistics()?);
        Ok(Counts { received: self.received, dropped, filtered: self.filtered })
    }

    fn is_counted_by_driver(&self) -> bool {
        self.parts.port.counts_ours
    }

    fn stop(&mut self) {
        self.parts.port.leave(self.parts.queue);
    }
}

/// The socket for calls of `rustix`; the crate `xdp` gives its number only.
pub(super) fn descriptor(socket: &XdpSocketBuilder) -> BorrowedFd<'_> {
    // SAFETY: the socket is open as long as it is borrowed.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Where packets go that come out of the receive ring.
struct Intake<'a> {
    waiting: &'a mut VecDeque<Waiting>,
    room: usize,
    /// The clock, read for the first of them.
    time: Option<i64>,
    /// How many packets, whose pieces count once.
    packets: u64,
}

impl Slab for Intake<'_> {
    fn available(&self) -> usize {
        self.room
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push_front(&mut self, packet: Packet) -> Option<Packet> {
        let time = *self.time.get_or_insert_with(now);
        self.packets += u64::from(!packet.is_continued());
        self.waiting.push_back(Waiting { packet, time });
        None
    }

    fn pop_back(&mut self) -> Option<Packet> {
        self.waiting.pop_front().map(|waiting| waiting.packet)
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Nanoseconds since 1970 by the system's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
