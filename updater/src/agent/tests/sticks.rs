//! Sticks that somebody plugs in.

use std::{fs, path::Path};

use outcrop_release::{
    agent::{Waits, Windows},
    journal::{Deed, Event},
    report::Reason,
};

use super::{Fixture, after, decisions, nights, noon, offered, waits};
use crate::{
    agent::{Outcome, Visit},
    testing::{
        bundle::{Bundle, Release},
        site::Fault,
    },
};

#[test]
fn a_stick_whose_list_doesn_t_count_changes_nothing_about_an_armed_trial() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.refuses_restart = true;
    assert_eq!(waits(&site.tick(0)), Waits::Retry);
    let stick = fixture.folder.path().join("stick");
    fs::create_dir(&stick).unwrap();
    fs::write(stick.join("stable.channel"), "no list").unwrap();
    site.stick = Some(stick);
    let outcome = site.visit(Visit::Stick);
    assert_eq!(waits(&outcome), Waits::Retry);
    assert!(site.world.firmware.one_shot.is_some(), "it is armed still");
    assert!(!decisions(&site).contains(&Deed::TakenBack));
}

#[test]
fn a_stick_is_offered_like_a_channel_and_costs_no_bytes_of_the_day() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    let stick = fixture.folder.path().join("stick");
    fixture.published.lay_out(&stick, noon());
    site.fault = Fault::OfflineUntil(after(1000));
    site.definition.daily_limit = Some("1kB".parse().unwrap());
    site.definition.download_windows = nights();
    site.stick = Some(stick);
    // It is written at once, and started when the site allows it.
    assert_eq!(waits(&site.visit(Visit::Stick)), Waits::Window);
    site.stick = None;
    let mut restarted = false;
    for _ in 0..30 {
        restarted |= site.tick(60).restarting;
    }
    assert!(restarted, "without the stick, by the list that it left");
    assert_eq!(site.version(), "1.2.0");
}

/// What becomes of the stick while it is read.
fn with_spoiled_stick(spoil: impl FnOnce(&Path)) -> Outcome {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    let stick = fixture.folder.path().join("stick");
    fixture.published.lay_out(&stick, noon());
    spoil(&stick);
    site.stick = Some(stick);
    let outcome = site.visit(Visit::Stick);
    assert_eq!(site.version(), "1.1.0");
    // The same device goes on by itself.
    site.stick = None;
    for _ in 0..4 {
        site.tick(60);
    }
    assert_eq!(site.version(), "1.2.0");
    outcome
}

#[test]
fn a_stick_that_is_pulled_out_midway_or_holds_half_a_bundle_leaves_the_device_as_it_was() {
    let bundle = |stick: &Path| stick.join("releases/edge-1.2.0-x86_64-efi.outcrop");
    let outcome = with_spoiled_stick(|stick| {
        let file = fs::File::options().write(true).open(bundle(stick)).unwrap();
        file.set_len(20_000).unwrap();
    });
    assert_eq!(waits(&outcome), Waits::Retry);
    let detail = outcome.standing.detail.unwrap();
    assert!(detail.contains("cut off"), "{detail}");
    let outcome = with_spoiled_stick(|stick| fs::remove_file(bundle(stick)).unwrap());
    assert_eq!(outcome.standing.reason, Some(Reason::Storage));
    // Another release that the same keys have signed.
    let outcome = with_spoiled_stick(|stick| {
        let other = Bundle::of(&Release::new(2));
        fs::write(bundle(stick), &other.bytes).unwrap();
    });
    assert_eq!(outcome.standing.reason, Some(Reason::Refused));
    let detail = outcome.standing.detail.unwrap();
    assert!(detail.contains("the channel doesn't offer"), "{detail}");
}

#[test]
fn a_stick_with_an_older_list_is_refused_and_that_is_in_the_history() {
    let mut published = offered();
    published.change(after(2), |channel, lifetime| {
        channel.pause("1.2.0", lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    site.now = after(3).to_zoned(jiff::tz::TimeZone::UTC);
    assert_eq!(waits(&site.tick(0)), Waits::Paused);
    let stick = fixture.folder.path().join("stick");
    fixture.published.lay_out(&stick, noon());
    site.stick = Some(stick);
    // The list that is known counts as before.
    let outcome = site.visit(Visit::Stick);
    assert_eq!(waits(&outcome), Waits::Paused);
    assert_eq!(outcome.standing.reason, Some(Reason::Refused));
    let refused = site.events().into_iter().find_map(|event| match event {
        Event::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(refused.unwrap().contains("played back"));
}
