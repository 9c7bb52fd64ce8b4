//! Whose trial it is, what somebody at the device decides, and power cuts and full disks in between.

use std::fs;

use outcrop_release::{
    agent::{Mode, Waits, Windows},
    bootrec::LastEnd,
    journal::{Deed, Event},
    report::Reason,
};

use super::{Fixture, after, decisions, digest, offered, waits};
use crate::{
    agent::{Approval, ArmedBy, Site as _},
    recorder,
    testing::{
        bundle::{Bundle, Release},
        site::{PlayedSite, Published},
    },
};

/// 1.2.0 is offered, 1.3.0 a day later.
fn two_offered() -> Published {
    let mut published = offered();
    let third = Release::new(1).changed(2).changed(3);
    published.offer(after(24), Bundle::of(&third), "100%");
    published
}

/// 1.2.0 is armed, and the restart doesn't come.
fn armed(fixture: &Fixture) -> PlayedSite<'_> {
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.refuses_restart = true;
    assert_eq!(waits(&site.tick(0)), Waits::Retry);
    assert!(site.world.firmware.one_shot.is_some(), "its trial is armed");
    site
}

/// Nothing that the agent has to know the next time can be written.
fn fill(site: &PlayedSite<'_>) {
    fs::create_dir(site.state.join("agent.new")).unwrap();
}

#[test]
fn with_a_full_data_partition_the_agent_knows_its_own_trial_and_takes_it_back_when_it_is_paused() {
    let mut published = offered();
    published.change(after(3), |channel, lifetime| {
        channel.pause("1.2.0", lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    fill(&site);
    site.definition.windows = Windows::default();
    site.refuses_restart = true;
    assert_eq!(waits(&site.tick(0)), Waits::Retry);
    assert!(!site.state.join("agent.json").exists(), "nothing is remembered");
    // It asks for its restart again, and doesn't wait for somebody else's.
    assert_eq!(waits(&site.tick(90)), Waits::Retry);
    assert_eq!(decisions(&site)[0], Deed::Restart);
    assert_eq!(waits(&site.tick(120)), Waits::Paused);
    assert_eq!(site.world.firmware.one_shot, None);
    assert_eq!(ArmedBy::load(&site.run), None);
}

#[test]
fn with_a_full_data_partition_an_update_goes_on() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    fill(&site);
    site.definition.windows = Windows::default();
    assert!(site.tick(0).restarting);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn with_no_room_at_all_an_update_and_a_way_back_go_on_and_what_is_lost_is_told() {
    for has_reserve in [true, false] {
        let fixture = Fixture::new(offered());
        let mut site = fixture.device();
        site.note(Event::Refused {
            what_was: "another one".to_owned(),
            reason: "it is older".to_owned(),
        });
        fill(&site);
        if !has_reserve {
            fs::remove_file(site.state.join("history/reserve")).unwrap();
        }
        site.medium.leave(0);
        site.definition.windows = Windows::default();
        assert!(site.tick(0).restarting);
        assert_eq!(site.version(), "1.2.0");
        site.roll_back();
        assert_eq!(site.version(), "1.1.0");
        let lost = site
            .told
            .iter()
            .filter(|line| line.contains("what happened can't be remembered"))
            .count();
        let fates = site
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Release { .. }))
            .count();
        // Installed, committed, rolled back; the history is whole either way, or `events` wouldn't give it.
        assert_eq!((fates, lost), if has_reserve { (3, 0) } else { (0, 3) });
        assert_eq!(waits(&site.tick(60)), Waits::Failed, "nobody wants it back");
    }
}

#[test]
fn what_could_be_known_nowhere_afterwards_is_not_armed() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    fill(&site);
    fs::write(&site.run, "no folder").unwrap();
    site.definition.windows = Windows::default();
    let outcome = site.tick(0);
    assert_eq!(outcome.standing.reason, Some(Reason::Storage));
    assert_eq!(site.world.firmware.one_shot, None);
    // With room for one of both it is.
    fs::remove_file(&site.run).unwrap();
    assert!(site.tick(90).restarting);
}

