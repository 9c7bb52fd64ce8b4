//! A data partition without room: what happens goes on, what matters gets in as long as there is a reserve, and what is lost is told.

use std::{fs, path::Path};

use outcrop_release::{
    journal::{Event, Fate, Verified},
    slot::Slot,
};
use proptest::prelude::*;

use super::Recorder;
use crate::{
    device_key::DeviceKey, history::KnownRelease, journal::verified, testing::full_disk::FullDisk, tpm::NoTpm,
};

struct Fixture {
    state: tempfile::TempDir,
    disk: FullDisk,
}

impl Fixture {
    /// A device that has remembered one thing, with room.
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let disk = FullDisk::new(state.path());
        let fixture = Self { state, disk };
        assert_eq!(fixture.install(1), [""; 0]);
        assert!(fixture.reserve().exists());
        fixture
    }

    fn path(&self) -> &Path {
        self.state.path()
    }

    fn reserve(&self) -> std::path::PathBuf {
        self.path().join("history/reserve")
    }

    fn key(&self) -> DeviceKey {
        DeviceKey::of(self.path(), NoTpm).unwrap()
    }

    fn install(&self, number: u64) -> Vec<String> {
        let release = KnownRelease {
            version: number.to_string(),
            digest: format!("{number:064x}"),
        };
        let key = self.key();
        Recorder::new(self.path(), Ok(&key), &self.disk)
            .remember(|history| history.installed(Slot::B, release))
    }

    fn refuse(&self, number: u64) -> Vec<String> {
        let event = Event::Refused {
            what_was: number.to_string(),
            reason: "x".repeat(400),
        };
        let key = self.key();
        Recorder::new(self.path(), Ok(&key), &self.disk).record(event)
    }

    /// The history, checked whole: what `history --verify` looks at.
    fn verified(&self) -> Verified {
        let verified = verified(self.path(), &self.key()).unwrap();
        assert_eq!(verified.torn, 0);
        verified
    }

    /// The releases that it has been told of.
    fn told(&self) -> Vec<u64> {
        let entries = self.verified().entries.into_iter();
        let numbers = entries.filter_map(|entry| match entry.event {
            Event::Release {
                fate: Fate::Installed,
                version,
                ..
            } => Some(version.parse().unwrap()),
            _ => None,
        });
        numbers.collect()
    }
}

#[test]
fn on_a_full_disk_what_becomes_of_releases_gets_in_through_the_reserve() {
    let fixture = Fixture::new();
    fixture.disk.leave(0);
    for number in 2..=20 {
        assert_eq!(fixture.install(number), [""; 0], "{number}");
    }
    assert!(!fixture.reserve().exists(), "it is given up");
    assert_eq!(fixture.told(), (1..=20).collect::<Vec<u64>>());
}

#[test]
fn other_events_get_in_through_the_reserve_too() {
    let fixture = Fixture::new();
    fixture.disk.leave(0);
    for number in 2..=40 {
        assert_eq!(fixture.refuse(number), [""; 0], "{number}");
    }
    assert!(!fixture.reserve().exists(), "it is given up");
    assert_eq!(fixture.verified().entries.len(), 2 + 39);
}

#[test]
fn when_the_reserve_is_gone_each_loss_is_told_and_the_history_is_whole_without_it() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.reserve()).unwrap();
    fixture.disk.leave(0);
    for number in 2..=4 {
        let problems = fixture.install(number);
        assert!(problems[0].contains("can't be remembered"), "{problems:?}");
    }
    // There is room in the last block of the file, for a while.
    let lost = (5..60)
        .find(|number| !fixture.refuse(*number).is_empty())
        .unwrap();
    let before = fixture.verified();
    assert_eq!(before.entries.len() as u64, 2 + lost - 5);
    assert_eq!(fixture.told(), [1]);
    // With room again it goes on where it was: what was lost is told nowhere as if it had been there, and numbers have no gap.
    fixture.disk.leave(1 << 20);
    assert_eq!(fixture.install(60), [""; 0]);
    assert_eq!(fixture.told(), [1, 60]);
    let after = fixture.verified();
    after.has(&before.last.unwrap().head).unwrap();
    assert!(fixture.reserve().exists(), "there is one for the next time");
}

#[test]
fn the_reserve_is_no_more_than_there_is_room_for() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.reserve()).unwrap();
    fixture.disk.leave(20 << 10);
    assert_eq!(fixture.install(2), [""; 0]);
    assert!(!fixture.reserve().exists(), "half of one is none");
    assert_eq!(fixture.install(3), [""; 0], "and takes nobody's room");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The campaign of disks with more and less room: what isn't told to be lost is in the history, once, in its order.
    #[test]
    fn whatever_room_there_is_nothing_is_lost_in_silence_and_nothing_is_there_twice(
        rooms in proptest::collection::vec((0..12_u64).prop_map(|blocks| blocks * 4096), 1..16)
    ) {
        let fixture = Fixture::new();
        let (mut kept, mut all) = (vec![1], 1);
        for room in rooms {
            fixture.disk.leave(room);
            all += 1;
            if fixture.install(all).is_empty() {
                kept.push(all);
                prop_assert_eq!(fixture.told().pop(), Some(all));
            }
        }
        fixture.disk.leave(1 << 20);
        all += 1;
        prop_assert_eq!(fixture.install(all), [""; 0]);
        kept.push(all);
        let told = fixture.told();
        prop_assert!(told.is_sorted_by(|one, two| one < two), "{told:?}");
        prop_assert!(kept.iter().all(|number| told.contains(number)), "{kept:?} {told:?}");
    }
}
