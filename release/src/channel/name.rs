//! A channel's name.

use std::{fmt, str::FromStr};

/// Longest name, in bytes.
const MAX_BYTES: usize = 64;

/// Name of a channel: at most 64 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit. Safe in file names and
/// addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(String);

/// A text that can't name a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no channel: it takes at most {MAX_BYTES} lower-case letters, digits, `-`, `_` and `.`")]
pub struct BadChannelName(pub String);

impl ChannelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of its file in a publish tree.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.channel", self.0)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChannelName {
    type Err = BadChannelName;

    fn from_str(text: &str) -> Result<Self, BadChannelName> {
        let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_legal = |c: char| is_end(c) || "-_.".contains(c);
        let good = text.len() <= MAX_BYTES && text.starts_with(is_end) && text.chars().all(is_legal);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadChannelName(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "Stable",
            "a b",
            "-a",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
        for text in ["stable", "2026.1_beta-3", &"a".repeat(64)] {
            assert_eq!(text.parse::<ChannelName>().unwrap().as_str(), text);
        }
    }
}
