use std::fs;

use outcrop_release::slot::Slot;
use proptest::prelude::*;

use super::*;
use crate::{
    history::KnownRelease,
    journal::verified,
    tpm::{NoTpm, fake::FakeTpm},
};

/// Each time as another process.
fn remember(state: &Path, change: impl FnOnce(&mut History)) -> Vec<String> {
    let key = DeviceKey::of(state, NoTpm).unwrap();
    super::remember(state, Ok(&key), change)
}

fn release(number: u64) -> KnownRelease {
    KnownRelease {
        version: number.to_string(),
        digest: format!("{number:064x}"),
    }
}

fn installed(number: u64) -> impl FnOnce(&mut History) {
    move |history| history.installed(Slot::B, release(number))
}

/// The releases whose fates the journal has, in its order.
fn told(state: &Path) -> Vec<u64> {
    let key = DeviceKey::of(state, NoTpm).unwrap();
    let entries = verified(state, &key).unwrap().entries.into_iter();
    entries
        .filter_map(|entry| match entry.event {
            Event::Release { version, .. } => Some(version.parse().unwrap()),
            _ => None,
        })
        .collect()
}

/// Where the power is cut while something is remembered.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Never,
    /// What is remembered is kept, the journal hasn't heard of it.
    BeforeTheJournal,
    /// The journal's last line has so many bytes too few.
    InTheJournal(usize),
    /// The journal's folder can't be written this time: a full disk.
    NoRoom,
}

fn run(state: &Path, number: u64, cut: Cut) {
    let log = state.join("history/000001.log");
    let before = fs::read(&log).unwrap_or_default();
    match cut {
        Cut::Never => assert_eq!(remember(state, installed(number)), [""; 0]),
        Cut::BeforeTheJournal => {
            let key = DeviceKey::of(state, NoTpm).unwrap();
            let mut history = Recorder::new(state, Ok(&key), &DataPartition).before().unwrap();
            installed(number)(&mut history);
            history.save(state).unwrap();
        }
        Cut::InTheJournal(missing) => {
            assert_eq!(remember(state, installed(number)), [""; 0]);
            let after = fs::read(&log).unwrap();
            let len = after.len().saturating_sub(missing).max(before.len());
            fs::write(&log, &after[..len]).unwrap();
        }
        Cut::NoRoom => {
            let (folder, aside) = (state.join("history"), state.join("aside"));
            let was_there = fs::rename(&folder, &aside).is_ok();
            fs::write(&folder, "no folder").unwrap();
            assert!(!remember(state, installed(number)).is_empty(), "it is told");
            fs::remove_file(&folder).unwrap();
            if was_there {
                fs::rename(&aside, &folder).unwrap();
            }
        }
    }
}

fn any_cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        Just(Cut::Never),
        Just(Cut::BeforeTheJournal),
        (1..900_usize).prop_map(Cut::InTheJournal),
        Just(Cut::NoRoom),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The campaign of power cuts and full disks: what happened is in the journal once, in order.
    #[test]
    fn no_event_is_lost_and_none_is_there_twice(cuts in proptest::collection::vec(any_cut(), 1..14)) {
        let state = tempfile::tempdir().unwrap();
        let count = cuts.len() as u64;
        for (number, cut) in (1..).zip(cuts) {
            run(state.path(), number, cut);
        }
        run(state.path(), count + 1, Cut::Never);
        prop_assert_eq!(told(state.path()), (1..=count + 1).collect::<Vec<u64>>());
    }
}

#[test]
fn a_lost_memory_or_a_lost_journal_costs_what_was_in_it_and_doubles_nothing() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path();
    (1..=3).for_each(|number| run(path, number, Cut::Never));
    fs::write(path.join("releases.json"), "damaged").unwrap();
    assert_eq!(remember(path, installed(4)).len(), 1, "it is told");
    run(path, 5, Cut::Never);
    assert_eq!(told(path), [1, 2, 3, 4, 5]);
    fs::remove_dir_all(path.join("history")).unwrap();
    run(path, 6, Cut::Never);
    // A new chain begins with what is still remembered.
    assert_eq!(told(path), [4, 5, 6]);
}