#[test]
fn a_trial_that_somebody_arms_is_theirs_also_when_the_agent_armed_the_same_release_before() {
    let mut published = offered();
    published.change(after(3), |channel, lifetime| {
        channel.pause("1.2.0", lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = armed(&fixture);
    let running = site.world.running();
    site.world
        .lifecycle(running)
        .disarm(outcrop_release::bootrec::TakenBackBy::Agent)
        .unwrap();
    site.arm();
    for _ in 0..6 {
        assert_eq!(waits(&site.tick(60)), Waits::Restart);
    }
    assert!(site.world.firmware.one_shot.is_some());
}

#[test]
fn a_trial_that_the_agent_armed_before_a_boot_is_still_its_own() {
    let fixture = Fixture::new(offered());
    let mut site = armed(&fixture);
    // What the boot before knew is gone.
    fs::remove_dir_all(&site.run).unwrap();
    site.refuses_restart = false;
    assert!(site.tick(90).restarting);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn a_release_whose_trial_somebody_took_back_is_left_until_it_is_approved() {
    let fixture = Fixture::new(offered());
    let mut site = armed(&fixture);
    assert_eq!(site.take_back(), [""; 0]);
    site.refuses_restart = false;
    for _ in 0..30 {
        let outcome = site.tick(60);
        assert_eq!(
            (waits(&outcome), outcome.standing.reason),
            (Waits::Failed, Some(Reason::Operator))
        );
        let detail = outcome.standing.detail.unwrap();
        assert!(detail.contains("outcrop-updater approve 1.2.0"), "{detail}");
    }
    site.start(LastEnd::PowerLost);
    assert_eq!(site.version(), "1.1.0");
    site.approve(digest(), "1.2.0");
    assert!(site.tick(60).restarting);
    assert_eq!(site.version(), "1.2.0");
    assert_eq!(
        decisions(&site),
        [
            Deed::Restart,
            Deed::PutOff,
            Deed::TakenBack,
            Deed::Approved,
            Deed::Restart
        ]
    );
}

#[test]
fn a_newer_release_is_installed_although_somebody_took_back_the_one_before_which_stays_away() {
    let mut published = two_offered();
    published.change(after(48), |channel, lifetime| {
        channel.pause("1.3.0", lifetime).unwrap()
    });
    let fixture = Fixture::new(published);
    let mut site = armed(&fixture);
    assert_eq!(site.take_back(), [""; 0]);
    for _ in 0..22 {
        assert_eq!(waits(&site.tick(60)), Waits::Failed);
    }
    // 1.3.0 is written over it, and paused before it starts.
    site.objection = Some("not now".to_owned());
    for _ in 0..4 {
        site.tick(60);
    }
    assert_eq!(waits(&site.tick(60)), Waits::Inhibitor);
    site.refuses_restart = false;
    site.objection = None;
    site.now = after(49).to_zoned(jiff::tz::TimeZone::UTC);
    for _ in 0..10 {
        assert_eq!(waits(&site.tick(60)), Waits::Paused);
    }
    assert_eq!(site.version(), "1.1.0");
}

#[test]
fn with_a_full_data_partition_what_somebody_took_back_stays_away() {
    let fixture = Fixture::new(offered());
    let mut site = armed(&fixture);
    fs::create_dir(site.state.join("releases.new")).unwrap();
    let problems = site.take_back();
    assert!(problems[0].contains("can't be remembered"), "{problems:?}");
    site.refuses_restart = false;
    for _ in 0..10 {
        assert_eq!(waits(&site.tick(60)), Waits::Failed);
    }
    assert_eq!(site.version(), "1.1.0");
}

#[test]
fn an_approval_of_before_doesn_t_count_for_what_somebody_took_back_or_went_back_from_since() {
    let fixture = Fixture::new(offered());
    let approved = |site: &mut PlayedSite<'_>| {
        site.definition.windows = Windows::default();
        site.definition.mode = Mode::Approved;
        assert_eq!(waits(&site.tick(0)), Waits::Approval);
        site.approve(digest(), "1.2.0");
    };
    let mut site = fixture.device();
    approved(&mut site);
    site.refuses_restart = true;
    site.tick(60);
    assert_eq!(site.take_back(), [""; 0]);
    assert_eq!(Approval::load(&site.state).unwrap(), None);
    site.refuses_restart = false;
    assert_eq!(waits(&site.tick(90)), Waits::Failed);

    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    approved(&mut site);
    assert!(site.tick(60).restarting);
    site.roll_back();
    assert_eq!(waits(&site.tick(60)), Waits::Failed);
    // Said again, it counts.
    site.approve(digest(), "1.2.0");
    assert!(site.tick(60).restarting);
    assert_eq!(site.version(), "1.2.0");
}

/// Where the power goes while somebody approves a release.
#[derive(Debug, Clone, Copy)]
enum Cut {
    BeforeTheEvent,
    /// The event's line has so many bytes too few.
    InTheEvent(usize),
    BehindTheEvent,
    BehindAll,
}

fn approve_until(site: &mut PlayedSite<'_>, cut: Cut) {
    let newest = recorder::newest(&site.state, Ok(&site.key));
    let approval = Approval::new(digest(), "1.2.0".to_owned(), newest);
    approval.save(&site.state).unwrap();
    let event = Event::Decided {
        deed: Deed::Approved,
        version: "1.2.0".to_owned(),
        reason: None,
    };
    match cut {
        Cut::BeforeTheEvent => {}
        Cut::InTheEvent(missing) => {
            assert_eq!(recorder::record(&site.state, Ok(&site.key), event), [""; 0]);
            let log = site.state.join("history/000001.log");
            let bytes = fs::read(&log).unwrap();
            fs::write(&log, &bytes[..bytes.len() - missing]).unwrap();
        }
        Cut::BehindTheEvent => assert_eq!(recorder::record(&site.state, Ok(&site.key), event), [""; 0]),
        Cut::BehindAll => site.approve(digest(), "1.2.0"),
    }
}

#[test]
fn an_approval_is_in_the_history_once_wherever_the_power_goes_and_a_second_one_is_there_too() {
    for cut in [
        Cut::BeforeTheEvent,
        Cut::InTheEvent(1),
        Cut::InTheEvent(100),
        Cut::BehindTheEvent,
        Cut::BehindAll,
    ] {
        let fixture = Fixture::new(offered());
        let mut site = fixture.device();
        site.definition.mode = Mode::Approved;
        assert_eq!(waits(&site.tick(0)), Waits::Approval);
        approve_until(&mut site, cut);
        for _ in 0..3 {
            assert_eq!(waits(&site.tick(60)), Waits::Window, "{cut:?}");
        }
        assert_eq!(decisions(&site), [Deed::Approved], "{cut:?}");
        // The same version again, a power cut again.
        approve_until(&mut site, cut);
        site.tick(60);
        assert_eq!(decisions(&site), [Deed::Approved; 2], "{cut:?}");
    }
}

#[test]
fn an_approval_that_a_power_cut_left_half_done_lifts_what_kept_the_release_away() {
    let fixture = Fixture::new(offered());
    let mut site = armed(&fixture);
    assert_eq!(site.take_back(), [""; 0]);
    site.refuses_restart = false;
    approve_until(&mut site, Cut::BehindTheEvent);
    assert!(site.tick(90).restarting);
    assert_eq!(site.version(), "1.2.0");
}
