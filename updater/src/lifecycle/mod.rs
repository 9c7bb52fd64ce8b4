//! A release's way on the device: its trial is armed, judged at its boot, and it is committed or given up. Here the boot
//! record and the boot loader are kept in step.
//!
//! The record is the truth, and is written first: whatever a power cut leaves undone at the boot loader, the next boot makes
//! good ([`Lifecycle::after_boot`]). The one exception is a trial: the loader is told between `arming` and `armed`, so that a
//! record that says `armed` is right.
//!
//! The default is started like a trial: once, told anew by every boot of it. What the loader starts by itself is the *fallback*,
//! the committed release in the other slot. So a default that fails before its own code runs, where nobody could count, is
//! followed by the fallback, which counts it. Where there is no fallback, the loader starts the default by itself.

#[cfg(test)]
mod tests;

use outcrop_release::{
    bootrec::{AfterBoot, BadReason, BootRecord, LastEnd, StartReason, TakenBackBy, TransitionError},
    slot::Slot,
};

use crate::{
    boot_control::{BootControl, ControlError},
    disk::{Area, Disk, DiskError},
    record::{self, StoreError},
};

/// What is read at once while a boot payload is summed up.
const CHUNK_BYTES: usize = 256 << 10;

/// A step can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The boot record can't be read or written.
    #[error(transparent)]
    Record(#[from] StoreError),
    /// The boot loader can't be told.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// What was asked for makes no sense now.
    #[error("the boot record doesn't allow it")]
    Transition(#[from] TransitionError),
}

/// What to do now that the device has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on: the default runs.
    Start,
    /// Go on: this boot is the trial of what runs.
    Trial,
    /// Start again, for this reason.
    Reboot(Why),
}

/// Why a device that has just started starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A trial ended without a verdict, and is to be tried once more.
    TrialAgain(Slot),
    /// The default failed too often; this slot is the default now.
    Switched(Slot),
    /// The default was to be started and didn't come to its own code.
    DefaultAgain(Slot),
}

/// What a boot came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub next: Next,
    /// A trial that is over because of how the last boot ended.
    pub failed: Option<(Slot, BadReason)>,
    /// What was repaired or couldn't be done, to be told; the boot goes on all the same.
    pub notes: Vec<String>,
}

/// Disk and boot loader of a device that runs a slot.
#[derive(Debug)]
pub struct Lifecycle<'a, D, C> {
    /// The disk.
    pub disk: &'a mut D,
    /// The boot loader.
    pub control: &'a mut C,
    /// The slot that runs.
    pub running: Slot,
}

