//! How a record changes. Every change is made in memory and written once; what may follow what is decided here alone.
//!
//! The default never points at a slot that wasn't committed: that is what makes a trial harmless.

use super::{
    record::BootRecord,
    state::{BadReason, Payload, SlotRecord, SlotState, Trial, TrialStage},
};
use crate::{digest::FileDigest, slot::Slot};

/// How often a trial that ends without a verdict is started before the release counts as bad.
pub const MAX_TRIES: u8 = 3;
/// Weight of failed boots of the default at which the other slot becomes the default.
pub const MAX_ATTEMPTS: u8 = 6;
/// Weight of a default that was to be started and never came to its own code: two in a row are enough, since each may have taken
/// somebody who switched the device off and on.
const NEVER_STARTED: u8 = 3;
/// Starts of the default by a loader that reads the record itself, none of which came to its own code, after which it starts the other slot
/// instead. Two, for the same reason.
pub const MAX_STARTS: u8 = 2;

/// How the boot before this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LastEnd {
    /// The device was healthy, or shut down on purpose.
    Orderly,
    /// The power went, or nobody knows: that says little about the release.
    PowerLost,
    /// The kernel panicked.
    Panic,
    /// The watchdog reset the machine.
    Watchdog,
}

impl LastEnd {
    /// What it adds to the attempts.
    #[must_use]
    pub const fn weight(self) -> u8 {
        match self {
            Self::Orderly => 0,
            Self::PowerLost => 1,
            Self::Panic | Self::Watchdog => 2,
        }
    }

    /// What it says of a trial that ended so; none when it says nothing.
    #[must_use]
    pub const fn verdict(self) -> Option<BadReason> {
        match self {
            Self::Orderly | Self::PowerLost => None,
            Self::Panic => Some(BadReason::Panic),
            Self::Watchdog => Some(BadReason::Watchdog),
        }
    }
}

/// What has to happen after a boot was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterBoot {
    /// Go on: nothing is due.
    Continue,
    /// This boot is the trial's: check the health, then commit or fail.
    Judge,
    /// A trial ended without a verdict and is to be armed once more.
    ArmAgain(Slot),
    /// A trial is over; its release is bad.
    TrialFailed(Slot, BadReason),
    /// The default was to be started, and the fallback came up: start the default again.
    DefaultAgain(Slot),
    /// The default failed too often: the other slot is the default from now on. Where it isn't what runs, reboot into it.
    Switched(Slot),
}

/// Who takes back an armed trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TakenBackBy {
    /// The program that armed it: its release isn't offered any more. It may be armed again when it is.
    Agent,
    /// Somebody who doesn't want the release.
    Operator,
}

/// A change that the record doesn't allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The running slot would be changed.
    #[error("slot {0} is running: it can't be written to, or be on trial")]
    Running(Slot),
    /// Nothing whole is in the slot, or it failed before.
    #[error("slot {0} holds nothing that may be started")]
    NotStartable(Slot),
    /// There is no trial in the stage that is asked for.
    #[error("no trial is at that stage")]
    NoTrial,
}

impl BootRecord {
    /// Says that a slot holds nothing whole, before its first byte changes; a trial of it is off.
    ///
    /// # Errors
    /// [`TransitionError::Running`] for the running slot, and for the default: the device must be able to come back.
    pub fn begin_install(&mut self, slot: Slot, running: Slot) -> Result<(), TransitionError> {
        if slot == running || slot == self.default {
            return Err(TransitionError::Running(slot));
        }
        *self.slot_mut(slot) = SlotRecord::EMPTY;
        self.end_trial_of(slot);
        Ok(())
    }

    fn end_trial_of(&mut self, slot: Slot) {
        self.trial = self.trial.filter(|trial| trial.slot != slot);
    }

    /// Says that a slot holds a release, read back and found whole.
    ///
    /// # Errors
    /// [`TransitionError::NotStartable`] unless [`BootRecord::begin_install`] came before.
    pub fn installed(
        &mut self,
        slot: Slot,
        release: FileDigest,
        payload: Payload,
    ) -> Result<(), TransitionError> {
        let record = self.slot_mut(slot);
        if record.state != SlotState::Empty {
            return Err(TransitionError::NotStartable(slot));
        }
        *record = SlotRecord {
            state: SlotState::Written,
            attempts: 0,
            starts: 0,
            release,
            payload,
        };
        Ok(())
    }

