//! What `use = "..."` can name: one plain table of what is built in, and what plugins bring.
//!
//! No linker tricks and no constructors before `main`: a stage is in the engine when its line
//! stands here.

use std::{collections::HashMap, path::PathBuf};

use ringmill_sdk::{DynStage, Factory, Host, Result, Role, abi::Loaded};

use crate::{
    config::{ConfigError, Document, Plugged},
    loader, manifest,
};

/// The stages and sinks that are linked in.
pub const BUILTIN: &[Factory] = &[
    Factory::stage::<ringmill_decode::Decode>(),
    Factory::stage::<ringmill_exclude::Exclude>(),
    Factory::stage::<ringmill_sample::Sample>(),
    Factory::stage::<ringmill_classify::Classify>(),
    Factory::stage::<ringmill_http::Http>(),
    Factory::stage::<ringmill_user_agent::UserAgent>(),
    Factory::stage::<ringmill_redact::Redact>(),
    Factory::address_map::<ringmill_crypto_pan::CryptoPan>(),
    Factory::address_map::<ringmill_ipcrypt::Ipcrypt>(),
    Factory::address_map::<ringmill_keyed_hash::KeyedHash>(),
    Factory::address_map::<ringmill_truncate::Truncate>(),
    Factory::address_map::<ringmill_constant::Constant>(),
    Factory::sink::<ringmill_parquet::Parquet>(),
    Factory::sink::<ringmill_jsonl::Jsonl>(),
    Factory::sink::<ringmill_elasticsearch::Elasticsearch>(),
    Factory::sink::<ringmill_discard::Discard>(),
    #[cfg(feature = "kafka")]
    Factory::sink::<ringmill_kafka::Kafka>(),
];

/// How a stage of the config is made.
#[derive(Clone, Copy)]
pub enum Maker {
    /// It is linked in.
    Static(Factory),
    /// It comes from a plugin.
    Loaded(Loaded),
}

impl Maker {
    /// Makes an instance from the text of its options.
    ///
    /// # Errors
    /// What the stage's `new` returned.
    pub fn build(&self, options: &str, host: &Host) -> Result<Box<dyn DynStage>> {
        match self {
            Self::Static(factory) => (factory.build)(options, host),
            Self::Loaded(loaded) => Ok(Box::new(loaded.build(options, host)?)),
        }
    }

    /// What it does, as a phrase.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::Static(factory) => factory.summary,
            Self::Loaded(loaded) => loaded.summary(),
        }
    }

    /// The options that it takes.
    pub(crate) fn options(&self) -> Vec<manifest::Known> {
        match self {
            Self::Static(factory) => factory
                .options
                .iter()
                .map(|option| manifest::Known {
                    name: option.name.to_owned(),
                    kind: option.kind.to_owned(),
                    default: option.default.map(|show| show()),
                })
                .collect(),
            Self::Loaded(loaded) => loaded
                .options()
                .into_iter()
                .map(|option| manifest::Known {
                    name: option.name.into(),
                    kind: option.kind.into(),
                    default: (!option.required).then(|| option.default.into()),
                })
                .collect(),
        }
    }

    /// Whether it is a sink that sends to a store; see [`ringmill_sdk::Sink::NETWORK`].
    pub fn is_network(&self) -> bool {
        match self {
            Self::Static(factory) => factory.network,
            Self::Loaded(loaded) => loaded.is_network(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Static(factory) => factory.name,
            Self::Loaded(loaded) => loaded.name(),
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Static(factory) => factory.role,
            Self::Loaded(loaded) if loaded.is_sink() => Role::Sink,
            Self::Loaded(_) => Role::Stage,
        }
    }
}

/// Finds what a config names; loads each plugin once.
pub struct Registry {
    linked: Vec<Factory>,
    plugins: HashMap<PathBuf, loader::Plugin>,
}

impl Registry {
    /// What is built in, and `more` that the embedding program brings.
    pub fn new(more: &[Factory]) -> Self {
        Self { linked: [BUILTIN, more].concat(), plugins: HashMap::new() }
    }

    /// The maker of a `[[stage]]` or a `[[sink]]`.
    ///
    /// # Errors
    /// With the place in the config: no such name, a sink under `[[stage]]` or the other way
    /// round, a plugin that cannot be loaded.
    pub fn find(
        &mut self,
        plugged: &Plugged,
        role: Role,
        document: &Document,
    ) -> Result<Maker, ConfigError> {
        let makers: Vec<Maker> = match &plugged.plugin {
            None => self.linked.iter().copied().map(Maker::Static).collect(),
            Some(path) => {
                let loaded = self.load(path).map_err(|error| {
                    document.at_key(&plugged.place, "plugin", &error.to_string())
                })?;
                loaded.iter().copied().map(Maker::Loaded).collect()
            }
        };
        if let Some(maker) = makers.iter().find(|maker| maker.name() == plugged.name) {
            if maker.role() == role {
                return Ok(*maker);
            }
            let (is, belongs) = match maker.role() {
                Role::Sink => ("sink", "[[sink]]"),
                Role::Stage => ("stage", "[[stage]]"),
            };
            let message = format!("`{}` is a {is}; it belongs under {belongs}", plugged.name);
            return Err(document.at_key(&plugged.place, "use", &message));
        }
        let names: Vec<_> =
            makers.iter().filter(|maker| maker.role() == role).map(Maker::name).collect();
        let kind = match role {
            Role::Sink => "sink",
            Role::Stage => "stage",
        };
        let message = match &plugged.plugin {
            None => format!("there is no built-in {kind} `{}`", plugged.name),
            Some(path) => format!("`{}` has no {kind} `{}`", path.display(), plugged.name),
        };
        Err(document.at_use(&plugged.place, &message, &names))
    }

    fn load(&mut self, path: &PathBuf) -> Result<&[Loaded], loader::LoadError> {
        if !self.plugins.contains_key(path) {
            let plugin = loader::load(path)?;
            self.plugins.insert(path.clone(), plugin);
        }
        Ok(self.plugins.get(path).map(|plugin| plugin.stages.as_slice()).unwrap_or_default())
    }

    /// What is known of a plugin that was loaded.
    pub fn plugin(&self, path: &PathBuf) -> Option<&loader::Facts> {
        self.plugins.get(path).map(|plugin| &plugin.facts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::BUILTIN;

    #[test]
    fn every_builtin_is_named_once_and_described() {
        let mut seen = BTreeSet::new();
        for factory in BUILTIN {
            let name = factory.name;
            assert!(seen.insert(name), "{name} is registered twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}: lower-case letters, digits and `_`"
            );
            assert!(!factory.summary.is_empty(), "{name} says nothing of itself");
            assert!(!factory.summary.ends_with('.'), "{name}: a summary is a phrase");
            for option in factory.options {
                assert!(!option.help.trim().is_empty(), "{name}.{} has no help", option.name);
            }
        }
    }
}
