//! What the recipe and a device's own configuration say about updates by themselves.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{ByteLimit, Windows};
use crate::definition::{self, BadDefinition};

/// Who decides that a release is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The device, once its channel offers it.
    #[default]
    Automatic,
    /// Somebody at the device: `outcrop-updater approve`.
    Approved,
    /// Nobody: the device asks nobody and installs what it is given.
    Off,
}

/// How often a channel is asked, in seconds: a minute to a week. Text form: a whole number and `s`, `min` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PollInterval(u32);

/// A text or number that is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAgentValue {
    /// No mode.
    #[error("{0:?} is no mode: it is \"automatic\", \"approved\" or \"off\"")]
    Mode(String),
    /// No interval.
    #[error("{0:?} is no interval: it is from 1min to 168h, a whole number and s, min or h")]
    Interval(String),
}

impl PollInterval {
    const LEAST: u32 = 60;
    const MOST: u32 = 7 * 24 * 3600;

    /// The number of seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.into()
    }
}

impl Default for PollInterval {
    /// An hour.
    fn default() -> Self {
        Self(3600)
    }
}

impl TryFrom<u32> for PollInterval {
    type Error = BadAgentValue;

    fn try_from(seconds: u32) -> Result<Self, BadAgentValue> {
        (Self::LEAST..=Self::MOST)
            .contains(&seconds)
            .then_some(Self(seconds))
            .ok_or_else(|| BadAgentValue::Interval(format!("{seconds}s")))
    }
}

impl From<PollInterval> for u32 {
    fn from(interval: PollInterval) -> Self {
        interval.0
    }
}

impl FromStr for PollInterval {
    type Err = BadAgentValue;

    fn from_str(text: &str) -> Result<Self, BadAgentValue> {
        let units = [("min", 60), ("s", 1), ("h", 3600)];
        let split = units
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end_matches(' '), *unit)));
        let whole = split.filter(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()));
        let seconds = whole.and_then(|(number, unit)| number.parse::<u32>().ok()?.checked_mul(unit));
        let bad = || BadAgentValue::Interval(text.to_owned());
        Self::try_from(seconds.ok_or_else(bad)?).map_err(|_| bad())
    }
}

impl FromStr for Mode {
    type Err = BadAgentValue;

    fn from_str(text: &str) -> Result<Self, BadAgentValue> {
        [Self::Automatic, Self::Approved, Self::Off]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| BadAgentValue::Mode(text.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Automatic => "automatic",
            Self::Approved => "approved",
            Self::Off => "off",
        })
    }
}

/// Takes a program that is asked before a restart: an absolute path and arguments, separated by spaces.
///
/// # Errors
/// When it is none, in words for people.
pub fn inhibitor(text: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    let is_path = words
        .first()
        .is_some_and(|path| path.starts_with('/') && path.len() > 1);
    if is_path && !text.contains(char::is_control) {
        return Ok(words);
    }
    Err(format!(
        "{text:?} is no command: it is an absolute path and arguments, like \"/usr/bin/till --closed\""
    ))
}

/// What holds on a device: the recipe's words, or, where they say nothing, what is usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AgentDefinition {
    /// Who decides.
    pub mode: Mode,
    /// How often the channel is asked.
    pub poll: PollInterval,
    /// When the device may restart.
    pub windows: Windows,
    /// When it may fetch.
    pub download_windows: Windows,
    /// How much it may fetch in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_limit: Option<ByteLimit>,
    /// Programs that are asked before a restart, each with its arguments: any that doesn't end with 0 puts it off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inhibitors: Vec<Vec<String>>,
    /// Where it sends its reports: an address that takes them by POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_url: Option<String>,
    /// Whether a stick with a publish tree is looked at.
    pub sticks: bool,
}

/// What a device's own configuration says instead; none of it where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AgentOverrides {
    /// `mode`
    pub mode: Option<Mode>,
    /// `windows`
    pub windows: Option<Windows>,
    /// `download-windows`
    pub download_windows: Option<Windows>,
    /// `daily-limit`
    pub daily_limit: Option<ByteLimit>,
    /// `report-url`
    pub report_url: Option<String>,
}

impl AgentDefinition {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/agent.json";

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        definition::write(self)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it isn't what the builder writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDefinition> {
        definition::read(bytes)
    }

    /// The same as the device has it.
    #[must_use]
    pub fn with(self, device: &AgentOverrides) -> Self {
        let AgentOverrides {
            mode,
            windows,
            download_windows,
            daily_limit,
            report_url,
        } = device.clone();
        Self {
            mode: mode.unwrap_or(self.mode),
            windows: windows.unwrap_or(self.windows),
            download_windows: download_windows.unwrap_or(self.download_windows),
            daily_limit: daily_limit.or(self.daily_limit),
            report_url: report_url.or(self.report_url),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> AgentDefinition {
        AgentDefinition {
            mode: Mode::Approved,
            poll: "30min".parse().unwrap(),
            windows: Windows::new(vec!["mon-fri 01:00-05:00".parse().unwrap()]).unwrap(),
            download_windows: Windows::default(),
            daily_limit: Some("20MB".parse().unwrap()),
            inhibitors: vec![vec!["/usr/bin/till".to_owned(), "--closed".to_owned()]],
            report_url: Some("https://fleet.example/reports".to_owned()),
            sticks: true,
        }
    }

    #[test]
    fn a_definition_survives_its_form() {
        for definition in [definition(), AgentDefinition::default()] {
            assert_eq!(
                AgentDefinition::parse(&definition.to_bytes()).unwrap(),
                definition
            );
        }
    }

    #[test]
    fn what_the_builder_doesn_t_write_isn_t_read() {
        for text in [
            "{\"format\":2}",
            "{\"format\":1,\"mode\":\"sometimes\"}",
            "{\"format\":1,\"poll\":5}",
            "{\"format\":1,\"windows\":[\"noon\"]}",
            "{\"format\":1,\"extra\":1}",
        ] {
            assert!(AgentDefinition::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_s_own_words_count_before_the_recipe_s() {
        let own = AgentOverrides {
            mode: Some(Mode::Automatic),
            windows: Some(Windows::default()),
            daily_limit: Some("1MB".parse().unwrap()),
            ..AgentOverrides::default()
        };
        let found = definition().with(&own);
        assert_eq!(found.mode, Mode::Automatic);
        assert!(found.windows.is_always());
        assert_eq!(found.daily_limit, Some("1MB".parse().unwrap()));
        assert_eq!(found.report_url, definition().report_url);
        assert_eq!(definition().with(&AgentOverrides::default()), definition());
    }

    #[test]
    fn a_program_that_is_asked_has_an_absolute_path() {
        assert_eq!(
            inhibitor("/usr/bin/till  --closed").unwrap(),
            ["/usr/bin/till", "--closed"]
        );
        for text in ["", " ", "till", "./till", "/", "/bin/a\nb"] {
            assert!(inhibitor(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn intervals_are_from_a_minute_to_a_week() {
        for (text, seconds) in [("60s", 60), ("30 min", 1800), ("168h", 604_800)] {
            assert_eq!(text.parse::<PollInterval>().unwrap().seconds(), seconds);
        }
        for text in ["", "59s", "169h", "1d", "h", "-1h", "99999999999h", "4294967295h"] {
            assert!(text.parse::<PollInterval>().is_err(), "{text:?}");
        }
        assert!("sometimes".parse::<Mode>().is_err());
    }
}
