//! [`Host`] across the boundary: the engine's end and the plugin's end.

use std::{ffi::c_void, ptr, sync::Arc};

use abi_stable::{
    prefix_type::WithMetadata,
    std_types::{RStr, RString},
};

use super::{HostVt, HostVt_Ref, RHost};
use crate::{
    Host, Reason,
    host::{Counter, HostApi, Level},
    key::{Epoch, Key},
};

/// What the engine's context pointer points at. An `Arc<dyn _>` is two words, so it is boxed
/// in another `Arc` to get a thin pointer that can be counted.
type Context = Arc<dyn HostApi>;

impl RHost {
    /// The engine's end, to be handed to a plugin.
    pub(super) fn export(host: &Host) -> Self {
        let context: Arc<Context> = Arc::new(Arc::clone(&host.0));
        Self { vt: VT, context: Arc::into_raw(context).cast() }
    }

    /// The plugin's end.
    pub(super) fn import(self) -> Host {
        Host(Arc::new(self))
    }
}

// SAFETY: the context is an `Arc` of a `HostApi`, which is Send and Sync, and the functions
// of the table take it by shared reference only.
unsafe impl Send for RHost {}
// SAFETY: as above.
unsafe impl Sync for RHost {}

impl Drop for RHost {
    fn drop(&mut self) {
        // SAFETY: this value owns the context and gives it back once.
        unsafe { self.vt.release()(self.context) }
    }
}

impl HostApi for RHost {
    fn log(&self, level: Level, message: &str) {
        // SAFETY: `context` is alive while `self` owns it, here and below.
        unsafe { self.vt.log()(self.context, level, message.into()) }
    }

    fn worker(&self) -> Option<usize> {
        // SAFETY: as in `log`.
        usize::try_from(unsafe { self.vt.worker()(self.context) }).ok()
    }

    fn counter(&self, name: &str) -> Counter {
        // SAFETY: as in `log`.
        unsafe { self.vt.counter()(self.context, name.into()) }
    }

    fn reason(&self, name: &str) -> Reason {
        // SAFETY: as in `log`.
        unsafe { self.vt.reason()(self.context, name.into()) }
    }

    fn ephemeral_key(&self, label: &str, key: &mut Key) -> bool {
        // SAFETY: as in `log`.
        unsafe { self.vt.ephemeral_key()(self.context, label.into(), key) }
    }

    fn epoch(&self) -> Option<Epoch> {
        // SAFETY: as in `log`.
        epoch_of(unsafe { self.vt.epoch()(self.context) })
    }

    fn is_replay(&self) -> bool {
        // SAFETY: as in `log`.
        unsafe { self.vt.is_replay()(self.context) }
    }

    fn declare(&self, name: &str, value: &str) {
        // SAFETY: as in `log`.
        unsafe { self.vt.declare()(self.context, name.into(), value.into()) }
    }

    fn suggest(&self, text: &str) {
        // SAFETY: as in `log`.
        unsafe { self.vt.suggest()(self.context, text.into()) }
    }

    fn ledger(&self) -> String {
        // SAFETY: as in `log`.
        unsafe { self.vt.ledger()(self.context) }.into_string()
    }

    fn manifest(&self, began: &str, rows: u64, first: i64, last: i64) -> String {
        // SAFETY: as in `log`.
        unsafe { self.vt.manifest()(self.context, began.into(), rows, first, last) }.into_string()
    }
}

const VT: HostVt_Ref = {
    static TABLE: &WithMetadata<HostVt> = &WithMetadata::new(HostVt {
        log,
        worker,
        counter,
        reason,
        ephemeral_key,
        epoch,
        is_replay,
        declare,
        suggest,
        ledger,
        manifest,
        release,
        query,
    });
    HostVt_Ref(TABLE.static_as_prefix())
};

/// # Safety
/// `context` must be a live pointer that [`RHost::export`] made.
unsafe fn api<'a>(context: *const c_void) -> &'a dyn HostApi {
    // SAFETY: the caller's promise; the plugin's `RHost` keeps it alive.
    unsafe { &**context.cast::<Context>() }
}

// The functions below are called by plugins only through the table, with the context that was
// handed over beside it; that is the promise that `api` asks for. None of them may unwind into
// the plugin: the engine's `HostApi` does not panic, and if it did, `extern "C"` aborts.

unsafe extern "C" fn log(context: *const c_void, level: Level, message: RStr<'_>) {
    // SAFETY: see above.
    unsafe { api(context) }.log(level, message.as_str());
}

unsafe extern "C" fn worker(context: *const c_void) -> i64 {
    // SAFETY: see above.
    let worker = unsafe { api(context) }.worker();
    worker.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1)
}

unsafe extern "C" fn counter(context: *const c_void, name: RStr<'_>) -> Counter {
    // SAFETY: see above.
    unsafe { api(context) }.counter(name.as_str())
}

unsafe extern "C" fn reason(context: *const c_void, name: RStr<'_>) -> Reason {
    // SAFETY: see above.
    unsafe { api(context) }.reason(name.as_str())
}

unsafe extern "C" fn ephemeral_key(
    context: *const c_void,
    label: RStr<'_>,
    key: &mut [u8; 32],
) -> bool {
    let mut made = Key::new([0; 32]);
    // SAFETY: see above.
    let given = unsafe { api(context) }.ephemeral_key(label.as_str(), &mut made);
    key.copy_from_slice(&*made);
    given
}

/// 0 for none.
fn epoch_of(number: u8) -> Option<Epoch> {
    Some(Epoch::ALL.get(usize::from(number.checked_sub(1)?))?.1)
}

unsafe extern "C" fn epoch(context: *const c_void) -> u8 {
    // SAFETY: see above.
    match unsafe { api(context) }.epoch() {
        None => 0,
        Some(Epoch::Day) => 1,
        Some(Epoch::Week) => 2,
    }
}

unsafe extern "C" fn is_replay(context: *const c_void) -> bool {
    // SAFETY: see above.
    unsafe { api(context) }.is_replay()
}

unsafe extern "C" fn declare(context: *const c_void, name: RStr<'_>, value: RStr<'_>) {
    // SAFETY: see above.
    unsafe { api(context) }.declare(name.as_str(), value.as_str());
}

unsafe extern "C" fn suggest(context: *const c_void, text: RStr<'_>) {
    // SAFETY: see above.
    unsafe { api(context) }.suggest(text.as_str());
}

unsafe extern "C" fn ledger(context: *const c_void) -> RString {
    // SAFETY: see above.
    unsafe { api(context) }.ledger().into()
}

unsafe extern "C" fn manifest(
    context: *const c_void,
    began: RStr<'_>,
    rows: u64,
    first: i64,
    last: i64,
) -> RString {
    // SAFETY: see above.
    unsafe { api(context) }.manifest(began.as_str(), rows, first, last).into()
}

unsafe extern "C" fn release(context: *const c_void) {
    // SAFETY: see above; called once.
    unsafe { Arc::decrement_strong_count(context.cast::<Context>()) }
}

unsafe extern "C" fn query(_: *const c_void, _: RStr<'_>) -> *const c_void {
    ptr::null()
}
