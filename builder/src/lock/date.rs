//! The dates of Debian's archive: `Sat, 21 Nov 2026 00:53:03 UTC` (RFC 5322 with UTC as the only zone).

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970; none for a text of another form.
pub(super) fn parse(text: &str) -> Option<u64> {
    let rest = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let [day, month, year, time, zone] = rest.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let [hour, minute, second] = time
        .split(':')
        .map(|part| part.parse::<u64>().ok())
        .collect::<Option<Vec<_>>>()?[..]
    else {
        return None;
    };
    let valid =
        (1..=31).contains(&day) && (1970..=9999).contains(&year) && hour < 24 && minute < 60 && second < 61;
    if !valid || !matches!(zone, "UTC" | "GMT" | "+0000") {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that the leap day is a year's last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Tue, 29 Feb 2000 12:00:00 UTC", 951_825_600),
            ("Sat, 21 Nov 2026 00:53:03 UTC", 1_795_222_383),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sat, 21 Nov 2026",
            "Sat, 21 Nov 2026 00:53:03 CET",
            "Sat, 99 Nov 2026 00:00:00 UTC",
            "1 Foo 2026 0:0:0 UTC",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
