//! From the names in a configuration to bytes.
//!
//! A plain file is mapped: it is walked in place and nothing is copied. What cannot be mapped
//! (gzip, zstd, a pipe, standard input) is read by one thread that hands out blocks of whole
//! records. Which of the two it is shows in the first bytes, never in the name.
//!
//! A file must be finished when it is opened. One that grows is read up to the length it has
//! then; one that is cut while it is mapped ends the process (SIGBUS), as it does every
//! program that maps files. Pipe a growing file in (`tail -c +1 -f FILE | engine ...`).

mod expand;
pub mod prefetch;
mod source;
mod stream;
#[cfg(test)]
mod tests;

pub use expand::expand;
pub use source::Progress;
pub use stream::{BLOCK, Block, End, Stream};

use std::fmt;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};
use rustix::fs::{Mode, OFlags};

use super::format::{FormatError, Reader};
use source::{Packing, Source};

/// One thing to read packets from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, a named pipe or a device.
    File(PathBuf),
    /// Standard input, named `-`.
    Stdin,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// How an input gives its bytes.
#[derive(Debug)]
pub enum Opened {
    /// All of them, in place.
    Mapped(Mmap),
    /// One block after the other.
    Stream(Stream),
}

/// Why there is nothing to read, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The list is empty.
    #[error(
        "`files` names no capture; name a file, a pattern such as `captures/*.pcap`, \
         or `-` for standard input"
    )]
    NoNames,
    /// Standard input cannot be read twice.
    #[error("standard input, `-`, is named twice; keep one")]
    StdinTwice,
    /// Not a glob pattern.
    #[error("`{pattern}` is neither a file nor a pattern: {reason}; write `[[]` for a `[`")]
    Pattern {
        /// As the user wrote it.
        pattern: String,
        /// What glob says.
        reason: &'static str,
    },
    /// A pattern without files.
    #[error("no file matches `{pattern}` in {}", place(base))]
    NoMatch {
        /// As the user wrote it.
        pattern: String,
        /// Where relative patterns begin.
        base: PathBuf,
    },
    /// Nothing has this name.
    #[error("there is no file `{}`; relative names begin in the current directory", .0.display())]
    Missing(PathBuf),
    /// The file may not be read.
    #[error("no permission to read `{}`; let the user that runs ringmill read it", .0.display())]
    Denied(PathBuf),
    /// A directory where a file should be.
    #[error("`{path}` is a directory; name the files in it, such as `{path}/*.pcap`", path = .0.display())]
    Directory(PathBuf),
    /// A socket cannot be opened.
    #[error("`{}` is a socket; name a file or a pipe", .0.display())]
    Socket(PathBuf),
    /// Nobody types a capture.
    #[error("standard input is a terminal; pipe a capture into it: `tcpdump -w - | engine ...`")]
    Terminal,
    /// The bytes are no capture.
    #[error("{input}: {error}")]
    Format {
        /// Which input.
        input: Input,
        /// What is wrong.
        error: FormatError,
    },
    /// The bytes cannot be had.
    #[error("{input}: {reason}")]
    Broken {
        /// Which input.
        input: Input,
        /// What is wrong.
        reason: Reason,
    },
}

/// Where relative names begin, in words.
fn place(base: &Path) -> String {
    match base.as_os_str().is_empty() {
        true => "the current directory".to_owned(),
        false => format!("`{}`", base.display()),
    }
}

impl InputError {
    fn io(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(path.into()),
            io::ErrorKind::PermissionDenied => Self::Denied(path.into()),
            _ => Self::broken(&Input::File(path.into()), Reason::read(error)),
        }
    }

    fn broken(input: &Input, reason: Reason) -> Self {
        let input = input.clone();
        match reason {
            Reason::Format(error) => Self::Format { input, error },
            reason => Self::Broken { input, reason },
        }
    }
}

/// Why an input gives no more packets although bytes are left, or should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The last record is not whole.
    #[error("it was cut off inside a record; the packets before it were all read")]
    Cut,
    /// The bytes are not, or no longer, a capture.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The compressed file is cut or damaged.
    #[error("it cannot be decompressed any further ({0}); compress or copy it again")]
    Packing(String),
    /// The compressed file ends too early.
    #[error("{0}: it was cut off; the packets before that were all read")]
    PackingCut(&'static str),
    /// The engine is stopping, or no worker wants more.
    #[error("reading was stopped")]
    Stopped,
    /// The system does not give the bytes.
    #[error("it cannot be read ({0})")]
    Read(String),
}

impl Reason {
    fn read(error: &io::Error) -> Self {
        Self::Read(error.to_string())
    }
}

/// What was left at the end of an input and gave no packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Where it begins, counted in decompressed bytes.
    pub offset: u64,
    /// How long it is; 0 if the trouble came right after a whole record.
    pub bytes: u64,
    /// Why it was left.
    pub reason: Reason,
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, reason } = self;
        write!(f, "{bytes} bytes from byte {offset} on were left: {reason}")
    }
}

/// Opens one input.
///
/// A wrong format is told here, except on a pipe: nothing may have arrived on it yet, and
/// waiting for it here would hold up the rest; there [`Stream::end`] tells.
pub fn open(input: &Input) -> Result<Opened, InputError> {
    let broken = |error: &io::Error| InputError::broken(input, Reason::read(error));
    let Input::File(path) = input else {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(InputError::Terminal);
        }
        let file = stdin.as_fd().try_clone_to_owned().map_err(|error| broken(&error))?;
        let stream = Source::new(File::from(file))
            .map_err(|error| Reason::read(&error))
            .and_then(Stream::start);
        return stream.map(Opened::Stream).map_err(|reason| InputError::broken(input, reason));
    };

    let told = |error: io::Error| InputError::io(path, &error);
    let kind = fs::metadata(path).map_err(told)?.file_type();
    if kind.is_dir() {
        return Err(InputError::Directory(path.clone()));
    }
    if kind.is_socket() {
        return Err(InputError::Socket(path.clone()));
    }
    // Without NONBLOCK, opening a named pipe waits for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| told(error.into()))?;
    // A file system that cannot map can still be read.
    if kind.is_file()
        && let Ok(map) = map(&file)
        && Packing::of(map.get(..4).unwrap_or(&map)) == Packing::None
    {
        Reader::detect_all(&map).map_err(|e| InputError::broken(input, e.into()))?;
        return Ok(Opened::Mapped(map));
    }
    let source = Source::new(file).map_err(told)?;
    Stream::start(source).map(Opened::Stream).map_err(|reason| InputError::broken(input, reason))
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: nothing in this process writes to the file or cuts it. Another process could,
    // which no program that maps can rule out: bytes are then read as whatever they are, every
    // length among them is checked against the mapping, and a cut file ends in SIGBUS (see the
    // head of this module), never in memory that is not ours.
    #[allow(unsafe_code, reason = "mapping is what makes a shared file cheap")]
    let map = unsafe { Mmap::map(file)? };
    // Advice only: to read ahead, and in pages of 2 MiB (Linux 5.18 and later), which the first
    // access decides, so nothing may read the file by other means before. With a disk's usual
    // read-ahead of 128 KiB that takes a sixteenth of the faults, now and the next time.
    for advice in [Advice::Sequential, Advice::HugePage] {
        let _ = map.advise(advice);
    }
    Ok(map)
}
