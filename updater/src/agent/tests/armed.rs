//! Trials that are armed, and whose restart doesn't come.

use std::fs;

use outcrop_release::{
    agent::{Waits, Windows},
    bootrec::LastEnd,
    journal::{Deed, Event},
    report::Reason,
};

use super::{Fixture, after, decisions, offered, waits};
use crate::testing::bundle::{Bundle, Release};

#[test]
fn a_trial_whose_restart_didn_t_come_within_the_window_isn_t_left_to_the_next_power_cut() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.now = after(16).to_zoned(jiff::tz::TimeZone::UTC);
    site.refuses_restart = true;
    assert_eq!(waits(&site.tick(58)), Waits::Retry);
    assert!(site.world.firmware.one_shot.is_some(), "its trial is armed");
    assert_eq!(waits(&site.tick(5)), Waits::Window);
    assert_eq!(site.world.firmware.one_shot, None);
    site.start(LastEnd::PowerLost);
    assert_eq!(site.version(), "1.1.0");
    assert_eq!(decisions(&site), [Deed::Restart, Deed::PutOff, Deed::TakenBack]);
    site.refuses_restart = false;
    for _ in 0..24 {
        site.tick(60);
    }
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn whoever_objects_after_a_restart_that_didn_t_come_isn_t_surprised_by_a_power_cut_either() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.refuses_restart = true;
    assert_eq!(waits(&site.tick(0)), Waits::Retry);
    site.objection = Some("the oven is hot".to_owned());
    assert_eq!(waits(&site.tick(60)), Waits::Inhibitor);
    assert_eq!(site.world.firmware.one_shot, None);
}

#[test]
fn what_is_taken_back_is_named_by_what_was_armed_and_not_by_what_is_offered_then() {
    let third = Release::new(1).changed(2).changed(3);
    for withdrawn in [false, true] {
        let mut published = offered();
        if withdrawn {
            published.change(after(3), |channel, lifetime| {
                channel.withdraw("1.2.0", "it is bad", lifetime).unwrap()
            });
        } else {
            published.offer(after(3), Bundle::of(&third), "100%");
        }
        let fixture = Fixture::new(published);
        for fails in [false, true] {
            let mut site = fixture.device();
            site.definition.windows = Windows::default();
            site.refuses_restart = true;
            site.tick(0);
            site.fails_behind_disarm = fails;
            site.now = after(4).to_zoned(jiff::tz::TimeZone::UTC);
            site.tick(0);
            site.fails_behind_disarm = false;
            site.tick(90);
            let taken_back: Vec<_> = site
                .events()
                .into_iter()
                .filter_map(|event| match event {
                    Event::Decided {
                        deed: Deed::TakenBack,
                        version,
                        reason,
                    } => Some((version, reason.unwrap())),
                    _ => None,
                })
                .collect();
            assert_eq!(taken_back[0].0, "1.2.0", "{taken_back:?}");
            let why = if withdrawn {
                "up to date"
            } else {
                "another release is offered"
            };
            assert_eq!(taken_back[0].1, why);
            let of_it = taken_back.iter().filter(|(version, _)| version == "1.2.0");
            assert_eq!(of_it.count(), 1, "{taken_back:?}");
            fs::remove_dir_all(&site.state).unwrap();
        }
    }
}

#[test]
fn a_restart_that_doesn_t_come_is_asked_for_again_and_taken_back_when_the_release_is_paused() {
    let mut published = offered();
    published.change(after(14), |channel, lifetime| {
        channel.pause("1.2.0", lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    site.refuses_restart = true;
    site.tick(0);
    let outcome = site.tick(13 * 60);
    assert_eq!(
        (waits(&outcome), outcome.standing.reason),
        (Waits::Retry, Some(Reason::Refused))
    );
    assert!(site.world.firmware.one_shot.is_some(), "its trial is armed");
    let outcome = site.tick(70);
    assert_eq!(waits(&outcome), Waits::Paused);
    assert_eq!(site.world.firmware.one_shot, None);
    assert_eq!(decisions(&site), [Deed::Restart, Deed::PutOff, Deed::TakenBack]);
    assert_eq!(site.version(), "1.1.0");
}

#[test]
fn a_trial_that_somebody_else_has_armed_is_left_alone() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    site.tick(0);
    site.arm();
    for _ in 0..20 {
        assert_eq!(waits(&site.tick(60)), Waits::Restart);
    }
    assert!(site.world.firmware.one_shot.is_some());
}
