//! What the device remembers of releases, beside the boot record: their names, which ones failed, and how the last one fared.
//!
//! `/var/lib/outcrop/releases.json`. The boot record decides; this only explains, and keeps a failed release from being tried
//! again after its slot was written over. A damaged file is set aside.

mod catch_up;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::journal::Event;
pub use outcrop_release::journal::Fate;
use outcrop_release::{
    bootrec::{BadReason, BootRecord, SlotState},
    digest::FileDigest,
    manifest::RollbackIndex,
    slot::Slot,
};
use serde::{Deserialize, Serialize};

use crate::{
    durable::{self, DurableError},
    medium::{DataPartition, Medium},
};
pub use catch_up::Seen;

/// Name of the file.
const FILE_NAME: &str = "releases.json";
/// The form of the file.
const FORMAT: u32 = 1;
/// Failed releases that are remembered; the oldest are forgotten.
const MOST_FAILED: usize = 64;
/// Things that have happened that are kept for the journal, should it be lost.
const MOST_RECENT: usize = 16;
/// The same of those that it hasn't heard of yet: a TPM that unseals nothing for so long, or a disk that is full.
const MOST_UNTOLD: usize = 256;

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRelease {
    /// Its version.
    pub version: String,
    /// SHA-256 of its manifest, in hexadecimal digits.
    pub digest: String,
}

impl KnownRelease {
    /// A release of which only the digest is known.
    #[must_use]
    pub fn unknown(digest: &FileDigest) -> Self {
        Self {
            version: "unknown".to_owned(),
            digest: digest.to_string(),
        }
    }
}

/// A release that is being written to a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Writing {
    slot: String,
    #[serde(flatten)]
    release: KnownRelease,
}

/// The last thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What.
    pub fate: Fate,
    /// To which release's version.
    pub version: String,
    /// In which slot.
    pub slot: String,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// So many before it were forgotten before the journal could be told.
    #[serde(skip_serializing_if = "is_zero", default)]
    missing_before: u64,
}

