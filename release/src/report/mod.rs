//! What a device says of itself to those who look after many: a small document, signed with the device's own key.
//!
//! It says what its sender claims, no more: who is root on a device can have it say anything. Nobody else can say it for the device.

mod json;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use json::{ReportError, VerifiedReport, verify_report};

use crate::{
    agent::Waits,
    device_id::DeviceId,
    digest::FileDigest,
    journal::{Fate, Head},
    name::ReleaseName,
    trust::PublicKey,
};

/// Longest report with its signature, in bytes.
pub const MAX_REPORT_BYTES: usize = 64 << 10;

/// A device's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The device's public key: its name is made from it.
    pub key: PublicKey,
    /// Which report it is: each is higher than the one before.
    pub sequence: u64,
    /// When, by the device's clock.
    pub at: Timestamp,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What runs.
    pub running: ReleaseName,
    /// Digest of that release's manifest.
    pub manifest: FileDigest,
    /// The slot that runs.
    pub slot: String,
    /// The channel that it follows, and the last list of it that it took.
    pub channel: Option<Followed>,
    /// The last update.
    pub last: Option<LastUpdate>,
    /// How the agent stands; none where there is no agent.
    pub agent: Option<Standing>,
    /// Whether it works.
    pub health: Health,
    /// What makes it a snowflake; none where nobody has looked.
    pub drift: Option<Drift>,
    /// The newest event of its history.
    pub history: Option<Head>,
}

/// A channel that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// Its name.
    pub name: String,
    /// The last list's serial.
    pub serial: u64,
}

/// How the agent stands with updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// What it waits for.
    pub waits: Waits,
    /// Version of the release that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Why the last try failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// How far a device has drifted from its release and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// How many paths aren't as release and configuration have them.
    pub differences: u32,
    /// SHA-256 of which they are and what is there: devices that drifted in the same way have the same.
    pub fingerprint: FileDigest,
}

/// How the last update went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastUpdate {
    /// What became of it.
    pub fate: Fate,
    /// The release's version.
    pub version: String,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// The same for people: which check it was, for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// Why an update failed: one of few, so that it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The release couldn't be fetched.
    Network,
    /// The device refuses it: not trusted, older, another board's, no room for it.
    Refused,
    /// The device's disk failed, or was full.
    Storage,
    /// It didn't come up: it panicked, hung, or its bytes are damaged.
    BootFailed,
    /// A health check didn't hold.
    CheckFailed,
    /// Kubernetes didn't come up, or its state can't be had.
    Kubernetes,
    /// Its trials ended with lost power.
    Power,
    /// Somebody at the device decided so.
    Operator,
}

/// Whether a device works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// What runs is committed.
    Healthy,
    /// What runs is on trial.
    OnTrial,
    /// It runs without its data partition, or something else is wrong.
    Degraded,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::Refused,
        Self::Storage,
        Self::BootFailed,
        Self::CheckFailed,
        Self::Kubernetes,
        Self::Power,
        Self::Operator,
    ];

    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Refused => "refused",
            Self::Storage => "storage",
            Self::BootFailed => "boot failed",
            Self::CheckFailed => "check failed",
            Self::Kubernetes => "Kubernetes",
            Self::Power => "power",
            Self::Operator => "operator",
        }
    }
}

impl Report {
    /// The device's name.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::of(&self.key)
    }

    /// Name of its file in a folder of reports.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.report", self.device())
    }
}

#[cfg(test)]
mod tests;
