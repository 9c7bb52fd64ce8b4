//! The device's history: a chain of events, each signed by the device and bound to the one before.
//!
//! ```text
//! {"format":1,"number":7,"previous":"<SHA-256 of event 6>",...} <signature: 128 hexadecimal digits>
//! ```
//! An event is a line. Its JSON, up to the space before the signature, is what is signed and what the next event has the digest of. So edits,
//! removals and reorderings are found by whoever has the device's public key. That the newest events were cut off is found by whoever
//! kept a [`Head`]: reports have it. Old events may go, up to a *checkpoint*, with which each file begins.

mod verify;

use std::{fmt, iter};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use verify::{JournalError, Kept, Verified, parse_line, verify};

use crate::{device_id::DeviceId, digest::FileDigest};

const FORMAT: u32 = 1;
/// What precedes an event in the signed message.
const DOMAIN: &[u8] = b"outcrop event 1\0";
/// Longest line, in bytes: texts in events are cut to fit.
pub const MAX_LINE_BYTES: usize = 4096;
/// Longest text in an event, in bytes.
const MAX_TEXT_BYTES: usize = 500;

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was written to a slot.
    Installed,
    /// Its checks held; it is the default.
    Committed,
    /// Its trial failed.
    Failed,
    /// The operator went back from it.
    RolledBack,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "installed",
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
        })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The history begins: the device is new, or what there was is damaged.
    Began {
        /// Whether there was an older one.
        damaged: bool,
        /// How many fates of releases there were before.
        fates: u64,
    },
    /// A file of the history begins: events before it may be gone.
    Checkpoint,
    /// What became of a release.
    Release {
        /// What.
        fate: Fate,
        /// Its version.
        version: String,
        /// In which slot.
        slot: String,
        /// Why, for people.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// A release was refused.
    Refused {
        /// Which one, for people.
        what_was: String,
        /// Why, for people.
        reason: String,
    },
    /// The agent, or whoever told it to, decided something about a release.
    Decided {
        /// What.
        deed: Deed,
        /// The release's version.
        version: String,
        /// Why, for people.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
}

/// A decision about a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Somebody allowed it.
    Approved,
    /// The agent restarts the device into its trial.
    Restart,
    /// Its armed trial was taken back: by the agent, or, as the reason says then, by somebody at the device.
    TakenBack,
    /// It couldn't be fetched or written, and is tried again later.
    PutOff,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "approved",
            Self::Restart => "restarted into",
            Self::TakenBack => "taken back",
            Self::PutOff => "put off",
        })
    }
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the chain, from 1.
    pub number: u64,
    /// When, by the device's clock: it may be wrong, the order isn't.
    pub at: Timestamp,
    /// Whose history it is.
    pub device: DeviceId,
    /// Digest of the event before; zeros for the first.
    pub previous: FileDigest,
    /// How many fates of releases there were, this one included: none is lost, none is there twice.
    pub fates: u64,
    /// What happened.
    pub event: Event,
}

/// An event's place and digest: who keeps it can tell later whether the history still has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Place in the chain.
    pub number: u64,
    /// Digest of the event's JSON.
    pub digest: FileDigest,
}

/// An event that was written, as far as the next one needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Where it is.
    pub head: Head,
    /// How many fates of releases there were.
    pub fates: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: u32,
    number: u64,
    at: Timestamp,
    device: String,
    previous: String,
    fates: u64,
    event: Event,
}

impl Entry {
    /// The event behind `last`, or the first.
    #[must_use]
    pub fn after(last: Option<&Last>, at: Timestamp, device: DeviceId, event: Event) -> Self {
        let is_fate = matches!(event, Event::Release { .. });
        let before = match event {
            Event::Began { fates, .. } => fates,
            _ => last.map_or(0, |last| last.fates),
        };
        Self {
            number: last.map_or(1, |last| last.head.number.saturating_add(1)),
            at,
            device,
            previous: last.map_or(FileDigest::from_bytes([0; 32]), |last| last.head.digest),
            fates: before.saturating_add(is_fate.into()),
            event: event.shortened(),
        }
    }

    /// The JSON that is signed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let json = Json {
            format: FORMAT,
            number: self.number,
            at: self.at,
            device: self.device.to_string(),
            previous: self.previous.to_string(),
            fates: self.fates,
            event: self.event.clone(),
        };
        // Texts and numbers: nothing here can fail to be JSON.
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// What the next event needs to know.
    #[must_use]
    pub fn last(&self) -> Last {
        Last {
            head: Head {
                number: self.number,
                digest: FileDigest::of(&self.to_json()),
            },
            fates: self.fates,
        }
    }
}

impl Event {
    /// No text is so long that a line would be.
    fn shortened(mut self) -> Self {
        let short = |text: &mut String| {
            if text.len() > MAX_TEXT_BYTES {
                let ends = (0..=MAX_TEXT_BYTES).rev();
                let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
                text.truncate(end.unwrap_or_default());
            }
        };
        match &mut self {
            Self::Began { .. } | Self::Checkpoint => {}
            Self::Release {
                version,
                slot,
                reason,
                ..
            } => [version, slot].into_iter().chain(reason).for_each(short),
            Self::Refused { what_was, reason } => [what_was, reason].into_iter().for_each(short),
            Self::Decided { version, reason, .. } => iter::once(version).chain(reason).for_each(short),
        }
        self
    }
}

/// The bytes that the device signs for an event.
#[must_use]
pub fn signed_message(json: &[u8]) -> Vec<u8> {
    [DOMAIN, json].concat()
}

/// A line of the history.
#[must_use]
pub fn line(json: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    [json, b" ", hex::encode(signature).as_bytes(), b"\n"].concat()
}

#[cfg(test)]
mod tests;
