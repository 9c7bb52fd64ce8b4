//! Several programs at once: each event gets a number of its own, and none is lost.

use std::{path::Path, thread, time::Duration};

use outcrop_release::{
    journal::{Event, Fate, Verified},
    slot::Slot,
};

use super::{Recorder, head, record, remember, turn, verified};
use crate::{
    device_key::DeviceKey,
    history::{History, KnownRelease},
    journal,
    medium::DataPartition,
    tpm::NoTpm,
};

const PROGRAMS: u64 = 4;
const EACH: u64 = 12;

/// What one of them does, with a key that it has read itself.
fn work(state: &Path, program: u64) {
    let key = DeviceKey::of(state, NoTpm).unwrap();
    for number in (1..=EACH).map(|number| program * 100 + number) {
        let release = KnownRelease {
            version: number.to_string(),
            digest: format!("{number:064x}"),
        };
        let problems = remember(state, Ok(&key), |history| history.installed(Slot::B, release));
        assert_eq!(problems, [""; 0]);
        let event = Event::Refused {
            what_was: number.to_string(),
            reason: "it is older".to_owned(),
        };
        assert_eq!(record(state, Ok(&key), event), [""; 0]);
    }
}

/// The numbers of those events, in order.
fn numbers(state: &Path) -> [Vec<u64>; 2] {
    let key = DeviceKey::of(state, NoTpm).unwrap();
    let mut found = [Vec::new(), Vec::new()];
    for entry in verified(state, &key).unwrap().entries {
        match entry.event {
            Event::Release {
                fate: Fate::Installed,
                version,
                ..
            } => found[0].push(version.parse().unwrap()),
            Event::Refused { what_was, .. } => found[1].push(what_was.parse().unwrap()),
            _ => {}
        }
    }
    found.iter_mut().for_each(|numbers| numbers.sort_unstable());
    found
}

#[test]
fn programs_that_write_and_read_at_once_lose_nothing_and_leave_one_whole_chain() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let key = DeviceKey::of(state, NoTpm).unwrap();
    thread::scope(|scope| {
        for program in 1..=PROGRAMS {
            scope.spawn(move || work(state, program));
        }
        // Whoever reads finds a whole history at each moment, and takes nothing from it.
        let mut before = 0;
        for _ in 0..40 {
            let number = head(state, &key).unwrap().map_or(0, |head| head.number);
            assert!(number >= before, "{number} after {before}");
            before = number;
            verified(state, &key).unwrap();
        }
    });
    let all: Vec<u64> = (1..=PROGRAMS)
        .flat_map(|program| (1..=EACH).map(move |number| program * 100 + number))
        .collect();
    assert_eq!(numbers(state), [all.clone(), all]);
    assert_eq!(History::load(state).unwrap().history.fates(), PROGRAMS * EACH);
}

#[test]
fn a_program_that_never_ends_its_turn_costs_no_memory_and_nothing_is_appended_behind_its_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let key = DeviceKey::of(state, NoTpm).unwrap();
    let install = |number: u64| {
        let release = KnownRelease {
            version: number.to_string(),
            digest: format!("{number:064x}"),
        };
        let mut recorder = Recorder::new(state, Ok(&key), &DataPartition);
        recorder.patience = Duration::from_millis(20);
        recorder.remember(|history| history.installed(Slot::B, release))
    };
    assert_eq!(install(1), [""; 0]);
    let theirs = turn::to_write(state, Duration::ZERO).unwrap();
    let before = verified_at_once(state, &key);
    let problems = install(2);
    assert!(problems[0].contains("another program"), "{problems:?}");
    assert_eq!(verified_at_once(state, &key), before);
    assert_eq!(History::load(state).unwrap().history.fates(), 2);
    drop(theirs);
    assert_eq!(install(3), [""; 0]);
    assert_eq!(numbers(state)[0], [1, 2, 3]);
}

/// Without waiting for a turn.
fn verified_at_once(state: &Path, key: &DeviceKey) -> Verified {
    journal::verified(state, key).unwrap()
}
