//! An allocator that counts what is held, by the process and by each thread.

#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of this")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

struct Counting;

/// Calls that gave memory.
pub static CALLS: AtomicU64 = AtomicU64::new(0);
/// Bytes that are held.
pub static HELD: AtomicI64 = AtomicI64::new(0);
/// The most that ever were.
pub static MOST: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static HERE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread asked for, less those that it gave back.
pub fn held_here() -> i64 {
    HERE.get()
}

fn hold(bytes: i64) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(held, Relaxed);
    HERE.set(HERE.get() + bytes);
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator as it came. The thread's counter has no
// destructor and is initialized by a constant, so that it asks for no memory itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        hold(signed(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        hold(signed(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-signed(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        hold(signed(size) - signed(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
