//! Puts IP fragments together, within a bound of memory and of time.
//!
//! The packet that completes a datagram becomes the datagram. Overlaps are handled as RFC 5722
//! and RFC 8200, section 4.5, have it for IPv6, and for IPv4 the same way: the datagram is given
//! up, with what comes of it later, because what its receiver makes of it nobody else can know.
//! A fragment that comes again byte for byte is no overlap. We did not choose "first wins": the
//! records would say what some receivers never saw.
//!
//! Time runs from the first fragment that came (RFC 791, RFC 8200) and is that of the packets,
//! so that a capture gives the same whenever it is read. When memory is full, the oldest
//! datagram goes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use etherparse::{IpFragOffset, Ipv4HeaderSlice};
use ringmill_sdk::{Counter, Host, Timestamp};

use crate::{drop_reason::DropReason, span::Span};

/// What a datagram and a part of it cost beside their bytes, at most: entries of the map, the
/// tree and the queue.
const DATAGRAM: usize = 640;
const PART: usize = 64;
/// No IP datagram is longer.
const LONGEST: usize = 65_535;

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) ends: ([u8; 16], [u8; 16]),
    pub(crate) number: u32,
    pub(crate) protocol: u8,
    /// The tunnels around it, which may use the same addresses inside.
    pub(crate) scope: u64,
    pub(crate) vlan: u16,
}

/// What stands in front of the data of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'f> {
    /// A header with its options.
    V4(&'f [u8]),
    V6 {
        /// The header with all extension headers before the fragment header.
        bytes: &'f [u8],
        /// Where in them the number of the fragment header stands.
        named_at: usize,
        /// What takes its place.
        next: u8,
    },
}

/// One fragment, as it lies in a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'f> {
    pub(crate) key: Key,
    pub(crate) head: Head<'f>,
    /// In bytes.
    pub(crate) offset: usize,
    pub(crate) more: bool,
    pub(crate) body: Span<'f>,
}

/// Datagrams of which not all has come.
#[derive(Debug)]
pub(crate) struct Fragments {
    /// Bytes.
    most: usize,
    /// Nanoseconds.
    life: u64,
    held: usize,
    waiting: HashMap<Key, Datagram>,
    /// By age. Those that are complete stay until they come to the front, or are too many.
    queue: VecDeque<(Key, u64)>,
    /// Of the next datagram.
    serial: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Counters {
    reassembled: Counter,
    overlapping: Counter,
    timed_out: Counter,
    evicted: Counter,
    unfinished: Counter,
}

#[derive(Debug)]
struct Datagram {
    serial: u64,
    born: Timestamp,
    /// The bytes in front of the data, with lengths still those of the first fragment.
    head: Option<(Vec<u8>, bool)>,
    parts: BTreeMap<usize, Box<[u8]>>,
    /// Sum of the parts.
    data: usize,
    /// Length of all data, once the last fragment has come.
    end: Option<usize>,
    /// Fragments overlapped; the rest of them is thrown away.
    given_up: bool,
}

impl Datagram {
    fn cost(&self) -> usize {
        let head = self.head.as_ref().map_or(0, |(head, _)| head.len());
        DATAGRAM + head + self.data + self.parts.len() * PART
    }
}

impl Fragments {
    /// Holds at most `bytes`, and each datagram for at most `seconds`.
    pub(crate) fn new(bytes: usize, seconds: u32, host: &Host) -> Self {
        Self {
            most: bytes,
            life: u64::from(seconds) * 1_000_000_000,
            held: 0,
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            serial: 0,
            counters: Counters {
                reassembled: host.counter("datagrams.reassembled"),
                overlapping: host.counter("datagrams.overlapping"),
                timed_out: host.counter("datagrams.timed_out"),
                evicted: host.counter("datagrams.evicted"),
                unfinished: host.counter("datagrams.unfinished"),
            },
        }
    }

