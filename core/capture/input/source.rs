//! Reads a descriptor, knows whether it would have to wait, and undoes its compression.

use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Reason;

/// What one system call may bring.
const READ: usize = 256 << 10;
/// How long a waiting thread may not notice that it should stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// What one call of a decompressor may bring. When it meets damage it keeps what this call had
/// brought to itself, so small calls lose little; 16 KiB cost nothing that can be measured.
const UNPACKED: usize = 16 << 10;
/// `zstd --long=31`, which archives of captures are often made with.
const ZSTD_WINDOW: u32 = 31;

/// How far the reading of one input has come, for whoever wants to show it.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    total: Option<u64>,
}

impl Progress {
    /// Nothing read, of so many bytes, if that is known.
    pub fn new(total: Option<u64>) -> Self {
        Self { read: AtomicU64::new(0), total }
    }

    /// Bytes read of the input, as it lies there: compressed ones if it is compressed.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes of the input, unless it is a pipe.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// To be called by the one thread that reads, now and then.
    pub fn set(&self, read: u64) {
        self.read.store(read, Relaxed);
    }
}

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first four bytes; zstd may begin with a frame to be skipped.
    pub(super) fn of(front: &[u8]) -> Self {
        match front {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A descriptor with a small buffer before it.
pub(super) struct Source {
    file: File,
    /// Bytes come when they come: a pipe, a device.
    live: bool,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
    count: u64,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        let live = !about.is_file();
        Ok(Self {
            file,
            live,
            buffer: vec![0; READ].into(),
            at: 0,
            end: 0,
            count: 0,
            progress: Arc::new(Progress::new((!live).then_some(about.len()))),
            stop: Arc::default(),
        })
    }

    pub(super) fn live(&self) -> bool {
        self.live
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Set it, and the input ends.
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Whether there is something to read, or an end, without waiting.
    fn ready(&self) -> bool {
        !self.live || self.at < self.end || self.wait(Duration::ZERO)
    }

    fn wait(&self, patience: Duration) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let mut descriptor = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut descriptor, Some(&timeout)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => false,
            // Then the read that follows tells what is wrong.
            Err(_) => true,
        }
    }

    /// At least `least` bytes, or all there are.
    fn front(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.end < least {
            let end = self.end;
            // The buffer is lent to a function that needs `self`.
            let mut buffer = std::mem::take(&mut self.buffer);
            let got = self.receive(&mut buffer[end..]);
            self.buffer = buffer;
            match got? {
                0 => break,
                got => self.end += got,
            }
        }
        Ok(&self.buffer[self.at..self.end])
    }

    /// One read; 0 is the end, or a stop.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stopped() {
                return Ok(0);
            }
            if self.live && !self.wait(PATIENCE) {
                continue;
            }
            match self.file.read(into) {
                Ok(got) => {
                    self.count += got as u64;
                    self.progress.set(self.count);
                    return Ok(got);
                }
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            // Into the reader's own memory: no byte is copied twice.
            return self.receive(into);
        }
        let got = (&self.buffer[self.at..self.end]).read(into)?;
        self.at += got;
        Ok(got)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        }
        self.front(1)
    }

    fn consume(&mut self, bytes: usize) {
        self.at = self.end.min(self.at + bytes);
    }
}

/// A source as the bytes of a capture.
pub(super) enum Unpacked {
    Plain(Source),
    Gzip(Box<MultiGzDecoder<Source>>),
    Zstd(zstd::stream::read::Decoder<'static, Source>),
}

impl Unpacked {
    /// Waits for the first bytes to see what they are.
    pub(super) fn new(mut source: Source) -> Result<Self, Reason> {
        let front = source.front(4).map_err(|error| Reason::read(&error))?;
        match Packing::of(front) {
            Packing::None => Ok(Self::Plain(source)),
            Packing::Gzip => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(source)))),
            Packing::Zstd => zstd::stream::read::Decoder::with_buffer(source)
                .and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW)?;
                    Ok(Self::Zstd(decoder))
                })
                .map_err(|error| Reason::Packing(error.to_string())),
        }
    }

    /// Whether the next read brings something without waiting.
    pub(super) fn ready(&self) -> bool {
        self.source().ready()
    }

    /// Waits a thousandth of a second, or until there is something to read.
    pub(super) fn wait_a_moment(&self) {
        self.source().wait(Duration::from_millis(1));
    }

    pub(super) fn live(&self) -> bool {
        self.source().live
    }

    pub(super) fn stopped(&self) -> bool {
        self.source().stopped()
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Reason> {
        let most = into.len().min(UNPACKED);
        let (got, name) = match self {
            Self::Plain(source) => (source.read(into), None),
            Self::Gzip(decoder) => (decoder.read(&mut into[..most]), Some("gzip")),
            Self::Zstd(decoder) => (decoder.read(&mut into[..most]), Some("zstd")),
        };
        got.map_err(|error| match name {
            Some(name) if error.raw_os_error().is_none() => match error.kind() {
                ErrorKind::UnexpectedEof => Reason::PackingCut(name),
                _ => Reason::Packing(format!("{name}: {error}")),
            },
            _ => Reason::read(&error),
        })
    }

    fn source(&self) -> &Source {
        match self {
            Self::Plain(source) => source,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }
}
