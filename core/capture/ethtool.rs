//! What a driver says about its interface: the requests of ethtool(8), by ioctl.
//!
//! Numbers and layouts are those of linux/ethtool.h. None of these requests needs a privilege.

use std::{io, os::fd::AsRawFd as _, ptr::NonNull, slice};

use rustix::{
    fd::OwnedFd,
    net::{AddressFamily, SocketType, socket},
};

use super::netdev;

const GDRVINFO: u32 = 0x03;
const GRINGPARAM: u32 = 0x10;
const GSTRINGS: u32 = 0x1b;
const GSTATS: u32 = 0x1d;
const GGRO: u32 = 0x2b;
const GSSET_INFO: u32 = 0x37;
const GRXFHINDIR: u32 = 0x38;
const GFEATURES: u32 = 0x3a;
const GCHANNELS: u32 = 0x3c;
const GRSSH: u32 = 0x46;

const SS_STATS: u32 = 1;
const SS_FEATURES: u32 = 4;
/// `ETH_GSTRING_LEN`
const NAME_BYTES: usize = 32;
/// More names than any driver has; beyond it something is wrong with the driver.
const MOST_NAMES: u32 = 1 << 16;

/// An interface whose driver is asked.
#[derive(Debug)]
pub struct Device {
    socket: OwnedFd,
    name: String,
}

/// Sizes of the card's receive rings, in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// What it is set to.
    pub now: u32,
    /// The most it can be.
    pub most: u32,
}

/// How the card deals packets to its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rss {
    /// The key of its hash function; empty where the driver does not tell.
    pub key: Vec<u8>,
    /// The hash function, as a bit of `ETH_RSS_HASH_`; 1 is Toeplitz.
    pub function: u8,
    /// How the input of the hash is changed first, as bits of `RXH_XFRM_`.
    pub input_transform: u8,
    /// The queue for each of the lowest hash values.
    pub table: Vec<u32>,
}

impl Device {
    /// An interface of this network namespace.
    ///
    /// # Errors
    /// When there can be no socket; whether there is such an interface shows later.
    pub fn new(name: &str) -> io::Result<Self> {
        let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        Ok(Self { socket, name: name.to_owned() })
    }

