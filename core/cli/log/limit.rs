//! Keeps a place of the code, or a stage or sink that logs, from filling the disk.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::callsite::Identifier;

/// Messages of one place within [`WINDOW`]; those after are counted.
const MOST: u64 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Places that are told apart: there are not so many, but labels come from a config.
const PLACES: usize = 4096;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is said.
    Freely,
    /// It is said, and none after it for a while.
    Last,
    /// It is said; so many before it were not.
    After(u64),
    /// It is not said.
    LeftOut,
}

/// How often each place has said something lately.
#[derive(Default)]
pub(super) struct Limit(Mutex<HashMap<(Identifier, String), Window>>);

struct Window {
    began: Instant,
    messages: u64,
}

impl Window {
    fn left_out(&self) -> u64 {
        self.messages.saturating_sub(MOST)
    }
}

impl Limit {
    /// A place of the code, and the stage or sink it speaks for, want to say something.
    pub(super) fn ask(&self, place: Identifier, label: String, now: Instant) -> Said {
        let mut places = self.lock();
        if places.len() >= PLACES {
            places.clear();
        }
        let window = places.entry((place, label)).or_insert(Window { began: now, messages: 0 });
        let mut left_out = 0;
        if now.saturating_duration_since(window.began) >= WINDOW {
            left_out = window.left_out();
            *window = Window { began: now, messages: 0 };
        }
        window.messages += 1;
        match (window.messages, left_out) {
            (MOST, _) => Said::Last,
            (messages, _) if messages > MOST => Said::LeftOut,
            (_, 0) => Said::Freely,
            (_, left_out) => Said::After(left_out),
        }
    }

    /// Who has been kept from saying how much, and has not been told of since.
    pub(super) fn end(&self) -> Vec<(String, u64)> {
        let places = std::mem::take(&mut *self.lock());
        let named = |label: String| if label.is_empty() { "one place".to_owned() } else { label };
        let all = places.into_iter().map(|((_, label), window)| (named(label), window.left_out()));
        let mut all: Vec<_> = all.filter(|(_, left_out)| *left_out > 0).collect();
        all.sort();
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Identifier, String), Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Callsite as _, callsite::DefaultCallsite};

    use super::*;

    fn place() -> Identifier {
        static METADATA: tracing::Metadata<'static> = tracing::metadata! {
            name: "here",
            target: "here",
            level: tracing::Level::INFO,
            fields: &[],
            callsite: &CALLSITE,
            kind: tracing::metadata::Kind::EVENT,
        };
        static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
        CALLSITE.metadata().callsite()
    }

    #[test]
    fn a_minute_has_sixty_messages_of_each_place() {
        let (limit, place, start) = (Limit::default(), place(), Instant::now());
        let ask = |label: &str, after: Duration| {
            limit.ask(place.clone(), label.to_owned(), start + after)
        };
        let said: Vec<_> = (0..100).map(|_| ask("a", Duration::ZERO)).collect();
        assert!(said[..59].iter().all(|said| *said == Said::Freely), "{said:?}");
        assert_eq!(said[59], Said::Last);
        assert!(said[60..].iter().all(|said| *said == Said::LeftOut), "{said:?}");
        assert_eq!(ask("b", Duration::ZERO), Said::Freely, "another stage");
        assert_eq!(ask("a", WINDOW), Said::After(40));
        assert_eq!(ask("a", WINDOW), Said::Freely);
        assert_eq!(limit.end(), []);
        (0..70).for_each(|_| _ = ask("c", WINDOW));
        assert_eq!(limit.end(), [("c".to_owned(), 10)]);
    }
}
