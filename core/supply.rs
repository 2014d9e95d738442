//! Chooses where the packets come from, and hands each worker its source.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::{
    capture::{
        Source, SourceReport,
        af_packet::AfPacket,
        af_xdp::AfXdp,
        file::{Files, Read},
        filter::Filter,
        input,
        live::{
            self, Live, Missing, RingError, Setup, Shared,
            watch::{self, InterfaceReport},
        },
        pf_ring::PfRing,
    },
    config::{Backend, Capture, Config, WhenFull},
    engine::StartError,
    ledger::Ledger,
};

/// What all workers' sources come from.
pub(crate) trait Supply: Send + Sync {
    /// The source of one worker, made on its own thread.
    fn source(&self, worker: usize, limit: usize) -> Result<Box<dyn Source>, RingError>;

    /// What a sink whose queue is full does to a worker, unless the config says.
    fn when_full(&self) -> WhenFull;

    /// Whether the packets are old, so that stages are told their time and not the clock's.
    fn is_replay(&self) -> bool;

    /// How far the reading has come; none for what has no end.
    fn read(&self) -> Option<Read> {
        None
    }

    /// Looks after what the workers share until `done`; runs on a thread of its own.
    fn watch(&self, _done: &AtomicBool) {}

    /// Packets that the network cards had dropped when they were last looked at.
    fn lost_by_nics(&self) -> u64 {
        0
    }

    /// The interfaces as they were when they were last looked at.
    fn interfaces(&self) -> Vec<InterfaceReport> {
        Vec::new()
    }

    /// Enters the inputs into the ledger, after all workers are done.
    fn account(&self, reports: Vec<SourceReport>, ledger: &mut Ledger);
}

/// The first back end of the config that this machine has.
pub(crate) fn choose(
    config: &Config,
    filter: Option<Arc<Filter>>,
) -> Result<(Backend, Arc<dyn Supply>), StartError> {
    let (capture, workers) = (&config.capture, config.engine.workers);
    let setup = setup(capture, workers, filter.clone()).map(Arc::new);
    let mut missing = Vec::new();
    for &back_end in &capture.from {
        let live = match (back_end, &setup) {
            (Backend::File, _) | (_, None) => {
                let inputs = input::expand(&capture.files, Path::new(""))?;
                let files = Files::new(inputs, workers, capture.snaplen as usize, filter)?;
                return Ok((Backend::File, Arc::new(files)));
            }
            (Backend::PfRing, Some(setup)) => start::<PfRing>(setup, window(capture)),
            (Backend::AfPacket, Some(setup)) => start::<AfPacket>(setup, window(capture)),
            // It stamps packets when it takes them, so that no older one can come: no window.
            (Backend::AfXdp, Some(setup)) => start::<AfXdp>(setup, Duration::ZERO),
        };
        match live {
            Ok(supply) => {
                let others: String =
                    missing.iter().map(|(name, why)| format!("; not {name}: {why}")).collect();
                let interfaces = capture.live.as_ref().map(|live| live.interfaces.join(", "));
                let interfaces = interfaces.unwrap_or_default();
                tracing::info!("capturing from {interfaces} by {back_end}{others}");
                return Ok((back_end, supply));
            }
            Err(Missing(why)) => missing.push((back_end, why)),
        }
    }
    let why: Vec<_> = missing.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    Err(StartError::Live(why.join("; ")))
}

/// A live back end as a supply.
fn start<B>(setup: &Arc<Setup>, window: Duration) -> Result<Arc<dyn Supply>, Missing>
where
    B: live::Backend + 'static,
{
    let backend = B::new(Arc::clone(setup))?;
    Ok(Arc::new(Shared::new(backend, Arc::clone(setup), window)))
}

/// How long a packet of one interface waits for older ones of another.
fn window(capture: &Capture) -> Duration {
    let ms = capture.live.as_ref().map_or(0, |live| live.window_ms);
    Duration::from_millis(ms.into())
}

/// What all rings of a capture have in common; none for capture files.
fn setup(capture: &Capture, workers: usize, filter: Option<Arc<Filter>>) -> Option<Setup> {
    let live = capture.live.as_ref()?;
    Some(Setup {
        interfaces: live.interfaces.clone(),
        workers,
        cluster: live.cluster,
        balance: live.balance,
        promiscuous: live.promiscuous,
        direction: live.direction,
        clock: live.clock,
        snaplen: capture.snaplen,
        ring_bytes: live.ring_mib << 20,
        block_timeout_ms: live.block_timeout_ms,
        filter,
    })
}

impl Supply for Arc<Files> {
    fn source(&self, worker: usize, limit: usize) -> Result<Box<dyn Source>, RingError> {
        Ok(Files::source(self, worker, limit))
    }

    /// A capture file waits; nothing is lost by it.
    fn when_full(&self) -> WhenFull {
        WhenFull::Block
    }

    fn is_replay(&self) -> bool {
        true
    }

    fn read(&self) -> Option<Read> {
        Some(Files::read(self))
    }

    fn account(&self, reports: Vec<SourceReport>, ledger: &mut Ledger) {
        ledger.inputs = Files::end(self, &reports);
    }
}

impl<B: live::Backend + 'static> Supply for Arc<Shared<B>> {
    fn source(&self, worker: usize, limit: usize) -> Result<Box<dyn Source>, RingError> {
        Ok(Box::new(Live::open(self, worker, limit)?))
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::Drop
    }

    fn is_replay(&self) -> bool {
        false
    }

    fn watch(&self, done: &AtomicBool) {
        while !done.load(Relaxed) {
            (**self).watch().look();
            thread::park_timeout(watch::LOOK);
        }
    }

    fn lost_by_nics(&self) -> u64 {
        (**self).watch().lost()
    }

    fn interfaces(&self) -> Vec<InterfaceReport> {
        (**self).watch().reports()
    }

    fn account(&self, reports: Vec<SourceReport>, ledger: &mut Ledger) {
        ledger.interfaces = (**self).watch().end();
        ledger.rings = reports.into_iter().flat_map(|report| report.rings).collect();
        ledger.without_double_counts();
    }
}
