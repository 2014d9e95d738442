//! The number that names a connection.
//!
//! SipHash-2-4 over both ends, the smaller one first, so that both directions give the same.
//! It is a keyed function: without the key nobody can try all addresses to find whose a number
//! is, which a plain hash would allow in seconds.
//!
//! With epochs the number that is published is made under the key of the row's epoch, so that
//! nobody can tell that two rows of different epochs are of one connection. What tells
//! connections apart inside the stage is another number that never comes out.

use ringmill_sdk::{
    Result, Timestamp, connection,
    key::{Epoch, Key, Schedule},
};
use siphasher::{sip::SipHasher24, sip128};
use zeroize::Zeroizing;

use crate::rows::Seen;

/// Makes flow numbers under one key.
pub(crate) struct Flows(SipHasher24);

impl Drop for Flows {
    fn drop(&mut self) {
        self.0 = SipHasher24::new();
        // The hasher cannot wipe itself, and a store that nothing reads would be left out.
        std::hint::black_box(&self.0);
    }
}

impl Flows {
    /// The hash's key is derived from `key`, so that the key file of another stage may be
    /// named for this one too.
    pub(crate) fn new(key: &Key) -> Self {
        let mut outer = Zeroizing::new([0; 16]);
        outer.copy_from_slice(&key[..16]);
        let label = b"ringmill http.flow";
        let mut message = Zeroizing::new([0; 16 + 18]);
        message[..16].copy_from_slice(&key[16..]);
        message[16..].copy_from_slice(label);
        let derived = sip128::SipHasher24::new_with_key(&outer).hash(&*message);
        Self(SipHasher24::new_with_key(&Zeroizing::new(derived.as_bytes())))
    }

    /// The number of the connection between two ends, in either direction. `protocol` is the
    /// IANA number.
    #[inline]
    pub(crate) fn number(&self, a: (&[u8; 16], u16), b: (&[u8; 16], u16), protocol: u8) -> u64 {
        self.0.hash(&connection(a, b, protocol))
    }
}

/// The numbers that are published, where each epoch has a key of its own.
pub(crate) struct Epochs {
    epoch: Epoch,
    keys: Schedule,
    /// The last period and its numbers.
    current: Option<(i64, Flows)>,
}

const TCP: u8 = 6;

impl Epochs {
    pub(crate) fn new(epoch: Epoch, keys: Schedule) -> Self {
        Self { epoch, keys, current: None }
    }

    /// The connection's number for a row of this time, and the first day of the row's epoch,
    /// counted from 1970-01-01.
    #[inline]
    pub(crate) fn number(&mut self, seen: &Seen) -> Result<(u64, i32)> {
        let period = self.keys.period(seen.time);
        if !matches!(&self.current, Some((current, _)) if *current == period) {
            self.current = None;
            self.current = Some((period, Flows::new(self.keys.key(period)?)));
        }
        let number = self.current.as_ref().map_or(0, |(_, flows)| {
            flows.number((&seen.src, seen.src_port), (&seen.dst, seen.dst_port), TCP)
        });
        // Days fit: nanoseconds in 64 bits end in 2262.
        let day = i32::try_from(self.epoch.first_day(period)).unwrap_or(i32::MAX);
        Ok((number, day))
    }

    /// Forgets what is over.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let oldest = self.keys.tick(now);
        self.current.take_if(|(period, _)| *period < oldest);
    }
}
