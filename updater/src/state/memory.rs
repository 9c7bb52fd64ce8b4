//! What is known of the state: whose it is, and which trial has touched it. `/var/lib/outcrop/state/memory.json`.

use std::path::{Path, PathBuf};

use outcrop_release::state::StatePath;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::snapshots::SnapshotId;
use crate::{
    durable::{self, DurableError},
    history::KnownRelease,
};

/// Name of the file.
pub(super) const FILE_NAME: &str = "memory.json";
/// The form of the file.
const FORMAT: u32 = 1;
/// Events that are kept; the oldest are forgotten.
const MOST_EVENTS: usize = 200;

/// A release that state belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The release.
    #[serde(flatten)]
    pub release: KnownRelease,
    /// The Kubernetes that wrote the state last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kubernetes: Option<Version>,
}

/// What was begun and isn't over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Settled,
    /// A release on trial works on the state.
    Trial {
        /// The state before it.
        snapshot: SnapshotId,
        /// The release.
        of: Owner,
        /// Whether its `pre-start` hook has ended well.
        ready: bool,
    },
    /// A snapshot is being brought back.
    Restoring {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Where what it replaces goes.
        aside: SnapshotId,
        /// Whose work is replaced.
        of: Option<Owner>,
    },
}

/// Something that happened to the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the device's clock: seconds since 1970.
    pub at: u64,
    /// What, for people.
    pub what: String,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub(super) format: u32,
    /// Whose state it is, or will be once a snapshot is back; none before the first start.
    pub owner: Option<Owner>,
    /// Where the owner's state lies.
    pub paths: Vec<StatePath>,
    /// What was begun.
    #[serde(flatten)]
    pub phase: Phase,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            format: FORMAT,
            owner: None,
            paths: Vec::new(),
            phase: Phase::Settled,
            events: Vec::new(),
        }
    }
}

/// The file isn't what this program writes.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It can't be read or written.
    #[error(transparent)]
    File(#[from] DurableError),
    /// It is damaged.
    #[error("understand what is known of the device's state")]
    Damaged(#[source] serde_json::Error),
    /// A newer updater wrote it.
    #[error("what is known of the device's state has format {0}, this updater reads {FORMAT}")]
    Format(u32),
}

impl Memory {
    /// Reads what is known in `folder`; nothing when there is no file.
    ///
    /// # Errors
    /// When it is there and can't be read or understood.
    pub fn load(folder: &Path) -> Result<Self, MemoryError> {
        let Some(bytes) = durable::read(&folder.join(FILE_NAME))? else {
            return Ok(Self::default());
        };
        let memory: Self = serde_json::from_slice(&bytes).map_err(MemoryError::Damaged)?;
        if memory.format != FORMAT {
            return Err(MemoryError::Format(memory.format));
        }
        Ok(memory)
    }

    /// Keeps it in `folder`. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When there is no room, or the file system fails.
    pub fn save(&self, folder: &Path) -> Result<(), DurableError> {
        // Texts and numbers: nothing here can fail to be JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        durable::replace(&folder.join(FILE_NAME), &bytes)
    }

    /// Moves a file that can't be understood out of the way; where it is then.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn set_aside(folder: &Path) -> Result<PathBuf, DurableError> {
        let aside = folder.join(FILE_NAME).with_extension("damaged");
        durable::rename(&folder.join(FILE_NAME), &aside)?;
        Ok(aside)
    }

    /// Something happened at `at`, in seconds since 1970.
    pub fn note(&mut self, at: u64, what: String) {
        self.events.push(Event { at, what });
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_the_oldest_events_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Memory::load(folder.path()).unwrap(), Memory::default());
        let owner = Owner {
            release: KnownRelease {
                version: "1.1.0".to_owned(),
                digest: "ab".to_owned(),
            },
            kubernetes: Some(Version::new(1, 20, 2)),
        };
        let mut memory = Memory {
            owner: Some(owner.clone()),
            phase: Phase::Trial {
                snapshot: SnapshotId::FIRST,
                of: owner,
                ready: false,
            },
            ..Memory::default()
        };
        for number in 0..=MOST_EVENTS as u64 {
            memory.note(number, format!("event {number}"));
        }
        memory.save(folder.path()).unwrap();
        let read = Memory::load(folder.path()).unwrap();
        assert_eq!(read, memory);
        assert_eq!((read.events.len(), read.events[0].at), (MOST_EVENTS, 1));
    }

    #[test]
    fn a_damaged_memory_or_a_newer_one_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for text in [
            "",
            "{",
            "{\"format\":1}",
            "{\"format\":2,\"owner\":null,\"paths\":[],\"phase\":\"settled\",\"events\":[]}",
            "{\"format\":1,\"owner\":null,\"paths\":[\"/etc\"],\"phase\":\"settled\",\"events\":[]}",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(Memory::load(folder.path()).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
