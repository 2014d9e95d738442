//! `engine keygen`: makes key files, and destroys the keys of old epochs in them.
//!
//! A key file is never overwritten: who has lost a key cannot compare new records with old ones
//! any more, and who did that by a slip cannot take it back.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use ringmill::sdk::{
    Error, Timestamp,
    key::{self, Epoch, Key, Ratchet, Stored},
};

use super::{BAD_USAGE, FAILED, complain, print};

/// What `engine keygen` takes.
#[derive(Args)]
pub(super) struct KeygenArgs {
    /// The file to make; with `--advance`, the file to advance
    file: PathBuf,
    /// Makes a file that has a key for each day or week, in UTC; goes with `epoch` under
    /// [engine]
    #[arg(long, conflicts_with = "advance")]
    epoch: Option<EpochArg>,
    /// The first day that has a key, such as 2026-11-26; today where not given
    #[arg(long, value_name = "DATE", requires = "epoch", value_parser = date)]
    from: Option<i64>,
    /// Destroys the keys of all days or weeks before that of `--to`, which cannot be undone
    #[arg(long)]
    advance: bool,
    /// A day of the first epoch that keeps its key; today where not given
    #[arg(long, value_name = "DATE", requires = "advance", value_parser = date)]
    to: Option<i64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EpochArg {
    Day,
    Week,
}

impl From<EpochArg> for Epoch {
    fn from(epoch: EpochArg) -> Self {
        match epoch {
            EpochArg::Day => Self::Day,
            EpochArg::Week => Self::Week,
        }
    }
}

/// A day counted from 1970-01-01.
fn date(text: &str) -> Result<i64, &'static str> {
    key::day(text).ok_or("a date is written 2026-11-26, and lies between 1970 and 2261")
}

/// What went wrong, with the exit status.
type Failed = (u8, String);

pub(super) fn keygen(arguments: &KeygenArgs) -> u8 {
    let done = match arguments.advance {
        true => advance(&arguments.file, arguments.to),
        false => make(arguments),
    };
    match done {
        Ok(text) => print(&text),
        Err((status, message)) => {
            complain(&message);
            status
        }
    }
}

/// Makes a new file.
fn make(arguments: &KeygenArgs) -> Result<String, Failed> {
    let path = &arguments.file;
    let mut key = Key::new([0; 32]);
    getrandom::fill(&mut *key)
        .map_err(|error| (FAILED, format!("the system gives no random bytes: {error}")))?;
    let id = key.id();
    let shown = path.display();
    let mut text = String::new();
    let content = match arguments.epoch.map(Epoch::from) {
        None => {
            let _ = writeln!(text, "{shown}: a new key, {id}, for its owner only");
            key::plain_text(&key)
        }
        Some(epoch) => {
            let name = epoch.name();
            let first = epoch.period_of_day(arguments.from.unwrap_or_else(today));
            let since = epoch.date(first);
            let _ = writeln!(
                text,
                "{shown}: new keys, {id}, one for each {name} from {since} on, for their owner only"
            );
            Ratchet::new(epoch, first, key).to_text()
        }
    };
    create(path, &content).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => (
            BAD_USAGE,
            format!(
                "{shown} is there already, and a key file is never overwritten: without its key \
                 nobody can compare new records with old ones; name another file, or remove this \
                 one yourself"
            ),
        ),
        _ => (FAILED, format!("{shown} cannot be written: {error}")),
    })?;
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let _ = writeln!(text, "in a config:");
    if let Some(epoch) = arguments.epoch.map(Epoch::from) {
        let _ = writeln!(text, "    [engine]\n    epoch = {:?}\n", epoch.name());
    }
    let _ = writeln!(text, "    [[stage]]\n    use = \"crypto_pan\"");
    let _ = writeln!(text, "    key_file = {:?}", place.display().to_string());
    let _ = writeln!(text, "whoever has this file can undo what is made with it");
    if arguments.epoch.is_some() {
        let _ =
            writeln!(text, "`engine keygen --advance {shown}` destroys the keys before today's");
    }
    Ok(text)
}

/// Destroys the keys before the day's.
fn advance(path: &Path, to: Option<i64>) -> Result<String, Failed> {
    let usage = |error: Error| (BAD_USAGE, error.message().to_owned());
    // Where a link leads to: the file itself is replaced.
    let path = &fs::canonicalize(path)
        .map_err(|error| (BAD_USAGE, format!("cannot read {}: {error}", path.display())))?;
    let shown = path.display();
    let mut chain = match Stored::read(path).map_err(usage)? {
        Stored::Epochs(chain) => chain,
        Stored::Plain(_) => {
            let message = "has one key for all times, so there is none to destroy; `engine keygen \
                           --epoch day FILE` makes a file with one for each day";
            return Err((BAD_USAGE, format!("{shown} {message}")));
        }
    };
    let (epoch, first) = (chain.epoch(), chain.period());
    let (name, before) = (epoch.name(), epoch.date(first));
    let to = epoch.period_of_day(to.unwrap_or_else(today));
    let until = epoch.date(to);
    if to < first {
        let message = format!(
            "{shown} begins with the {name} {before}; the keys before are destroyed, and nothing \
             brings them back"
        );
        return Err((BAD_USAGE, message));
    }
    if to == first {
        return Ok(format!(
            "{shown} begins with the {name} {before}; there is nothing to destroy\n"
        ));
    }
    chain.advance(to);
    let wiped = replace(path, &chain.to_text()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => (
            FAILED,
            format!(
                "{} is there, from an advance that was cut off or still runs; remove it and try \
                 again: {shown} is as it was",
                aside(path).display()
            ),
        ),
        _ => (FAILED, format!("{shown} cannot be replaced: {error}")),
    })?;
    let old = match wiped {
        Ok(()) => "was overwritten".to_owned(),
        Err(error) => format!("could not be overwritten ({error})"),
    };
    Ok(format!(
        "{shown}: begins with the {name} {until} now, {}; the keys from {before} on until then are \
         destroyed\nthe old content {old}, but a journal, a solid-state disk or a backup may still \
         hold it\n",
        chain.id()
    ))
}

/// Writes a file that is there for its owner only, from its first byte on, and safe on the disk.
fn create(path: &Path, content: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = write(file, content).and_then(|()| sync_directory(path));
    if written.is_err() {
        // Half a key is none.
        let _ = fs::remove_file(path);
    }
    written
}

fn write(mut file: File, content: &str) -> io::Result<()> {
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn aside(path: &Path) -> PathBuf {
    let mut name: OsString = path.into();
    name.push(".new");
    name.into()
}

/// Puts a new file in the place of the old, whole or not at all; whether the old could be
/// overwritten then is the inner result.
fn replace(path: &Path, content: &str) -> io::Result<io::Result<()>> {
    let old = OpenOptions::new().write(true).open(path)?;
    let metadata = old.metadata()?;
    let new = aside(path);
    create(&new, content)?;
    // Root may advance the file of the user that the engine runs as.
    let owned = std::os::unix::fs::chown(&new, Some(metadata.uid()), Some(metadata.gid()));
    if let Err(error) = owned.and_then(|()| fs::rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    let zeros = "0".repeat(usize::try_from(metadata.len()).unwrap_or_default());
    Ok(sync_directory(path).and_then(|()| write(old, &zeros)))
}

/// Counted from 1970-01-01.
fn today() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Epoch::Day.period(Timestamp(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)))
}
