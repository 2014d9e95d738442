//! What a stage makes of the key that is current.

use std::fmt;

use super::{Key, Schedule};
use crate::{Host, Result, Timestamp};

/// A cipher or a hash under the key of the current epoch, or under the only key there is.
///
/// For a keyed [`AddressMap`](crate::AddressMap), whose `epoch` and `tick` go here.
pub struct Current<T> {
    /// Boxed, so that moving the stage about does not leave round keys behind. None before the
    /// first row of the first epoch, and after the key of an epoch was destroyed.
    made: Option<Box<T>>,
    /// Where the key of another epoch comes from, and what is made of it.
    keys: Option<(Schedule, i64, Make<T>)>,
}

type Make<T> = fn(&Key) -> Result<T>;

impl<T> Current<T> {
    /// Makes it of the only key; with epochs of none as yet.
    ///
    /// # Errors
    /// What `make` returned.
    pub fn new(mut keys: Schedule, host: &Host, make: Make<T>) -> Result<Self> {
        match host.epoch() {
            None => Ok(Self::fixed(make(keys.key(0)?)?)),
            Some(_) => Ok(Self { made: None, keys: Some((keys, 0, make)) }),
        }
    }

    /// The same for all times.
    #[must_use]
    pub fn fixed(made: T) -> Self {
        Self { made: Some(Box::new(made)), keys: None }
    }

    /// What was made of the key. None with epochs while none was named: then no address may
    /// pass as it was.
    #[inline]
    pub fn get(&mut self) -> Option<&mut T> {
        self.made.as_deref_mut()
    }

    /// See [`AddressMap::epoch`](crate::AddressMap::epoch).
    ///
    /// # Errors
    /// When there is no key for the period.
    pub fn epoch(&mut self, period: i64) -> Result {
        let Some((keys, current, make)) = &mut self.keys else { return Ok(()) };
        if self.made.is_none() || *current != period {
            // Dropped, and so wiped, before there may be an error.
            self.made = None;
            self.made = Some(Box::new(make(keys.key(period)?)?));
            *current = period;
        }
        Ok(())
    }

    /// See [`AddressMap::tick`](crate::AddressMap::tick).
    pub fn tick(&mut self, now: Timestamp) {
        let Some((keys, current, _)) = &mut self.keys else { return };
        if *current < keys.tick(now) {
            self.made = None;
        }
    }
}

impl<T> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}
