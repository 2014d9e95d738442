//! The pcapng file: blocks that carry their length at both ends.
//!
//! Two kinds of wrong are kept apart. Where the framing is wrong (a length, its copy, a
//! section without byte order) the next block cannot be found and the file ends there. Where
//! a well-framed block holds a packet that cannot be read, only that packet is lost: it is
//! counted in [`Skipped`] and the walk goes on, because one bad block should not cost an
//! operator the rest of a long capture.
//!
//! Interfaces are numbered through the whole file: a section begins its numbers again, and
//! interface 0 of two sections need not be the same card.
//!
//! Source: draft-ietf-opsawg-pcapng.

mod interface;
#[cfg(test)]
mod tests;

pub use interface::Interface;

use super::format::{Begins, Fault, FormatError, Frame, HARD_LIMIT, Skipped, Step, unknown};

/// How every pcapng file begins: the type of a section header, the same in both byte orders.
pub const MAGIC: [u8; 4] = SECTION.to_ne_bytes();

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type, length, and the length again.
const FRAMING: u32 = 12;
/// The largest packet and 64 KiB of options.
const BLOCK_LIMIT: u32 = HARD_LIMIT + (64 << 10);
const MOST_INTERFACES: usize = 1 << 16;

/// The fixed fields of a packet block, before the packet.
const ENHANCED_HEAD: usize = 20;

/// Reads the blocks of one pcapng file.
#[derive(Clone, Debug)]
pub struct Reader {
    swapped: bool,
    /// Where the next block begins, so that damage can be said with its place.
    offset: u64,
    interfaces: Vec<Interface>,
    /// Index of the running section's interface 0.
    section: usize,
    /// For packets that bring no time of their own.
    last_time: i64,
    skipped: Skipped,
}

impl Reader {
    /// Looks for a section header; `Ok(None)` asks for more bytes.
    ///
    /// Nothing is used up: the first `step` reads the section header.
    pub fn detect(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let Some([magic @ .., _, _, _, _, o0, o1, o2, o3]) = bytes.first_chunk::<12>() else {
            return Ok(None);
        };
        match byte_order([*o0, *o1, *o2, *o3]) {
            Some(swapped) if *magic == MAGIC => Ok(Some(Self {
                swapped,
                offset: 0,
                interfaces: Vec::new(),
                section: 0,
                last_time: 0,
                skipped: Skipped::default(),
            })),
            _ => Err(unknown(bytes)),
        }
    }

