//! Live capture: what all back ends have in common.
//!
//! A back end knows how to open a [`Ring`] on an interface and how to look into it; everything
//! else (several interfaces in time order, interfaces that go and come back, counts, the end of
//! a run) is in [`Live`], once for all of them. It is generic over the ring, so there is no
//! virtual call per packet.
//!
//! The life of a ring: it is opened on its worker's thread *closed*, and joins its cluster or
//! fanout group; when all workers have done so, all are told to [`enable`](Ring::enable). A ring
//! that joined and does not take its packets would lose them for all.

mod lane;
mod meeting;
mod order;
mod source;
#[cfg(test)]
mod tests;
pub mod watch;

use std::{collections::BTreeMap, os::fd::RawFd, ptr::NonNull, sync::Arc};

pub use lane::RingReport;
pub use source::{Live, Shared};

use super::filter::Filter;
use crate::config::{Balance, Clock, Direction};

/// What is the same for all rings of a capture.
#[derive(Debug)]
pub struct Setup {
    /// The interfaces, in the order of the config; each at least once named.
    pub interfaces: Vec<String>,
    /// How many workers there are.
    pub workers: usize,
    /// The id of the PF_RING cluster, or of the first interface's fanout group; `None` leaves
    /// the choice to the back end.
    pub cluster: Option<u16>,
    /// How packets are dealt to the workers.
    pub balance: Balance,
    /// Whether packets for other machines are taken, too.
    pub promiscuous: bool,
    /// Which packets are taken: those that come in, or those that this machine sends, too.
    pub direction: Direction,
    /// Which clock stamps the packets.
    pub clock: Clock,
    /// Bytes of a packet that are captured, 64 to 262144.
    pub snaplen: u32,
    /// Bytes of one ring, before rounding to what the back end can have.
    pub ring_bytes: usize,
    /// Milliseconds after which the kernel hands over a block that is not full.
    pub block_timeout_ms: u32,
    /// What is let through; `None` is everything.
    pub filter: Option<Arc<Filter>>,
}

/// One kind of rings.
pub trait Backend: Send + Sync + Sized {
    /// Its rings.
    type Ring: Ring;

    /// Looks whether this machine has what the back end needs, and prepares what all rings
    /// share. Does not touch the interfaces.
    ///
    /// # Errors
    /// What is missing, as a sentence that says how to get it: the next back end is tried.
    fn new(setup: Arc<Setup>) -> Result<Self, Missing>;

    /// Opens the rings of a worker on an interface: one, or one for each of the queues that are
    /// the worker's. They join their group and give no packets yet. Called on the worker's own
    /// thread.
    ///
    /// # Errors
    /// What went wrong, as a sentence that says what to do.
    fn open(&self, interface: usize, worker: usize) -> Result<Vec<Self::Ring>, RingError>;
}

/// This machine has not what a back end needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// A ring cannot be opened, enabled or asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RingError(pub String);

/// One ring, on the thread of its worker.
///
/// # Safety
/// The bytes of a frame that [`peek`](Self::peek) gave stay readable and unchanged until
/// [`release`](Self::release) is called after it was taken, or the ring is dropped; calls of
/// `peek` and `take` in between leave them as they are.
pub unsafe trait Ring {
    /// Lets packets in.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn enable(&mut self) -> Result<(), RingError>;

    /// Gives the slots of all frames that were taken back to the kernel.
    fn release(&mut self);

    /// The next frame, without taking it; `None` when there is none now. Does not wait.
    fn peek(&mut self) -> Option<RawFrame>;

    /// Takes the frame that `peek` gave last.
    fn take(&mut self);

    /// Becomes readable when there are frames.
    fn fd(&self) -> RawFd;

    /// LINKTYPE number of its frames.
    fn link(&self) -> u16;

    /// The receive queue that it reads, where there is one ring for each queue.
    fn queue(&self) -> Option<u32> {
        None
    }

    /// What the ring counted since it was enabled. Called about once a second, and at the end
    /// after [`stop`](Self::stop).
    ///
    /// # Errors
    /// When the kernel does not say.
    fn counts(&mut self) -> Result<Counts, RingError>;

    /// How much of the ring holds packets; called about once a second.
    fn fill_percent(&self) -> Option<u8> {
        None
    }

    /// Whether the driver counts what found no place in this ring as its own loss, too. Then it is
    /// taken off what the interface counted.
    fn is_counted_by_driver(&self) -> bool {
        false
    }

    /// Lets no more packets in; those that are in the ring stay there to be taken.
    fn stop(&mut self);
}

/// A frame that lies in a ring.
#[derive(Clone, Copy, Debug)]
pub struct RawFrame {
    /// Its first byte.
    pub data: NonNull<u8>,
    /// Bytes that were captured.
    pub len: u32,
    /// Bytes on the wire, at least `len`.
    pub wire_len: u32,
    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time: i64,
    /// The VLAN tag (TCI) that the kernel took out of the frame; 0 if none.
    pub vlan: u16,
}

/// What a ring counted since it was enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were put into the ring, whether they were taken yet or not.
    pub received: u64,
    /// Packets that found no place in it, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Packets that a filter in user space kept out. Kernels do not count what theirs keep out.
    pub filtered: u64,
}
