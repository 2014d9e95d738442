//! How chains and sinks are made, as the config says.

use std::sync::Arc;

use ringmill_sdk::{DynStage, Error, Factory, Role};

use super::{
    Chain, Part, Parts, Slot,
    files::{self, Named},
};
use crate::{
    config::{Config, ConfigError, Plugged, SinkEntry},
    host::{self, Board, Run},
    loader,
    registry::{Maker, Registry},
};

/// How every worker's chain and every sink is made; checked once, at start.
#[derive(Clone)]
pub struct Blueprint {
    stages: Vec<Entry>,
    sinks: Vec<(SinkEntry, Maker, Option<loader::Facts>)>,
}

/// One stage of the blueprint.
#[derive(Clone)]
pub struct Entry {
    /// What the config says of it.
    pub plugged: Plugged,
    /// How it is made.
    pub maker: Maker,
    /// What is known of the plugin that it comes from.
    pub plugin: Option<loader::Facts>,
}

impl Blueprint {
    /// Finds every stage and sink that the config names, loading plugins; `linked` are those
    /// that the embedding program brings.
    ///
    /// # Errors
    /// With the place in the config.
    pub fn new(config: &Config, linked: &[Factory]) -> Result<Self, ConfigError> {
        let mut registry = Registry::new(linked);
        let mut find = |plugged: &Plugged, role| {
            let maker = registry.find(plugged, role, &config.document)?;
            let plugin = plugged.plugin.as_ref().and_then(|path| registry.plugin(path)).cloned();
            Ok::<_, ConfigError>((maker, plugin))
        };
        let mut stages = Vec::new();
        for plugged in &config.stages {
            let (maker, plugin) = find(plugged, Role::Stage)?;
            stages.push(Entry { plugged: plugged.clone(), maker, plugin });
        }
        let mut sinks = Vec::new();
        for entry in &config.sinks {
            let (maker, plugin) = find(&entry.plugged, Role::Sink)?;
            sinks.push((entry.clone(), maker, plugin));
        }
        Ok(Self { stages, sinks })
    }

    /// The entries of the sinks.
    pub fn sinks(&self) -> impl Iterator<Item = &SinkEntry> {
        self.sinks.iter().map(|(entry, ..)| entry)
    }

    /// The entry of the sink number `index`, and whether it sends to a store.
    pub fn sink(&self, index: usize) -> (&SinkEntry, bool) {
        let (entry, maker, _) = &self.sinks[index];
        (entry, maker.is_network())
    }

    /// What the chain's stages are called in the ledger: their name, numbered from the second
    /// of a name on.
    pub fn stage_labels(&self) -> Vec<String> {
        labels(self.stages.iter().map(|entry| entry.plugged.name.as_str()))
    }

    /// Each stage's label and entry, in order.
    pub fn stages(&self) -> impl Iterator<Item = (String, &Entry)> {
        self.stage_labels().into_iter().zip(&self.stages)
    }

    /// As [`stage_labels`](Self::stage_labels), for the sinks.
    pub fn sink_labels(&self) -> Vec<String> {
        labels(self.sinks().map(|entry| entry.plugged.name.as_str()))
    }

    /// Each stage and then each sink, in order: what is known of the plugin that it comes from, and
    /// the files and folders that its options name.
    pub(crate) fn files(
        &self,
    ) -> impl Iterator<Item = (&Plugged, Option<&loader::Facts>, Vec<Named>)> {
        let stages = self.stages.iter();
        let stages = stages.map(|it| (Role::Stage, &it.plugged, &it.maker, &it.plugin));
        let sinks = self.sinks.iter();
        let sinks = sinks.map(|(entry, maker, plugin)| (Role::Sink, &entry.plugged, maker, plugin));
        stages.chain(sinks).map(|(role, plugged, maker, plugin)| {
            let named = files::named(role, &plugged.options, &maker.options());
            (plugged, plugin.as_ref(), named)
        })
    }

    /// The same without those stages for which `without` says so.
    pub(crate) fn without(&self, without: impl Fn(usize, &Entry) -> bool) -> Self {
        let stages = self.stages.iter().enumerate();
        let stages = stages.filter(|(at, entry)| !without(*at, entry));
        Self { stages: stages.map(|(_, entry)| entry.clone()).collect(), sinks: Vec::new() }
    }

    /// Makes a chain, best on the thread that will run it, whose memory is then near.
    ///
    /// # Errors
    /// What a stage's `new` returned, with the stage.
    pub fn build_chain(
        &self,
        run: &Arc<Run>,
        board: &Arc<Board>,
        worker: Option<usize>,
    ) -> Result<Chain, BuildError> {
        let Parts(parts) = self.build_parts(run, board, worker, &[])?;
        let slots = parts.into_iter().filter_map(Part::made).collect();
        let board = Arc::clone(board);
        Ok(Chain {
            slots,
            board,
            emitted: Vec::new(),
            passing: Vec::new(),
            untimed: 0,
            live: Arc::default(),
        })
    }

    /// Makes the stages of a chain but for those labels that `go_on`, which will be taken from the
    /// chain that it follows.
    ///
    /// # Errors
    /// What a stage's `new` returned, with the stage.
    pub(crate) fn build_parts(
        &self,
        run: &Arc<Run>,
        board: &Arc<Board>,
        worker: Option<usize>,
        go_on: &[String],
    ) -> Result<Parts, BuildError> {
        let mut parts = Vec::with_capacity(self.stages.len());
        for (label, Entry { plugged, maker, .. }) in self.stages() {
            let on_error = plugged.on_error;
            if go_on.contains(&label) {
                parts.push(Part::GoesOn { label, on_error });
                continue;
            }
            let host = host::host(run, board, &label, worker);
            let stage = maker
                .build(&plugged.options, &host)
                .map_err(|error| BuildError { plugged: Box::new(plugged.clone()), error })?;
            let meter = board.meter(&label);
            parts.push(Part::Made(Slot { label, stage, meter, on_error }));
        }
        Ok(Parts(parts))
    }

    /// Makes the sink number `index`; to be called on the thread that will run it.
    ///
    /// # Errors
    /// What the sink's `new` returned.
    pub fn build_sink(
        &self,
        index: usize,
        run: &Arc<Run>,
        board: &Arc<Board>,
    ) -> Result<Box<dyn DynStage>, BuildError> {
        let (entry, maker, _) = &self.sinks[index];
        let host = host::host(run, board, &self.sink_labels()[index], None);
        maker
            .build(&entry.plugged.options, &host)
            .map_err(|error| BuildError { plugged: Box::new(entry.plugged.clone()), error })
    }
}

/// Names, numbered from the second of a name on.
fn labels<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for name in names {
        let again = (2..).map(|n| format!("{name}_{n}"));
        let label = std::iter::once(name.to_owned()).chain(again).find(|l| !labels.contains(l));
        labels.extend(label);
    }
    labels
}

/// A stage could not be made.
#[derive(Debug)]
pub struct BuildError {
    /// Which one.
    pub plugged: Box<Plugged>,
    /// Why.
    pub error: Error,
}

impl BuildError {
    /// The error at its place in the config.
    pub fn at(&self, config: &Config) -> ConfigError {
        config.document.stage_error(&self.plugged.place, self.error.path(), self.error.message())
    }
}
