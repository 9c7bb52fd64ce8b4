//! What the agent keeps from one run to the next.
//!
//! `/var/lib/outcrop/agent.json`. None of it is needed to be safe: who loses it asks and reports once more, and may fetch a day's bytes twice.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use outcrop_release::{
    agent::Spent,
    digest::FileDigest,
    report::{Reason, Standing},
};
use serde::{Deserialize, Serialize};

use super::once::Untold;
use crate::durable::{self, DurableError};

const FILE_NAME: &str = "agent.json";
/// The form of what is kept.
pub(super) const FORMAT: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Memory {
    format: u32,
    /// When the channel is asked next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_poll: Option<Timestamp>,
    /// How often in a row it gave no list that counts.
    #[serde(default)]
    pub poll_failures: u32,
    /// When a step that failed is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<Timestamp>,
    /// How often in a row it failed.
    #[serde(default)]
    pub step_failures: u32,
    /// What was fetched.
    #[serde(default)]
    pub spent: Spent,
    /// The release that the agent armed last: its manifest's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarting: Option<String>,
    /// Why there is no list, until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_trouble: Option<Failing>,
    /// Why the last step failed, until one goes well or none is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_trouble: Option<Failing>,
    /// What the history is to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<Untold>,
    /// How the agent stood the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// The last report.
    #[serde(default)]
    pub reported: Reported,
}

/// Something that failed, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Why, to be counted.
    pub reason: Reason,
    /// Of which release: its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why, for people.
    pub detail: String,
}

impl Failing {
    /// Whether it is the same trouble, at another time or place in a file: numbers don't count.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let text = |failing: &Self| failing.detail.replace(|c: char| c.is_ascii_digit(), "");
        (self.reason, &self.version, text(self)) == (other.reason, &other.version, text(other))
    }
}

/// The last report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reported {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What it was about, to see whether there is news.
    #[serde(default)]
    pub about: String,
    /// How often in a row sending has failed since.
    #[serde(default)]
    pub failures: u32,
    /// When that is tried again; none when all has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It can't be read or written.
    #[error(transparent)]
    Io(#[from] DurableError),
    /// It is damaged.
    #[error("understand {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Memory {
    /// What is kept in Outcrop's folder `state`.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn load(state: &Path) -> Result<Self, MemoryError> {
        let found: Option<Self> = load(&state.join(FILE_NAME), |memory: &Self| memory.format)?;
        Ok(found.unwrap_or_default())
    }

    /// Keeps it. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When there is no room, or the file system fails.
    pub fn save(&mut self, state: &Path) -> Result<(), DurableError> {
        self.format = FORMAT;
        durable::replace(&state.join(FILE_NAME), &json(self))
    }

    /// The release that the agent armed last.
    #[must_use]
    pub fn armed(&self) -> Option<FileDigest> {
        self.restarting.as_ref().and_then(|text| text.parse().ok())
    }
}

/// The file that keeps `value`.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers: nothing here can fail to be JSON.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// What the file `path` keeps, if it is there. `format` tells a value's form.
pub(super) fn load<T: for<'de> Deserialize<'de>>(
    path: &Path,
    format: impl Fn(&T) -> u32,
) -> Result<Option<T>, MemoryError> {
    let Some(bytes) = durable::read(path)? else {
        return Ok(None);
    };
    let damaged = |why: String| MemoryError::Damaged {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, why),
    };
    let value: T = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match format(&value) {
        FORMAT => Ok(Some(value)),
        other => Err(damaged(format!("it has format {other}, not {FORMAT}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_is_told() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path();
        assert_eq!(Memory::load(path).unwrap(), Memory::default());
        let mut memory = Memory {
            poll_failures: 3,
            restarting: Some("ab".repeat(32)),
            ..Memory::default()
        };
        memory.save(path).unwrap();
        assert_eq!(Memory::load(path).unwrap(), memory);
        assert_eq!(memory.armed().unwrap().to_string(), "ab".repeat(32));
        for text in ["", "{}", "{\"format\":2}", "{\"format\":1,\"extra\":1}"] {
            std::fs::write(path.join(FILE_NAME), text).unwrap();
            assert!(
                matches!(Memory::load(path), Err(MemoryError::Damaged { .. })),
                "{text:?}"
            );
        }
    }
}
