//! What the agent acts on.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Zoned;
use outcrop_release::{
    agent::{AgentDefinition, Slots},
    bootrec::{BootRecord, SlotState},
    channel::{Accepted, Offer, Subscriber},
    device_id::DeviceId,
    digest::FileDigest,
    journal::Event,
    name::ReleaseName,
    report::{Reason, Standing},
    slot::Slot,
};

use super::armed::{ArmedBy, Armer};
use crate::{
    channel::{FollowError, Followed},
    install::Limits,
};

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// To be counted.
    pub reason: Reason,
    /// For people.
    pub detail: String,
}

/// Why a release isn't staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageEnd {
    /// What may be fetched now is fetched.
    Spent,
    /// The time to fetch is over.
    Closed,
    /// The agent was asked to stop, or somebody else changes the releases.
    Stopped,
    /// It failed.
    Failed(Trouble),
}

/// The device as the channel's list sees it.
#[derive(Debug, Clone)]
pub struct Who {
    /// Its name.
    pub device: DeviceId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What runs.
    pub running: ReleaseName,
    /// Digest of that release's manifest.
    pub manifest: FileDigest,
    /// Releases that failed on it, or that somebody doesn't want.
    pub failed: Vec<FileDigest>,
    /// Those of them that somebody went back from, or whose trial somebody took back.
    pub given_up: Vec<FileDigest>,
    /// How many things have become of releases on it.
    pub fates: u64,
}

impl Who {
    /// The same for a list.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber<'_> {
        Subscriber {
            device: self.device,
            labels: &self.labels,
            running: &self.running,
            manifest: Some(self.manifest),
            failed: &self.failed,
        }
    }
}

/// A device, to the agent: the real one, or one of a thousand that are only played.
pub trait Site {
    /// The site's clock.
    fn now(&self) -> Zoned;

    /// What holds here.
    fn definition(&self) -> &AgentDefinition;

    /// Outcrop's folder on the data partition.
    fn state(&self) -> PathBuf;

    /// Outcrop's folder that is gone with each boot.
    fn run_folder(&self) -> PathBuf;

    /// The device.
    ///
    /// # Errors
    /// When what is known of it can't be read.
    fn who(&mut self) -> Result<Who, Trouble>;

    /// The boot record, and the slot that runs.
    ///
    /// # Errors
    /// When the disk can't be read.
    fn record(&mut self) -> Result<(BootRecord, Slot), Trouble>;

    /// Whether there is somebody to ask.
    fn has_tree(&self) -> bool;

    /// Asks for the channel's list, and remembers it.
    ///
    /// # Errors
    /// See [`FollowError`].
    fn ask(&mut self) -> Result<Followed, FollowError>;

    /// The list that is remembered, if it still counts.
    fn recall(&mut self) -> Option<Accepted>;

    /// Whether fetching costs nothing.
    fn is_free(&self) -> bool;

    /// Writes a release to the other slot, and doesn't arm it. Also returns how many bytes were fetched.
    ///
    /// # Errors
    /// See [`StageEnd`]; what is there by then stays.
    fn stage(&mut self, offer: &Offer, limits: Limits) -> (u64, Result<(), StageEnd>);

    /// Who objects to a restart now, for people.
    fn objection(&mut self) -> Option<String>;

    /// Arms the trial of what is staged, and restarts. When this returns, the restart is under way.
    ///
    /// # Errors
    /// When it can't be armed or the restart doesn't come.
    fn restart(&mut self) -> Result<(), Trouble>;

    /// Takes the armed trial back.
    ///
    /// # Errors
    /// When the disk or firmware fails.
    fn disarm(&mut self) -> Result<(), Trouble>;

    /// Has the release with this manifest be wanted again, where somebody went back from it.
    ///
    /// # Errors
    /// When the disk fails, or there is no room.
    fn take_up(&mut self, release: FileDigest) -> Result<(), Trouble>;

    /// Appends to the history.
    fn note(&mut self, event: Event);

    /// The number of the history's newest event; 0 where it has none, or can't be read.
    fn newest_event(&self) -> u64;

    /// Whether the history has `event` behind its event with the number `after`.
    fn has_noted(&self, after: u64, event: &Event) -> bool;

    /// Makes a report, keeps it until it has arrived, and sends what waits.
    ///
    /// # Errors
    /// When it didn't arrive: it waits.
    fn report(&mut self, standing: &Standing) -> Result<(), Trouble>;

    /// Sends the reports that wait.
    ///
    /// # Errors
    /// When one didn't arrive.
    fn send(&mut self) -> Result<(), Trouble>;

    /// Says something to whoever reads the journal.
    fn tell(&mut self, line: &str);
}

/// Who has armed what, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arming {
    /// In this boot.
    pub(super) now: Option<ArmedBy>,
    /// The release that the agent armed last, in this boot or an earlier one.
    pub(super) last: Option<FileDigest>,
}

impl Arming {
    /// Whether the trial of `release`, if one is armed, is the agent's.
    pub(super) fn is_ours(&self, release: FileDigest) -> bool {
        match self.now {
            Some(armed) if armed.release == release => armed.who == Armer::Agent,
            _ => self.last == Some(release),
        }
    }
}

/// What the slots are about.
pub(super) fn slots(record: &BootRecord, running: Slot, arming: Arming) -> Slots {
    use outcrop_release::agent::Armed;
    let other = record.slot(running.other());
    let staged = (other.state == SlotState::Written).then_some(other.release);
    let armed = match record.trial {
        Some(trial) if trial.slot != running => match arming.is_ours(other.release) {
            true => Armed::ByAgent,
            false => Armed::ByOthers,
        },
        _ => Armed::No,
    };
    Slots {
        on_trial: record.default != running,
        armed,
        staged,
    }
}
