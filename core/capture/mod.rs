//! Where packets come from.
//!
//! A worker owns its source and nothing else touches it. A source lends frames for as long as
//! the batch lives; the next call of [`Source::fill`] gives the slots back to the ring.

#![allow(unsafe_code, reason = "back ends map files and rings; every block carries its proof")]

pub mod af_packet;
pub mod af_xdp;
pub mod ethtool;
pub mod file;
pub mod filter;
pub mod format;
pub mod input;
pub mod live;
pub mod netdev;
pub mod nic;
pub mod pcap;
pub mod pcapng;
pub mod pf_ring;
pub mod share;

use ringmill_sdk::Batch;

/// One worker's end of a capture.
pub trait Source {
    /// Adds packets to the batch; returns after a tenth of a second at the latest when none
    /// come, so that the worker can look at its clock.
    fn fill<'a>(&'a mut self, batch: &mut Batch<'a>) -> Filled;

    /// Lets packets in, now that all workers have their sources.
    ///
    /// # Errors
    /// When the system refuses.
    fn enable(&mut self) -> Result<(), live::RingError> {
        Ok(())
    }

    /// Called about once a second, between two calls of `fill`.
    fn second(&mut self) {}

    /// Packets that had found no place in its rings when they were last counted, but for those
    /// that the network card counts, too.
    fn lost(&self) -> u64 {
        0
    }

    /// What its rings had counted when the last second had passed.
    fn rings(&self) -> Vec<live::RingReport> {
        Vec::new()
    }

    /// The run is to end. [`Filled::More`] where packets have been received that are still to
    /// be taken: then `fill` is called until it says that there are no more.
    fn stop(&mut self) -> Filled {
        Filled::End
    }

    /// What this source has to say at the end.
    fn report(self: Box<Self>) -> SourceReport;
}

/// How a call of [`Source::fill`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There may be more at once.
    More,
    /// The source is used up.
    End,
}

/// What one worker's source saw.
#[derive(Clone, Debug, Default)]
pub struct SourceReport {
    /// For each input, in order; fewer than all when the run was stopped.
    pub inputs: Vec<InputReport>,
    /// For each ring that there was.
    pub rings: Vec<live::RingReport>,
}

/// What became of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct InputReport {
    /// Its name, as a user would write it.
    pub name: String,
    /// Packets that were found in it, whoever's they were; where the run was stopped, without
    /// those that were found for a worker and not taken by it.
    pub packets: u64,
    /// Packets of these that the filter kept out.
    pub filtered: u64,
    /// Packets that were in it and could not be read, by reason.
    pub unreadable: std::collections::BTreeMap<&'static str, u64>,
    /// Bytes at its end that gave no packet.
    pub tail_bytes: u64,
    /// Why they did not, in words.
    pub tail: Option<String>,
    /// The input could not be opened, or was damaged: the run has failed.
    pub failed: bool,
    /// It was read to its end.
    pub complete: bool,
}
