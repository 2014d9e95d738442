//! Days and weeks, in UTC.

use crate::{Timestamp, render};

/// How long a key is used before the next takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// From midnight to midnight, UTC.
    Day,
    /// From Monday to Sunday (ISO 8601), UTC.
    Week,
}

const NANOS_A_DAY: i64 = 86_400_000_000_000;

/// 1970-01-01 was a Thursday.
const MONDAY_TO_THURSDAY: i64 = 3;

impl Epoch {
    /// Both under their names.
    pub const ALL: [(&'static str, Self); 2] = [("day", Self::Day), ("week", Self::Week)];

    /// `day` or `week`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The number of the day or week that a time is in; that of 1970-01-01 is 0.
    #[inline]
    #[must_use]
    pub fn period(self, time: Timestamp) -> i64 {
        self.period_of_day(time.0.div_euclid(NANOS_A_DAY))
    }

    /// The same, of a day counted from 1970-01-01.
    #[inline]
    #[must_use]
    pub fn period_of_day(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            Self::Week => (day + MONDAY_TO_THURSDAY).div_euclid(7),
        }
    }

    /// The first day of a period, counted from 1970-01-01.
    #[must_use]
    pub fn first_day(self, period: i64) -> i64 {
        match self {
            Self::Day => period,
            Self::Week => period.saturating_mul(7).saturating_sub(MONDAY_TO_THURSDAY),
        }
    }

    /// The first day of a period as `2026-11-26`.
    #[must_use]
    pub fn date(self, period: i64) -> String {
        date(self.first_day(period))
    }
}

/// A day counted from 1970-01-01, as `2026-11-26`.
#[must_use]
pub fn date(day: i64) -> String {
    let (year, month, day) = render::date(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day that `2026-11-26` names, counted from 1970-01-01; `None` for what is no date, and for
/// days that no [`Timestamp`] of ours reaches: only 1970-01-01 to 2261-12-31 are.
#[must_use]
pub fn day(text: &str) -> Option<i64> {
    let digits = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    let (year, month, of_month) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    if !(1970..2262).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // The year begins in March, so that the leap day is its last; see `render::date`.
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_to_1970 = 719_468;
    let day =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + of_month
            - 1
            - days_to_1970;
    // Only a date that exists comes out as it went in.
    (date(day) == text).then_some(day)
}