#[test]
fn a_history_that_is_begun_anew_says_so_also_when_nothing_followed_at_once() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path();
    run(path, 1, Cut::Never);
    fs::write(path.join("history/000001.log"), "damaged\n").unwrap();
    run(path, 2, Cut::Never);
    let key = DeviceKey::of(path, NoTpm).unwrap();
    let entries = verified(path, &key).unwrap().entries;
    assert!(matches!(entries[0].event, Event::Began { damaged: true, .. }));
}

#[test]
fn what_is_no_fate_is_recorded_too() {
    let state = tempfile::tempdir().unwrap();
    let event = Event::Refused {
        what_was: "edge 1.0.0".to_owned(),
        reason: "it is older".to_owned(),
    };
    run(state.path(), 1, Cut::BeforeTheJournal);
    let key = DeviceKey::of(state.path(), NoTpm).unwrap();
    assert_eq!(record(state.path(), Ok(&key), event.clone()), [""; 0]);
    run(state.path(), 2, Cut::Never);
    assert_eq!(told(state.path()), [1, 2]);
    let key = DeviceKey::of(state.path(), NoTpm).unwrap();
    let entries = verified(state.path(), &key).unwrap().entries;
    assert!(entries.iter().any(|entry| entry.event == event));
}
#[test]
fn what_the_tpm_doesn_t_let_be_signed_is_remembered_told_once_and_in_the_journal_when_it_does() {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    let state = folder.path();
    let at_work = DeviceKey::of(state, tpm.clone()).unwrap();
    assert_eq!(super::remember(state, Ok(&at_work), installed(1)), [""; 0]);
    // Another board, with the disk of this one.
    let other = DeviceKey::of(state, FakeTpm::new(2)).unwrap();
    for number in 2..=3 {
        let problems = super::remember(state, Ok(&other), installed(number));
        assert!(
            matches!(&problems[..], [only] if only.contains("another TPM has sealed")),
            "{problems:?}"
        );
    }
    assert_eq!(History::load(state).unwrap().history.fates(), 3);
    let back = DeviceKey::of(state, tpm).unwrap();
    assert_eq!(super::remember(state, Ok(&back), installed(4)), [""; 0]);
    let entries = verified(state, &back).unwrap().entries.into_iter();
    let told = entries.filter(|entry| matches!(entry.event, Event::Release { .. }));
    assert_eq!(told.count(), 4);
}

/// A device whose TPM unseals nothing for so many installations, and whose history then gets all that it can: its releases with what their events say.
fn after_untold(count: u64) -> Vec<(u64, Option<String>)> {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    let state = folder.path();
    let at_work = DeviceKey::of(state, tpm.clone()).unwrap();
    assert_eq!(super::remember(state, Ok(&at_work), installed(1)), [""; 0]);
    let other = DeviceKey::of(state, FakeTpm::new(2)).unwrap();
    for number in 2..count + 2 {
        assert_eq!(super::remember(state, Ok(&other), installed(number)).len(), 1);
    }
    let back = DeviceKey::of(state, tpm).unwrap();
    // More than one, since the first may have left the counts apart.
    for number in count + 2..count + 5 {
        assert_eq!(super::remember(state, Ok(&back), installed(number)), [""; 0]);
    }
    let entries = verified(state, &back).unwrap().entries.into_iter();
    entries
        .filter_map(|entry| match entry.event {
            Event::Release { version, reason, .. } => Some((version.parse().unwrap(), reason)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_the_history_missed_is_told_once_and_what_is_forgotten_by_then_is_told_to_be_missing() {
    for (untold, missing) in [(9, 0), (20, 0), (256, 0), (300, 44)] {
        let told = after_untold(untold);
        let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
        let known = (missing + 2..untold + 5).collect::<Vec<u64>>();
        assert_eq!(numbers, [vec![1], known].concat(), "{untold}");
        let reasons: Vec<&str> = told.iter().filter_map(|(_, reason)| reason.as_deref()).collect();
        match missing {
            0 => assert_eq!(reasons, [""; 0]),
            _ => {
                assert!(reasons[0].starts_with(&format!("{missing} events before this one are missing")));
                assert_eq!((reasons.len(), told[1].1.as_deref()), (1, Some(reasons[0])));
            }
        }
    }
}

#[test]
fn a_damaged_key_costs_no_memory() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("device.key"), "damaged").unwrap();
    let error = DeviceKey::of(state.path(), NoTpm).unwrap_err();
    let problems = super::remember(state.path(), Err(error), installed(1));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(History::load(state.path()).unwrap().history.fates(), 1);
}
