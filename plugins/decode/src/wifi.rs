//! IEEE 802.11 data frames, and the headers that capture programs put in front of them.

use crate::{
    drop_reason::DropReason,
    ethernet,
    road::{Layer, Next, Road},
    span::{Span, be16},
};

const HEADER: usize = 24;
const PRISM_HEADER: usize = 144;
const TO_DS: u8 = 0x01;
const FROM_DS: u8 = 0x02;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
const QOS: u8 = 0x80;
const NO_DATA: u8 = 0x40;
const A_MSDU: u8 = 0x80;

/// What LLC says that an unprotected data frame carries (IEEE 802.11-2020, clause 9.2).
pub(crate) fn enter<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    body(span, false, road)
}

/// `padded`: the header ends on a multiple of four bytes, as some cards deliver it.
fn body<'f>(span: Span<'f>, padded: bool, road: &mut Road) -> Next<'f> {
    let header = span.head::<HEADER>()?;
    let (control, flags) = (header[0], header[1]);
    // Version 0, type data, and none of the subtypes that carry nothing.
    if control & 0x0f != 0x08 || control & NO_DATA != 0 {
        return Err(DropReason::WifiOther);
    }
    if flags & PROTECTED != 0 {
        return Err(DropReason::WifiProtected);
    }
    if flags & MORE_FRAGMENTS != 0 || header[22] & 0x0f != 0 {
        return Err(DropReason::WifiFragment);
    }
    let mut len = HEADER;
    if flags & (TO_DS | FROM_DS) == TO_DS | FROM_DS {
        len += 6;
    }
    let mut aggregate = false;
    if control & QOS != 0 {
        let qos = *span.captured().get(len).ok_or_else(|| span.lacks(len + 2))?;
        aggregate = qos & A_MSDU != 0;
        len += if flags & ORDER != 0 { 2 + 4 } else { 2 };
    }
    if padded {
        len = len.next_multiple_of(4);
    }
    let mut rest = span.skip(len);
    if aggregate {
        // Subframes with addresses and a length each. A packet can be only one of them.
        let length = be16(rest.captured(), 12).ok_or_else(|| rest.lacks(14))?;
        let length = usize::from(length);
        if rest.len() >= (14 + length).next_multiple_of(4) + 14 {
            return Err(DropReason::WifiAggregate);
        }
        rest = rest.skip(14).limit(length);
    }
    ethernet::llc(rest, road)
}

/// Radiotap: <https://www.radiotap.org>. Its fields are little-endian and aligned to their
/// size; which there are, the words of bits say that come first.
pub(crate) fn radiotap<'f>(span: Span<'f>, road: &mut Road) -> Next<'f> {
    let &[version, _, low, high] =
        span.captured().first_chunk::<4>().ok_or(DropReason::ShortFrame)?;
    let len = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || len < 8 {
        return Err(DropReason::BadEncapsulation);
    }
    let header = span.captured().get(..len).ok_or_else(|| span.lacks(len))?;
    body(span.skip(len), has_padding(header).unwrap_or(false), road)
}

/// Whether the flags say so; `None` where there are none.
fn has_padding(radiotap: &[u8]) -> Option<bool> {
    let mut words = radiotap.get(4..)?.as_chunks::<4>().0.iter();
    let first = words.next()?[0];
    let mut at = 8;
    let mut last = radiotap[7];
    while last & 0x80 != 0 {
        last = words.next()?[3];
        at += 4;
    }
    if first & 0x02 == 0 {
        return None;
    }
    // Before the flags may come a time of eight bytes.
    if first & 0x01 != 0 {
        at = usize::next_multiple_of(at, 8) + 8;
    }
    Some(radiotap.get(at)? & 0x20 != 0)
}

/// A header of fixed length, or AVS under the same number: the first bytes tell.
pub(crate) fn prism(span: Span<'_>) -> Next<'_> {
    match span.captured().first_chunk::<4>().ok_or(DropReason::ShortFrame)? {
        [0x80, 0x21, 0x10, _] => avs(span),
        _ => Ok((Layer::Wifi, span.skip(PRISM_HEADER))),
    }
}

/// AVS: a version and its own length, both big-endian.
pub(crate) fn avs(span: Span<'_>) -> Next<'_> {
    match span.captured().first_chunk::<8>().ok_or(DropReason::ShortFrame)? {
        [0x80, 0x21, 0x10, _, 0, 0, high, low] => {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if len < 8 {
                return Err(DropReason::BadEncapsulation);
            }
            Ok((Layer::Wifi, span.skip(len)))
        }
        _ => Err(DropReason::BadEncapsulation),
    }
}
