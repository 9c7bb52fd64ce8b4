//! What an operator of many devices sees while a release goes out.

use outcrop_release::{agent::Waits, report::Followed};

use super::*;

fn on(channel: &str, version: &str) -> impl FnOnce(&mut Report) {
    let (name, version) = (channel.to_owned(), version.parse().unwrap());
    move |report| {
        report.channel = Some(Followed { name, serial: 7 });
        report.running.version = version;
    }
}

fn waits(waits: Waits) -> impl FnOnce(&mut Report) {
    move |report| {
        on("stable", "1.1.0")(report);
        report.agent = Some(Standing {
            waits,
            version: Some("1.2.0".to_owned()),
            reason: None,
            detail: None,
        });
    }
}

#[test]
fn in_the_first_wave_those_that_failed_come_first_and_those_that_wait_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..500 {
        let name = number.to_string();
        let _ = match number {
            3 => put(folder.path(), &name, number, |report| {
                waits(Waits::Failed)(report);
                failed(Reason::CheckFailed, "the check ssh didn't hold")(report);
            }),
            4 => put(folder.path(), &name, number, waits(Waits::List)),
            0..=5 => put(folder.path(), &name, number, on("stable", "1.2.0")),
            number if number % 100 == 50 => put(folder.path(), &name, number, waits(Waits::DownloadWindow)),
            number => put(folder.path(), &name, number, waits(Waits::Turn)),
        };
    }
    let summary = told(folder.path());
    let lagging = [
        ("check failed", vec!["shop-3"]),
        ("no list counts", vec!["shop-4"]),
    ];
    assert_eq!(groups(&summary.lagging), lagging);
    let counts = summary.waiting.iter();
    let counts: Vec<_> = counts
        .map(|group| (group.reason.as_str(), group.devices.len()))
        .collect();
    // A program has them all.
    assert_eq!(
        counts,
        [("waits for its wave", 489), ("waits for a download window", 5)]
    );
    let text = summary.to_text();
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(place("the check ssh didn't hold") < place("behind the newest, as planned: 494\n"));
    assert!(text.contains("     489  waits for its wave\n       5  waits for a download window\n"));
    assert!(text.lines().count() < 30 && !text.contains("shop-7 "), "{text}");
    let page = html(&summary);
    let failed_at = page.find("the check ssh").unwrap();
    assert!(failed_at < page.find("<details><summary>waits for its wave (489)").unwrap());
    assert!(page.contains("<summary>and 439 more</summary>"));
}

#[test]
fn a_long_list_is_cut_for_people_and_whole_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..60 {
        put(folder.path(), &number.to_string(), number, |report| {
            report.health = Health::Degraded;
        });
    }
    let summary = told(folder.path());
    let text = summary.to_text();
    assert!(text.contains("\ndegraded: 60\n"));
    assert!(text.ends_with("  and 40 more: --json has all\n") && text.lines().count() < 30);
    assert_eq!(summary.degraded.len(), 60);
    let page = html(&summary);
    assert!(page.contains("<details><summary>and 10 more</summary>"));
    assert_eq!(page.matches("shop-").count(), 60);
}

#[test]
fn what_another_channel_offers_is_nothing_that_a_device_lags_behind() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "lab", 1, on("beta", "1.4.0-rc1"));
    put(folder.path(), "a", 2, on("stable", "1.2.0"));
    put(folder.path(), "b", 3, on("stable", "1.2.0"));
    put(folder.path(), "c", 4, on("stable", "1.1.0"));
    let summary = told(folder.path());
    assert_eq!(groups(&summary.waiting), [("not updated yet", vec!["shop-4"])]);
    let text = summary.to_text();
    for line in [
        "       1  edge-1.4.0-rc1-x86_64-efi (beta)\n",
        // Most run it: that is nobody's claim.
        "       2  edge-1.2.0-x86_64-efi (stable)\n",
        "       1  edge-1.1.0-x86_64-efi (stable)\n",
        "runs 1.1.0 instead of 1.2.0\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn who_claims_a_version_that_nobody_else_runs_is_named_and_nobody_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..50 {
        put(folder.path(), &number.to_string(), number, on("stable", "1.2.0"));
    }
    put(folder.path(), "liar", 60, on("stable", "99.0.0"));
    let summary = told(folder.path());
    assert!(summary.lagging.is_empty());
    let line = format!("       1  edge-99.0.0-x86_64-efi (stable), only {}\n", who(60));
    let text = summary.to_text();
    assert!(text.contains(&line), "{text}");
    assert!(
        text.contains("      50  not updated yet\n") && text.lines().count() < 10,
        "{text}"
    );
    let page = html(&summary);
    assert!(page.contains(&format!("only {}", who(60))), "{page}");
}

#[test]
fn devices_of_one_hostname_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=2 {
        put(folder.path(), &number.to_string(), number, |report| {
            report.hostname = Some("till".to_owned());
            report.health = Health::Degraded;
        });
    }
    let text = told(folder.path()).to_text();
    for number in 1..=2 {
        let line = format!("  till ({})  ", report(number, |_| {}).device());
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn nothing_that_a_device_or_a_file_s_name_says_steers_a_terminal_or_turns_a_page() {
    // A report can't have controls; it can have what turns the direction of writing, and a file's name has anything.
    let (turn, evil) = ("a\u{202e}b\u{200b}", "x\u{1b}[2J\n\u{9b}1m\u{202e}");
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a", 1, |report| {
        failed(Reason::Storage, turn)(report);
        report.hostname = Some(turn.to_owned());
        report.channel = Some(Followed {
            name: turn.to_owned(),
            serial: 1,
        });
    });
    fs::write(folder.path().join(format!("{evil}.report")), "no report").unwrap();
    let summary = told(folder.path());
    for shown in [summary.to_text(), html(&summary)] {
        assert!(shown.contains("a\\u{202e}b\\u{200b}"), "{shown}");
        assert!(
            shown.contains("x\\u{1b}[2J\\u{a}\\u{9b}1m\\u{202e}.report"),
            "{shown}"
        );
        let steers = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c);
        assert!(!shown.contains(steers), "{shown:?}");
    }
    let error = FleetError::Empty(folder.path().join(evil)).to_string();
    assert!(
        !error.contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{error}"
    );
}
