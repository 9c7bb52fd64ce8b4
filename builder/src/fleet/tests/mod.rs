//! Fleets of signed reports in a folder, and what is told of them.

mod browser;
mod played_back;
mod wave;

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    digest::FileDigest,
    journal::{Fate, Head},
    report::{Drift, Health, LastUpdate, Reason, Report, Standing},
    signed,
    trust::{Purpose, Signatures},
};

use super::*;
use crate::{
    keys::PrivateKey,
    progress::{Progress as _, Silent, Unit},
};

fn key(number: u16) -> PrivateKey {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    PrivateKey::from_seed(&seed)
}

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn drift(differences: u32) -> Drift {
    Drift {
        differences,
        fingerprint: FileDigest::of(&differences.to_le_bytes()),
    }
}

/// A device's report; `change` says in what it differs from a healthy one's.
fn report(number: u16, change: impl FnOnce(&mut Report)) -> Report {
    let mut report = Report {
        key: key(number).public().unwrap(),
        sequence: 5,
        at: now(),
        hostname: Some(format!("shop-{number}")),
        labels: Default::default(),
        running: outcrop_release::name::ReleaseName {
            image: "edge".parse().unwrap(),
            version: "1.2.0".parse().unwrap(),
            architecture: "x86_64".parse().unwrap(),
            board: "efi".parse().unwrap(),
        },
        manifest: FileDigest::of(b"1.2.0"),
        slot: "a".to_owned(),
        channel: None,
        last: None,
        health: Health::Healthy,
        agent: None,
        drift: Some(drift(0)),
        history: Some(Head {
            number: 9,
            digest: FileDigest::of(b"9"),
        }),
    };
    change(&mut report);
    report
}

fn signed_by(number: u16, report: &Report) -> Vec<u8> {
    let document = report.to_bytes();
    let mut signatures = Signatures::default();
    signatures
        .add(key(number).sign(Purpose::Report, &document).unwrap())
        .unwrap();
    signed::join(&document, &signatures)
}

fn put(folder: &Path, name: &str, number: u16, change: impl FnOnce(&mut Report)) -> Report {
    let report = report(number, change);
    fs::write(folder.join(format!("{name}.report")), signed_by(number, &report)).unwrap();
    report
}

fn failed(reason: Reason, detail: &str) -> impl FnOnce(&mut Report) {
    let detail = detail.to_owned();
    move |report| {
        report.running.version = "1.1.0".parse().unwrap();
        report.last = Some(LastUpdate {
            fate: Fate::Failed,
            version: "1.2.0".to_owned(),
            reason: Some(reason),
            detail: Some(detail),
        });
    }
}

fn told(folder: &Path) -> Summary {
    told_with(folder, Memory::default()).0
}

/// What is told against what was remembered, and what is to be remembered.
fn told_with(folder: &Path, remembered: Memory) -> (Summary, Memory) {
    let devices = Devices::read(&folder.join(Devices::FILE_NAME)).unwrap();
    let phase = Silent.phase("check reports", None, Unit::Items);
    let read = read(folder, &devices, remembered, now(), phase.as_ref()).unwrap();
    let summary = summarize(&read, &devices, now(), SignedDuration::from_hours(24 * 7));
    (summary, read.seen)
}

/// A device as the text names it.
fn who(number: u16) -> String {
    format!("shop-{number} ({})", report(number, |_| {}).device())
}

/// Who is in each group.
fn groups(groups: &[Lagging]) -> Vec<(&str, Vec<&str>)> {
    let groups = groups.iter();
    let mut named: Vec<_> = groups
        .map(|group| (group.reason.as_str(), names(&group.devices)))
        .collect();
    named.sort();
    named
}

fn names(named: &[Named]) -> Vec<&str> {
    named.iter().map(|named| named.name.as_str()).collect()
}

#[test]
fn three_of_five_hundred_lag_behind_each_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..500 {
        let name = number.to_string();
        match number {
            17 => drop(put(
                folder.path(),
                &name,
                number,
                failed(Reason::CheckFailed, "the check ssh didn't hold"),
            )),
            99 => drop(put(
                folder.path(),
                &name,
                number,
                failed(Reason::Power, "its trial ended three times"),
            )),
            300 => drop(put(folder.path(), &name, number, |report| {
                report.running.version = "1.1.0".parse().unwrap();
            })),
            _ => drop(put(folder.path(), &name, number, |_| {})),
        }
    }
    let summary = told(folder.path());
    assert_eq!(summary.devices, 500);
    let counts: Vec<(&str, usize)> = summary
        .releases
        .iter()
        .map(|count| (count.release.as_str(), count.devices))
        .collect();
    assert_eq!(
        counts,
        [("edge-1.2.0-x86_64-efi", 497), ("edge-1.1.0-x86_64-efi", 3)]
    );
    assert_eq!(
        groups(&summary.lagging),
        [("check failed", vec!["shop-17"]), ("power", vec!["shop-99"])]
    );
    // Who is left in the end is named, too.
    assert_eq!(groups(&summary.waiting), [("not updated yet", vec!["shop-300"])]);
    let text = summary.to_text();
    for (number, said) in [
        (17, "runs 1.1.0 instead of 1.2.0: the check ssh didn't hold\n"),
        (300, "runs 1.1.0 instead of 1.2.0\n"),
    ] {
        let line = format!("  {}  {said}", who(number));
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.lines().count() < 20, "{text}");
}

