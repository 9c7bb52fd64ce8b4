//! What a boot loader that reads the record itself does with it: U-Boot's script, which this is the model of.
//!
//! It runs before any program of ours and can't know how the last boot ended: so it counts every start of the default, and what it starts
//! sets that count to zero, and then counts what it knows. A count that stays is of a kernel or initramfs that can't start.

use std::{fmt, str::FromStr};

use super::{
    record::BootRecord,
    state::{BadReason, SlotState, TrialStage},
    transition::{AfterBoot, LastEnd, MAX_ATTEMPTS, MAX_STARTS},
};
use crate::slot::Slot;

/// Why the loader started a slot. Text form: the name in small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartReason {
    /// Its trial was armed; the loader has used that up.
    Trial,
    /// It is the default; the loader has counted the start.
    Default,
    /// The default before had too many attempts: this one is the default now, and counted.
    Switched,
    /// The default's kernel or initramfs is damaged: this one is the default now, and counted.
    Damaged,
    /// The default's kernel or initramfs is damaged, and this one is whole but never was healthy, or failed before.
    Fallback,
    /// It is the default. The loader couldn't write the record, or mustn't: nothing is counted or used up.
    Unwritten,
    /// Both copies of the record are damaged: it is the first slot that can be loaded.
    Lost,
}

/// A text that names no reason for a start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason {0:?} for a slot's start")]
pub struct UnknownStart(pub String);

impl StartReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Trial,
        Self::Default,
        Self::Switched,
        Self::Damaged,
        Self::Fallback,
        Self::Unwritten,
        Self::Lost,
    ];

    /// The name on the kernel command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Default => "default",
            Self::Switched => "switched",
            Self::Damaged => "damaged",
            Self::Fallback => "fallback",
            Self::Unwritten => "unwritten",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for StartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StartReason {
    type Err = UnknownStart;

    fn from_str(text: &str) -> Result<Self, UnknownStart> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| UnknownStart(text.to_owned()))
    }
}

/// What the loader decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderStart {
    /// The slot that it starts.
    pub slot: Slot,
    /// Why.
    pub reason: StartReason,
    /// The record that it writes before; where it can't, it starts [`LoaderStart::unwritten`].
    pub record: BootRecord,
}

impl LoaderStart {
    /// What is started when the record of before couldn't be replaced: its default, so that a trial never runs twice.
    #[must_use]
    pub const fn unwritten(before: BootRecord) -> Self {
        Self {
            slot: before.default,
            reason: StartReason::Unwritten,
            record: before,
        }
    }
}

impl BootRecord {
    /// What the loader does with this record. `is_whole` says whether a slot's kernel and initramfs can be loaded and are what the record
    /// says of them.
    #[must_use]
    pub fn loader_start(&self, is_whole: impl Fn(Slot) -> bool) -> LoaderStart {
        let mut record = *self;
        record.sequence = record.sequence.next();
        if let Some(trial) = record.trial.filter(|trial| trial.stage == TrialStage::Armed) {
            if is_whole(trial.slot) {
                record.trial = Some(super::Trial {
                    stage: TrialStage::Running,
                    tries: trial.tries.saturating_add(1),
                    ..trial
                });
                let slot = trial.slot;
                let reason = StartReason::Trial;
                return LoaderStart { slot, reason, record };
            }
            record.slot_mut(trial.slot).state = SlotState::Bad(BadReason::Damaged);
            record.trial = None;
        }
        let (slot, reason) = record.start_default(is_whole);
        LoaderStart { slot, reason, record }
    }

    fn start_default(&mut self, is_whole: impl Fn(Slot) -> bool) -> (Slot, StartReason) {
        let may_switch = !self.switched
            && self.trial.is_none()
            && self.slot(self.default.other()).state == SlotState::Good;
        let mut reason = StartReason::Default;
        let default = self.slot(self.default);
        if may_switch && (default.attempts >= MAX_ATTEMPTS || default.starts >= MAX_STARTS) {
            self.switch_from_bad(BadReason::TooManyAttempts);
            reason = StartReason::Switched;
        }
        self.count_start();
        if reason == StartReason::Default && may_switch && !is_whole(self.default) {
            self.switch_from_bad(BadReason::Damaged);
            reason = StartReason::Damaged;
            self.count_start();
        }
        let other = self.default.other();
        if !is_whole(self.default) && self.slot(other).state != SlotState::Empty && is_whole(other) {
            return (other, StartReason::Fallback);
        }
        (self.default, reason)
    }

    const fn count_start(&mut self) {
        let record = self.slot_mut(self.default);
        record.starts = record.starts.saturating_add(1);
    }