impl Outcome {
    /// The event that the journal has of it.
    #[must_use]
    pub fn event(&self) -> Event {
        let missing = (self.missing_before > 0).then(|| {
            format!(
                "{} events before this one are missing: the history couldn't be written for so long that they were forgotten",
                self.missing_before
            )
        });
        let reasons: Vec<String> = missing.into_iter().chain(self.reason.clone()).collect();
        Event::Release {
            fate: self.fate,
            version: self.version.clone(),
            slot: self.slot.clone(),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A release that failed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The release.
    #[serde(flatten)]
    pub release: KnownRelease,
    /// Why, for people.
    pub reason: String,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct History {
    format: u32,
    slot_a: Option<KnownRelease>,
    slot_b: Option<KnownRelease>,
    /// From before its first byte until it is remembered as installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    writing: Option<Writing>,
    failed: Vec<Failure>,
    /// Releases that somebody went back from, or whose trial somebody took back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given_up: Vec<KnownRelease>,
    #[serde(default)]
    rollback_index: u32,
    /// The last thing that happened.
    pub last: Option<Outcome>,
    /// How many things have happened.
    #[serde(default)]
    fates: u64,
    /// How many of them the journal is never told of: they were forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    lost: u64,
    /// The last of them, at least until they are in the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Outcome>,
}

/// What was found, and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What is remembered; nothing when the file was damaged.
    pub history: History,
    /// Where a damaged file lies now.
    pub set_aside: Option<PathBuf>,
}

impl History {
    /// Reads what is remembered in `folder`; nothing when there is no file.
    ///
    /// # Errors
    /// When it is there and can't be read, or a damaged one can't be set aside.
    pub fn load(folder: &Path) -> Result<Loaded, DurableError> {
        let path = folder.join(FILE_NAME);
        let Some(bytes) = durable::read(&path)? else {
            return Ok(Loaded {
                history: Self::default(),
                set_aside: None,
            });
        };
        if let Ok(history) = serde_json::from_slice::<Self>(&bytes)
            && history.format == FORMAT
        {
            return Ok(Loaded {
                history,
                set_aside: None,
            });
        }
        let aside = path.with_extension("damaged");
        set_aside(&path, &aside).map_err(|source| DurableError {
            doing: "set aside",
            path,
            source,
        })?;
        Ok(Loaded {
            history: Self::default(),
            set_aside: Some(aside),
        })
    }

    /// Keeps it in `folder`. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When there is no room, or the file system fails.
    pub fn save(&mut self, folder: &Path) -> Result<(), DurableError> {
        self.save_on(folder, &DataPartition)
    }

    /// The same on a medium.
    ///
    /// # Errors
    /// As [`History::save`].
    pub fn save_on(&mut self, folder: &Path, medium: &dyn Medium) -> Result<(), DurableError> {
        self.format = FORMAT;
        // Texts and numbers: nothing here can fail to be JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        medium.replace(&folder.join(FILE_NAME), &bytes)
    }

    /// The release in a slot whose record has `digest`.
    #[must_use]
    pub fn release(&self, slot: Slot, digest: &FileDigest) -> Option<&KnownRelease> {
        let writing = self
            .writing
            .iter()
            .filter(|writing| writing.slot == slot.as_str());
        let known = self
            .held(slot)
            .into_iter()
            .chain(writing.map(|writing| &writing.release));
        known.into_iter().find(|known| known.digest == digest.to_string())
    }

    const fn held(&self, slot: Slot) -> Option<&KnownRelease> {
        match slot {
            Slot::A => self.slot_a.as_ref(),
            Slot::B => self.slot_b.as_ref(),
        }
    }

    /// A release is about to be written to a slot. Should the power go before that is remembered, the boot record says that it was written, and this
    /// which one.
    pub fn will_install(&mut self, slot: Slot, release: KnownRelease) {
        let slot = slot.to_string();
        self.writing = Some(Writing { slot, release });
    }

    /// A release was written to a slot.
    pub fn installed(&mut self, slot: Slot, release: KnownRelease) {
        self.writing = None;
        self.note(slot, Fate::Installed, &release.version, None);
        self.holds(slot, release);
    }

    /// A slot holds this release: one that was flashed was never installed.
    pub fn holds(&mut self, slot: Slot, release: KnownRelease) {
        *(match slot {
            Slot::A => &mut self.slot_a,
            Slot::B => &mut self.slot_b,
        }) = Some(release);
    }

    /// A release's checks held.
    pub fn committed(&mut self, slot: Slot, release: &KnownRelease, index: RollbackIndex) {
        self.rollback_index = self.rollback_index.max(index.0);
        self.failed
            .retain(|failure| failure.release.digest != release.digest);
        self.given_up.retain(|given_up| given_up.digest != release.digest);
        self.note(slot, Fate::Committed, &release.version, None);
    }

    /// A release's trial failed.
    pub fn failed(&mut self, slot: Slot, release: KnownRelease, reason: &str) {
        self.failed
            .retain(|failure| failure.release.digest != release.digest);
        self.note(slot, Fate::Failed, &release.version, Some(reason));
        self.failed.push(Failure {
            release,
            reason: reason.to_owned(),
        });
        let surplus = self.failed.len().saturating_sub(MOST_FAILED);
        self.failed.drain(..surplus);
    }

    /// The operator went back from a release.
    pub fn rolled_back(&mut self, slot: Slot, release: KnownRelease) {
        self.note(slot, Fate::RolledBack, &release.version, None);
        self.given_up(release);
    }

    /// Somebody doesn't want a release any more.
    pub fn given_up(&mut self, release: KnownRelease) {
        self.given_up.retain(|known| known.digest != release.digest);
        self.given_up.push(release);
        let surplus = self.given_up.len().saturating_sub(MOST_FAILED);
        self.given_up.drain(..surplus);
    }

    /// Somebody wants a release again that was given up.
    pub fn wanted_again(&mut self, digest: &FileDigest) {
        let digest = digest.to_string();
        self.given_up.retain(|known| known.digest != digest);
        self.failed.retain(|failure| failure.release.digest != digest);
    }

    /// The highest rollback index that was ever committed here.
    #[must_use]
    pub const fn rollback_index(&self) -> RollbackIndex {
        RollbackIndex(self.rollback_index)
    }

    /// Digests of the releases that failed here.
    pub fn failed_digests(&self) -> impl Iterator<Item = FileDigest> {
        self.failed
            .iter()
            .filter_map(|failure| failure.release.digest.parse().ok())
    }

    /// Digests of the releases that nobody wants to see here again by themselves: those that failed, and what was given up or gone back from.
    #[must_use]
    pub fn unwanted(&self, record: &BootRecord) -> Vec<FileDigest> {
        let slots = Slot::ALL.into_iter().map(|slot| record.slot(slot));
        let bad = slots.filter(|slot| matches!(slot.state, SlotState::Bad(_)));
        self.failed_digests()
            .chain(bad.map(|slot| slot.release))
            .chain(self.unwanted_by_somebody(record))
            .collect()
    }

    /// Digests of the releases that somebody went back from, or whose trial somebody took back. They failed no check.
    #[must_use]
    pub fn unwanted_by_somebody(&self, record: &BootRecord) -> Vec<FileDigest> {
        let given_up = self.given_up.iter().filter_map(|known| known.digest.parse().ok());
        let in_slots = Slot::ALL
            .into_iter()
            .filter_map(|slot| Self::slot_given_up(record, slot));
        given_up.chain(in_slots).collect()
    }

    /// The release in a slot, if somebody went back from it.
    #[must_use]
    pub fn slot_given_up(record: &BootRecord, slot: Slot) -> Option<FileDigest> {
        let there = record.slot(slot);
        (there.state == SlotState::Bad(BadReason::Operator)).then_some(there.release)
    }

    /// How the release with `digest` failed here, if it did.
    #[must_use]
    pub fn failure(&self, digest: &FileDigest) -> Option<&Failure> {
        let digest = digest.to_string();
        self.failed
            .iter()
            .find(|failure| failure.release.digest == digest)
    }

    /// How many things have happened.
    #[must_use]
    pub const fn fates(&self) -> u64 {
        self.fates
    }

    /// How many the journal has when it has been told all.
    const fn to_tell(&self) -> u64 {
        self.fates.saturating_sub(self.lost)
    }

    /// How many the journal can't be told any more: it has them, or they were before it.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.to_tell().saturating_sub(self.recent.len() as u64)
    }

    /// The journal has so many. When it has more than a file that was lost, that counts.
    pub fn at_least(&mut self, told: u64) {
        if self.to_tell() < told {
            self.fates = told.saturating_add(self.lost);
            self.recent.clear();
        }
    }

    /// The journal has so many. Counts those as lost that it hasn't and nobody knows any more; the oldest that is known will say so. True when
    /// there were any: keep this before the journal is told anything, or it is told twice.
    pub fn give_up_missing(&mut self, told: u64) -> bool {
        let missing = self.forgotten().saturating_sub(told);
        self.lost = self.lost.saturating_add(missing);
        self.say_missing(missing);
        missing > 0
    }

    fn say_missing(&mut self, missing: u64) {
        if let Some(oldest) = self.recent.first_mut() {
            oldest.missing_before = oldest.missing_before.saturating_add(missing);
        }
    }

    /// The journal has all: no more are kept than it may want again.
    pub fn forget_told(&mut self) {
        let surplus = self.recent.len().saturating_sub(MOST_RECENT);
        self.recent.drain(..surplus);
        self.recent
            .iter_mut()
            .for_each(|outcome| outcome.missing_before = 0);
    }

    /// What the journal hasn't got, which has so many: oldest first.
    pub fn since(&self, told: u64) -> impl Iterator<Item = &Outcome> {
        let untold = usize::try_from(self.to_tell().saturating_sub(told)).unwrap_or(usize::MAX);
        let known = self.recent.len().saturating_sub(untold);
        self.recent.iter().skip(known)
    }

    fn note(&mut self, slot: Slot, fate: Fate, version: &str, reason: Option<&str>) {
        // Two programs at once, or one and whoever makes up for a power cut, may say the same of a release. None becomes the same twice in a row,
        // except that it is installed again.
        let is_known = self
            .last
            .as_ref()
            .is_some_and(|last| last.fate == fate && last.version == version && last.slot == slot.as_str());
        if is_known && fate != Fate::Installed {
            return;
        }
        let outcome = Outcome {
            fate,
            version: version.to_owned(),
            slot: slot.to_string(),
            reason: reason.map(str::to_owned),
            missing_before: 0,
        };
        self.fates = self.fates.saturating_add(1);
        self.recent.push(outcome.clone());
        let surplus = self.recent.len().saturating_sub(MOST_UNTOLD);
        let missing: u64 = self
            .recent
            .drain(..surplus)
            .map(|outcome| outcome.missing_before)
            .sum();
        self.say_missing(missing);
        self.last = Some(outcome);
    }
}

fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(path, aside)
}

/// What a reason in the boot record means, for people.
#[must_use]
pub const fn describe(reason: BadReason) -> &'static str {
    match reason {
        BadReason::CheckFailed => "a health check failed",
        BadReason::Deadline => "its health checks didn't hold before the deadline",
        BadReason::Panic => "its kernel panicked",
        BadReason::Watchdog => "it hung, and the watchdog reset the device",
        BadReason::TooManyTries => {
            "its trial ended three times without a verdict: power lost, or it never started"
        }
        BadReason::TooManyAttempts => "it failed again and again after it had been committed",
        BadReason::Damaged => "it is damaged on the disk",
        BadReason::Operator => "the operator went back from it",
    }
}
