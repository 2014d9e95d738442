//! `sample`: keeps a part of all connections, and of each of them everything.
//!
//! Whether a connection is in is decided by a keyed hash of its two ends and its protocol, the
//! smaller end first, so both directions are in or out together, in every worker alike. Without
//! the key nobody can tell, or choose, which connections are in. The rest is dropped for the
//! reason `not_sampled`, and the probability is told to the readers of the data: counts over
//! connections are to be divided by it.
//!
//! It belongs behind `decode`, which finds addresses and ports, puts fragments together and drops
//! what is neither TCP nor UDP; of a packet in a tunnel the innermost ends count. Packets that
//! were not decoded have no ends and are dropped for the reason `undecoded`.
//!
//! The default key dies with the process, so two runs choose differently. With a key file they
//! choose alike. With epochs each day or week chooses anew, and a connection that lasts over
//! the change is decided on twice.
//!
//! SipHash-2-4, as for the flow numbers of `http`, but under another key, so that neither tells
//! about the other.

use std::path::PathBuf;

use ringmill_sdk::{
    connection,
    key::{self, Ephemeral, Key, Schedule},
    prelude::*,
};
use siphasher::sip::SipHasher24;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

options! {
    /// Options of `[[stage]] use = "sample"`.
    pub struct Options {
        /// How likely a connection is kept: above 0, at most 1.
        probability: f64,
        /// File with the key that chooses, which `engine keygen` makes; readable by its owner only.
        key_file: Option<PathBuf> = None,
        /// "ephemeral", as without both: a key that dies with the process.
        key: Option<Ephemeral> = None,
    }
}

/// The stage `sample`. Not `Debug`: the hasher would print its key.
pub struct Sample {
    keys: Schedule,
    /// The period whose key `choice` has.
    current: Option<(i64, Choice)>,
    /// Hashes below are in; `None` where all are.
    below: Option<u64>,
    not_sampled: Reason,
    undecoded: Reason,
}

/// Chooses under one key.
struct Choice(SipHasher24);

impl Choice {
    /// The hash's key is derived, so that the key file of another stage may be named for this
    /// one too.
    fn new(key: &Key) -> Self {
        let derived = key::derive(key, "ringmill sample");
        let mut half = Zeroizing::new([0; 16]);
        half.copy_from_slice(&derived[..16]);
        Self(SipHasher24::new_with_key(&half))
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.0 = SipHasher24::new();
        // The hasher cannot wipe itself, and a store that nothing reads would be left out.
        std::hint::black_box(&self.0);
    }
}

impl Stage for Sample {
    const NAME: &'static str = "sample";
    const SUMMARY: &'static str = "keeps a random part of all connections";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(Options { probability, key_file, key }: Options, host: &Host) -> Result<Self> {
        // NaN is not above 0 either.
        if !(probability > 0.0 && probability <= 1.0) {
            return Err(Error::config(
                "probability",
                format!("must be above 0 and at most 1; this is {probability}"),
            ));
        }
        let key = key.or(key_file.is_none().then_some(Ephemeral));
        let keys = Schedule::new(key_file.as_deref(), key, host, Self::NAME)?;
        host.declare("probability", probability);
        host.describe(format_args!(
            "Of all connections a random sample was kept, each with probability {probability}, \
             chosen by a keyed hash"
        ));
        Ok(Self {
            keys,
            current: None,
            below: below(probability),
            not_sampled: host.reason("not_sampled"),
            undecoded: host.reason("undecoded"),
        })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        for packet in batch.live() {
            if packet.ip_version() == 0 {
                packet.drop(self.undecoded);
                continue;
            }
            let Some(below) = self.below else { continue };
            let period = self.keys.period(packet.time());
            let choice = match &self.current {
                Some((current, choice)) if *current == period => choice,
                _ => {
                    let choice = Choice::new(self.keys.key(period)?);
                    &self.current.insert((period, choice)).1
                }
            };
            let ((src, dst), (from, to)) = (packet.addresses(), packet.ports());
            let ends = connection((&src, from), (&dst, to), packet.protocol());
            if choice.0.hash(&ends) >= below {
                packet.drop(self.not_sampled);
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, _: &mut Output<'_>) -> Result {
        let oldest = self.keys.tick(now);
        self.current.take_if(|(period, _)| *period < oldest);
        Ok(())
    }
}

/// The bound below which this part of all hashes lies; `None` for all.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^64, and a cast of a float ends at both"
)]
fn below(probability: f64) -> Option<u64> {
    (probability < 1.0).then(|| (probability * 2.0_f64.powi(64)) as u64)
}
