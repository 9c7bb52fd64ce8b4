mod power_cut;

use outcrop_release::{
    bootrec::{BadReason, LastEnd, MAX_ATTEMPTS, MAX_TRIES, SlotState, TakenBackBy, TrialStage},
    slot::Slot,
};

use super::*;
use crate::testing::world::{World, end_of};

/// A device that runs release 1 from slot A and has release 2 written to slot B.
fn written() -> World {
    let mut world = World::flashed();
    world.install(2).unwrap();
    world
}

#[test]
fn a_release_is_tried_once_and_becomes_the_default_when_it_is_committed() {
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    assert_eq!(world.firmware.one_shot, Some(Slot::B));
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::B, Next::Trial));
    assert_eq!(world.firmware.one_shot, None, "only once");
    assert!(!world.lifecycle(Slot::B).is_committed().unwrap());
    assert!(world.lifecycle(Slot::B).commit().unwrap());
    assert!(world.lifecycle(Slot::B).is_committed().unwrap());
    assert!(!world.lifecycle(Slot::B).commit().unwrap());
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::B, Next::Start));
}

#[test]
fn a_trial_that_fails_leaves_the_device_with_the_release_before() {
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lifecycle(Slot::B).fail(BadReason::CheckFailed).unwrap();
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::A, Next::Start));
    let record = world.lifecycle(Slot::A).record().unwrap();
    assert_eq!(record.slot(Slot::B).state, SlotState::Bad(BadReason::CheckFailed));
    assert!(matches!(
        world.lifecycle(Slot::A).arm(),
        Err(LifecycleError::Transition(_))
    ));
}

#[test]
fn a_trial_that_panics_or_hangs_is_over_and_one_that_loses_power_is_tried_three_times() {
    for (end, reason) in [
        (LastEnd::Panic, BadReason::Panic),
        (LastEnd::Watchdog, BadReason::Watchdog),
    ] {
        let mut world = written();
        world.lifecycle(Slot::A).arm().unwrap();
        world.boot(LastEnd::Orderly).unwrap();
        let booted = world.boot(end).unwrap();
        assert_eq!((booted.slot, booted.failed), (Slot::A, Some((Slot::B, reason))));
    }
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    for _ in 0..MAX_TRIES {
        let booted = world.boot(LastEnd::PowerLost).unwrap();
        assert_eq!((booted.slot, booted.next), (Slot::B, Next::Trial));
    }
    let booted = world.boot(LastEnd::PowerLost).unwrap();
    assert_eq!(booted.slot, Slot::A);
    assert_eq!(booted.failed, Some((Slot::B, BadReason::TooManyTries)));
}

#[test]
fn a_boot_payload_that_can_t_start_ends_its_trial_without_a_word() {
    let mut world = written();
    world.spoil_boot_payload(Slot::B);
    world.lifecycle(Slot::A).arm().unwrap();
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!(booted.slot, Slot::A);
    assert_eq!(booted.failed, Some((Slot::B, BadReason::TooManyTries)));
}

#[test]
fn a_committed_release_that_keeps_failing_gives_way_to_the_one_before() {
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lifecycle(Slot::B).commit().unwrap();
    for _ in 0..=MAX_ATTEMPTS {
        if world.boot(LastEnd::Panic).unwrap().slot == Slot::A {
            let record = world.lifecycle(Slot::A).record().unwrap();
            assert_eq!(
                record.slot(Slot::B).state,
                SlotState::Bad(BadReason::TooManyAttempts)
            );
            return;
        }
    }
    panic!("slot B is still the default");
}

#[test]
fn an_armed_trial_can_be_taken_back() {
    let mut world = written();
    assert!(
        world.lifecycle(Slot::A).disarm(TakenBackBy::Agent).is_err(),
        "there is nothing to take back"
    );
    world.lifecycle(Slot::A).arm().unwrap();
    world.lifecycle(Slot::A).disarm(TakenBackBy::Agent).unwrap();
    assert_eq!(world.firmware.one_shot, None);
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::A);
    // It is still there, and can be tried later.
    world.lifecycle(Slot::A).arm().unwrap();
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::B);
}

#[test]
fn what_the_operator_takes_back_is_started_by_nobody_until_it_is_taken_up() {
    let mut world = written();
    assert!(world.lifecycle(Slot::A).take_up().is_err(), "nobody went back");
    world.lifecycle(Slot::A).arm().unwrap();
    world.lifecycle(Slot::A).disarm(TakenBackBy::Operator).unwrap();
    assert_eq!(world.firmware.one_shot, None);
    let error = world.lifecycle(Slot::A).arm().unwrap_err();
    assert!(matches!(error, LifecycleError::Transition(_)), "{error}");
    assert_eq!(world.boot(LastEnd::PowerLost).unwrap().slot, Slot::A);
    world.lifecycle(Slot::A).take_up().unwrap();
    assert_eq!(
        world.boot(LastEnd::Orderly).unwrap().slot,
        Slot::A,
        "not by itself"
    );
    world.lifecycle(Slot::A).arm().unwrap();
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::B);
}

#[test]
fn the_operator_goes_back_from_a_trial_and_from_a_committed_release() {
    for commit in [false, true] {
        let mut world = written();
        world.lifecycle(Slot::A).arm().unwrap();
        world.boot(LastEnd::Orderly).unwrap();
        if commit {
            world.lifecycle(Slot::B).commit().unwrap();
        }
        assert_eq!(world.lifecycle(Slot::B).roll_back().unwrap(), Slot::A);
        assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::A);
        let record = world.lifecycle(Slot::A).record().unwrap();
        assert_eq!(record.slot(Slot::B).state, SlotState::Bad(BadReason::Operator));
    }
    let error = World::flashed().lifecycle(Slot::A).roll_back().unwrap_err();
    assert!(matches!(error, LifecycleError::Transition(_)), "{error}");
}

