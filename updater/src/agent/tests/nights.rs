//! One device: days, nights, sticks, power cuts.

use std::fs;

use outcrop_release::{
    agent::{Mode, Waits, Windows},
    bootrec::LastEnd,
    digest::FileDigest,
    journal::{Deed, Event},
    report::{Reason, verify_report},
};

use super::{Fixture, after, decisions, digest, offered, second, waits};
use crate::{
    agent::Memory,
    init::efi::SecureBoot,
    testing::site::{Fault, PlayedSite, Published},
};

#[test]
fn what_is_offered_at_noon_is_written_at_once_and_started_at_night() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    let outcome = site.tick(0);
    assert_eq!(waits(&outcome), Waits::Window);
    assert_eq!(
        outcome.standing.detail.as_deref(),
        Some("until 2026-12-01T01:00:00Z")
    );
    assert_eq!(site.version(), "1.1.0");
    // A power cut at noon doesn't start it.
    site.start(LastEnd::PowerLost);
    assert_eq!(site.version(), "1.1.0");
    for _ in 0..12 {
        assert_eq!(waits(&site.tick(60)), Waits::Window);
    }
    assert!(site.tick(60).restarting);
    assert_eq!(site.version(), "1.2.0");
    assert_eq!(waits(&site.tick(60)), Waits::News);
    assert_eq!(decisions(&site), [Deed::Restart]);
}

#[test]
fn whoever_objects_puts_the_restart_off_and_is_named() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.objection = Some("/usr/bin/till --closed: exit status: 1".to_owned());
    let outcome = site.tick(0);
    assert_eq!(waits(&outcome), Waits::Inhibitor);
    assert!(outcome.standing.detail.unwrap().contains("till"));
    site.objection = None;
    assert!(site.tick(5).restarting);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn a_clock_that_is_wrong_is_told_once_and_not_at_each_look() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.now = after(-24 * 365).to_zoned(jiff::tz::TimeZone::UTC);
    for _ in 0..30 {
        assert_eq!(waits(&site.tick(61)), Waits::List);
    }
    let refused = |event: &&Event| matches!(event, Event::Refused { .. });
    assert_eq!(site.events().iter().filter(refused).count(), 1);
}