    /// Says that the firmware is being told to start a slot once. Written before it is told.
    ///
    /// # Errors
    /// When the slot runs, or holds nothing that may be started.
    pub fn begin_arming(&mut self, slot: Slot, running: Slot) -> Result<(), TransitionError> {
        if slot == running || slot == self.default {
            return Err(TransitionError::Running(slot));
        }
        if !matches!(self.slot(slot).state, SlotState::Written | SlotState::Good) {
            return Err(TransitionError::NotStartable(slot));
        }
        let tries = self
            .trial
            .filter(|trial| trial.slot == slot)
            .map_or(0, |trial| trial.tries);
        self.trial = Some(Trial {
            slot,
            stage: TrialStage::Arming,
            tries,
        });
        Ok(())
    }

    /// Says that the firmware has been told, and that this was read back.
    ///
    /// # Errors
    /// [`TransitionError::NoTrial`] unless [`BootRecord::begin_arming`] came before.
    pub fn armed(&mut self) -> Result<(), TransitionError> {
        match &mut self.trial {
            Some(trial) if trial.stage == TrialStage::Arming => {
                trial.stage = TrialStage::Armed;
                Ok(())
            }
            _ => Err(TransitionError::NoTrial),
        }
    }

    /// Takes back a trial that was armed, or was being armed, and hasn't begun. What was written stays; the operator doesn't want
    /// it started any more, until [`BootRecord::take_up`].
    ///
    /// # Errors
    /// [`TransitionError::NoTrial`] when there is none, or what runs is on trial.
    pub fn take_back(&mut self, running: Slot, by: TakenBackBy) -> Result<(), TransitionError> {
        let trial = self.trial.ok_or(TransitionError::NoTrial)?;
        if trial.slot == running || trial.stage == TrialStage::Running {
            return Err(TransitionError::NoTrial);
        }
        self.trial = None;
        let record = self.slot_mut(trial.slot);
        // One that was committed before stays what a default that fails falls back to.
        if by == TakenBackBy::Operator && record.state == SlotState::Written {
            record.state = SlotState::Bad(BadReason::Operator);
        }
        Ok(())
    }

    /// The operator wants a release again that he went back from, or whose trial he took back: `slot` may be tried as if it had just been
    /// written. Its bytes haven't changed since.
    ///
    /// # Errors
    /// [`TransitionError::NotStartable`] when it is bad for another reason, or not bad; [`TransitionError::Running`] when it runs.
    pub fn take_up(&mut self, slot: Slot, running: Slot) -> Result<(), TransitionError> {
        if slot == running || slot == self.default {
            return Err(TransitionError::Running(slot));
        }
        let record = self.slot_mut(slot);
        if record.state != SlotState::Bad(BadReason::Operator) {
            return Err(TransitionError::NotStartable(slot));
        }
        record.state = SlotState::Written;
        record.attempts = 0;
        record.starts = 0;
        Ok(())
    }

    /// Records that `slot` was started, after a boot that ended as `last`.
    pub fn booted(&mut self, slot: Slot, last: LastEnd) -> AfterBoot {
        match self.trial {
            Some(trial) if trial.slot == slot => self.trial_booted(trial, last),
            Some(trial) if trial.stage != TrialStage::Arming => self.returned_from(trial, last),
            // The firmware may or may not have been told: whoever armed it does so again.
            Some(trial) => AfterBoot::ArmAgain(trial.slot),
            None if slot == self.default => self.default_booted(last),
            None => self.fell_back(),
        }
    }

    /// The slot that is started when the default was to be and didn't come up: the other one, where it was committed and isn't on
    /// trial, else the default itself.
    #[must_use]
    pub fn fallback(&self) -> Slot {
        let other = self.default.other();
        if self.trial.is_none() && self.slot(other).state == SlotState::Good {
            other
        } else {
            self.default
        }
    }

    /// No copy of the record is left, and what runs isn't what the loader starts by itself. Nobody knows whether it was committed: this
    /// boot is its trial.
    pub fn lost_while_running(&mut self, running: Slot) {
        if running != self.default {
            self.slot_mut(running).state = SlotState::Written;
            self.trial = Some(Trial {
                slot: running,
                stage: TrialStage::Armed,
                tries: 0,
            });
        }
    }

    /// The trial's slot was started, for the first time or, where no boot of the default came between, again.
    fn trial_booted(&mut self, trial: Trial, last: LastEnd) -> AfterBoot {
        let again = trial.stage == TrialStage::Running;
        if again && let Some(reason) = last.verdict() {
            return self.end_trial(trial.slot, reason);
        }
        self.trial = Some(Trial {
            stage: TrialStage::Running,
            tries: trial.tries.saturating_add(1),
            ..trial
        });
        AfterBoot::Judge
    }

