//! The files and folders that a run reads and writes, which is all that the sandbox leaves it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::{
    chain::{Blueprint, Named},
    config::{Config, ConfigError, Plugged},
};

/// Where the system's own files lie: libraries, certificates, cards, the names of hosts.
pub(super) const SYSTEM: [&str; 9] =
    ["/usr", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run"];

/// What a run reads and writes, besides what is the system's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(super) read: BTreeSet<PathBuf>,
    pub(super) write: BTreeSet<PathBuf>,
}

impl Places {
    pub(super) fn of(config: &Config, blueprint: &Blueprint) -> Self {
        let mut places = Self::default();
        let engine = &config.engine;
        places.read(config.document.path());
        places.write.extend(engine.ledger.as_deref().map(|file| existing(file, true)));
        places.write.extend(engine.spill.as_deref().map(|folder| existing(folder, false)));
        places.write.extend(engine.writable.iter().map(|folder| existing(folder, false)));
        config
            .status
            .iter()
            .flat_map(|status| &status.token_file)
            .for_each(|file| places.read(file));
        for pattern in config.capture.files.iter().filter(|file| *file != "-") {
            let fixed = pattern.split(['*', '?', '[']).next().unwrap_or_default();
            places.read(Path::new(if fixed.len() == pattern.len() || fixed.ends_with('/') {
                fixed
            } else {
                fixed.rsplit_once('/').map_or(".", |(folder, _)| folder)
            }));
        }
        for (plugged, _, named) in blueprint.files() {
            plugged.plugin.iter().for_each(|file| places.read(file));
            for named in named.iter().filter(|named| !named.is_stream()) {
                let folder = folder_of(&named.path);
                if named.is_written { &mut places.write } else { &mut places.read }.insert(folder);
            }
        }
        places
    }

    fn read(&mut self, path: &Path) {
        self.read.insert(folder_of(path));
    }

    /// Where it may write, to be shown.
    pub(super) fn writable(&self) -> String {
        let shown: Vec<_> = self.write.iter().map(|path| path.display().to_string()).collect();
        if shown.is_empty() { "nowhere".to_owned() } else { shown.join(", ") }
    }

    fn admits_reading(&self, path: &Path) -> bool {
        let folder = folder_of(path);
        let system = SYSTEM.iter().any(|place| {
            let place = Path::new(place);
            folder.starts_with(place.canonicalize().as_deref().unwrap_or(place))
        });
        system || self.read.union(&self.write).any(|place| folder.starts_with(place))
    }

    fn admits_writing(&self, path: &Path) -> bool {
        let folder = folder_of(path);
        self.write.iter().any(|place| folder.starts_with(place))
    }
}

/// What a running engine can still reach.
///
/// A sink opens its files when it has something to write. What it then may not do would cost rows,
/// so a reload asks before.
#[derive(Default)]
pub(crate) struct Reach {
    /// None where no sandbox guards files.
    pub(super) places: Option<Places>,
}

impl Reach {
    /// Refuses a plugin that the sandbox hides.
    ///
    /// # Errors
    /// At its place in the config, with what to do.
    pub(crate) fn check_plugin(
        &self,
        plugged: &Plugged,
        config: &Config,
    ) -> Result<(), ConfigError> {
        let (Some(file), Some(places)) = (&plugged.plugin, &self.places) else { return Ok(()) };
        if places.admits_reading(file) {
            return Ok(());
        }
        Err(config.document.at_key(&plugged.place, "plugin", &hidden(file)))
    }

