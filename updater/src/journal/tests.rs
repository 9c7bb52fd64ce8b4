use outcrop_release::journal::{Fate, Verified};

use super::*;
use crate::{medium::DataPartition, tpm::NoTpm};

fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).unwrap()
}

fn fate(number: u64) -> Event {
    Event::Release {
        fate: Fate::Installed,
        version: format!("1.{number}.0"),
        slot: "b".to_owned(),
        reason: None,
    }
}

fn began(damaged: bool) -> Event {
    Event::Began { damaged, fates: 0 }
}

struct Fixture {
    state: tempfile::TempDir,
    key: DeviceKey,
}

impl Fixture {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let key = DeviceKey::of(state.path(), NoTpm).unwrap();
        Self { state, key }
    }

    fn append(&self, number: u64) {
        let mut journal = Journal::open_on(self.state.path(), &self.key, &DataPartition).unwrap();
        journal.append(now(), fate(number)).unwrap();
    }

    fn verified(&self) -> Verified {
        verified(self.state.path(), &self.key).unwrap()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.state.path().join(format!("history/{number:06}.log"))
    }
}

#[test]
fn events_follow_each_other_from_run_to_run() {
    let fixture = Fixture::new();
    (1..=3).for_each(|number| fixture.append(number));
    let verified = fixture.verified();
    let events: Vec<&Event> = verified.entries.iter().map(|entry| &entry.event).collect();
    assert_eq!(events, [&began(false), &fate(1), &fate(2), &fate(3)]);
    assert_eq!(verified.last.unwrap().fates, 3);
}

#[test]
fn a_power_cut_in_any_byte_of_a_line_loses_that_event_alone() {
    let fixture = Fixture::new();
    fixture.append(1);
    let before = fs::read(fixture.path(1)).unwrap();
    fixture.append(2);
    let after = fs::read(fixture.path(1)).unwrap();
    for len in before.len()..after.len() {
        // A file system may give zeros where bytes weren't written.
        for tail in [after[before.len()..len].to_vec(), vec![0; len - before.len()]] {
            fs::write(fixture.path(1), [before.clone(), tail].concat()).unwrap();
            fixture.append(3);
            let verified = fixture.verified();
            assert_eq!((verified.entries.len(), verified.torn), (3, 0), "{len}");
            assert_eq!(verified.entries[2].event, fate(3));
        }
    }
}

/// Appends until the newest file has this number.
fn fill_until(fixture: &Fixture, newest: u64) -> u64 {
    let mut journal = Journal::open_on(fixture.state.path(), &fixture.key, &DataPartition).unwrap();
    let mut count = 0;
    while files(&journal.folder).unwrap().last() != Some(&newest) {
        count += 1;
        journal.append(now(), fate(count)).unwrap();
    }
    count
}

#[test]
fn files_are_followed_by_others_with_checkpoints_and_the_oldest_go() {
    let fixture = Fixture::new();
    let count = fill_until(&fixture, 18);
    let folder = fixture.state.path().join(FOLDER);
    assert_eq!(files(&folder).unwrap(), (3..=18).collect::<Vec<u64>>());
    let verified = fixture.verified();
    assert_eq!(verified.entries[0].event, Event::Checkpoint);
    assert_eq!(verified.last.unwrap().fates, count);
}

#[test]
fn a_file_whose_checkpoint_a_power_cut_kept_away_gets_it_and_is_the_oldest_one_day() {
    let fixture = Fixture::new();
    let count = fill_until(&fixture, 2);
    let whole = fs::read(fixture.path(2)).unwrap();
    let checkpoint = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for len in [0, 1, checkpoint] {
        // What a power cut leaves of a new file: nothing, or a part of its first line.
        fs::write(fixture.path(2), &whole[..len]).unwrap();
        fixture.append(0);
        let entries = fixture.verified().entries;
        let newest: Vec<&Event> = entries.iter().rev().take(2).map(|entry| &entry.event).collect();
        assert_eq!(newest, [&fate(0), &Event::Checkpoint], "{len}");
    }
    let more = fill_until(&fixture, 17);
    let folder = fixture.state.path().join(FOLDER);
    assert_eq!(files(&folder).unwrap().first(), Some(&2));
    let verified = fixture.verified();
    assert_eq!(verified.entries[0].event, Event::Checkpoint);
    // The first event of that file went with it, and came again.
    assert_eq!(verified.last.unwrap().fates, count + more);
}

#[test]
fn who_reads_changes_nothing_and_sees_no_event_that_isn_t_whole() {
    let fixture = Fixture::new();
    (1..=2).for_each(|number| fixture.append(number));
    let (whole, head) = (fs::read(fixture.path(1)).unwrap(), fixture.verified().last);
    let being_written = [whole.as_slice(), b"{\"format\":1,"].concat();
    fs::write(fixture.path(1), &being_written).unwrap();
    assert_eq!(newest(fixture.state.path(), &fixture.key).unwrap(), head);
    assert_eq!(fixture.verified().last, head);
    assert_eq!(fs::read(fixture.path(1)).unwrap(), being_written);
    // Nor is a damaged one set aside.
    fs::write(fixture.path(1), b"damaged\n").unwrap();
    let read = newest(fixture.state.path(), &fixture.key);
    assert!(matches!(read, Err(KeepError::Damaged { .. })));
    assert_eq!(fs::read(fixture.path(1)).unwrap(), b"damaged\n");
}

#[test]
fn a_damaged_history_is_set_aside_and_the_new_one_says_so() {
    let fixture = Fixture::new();
    (1..=2).for_each(|number| fixture.append(number));
    let text = fs::read_to_string(fixture.path(1)).unwrap();
    let place = text.rfind("1.2.0").unwrap();
    let changed = [&text[..place], "9.9.9", &text[place + 5..]].concat();
    fs::write(fixture.path(1), &changed).unwrap();
    assert!(matches!(
        verified(fixture.state.path(), &fixture.key),
        Err(KeepError::Damaged { .. })
    ));
    fixture.append(3);
    let events: Vec<Event> = fixture
        .verified()
        .entries
        .into_iter()
        .map(|entry| entry.event)
        .collect();
    assert_eq!(events, [began(true), fate(3)]);
    let aside = fixture.state.path().join("history.damaged-1/000001.log");
    assert_eq!(fs::read_to_string(aside).unwrap(), changed);
}

#[test]
fn a_history_that_cannot_be_had_is_told() {
    let fixture = Fixture::new();
    // What is no folder takes no files, whoever asks.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join(FOLDER), "a file").unwrap();
    let opened = Journal::open_on(elsewhere.path(), &fixture.key, &DataPartition);
    assert!(matches!(opened, Err(KeepError::Io { .. })));
}
