//! Channels: signed lists of the releases that devices are offered, each to a share of them.
//!
//! A channel is one file on any web server or stick. A device follows it: it takes no older list than it has seen (the *serial*), none
//! that has expired, and of the list only what is meant for it. The keys that sign channels are others than those that sign releases: who
//! has them can offer and hold back releases, and never make one.
//!
//! ```text
//! DIR/stable.channel         the list, signed (`signed`)
//! DIR/releases/...outcrop    bundles, and deltas beside them
//! ```

mod accept;
mod decide;
mod definition;
mod edit;
mod json;
mod name;
mod waves;

use jiff::Timestamp;
use semver::Version;

pub use accept::{Accepted, Admission, ChannelRefusal, MAX_CHANNEL_BYTES, Seen, accept};
pub use decide::{Decision, Subscriber, decide, withdrawn};
pub use definition::{ChannelDefinition, tree_url};
pub use edit::{EditError, Lifetime, Publication};
pub use json::ChannelError;
pub use name::{BadChannelName, ChannelName};
pub use waves::{BadWaves, Position, Share, Waves};

use crate::{digest::FileDigest, manifest::RollbackIndex, name::ReleaseName};

/// Folder of a publish tree that has the bundles.
pub const RELEASES_FOLDER: &str = "releases";
/// Most offers of a channel.
pub const MAX_OFFERS: usize = 64;
/// Withdrawn releases that a channel remembers; the oldest are forgotten.
pub const MAX_WITHDRAWN: usize = 64;

/// A channel's list. Reading one says nothing about who made it: [`Accepted`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name: one list can't be given out as another's.
    pub name: ChannelName,
    /// Which list it is: each is higher than the one before.
    pub serial: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// When it stops to count.
    pub expires: Timestamp,
    /// What is offered.
    pub offers: Vec<Offer>,
    /// What is offered no longer, the newest last.
    pub withdrawn: Vec<Withdrawn>,
}

/// A release that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub release: ReleaseName,
    /// Digest of its manifest: no other release of this name is meant.
    pub manifest: FileDigest,
    /// Length of its bundle, in bytes.
    pub bytes: u64,
    /// What the release says of older ones.
    pub rollback_index: RollbackIndex,
    /// Who gets it first.
    pub waves: Waves,
    /// How many of the waves are open: at least one, no more than there are.
    open: usize,
    /// Whether nobody gets it for the time being.
    pub paused: bool,
    /// Devices with one of these labels don't get it: `key`, or `key=value`.
    pub hold_back: Vec<LabelSelector>,
}

/// A release that is offered no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// Which one.
    pub release: ReleaseName,
    /// Digest of its manifest.
    pub manifest: FileDigest,
    /// Why, for people.
    pub reason: String,
}

/// Which devices are meant: those that have a label, or have it with a value. Text form: `key` or `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    /// The label.
    pub key: String,
    /// Its value; none means any.
    pub value: Option<String>,
}

impl Offer {
    /// The share of the devices that it is open to.
    #[must_use]
    pub fn share(&self) -> Share {
        let open = self.waves.shares().get(self.open.saturating_sub(1));
        open.copied().unwrap_or_else(Share::all)
    }

    /// Name of the bundle's file in the folder of releases.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.outcrop", self.release)
    }

    /// Whether people mean it by `name`: its version, its whole name, or its file's.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let release = &self.release;
        [release.version.to_string(), release.to_string(), self.file_name()]
            .iter()
            .any(|own| own == name)
    }

    /// Whether all devices get it.
    #[must_use]
    pub fn is_open_to_all(&self) -> bool {
        self.open >= self.waves.shares().len()
    }
}

impl Withdrawn {
    /// Its version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.release.version
    }
}

#[cfg(test)]
mod tests;
