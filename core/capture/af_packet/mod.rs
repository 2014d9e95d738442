//! Packet sockets with a mapped ring: live capture on every Linux, with nothing to install.
//!
//! Every worker has a socket of its own on every interface; those of an interface are one fanout
//! group, in which the kernel deals the packets ([`fanout`]). A socket is made *closed*, with a
//! filter that lets nothing through, from before it is bound until all workers have theirs; and
//! it is closed again, by the same filter, at the end, so that what the kernel counted is what is
//! in the ring.
//!
//! Memory: a ring is `ring_mib` of kernel memory that is never swapped, one for each worker and
//! interface; with 8 workers, 2 interfaces and the default of 64 MiB that is 1 GiB. It is cut
//! into blocks of 1 MiB, or of 256 KiB where it is smaller than 4 MiB, and a block is the unit
//! that is handed over: at low rates each holds what came in `block_timeout_ms`, so a ring of n
//! blocks bridges a pause of n times that, and at high rates one of `ring_mib` of packets.
//!
//! We did not use `PACKET_FANOUT_FLAG_ROLLOVER`, which gives packets to another ring when one is
//! full: the two directions of a flow would part, and the heads in it be lost without a count.

#![allow(unsafe_code, reason = "system calls and a ring in shared memory; every block is proved")]

mod fanout;
mod hardware;
mod program;
mod ring;
mod socket;

use std::{collections::BTreeMap, os::fd::RawFd, sync::Arc};

use libc::{SOL_PACKET, sock_filter};

use self::{
    fanout::{Groups, Member},
    ring::Blocks,
};
use super::{
    live::{self, Backend, Counts, Missing, RawFrame, RingError, Setup},
    netdev,
};
use crate::config::{Clock, Direction};

/// The packet sockets of a capture.
#[derive(Debug)]
pub struct AfPacket {
    setup: Arc<Setup>,
    groups: Arc<Groups>,
}

impl Backend for AfPacket {
    type Ring = Ring;

    fn new(setup: Arc<Setup>) -> Result<Self, Missing> {
        let groups = Arc::new(Groups::new(Arc::clone(&setup)));
        Ok(Self { setup, groups })
    }

    fn open(&self, interface: usize, worker: usize) -> Result<Vec<Ring>, RingError> {
        let (setup, name) = (&*self.setup, self.setup.interfaces[interface].as_str());
        let member = self.groups.socket(interface, worker)?;
        let socket = &member.socket;
        let program = program::open(setup, name)?;
        if setup.clock == Clock::Hardware {
            hardware::stamp(socket)?;
        }
        if setup.direction == Direction::Receive {
            // Spares the kernel the work; where it has no such option, the filter does it.
            let _ = socket.set(SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        }
        let blocks = Blocks::map(socket, setup.ring_bytes, setup.block_timeout_ms)?;
        socket.bind()?;
        let link = socket.link()?;
        if setup.promiscuous {
            socket.promiscuous()?;
        }
        let down = netdev::state(name).is_ok_and(|state| state.is_some_and(|it| !it.running));
        if down && worker == 0 {
            tracing::warn!("{name} is down and gives no packets; `ip link set {name} up`");
        }
        self.groups.ready(&member)?;
        Ok(vec![Ring {
            blocks,
            member,
            groups: Arc::clone(&self.groups),
            link,
            program,
            received: 0,
            dropped: 0,
            closing: false,
        }])
    }
}

/// A packet socket with its ring.
#[derive(Debug)]
pub struct Ring {
    // Before the socket, so that it is unmapped before that is closed.
    blocks: Blocks,
    member: Arc<Member>,
    groups: Arc<Groups>,
    link: u16,
    program: Vec<sock_filter>,
    received: u64,
    dropped: u64,
    /// Nothing is let in any more, but a packet that passed the filter before may be on its way.
    closing: bool,
}

impl Ring {
    /// Adds what the kernel counted since it was asked last.
    fn ask(&mut self) -> Result<(), RingError> {
        let mut counted = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let socket = &self.member.socket;
        socket.get(SOL_PACKET, libc::PACKET_STATISTICS, &mut counted).map_err(|error| {
            socket::refused(&socket.name, "does not say what its ring counted", &error)
        })?;
        // The kernel adds those that it dropped to those that it received.
        self.received += u64::from(counted.tp_packets.saturating_sub(counted.tp_drops));
        self.dropped += u64::from(counted.tp_drops);
        Ok(())
    }
}

// SAFETY: a frame lies in a block that is given back by `Blocks::release` only after all of its
// packets were taken, and `peek` and `take` do not write to blocks.
unsafe impl live::Ring for Ring {
    fn enable(&mut self) -> Result<(), RingError> {
        self.groups.enable(&self.member)?;
        // Nothing was let in until now; this makes sure that nothing is counted either.
        self.ask()?;
        (self.received, self.dropped) = (0, 0);
        self.member.socket.filter(&self.program)
    }

    #[inline]
    fn release(&mut self) {
        self.blocks.release();
    }

    #[inline]
    fn peek(&mut self) -> Option<RawFrame> {
        self.blocks.peek()
    }

    #[inline]
    fn take(&mut self) {
        self.blocks.take();
    }

    fn fd(&self) -> RawFd {
        self.member.socket.fd()
    }

    fn link(&self) -> u16 {
        self.link
    }

    fn fill_percent(&self) -> Option<u8> {
        Some(self.blocks.fill_percent())
    }

    fn counts(&mut self) -> Result<Counts, RingError> {
        if std::mem::take(&mut self.closing) {
            self.member.socket.settle();
        }
        self.ask()?;
        let damaged = self.blocks.damaged();
        let mut dropped = BTreeMap::from([("ring_full", self.dropped)]);
        if damaged > 0 {
            dropped.insert("damaged_block", damaged);
        }
        Ok(Counts { received: self.received.saturating_sub(damaged), dropped, filtered: 0 })
    }

    fn stop(&mut self) {
        match self.member.socket.filter(program::CLOSED) {
            Ok(()) => self.closing = true,
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
