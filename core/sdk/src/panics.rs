//! Turns panics into errors that say where they happened.
//!
//! And no more than that: the message of a panic may hold what was in a packet. The standard
//! library's own do, for one: slicing text at a wrong place shows the text. So only a message
//! that stands in the code as it is, without values, is told, and any message of a constructor,
//! which has seen nothing but options.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::{Error, ErrorKind, Result};

thread_local! {
    static GUARDED: Cell<Guarded> = const { Cell::new(Guarded::No) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Stands for a message that may hold data.
const WITHHELD: &str = "a message that may hold data, so it is not shown,";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
    No,
    /// And has seen no data.
    Before,
    Yes,
}

/// Runs `body`; a panic in it becomes an error with its message, file and line.
#[inline]
pub(crate) fn catch<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    install();
    let has_seen_nothing = matches!(what, "new()" | "schemas()");
    let outer = GUARDED.replace(if has_seen_nothing { Guarded::Before } else { Guarded::Yes });
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
            let guarded = GUARDED.get();
            if guarded == Guarded::No {
                return previous(info);
            }
            let payload = info.payload();
            let mut message = payload.downcast_ref::<&'static str>().copied();
            if guarded == Guarded::Before {
                message = message.or_else(|| payload.downcast_ref().map(String::as_str));
            }
            let message = message.unwrap_or(WITHHELD);
            let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
            let text = format!("{message}{}", place.unwrap_or_default());
            LAST.with_borrow_mut(|last| *last = Some(text));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(what: &str, body: impl FnOnce()) -> String {
        let error = catch(what, || {
            body();
            Ok(())
        });
        error.unwrap_err().to_string()
    }

    #[test]
    fn no_message_with_values_is_told() {
        let secret = "\u{e9}192.0.2.77".to_owned();
        let at = |what: &str, message: &str| format!("panicked in {what}: {message} at ");
        let cases: [(&str, &dyn Fn(), &str); 6] = [
            ("records()", &|| panic!("as it stands"), "as it stands"),
            ("records()", &|| panic!("of {secret}"), WITHHELD),
            ("packets()", &|| assert_eq!(secret, "other"), WITHHELD),
            // The standard library shows the text.
            ("tick()", &|| assert!(secret[1..].is_empty()), WITHHELD),
            (
                "finish()",
                &|| assert!(secret.parse::<u8>().map_err(|_| &secret).unwrap() > 0),
                WITHHELD,
            ),
            ("new()", &|| panic!("of {}", 7), "of 7"),
        ];
        for (what, body, message) in cases {
            let told = told(what, body);
            assert!(told.starts_with(&at(what, message)), "{told}");
            assert!(told.contains(file!()) && !told.contains("192.0.2"), "{told}");
        }
    }
}
