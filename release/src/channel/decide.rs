//! What of a list is meant for a device.

use std::collections::BTreeMap;

use super::{Accepted, LabelSelector, Offer, Position, Withdrawn};
use crate::{device_id::DeviceId, digest::FileDigest, name::ReleaseName};

/// A device that follows a channel.
#[derive(Debug, Clone, Copy)]
pub struct Subscriber<'a> {
    /// Its name.
    pub device: DeviceId,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// What runs.
    pub running: &'a ReleaseName,
    /// Digest of that release's manifest, where it is known.
    pub manifest: Option<FileDigest>,
    /// Releases that failed on it, by their manifests' digests.
    pub failed: &'a [FileDigest],
}

/// What a device does about a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'c> {
    /// Nothing newer is offered.
    UpToDate,
    /// This one is installed.
    Install(&'c Offer),
    /// Its turn hasn't come.
    Later {
        /// Which release waits.
        offer: &'c Offer,
        /// Where the device stands.
        position: Position,
    },
    /// Nobody gets it for the time being.
    Paused(&'c Offer),
    /// A label keeps it back.
    HeldBack {
        /// Which release.
        offer: &'c Offer,
        /// Which label.
        label: &'c LabelSelector,
    },
    /// It failed here before, and isn't tried again by itself.
    Failed(&'c Offer),
}

impl<'c> Decision<'c> {
    /// The release that it is about, if any.
    #[must_use]
    pub const fn offer(&self) -> Option<&'c Offer> {
        match self {
            Self::UpToDate => None,
            Self::Install(offer) | Self::Paused(offer) | Self::Failed(offer) => Some(offer),
            Self::Later { offer, .. } | Self::HeldBack { offer, .. } => Some(offer),
        }
    }
}

/// What the device does: the newest release that is meant for it now; else, why the newest one isn't.
#[must_use]
pub fn decide<'c>(list: &'c Accepted, device: &Subscriber<'_>) -> Decision<'c> {
    let mut offers: Vec<&Offer> = list
        .channel()
        .offers
        .iter()
        .filter(|offer| is_newer(&offer.release, device.running))
        .collect();
    offers.sort_by(|a, b| b.release.version.cmp(&a.release.version));
    let decisions: Vec<Decision<'c>> = offers.into_iter().map(|offer| about(offer, device)).collect();
    let install = decisions
        .iter()
        .find(|decision| matches!(decision, Decision::Install(_)));
    install
        .or(decisions.first())
        .copied()
        .unwrap_or(Decision::UpToDate)
}

/// What a list says against the release that runs.
#[must_use]
pub fn withdrawn<'c>(list: &'c Accepted, device: &Subscriber<'_>) -> Option<&'c Withdrawn> {
    let is_ours = |withdrawn: &&Withdrawn| device.manifest == Some(withdrawn.manifest);
    list.channel().withdrawn.iter().find(is_ours)
}

fn is_newer(offer: &ReleaseName, running: &ReleaseName) -> bool {
    let same = offer.image == running.image
        && offer.architecture == running.architecture
        && offer.board == running.board;
    same && offer.version > running.version
}

fn about<'c>(offer: &'c Offer, device: &Subscriber<'_>) -> Decision<'c> {
    if device.failed.contains(&offer.manifest) {
        return Decision::Failed(offer);
    }
    if offer.paused {
        return Decision::Paused(offer);
    }
    if let Some(label) = offer.hold_back.iter().find(|label| label.fits(device.labels)) {
        return Decision::HeldBack { offer, label };
    }
    let position = Position::of(&offer.release.image, &device.device);
    if position.is_in(offer.share()) {
        Decision::Install(offer)
    } else {
        Decision::Later { offer, position }
    }
}

impl LabelSelector {
    /// Whether a device with these labels is meant.
    #[must_use]
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}
