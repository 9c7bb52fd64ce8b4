//! Reports that contradict each other, or what was seen before.

use proptest::prelude::*;

use super::*;
use crate::fleet::judge::judge;

fn head(number: u64) -> Option<Head> {
    Some(Head {
        number,
        digest: FileDigest::of(&number.to_le_bytes()),
    })
}

fn hours_ago(hours: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(hours)).unwrap()
}

/// A report of device 1: its number, the length of its history, and the hours since.
fn numbered(sequence: u64, history: u64, hours: i64) -> impl FnOnce(&mut Report) {
    move |report| {
        report.sequence = sequence;
        report.history = head(history);
        report.at = hours_ago(hours);
        report.running.version = semver::Version::new(1, sequence, 0);
    }
}

/// What the only device runs, as far as anybody believes it.
fn runs(summary: &Summary) -> Vec<&str> {
    let releases = summary.releases.iter();
    releases.map(|release| release.release.as_str()).collect()
}

#[test]
fn what_a_device_s_files_are_called_decides_nothing() {
    for names in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), names[0], 1, numbered(5, 9, 2));
        put(folder.path(), names[1], 1, numbered(6, 3, 1));
        put(folder.path(), names[2], 1, numbered(4, 8, 3));
        let summary = told(folder.path());
        // Nobody but the device can have signed number 6: it counts, and what happened to its history is told.
        assert_eq!(runs(&summary), ["edge-1.6.0-x86_64-efi"], "{names:?}");
        assert!(summary.rejected.is_empty(), "{:?}", summary.rejected);
        let text = summary.to_text();
        assert!(
            text.contains("had 9 events in its history, then 3, since"),
            "{text}"
        );
    }
}

#[test]
fn of_two_twins_neither_counts_and_an_older_report_does() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a", 1, numbered(6, 9, 0));
    put(folder.path(), "b", 1, numbered(6, 9, 1));
    put(folder.path(), "c", 1, numbered(5, 9, 2));
    let summary = told(folder.path());
    assert_eq!(runs(&summary), ["edge-1.5.0-x86_64-efi"]);
    let files = summary.rejected.iter().map(|rejected| Path::new(&rejected.file));
    let files: Vec<&Path> = files.inspect(|file| assert!(file.exists())).collect();
    assert_eq!(
        files,
        [folder.path().join("a.report"), folder.path().join("b.report")]
    );
}

#[test]
fn two_copies_of_one_report_are_no_twins() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a", 1, numbered(6, 9, 0));
    put(folder.path(), "b", 1, numbered(6, 9, 0));
    let summary = told(folder.path());
    assert_eq!((summary.devices, summary.rejected.len()), (1, 0));
}

#[test]
fn that_a_history_lost_events_is_told_for_as_long_as_silence_is_allowed_although_the_old_report_lies_there() {
    let folder = tempfile::tempdir().unwrap();
    let told_after = |hours| {
        put(folder.path(), "old", 1, numbered(5, 9, hours + 24));
        put(folder.path(), "new", 1, numbered(6, 1, hours));
        put(folder.path(), "today", 1, numbered(7, 2, 0));
        names(&told(folder.path()).histories).len()
    };
    assert_eq!(
        (told_after(1), told_after(24 * 7), told_after(24 * 7 + 1)),
        (1, 1, 0)
    );
    // A clock that is set back shortens nothing.
    put(folder.path(), "old", 1, numbered(5, 9, 24));
    put(folder.path(), "new", 1, numbered(6, 1, 24 * 300));
    assert_eq!(names(&told(folder.path()).histories), ["shop-1"]);
}