    /// The name of its driver.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn driver(&self) -> io::Result<String> {
        // `struct ethtool_drvinfo`: 4 bytes command, 32 bytes name, and more.
        let mut about = self.buffer(196, GDRVINFO)?;
        self.ask(&mut about)?;
        Ok(text(&about.bytes()[4..36]))
    }

    /// Its counters with the driver's names for them.
    ///
    /// # Errors
    /// When the driver has none, or the system does not say.
    pub fn statistics(&self) -> io::Result<Vec<(String, u64)>> {
        let names = self.names(SS_STATS)?;
        // `struct ethtool_stats`
        let mut values = self.buffer(8 + names.len() * 8, GSTATS)?;
        values.put(1, u32::try_from(names.len()).unwrap_or(MOST_NAMES));
        self.ask(&mut values)?;
        let values = values.bytes()[8..].as_chunks::<8>().0;
        Ok(names.into_iter().zip(values.iter().map(|value| u64::from_ne_bytes(*value))).collect())
    }

    /// Whether each of its features (`ethtool -k`, in the kernel's names) is on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn features(&self) -> io::Result<Vec<(String, bool)>> {
        let names = self.names(SS_FEATURES)?;
        // `struct ethtool_gfeatures`: for each 32 of them, what is available, requested, active
        // and never changed.
        let blocks = names.len().div_ceil(32);
        let mut sets = self.buffer(8 + blocks * 16, GFEATURES)?;
        sets.put(1, u32::try_from(blocks).unwrap_or(0));
        self.ask(&mut sets)?;
        let active = |at: usize| sets.word(2 + at / 32 * 4 + 2) >> (at % 32) & 1 == 1;
        let on = names.into_iter().enumerate().map(|(at, name)| (name, active(at)));
        Ok(on.filter(|(name, _)| !name.is_empty()).collect())
    }

    /// Whether it joins packets of a connection before anybody sees them (GRO).
    ///
    /// # Errors
    /// When the system does not say.
    pub fn gro(&self) -> io::Result<bool> {
        let mut value = self.buffer(8, GGRO)?;
        self.ask(&mut value)?;
        Ok(value.word(1) != 0)
    }

    /// The sizes of its receive rings.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn rings(&self) -> io::Result<RingSizes> {
        // `struct ethtool_ringparam`
        let mut sizes = self.buffer(36, GRINGPARAM)?;
        self.ask(&mut sizes)?;
        Ok(RingSizes { most: sizes.word(1), now: sizes.word(5) })
    }

    /// How many receive queues it has: those for receiving only and those for both ways.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn queues(&self) -> io::Result<u32> {
        // `struct ethtool_channels`: four maxima, then rx, tx, other and combined.
        let mut channels = self.buffer(36, GCHANNELS)?;
        self.ask(&mut channels)?;
        Ok(channels.word(5).saturating_add(channels.word(8)))
    }

    /// How it deals packets to its queues.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn rss(&self) -> io::Result<Rss> {
        // `struct ethtool_rxfh`: command, context, sizes of table and key, function, transform,
        // reserved, then the table and the key. With sizes of 0 it tells the sizes.
        const HEAD: usize = 24;
        let mut sizes = self.buffer(HEAD, GRSSH)?;
        match self.ask(&mut sizes) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return self.table(),
            Err(error) => return Err(error),
        }
        let (entries, key) = (sizes.word(2), sizes.word(3));
        if entries > MOST_NAMES || key > MOST_NAMES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let table = entries as usize * 4;
        let mut rss = self.buffer(HEAD + table + key as usize, GRSSH)?;
        rss.put(2, entries);
        rss.put(3, key);
        self.ask(&mut rss)?;
        let [function, input_transform, ..] = rss.word(4).to_ne_bytes();
        let (head, key) = rss.bytes().split_at(HEAD + table);
        let table = head[HEAD..].as_chunks::<4>().0.iter().map(|n| u32::from_ne_bytes(*n));
        Ok(Rss { key: key.to_owned(), function, input_transform, table: table.collect() })
    }

    /// The table alone, of drivers that do not tell their key.
    fn table(&self) -> io::Result<Rss> {
        // `struct ethtool_rxfh_indir`
        let mut size = self.buffer(8, GRXFHINDIR)?;
        self.ask(&mut size)?;
        let entries = size.word(1).min(MOST_NAMES);
        let mut table = self.buffer(8 + entries as usize * 4, GRXFHINDIR)?;
        table.put(1, entries);
        self.ask(&mut table)?;
        let table = (0..entries as usize).map(|at| table.word(2 + at)).collect();
        Ok(Rss { table, ..Rss::default() })
    }

    /// The names of a set, in the order of its values.
    fn names(&self, set: u32) -> io::Result<Vec<String>> {
        // `struct ethtool_sset_info`, with room for one size.
        let mut sizes = self.buffer(20, GSSET_INFO)?;
        sizes.put(2, 1 << set);
        self.ask(&mut sizes)?;
        let count = if sizes.word(2) == 0 { 0 } else { sizes.word(4) };
        if count > MOST_NAMES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // `struct ethtool_gstrings`
        let mut names = self.buffer(12 + count as usize * NAME_BYTES, GSTRINGS)?;
        names.put(1, set);
        names.put(2, count);
        self.ask(&mut names)?;
        Ok(names.bytes()[12..].as_chunks::<NAME_BYTES>().0.iter().map(|name| text(name)).collect())
    }

    fn buffer(&self, len: usize, command: u32) -> io::Result<Buffer> {
        let mut buffer = Buffer::new(len)?;
        buffer.put(0, command);
        Ok(buffer)
    }

    fn ask(&self, buffer: &mut Buffer) -> io::Result<()> {
        let mut request = netdev::request(&self.name)?;
        request.ifr_ifru.ifru_data = buffer.start.as_ptr().cast();
        // SAFETY: SIOCETHTOOL reads `ifr_name`, which ends with a zero, and reads and writes what
        // `ifru_data` points to: how much, the command in it says, or the driver, if it has grown
        // since it was asked. `Buffer` ends in memory that the kernel cannot write, so that the
        // request then fails and writes nothing of ours.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Memory for an answer, with a page after it that nobody can write.
///
/// For statistics and names the kernel writes as many as the driver has at that moment, whatever
/// room was asked for (`ethtool_get_stats` in net/ethtool/ioctl.c); the number may have grown
/// since it was asked.
#[derive(Debug)]
struct Buffer {
    start: NonNull<u8>,
    len: usize,
    mapped: usize,
}

impl Buffer {
    /// Zeros; what is left of the last page is room for a driver that grows, and what does not fit
    /// there meets the page that cannot be written.
    fn new(len: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let usable = len.next_multiple_of(page).max(page);
        let mapped = usable + page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: maps new pages at a place that the kernel chooses.
        let map =
            unsafe { libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(map.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let buffer = Self { start, len, mapped };
        // SAFETY: `usable` bytes from `map` on belong to the map above.
        let result = unsafe { libc::mprotect(map, usable, libc::PROT_READ | libc::PROT_WRITE) };
        if result == 0 { Ok(buffer) } else { Err(io::Error::last_os_error()) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` on are mapped, readable and initialized (zeros at
        // first) until `self` is dropped; only `ask` and `put` write them, with `&mut self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn word(&self, at: usize) -> u32 {
        let word = self.bytes().get(at * 4..).and_then(|bytes| bytes.first_chunk());
        word.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn put(&mut self, at: usize, word: u32) {
        // SAFETY: as in `bytes`; `&mut self` rules out a reader.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) };
        if let Some(place) = bytes.get_mut(at * 4..at * 4 + 4) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the map was made in `new` with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// A name that ends at its first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
