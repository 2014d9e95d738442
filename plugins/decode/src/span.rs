//! The bytes of one layer, and how many of them the capture kept.

use crate::drop_reason::DropReason;

/// A layer from its first byte on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'f> {
    captured: &'f [u8],
    /// Its length on the wire as far as the headers outside of it tell; at least that of
    /// `captured`.
    len: usize,
    /// Where it starts in the frame.
    start: usize,
}

impl<'f> Span<'f> {
    /// A whole frame that had `wire_len` bytes before the capture cut it.
    pub(crate) fn of_frame(frame: &'f [u8], wire_len: u32) -> Self {
        Self { captured: frame, len: frame.len().max(wire_len as usize), start: 0 }
    }

    pub(crate) fn captured(self) -> &'f [u8] {
        self.captured
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    pub(crate) fn start(self) -> usize {
        self.start
    }

    /// The first `N` bytes. Without them, the capture or the sender is to blame.
    pub(crate) fn head<const N: usize>(self) -> Result<&'f [u8; N], DropReason> {
        self.captured.first_chunk().ok_or_else(|| self.lacks(N))
    }

    /// Why `needed` bytes of a tunnel's header are not there.
    #[cold]
    pub(crate) fn lacks(self, needed: usize) -> DropReason {
        self.blame(needed, DropReason::ShortEncapsulation, DropReason::BadEncapsulation)
    }

    /// `short` when the capture is to blame that `needed` bytes are not there, else `bad`.
    pub(crate) fn blame(self, needed: usize, short: DropReason, bad: DropReason) -> DropReason {
        if needed > self.len { bad } else { short }
    }

    /// What follows a header of `header` bytes, of which more than was captured may be claimed.
    pub(crate) fn skip(self, header: usize) -> Self {
        Self {
            captured: self.captured.get(header..).unwrap_or_default(),
            len: self.len.saturating_sub(header),
            start: self.start + header,
        }
    }

    /// The same, ending after `len` bytes whatever is there: what a length field claims beyond
    /// the frame counts as not captured.
    pub(crate) fn claim(self, len: usize) -> Self {
        let captured = &self.captured[..len.min(self.captured.len())];
        Self { captured, len, ..self }
    }

    /// The same without what follows after `len` bytes.
    pub(crate) fn limit(self, len: usize) -> Self {
        self.claim(len.min(self.len))
    }
}

/// The big-endian number at `at`, `None` beyond the end.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
