//! What a metered link may be used for: so many bytes a day.

use std::{fmt, str::FromStr};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Bytes that may be fetched in a day. Text form: a whole number and `kB`, `MB` or `GB`, as those who sell links count: a thousand bytes, a million, a thousand million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteLimit(u64);

impl ByteLimit {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
        let split = units
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end_matches(' '), *unit)));
        let whole = split.filter(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()));
        let bytes = whole.and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| {
            format!("{text:?} is no amount a day: write a whole number and kB, MB or GB, like \"200MB\"")
        })
    }
}

impl fmt::Display for ByteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
        match units.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// What was fetched on one day, by the site's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    day: Option<Date>,
    bytes: u64,
}

impl Spent {
    /// What may still be fetched today. Another day than the last one is a new one, also an earlier one: clocks are set.
    #[must_use]
    pub fn left(&self, limit: ByteLimit, today: Date) -> u64 {
        limit.bytes().saturating_sub(self.on(today))
    }

    /// Bytes that were fetched on a day, as far as is known.
    #[must_use]
    pub fn on(&self, day: Date) -> u64 {
        if self.day == Some(day) { self.bytes } else { 0 }
    }

    /// The same with `bytes` more.
    #[must_use]
    pub fn and(&self, bytes: u64, today: Date) -> Self {
        Self {
            day: Some(today),
            bytes: self.on(today).saturating_add(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_day_has_its_bytes_and_the_next_one_has_them_anew() {
        let limit: ByteLimit = "2MB".parse().unwrap();
        let (monday, tuesday) = (date(2026, 11, 30), date(2026, 12, 1));
        let spent = Spent::default().and(1_500_000, monday);
        assert_eq!(spent.left(limit, monday), 500_000);
        let spent = spent.and(700_000, monday);
        assert_eq!(
            (spent.left(limit, monday), spent.left(limit, tuesday)),
            (0, 2_000_000)
        );
        assert_eq!(spent.and(1, tuesday).left(limit, tuesday), 1_999_999);
        assert_eq!(spent.and(u64::MAX, monday).left(limit, monday), 0);
    }

    #[test]
    fn amounts_are_whole_numbers_with_a_unit() {
        for (text, bytes) in [("200MB", 200_000_000), ("1 GB", 1_000_000_000), ("5kB", 5_000)] {
            assert_eq!(text.parse::<ByteLimit>().unwrap().bytes(), bytes);
        }
        assert_eq!("1500kB".parse::<ByteLimit>().unwrap().to_string(), "1500kB");
        assert_eq!("2000kB".parse::<ByteLimit>().unwrap().to_string(), "2MB");
        for text in [
            "",
            "MB",
            "0MB",
            "1",
            "1.5MB",
            "-1MB",
            "1MiB",
            "99999999999999999999GB",
            "18446744073709551615GB",
        ] {
            assert!(text.parse::<ByteLimit>().is_err(), "{text:?}");
        }
    }
}