    /// The datagram that this fragment completes, or what becomes of the fragment.
    pub(crate) fn add(
        &mut self,
        fragment: &Fragment<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, DropReason> {
        let (data, offset) = (fragment.body.captured(), fragment.offset);
        if self.most == 0 {
            return Err(DropReason::IpFragment);
        }
        if data.len() < fragment.body.len() {
            return Err(DropReason::FragmentCut);
        }
        // RFC 791: only the last may have a length that is no multiple of eight.
        let end = offset + data.len();
        if data.is_empty() || (fragment.more && data.len() % 8 != 0) || end > LONGEST {
            return Err(DropReason::BadFragment);
        }
        self.expire(now);
        if self.waiting.get(&fragment.key).is_some_and(|old| self.is_over(old.born, now)) {
            self.forget(&fragment.key);
            self.counters.timed_out.add(1);
        }
        let datagram = self.waiting.entry(fragment.key).or_insert_with(|| {
            self.queue.push_back((fragment.key, self.serial));
            self.serial += 1;
            self.held += DATAGRAM;
            Datagram {
                serial: self.serial - 1,
                born: now,
                head: None,
                parts: BTreeMap::new(),
                data: 0,
                end: None,
                given_up: false,
            }
        });
        if datagram.given_up {
            return Err(DropReason::FragmentOverlap);
        }
        if datagram.parts.get(&offset).is_some_and(|part| **part == *data) {
            return Err(DropReason::FragmentDuplicate);
        }
        let before = datagram.cost();
        let result = datagram.insert(fragment, data, end);
        self.held = self.held + datagram.cost() - before;
        match result {
            Ok(false) => {
                self.make_room();
                Err(DropReason::FragmentHeld)
            }
            Ok(true) => {
                let whole = datagram.whole();
                self.forget(&fragment.key);
                let whole = whole.ok_or(DropReason::BadFragment)?;
                self.counters.reassembled.add(1);
                Ok(whole)
            }
            Err(reason) => {
                self.counters.overlapping.add(1);
                Err(reason)
            }
        }
    }

    /// Lets go of the datagrams whose time is over.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((key, serial)) = self.queue.front() {
            match self.waiting.get(key) {
                Some(datagram) if datagram.serial == *serial => {
                    if !self.is_over(datagram.born, now) {
                        break;
                    }
                    let (key, given_up) = (*key, datagram.given_up);
                    self.forget(&key);
                    if !given_up {
                        self.counters.timed_out.add(1);
                    }
                }
                // Complete, and perhaps another one has taken its name.
                _ => {}
            }
            self.queue.pop_front();
        }
        // Each datagram that was waiting pays for one that is not.
        if self.queue.len() > 2 * self.waiting.len() + 64 {
            let waiting = &self.waiting;
            self.queue.retain(|(key, serial)| {
                waiting.get(key).is_some_and(|datagram| datagram.serial == *serial)
            });
        }
    }

    /// No more packets come.
    pub(crate) fn finish(&mut self) {
        let rest = self.waiting.values().filter(|datagram| !datagram.given_up).count();
        self.counters.unfinished.add(rest as u64);
        (self.waiting, self.queue, self.held) = (HashMap::new(), VecDeque::new(), 0);
    }

    /// Clocks of interfaces differ and files follow each other in any order, so a time that is
    /// far before is as good as one that is far behind.
    fn is_over(&self, born: Timestamp, now: Timestamp) -> bool {
        now.0.abs_diff(born.0) > self.life
    }

    fn make_room(&mut self) {
        while self.held > self.most {
            let Some((key, serial)) = self.queue.pop_front() else { return };
            if self.waiting.get(&key).is_some_and(|datagram| datagram.serial == serial) {
                let given_up = self.forget(&key);
                if !given_up {
                    self.counters.evicted.add(1);
                }
            }
        }
    }

    /// Whether it had been given up before.
    fn forget(&mut self, key: &Key) -> bool {
        let Some(datagram) = self.waiting.remove(key) else { return false };
        self.held -= datagram.cost();
        datagram.given_up
    }
}

impl Datagram {
    /// Takes a part; whether nothing is missing any more.
    fn insert(
        &mut self,
        fragment: &Fragment<'_>,
        data: &[u8],
        end: usize,
    ) -> Result<bool, DropReason> {
        let offset = fragment.offset;
        let before = self.parts.range(..=offset).next_back();
        let after = self.parts.range(offset..).next();
        let last = self.parts.last_key_value().map_or(0, |(at, part)| at + part.len());
        let overlaps = before.is_some_and(|(at, part)| at + part.len() > offset)
            || after.is_some_and(|(at, _)| *at < end)
            // Two ends, data behind the end, or none before it.
            || self.end.is_some_and(|known| end > known || !fragment.more)
            || (!fragment.more && last > end);
        if overlaps {
            self.given_up = true;
            (self.head, self.parts, self.data) = (None, BTreeMap::new(), 0);
            return Err(DropReason::FragmentOverlap);
        }
        if offset == 0 {
            self.head = Some(match fragment.head {
                Head::V4(bytes) => (bytes.to_vec(), true),
                Head::V6 { bytes, named_at, next } => {
                    let mut bytes = bytes.to_vec();
                    bytes[named_at] = next;
                    (bytes, false)
                }
            });
        }
        if !fragment.more {
            self.end = Some(end);
        }
        self.data += data.len();
        self.parts.insert(offset, data.into());
        Ok(self.end == Some(self.data))
    }

    /// All of it, as one packet; `None` where it would be longer than one can be.
    fn whole(&self) -> Option<Vec<u8>> {
        let (head, is_v4) = self.head.as_ref()?;
        let mut packet = Vec::with_capacity(head.len() + self.data);
        if *is_v4 {
            let mut header = Ipv4HeaderSlice::from_slice(head).ok()?.to_header();
            header.total_len = u16::try_from(head.len() + self.data).ok()?;
            header.more_fragments = false;
            header.fragment_offset = IpFragOffset::ZERO;
            header.header_checksum = header.calc_header_checksum();
            packet.extend_from_slice(&header.to_bytes());
        } else {
            packet.extend_from_slice(head);
            let len = u16::try_from(head.len() - 40 + self.data).ok()?;
            packet[4..6].copy_from_slice(&len.to_be_bytes());
        }
        self.parts.values().for_each(|part| packet.extend_from_slice(part));
        Some(packet)
    }
}
