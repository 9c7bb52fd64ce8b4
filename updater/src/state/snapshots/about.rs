//! What a snapshot is.

use std::fmt;

use outcrop_release::state::StatePath;
use serde::{Deserialize, Serialize};

use super::super::memory::Owner;

/// The form of the file that says it.
pub(super) const FORMAT: u32 = 1;

/// Number of a snapshot. Later ones have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(u32);

impl SnapshotId {
    /// The first on a device.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for SnapshotId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Why a snapshot is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// Taken before a release's trial.
    Before {
        /// The release's version.
        version: String,
    },
    /// Replaced by another snapshot.
    Replaced,
}

/// A path in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where it belongs.
    pub path: StatePath,
    /// Whether anything was there.
    pub present: bool,
}

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub(super) format: u32,
    /// The device's machine-id.
    pub machine: String,
    /// Why it is there.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whose state it is.
    pub owner: Option<Owner>,
    /// When it was taken, by the device's clock: seconds since 1970.
    pub taken: u64,
    /// What it takes on the disk.
    pub bytes: u64,
    /// Its content.
    pub content: Vec<Kept>,
}

/// What is written down with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Why it is there.
    pub kind: Kind,
    /// Whose state it is.
    pub owner: Option<Owner>,
    /// The device's machine-id.
    pub machine: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Label {
    pub(super) fn about(self, content: Vec<Kept>, bytes: u64) -> About {
        About {
            format: FORMAT,
            machine: self.machine,
            kind: self.kind,
            owner: self.owner,
            taken: self.at,
            bytes,
            content,
        }
    }
}
