//! Two memories in step: what is remembered of releases (`history`), and the journal's chain of events.
//!
//! What is remembered goes first, and counts its fates; the journal counts them, too. So whatever a power cut keeps from the journal is told
//! to it the next time, once: none is lost, none is there twice.
//!
//! On a full disk the history's reserve is given up for both of them. When that is gone, too, what happens isn't remembered: that is told, and stops
//! nothing. What the boot record knows is made up for at the next boot that finds room.

use std::{error::Error, path::Path};

use jiff::Timestamp;
use outcrop_release::journal::Event;

use crate::{
    chain,
    device_key::{DeviceKey, DeviceKeyError},
    durable::DurableError,
    history::History,
    journal::{self, Journal, KeepError, give_up_reserve},
    medium::{DataPartition, Medium, is_full},
};

/// The device's key, as far as it can be had. A key that can't be had, or can't sign, costs events as a full disk does: what becomes of
/// releases is told to the journal once it can.
pub type Key<'a> = Result<&'a DeviceKey, DeviceKeyError>;

/// Changes and keeps what is remembered in Outcrop's folder `state`, and tells the journal. What couldn't be done, for people: nothing of
/// it stops an update or a way back.
#[must_use]
pub fn remember(state: &Path, key: Key<'_>, change: impl FnOnce(&mut History)) -> Vec<String> {
    Recorder::new(state, key, &DataPartition).remember(change)
}

/// Appends an event that is no release's fate. What couldn't be done, for people.
#[must_use]
pub fn record(state: &Path, key: Key<'_>, event: Event) -> Vec<String> {
    Recorder::new(state, key, &DataPartition).record(event)
}

/// Both memories in a folder.
pub struct Recorder<'a> {
    state: &'a Path,
    key: Option<&'a DeviceKey>,
    medium: &'a dyn Medium,
    problems: Vec<String>,
}

impl<'a> Recorder<'a> {
    /// Those in Outcrop's folder `state`, kept on `medium`.
    #[must_use]
    pub fn new(state: &'a Path, key: Key<'a>, medium: &'a dyn Medium) -> Self {
        let mut recorder = Self {
            state,
            key: None,
            medium,
            problems: Vec::new(),
        };
        match key {
            Ok(key) => recorder.key = Some(key),
            Err(error) => recorder.not_kept(&error),
        }
        recorder
    }

    /// See [`remember`].
    #[must_use]
    pub fn remember(mut self, change: impl FnOnce(&mut History)) -> Vec<String> {
        let done = self.try_remember(change);
        self.problems_of(done)
    }

    /// See [`record`].
    #[must_use]
    pub fn record(mut self, event: Event) -> Vec<String> {
        let done = self.try_record(event);
        self.problems_of(done)
    }

    fn try_remember(&mut self, change: impl FnOnce(&mut History)) -> Result<(), DurableError> {
        let mut history = self.before()?;
        change(&mut history);
        match history.save_on(self.state, self.medium) {
            Err(error) if is_full(&error.source) && give_up_reserve(self.state) => {
                history.save_on(self.state, self.medium)?;
            }
            saved => saved?,
        }
        self.catch_up(&history);
        Ok(())
    }

    fn try_record(&mut self, event: Event) -> Result<(), DurableError> {
        let history = self.before()?;
        self.with_journal(|journal| {
            journal.fates(history.forgotten());
            journal.append(Timestamp::now(), event)
        });
        Ok(())
    }

    /// What is remembered, with the journal told what it missed; where the journal knows more, that counts.
    fn before(&mut self) -> Result<History, DurableError> {
        let loaded = History::load(self.state)?;
        let aside = loaded.set_aside;
        self.problems
            .extend(aside.map(|aside| format!("what was remembered is damaged, now in {}", aside.display())));
        let mut history = loaded.history;
        let known = self.with_journal(|journal| Ok(journal.fates(history.forgotten())));
        history.at_least(known.unwrap_or_default());
        self.catch_up(&history);
        Ok(history)
    }

    fn catch_up(&mut self, history: &History) {
        self.with_journal(|journal| {
            let known = journal.fates(history.forgotten());
            for outcome in history.since(known) {
                journal.append(Timestamp::now(), outcome.event())?;
            }
            Ok(())
        });
    }

    fn with_journal<T>(&mut self, work: impl FnOnce(&mut Journal<'_>) -> Result<T, KeepError>) -> Option<T> {
        let opened = Journal::open_on(self.state, self.key?, self.medium);
        let done = opened.and_then(|mut journal| work(&mut journal));
        done.inspect_err(|error| self.not_kept(error)).ok()
    }

    fn not_kept(&mut self, error: &dyn Error) {
        let problem = format!("the history can't be kept: {}", chain::describe(error));
        // What was missed is tried first, and fails in the same way.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn problems_of(mut self, done: Result<(), DurableError>) -> Vec<String> {
        self.problems.extend(
            done.err()
                .map(|error| format!("what happened can't be remembered: {}", chain::describe(&error))),
        );
        self.problems
    }
}

/// The number of the history's newest event; 0 before the first, and where it can't be told.
#[must_use]
pub fn newest(state: &Path, key: Key<'_>) -> u64 {
    // What is wrong with it is told when something is appended.
    let mut recorder = Recorder::new(state, key, &DataPartition);
    let last = recorder.with_journal(|journal| Ok(journal.last().copied()));
    last.flatten().map_or(0, |last| last.head.number)
}

/// Whether the history has `event` behind the event with that number.
#[must_use]
pub fn has_since(state: &Path, key: Key<'_>, number: u64, event: &Event) -> bool {
    let Ok(key) = key else {
        return false;
    };
    // One that is damaged has nothing that counts: the next event sets it aside.
    journal::verified(state, key).is_ok_and(|verified| {
        let mut entries = verified.entries.iter();
        entries.any(|entry| entry.number > number && entry.event == *event)
    })
}

#[cfg(test)]
mod full_disk;

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_damaged_key_costs_no_memory() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("device.key"), "damaged").unwrap();
        let error = DeviceKey::of(state.path(), NoTpm).unwrap_err();
        let problems = super::remember(state.path(), Err(error), installed(1));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(History::load(state.path()).unwrap().history.fates(), 1);
    }
}
