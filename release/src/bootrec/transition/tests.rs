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
fn what_the_operator_takes_back_is_not_armed_again_until_he_takes_it_up() {
    let mut record = armed();
    record.take_back(Slot::A, TakenBackBy::Operator).unwrap();
    assert_eq!(record.trial, None);
    assert_eq!(
        record.begin_arming(Slot::B, Slot::A),
        Err(TransitionError::NotStartable(Slot::B))
    );
    assert_eq!(record.booted(Slot::A, LastEnd::Orderly), AfterBoot::Continue);
    record.take_up(Slot::B, Slot::A).unwrap();
    record.begin_arming(Slot::B, Slot::A).unwrap();
}

#[test]
fn what_the_agent_takes_back_may_be_armed_again() {
    let mut record = armed();
    record.take_back(Slot::A, TakenBackBy::Agent).unwrap();
    assert_eq!(record.slot(Slot::B).state, SlotState::Written);
    record.begin_arming(Slot::B, Slot::A).unwrap();
}

#[test]
fn nothing_is_taken_back_that_was_not_armed_and_nothing_taken_up_that_failed_by_itself() {
    let mut record = written();
    for by in [TakenBackBy::Agent, TakenBackBy::Operator] {
        assert_eq!(record.take_back(Slot::A, by), Err(TransitionError::NoTrial));
    }
    assert_eq!(
        record.take_up(Slot::B, Slot::A),
        Err(TransitionError::NotStartable(Slot::B)),
        "nobody went back from it"
    );
    let mut running = armed();
    running.booted(Slot::B, LastEnd::Orderly);
    for at in Slot::ALL {
        assert_eq!(
            running.take_back(at, TakenBackBy::Operator),
            Err(TransitionError::NoTrial),
            "it has begun"
        );
    }
    running.fail(Slot::B, BadReason::CheckFailed).unwrap();
    assert_eq!(
        running.take_up(Slot::B, Slot::A),
        Err(TransitionError::NotStartable(Slot::B))
    );
    assert_eq!(
        running.take_up(Slot::A, Slot::B),
        Err(TransitionError::Running(Slot::A)),
        "the default"
    );
}

#[test]
fn a_committed_release_whose_trial_is_taken_back_is_still_there_to_fall_back_to() {
    let mut record = armed();
    record.slot_mut(Slot::B).state = SlotState::Good;
    record.take_back(Slot::A, TakenBackBy::Operator).unwrap();
    assert_eq!(record.fallback(), Slot::B);
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