    /// Records a boot that such a loader began for `reason`, after one that ended as `last`: like [`BootRecord::booted`], but that the loader
    /// has used up a trial itself. What runs has come to its own code.
    pub fn booted_by_loader(&mut self, slot: Slot, reason: StartReason, last: LastEnd) -> AfterBoot {
        match reason {
            StartReason::Trial if self.trial.is_some_and(|trial| trial.slot == slot) => AfterBoot::Judge,
            StartReason::Fallback => AfterBoot::Continue,
            _ => {
                self.slot_mut(slot).starts = 0;
                self.booted(slot, last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bootrec::{MAX_TRIES, SlotRecord, Trial, record::tests::record};

    const GOOD: SlotRecord = SlotRecord {
        state: SlotState::Good,
        ..SlotRecord::EMPTY
    };

    fn both_good() -> BootRecord {
        let mut record = BootRecord::fresh(GOOD);
        *record.slot_mut(Slot::B) = GOOD;
        record
    }

    fn on_trial(stage: TrialStage) -> BootRecord {
        let mut record = both_good();
        record.slot_mut(Slot::B).state = SlotState::Written;
        record.trial = Some(Trial {
            slot: Slot::B,
            stage,
            tries: 0,
        });
        record
    }

    #[test]
    fn names_are_read_back() {
        for reason in StartReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        assert!("boot".parse::<StartReason>().is_err());
    }

    #[test]
    fn an_armed_trial_is_started_once_then_the_default() {
        let first = on_trial(TrialStage::Armed).loader_start(|_| true);
        assert_eq!((first.slot, first.reason), (Slot::B, StartReason::Trial));
        let second = first.record.loader_start(|_| true);
        assert_eq!((second.slot, second.reason), (Slot::A, StartReason::Default));
        assert_eq!(second.record.trial.unwrap().tries, 1);
    }

    #[test]
    fn what_is_on_trial_and_damaged_is_never_started() {
        let start = on_trial(TrialStage::Armed).loader_start(|slot| slot == Slot::A);
        assert_eq!((start.slot, start.record.trial), (Slot::A, None));
        assert_eq!(
            start.record.slot(Slot::B).state,
            SlotState::Bad(BadReason::Damaged)
        );
    }

    #[test]
    fn a_trial_that_never_comes_to_a_verdict_ends_after_its_tries() {
        let mut record = on_trial(TrialStage::Armed);
        for tries in 1..=MAX_TRIES {
            record = record.loader_start(|_| true).record;
            let back = record.loader_start(|_| true);
            record = back.record;
            let after = record.booted_by_loader(back.slot, back.reason, LastEnd::PowerLost);
            if tries == MAX_TRIES {
                assert_eq!(after, AfterBoot::TrialFailed(Slot::B, BadReason::TooManyTries));
            } else {
                assert_eq!(after, AfterBoot::ArmAgain(Slot::B));
                record.armed().unwrap();
            }
        }
    }

    #[test]
    fn a_default_that_never_starts_gives_way_at_the_third_power_on() {
        let mut record = both_good();
        let mut started = Vec::new();
        for _ in 0..4 {
            let start = record.loader_start(|_| true);
            record = start.record;
            started.push(start.slot);
        }
        assert_eq!(started, [Slot::A, Slot::A, Slot::B, Slot::B]);
        assert_eq!(
            record.slot(Slot::A).state,
            SlotState::Bad(BadReason::TooManyAttempts)
        );
    }

    #[test]
    fn what_is_healthy_is_started_as_often_as_one_likes() {
        let mut record = both_good();
        for _ in 0..20 {
            let start = record.loader_start(|_| true);
            assert_eq!((start.slot, start.reason), (Slot::A, StartReason::Default));
            record = start.record;
            assert_eq!(
                record.booted_by_loader(Slot::A, start.reason, LastEnd::Orderly),
                AfterBoot::Continue
            );
            assert_eq!(
                (record.slot(Slot::A).attempts, record.slot(Slot::A).starts),
                (0, 0)
            );
        }
    }

    #[test]
    fn a_damaged_default_gives_way_at_once_and_nothing_whole_is_better_than_nothing() {
        let start = both_good().loader_start(|slot| slot == Slot::B);
        assert_eq!(
            (start.slot, start.reason, start.record.default),
            (Slot::B, StartReason::Damaged, Slot::B)
        );
        let mut never_healthy = both_good();
        never_healthy.slot_mut(Slot::B).state = SlotState::Written;
        let start = never_healthy.loader_start(|slot| slot == Slot::B);
        assert_eq!(
            (start.slot, start.reason, start.record.default),
            (Slot::B, StartReason::Fallback, Slot::A)
        );
        let start = BootRecord::fresh(GOOD).loader_start(|_| false);
        assert_eq!((start.slot, start.reason), (Slot::A, StartReason::Default));
    }

    proptest! {
        #[test]
        fn only_an_armed_trial_starts_what_was_never_healthy_while_the_default_is_whole(record in record()) {
            let start = record.loader_start(|_| true);
            let was_armed = record.trial.is_some_and(|trial| trial.stage == TrialStage::Armed);
            prop_assert_eq!(start.reason == StartReason::Trial, was_armed);
            let state = record.slot(start.slot).state;
            prop_assert!(was_armed || start.slot == record.default || state == SlotState::Good);
            prop_assert_eq!(start.record.sequence, record.sequence.next());
        }

        #[test]
        fn an_empty_slot_is_never_started_for_another(record in record(), whole in any::<[bool; 2]>()) {
            let start = record.loader_start(|slot| whole[usize::from(slot == Slot::B)]);
            let trial = record.trial.is_some_and(|trial| trial.slot == start.slot);
            prop_assert!(
                start.slot == record.default || trial || record.slot(start.slot).state != SlotState::Empty
            );
        }
    }
}
