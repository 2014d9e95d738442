//! Memory for frames that stages make, and the way to it across the boundary.
//!
//! A stage that puts a datagram together needs bytes that live as long as the frames of the
//! batch. It hands a vector over, the engine keeps it until the batch is recycled, and the
//! vector is freed by the allocator of whoever made it, because an [`RVec`] carries its
//! destructor. The borrow checker sees to the lifetimes: frames borrow the [`Arena`], so it
//! cannot be cleared while a batch refers to it.

use std::{
    cell::{Cell, OnceCell},
    ffi::c_void,
    marker::PhantomData,
};

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RVec},
};

/// Slots in a piece of the list; most batches need none, and few need a second piece.
const PIECE: usize = 64;

/// Keeps what stages hand over until it is cleared; for the engine and for tests.
///
/// Costs nothing, not even memory, until the first vector comes. It cannot be cleared while
/// something refers to what it keeps:
///
/// ```compile_fail,E0502
/// use ringmill_sdk::{Arena, Batch};
/// let mut arena = Arena::default();
/// let batch = Batch::default().with_arena(&arena);
/// let frame = batch.keeper().unwrap().keep(vec![1]);
/// arena.clear();
/// assert_eq!(frame, [1]);
/// ```
#[derive(Debug, Default)]
pub struct Arena(OnceCell<Box<Piece>>);

#[derive(Debug)]
struct Piece {
    slots: [OnceCell<RVec<u8>>; PIECE],
    used: Cell<usize>,
    next: Arena,
}

impl Arena {
    /// Keeps the bytes; an empty frame stays empty.
    fn keep(&self, bytes: RVec<u8>) -> &[u8] {
        let mut arena = self;
        loop {
            let piece = arena.0.get_or_init(|| {
                let slots = std::array::from_fn(|_| OnceCell::new());
                Box::new(Piece { slots, used: Cell::new(0), next: Self::default() })
            });
            match piece.slots.get(piece.used.get()) {
                Some(slot) => {
                    piece.used.set(piece.used.get() + 1);
                    return slot.get_or_init(|| bytes).as_slice();
                }
                None => arena = &piece.next,
            }
        }
    }

    /// Frees everything.
    #[inline]
    pub fn clear(&mut self) {
        self.0.take();
    }
}

/// Where a stage has bytes kept for as long as the frames of its batch:
/// [`Batch::keeper`](crate::Batch::keeper).
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Keeper<'a> {
    arena: *const c_void,
    keep: unsafe extern "C" fn(*const c_void, RVec<u8>) -> RSlice<'static, u8>,
    frames: PhantomData<&'a u8>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn of(arena: &'a Arena) -> Self {
        Self { arena: std::ptr::from_ref(arena).cast(), keep, frames: PhantomData }
    }

    /// The bytes, for as long as the batch's other frames live.
    #[must_use]
    pub fn keep(self, bytes: Vec<u8>) -> &'a [u8] {
        // SAFETY: `of` put the two together, and `arena` is borrowed for `'a`; so what it keeps
        // lives for `'a`, which is what is made of `'static` here.
        unsafe { (self.keep)(self.arena, bytes.into()) }.as_slice()
    }
}

/// # Safety
/// `arena` must come from [`Keeper::of`] and still be borrowed, and the result must not be used
/// for longer than that.
unsafe extern "C" fn keep(arena: *const c_void, bytes: RVec<u8>) -> RSlice<'static, u8> {
    // SAFETY: the caller's promise, for this and for the lifetime of the result. Nothing in
    // `keep` panics, short of memory running out.
    let arena: &'static Arena = unsafe { &*arena.cast::<Arena>() };
    RSlice::from_slice(arena.keep(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_where_it_is() {
        let mut arena = Arena::default();
        for _ in 0..2 {
            let keeper = Keeper::of(&arena);
            let kept: Vec<&[u8]> = (0..200).map(|n| keeper.keep(vec![n; usize::from(n)])).collect();
            for (n, bytes) in kept.into_iter().enumerate() {
                assert_eq!(bytes, vec![u8::try_from(n).unwrap_or(0); n]);
            }
            arena.clear();
            assert!(arena.0.get().is_none());
        }
    }
}
