//! Where the packets of a batch lie.
//!
//! PF_RING keeps one packet readable, the one it gave last; a batch holds 256. So each is
//! copied here, and stays where it is until the batch has ended.

use std::{
    ops::Range,
    ptr::{self, NonNull},
};

/// Packets begin at multiples of this, so that the headers of most lie in one cache line.
const ALIGN: usize = 64;
/// Bytes of a chunk: sixteen packets of PF_RING's greatest length.
const CHUNK: usize = 16 * pfring_sys::MOST_SNAPLEN as usize;

const _: () = assert!((pfring_sys::MOST_SNAPLEN as usize).is_multiple_of(ALIGN));

/// Memory for packets, all of which end at once but the last.
///
/// It grows by chunks of 1 MiB as batches need it and never moves a packet. A batch of 256
/// packets of 1500 bytes takes 400 KB of the first chunk; one of 256 packets of 65600 bytes
/// takes 17 chunks. Chunks that were needed once stay.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that is being filled, how far it is, and where the free memory ends.
    chunk: usize,
    used: usize,
    limit: usize,
    /// Where in its chunk the packet lies that was kept last.
    last: Range<usize>,
    /// Where in the first chunk a packet lies that has outlived its batch.
    held: Range<usize>,
}

/// Memory of [`CHUNK`] bytes that begins at a multiple of [`ALIGN`].
#[derive(Debug)]
struct Chunk(NonNull<Line>);

/// As much as one cache line holds.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    _bytes: [u8; ALIGN],
}

impl Arena {
    /// Copies `len` bytes, at most [`pfring_sys::MOST_SNAPLEN`], to where they stay.
    ///
    /// # Safety
    /// `len` bytes at `from` are readable, and not part of the arena.
    #[inline]
    pub(super) unsafe fn keep(&mut self, from: *const u8, len: usize) -> NonNull<u8> {
        let len_kept = len.min(pfring_sys::MOST_SNAPLEN as usize);
        // A packet without bytes has a place of its own, too.
        let room = len_kept.max(1).next_multiple_of(ALIGN);
        if self.used + room > self.limit {
            self.grow(room);
        }
        let base: NonNull<u8> = self.chunks[self.chunk].0.cast();
        // SAFETY: `used + room` is at most `limit`, see above, and that at most the length of
        // the chunk; without a chunk it is 0, and `grow` has made one.
        let to = unsafe { base.add(self.used) };
        // SAFETY: as above; `from` is readable and elsewhere by contract.
        unsafe { ptr::copy_nonoverlapping(from, to.as_ptr(), len_kept) };
        self.last = self.used..self.used + room;
        self.used += room;
        to
    }

    /// Finds a place for `room` bytes behind the packet that is held, or in the next chunk.
    #[cold]
    fn grow(&mut self, room: usize) {
        if self.chunk == 0 && self.used < self.held.end {
            (self.used, self.limit) = (self.held.end, CHUNK);
            if self.used + room <= CHUNK {
                return;
            }
        }
        if !self.chunks.is_empty() {
            self.chunk += 1;
        }
        if self.chunk == self.chunks.len() {
            self.chunks.push(Chunk::new());
        }
        (self.used, self.limit) = (0, CHUNK);
    }

    /// Ends all packets.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.held = 0..0;
        self.rewind();
    }

    /// Ends all packets but the one that was kept last.
    #[inline]
    pub(super) fn clear_but_last(&mut self) {
        if !self.chunks.is_empty() {
            self.chunks.swap(0, self.chunk);
            self.held = self.last.clone();
        }
        self.rewind();
    }

    /// Fills the first chunk again, up to the packet that is held.
    #[inline]
    fn rewind(&mut self) {
        self.limit = match (self.chunks.is_empty(), self.held.is_empty()) {
            (true, _) => 0,
            (false, true) => CHUNK,
            (false, false) => self.held.start,
        };
        (self.chunk, self.used, self.last) = (0, 0, self.held.clone());
    }
}

impl Chunk {
    fn new() -> Self {
        // The pages are zeros that take no memory until they are written to.
        let lines = vec![Line { _bytes: [0; ALIGN] }; CHUNK / ALIGN].into_boxed_slice();
        Self(NonNull::from(Box::leak(lines)).cast())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let lines = ptr::slice_from_raw_parts_mut(self.0.as_ptr(), CHUNK / ALIGN);
        // SAFETY: the pointer came from a box of that many lines, and is freed once.
        drop(unsafe { Box::from_raw(lines) });
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::{Arena, CHUNK};

    /// A packet of a length, filled with a number that tells it from its neighbours.
    fn keep(arena: &mut Arena, number: usize, len: usize) -> (&'static [u8], u8) {
        let fill = u8::try_from(number % 251).unwrap();
        let packet = vec![fill; len];
        // SAFETY: the packet is readable and elsewhere.
        let kept = unsafe { arena.keep(packet.as_ptr(), len) };
        // SAFETY: the tests look at it only until the arena is cleared.
        (unsafe { slice::from_raw_parts(kept.as_ptr(), len) }, fill)
    }

    fn keep_all(arena: &mut Arena, count: usize, len: usize) {
        for number in 0..count {
            keep(arena, number, len);
        }
    }

    fn assert_whole(packets: &[(&[u8], u8)]) {
        for (at, (bytes, fill)) in packets.iter().enumerate() {
            assert!(bytes.iter().all(|byte| byte == fill), "packet {at}");
        }
    }

    #[test]
    fn no_packet_moves_or_is_overwritten_before_its_batch_ends() {
        let lengths = [0, 1, 63, 64, 65, 1514, 9000, 65_535, 65_600];
        let mut arena = Arena::default();
        for round in 0..6 {
            let len = |number: usize| lengths[(number * 7 + round) % lengths.len()];
            let batch: Vec<_> =
                (0..256).map(|number| keep(&mut arena, number, len(number))).collect();
            assert_whole(&batch);
            arena.clear();
        }
    }

    #[test]
    fn the_last_packet_outlives_its_batch_again_and_again() {
        let mut arena = Arena::default();
        let mut last = keep(&mut arena, 1, 9000);
        for round in 0..40 {
            arena.clear_but_last();
            let mut batch = vec![last];
            batch.extend((0..40).map(|number| keep(&mut arena, round + number, 65_600)));
            assert_whole(&batch);
            last = *batch.last().unwrap();
        }
    }

    #[test]
    fn a_packet_may_be_held_over_several_batches() {
        let mut arena = Arena::default();
        keep_all(&mut arena, 5, 1514);
        let held = keep(&mut arena, 5, 65_600);
        for round in 0..10 {
            arena.clear_but_last();
            assert_whole(&[held]);
            if round == 9 {
                let mut batch = vec![held];
                batch.extend((0..300).map(|number| keep(&mut arena, number, 1514)));
                assert_whole(&batch);
            }
        }
        assert_eq!(arena.chunks.len(), 1);
    }

    #[test]
    fn memory_is_bounded_by_the_greatest_batch() {
        let mut arena = Arena::default();
        for round in 0..10 {
            keep_all(&mut arena, 257, 65_600);
            if round % 2 == 0 { arena.clear() } else { arena.clear_but_last() }
        }
        assert!(arena.chunks.len() <= 18, "{} chunks of {CHUNK} bytes", arena.chunks.len());
        let mut small = Arena::default();
        keep_all(&mut small, 256, 1514);
        assert_eq!(small.chunks.len(), 1);
    }
}
