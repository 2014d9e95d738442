//! The ring that the kernel and a worker share: `TPACKET_V3`, see packet(7) and
//! `Documentation/networking/packet_mmap.rst`.
//!
//! The ring is a row of blocks. The kernel puts packets one after the other into a block and hands
//! it over when it is full, or when `block_timeout_ms` have passed since its first packet; it
//! goes to the next block, and when that one is still ours it drops what comes and counts it. We
//! take the packets of a block in place, and give it back when they are all taken and the batch
//! that points into it has ended.
//!
//! The kernel writes a block only while its status says so, and that word is all that is
//! synchronized: it is read with acquire order before anything else of the block, and given
//! back with release order after everything else.

#[cfg(test)]
mod tests;

use std::{
    io,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

use libc::{tpacket_block_desc, tpacket_req3, tpacket3_hdr};

use super::{RingError, socket::Socket};
use crate::capture::{input::prefetch, live::RawFrame};

/// A block holds a super-frame of 64 KiB or more, and a ring has at least four.
const LARGEST_BLOCK: usize = 1 << 20;
const SMALLEST_BLOCK: usize = 1 << 18;
const FEWEST_BLOCKS: usize = 4;

/// How a ring is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    block: usize,
    blocks: usize,
}

impl Geometry {
    /// Blocks of 256 KiB to 1 MiB that together have about `bytes`, and at least 1 MiB.
    fn of(bytes: usize) -> Self {
        let most = (bytes / FEWEST_BLOCKS).clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
        let block = 1 << most.ilog2();
        Self { block, blocks: (bytes / block).max(FEWEST_BLOCKS) }
    }

    fn bytes(self) -> usize {
        self.block * self.blocks
    }
}

/// The mapped blocks, and where in them we are.
#[derive(Debug)]
pub(super) struct Blocks {
    memory: NonNull<u8>,
    geometry: Geometry,
    /// The block whose packets are taken next.
    current: usize,
    /// Blocks before it whose packets are all taken and that were not given back yet.
    held: usize,
    /// Packets of the current block that were not taken yet; 0 until it is ours.
    left: u32,
    /// Where in the current block the next of them begins.
    at: usize,
    /// Where the one after that begins, from there; 0 while the next was not looked at.
    step: usize,
    /// The packet that was looked at and not taken.
    front: Option<RawFrame>,
    /// Packets in places where no packet can be.
    damaged: u64,
}

impl Blocks {
    /// Gives a socket a ring of about `bytes` and maps it.
    pub(super) fn map(socket: &Socket, bytes: usize, timeout_ms: u32) -> Result<Self, RingError> {
        let geometry = Geometry::of(bytes);
        let memory = request(socket, geometry, timeout_ms).map_err(|error| {
            let mib = geometry.bytes() >> 20;
            let name = &socket.name;
            match error.raw_os_error() {
                Some(libc::ENOMEM) => RingError(format!(
                    "there is no memory for a ring of {mib} MiB on {name}; lower `ring_mib` or \
                     `workers`"
                )),
                _ => RingError(format!("{name} takes no ring of {mib} MiB: {error}")),
            }
        })?;
        Ok(Self::over(memory, geometry))
    }

    /// A ring that begins with its first block.
    fn over(memory: NonNull<u8>, geometry: Geometry) -> Self {
        Self {
            memory,
            geometry,
            current: 0,
            held: 0,
            left: 0,
            at: 0,
            step: 0,
            front: None,
            damaged: 0,
        }
    }