/// A device that runs release 2 from slot B, with release 1 in slot A to fall back to.
fn committed() -> World {
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lifecycle(Slot::B).commit().unwrap();
    world
}

#[test]
fn a_committed_release_is_started_once_at_each_boot_and_the_one_before_by_itself() {
    let mut world = committed();
    for _ in 0..20 {
        assert_eq!(
            (world.firmware.one_shot, world.configured()),
            (Some(Slot::B), Some(Slot::A))
        );
        assert_eq!(world.boot(LastEnd::PowerLost).unwrap().slot, Slot::B);
        world.lifecycle(Slot::B).commit().unwrap();
    }
}

#[test]
fn a_committed_boot_payload_that_is_damaged_gives_way_to_the_release_before() {
    let mut world = committed();
    world.spoil_boot_payload(Slot::B);
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::A, Next::Start));
    assert!(
        booted.notes[0].contains("slot b didn't start, again and again"),
        "{:?}",
        booted.notes
    );
    let record = world.lifecycle(Slot::A).record().unwrap();
    assert_eq!(
        record.slot(Slot::B).state,
        SlotState::Bad(BadReason::TooManyAttempts)
    );
    assert_eq!(
        (world.firmware.one_shot, world.configured()),
        (None, Some(Slot::A)),
        "and stays"
    );
}

#[test]
fn a_release_before_that_is_damaged_costs_nothing_while_the_firmware_remembers() {
    let mut world = committed();
    world.spoil_boot_payload(Slot::A);
    for _ in 0..20 {
        assert_eq!(world.boot(LastEnd::PowerLost).unwrap().slot, Slot::B);
        world.lifecycle(Slot::B).commit().unwrap();
    }
}

#[test]
fn a_damaged_release_before_is_found_at_a_healthy_boot_and_never_started_again() {
    let mut world = committed();
    world.install(3).unwrap();
    world.lifecycle(Slot::B).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lifecycle(Slot::A).commit().unwrap();
    assert!(world.lifecycle(Slot::A).fallback_is_whole().unwrap());
    world.spoil_boot_payload(Slot::B);
    assert!(!world.lifecycle(Slot::A).fallback_is_whole().unwrap());
    assert_eq!(world.lifecycle(Slot::A).drop_fallback().unwrap(), Slot::B);
    assert!(
        world.lifecycle(Slot::A).fallback_is_whole().unwrap(),
        "there is none"
    );
    for _ in 0..20 {
        assert_eq!(world.boot(LastEnd::Panic).unwrap().slot, Slot::A);
    }
    let error = world.lifecycle(Slot::A).drop_fallback().unwrap_err();
    assert!(matches!(error, LifecycleError::Transition(_)), "{error}");
}

#[test]
fn firmware_that_has_lost_its_variables_costs_one_restart() {
    let mut world = committed();
    world.firmware.one_shot = None;
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::B, Next::Start));
    assert_eq!(world.firmware.one_shot, Some(Slot::B));
}

#[test]
fn firmware_that_takes_no_variables_any_more_starts_the_default_by_itself() {
    let mut world = committed();
    world.firmware.refuses = true;
    // This boot is told already; the one after it needs no variable.
    for _ in 0..3 {
        let booted = world.boot(LastEnd::Orderly).unwrap();
        assert_eq!((booted.slot, world.configured()), (Slot::B, Some(Slot::B)));
    }
    // Also where it had forgotten it before.
    let mut world = committed();
    world.firmware.one_shot = None;
    world.firmware.refuses = true;
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::A);
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::B);
}

#[test]
fn a_loader_s_configuration_of_somebody_else_is_put_right() {
    let mut world = committed();
    world.configure(Slot::B);
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, world.configured()), (Slot::B, Some(Slot::A)));
}

#[test]
fn a_slot_that_is_written_to_is_nothing_to_fall_back_to() {
    let mut world = committed();
    let before = world.configured();
    world.install(3).unwrap();
    assert_eq!((before, world.configured()), (Some(Slot::A), Some(Slot::B)));
}

#[test]
fn a_committed_release_whose_boot_record_is_lost_is_judged_once_more_and_stays() {
    let mut world = committed();
    world.lose_record();
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::B, Next::Trial));
    world.lifecycle(Slot::B).commit().unwrap();
    assert_eq!(world.boot(LastEnd::Orderly).unwrap().slot, Slot::B);
}

#[test]
fn firmware_that_refuses_leaves_the_trial_unarmed_and_the_device_as_it_is() {
    let mut world = written();
    world.firmware.refuses = true;
    let error = world.lifecycle(Slot::A).arm().unwrap_err();
    assert!(matches!(error, LifecycleError::Control(_)), "{error}");
    let record = world.lifecycle(Slot::A).record().unwrap();
    assert_eq!(record.trial.unwrap().stage, TrialStage::Arming);
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::A, Next::Start));
    assert!(
        booted.notes[0].contains("can't be armed again"),
        "{:?}",
        booted.notes
    );
    assert_eq!(end_of(&mut world).slot, Slot::A);
}

#[test]
fn a_trial_whose_boot_record_is_lost_is_not_taken_for_the_default() {
    let mut world = written();
    world.lifecycle(Slot::A).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lose_record();
    let booted = world.boot(LastEnd::PowerLost).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::A, Next::Start));
    assert!(booted.notes[0].contains("both copies"), "{:?}", booted.notes);
    // It was written again: told once.
    assert!(world.boot(LastEnd::Orderly).unwrap().notes.is_empty());
}