#[test]
fn a_history_whose_newest_event_was_replaced_or_that_is_gone_is_told() {
    for (history, told_as) in [
        (Some(FileDigest::of(b"another 9")), "then others"),
        (None, "then none"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a", 1, numbered(5, 9, 1));
        put(folder.path(), "b", 1, |report| {
            report.sequence = 6;
            report.history = history.map(|digest| Head { number: 9, digest });
        });
        let text = told(folder.path()).to_text();
        assert!(text.contains(told_as), "{text}");
    }
}

#[test]
fn an_old_report_in_the_place_of_a_newer_one_is_told_as_played_back() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "1", 1, numbered(6, 9, 0));
    put(folder.path(), "2", 2, |_| {});
    let (before, remembered) = told_with(folder.path(), Memory::default());
    assert!(before.rejected.is_empty());
    put(folder.path(), "1", 1, numbered(5, 8, 1));
    // Without a memory nobody can tell.
    assert_eq!(told(folder.path()).devices, 2);
    let (after, remembered) = told_with(folder.path(), remembered);
    assert_eq!(runs(&after), ["edge-1.2.0-x86_64-efi"]);
    let why = rejections(&after, &folder.path().join("1.report"));
    assert!(
        matches!(&why[..], [why] if why.contains("has sent a report of number 6, and this is number 5")),
        "{why:?}"
    );
    assert!(
        after
            .to_text()
            .contains("number 6 of 2026-11-30T12:00:00Z was its last")
    );
    // The device's next report makes it good.
    put(folder.path(), "1", 1, numbered(7, 9, 0));
    let (after, _) = told_with(folder.path(), remembered);
    assert_eq!(
        (after.devices, after.rejected.len(), after.silent.len()),
        (2, 0, 0)
    );
}

#[test]
fn an_old_report_beside_the_newest_is_only_old_whatever_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "new", 1, numbered(6, 9, 0));
    let (_, remembered) = told_with(folder.path(), Memory::default());
    put(folder.path(), "old", 1, numbered(5, 8, 1));
    let (summary, again) = told_with(folder.path(), remembered.clone());
    assert!(summary.rejected.is_empty() && summary.histories.is_empty());
    assert_eq!(again, remembered);
}

#[test]
fn another_report_of_a_remembered_number_and_a_report_that_is_gone_are_told() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "1", 1, numbered(6, 9, 0));
    put(folder.path(), "2", 2, |_| {});
    let (_, remembered) = told_with(folder.path(), Memory::default());
    put(folder.path(), "1", 1, numbered(6, 8, 0));
    fs::remove_file(folder.path().join("2.report")).unwrap();
    let (summary, _) = told_with(folder.path(), remembered);
    let why = rejections(&summary, &folder.path().join("1.report"));
    assert!(
        matches!(&why[..], [why] if why.contains("two different reports of number 6")),
        "{why:?}"
    );
    assert_eq!(summary.silent.len(), 2);
}

#[test]
fn a_history_that_is_shorter_than_what_is_remembered_is_told_with_one_file_for_each_device_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    put(folder.path(), "1", 1, numbered(6, 9, 24));
    let (_, remembered) = told_with(folder.path(), Memory::default());
    remembered.write(&path).unwrap();
    put(folder.path(), "1", 1, numbered(7, 3, 0));
    // It is told in the runs after that, too.
    for _ in 0..2 {
        let (summary, remembered) = told_with(folder.path(), Memory::read(&path).unwrap());
        assert!(summary.histories[0].detail.starts_with("had 9 events"));
        assert_eq!((summary.devices, summary.remembered), (1, Some(1)));
        remembered.write(&path).unwrap();
    }
}

#[test]
fn a_memory_that_is_damaged_is_an_error_with_its_line_and_a_new_one_remembers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    assert_eq!(Memory::read(&path).unwrap().before(), Some(0));
    let device = report(1, |_| {}).device();
    let head = "outcrop-fleet-memory 1\n";
    let good = format!("{device} 6 2026-11-30T12:00:00Z -\n");
    fs::write(&path, format!("{head}{good}")).unwrap();
    assert_eq!(Memory::read(&path).unwrap().before(), Some(1));
    for (text, wanted) in [
        (String::new(), 1),
        ("outcrop-fleet-memory 2\n".to_owned(), 1),
        (format!("{head}{good}{good}"), 3),
        (format!("{head}{}", good.trim_end()), 2),
        (format!("{head}{good}\n"), 3),
        (format!("{head}{}", good.replace('-', "9:5")), 2),
        (format!("{head}{}", good.replace(" -", " - 9 3")), 2),
        (format!("{head}\u{1b}[2J\n"), 2),
    ] {
        fs::write(&path, &text).unwrap();
        let error = Memory::read(&path).unwrap_err();
        assert!(
            matches!(error, FleetError::Memory { line, .. } if line == wanted),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains(char::is_control));
    }
}