    /// Refuses a file or a folder that cannot be read or written.
    ///
    /// # Errors
    /// At its place in the config, with what to do.
    pub(crate) fn check(
        &self,
        named: &Named,
        plugged: &Plugged,
        config: &Config,
    ) -> Result<(), ConfigError> {
        let path = &named.path;
        let refused = |why: &str| Err(config.document.at_key(&plugged.place, &named.key, why));
        if named.is_stream() {
            return Ok(());
        }
        if !named.is_written {
            let admitted = self.places.as_ref().is_none_or(|it| it.admits_reading(path));
            return if admitted { Ok(()) } else { refused(&hidden(path)) };
        }
        if let Some(places) = self.places.as_ref().filter(|it| !it.admits_writing(path)) {
            return refused(&format!(
                "the sandbox lets this process write only below {}, not to `{}`; restart the engine \
                 with this config, or name a place below one of these (`writable` under [engine] \
                 adds some at the start)",
                places.writable(),
                path.display()
            ));
        }
        // A pipe is written to as it is; a file is renamed and made anew in its folder.
        let at = if path.exists() && !path.is_file() { path.clone() } else { folder_of(path) };
        access(&at, Access::WRITE_OK).or_else(|error| {
            refused(&format!(
                "this process may not write to `{}`: {error}; let it, or name another place",
                at.display()
            ))
        })
    }
}

fn hidden(path: &Path) -> String {
    format!(
        "the sandbox hides `{}` from this process, because nothing near it was named at the start; \
         restart the engine with this config, or put it below `/etc` or `/usr`",
        path.display()
    )
}

/// The folder of a file, because what is written anew is renamed into its place; a folder itself;
/// of what is not there the nearest folder above it that is.
fn folder_of(path: &Path) -> PathBuf {
    existing(path, !path.is_dir())
}

/// The path itself, or the nearest folder above it that is there; that of a file, if it `is_file`.
fn existing(path: &Path, is_file: bool) -> PathBuf {
    let mut at = path;
    if is_file {
        at = at.parent().unwrap_or(at);
    }
    while !at.as_os_str().is_empty() && !at.is_dir() {
        at = at.parent().unwrap_or(Path::new(""));
    }
    let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
    at.canonicalize().unwrap_or_else(|_| at.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_there_yet_is_guarded_by_the_folder_above() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().canonicalize().expect("it is there");
        fs::write(at.join("file"), "").expect("room");
        let here = Path::new(".").canonicalize().expect("it is there");
        let rows: &[(PathBuf, bool, &Path)] = &[
            (at.clone(), false, &at),
            (at.join("file"), true, &at),
            (at.join("new"), true, &at),
            (at.join("new/new/new"), false, &at),
            (PathBuf::from("new.json"), true, &here),
            (PathBuf::from("new"), false, &here),
            (PathBuf::from("/new"), true, Path::new("/")),
        ];
        for (path, is_file, expected) in rows {
            assert_eq!(existing(path, *is_file), *expected, "{}", path.display());
        }
    }

    #[test]
    fn what_a_config_names_is_read_or_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().canonicalize().expect("it is there");
        for name in ["keys", "ledgers", "spill", "parquet", "jsonl", "more", "captures", "tokens"] {
            fs::create_dir(at.join(name)).expect("room");
        }
        let key = at.join("keys/key");
        fs::write(&key, "0123456789abcdef".repeat(4)).expect("room");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&key, mode).expect("it is ours");
        let text = "[engine]\nledger = \"AT/ledgers/l.json\"\nspill = \"AT/spill\"\n\
             writable = [\"AT/more\"]\n[status]\nlisten = \"127.0.0.1:1\"\n\
             token_file = \"AT/tokens/token\"\n\
             [capture]\nfrom = \"file\"\nfiles = [\"AT/captures/*.pcap\"]\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"http\"\nkey_file = \"AT/keys/key\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nuse = \"parquet\"\ndirectory = \"AT/parquet/new\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"AT/jsonl/out.jsonl\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n";
        let text = text.replace("AT", &at.display().to_string());
        let config = crate::config::parse(&at.join("test.toml"), text).expect("it is good");
        let blueprint = Blueprint::new(&config, &[]).expect("it is good");
        let all = |names: &[&str]| names.iter().map(|name| at.join(name)).collect();
        let mut read: BTreeSet<_> = all(&["captures", "keys", "tokens"]);
        read.insert(at.clone());
        let write = all(&["jsonl", "ledgers", "more", "parquet", "spill"]);
        assert_eq!(Places::of(&config, &blueprint), Places { read, write });
    }
}
