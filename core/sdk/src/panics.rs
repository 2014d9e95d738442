//! Turns panics into errors that say where they happened.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::{Error, ErrorKind, Result};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic in it becomes an error with its message, file and line.
#[inline]
pub(crate) fn catch<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    install();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(outer);
    result.unwrap_or_else(|_| {
        let last = LAST.with_borrow_mut(Option::take).unwrap_or_else(|| "no message".to_owned());
        Err(Error::of(ErrorKind::Panicked, "", format!("panicked in {what}: {last}")))
    })
}

/// Notes the panics of guarded calls, because `catch_unwind` returns neither message nor
/// place; all others go to the hook that was there before. Every library carries a standard
/// library of its own, so the engine and each plugin do this once.
#[inline]
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                return previous(info);
            }
            let payload = info.payload();
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
            let text = format!("{message}{}", place.unwrap_or_default());
            LAST.with_borrow_mut(|last| *last = Some(text));
        }));
    });
}