    /// The other slot was started: the trial, armed or running, ended.
    fn returned_from(&mut self, trial: Trial, last: LastEnd) -> AfterBoot {
        let reason = last.verdict().filter(|_| trial.stage == TrialStage::Running);
        // A trial that was armed and never came to its own code has used up a try too: a boot loader or kernel that can't
        // start leaves no other trace.
        let tries = match trial.stage {
            TrialStage::Running => trial.tries,
            TrialStage::Arming | TrialStage::Armed => trial.tries.saturating_add(1),
        };
        if let Some(reason) = reason {
            return self.end_trial(trial.slot, reason);
        }
        if tries >= MAX_TRIES {
            return self.end_trial(trial.slot, BadReason::TooManyTries);
        }
        self.trial = Some(Trial {
            stage: TrialStage::Arming,
            tries,
            ..trial
        });
        AfterBoot::ArmAgain(trial.slot)
    }

    fn end_trial(&mut self, slot: Slot, reason: BadReason) -> AfterBoot {
        self.slot_mut(slot).state = SlotState::Bad(reason);
        self.trial = None;
        AfterBoot::TrialFailed(slot, reason)
    }

    fn default_booted(&mut self, last: LastEnd) -> AfterBoot {
        let other = self.default.other();
        let may_switch = !self.switched && self.slot(other).state == SlotState::Good;
        let record = self.slot_mut(self.default);
        record.attempts = record.attempts.saturating_add(last.weight());
        if record.attempts < MAX_ATTEMPTS || !may_switch {
            return AfterBoot::Continue;
        }
        self.switch()
    }

    /// The fallback was started, though the default was to be: that one's kernel or boot payload can't start, or the power went before it
    /// came to its own code. How the boot before ended says nothing about either.
    fn fell_back(&mut self) -> AfterBoot {
        let may_switch = !self.switched && self.slot(self.default.other()).state == SlotState::Good;
        let record = self.slot_mut(self.default);
        record.attempts = record.attempts.saturating_add(NEVER_STARTED);
        if record.attempts < MAX_ATTEMPTS || !may_switch {
            return AfterBoot::DefaultAgain(self.default);
        }
        self.switch()
    }

    fn switch(&mut self) -> AfterBoot {
        AfterBoot::Switched(self.switch_from_bad(BadReason::TooManyAttempts))
    }

    /// Makes the other slot the default, since the one before is bad. Returns the new one.
    pub(super) const fn switch_from_bad(&mut self, reason: BadReason) -> Slot {
        let other = self.default.other();
        let record = self.slot_mut(self.default);
        record.state = SlotState::Bad(reason);
        record.attempts = 0;
        record.starts = 0;
        let record = self.slot_mut(other);
        record.attempts = 0;
        record.starts = 0;
        self.default = other;
        self.switched = true;
        other
    }

    /// The running slot's health checks held: it is the default from now on.
    ///
    /// # Errors
    /// [`TransitionError::NoTrial`] when it is neither on trial nor the default.
    pub fn commit(&mut self, running: Slot) -> Result<(), TransitionError> {
        let on_trial = self
            .trial
            .is_some_and(|trial| trial.slot == running && trial.stage == TrialStage::Running);
        if !on_trial && running != self.default {
            return Err(TransitionError::NoTrial);
        }
        if on_trial {
            self.trial = None;
        }
        self.default = running;
        self.switched = false;
        let record = self.slot_mut(running);
        record.state = SlotState::Good;
        record.attempts = 0;
        record.starts = 0;
        Ok(())
    }

    /// The slot on trial failed: it isn't started by itself any more.
    ///
    /// # Errors
    /// [`TransitionError::NoTrial`] when it isn't on trial.
    pub fn fail(&mut self, slot: Slot, reason: BadReason) -> Result<(), TransitionError> {
        match self.trial {
            Some(trial) if trial.slot == slot => {
                self.end_trial(slot, reason);
                Ok(())
            }
            _ => Err(TransitionError::NoTrial),
        }
    }

    /// A slot's bytes aren't what was written there: it isn't started by itself any more.
    ///
    /// # Errors
    /// [`TransitionError::Running`] for the default: it runs, or is all that there is.
    pub fn found_damaged(&mut self, slot: Slot) -> Result<(), TransitionError> {
        if slot == self.default {
            return Err(TransitionError::Running(slot));
        }
        self.end_trial_of(slot);
        self.slot_mut(slot).state = SlotState::Bad(BadReason::Damaged);
        Ok(())
    }

    /// The operator wants the other slot back: it is the default from the next boot on.
    ///
    /// # Errors
    /// [`TransitionError::NotStartable`] when it was never committed.
    pub fn roll_back(&mut self, running: Slot) -> Result<Slot, TransitionError> {
        let other = running.other();
        if self.slot(other).state != SlotState::Good {
            return Err(TransitionError::NotStartable(other));
        }
        self.slot_mut(running).state = SlotState::Bad(BadReason::Operator);
        self.trial = None;
        self.default = other;
        Ok(other)
    }
}

#[cfg(test)]
mod tests;
