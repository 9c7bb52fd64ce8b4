//! Maintenance windows: hours of some days of the week, by the clock on the site's wall.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime};
use serde::{Deserialize, Serialize};

const DAY_MINUTES: u16 = 24 * 60;
/// Most windows of one list.
pub(super) const MOST_WINDOWS: usize = 32;
/// A list of windows repeats after a week; a change of the clocks may shift that by hours.
const HORIZON_MINUTES: u32 = 8 * 24 * 60;
/// From Monday on. Source: ISO 8601.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One window. Text form: `01:00-05:00`, `sat,sun 22:00-06:00`, `mon-fri 00:00-24:00`: days, if not all, and hours. It ends on the next day when it ends
/// at an earlier hour than it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Window {
    /// Days on which it begins: bit 0 is Monday.
    days: u8,
    /// Minutes after midnight, below a day.
    from: u16,
    /// Minutes after midnight, up to a day; not `from`.
    until: u16,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// It hasn't the form of one.
    #[error(
        "{0:?} is no window: write hours like \"01:00-05:00\", or days and hours like \"sat,sun 22:00-06:00\""
    )]
    Form(String),
    /// A day that there isn't.
    #[error(
        "{0:?} is no day: the days are mon, tue, wed, thu, fri, sat, sun, and ranges of them like mon-fri"
    )]
    Day(String),
    /// An hour that there isn't.
    #[error("{0:?} is no time of the day: it is from 00:00 to 23:59, and 24:00 at the end of a window")]
    Time(String),
    /// It ends where it begins.
    #[error("the window {0:?} ends where it begins: a whole day is 00:00-24:00")]
    Empty(String),
    /// More than a list has.
    #[error("a list has at most {MOST_WINDOWS} windows")]
    TooMany,
}

impl Window {
    /// Whether it is open at this reading of the site's clock.
    fn is_open_at(&self, at: DateTime) -> bool {
        let minute = u16::try_from(at.hour()).unwrap_or(0) * 60 + u16::try_from(at.minute()).unwrap_or(0);
        let today = u8::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
        let begins_on = |day: u8| self.days & (1 << day) != 0;
        if self.from < self.until {
            return begins_on(today) && (self.from..self.until).contains(&minute);
        }
        (begins_on(today) && minute >= self.from) || (begins_on((today + 6) % 7) && minute < self.until)
    }
}

impl FromStr for Window {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        let form = || BadWindow::Form(text.to_owned());
        let mut words = text.split_ascii_whitespace();
        let (days, hours) = match (words.next(), words.next(), words.next()) {
            (Some(hours), None, _) => (0x7f, hours),
            (Some(days), Some(hours), None) => (parse_days(days)?, hours),
            _ => return Err(form()),
        };
        let (from, until) = hours.split_once('-').ok_or_else(form)?;
        let (from, until) = (parse_time(from)?, parse_time(until)?);
        if from == DAY_MINUTES {
            return Err(BadWindow::Time("24:00".to_owned()));
        }
        if from == until {
            return Err(BadWindow::Empty(text.to_owned()));
        }
        Ok(Self { days, from, until })
    }
}

/// `mon,wed,fri-sun`; a range may go over Sunday.
fn parse_days(text: &str) -> Result<u8, BadWindow> {
    let day = |text: &str| {
        let place = DAYS.iter().position(|day| *day == text);
        place.ok_or_else(|| BadWindow::Day(text.to_owned()))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for place in first..=first + count {
            days |= 1 << (place % 7);
        }
    }
    Ok(days)
}

/// `HH:MM`, in minutes.
fn parse_time(text: &str) -> Result<u16, BadWindow> {
    let bad = || BadWindow::Time(text.to_owned());
    let (hours, minutes) = text.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(bad)?;
    let time = hours * 60 + minutes;
    if minutes > 59 || time > DAY_MINUTES {
        return Err(bad());
    }
    Ok(time)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0x7f {
            let days = DAYS.iter().enumerate();
            let begins = days.filter(|(place, _)| self.days & (1 << place) != 0);
            let names: Vec<&str> = begins.map(|(_, name)| *name).collect();
            write!(f, "{} ", names.join(","))?;
        }
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", time(self.from), time(self.until))
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = BadWindow;

    fn try_from(text: String) -> Result<Self, BadWindow> {
        text.parse()
    }
}

