//! snapshot.debian.org: every file that the archive ever had.

use std::collections::BTreeMap;

use crate::lock::format::{Archive, Lock};

/// One day: the archive's signed date is some hours older than the snapshot that holds its files.
const DAY_SECONDS: u64 = 86_400;

/// Where to find dropped packages.
///
/// A file is addressed as `archive/NAME/TIME/POOL-PATH`; any time of the form `20261122T102950Z` leads, by redirect,
/// to the last snapshot before it. A locked package is asked for in the snapshots a day after the newest date of its
/// archive's suites, then on that date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    base: String,
    dates: BTreeMap<Archive, u64>,
}

impl Snapshot {
    /// The public service, with the dates of the lock's suites.
    #[must_use]
    pub fn of(lock: &Lock) -> Self {
        Self::at("https://snapshot.debian.org", lock)
    }

    /// A service at another address, without trailing slash.
    #[must_use]
    pub fn at(base: &str, lock: &Lock) -> Self {
        let mut dates = BTreeMap::new();
        for suite in &lock.suites {
            let newest = dates.entry(suite.archive).or_insert(suite.date);
            *newest = suite.date.max(*newest);
        }
        Self {
            base: base.to_owned(),
            dates,
        }
    }

    /// The service's address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The addresses of a file of `archive`, in the order to try them.
    #[must_use]
    pub fn urls(&self, archive: Archive, path: &str) -> Vec<String> {
        let Some(date) = self.dates.get(&archive) else {
            return Vec::new();
        };
        let name = match archive {
            Archive::Main => "debian",
            Archive::Security => "debian-security",
        };
        [date.saturating_add(DAY_SECONDS), *date]
            .map(|time| format!("{}/archive/{name}/{}/{path}", self.base, timestamp(time)))
            .to_vec()
    }
}

/// Seconds since 1970 as `20261122T102950Z`.
///
/// The civil date from a day number: years begin in March, so that the leap day is a year's last; 400 years have
/// 146 097 days.
fn timestamp(seconds: u64) -> String {
    let (day, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let shifted = day + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day_of_month:02}T{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_the_calendar_time_of_utc() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_234_567_890, "20090213T233130Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }
}
