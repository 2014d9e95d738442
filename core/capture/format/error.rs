//! What can be wrong with a capture file, each in one sentence that says what to do.
//!
//! The types are small and `Copy`: one of them travels inside `Step`, on the hot path.

use std::fmt;

/// Why bytes are not, or are no longer, a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is not one byte.
    #[error("there is nothing in it, not even a file header; run the capture again")]
    Empty,
    /// The file header itself is cut.
    #[error("it ends after {bytes} bytes, inside the file header; copy or capture it again")]
    Short {
        /// How many bytes there are.
        bytes: usize,
    },
    /// Another kind of file.
    #[error(
        "not a capture file: it begins with `{begins}`{}; \
         ringmill reads pcap and pcapng, plain, .gz or .zst",
        parenthesis(hint)
    )]
    Unknown {
        /// Its first bytes.
        begins: Begins,
        /// What they look like and what to do then, or nothing.
        hint: &'static str,
    },
    /// A pcap file of a version that lays its records out in another way.
    #[error(
        "pcap version {major}.{minor}; ringmill reads 2.3 and 2.4: \
         rewrite it with `editcap -F pcap OLD NEW`"
    )]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// A pcap record that is longer than any packet.
    #[error(
        "damaged at byte {offset}: a packet that claims {length} bytes, {limit} at most are \
         possible; everything before it was read, copy the file again if there should be more"
    )]
    Length {
        /// Where the record begins.
        offset: u64,
        /// What it claims.
        length: u32,
        /// What this file allows.
        limit: u32,
    },
    /// A pcapng block that cannot be right.
    #[error(
        "damaged at byte {offset}: a block {fault}; everything before it was read, copy the \
         file again if there should be more"
    )]
    Block {
        /// Where the block begins.
        offset: u64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a pcapng block: ends the words "a block ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Blocks are padded to four bytes.
    #[error("whose length, {0}, is no multiple of 4")]
    Unaligned(u32),
    /// Its fixed fields do not fit.
    #[error("of {length} bytes, where its kind has {least} or more")]
    Small {
        /// What it claims.
        length: u32,
        /// What its kind needs.
        least: u32,
    },
    /// More than any packet with its options needs.
    #[error("that claims {0} bytes, more than any packet needs")]
    Huge(u32),
    /// The length is written at both ends and differs.
    #[error("that gives its length as {head} at its beginning and as {tail} at its end")]
    Trailer {
        /// The length at the beginning.
        head: u32,
        /// The length at the end.
        tail: u32,
    },
    /// A section header without the byte-order magic.
    #[error("that begins a section and has no byte-order mark (it has `{0}`)")]
    ByteOrder(Begins),
    /// A section of another major version.
    #[error("that begins a section of version {major}.{minor}; ringmill reads 1.x")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// An interface whose options cannot be read, so its clock is not known.
    #[error("that describes an interface and has an option that cannot be read")]
    Options,
    /// More interfaces than `Frame::interface` can name.
    #[error("that describes one interface too many: 65,536 are possible")]
    Interfaces,
}

/// The first bytes of something, shown as `50 4b 03 04`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begins {
    bytes: [u8; 8],
    count: u8,
}

impl Begins {
    /// Keeps up to eight bytes.
    pub fn with(start: &[u8]) -> Self {
        let mut begins = Self { bytes: [0; 8], count: 0 };
        for (slot, byte) in begins.bytes.iter_mut().zip(start) {
            *slot = *byte;
            begins.count += 1;
        }
        begins
    }
}

impl fmt::Display for Begins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.bytes.iter().take(self.count.into()).enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

fn parenthesis(hint: &str) -> String {
    match hint {
        "" => String::new(),
        hint => format!(" ({hint})"),
    }
}
