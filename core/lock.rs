//! Locks of what is whole whenever nobody holds them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lock, also after a panic of another holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