/// Reports of one device, each with the history that it had then: one that grows, and is now and then begun anew.
fn lives() -> impl Strategy<Value = Vec<Report>> {
    let step = (1..3_u64, prop_oneof![4 => 0..4_u64, 1 => Just(99)], 0..200_i64);
    proptest::collection::vec(step, 1..8).prop_map(|steps| {
        let (mut sequence, mut history) = (0, 9);
        let made = steps.into_iter().map(|(more, events, hours)| {
            sequence += more;
            history = if events == 99 { 1 } else { history + events };
            report(1, numbered(sequence, history, hours))
        });
        made.collect()
    })
}

fn found(report: &Report, path: usize) -> Found {
    Found {
        device: report.device(),
        path: path.to_string().into(),
        report: report.clone(),
    }
}

proptest! {
    #[test]
    fn one_run_over_all_reports_knows_what_a_run_after_each_does_and_each_older_one_is_then_played_back(
        reports in lives(),
    ) {
        let all = judge(reports.iter().map(|report| found(report, 0)), None);
        let mut seen = None;
        for report in &reports {
            let judged = judge([found(report, 0)], seen);
            prop_assert_eq!(judged.counts.map(|found| found.report), Some(report.clone()));
            seen = judged.seen;
        }
        prop_assert_eq!(&all.seen, &seen);
        let newest = reports.last().map(|report| report.sequence);
        prop_assert_eq!(all.counts.map(|found| found.report.sequence), newest);
        for older in reports.iter().rev().skip(1) {
            let judged = judge([found(older, 0)], seen.clone());
            prop_assert!(judged.counts.is_none());
            let is_told = matches!(judged.rejected[..], [(_, Why::Replayed { .. })]);
            prop_assert!(is_told);
            prop_assert_eq!(&judged.seen, &seen);
        }
    }

    #[test]
    fn what_is_remembered_survives_its_text_and_a_torn_one_is_an_error(reports in lives(), cut in any::<usize>()) {
        let mut memory = Memory::default();
        for report in &reports {
            let seen = judge([found(report, 0)], memory.of(&report.device()).cloned()).seen;
            memory.remember(report.device(), seen.unwrap());
        }
        let text = memory.to_text();
        let read = Memory::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), memory.iter().collect::<Vec<_>>());
        let torn = &text[..cut % text.len()];
        prop_assert_eq!(Memory::parse(torn.as_bytes()).is_ok(), torn.ends_with('\n'));
    }

    #[test]
    fn any_bytes_are_a_memory_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Memory::parse(&bytes).is_err());
        let line = [b"outcrop-fleet-memory 1\n", &bytes[..], b"\n"].concat();
        prop_assert!(Memory::parse(&line).is_err());
    }
}

#[test]
fn the_command_remembers_when_it_is_asked_to_and_leaves_a_damaged_memory_as_it_is() {
    use crate::commands::{fleet, testing};
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory");
    let long_ago = 24 * 365 * 5;
    let run = |memory: Option<&Path>| {
        let (context, written) = testing::context();
        let options = fleet::Options {
            folder: folder.path().to_owned(),
            devices: None,
            silent: SignedDuration::from_hours(24 * 7),
            memory: memory.map(Path::to_owned),
            html: None,
            json: false,
        };
        fleet::report(&options, &context).map(|()| written.text())
    };
    put(folder.path(), "1", 1, numbered(6, 9, long_ago));
    run(None).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(run(Some(&memory)).unwrap().contains("0 devices were remembered"));
    put(folder.path(), "1", 1, numbered(5, 9, long_ago));
    assert!(
        run(Some(&memory))
            .unwrap()
            .contains("an old report is played back")
    );
    fs::write(&memory, "damaged").unwrap();
    assert!(matches!(
        run(Some(&memory)),
        Err(crate::error::Error::Fleet(FleetError::Memory { .. }))
    ));
    assert_eq!(fs::read(&memory).unwrap(), b"damaged");
}
