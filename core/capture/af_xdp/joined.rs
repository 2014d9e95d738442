//! Packets that came in several frames, joined into one.
//!
//! They are copied: a chain sees a packet in one piece. Only packets that are longer than a frame
//! come here: jumbo frames, and in generic mode what GRO merged. Buffers are used again and again,
//! so that nothing is allocated once there are as many as a batch ever had.

use std::{mem, ptr::NonNull};

use crate::capture::live::RawFrame;

/// Buffers that a packet of several frames is joined in.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Those before `taken` hold packets that were taken and are not released; the one at `taken` is
    /// written to.
    buffers: Vec<Vec<u8>>,
    taken: usize,
    /// Bytes of the packet that is being joined, captured or not.
    wire: usize,
    begun: bool,
}

impl Joined {
    /// Pieces of a packet are there and its last is not.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Adds a piece, but no more than `most` bytes of one packet.
    pub(super) fn add(&mut self, piece: &[u8], most: usize) {
        if self.taken == self.buffers.len() {
            self.buffers.push(Vec::new());
        }
        let buffer = &mut self.buffers[self.taken];
        if !mem::replace(&mut self.begun, true) {
            buffer.clear();
            self.wire = 0;
        }
        self.wire += piece.len();
        let room = most.saturating_sub(buffer.len());
        buffer.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The packet, whose last piece was added.
    pub(super) fn frame(&mut self, time: i64) -> RawFrame {
        self.begun = false;
        let (data, len) = match self.buffers.get_mut(self.taken) {
            Some(buffer) => (NonNull::from(&mut **buffer).cast(), buffer.len()),
            None => (NonNull::dangling(), 0),
        };
        let length = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        RawFrame { data, len: length(len), wire_len: length(self.wire), time, vlan: 0 }
    }

    /// Keeps the packet that `frame` gave until [`release`](Self::release).
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// The packets that were taken are no longer needed.
    pub(super) fn release(&mut self) {
        if self.taken < self.buffers.len() {
            // What was not taken yet moves to the front; its bytes stay where they are.
            self.buffers.swap(0, self.taken);
        }
        self.taken = 0;
    }
}
