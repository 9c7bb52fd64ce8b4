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
        let other = self.default.other();
        let record = self.slot_mut(self.default);
        record.state = SlotState::Bad(BadReason::TooManyAttempts);
        record.attempts = 0;
        self.slot_mut(other).attempts = 0;
        self.default = other;
        self.switched = true;
        AfterBoot::Switched(other)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A device that runs A, with a release in B that was just written.
    fn written() -> BootRecord {
        let mut record = BootRecord::fresh(SlotRecord {
            state: SlotState::Good,
            ..SlotRecord::EMPTY
        });
        record.begin_install(Slot::B, Slot::A).unwrap();
        record
            .installed(Slot::B, FileDigest::of(b"b"), Payload::default())
            .unwrap();
        record
    }

    fn armed() -> BootRecord {
        let mut record = written();
        record.begin_arming(Slot::B, Slot::A).unwrap();
        record.armed().unwrap();
        record
    }

    #[test]
    fn a_trial_that_is_committed_becomes_the_default() {
        let mut record = armed();
        assert_eq!(record.booted(Slot::B, LastEnd::Orderly), AfterBoot::Judge);
        assert_eq!(record.default, Slot::A, "until it is committed");
        record.commit(Slot::B).unwrap();
        assert_eq!((record.default, record.trial), (Slot::B, None));
        assert_eq!(record.slot(Slot::B).state, SlotState::Good);
        assert_eq!(record.slot(Slot::A).state, SlotState::Good, "the way back stays");
    }

    #[test]
    fn a_panic_on_trial_is_a_verdict() {
        let mut record = armed();
        record.booted(Slot::B, LastEnd::Orderly);
        let after = record.booted(Slot::A, LastEnd::Panic);
        assert_eq!(after, AfterBoot::TrialFailed(Slot::B, BadReason::Panic));
        assert_eq!(record.booted(Slot::A, LastEnd::Orderly), AfterBoot::Continue);
        assert_eq!(
            record.begin_arming(Slot::B, Slot::A),
            Err(TransitionError::NotStartable(Slot::B))
        );
    }

    #[test]
    fn a_power_cut_on_trial_is_none_and_the_trial_is_tried_three_times() {
        let mut record = armed();
        for _ in 1..MAX_TRIES {
            assert_eq!(record.booted(Slot::B, LastEnd::Orderly), AfterBoot::Judge);
            assert_eq!(
                record.booted(Slot::A, LastEnd::PowerLost),
                AfterBoot::ArmAgain(Slot::B)
            );
            record.begin_arming(Slot::B, Slot::A).unwrap();
            record.armed().unwrap();
        }
        record.booted(Slot::B, LastEnd::Orderly);
        let after = record.booted(Slot::A, LastEnd::PowerLost);
        assert_eq!(after, AfterBoot::TrialFailed(Slot::B, BadReason::TooManyTries));
    }

    #[test]
    fn a_trial_that_never_reaches_its_own_code_ends_too() {
        let mut record = armed();
        for _ in 1..MAX_TRIES {
            assert_eq!(
                record.booted(Slot::A, LastEnd::PowerLost),
                AfterBoot::ArmAgain(Slot::B)
            );
            record.begin_arming(Slot::B, Slot::A).unwrap();
            record.armed().unwrap();
        }
        let after = record.booted(Slot::A, LastEnd::PowerLost);
        assert_eq!(after, AfterBoot::TrialFailed(Slot::B, BadReason::TooManyTries));
    }

    #[test]
    fn a_default_that_keeps_failing_gives_way_once() {
        let mut record = armed();
        record.booted(Slot::B, LastEnd::Orderly);
        record.commit(Slot::B).unwrap();
        for _ in 1..MAX_ATTEMPTS / 2 {
            assert_eq!(record.booted(Slot::B, LastEnd::Panic), AfterBoot::Continue);
        }
        assert_eq!(
            record.booted(Slot::B, LastEnd::Watchdog),
            AfterBoot::Switched(Slot::A)
        );
        assert_eq!(
            record.slot(Slot::B).state,
            SlotState::Bad(BadReason::TooManyAttempts)
        );
        for _ in 0..20 {
            assert_eq!(
                record.booted(Slot::A, LastEnd::Panic),
                AfterBoot::Continue,
                "never back by itself"
            );
        }
        record.commit(Slot::A).unwrap();
        assert!(!record.switched && record.slot(Slot::A).attempts == 0);
    }

    /// A device that runs B, committed, with A to fall back to.
    fn committed() -> BootRecord {
        let mut record = armed();
        record.booted(Slot::B, LastEnd::Orderly);
        record.commit(Slot::B).unwrap();
        record
    }

    #[test]
    fn a_default_that_never_comes_to_its_own_code_gives_way_to_the_fallback() {
        let mut record = committed();
        assert_eq!(record.fallback(), Slot::A);
        for _ in 1..MAX_ATTEMPTS / NEVER_STARTED {
            assert_eq!(
                record.booted(Slot::A, LastEnd::Orderly),
                AfterBoot::DefaultAgain(Slot::B)
            );
        }
        assert_eq!(
            record.booted(Slot::A, LastEnd::Orderly),
            AfterBoot::Switched(Slot::A)
        );
        assert_eq!((record.default, record.fallback()), (Slot::A, Slot::A));
    }

    #[test]
    fn one_lost_start_of_the_default_is_forgotten_when_it_is_healthy_again() {
        let mut record = committed();
        record.booted(Slot::A, LastEnd::PowerLost);
        assert_eq!(record.booted(Slot::B, LastEnd::Orderly), AfterBoot::Continue);
        record.commit(Slot::B).unwrap();
        assert_eq!(record.slot(Slot::B).attempts, 0);
    }

    #[test]
    fn a_slot_that_was_found_damaged_is_no_fallback_and_the_default_is_never_given_up_for_it() {
        let mut record = committed();
        record.found_damaged(Slot::A).unwrap();
        assert_eq!(record.fallback(), Slot::B);
        for _ in 0..20 {
            assert_eq!(record.booted(Slot::B, LastEnd::Panic), AfterBoot::Continue);
        }
        assert_eq!(
            record.found_damaged(Slot::B),
            Err(TransitionError::Running(Slot::B))
        );
    }

    #[test]
    fn only_a_committed_slot_that_is_not_on_trial_is_a_fallback() {
        let mut record = committed();
        record.begin_arming(Slot::A, Slot::B).unwrap();
        assert_eq!(record.fallback(), Slot::B, "on trial");
        record.trial = None;
        record.begin_install(Slot::A, Slot::B).unwrap();
        assert_eq!(record.fallback(), Slot::B, "empty");
        for _ in 0..20 {
            assert_eq!(
                record.booted(Slot::A, LastEnd::Panic),
                AfterBoot::DefaultAgain(Slot::B),
                "somebody started it by hand"
            );
        }
    }

    #[test]
    fn what_runs_when_the_record_is_lost_is_on_trial_unless_the_loader_starts_it() {
        let mut record = BootRecord::fresh(SlotRecord::EMPTY);
        record.lost_while_running(Slot::A);
        assert_eq!(record.trial, None);
        record.lost_while_running(Slot::B);
        assert_eq!(record.booted(Slot::B, LastEnd::PowerLost), AfterBoot::Judge);
        record.commit(Slot::B).unwrap();
        assert_eq!(record.default, Slot::B);
    }

    #[test]
    fn the_running_slot_and_the_default_are_never_written_to() {
        let mut record = armed();
        record.booted(Slot::B, LastEnd::Orderly);
        for slot in Slot::ALL {
            assert_eq!(
                record.begin_install(slot, Slot::B),
                Err(TransitionError::Running(slot))
            );
        }
    }

    #[test]
    fn the_operator_goes_back_only_to_what_was_committed() {
        let mut record = written();
        assert_eq!(
            record.roll_back(Slot::A),
            Err(TransitionError::NotStartable(Slot::B))
        );
        record.begin_arming(Slot::B, Slot::A).unwrap();
        record.armed().unwrap();
        record.booted(Slot::B, LastEnd::Orderly);
        record.commit(Slot::B).unwrap();
        assert_eq!(record.roll_back(Slot::B), Ok(Slot::A));
        assert_eq!(record.default, Slot::A);
    }

    /// Something that happens to a device.
    #[derive(Debug, Clone)]
    enum Event {
        Install,
        Installed,
        Arm,
        Armed,
        Boot(Slot, LastEnd),
        Commit,
        Fail,
        RollBack,
    }

    fn event() -> impl Strategy<Value = Event> {
        let ends = vec![
            LastEnd::Orderly,
            LastEnd::PowerLost,
            LastEnd::Panic,
            LastEnd::Watchdog,
        ];
        let boot = (
            proptest::sample::select(Slot::ALL.to_vec()),
            proptest::sample::select(ends),
        );
        prop_oneof![
            Just(Event::Install),
            Just(Event::Installed),
            Just(Event::Arm),
            Just(Event::Armed),
            boot.prop_map(|(slot, end)| Event::Boot(slot, end)),
            Just(Event::Commit),
            Just(Event::Fail),
            Just(Event::RollBack),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_default_was_committed_once(events in proptest::collection::vec(event(), 0..60)) {
            let mut record = written();
            let mut running = Slot::A;
            for event in events {
                let other = running.other();
                match event {
                    Event::Install => drop(record.begin_install(other, running)),
                    Event::Installed => drop(record.installed(other, FileDigest::of(b"x"), Payload::default())),
                    Event::Arm => drop(record.begin_arming(other, running)),
                    Event::Armed => drop(record.armed()),
                    // A loader starts the default, the fallback, or a slot that is on trial.
                    Event::Boot(slot, end) if slot == record.default || slot == record.fallback()
                        || record.trial.is_some_and(|trial| trial.slot == slot && trial.stage != TrialStage::Running) =>
                    {
                        running = slot;
                        record.booted(slot, end);
                    }
                    Event::Boot(..) => {}
                    Event::Commit => drop(record.commit(running)),
                    Event::Fail => drop(record.fail(running, BadReason::CheckFailed)),
                    Event::RollBack => drop(record.roll_back(running)),
                }
                let state = record.slot(record.default).state;
                prop_assert!(
                    !matches!(state, SlotState::Empty | SlotState::Written),
                    "the default is {:?}: {:?}", record.default, record
                );
                prop_assert!(record.trial.is_none_or(|trial| trial.slot != record.default));
                prop_assert_eq!(BootRecord::decode(&record.encode()), Ok(record));
            }
        }
    }
}
