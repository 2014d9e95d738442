//! A ring whose kernel is the test.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::{
    ptr::{self, NonNull},
    slice,
    sync::atomic::Ordering,
};

use libc::{tpacket_block_desc, tpacket3_hdr};

use super::{Blocks, Geometry};

const BLOCK: usize = 4096;
/// Where the kernel puts the first packet of a block: after its header.
const FIRST: usize = size_of::<tpacket_block_desc>();
/// From the start of a packet's header to its frame, as for Ethernet.
const MAC: usize = 82;

const SMALL: Geometry = Geometry { block: BLOCK, blocks: 3 };

fn ring() -> Blocks {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let memory = unsafe { libc::mmap(ptr::null_mut(), SMALL.bytes(), access, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    Blocks::over(NonNull::new(memory.cast()).unwrap(), SMALL)
}

/// Puts packets into a block and hands it over.
fn hand_over(ring: &Blocks, block: usize, packets: &[&[u8]]) {
    let start = ring.block(block);
    assert!(packets.len() <= 8);
    for (at, packet) in packets.iter().enumerate() {
        let offset = FIRST + at * 400;
        let last = at + 1 == packets.len();
        // SAFETY: all zeros are a value of this struct of integers; the header and the frame lie
        // within the block, which is mapped and which no frame is lent from.
        unsafe {
            let mut header: tpacket3_hdr = std::mem::zeroed();
            header.tp_next_offset = if last { 0 } else { 400 };
            header.tp_snaplen = u32::try_from(packet.len()).unwrap();
            header.tp_len = header.tp_snaplen + 5;
            header.tp_mac = u16::try_from(MAC).unwrap();
            header.tp_sec = 3_000_000_000;
            header.tp_nsec = u32::try_from(at).unwrap();
            header.tp_status = if at == 1 { libc::TP_STATUS_VLAN_VALID } else { 0 };
            header.hv1.tp_vlan_tci = 0x2007;
            start.add(offset).cast::<tpacket3_hdr>().write(header);
            start.add(offset + MAC).copy_from_nonoverlapping(packet.as_ptr(), packet.len());
        }
    }
    let count = u32::try_from(packets.len()).unwrap();
    set(ring, block, count, u32::try_from(FIRST).unwrap());
}

/// Hands a block over with this header.
fn set(ring: &Blocks, block: usize, packets: u32, first: u32) {
    let header = ring.block(block).cast::<tpacket_block_desc>();
    // SAFETY: the block begins with a header, and no reference to it is held.
    unsafe {
        (*header).hdr.bh1.num_pkts = packets;
        (*header).hdr.bh1.offset_to_first_pkt = first;
    }
    ring.status(block).store(libc::TP_STATUS_USER, Ordering::Release);
}

fn is_ours(ring: &Blocks, block: usize) -> bool {
    ring.status(block).load(Ordering::Acquire) != libc::TP_STATUS_KERNEL
}

/// Takes the next packet and gives its bytes.
fn take(ring: &mut Blocks) -> Option<Vec<u8>> {
    let frame = ring.peek()?;
    ring.take();
    // SAFETY: nothing was released since `peek`.
    Some(unsafe { slice::from_raw_parts(frame.data.as_ptr(), frame.len as usize) }.to_vec())
}

#[test]
fn a_ring_is_cut_into_blocks_that_hold_super_frames() {
    let cases =
        [(1, 1 << 18, 4), (2, 1 << 19, 4), (4, 1 << 20, 4), (5, 1 << 20, 5), (64, 1 << 20, 64)];
    for (mib, block, blocks) in cases {
        assert_eq!(Geometry::of(mib << 20), Geometry { block, blocks }, "{mib} MiB");
    }
    assert_eq!(Geometry::of(0), Geometry { block: 1 << 18, blocks: 4 });
}

#[test]
fn packets_come_in_order_as_the_kernel_describes_them() {
    let mut ring = ring();
    assert!(ring.peek().is_none());
    hand_over(&ring, 0, &[b"one", b"three"]);
    let first = ring.peek().unwrap();
    assert_eq!((first.len, first.wire_len, first.vlan), (3, 8, 0));
    assert_eq!(first.time, 3_000_000_000_000_000_000);
    assert_eq!(ring.peek().unwrap().data, first.data, "to look does not take");
    assert_eq!(take(&mut ring).unwrap(), b"one");
    assert_eq!(ring.peek().unwrap().vlan, 0x2007);
    assert_eq!(take(&mut ring).unwrap(), b"three");
    assert!(ring.peek().is_none());
}

#[test]
fn a_block_is_given_back_when_its_last_packet_was_taken_and_not_before() {
    let mut ring = ring();
    hand_over(&ring, 0, &[b"a", b"b"]);
    hand_over(&ring, 1, &[b"c"]);
    take(&mut ring).unwrap();
    ring.release();
    assert!(is_ours(&ring, 0), "a packet of it was not taken yet");
    take(&mut ring).unwrap();
    take(&mut ring).unwrap();
    assert!(is_ours(&ring, 0) && is_ours(&ring, 1), "their packets may be in a batch");
    ring.release();
    assert!(!is_ours(&ring, 0) && !is_ours(&ring, 1));
}

#[test]
fn a_batch_that_holds_the_whole_ring_gets_nothing_twice() {
    let mut ring = ring();
    for round in 0..5 {
        for block in 0..3 {
            hand_over(&ring, block, &[b"x"]);
        }
        for _ in 0..3 {
            assert_eq!(take(&mut ring).unwrap(), b"x", "round {round}");
        }
        assert!(ring.peek().is_none(), "round {round}");
        ring.release();
        assert!((0..3).all(|block| !is_ours(&ring, block)));
    }
}

#[test]
fn empty_blocks_are_passed_over() {
    let mut ring = ring();
    hand_over(&ring, 0, &[]);
    hand_over(&ring, 1, &[b"x"]);
    assert_eq!(take(&mut ring).unwrap(), b"x");
    ring.release();
    assert!(!is_ours(&ring, 0));
}

#[test]
fn an_offset_outside_of_the_block_is_not_followed() {
    let block = u32::try_from(BLOCK).unwrap();
    let last = u32::try_from(BLOCK - size_of::<tpacket3_hdr>()).unwrap();
    for first in [u32::MAX, u32::MAX - 7, block, last + 4, 50] {
        let mut ring = ring();
        set(&ring, 0, 3, first);
        hand_over(&ring, 1, &[b"x"]);
        let found: Vec<_> = (0..3).filter_map(|_| take(&mut ring)).collect();
        assert_eq!(found, [b"x"], "{first}");
        assert_eq!(ring.damaged(), 3, "{first}");
    }
    for (mac, len) in [(u16::MAX, 1), (82, u32::MAX), (82, block - 48 - 81)] {
        let mut ring = ring();
        hand_over(&ring, 0, &[b"y", b"z"]);
        // SAFETY: the header lies within the block, and nothing else refers to it.
        unsafe {
            let header = ring.block(0).add(FIRST).cast::<tpacket3_hdr>();
            ((*header).tp_mac, (*header).tp_snaplen) = (mac, len);
        }
        assert!(take(&mut ring).is_none(), "{mac} {len}");
        assert_eq!(ring.damaged(), 2, "{mac} {len}");
        ring.release();
        assert!(!is_ours(&ring, 0));
    }
}