#[test]
fn what_keeps_a_device_now_counts_before_how_its_last_update_went_and_that_before_what_it_waits_for() {
    use outcrop_release::agent::Waits;
    let folder = tempfile::tempdir().unwrap();
    let standing = |waits, reason, detail: &str| Standing {
        waits,
        version: Some("1.2.0".to_owned()),
        reason,
        detail: Some(detail.to_owned()),
    };
    let old = |report: &mut Report| report.running.version = "1.1.0".parse().unwrap();
    let failed = || LastUpdate {
        fate: Fate::Failed,
        version: "1.1.5".to_owned(),
        reason: Some(Reason::Power),
        detail: None,
    };
    put(folder.path(), "new", 1, |_| ());
    put(folder.path(), "a", 2, |report| {
        old(report);
        report.last = Some(failed());
        report.agent = Some(standing(Waits::News, Some(Reason::Network), "no answer"));
    });
    put(folder.path(), "b", 3, |report| {
        old(report);
        report.last = Some(failed());
        report.agent = Some(standing(Waits::Window, None, "until Monday"));
    });
    put(folder.path(), "c", 4, |report| {
        old(report);
        report.agent = Some(standing(Waits::Window, None, "until Monday"));
    });
    let text = told(folder.path()).to_text();
    let agents = "\nagents\n       2  waits for a maintenance window\n       1  up to date\n";
    assert!(text.contains(agents), "{text}");
    for (title, number, said) in [
        (
            "lagging, network: 1\n  ",
            2,
            "runs 1.1.0 instead of 1.2.0: no answer",
        ),
        ("lagging, power: 1\n  ", 3, "runs 1.1.0 instead of 1.2.0\n"),
        (
            "as planned: 1\n       1  waits for a maintenance window\n          ",
            4,
            "runs 1.1.0 instead of 1.2.0: until Monday",
        ),
    ] {
        let lines = format!("{title}{}  {said}", who(number));
        assert!(text.contains(&lines), "{lines}: {text}");
    }
}

#[test]
fn snowflakes_degraded_and_silent_devices_are_named() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a", 1, |report| report.drift = Some(drift(3)));
    put(folder.path(), "b", 2, |report| report.health = Health::Degraded);
    put(folder.path(), "c", 3, |report| {
        report.at = "2026-11-01T00:00:00Z".parse().unwrap();
    });
    put(folder.path(), "d", 4, |report| report.drift = None);
    let summary = told(folder.path());
    assert_eq!(names(&summary.snowflakes), ["shop-1"]);
    assert_eq!(names(&summary.degraded), ["shop-2"]);
    assert_eq!(names(&summary.silent), ["shop-3"]);
    assert!(summary.lagging.is_empty() && summary.rejected.is_empty());
}

#[test]
fn of_a_device_s_reports_the_newest_counts_whatever_the_files_are_called() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("old")).unwrap();
    put(folder.path(), "old/z", 1, |report| {
        report.sequence = 4;
        report.running.version = "1.1.0".parse().unwrap();
    });
    put(folder.path(), "a", 1, |_| {});
    let summary = told(folder.path());
    assert_eq!(
        (summary.devices, summary.releases.len(), summary.rejected.len()),
        (1, 1, 0)
    );
}

/// Why a file is rejected, once or more.
fn rejections<'s>(summary: &'s Summary, file: &Path) -> Vec<&'s str> {
    let file = file.display().to_string();
    let of_it = summary.rejected.iter().filter(|rejected| rejected.file == file);
    of_it.map(|rejected| rejected.why.as_str()).collect()
}

