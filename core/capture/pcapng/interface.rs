//! One interface of a pcapng file: its clock, and what it says it lost.
//!
//! Source: draft-ietf-opsawg-pcapng, sections "Interface Description Block" and "Interface
//! Statistics Block".

const END: u16 = 0;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

const NANOS: u32 = 1_000_000_000;
/// Names come from outside and are kept: long ones are cut.
const NAME_LIMIT: usize = 64;

/// An interface that packets were captured from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `LINKTYPE_` of its packets.
    pub link: u16,
    /// The most bytes it captured of a packet; 0 is no limit.
    pub snaplen: u32,
    /// What the capturing machine called it.
    pub name: Option<Box<str>>,
    /// Packets it received, as the last statistics block tells.
    pub received: Option<u64>,
    /// Packets it dropped for want of room, as the last statistics block tells.
    pub dropped: Option<u64>,
    unit: Unit,
    /// Nanoseconds to add to every time.
    offset: i128,
}

/// How long one tick of an interface's clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds; the usual clocks.
    Times(u32),
    /// A fraction of a nanosecond.
    Over(u128),
    /// A second shifted right.
    Binary(u8),
}

impl Unit {
    /// `if_tsresol`: a power of ten, or of two if the highest bit is set.
    fn of(resolution: u8) -> Self {
        let power = resolution & 0x7f;
        if resolution != power {
            return Self::Binary(power);
        }
        match 10_u32.checked_pow(power.into()) {
            Some(ticks) if ticks <= NANOS => Self::Times(NANOS / ticks),
            // Past 128 bits no 64-bit count reaches one nanosecond.
            _ => Self::Over(10_u128.checked_pow(u32::from(power) - 9).unwrap_or(u128::MAX)),
        }
    }
}

impl Interface {
    /// The body of an Interface Description Block; `None` if its options cannot be read.
    pub(super) fn parse(body: &[u8], swapped: bool) -> Option<Self> {
        let ([l0, l1, _, _, s0, s1, s2, s3], options) = body.split_first_chunk::<8>()?;
        let mut described = Self {
            link: u16_in([*l0, *l1], swapped),
            snaplen: u32_in([*s0, *s1, *s2, *s3], swapped),
            name: None,
            received: None,
            dropped: None,
            unit: Unit::Times(1000),
            offset: 0,
        };
        each_option(options, swapped, |code, value| {
            match code {
                NAME => {
                    let text = String::from_utf8_lossy(&value[..value.len().min(NAME_LIMIT)]);
                    let text = text.trim_end_matches('\0');
                    described.name = (!text.is_empty()).then(|| text.into());
                }
                RESOLUTION => described.unit = Unit::of(*value.first()?),
                OFFSET => {
                    let seconds = u64_in(*value.first_chunk()?, swapped).cast_signed();
                    described.offset = i128::from(seconds) * i128::from(NANOS);
                }
                _ => {}
            }
            Some(())
        })?;
        Some(described)
    }

    /// Takes over the counters of an Interface Statistics Block; `None` if they cannot be read.
    ///
    /// They count from the beginning of the capture, so the last block is the one that holds.
    pub(super) fn count(&mut self, options: &[u8], swapped: bool) -> Option<()> {
        each_option(options, swapped, |code, value| {
            match code {
                RECEIVED => self.received = Some(u64_in(*value.first_chunk()?, swapped)),
                DROPPED => self.dropped = Some(u64_in(*value.first_chunk()?, swapped)),
                _ => {}
            }
            Some(())
        })
    }

    /// The time of a tick in nanoseconds since 1970; the ends of the range stand for what lies
    /// beyond them.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> i64 {
        let nanos = match self.unit {
            Unit::Times(unit) => u128::from(ticks) * u128::from(unit),
            Unit::Over(parts) => u128::from(ticks) / parts,
            Unit::Binary(power) => (u128::from(ticks) * u128::from(NANOS)) >> power,
        };
        // Less than 2^94, and the offset less than 2^93: no sum overflows.
        let time = nanos.cast_signed() + self.offset;
        i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Calls `see` for each option; `None` if one runs past the end, or `see` says so.
fn each_option(
    mut bytes: &[u8],
    swapped: bool,
    mut see: impl FnMut(u16, &[u8]) -> Option<()>,
) -> Option<()> {
    while let Some(([c0, c1, l0, l1], rest)) = bytes.split_first_chunk::<4>() {
        let code = u16_in([*c0, *c1], swapped);
        if code == END {
            return Some(());
        }
        let length = usize::from(u16_in([*l0, *l1], swapped));
        see(code, rest.get(..length)?)?;
        bytes = rest.get(length.next_multiple_of(4)..)?;
    }
    // The end mark may be left out; blocks are whole words, so nothing is left over.
    Some(())
}

#[inline]
pub(super) fn u32_in(bytes: [u8; 4], swapped: bool) -> u32 {
    let native = u32::from_ne_bytes(bytes);
    if swapped { native.swap_bytes() } else { native }
}

pub(super) fn u16_in(bytes: [u8; 2], swapped: bool) -> u16 {
    let native = u16::from_ne_bytes(bytes);
    if swapped { native.swap_bytes() } else { native }
}

fn u64_in(bytes: [u8; 8], swapped: bool) -> u64 {
    let native = u64::from_ne_bytes(bytes);
    if swapped { native.swap_bytes() } else { native }
}

#[cfg(test)]
mod tests {
    use super::{Interface, Unit};

    #[test]
    fn a_tick_becomes_nanoseconds() {
        const S: i64 = 1_000_000_000;
        let cases: &[(&str, u8, i64, u64, i64)] = &[
            ("micros", 6, 0, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
            ("nanos", 9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
            ("seconds", 0, 0, 12, 12 * S),
            ("millis", 3, 0, 1500, 3 * S / 2),
            ("tenths of nanos", 10, 0, 19, 1),
            ("picos", 12, 0, 5_000_000_001_000, 5 * S + 1),
            ("10^-27", 27, 0, u64::MAX, 18),
            ("10^-28", 28, 0, u64::MAX, 1),
            ("10^-29", 29, 0, u64::MAX, 0),
            ("10^-127", 127, 0, u64::MAX, 0),
            ("2^0", 0x80, 0, 3, 3 * S),
            ("2^-1", 0x81, 0, 3, 3 * S / 2),
            ("2^-20", 0x94, 0, (5 << 20) + (1 << 19), 5 * S + S / 2),
            (
                "2^-32, as NTP",
                0xa0,
                0,
                (1_700_000_000 << 32) + (1 << 31),
                1_700_000_000 * S + S / 2,
            ),
            ("2^-64", 0xc0, 0, u64::MAX, S - 1),
            ("2^-127", 0xff, 0, u64::MAX, 0),
            ("an offset", 6, 1_700_000_000, 5_000_000, 1_700_000_005 * S),
            ("before 1970", 6, -10, 3_000_000, -7 * S),
            ("beyond the range", 6, 0, u64::MAX, i64::MAX),
            ("far beyond it", 0, i64::MAX, u64::MAX, i64::MAX),
            ("before the range", 9, i64::MIN, u64::MAX, i64::MIN),
            ("far out, and back by the offset", 0, -9_999_999_999, 10_000_000_000, S),
        ];
        for (name, resolution, offset, ticks, time) in cases {
            let interface = Interface {
                link: 1,
                snaplen: 0,
                name: None,
                received: None,
                dropped: None,
                unit: Unit::of(*resolution),
                offset: i128::from(*offset) * 1_000_000_000,
            };
            assert_eq!(interface.time(*ticks), *time, "{name}");
        }
    }
}