/// When something may be done: in one of these windows, or, where there is none, at any time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Window>", try_from = "Vec<Window>")]
pub struct Windows(Vec<Window>);

impl Windows {
    /// Some windows.
    ///
    /// # Errors
    /// When there are more than a list has.
    pub fn new(windows: Vec<Window>) -> Result<Self, BadWindow> {
        if windows.len() > MOST_WINDOWS {
            return Err(BadWindow::TooMany);
        }
        Ok(Self(windows))
    }

    /// Whether there is none, so that any time is right.
    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is open. An hour that the clocks leave out isn't in any, one that they repeat is twice.
    #[must_use]
    pub fn is_open(&self, now: &Zoned) -> bool {
        self.is_always() || self.0.iter().any(|window| window.is_open_at(now.datetime()))
    }

    /// When none is open any more; nothing when none is open now, or none ever closes.
    #[must_use]
    pub fn closes(&self, now: &Zoned) -> Option<Timestamp> {
        self.is_open(now).then(|| self.first(now, false)).flatten()
    }

    /// When the next one opens; nothing when one is open now.
    #[must_use]
    pub fn opens(&self, now: &Zoned) -> Option<Timestamp> {
        (!self.is_open(now)).then(|| self.first(now, true)).flatten()
    }

    /// The first full minute from now on at which one is open, or none is.
    fn first(&self, now: &Zoned, open: bool) -> Option<Timestamp> {
        let zone = now.time_zone();
        let second = now.timestamp().as_second();
        let minute = second - second.rem_euclid(60);
        let minutes = (1..=HORIZON_MINUTES).filter_map(|count| {
            let start = Timestamp::from_second(minute).ok()?;
            start.checked_add(SignedDuration::from_mins(count.into())).ok()
        });
        let mut found = minutes.filter(|at| self.is_open(&at.to_zoned(zone.clone())) == open);
        found.next()
    }
}

impl From<Windows> for Vec<Window> {
    fn from(windows: Windows) -> Self {
        windows.0
    }
}

impl TryFrom<Vec<Window>> for Windows {
    type Error = BadWindow;

    fn try_from(windows: Vec<Window>) -> Result<Self, BadWindow> {
        Self::new(windows)
    }
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz::TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn windows(texts: &[&str]) -> Windows {
        Windows::new(texts.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
    }

    /// Central European time, by its rule: no list of time zones is needed to test.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Zoned {
        text.parse::<DateTime>().unwrap().to_zoned(berlin()).unwrap()
    }

    #[test]
    fn windows_are_days_and_hours_and_may_end_on_the_next_day() {
        let nights = windows(&["mon-fri 22:00-05:30", "sun 12:00-13:00"]);
        for (time, open) in [
            ("2026-11-30T21:59:59", false), // a Monday
            ("2026-11-30T22:00:00", true),
            ("2026-12-01T05:29:59", true),
            ("2026-12-01T05:30:00", false),
            ("2026-12-05T04:00:00", true), // Saturday, from Friday on
            ("2026-12-05T23:00:00", false),
            ("2026-12-07T01:00:00", false), // Monday, and Sunday has no night
            ("2026-12-06T12:30:00", true),
        ] {
            assert_eq!(nights.is_open(&at(time)), open, "{time}");
        }
        assert!(windows(&[]).is_open(&at("2026-12-06T12:30:00")));
        assert!(windows(&["00:00-24:00"]).is_open(&at("2026-12-06T23:59:59")));
    }

