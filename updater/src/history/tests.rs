use super::*;

fn release(version: &str) -> KnownRelease {
    KnownRelease {
        version: version.to_owned(),
        digest: FileDigest::of(version.as_bytes()).to_string(),
    }
}

#[test]
fn what_is_kept_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::load(folder.path()).unwrap().history;
    assert_eq!(history, History::default());
    history.installed(Slot::B, release("1.1.0"));
    history.failed(Slot::B, release("1.1.0"), "no network");
    history.save(folder.path()).unwrap();
    let loaded = History::load(folder.path()).unwrap();
    assert_eq!(loaded.history, history);
    assert_eq!(loaded.set_aside, None);
    let digest = FileDigest::of(b"1.1.0");
    assert_eq!(loaded.history.failure(&digest).unwrap().reason, "no network");
    assert_eq!(loaded.history.release(Slot::B, &digest), Some(&release("1.1.0")));
    assert_eq!(loaded.history.release(Slot::B, &FileDigest::of(b"x")), None);
    assert_eq!(loaded.history.release(Slot::A, &digest), None);
}

#[test]
fn a_release_that_is_committed_has_not_failed_any_more() {
    let mut history = History::default();
    history.failed(Slot::B, release("1.1.0"), "x");
    history.committed(Slot::B, &release("1.1.0"), RollbackIndex(2));
    assert_eq!(history.rollback_index(), RollbackIndex(2));
    assert_eq!(history.failure(&FileDigest::of(b"1.1.0")), None);
    assert_eq!(history.last.unwrap().fate, Fate::Committed);
}

#[test]
fn what_somebody_gave_up_is_unwanted_until_it_is_wanted_again_or_committed() {
    let record = BootRecord::fresh(outcrop_release::bootrec::SlotRecord::EMPTY);
    let digest = FileDigest::of(b"1.1.0");
    let acts: [fn(&mut History); 2] = [
        |history| history.wanted_again(&FileDigest::of(b"1.1.0")),
        |history| history.committed(Slot::B, &release("1.1.0"), RollbackIndex(0)),
    ];
    for act in acts {
        let mut history = History::default();
        history.rolled_back(Slot::B, release("1.1.0"));
        history.failed(Slot::B, release("1.0.9"), "x");
        assert_eq!(history.unwanted_by_somebody(&record), [digest]);
        assert!(history.unwanted(&record).contains(&digest));
        act(&mut history);
        assert_eq!(history.unwanted(&record), [FileDigest::of(b"1.0.9")]);
    }
}

#[test]
fn a_trial_that_somebody_gave_up_failed_and_both_are_lifted_when_it_is_wanted_again() {
    let record = BootRecord::fresh(outcrop_release::bootrec::SlotRecord::EMPTY);
    let mut history = History::default();
    history.given_up(release("1.1.0"));
    history.failed(Slot::B, release("1.1.0"), describe(BadReason::Operator));
    assert_eq!(history.unwanted_by_somebody(&record), [FileDigest::of(b"1.1.0")]);
    history.wanted_again(&FileDigest::of(b"1.1.0"));
    assert_eq!(history.unwanted(&record), []);
}

/// A boot record whose slot b is in this state and has that release.
fn record(state: SlotState, version: &str) -> BootRecord {
    let mut record = BootRecord::fresh(outcrop_release::bootrec::SlotRecord::EMPTY);
    let there = record.slot_mut(Slot::B);
    there.state = state;
    there.release = FileDigest::of(version.as_bytes());
    record
}

#[test]
fn what_was_to_be_written_is_installed_only_if_the_boot_record_says_so() {
    let bad = SlotState::Bad(BadReason::Panic);
    for (before, state, there, is_installed) in [
        (None, SlotState::Written, "1.1.0", true),
        (None, bad, "1.1.0", true),
        (None, SlotState::Good, "1.1.0", true),
        (None, SlotState::Written, "1.0.0", false),
        (None, bad, "1.0.0", false),
        (None, SlotState::Empty, "", false),
        // It is written again, or was to be.
        (Some("1.1.0"), SlotState::Written, "1.1.0", true),
        (Some("1.1.0"), bad, "1.1.0", false),
        (Some("1.1.0"), SlotState::Empty, "", false),
    ] {
        let mut history = History::default();
        before
            .into_iter()
            .for_each(|version| history.holds(Slot::B, release(version)));
        history.will_install(Slot::B, release("1.1.0"));
        let record = record(state, there);
        (0..2).for_each(|_| history.settle(&record));
        let case = (before, state, there);
        assert_eq!(history.fates(), u64::from(is_installed), "{case:?}");
        // An installation that is at work may still come to its end.
        assert_eq!(history.writing.is_some(), state == SlotState::Empty, "{case:?}");
    }
}

#[test]
fn two_that_say_the_same_of_a_release_are_noted_once_and_one_that_is_installed_again_twice() {
    let mut history = History::default();
    for _ in 0..2 {
        (0..2).for_each(|_| history.installed(Slot::B, release("1.1.0")));
        history.failed(Slot::B, release("1.1.0"), "no network");
        history.failed(Slot::B, release("1.1.0"), describe(BadReason::CheckFailed));
    }
    assert_eq!(history.fates(), 6);
    assert_eq!(history.last.unwrap().reason.unwrap(), "no network");
}

#[test]
fn the_oldest_failures_are_forgotten() {
    let mut history = History::default();
    for number in 0..=MOST_FAILED {
        history.failed(Slot::B, release(&number.to_string()), "x");
    }
    assert_eq!(history.failed.len(), MOST_FAILED);
    assert_eq!(history.failure(&FileDigest::of(b"0")), None);
}

#[test]
fn a_damaged_file_is_set_aside_and_nothing_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    for text in ["", "{", "{\"format\":2}", "[]"] {
        fs::write(&path, text).unwrap();
        let loaded = History::load(folder.path()).unwrap();
        assert_eq!(loaded.history, History::default());
        assert_eq!(fs::read_to_string(loaded.set_aside.unwrap()).unwrap(), text);
        assert!(!path.exists());
    }
}

#[test]
fn no_more_is_kept_for_a_history_that_has_all_than_it_may_want_again() {
    let mut history = History::default();
    for number in 0..300 {
        history.installed(Slot::B, release(&number.to_string()));
    }
    assert_eq!((history.recent.len(), history.forgotten()), (MOST_UNTOLD, 44));
    assert!(!history.give_up_missing(44) && history.give_up_missing(40));
    assert_eq!((history.fates(), history.forgotten()), (300, 40));
    history.forget_told();
    assert_eq!((history.recent.len(), history.forgotten()), (MOST_RECENT, 280));
}