#[test]
fn reports_that_nobody_should_believe_are_told_and_count_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.report"));
    put(folder.path(), "good", 1, |_| {});
    fs::write(path("forged"), signed_by(9, &report(2, |_| {}))).unwrap();
    fs::write(path("page"), "<html>\nLog in").unwrap();
    // A gigabyte that takes no room.
    fs::File::create(path("large")).unwrap().set_len(1 << 30).unwrap();
    put(folder.path(), "future", 3, |report| {
        report.at = "2026-12-02T00:00:00Z".parse().unwrap();
    });
    put(folder.path(), "twin-a", 4, |_| {});
    put(folder.path(), "twin-b", 4, |report| report.slot = "b".to_owned());
    let stranger = put(folder.path(), "stranger", 6, |_| {});
    let known: Vec<String> = (1..=4)
        .map(|number| format!("{} till {number} # x", report(number, |_| {}).device()))
        .collect();
    fs::write(folder.path().join("devices.txt"), known.join("\n")).unwrap();
    let summary = told(folder.path());
    let why = |name: &str| rejections(&summary, &path(name));
    for (name, begins) in [
        ("forged", "the report is forged"),
        ("page", "read the report"),
        ("large", "a report has at most"),
        ("future", "it says that it was made at"),
        ("stranger", "the device "),
        ("twin-a", "the device "),
        ("twin-b", "the device "),
    ] {
        let why = why(name);
        assert!(
            matches!(&why[..], [only] if only.starts_with(begins)),
            "{name}: {why:#?}"
        );
    }
    // Each of them exists, and none is there twice.
    assert_eq!(summary.rejected.len(), 7, "{:#?}", summary.rejected);
    let why: Vec<&str> = summary
        .rejected
        .iter()
        .map(|rejected| rejected.why.as_str())
        .collect();
    let all = why.join("\n");
    for part in [
        "isn't in the list of devices",
        "has two different reports of number 5: its key is in two places",
    ] {
        assert!(all.contains(part), "{all}");
    }
    assert!(all.contains(&stranger.device().to_string()));
    // What isn't believed says nothing of its device.
    assert_eq!(summary.devices, 1);
    assert_eq!(names(&summary.silent), ["till 2", "till 3", "till 4"]);
}

#[test]
fn a_first_wave_in_which_everything_fails_is_told_although_nobody_runs_the_release() {
    use outcrop_release::agent::Waits;
    let folder = tempfile::tempdir().unwrap();
    let standing = |waits, reason: Option<Reason>| Standing {
        waits,
        version: reason.map(|_| "1.3.0".to_owned()),
        reason,
        detail: reason.map(|_| "no space left".to_owned()),
    };
    let last = |reason| LastUpdate {
        fate: Fate::Failed,
        version: "1.3.0".to_owned(),
        reason: Some(reason),
        detail: Some("the till doesn't answer".to_owned()),
    };
    put(folder.path(), "well", 1, |_| ());
    put(folder.path(), "a", 2, |report| {
        report.last = Some(last(Reason::CheckFailed));
        report.agent = Some(standing(Waits::Failed, None));
    });
    put(folder.path(), "b", 3, |report| {
        report.agent = Some(standing(Waits::Retry, Some(Reason::Storage)));
    });
    // It can't even ask.
    put(folder.path(), "c", 4, |report| {
        report.agent = Some(Standing {
            version: None,
            ..standing(Waits::News, Some(Reason::Network))
        });
    });
    // What failed here was withdrawn since.
    put(folder.path(), "d", 5, |report| {
        report.last = Some(last(Reason::CheckFailed));
        report.agent = Some(standing(Waits::News, None));
    });
    let text = told(folder.path()).to_text();
    for (title, number, said) in [
        (
            "check failed",
            2,
            "runs 1.2.0 instead of 1.3.0: the till doesn't answer\n",
        ),
        ("storage", 3, "runs 1.2.0 instead of 1.3.0: no space left\n"),
        ("network", 4, "runs 1.2.0: no space left\n"),
    ] {
        let lines = format!("lagging, {title}: 1\n  {}  {said}", who(number));
        assert!(text.contains(&lines), "{lines}: {text}");
    }
    assert!(!text.contains("shop-1 ") && !text.contains("shop-5"), "{text}");
}

#[test]
fn the_page_says_the_same_and_nothing_that_a_device_says_is_markup() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a", 1, |_| {});
    put(folder.path(), "b", 2, |report| {
        failed(Reason::Storage, "<script>alert(1)</script>")(report);
        report.hostname = Some("<b>&\"'".to_owned());
    });
    let page = html(&told(folder.path()));
    for part in [
        "<h1>2 devices</h1>",
        "Lagging: storage (1)",
        "&lt;script&gt;",
        "&lt;b&gt;&amp;&quot;&#39;",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "{page}");
}

#[test]
fn without_reports_or_with_a_list_that_is_none_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let phase = Silent.phase("check reports", None, Unit::Items);
    let error = read(
        folder.path(),
        &Devices::default(),
        Memory::default(),
        now(),
        phase.as_ref(),
    )
    .unwrap_err();
    assert!(error.to_string().starts_with("there is no report in"));
    let list = folder.path().join("devices.txt");
    fs::write(&list, "# ours\n\nnot a device\n").unwrap();
    let error = Devices::read(&list).unwrap_err();
    assert!(matches!(error, FleetError::Devices { line: 3, .. }), "{error}");
}