    #[test]
    fn opening_and_closing_are_told_in_universal_time() {
        let nights = windows(&["01:00-05:00"]);
        let opens = nights.opens(&at("2026-11-30T12:00:10")).unwrap();
        assert_eq!(opens.to_string(), "2026-12-01T00:00:00Z");
        let closes = nights.closes(&at("2026-12-01T02:00:10")).unwrap();
        assert_eq!(closes.to_string(), "2026-12-01T04:00:00Z");
        assert_eq!(nights.opens(&at("2026-12-01T02:00:00")), None);
        assert_eq!(nights.closes(&at("2026-12-01T12:00:00")), None);
        assert_eq!(windows(&[]).closes(&at("2026-12-01T12:00:00")), None);
        // Two that touch are one.
        let both = windows(&["01:00-03:00", "03:00-04:00"]);
        assert_eq!(
            both.closes(&at("2026-12-01T02:00:00")).unwrap().to_string(),
            "2026-12-01T03:00:00Z"
        );
    }

    #[test]
    fn an_hour_that_the_clocks_leave_out_is_no_window_and_one_that_they_repeat_is_twice_as_long() {
        let hour = windows(&["02:00-03:00"]);
        // On 28 March 2027 02:00 is 03:00.
        let spring = date(2027, 3, 28).to_zoned(berlin()).unwrap();
        assert_eq!(hour.opens(&spring).unwrap().to_string(), "2027-03-29T00:00:00Z");
        // On 25 October 2026 03:00 is 02:00 again.
        let autumn = date(2026, 10, 25).to_zoned(berlin()).unwrap();
        let opens = hour.opens(&autumn).unwrap();
        let closes = hour.closes(&opens.to_zoned(berlin())).unwrap();
        assert_eq!(closes.duration_since(opens), SignedDuration::from_hours(2));
    }

    #[test]
    fn what_is_no_window_says_why() {
        for text in [
            "",
            "01:00",
            "01:00-",
            "1:00-2:00",
            "01:00-25:00",
            "01:60-02:00",
            "24:00-01:00",
            "01:00-01:00",
            "noon 01:00-02:00",
            "mon- 01:00-02:00",
            "mon, 01:00-02:00",
            "mon tue 01:00-02:00",
            "24:01-01:00",
            "+1:00-02:00",
            "MON 01:00-02:00",
        ] {
            assert!(text.parse::<Window>().is_err(), "{text:?}");
        }
        assert!(
            "monday 01:00-02:00"
                .parse::<Window>()
                .unwrap_err()
                .to_string()
                .contains("mon-fri")
        );
        let many = vec!["01:00-02:00".parse().unwrap(); MOST_WINDOWS + 1];
        assert_eq!(Windows::new(many), Err(BadWindow::TooMany));
    }

    prop_compose! {
        fn any_window()(days in 1..=0x7f_u8, from in 0..DAY_MINUTES, until in 0..=DAY_MINUTES) -> Option<Window> {
            (from != until).then_some(Window { days, from, until })
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_window_or_an_error(text in "\\PC{0,30}") {
            let _ = text.parse::<Window>();
        }

        #[test]
        fn windows_survive_their_text_form(window in any_window()) {
            if let Some(window) = window {
                prop_assert_eq!(window.to_string().parse(), Ok(window));
            }
        }

        #[test]
        fn between_now_and_opening_none_is_open_and_then_one_is(
            list in proptest::collection::vec(any_window(), 1..4), second in 1_790_000_000_i64..1_830_000_000
        ) {
            let windows = Windows::new(list.into_iter().flatten().collect()).unwrap();
            let now = Timestamp::from_second(second).unwrap().to_zoned(berlin());
            match (windows.opens(&now), windows.closes(&now)) {
                (Some(opens), None) => {
                    prop_assert!(windows.is_open(&opens.to_zoned(berlin())));
                    let just_before = opens.checked_sub(SignedDuration::from_secs(1)).unwrap();
                    prop_assert!(just_before < now.timestamp() || !windows.is_open(&just_before.to_zoned(berlin())));
                }
                (None, Some(closes)) => {
                    prop_assert!(windows.is_open(&now) && !windows.is_open(&closes.to_zoned(berlin())));
                }
                (None, None) => prop_assert!(windows.is_open(&now), "each list opens within a week"),
                (Some(_), Some(_)) => prop_assert!(false, "open and closed"),
            }
        }
    }
}
