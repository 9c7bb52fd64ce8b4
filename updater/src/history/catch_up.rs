//! What is remembered is written after the boot record: what a power cut kept from it in between is made up for here, each once.

use outcrop_release::{
    bootrec::{BadReason, BootRecord, SlotState},
    digest::FileDigest,
    journal::Fate,
    manifest::RollbackIndex,
    slot::Slot,
};

use super::{History, KnownRelease, describe};

/// What a device sees of itself when it has started.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The boot record.
    pub record: &'a BootRecord,
    /// The slot that runs.
    pub running: Slot,
    /// The release in it.
    pub release: &'a KnownRelease,
    /// That release's rollback index.
    pub index: RollbackIndex,
}

impl History {
    /// Makes up for what the boot record has and this hasn't heard of. A release that panicked or hung could say nothing itself, either.
    pub fn catch_up(&mut self, seen: &Seen<'_>) {
        self.settle(seen.record);
        self.catch_up_with_other(seen.record, seen.running.other());
        let is_committed =
            seen.record.default == seen.running && seen.record.slot(seen.running).state == SlotState::Good;
        let lacks_commit = self.last_is(Fate::Installed, seen.running);
        if is_committed && (lacks_commit || self.rollback_index() < seen.index) {
            self.committed(seen.running, seen.release, seen.index);
        }
    }

    fn catch_up_with_other(&mut self, record: &BootRecord, other: Slot) {
        let there = record.slot(other);
        let release = self.release(other, &there.release).cloned();
        let release = release.unwrap_or_else(|| KnownRelease::unknown(&there.release));
        match there.state {
            // What was committed has no trial that could have been given up.
            SlotState::Bad(BadReason::Operator) if self.last_is(Fate::Committed, other) => {
                self.rolled_back(other, release);
            }
            SlotState::Bad(BadReason::Operator) => {}
            SlotState::Bad(reason) if !self.knows_failure(other, &there.release) => {
                self.failed(other, release, describe(reason));
            }
            _ => {}
        }
    }

    /// Notes the release that was being written as installed, if the boot record says that it was.
    pub fn settle(&mut self, record: &BootRecord) {
        let slot = |name: &str| Slot::ALL.into_iter().find(|slot| slot.as_str() == name);
        let Some((slot, writing)) = self
            .writing
            .clone()
            .and_then(|writing| Some((slot(&writing.slot)?, writing.release)))
        else {
            return;
        };
        let there = record.slot(slot);
        let was_held = self.held(slot) == Some(&writing);
        let is_written = match there.state {
            // Not to its end, or it hasn't begun.
            SlotState::Empty => return,
            SlotState::Written => true,
            // That may be what the slot held before, and wasn't written again.
            SlotState::Good | SlotState::Bad(_) => !was_held,
        };
        match is_written && there.release.to_string() == writing.digest {
            true => self.installed(slot, writing),
            false => self.writing = None,
        }
    }

    /// The boot record says that a slot holds this release, written and not tried: it was installed, if that isn't known.
    pub fn is_written(&mut self, record: &BootRecord, slot: Slot, release: KnownRelease) {
        self.settle(record);
        if self.held(slot) != Some(&release) {
            self.installed(slot, release);
        }
    }

    /// Whether the failure of what a slot holds is known: not only that it failed once before it was installed again.
    fn knows_failure(&self, slot: Slot, digest: &FileDigest) -> bool {
        self.failure(digest).is_some() && !self.last_is(Fate::Installed, slot)
    }

    fn last_is(&self, fate: Fate, slot: Slot) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.fate == fate && last.slot == slot.as_str())
    }
}