    /// The next packet.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<RawFrame> {
        if self.front.is_none() {
            while self.left == 0 {
                self.open()?;
            }
            self.front = self.look();
        }
        self.front
    }

    /// Takes the packet that [`peek`](Self::peek) gave.
    #[inline]
    pub(super) fn take(&mut self) {
        if self.front.take().is_some() {
            let next = self.at.saturating_add(self.step);
            // Another core wrote it, so each header is a cache miss, and tells where the next is.
            std::hint::black_box(prefetch::lines(self.bytes(), self.at, next));
            self.at = next;
            self.left -= 1;
            if self.left == 0 {
                self.finish();
            }
        }
    }

    /// Gives all blocks back whose packets are taken.
    #[inline]
    pub(super) fn release(&mut self) {
        while self.held > 0 {
            let blocks = self.geometry.blocks;
            let oldest = (self.current + blocks - self.held) % blocks;
            self.status(oldest).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.held -= 1;
        }
    }

    /// How many of a hundred blocks are ours.
    pub(super) fn fill_percent(&self) -> u8 {
        let ours =
            |block: &usize| self.status(*block).load(Ordering::Relaxed) & libc::TP_STATUS_USER != 0;
        let blocks = self.geometry.blocks;
        let full = (0..blocks).filter(ours).count();
        u8::try_from(100 * full / blocks).unwrap_or(100)
    }

    /// Packets that the kernel counted and that were not found.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Looks whether the current block is ours; `None` if it is still the kernel's.
    #[inline]
    fn open(&mut self) -> Option<()> {
        // All blocks are held: what the current one holds was taken already.
        if self.held == self.geometry.blocks {
            return None;
        }
        // `TP_STATUS_LOSING` beside it says that packets were dropped before this block, which
        // the counters say better; `TP_STATUS_BLK_TMO` that it is not full; `TP_STATUS_COPY`, that
        // the socket's queue holds a whole copy, is not for blocks.
        let status = self.status(self.current).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: every block begins with a header, which the kernel does not touch while the
        // status is ours.
        let header = unsafe { (*self.block(self.current).cast::<tpacket_block_desc>()).hdr.bh1 };
        self.left = header.num_pkts;
        self.at = header.offset_to_first_pkt as usize;
        if self.left == 0 {
            self.finish();
        }
        Some(())
    }

    /// The packet at the place that was reached.
    #[inline]
    fn look(&mut self) -> Option<RawFrame> {
        let block = self.block(self.current);
        let (at, size) = (self.at, self.geometry.block);
        if at > size - size_of::<tpacket3_hdr>() || !at.is_multiple_of(align_of::<tpacket3_hdr>()) {
            return self.damage();
        }
        // SAFETY: the header lies within the block and is aligned, as was just checked; the block
        // is ours, so the kernel does not write to it.
        let header = unsafe { &*block.add(at).cast::<tpacket3_hdr>() };
        let (mac, len) = (usize::from(header.tp_mac), header.tp_snaplen as usize);
        if at + mac > size || len > size - at - mac {
            return self.damage();
        }
        self.step = header.tp_next_offset as usize;
        let vlan = if header.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
            0
        } else {
            // A tag is 16 bits; the kernel keeps it in 32.
            (header.hv1.tp_vlan_tci & 0xffff) as u16
        };
        Some(RawFrame {
            // SAFETY: the frame begins and ends within the block, as was just checked.
            data: unsafe { NonNull::new_unchecked(block.add(at + mac)) },
            len: header.tp_snaplen,
            wire_len: header.tp_len.max(header.tp_snaplen),
            time: i64::from(header.tp_sec) * 1_000_000_000 + i64::from(header.tp_nsec),
            vlan,
        })
    }

    /// Leaves the rest of a block that is not as the kernel writes blocks.
    #[cold]
    fn damage(&mut self) -> Option<RawFrame> {
        self.damaged += u64::from(self.left);
        self.left = 0;
        self.finish();
        None
    }

    /// Goes on to the next block.
    #[inline]
    fn finish(&mut self) {
        self.held += 1;
        self.current = (self.current + 1) % self.geometry.blocks;
    }

    /// The first byte of a block.
    #[inline]
    fn block(&self, number: usize) -> *mut u8 {
        debug_assert!(number < self.geometry.blocks, "block {number} is not in the ring");
        // SAFETY: `number` is less than `blocks`: it is always a remainder of it.
        unsafe { self.memory.as_ptr().add(number * self.geometry.block) }
    }

    /// The bytes of the current block, which is ours.
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is mapped as long as `self` lives. The kernel does not write to it
        // while it is ours, and we write no more than its status, never while this is borrowed.
        unsafe { slice::from_raw_parts(self.block(self.current), self.geometry.block) }
    }

    /// Whose a block is.
    #[inline]
    fn status(&self, number: usize) -> &AtomicU32 {
        let header = self.block(number).cast::<tpacket_block_desc>();
        // SAFETY: every block begins with a header, aligned to a page. The kernel writes the
        // status in one store, and nothing here reads or writes it but through this reference.
        unsafe { AtomicU32::from_ptr(&raw mut (*header).hdr.bh1.block_status) }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: `memory` was mapped with this length, and frames do not outlive the ring.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.geometry.bytes()) };
    }
}

/// Makes the ring in the kernel and maps it.
fn request(socket: &Socket, geometry: Geometry, timeout_ms: u32) -> io::Result<NonNull<u8>> {
    // Frames have no fixed size in this version; the kernel wants one that divides the block.
    const FRAME: usize = 1 << 11;
    let number =
        |n: usize| u32::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory));
    let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
    socket.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
    let wanted = tpacket_req3 {
        tp_block_size: number(geometry.block)?,
        tp_block_nr: number(geometry.blocks)?,
        tp_frame_size: number(FRAME)?,
        tp_frame_nr: number(geometry.bytes() / FRAME)?,
        tp_retire_blk_tov: timeout_ms,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &wanted)?;
    let (access, bytes) = (libc::PROT_READ | libc::PROT_WRITE, geometry.bytes());
    // SAFETY: a new mapping at an address that the kernel chooses.
    let memory =
        unsafe { libc::mmap(ptr::null_mut(), bytes, access, libc::MAP_SHARED, socket.fd(), 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    for advice in [libc::MADV_DONTDUMP, libc::MADV_DONTFORK] {
        // No core file may hold an address. SAFETY: the mapping was just made with this length;
        // these two change nothing in what it holds.
        unsafe { libc::madvise(memory, bytes, advice) };
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