impl<D: Disk, C: BootControl> Lifecycle<'_, D, C> {
    /// The boot record.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn record(&self) -> Result<BootRecord, LifecycleError> {
        Ok(record::load(self.disk)?)
    }

    fn store(&mut self, record: &BootRecord) -> Result<(), LifecycleError> {
        record::store(self.disk, record)?;
        Ok(())
    }

    /// Has the other slot started once, at the next boot.
    ///
    /// # Errors
    /// When it holds nothing that may be tried, or the firmware or the disk fails.
    pub fn arm(&mut self) -> Result<(), LifecycleError> {
        let slot = self.running.other();
        let mut record = self.record()?;
        record.begin_arming(slot, self.running)?;
        self.store(&record)?;
        // What is tried is no fallback.
        self.set_default(record.fallback())?;
        self.control.arm(slot)?;
        let mut record = self.record()?;
        record.armed()?;
        self.store(&record)
    }

    /// Takes back an armed trial: the other slot stays as it is, and isn't started. What the operator takes back isn't armed again before
    /// [`Lifecycle::take_up`].
    ///
    /// # Errors
    /// When no trial is armed, or the firmware or the disk fails.
    pub fn disarm(&mut self, by: TakenBackBy) -> Result<(), LifecycleError> {
        let mut record = self.record()?;
        record.take_back(self.running, by)?;
        // The firmware first: a record that says `armed` over a loader that isn't is tried again, and no worse.
        self.control.disarm()?;
        self.store(&record)?;
        Ok(self.tell_loader(&record)?)
    }

    /// Lets the release in the other slot be tried, which the operator went back from or whose trial he took back.
    ///
    /// # Errors
    /// When nobody went back from it, or the disk fails.
    pub fn take_up(&mut self) -> Result<(), LifecycleError> {
        let mut record = self.record()?;
        record.take_up(self.running.other(), self.running)?;
        self.store(&record)
    }

    /// Says that what runs is healthy: it is the default from now on. True when it wasn't before.
    ///
    /// # Errors
    /// When what runs is neither on trial nor the default, or the firmware or the disk fails.
    pub fn commit(&mut self) -> Result<bool, LifecycleError> {
        let before = self.record()?;
        let mut record = before;
        record.commit(self.running)?;
        if record != before {
            self.store(&record)?;
        }
        self.tell_loader(&record)?;
        Ok(before.default != record.default || before.trial != record.trial)
    }

    /// Whether a commit would change nothing.
    ///
    /// # Errors
    /// When the record, the loader's configuration or the firmware's variable can't be read.
    pub fn is_committed(&self) -> Result<bool, LifecycleError> {
        let before = self.record()?;
        let mut record = before;
        let is_allowed = record.commit(self.running).is_ok();
        Ok(is_allowed && record == before && self.is_told(&record)?)
    }

    /// Says that the trial of what runs has failed. The device goes back at the next boot.
    ///
    /// # Errors
    /// When what runs isn't on trial, or the disk fails.
    pub fn fail(&mut self, reason: BadReason) -> Result<(), LifecycleError> {
        let mut record = self.record()?;
        record.fail(self.running, reason)?;
        self.store(&record)
    }

    /// Goes back to the other slot at the next boot, because the operator says so.
    ///
    /// # Errors
    /// When the other slot was never committed, or the firmware or the disk fails.
    pub fn roll_back(&mut self) -> Result<Slot, LifecycleError> {
        let mut record = self.record()?;
        let back = self.running.other();
        if record.trial.is_some_and(|trial| trial.slot == self.running) && record.default == back {
            record.fail(self.running, BadReason::Operator)?;
            self.store(&record)?;
            return Ok(back);
        }
        let slot = record.roll_back(self.running)?;
        self.store(&record)?;
        self.tell_loader(&record)?;
        Ok(slot)
    }

    /// Whether the boot payload of the slot that the device falls back to is as it was written; also when there is none, or nothing
    /// is known of it.
    ///
    /// # Errors
    /// When the record can't be read.
    pub fn fallback_is_whole(&self) -> Result<bool, LifecycleError> {
        let record = self.record()?;
        let fallback = record.fallback();
        let payload = record.slot(fallback).payload;
        let wanted = payload.kernel;
        if fallback == record.default || wanted.len == 0 {
            return Ok(true);
        }
        if self.control.reads_record().is_some() {
            let found = self.disk.boot_parts(fallback);
            return Ok(found.is_ok_and(|found| found == Some(payload)));
        }
        // What can't be read can't be started either.
        Ok(self
            .sum_of(Area::Boot(fallback), wanted.len)
            .is_ok_and(|sum| sum == wanted.crc32))
    }

    fn sum_of(&self, area: Area, len: u32) -> Result<u32, DiskError> {
        let mut sum = crc32fast::Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < u64::from(len) {
            let left = usize::try_from(u64::from(len) - at).unwrap_or(CHUNK_BYTES);
            let chunk = &mut buffer[..left.min(CHUNK_BYTES)];
            self.disk.read_medium(area, at, chunk)?;
            sum.update(chunk);
            at += chunk.len() as u64;
        }
        Ok(sum.finalize())
    }

    /// Says that the slot that the device falls back to is damaged: until the next update there is no way back. Returns the slot.
    ///
    /// # Errors
    /// When there is none, or the firmware or the disk fails.
    pub fn drop_fallback(&mut self) -> Result<Slot, LifecycleError> {
        let mut record = self.record()?;
        let slot = record.fallback();
        record.found_damaged(slot)?;
        self.store(&record)?;
        self.tell_loader(&record)?;
        Ok(slot)
    }

    /// Whether the next boot starts what the record says, no trial being armed.
    ///
    /// # Errors
    /// When the loader's configuration or the firmware's variable can't be read.
    pub fn is_told(&self, record: &BootRecord) -> Result<bool, ControlError> {
        if self.control.reads_record().is_some() {
            return Ok(true);
        }
        let fallback = record.fallback();
        let once = if fallback == record.default {
            true
        } else {
            self.control.armed()? == Some(record.default)
        };
        Ok(once && self.control.default_slot(self.disk)? == Some(fallback))
    }

    /// Has the next boot start the default, and the loader by itself the fallback. At every moment in between, and when the firmware
    /// refuses, what starts is one of them.
    fn tell_loader(&mut self, record: &BootRecord) -> Result<(), ControlError> {
        if self.control.reads_record().is_some() {
            return Ok(());
        }
        let (default, fallback) = (record.default, record.fallback());
        if fallback == default {
            self.set_default(default)?;
            // A trial's is gone since the loader read it, or is its own affair.
            if record.trial.is_none() && self.control.armed()? == Some(default.other()) {
                self.control.disarm()?;
            }
            return Ok(());
        }
        if let Err(error) = self.control.arm(default) {
            self.set_default(default)?;
            return Err(error);
        }
        self.set_default(fallback)
    }

    /// Has the loader start `slot` by itself, unless it does so already.
    fn set_default(&mut self, slot: Slot) -> Result<(), ControlError> {
        if self.control.reads_record().is_some() || self.control.default_slot(self.disk)? == Some(slot) {
            return Ok(());
        }
        self.control.set_default(self.disk, slot)
    }

    /// Records that this slot was started, after a boot that ended as `last`; repairs what the last power cut left undone.
    ///
    /// # Errors
    /// When the record can't be read or written: then nothing has been decided, and the boot goes on.
    pub fn after_boot(&mut self, last: LastEnd) -> Result<Verdict, LifecycleError> {
        let is_lost = record::is_lost(self.disk)?;
        let before = self.record()?;
        let mut record = before;
        if is_lost {
            record.lost_while_running(self.running);
        }
        let started = self.control.reads_record();
        let after = match started {
            Some(reason) => record.booted_by_loader(self.running, reason, last),
            None => record.booted(self.running, last),
        };
        if record != before || is_lost {
            self.store(&record)?;
        }
        let mut verdict = Verdict {
            next: Next::Start,
            failed: None,
            notes: Vec::new(),
        };
        if is_lost {
            verdict.notes.push(format!(
                "both copies of the boot record are damaged: slot {}, which the loader starts by itself, is taken for the default",
                record.default
            ));
        }
        verdict
            .notes
            .extend(started.and_then(|reason| note(reason, self.running)));
        let is_told = self
            .tell_loader(&record)
            .map_err(|error| verdict.notes.push(crate::chain::describe(&error)))
            .is_ok();
        match after {
            AfterBoot::Judge => verdict.next = Next::Trial,
            AfterBoot::TrialFailed(slot, reason) => verdict.failed = Some((slot, reason)),
            AfterBoot::Switched(slot) if slot == self.running => verdict.notes.push(format!(
                "slot {} didn't start, again and again: slot {slot} is the default now",
                slot.other()
            )),
            AfterBoot::Switched(slot) if is_told => verdict.next = Next::Reboot(Why::Switched(slot)),
            AfterBoot::ArmAgain(slot) => match self.arm() {
                Ok(()) => verdict.next = Next::Reboot(Why::TrialAgain(slot)),
                Err(error) => verdict.notes.push(format!(
                    "the trial of slot {slot} can't be armed again: {}",
                    crate::chain::describe(&error)
                )),
            },
            AfterBoot::DefaultAgain(slot) if is_told => verdict.next = Next::Reboot(Why::DefaultAgain(slot)),
            // A loader that can't be told: better this release than none.
            AfterBoot::Continue | AfterBoot::DefaultAgain(_) | AfterBoot::Switched(_) => {}
        }
        Ok(verdict)
    }
}

/// What a loader that reads the record itself did on its own, for the person who looks at the console.
fn note(reason: StartReason, running: Slot) -> Option<String> {
    let other = running.other();
    match reason {
        StartReason::Trial | StartReason::Default | StartReason::Lost => None,
        StartReason::Switched => Some(format!(
            "slot {other} didn't start, again and again: slot {running} is the default now"
        )),
        StartReason::Damaged => Some(format!(
            "kernel or initramfs of slot {other} is damaged: slot {running} is the default now"
        )),
        StartReason::Fallback => Some(format!(
            "kernel or initramfs of slot {other} is damaged, and so slot {running} was started, which isn't the default: install a release"
        )),
        StartReason::Unwritten => Some(
            "the boot loader couldn't write the boot record: the card is failing or protected, and no release can be tried".to_owned(),
        ),
    }
}