#[test]
fn off_the_network_for_a_month_it_catches_up_within_an_hour() {
    let mut published = Published::new(after(-2));
    published.offer(after(24), second(), "100%");
    published.change(after(24 * 30), |channel, lifetime| {
        channel.refreshed(lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.tick(0);
    let back = after(24 * 31);
    site.fault = Fault::OfflineUntil(back);
    let mut asked = 0;
    while site.now.timestamp() < back {
        let outcome = site.tick(60);
        asked += u32::from(outcome.standing.reason == Some(Reason::Network));
    }
    assert!(asked > 350, "it says so: {asked}");
    let polls = Memory::load(&site.state).unwrap().poll_failures;
    assert!(
        polls <= 30 * 24,
        "it asks no more than once in an interval: {polls}"
    );
    for _ in 0..3 {
        site.tick(30);
    }
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn approval_is_waited_for_and_counts_for_that_release_only() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.definition.mode = Mode::Approved;
    assert_eq!(waits(&site.tick(0)), Waits::Approval);
    assert!(site.events().is_empty(), "nothing was fetched");
    site.approve(FileDigest::of(b"another one"), "1.2.0");
    assert_eq!(waits(&site.tick(60)), Waits::Approval);
    site.approve(digest(), "1.2.0");
    assert!(site.tick(60).restarting);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn a_release_that_was_withdrawn_while_it_waited_is_never_started() {
    let mut published = offered();
    published.change(after(2), |channel, lifetime| {
        channel
            .withdraw("1.2.0", "it eats the till's data", lifetime)
            .unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    assert_eq!(waits(&site.tick(0)), Waits::Window);
    for _ in 0..30 {
        site.tick(60);
    }
    assert_eq!(site.version(), "1.1.0");
    assert_eq!(waits(&site.tick(60)), Waits::News);
}

#[test]
fn what_somebody_went_back_from_isn_t_installed_again_by_itself() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.tick(0);
    assert_eq!(site.version(), "1.2.0");
    site.roll_back();
    assert_eq!(site.version(), "1.1.0");
    for _ in 0..5 {
        assert_eq!(waits(&site.tick(60)), Waits::Failed);
    }
    assert_eq!(site.version(), "1.1.0");
}

#[test]
fn with_secure_boot_an_unsigned_release_is_refused_before_it_is_fetched() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.secure_boot = SecureBoot::On;
    site.definition.daily_limit = Some("1MB".parse().unwrap());
    let writes = site.world.disk.writes();
    let outcome = site.tick(0);
    assert_eq!(outcome.standing.reason, Some(Reason::Refused));
    let detail = outcome.standing.detail.unwrap();
    assert!(detail.contains("isn't signed for Secure Boot"), "{detail}");
    assert_eq!(site.world.disk.writes(), writes);
    let fetched = Memory::load(&site.state).unwrap().spent.on(site.now.date());
    let head = second().manifest.to_bytes().len() as u64;
    assert!(
        fetched < head + 12_000,
        "manifest and signatures alone: {fetched}"
    );
}

#[test]
fn what_the_agent_keeps_may_be_lost_and_nothing_else_is() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    assert_eq!(waits(&site.tick(0)), Waits::Window);
    fs::write(site.state.join("agent.json"), "half").unwrap();
    assert_eq!(waits(&site.tick(60)), Waits::Window);
    assert!(
        site.told
            .iter()
            .any(|line| line.starts_with("the agent begins anew")),
        "{:?}",
        site.told
    );
    site.tick(12 * 60);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn a_poll_without_news_fetches_nothing_and_between_polls_nothing_is_written() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.tick(0);
    site.tick(15);
    let written = fs::metadata(site.state.join("agent.json"))
        .unwrap()
        .modified()
        .unwrap();
    for _ in 0..6 {
        site.tick(5);
    }
    let now = fs::metadata(site.state.join("agent.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(written, now);
    for _ in 0..20 {
        site.tick(60);
    }
    let (first, others) = site.lists.split_first().unwrap();
    assert!(
        *first > 0 && others.iter().all(|bytes| *bytes == 0),
        "{:?}",
        site.lists
    );
    assert!((9..=24).contains(&others.len()), "{}", others.len());
}

#[test]
fn reports_go_out_when_something_has_changed_and_once_a_day_and_wait_while_nobody_takes_them() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    let sequence = |site: &PlayedSite<'_>| {
        let path = fixture.reports().join(format!("{}.report", site.device()));
        let report = verify_report(&fs::read(path).unwrap()).unwrap();
        (
            report.report().sequence,
            report.report().agent.clone().unwrap().waits,
        )
    };
    site.tick(0);
    assert_eq!(sequence(&site), (1, Waits::Window));
    for _ in 0..12 {
        site.tick(60);
    }
    assert_eq!(sequence(&site).0, 1, "nothing has changed");
    site.fault = Fault::SilentFrom(site.now.timestamp());
    site.tick(60);
    site.tick(60);
    assert_eq!(site.version(), "1.2.0");
    assert_eq!(sequence(&site).0, 1, "it waits");
    site.fault = Fault::Nothing;
    for _ in 0..3 {
        site.tick(60);
    }
    let (number, waits) = sequence(&site);
    assert!(number > 1 && waits == Waits::News);
    for _ in 0..30 {
        site.tick(60);
    }
    assert_eq!(sequence(&site).0, number + 1, "once a day");
}

#[test]
fn a_release_that_can_t_be_written_is_tried_again_later_and_later_and_told_once() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.fault = Fault::BadDisk;
    let outcome = site.tick(0);
    assert_eq!(
        (waits(&outcome), outcome.standing.reason),
        (Waits::Retry, Some(Reason::Storage))
    );
    let writes = site.world.disk.writes();
    assert_eq!(waits(&site.tick(1)), Waits::Retry);
    assert_eq!(site.world.disk.writes(), writes, "not at once");
    for _ in 0..100 {
        site.tick(5);
    }
    let failures = Memory::load(&site.state).unwrap().step_failures;
    assert!((8..16).contains(&failures), "{failures}");
    assert_eq!(decisions(&site), [Deed::PutOff]);
    site.fault = Fault::Nothing;
    site.tick(70);
    assert_eq!(waits(&site.tick(60)), Waits::Window);
}
