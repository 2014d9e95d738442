//! What the engine needs to know of a stage that it has never heard of.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{
    AddressMap, Batch, Error, ErrorKind, Host, OptionHelp, Output, Result, Sink, Stage, Timestamp,
    anonymize::Anonymizer, config, panics, sink::SinkStage,
};

/// Where in the config an entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[[stage]]`
    Stage,
    /// `[[sink]]`
    Sink,
}

/// A stage behind a pointer, whether it was linked in or loaded.
pub trait DynStage: Send {
    /// See [`Stage::schemas`].
    ///
    /// # Errors
    /// When the stage panicked.
    fn schemas(&mut self) -> Result<Vec<SchemaRef>>;
    /// See [`Stage::packets`].
    ///
    /// # Errors
    /// What the stage returned, or that it panicked.
    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result;
    /// See [`Stage::records`].
    ///
    /// # Errors
    /// What the stage returned, or that it panicked.
    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result;
    /// See [`Stage::tick`].
    ///
    /// # Errors
    /// What the stage returned, or that it panicked.
    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result;
    /// See [`Stage::finish`].
    ///
    /// # Errors
    /// What the stage returned, or that it panicked.
    fn finish(&mut self, out: &mut Output<'_>) -> Result;
}

/// How a stage is made from the text of its options.
type Build = fn(&str, &Host) -> Result<Box<dyn DynStage>>;

/// One entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Factory {
    /// What `use = "..."` says.
    pub name: &'static str,
    /// What it does, as a phrase.
    pub summary: &'static str,
    /// Where in the config it belongs.
    pub role: Role,
    /// See [`Sink::NETWORK`].
    pub network: bool,
    /// What its options are.
    pub options: &'static [OptionHelp],
    /// Makes an instance.
    pub build: Build,
}

impl Factory {
    /// A [`Stage`].
    #[must_use]
    pub const fn stage<S: Stage>() -> Self {
        Self {
            name: S::NAME,
            summary: S::SUMMARY,
            role: Role::Stage,
            network: false,
            options: S::OPTIONS,
            build: |options, host| Ok(Box::new(Guard::<S>::new(options, host)?)),
        }
    }

    /// A [`Sink`].
    #[must_use]
    pub const fn sink<S: Sink>() -> Self {
        Self { role: Role::Sink, network: S::NETWORK, ..Self::stage::<SinkStage<S>>() }
    }

    /// An [`AddressMap`].
    #[must_use]
    pub const fn address_map<A: AddressMap>() -> Self {
        Self::stage::<Anonymizer<A>>()
    }
}

/// A stage whose panics are errors. After the first it is not called again, and not dropped
/// either: its invariants may be broken.
#[derive(Debug)]
pub(crate) struct Guard<S: Stage> {
    stage: Option<S>,
}

impl<S: Stage> Guard<S> {
    pub(crate) fn new(options: &str, host: &Host) -> Result<Self> {
        let stage = panics::catch("new()", || S::new(config::parse(options)?, host))?;
        Ok(Self { stage: Some(stage) })
    }

    /// Drops the stage, whose own `drop` may panic too.
    pub(crate) fn discard(&mut self) {
        let stage = self.stage.take();
        let _ = panics::catch("drop()", || {
            drop(stage);
            Ok(())
        });
    }

    #[inline]
    pub(crate) fn call<T>(
        &mut self,
        what: &str,
        body: impl FnOnce(&mut S) -> Result<T>,
    ) -> Result<T> {
        let Some(stage) = &mut self.stage else {
            return Err(Error::of(ErrorKind::Panicked, "", "not called again after its panic"));
        };
        let result = panics::catch(what, || body(stage));
        if matches!(&result, Err(error) if error.kind() == ErrorKind::Panicked) {
            std::mem::forget(self.stage.take());
        }
        result
    }
}

impl<S: Stage> Drop for Guard<S> {
    fn drop(&mut self) {
        self.discard();
    }
}

impl<S: Stage> DynStage for Guard<S> {
    fn schemas(&mut self) -> Result<Vec<SchemaRef>> {
        self.call("schemas()", |stage| Ok(stage.schemas()))
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        self.call("packets()", |stage| stage.packets(batch, out))
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        self.call("records()", |stage| stage.records(records, out))
    }

    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result {
        self.call("tick()", |stage| stage.tick(now, out))
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        self.call("finish()", |stage| stage.finish(out))
    }
}