    /// The interfaces described so far, of all sections.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What was passed over so far though it was meant to be read.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Reads one block from the front of `bytes`.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        match self.block(bytes) {
            Ok(Some((kind, body))) => {
                let used = body.len() + FRAMING as usize;
                let frame = match kind {
                    ENHANCED_PACKET => self.enhanced(body),
                    SIMPLE_PACKET => self.simple(body),
                    OBSOLETE_PACKET => self.obsolete(body),
                    _ => match self.other(kind, body) {
                        Ok(()) => None,
                        Err(fault) => return self.damaged(fault),
                    },
                };
                self.offset += used as u64;
                match frame {
                    Some(frame) => Step::Frame { frame, used },
                    None => Step::Skip { used },
                }
            }
            Ok(None) => Step::More,
            Err(fault) => self.damaged(fault),
        }
    }

    /// The kind and body of a block whose framing is right.
    #[inline]
    fn block<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(u32, &'a [u8])>, Fault> {
        let Some([k0, k1, k2, k3, l0, l1, l2, l3]) = bytes.first_chunk::<8>() else {
            return Ok(None);
        };
        let kind = self.u32([*k0, *k1, *k2, *k3]);
        if kind == SECTION {
            // It brings its own byte order, in which its length is written too.
            let Some([.., o0, o1, o2, o3]) = bytes.first_chunk::<12>() else {
                return Ok(None);
            };
            let mark = [*o0, *o1, *o2, *o3];
            self.swapped = byte_order(mark).ok_or(Fault::ByteOrder(Begins::with(&mark)))?;
        }
        let length = self.u32([*l0, *l1, *l2, *l3]);
        if !length.is_multiple_of(4) {
            return Err(Fault::Unaligned(length));
        }
        let least = least(kind);
        if length < least {
            return Err(Fault::Small { length, least });
        }
        if length > BLOCK_LIMIT {
            return Err(Fault::Huge(length));
        }
        let Some(block) = bytes.get(..length as usize) else {
            return Ok(None);
        };
        let Some((body, tail)) = block[8..].split_last_chunk::<4>() else {
            return Ok(None);
        };
        let tail = self.u32(*tail);
        if tail != length {
            return Err(Fault::Trailer { head: length, tail });
        }
        Ok(Some((kind, body)))
    }

    /// An Enhanced Packet Block.
    #[inline]
    fn enhanced<'a>(&mut self, body: &'a [u8]) -> Option<Frame<'a>> {
        let (head, rest) = body.split_first_chunk::<ENHANCED_HEAD>()?;
        self.packet(self.word(head, 0), head, rest)
    }

    /// The Packet Block of early drafts: a shorter interface and a drop count in one word.
    fn obsolete<'a>(&mut self, body: &'a [u8]) -> Option<Frame<'a>> {
        let (head, rest) = body.split_first_chunk::<ENHANCED_HEAD>()?;
        self.packet(self.u16([head[0], head[1]]).into(), head, rest)
    }

    #[inline]
    fn packet<'a>(
        &mut self,
        interface: u32,
        head: &[u8; ENHANCED_HEAD],
        rest: &'a [u8],
    ) -> Option<Frame<'a>> {
        let index = self.section.saturating_add(interface as usize);
        let Some(described) = self.interfaces.get(index) else {
            self.skipped.undeclared += 1;
            return None;
        };
        let Some(data) = rest.get(..self.word(head, 12) as usize) else {
            self.skipped.overlong += 1;
            return None;
        };
        let ticks = u64::from(self.word(head, 4)) << 32 | u64::from(self.word(head, 8));
        let time = described.time(ticks);
        self.last_time = time;
        Some(Frame {
            time,
            data,
            wire_len: self.word(head, 16),
            link: described.link,
            interface: u16::try_from(index).unwrap_or(u16::MAX),
        })
    }

    /// A Simple Packet Block: interface 0, cut by that interface's snaplen, without a time;
    /// the last one seen keeps the order of the file.
    fn simple<'a>(&mut self, body: &'a [u8]) -> Option<Frame<'a>> {
        let (wire, rest) = body.split_first_chunk::<4>()?;
        let wire_len = self.u32(*wire);
        let Some(described) = self.interfaces.get(self.section) else {
            self.skipped.undeclared += 1;
            return None;
        };
        let captured = match described.snaplen {
            0 => wire_len,
            limit => wire_len.min(limit),
        };
        let Some(data) = rest.get(..captured as usize) else {
            self.skipped.overlong += 1;
            return None;
        };
        Some(Frame {
            time: self.last_time,
            data,
            wire_len,
            link: described.link,
            interface: u16::try_from(self.section).unwrap_or(u16::MAX),
        })
    }

    /// Blocks that are no packets; names, secrets and custom blocks are none of our business.
    #[cold]
    fn other(&mut self, kind: u32, body: &[u8]) -> Result<(), Fault> {
        match (kind, body) {
            (SECTION, [_, _, _, _, a, b, c, d, ..]) => {
                let (major, minor) = (self.u16([*a, *b]), self.u16([*c, *d]));
                if major != 1 {
                    return Err(Fault::Version { major, minor });
                }
                self.section = self.interfaces.len();
            }
            (INTERFACE, _) => {
                if self.interfaces.len() == MOST_INTERFACES {
                    return Err(Fault::Interfaces);
                }
                let described = Interface::parse(body, self.swapped).ok_or(Fault::Options)?;
                self.interfaces.push(described);
            }
            (STATISTICS, [a, b, c, d, _, _, _, _, _, _, _, _, options @ ..]) => {
                let number = self.u32([*a, *b, *c, *d]) as usize;
                let index = self.section.saturating_add(number);
                let swapped = self.swapped;
                let told = self
                    .interfaces
                    .get_mut(index)
                    .and_then(|interface| interface.count(options, swapped));
                if told.is_none() {
                    self.skipped.statistics += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    #[cold]
    fn damaged<'a>(&self, fault: Fault) -> Step<'a> {
        Step::Damaged(FormatError::Block { offset: self.offset, fault })
    }

    #[inline]
    fn word(&self, head: &[u8; ENHANCED_HEAD], at: usize) -> u32 {
        self.u32([head[at], head[at + 1], head[at + 2], head[at + 3]])
    }

    #[inline]
    fn u32(&self, bytes: [u8; 4]) -> u32 {
        interface::u32_in(bytes, self.swapped)
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        interface::u16_in(bytes, self.swapped)
    }
}

/// Whether the section's byte order is not this machine's; `None` if the mark is no mark.
fn byte_order(mark: [u8; 4]) -> Option<bool> {
    match u32::from_ne_bytes(mark) {
        BYTE_ORDER => Some(false),
        mark if mark == BYTE_ORDER.swap_bytes() => Some(true),
        _ => None,
    }
}

/// The shortest block of a kind.
#[inline]
fn least(kind: u32) -> u32 {
    FRAMING
        + match kind {
            ENHANCED_PACKET | OBSOLETE_PACKET => 20,
            SECTION => 16,
            STATISTICS => 12,
            INTERFACE => 8,
            SIMPLE_PACKET => 4,
            _ => 0,
        }
}
