//! The power goes between the boot record and what is remembered: each installation, commit, failure and way back is in the history once.

use outcrop_release::{
    agent::Windows,
    journal::{Event, Fate},
};

use crate::{
    agent::Visit,
    testing::{
        bundle::{Bundle, Release},
        site::{Fault, Moment, PlayedSite, Published},
    },
};

struct Fixture {
    published: Published,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// 1.2.0 is offered to all.
    fn new() -> Self {
        let at = |hour: u8| format!("2026-11-30T{hour}:00:00Z").parse().unwrap();
        let mut published = Published::new(at(10));
        published.offer(at(11), Bundle::of(&Release::new(1).changed(2)), "100%");
        Self {
            published,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A device that restarts whenever it wants to.
    fn device(&self) -> PlayedSite<'_> {
        let (state, reports) = (
            self.folder.path().join("state"),
            self.folder.path().join("reports"),
        );
        let noon = "2026-11-30T12:00:00Z".parse().unwrap();
        let mut site = PlayedSite::new(&self.published, &state, &reports, 1, noon);
        site.definition.windows = Windows::default();
        site
    }
}

fn fates(site: &PlayedSite<'_>) -> Vec<(Fate, String)> {
    let fates = site.events().into_iter().filter_map(|event| match event {
        Event::Release { fate, version, .. } => Some((fate, version)),
        _ => None,
    });
    fates.collect()
}

fn of_second(fates: &[Fate]) -> Vec<(Fate, String)> {
    fates.iter().map(|fate| (*fate, "1.2.0".to_owned())).collect()
}

fn wait(site: &mut PlayedSite<'_>) {
    for _ in 0..4 {
        site.tick(90);
    }
}

#[test]
fn what_was_written_or_committed_when_the_power_went_is_there_once() {
    for moment in [Moment::Written, Moment::Committed] {
        let fixture = Fixture::new();
        let mut site = fixture.device();
        site.cut(moment, |site| drop(site.tick(0)));
        wait(&mut site);
        assert_eq!(site.version(), "1.2.0");
        let once = of_second(&[Fate::Installed, Fate::Committed]);
        assert_eq!(fates(&site), once, "{moment:?}");
    }
}

#[test]
fn a_release_that_panics_after_its_installation_lost_the_power_is_known_by_its_name() {
    for fault in [Fault::Panics, Fault::LosesPower, Fault::FailsCheck] {
        let fixture = Fixture::new();
        let mut site = fixture.device();
        site.fault = fault;
        site.cut(Moment::Written, |site| drop(site.tick(0)));
        wait(&mut site);
        let once = of_second(&[Fate::Installed, Fate::Failed]);
        assert_eq!(fates(&site), once, "{fault:?}");
    }
}

#[test]
fn a_failure_or_a_way_back_that_the_power_kept_from_being_remembered_is_there_once() {
    let fixture = Fixture::new();
    let mut site = fixture.device();
    site.fault = Fault::FailsCheck;
    site.cut(Moment::Failed, |site| drop(site.tick(0)));
    wait(&mut site);
    assert_eq!(fates(&site), of_second(&[Fate::Installed, Fate::Failed]));

    let fixture = Fixture::new();
    let mut site = fixture.device();
    assert!(site.tick(0).restarting);
    site.cut(Moment::RolledBack, PlayedSite::roll_back);
    wait(&mut site);
    assert_eq!(site.version(), "1.1.0");
    let once = of_second(&[Fate::Installed, Fate::Committed, Fate::RolledBack]);
    assert_eq!(fates(&site), once);
}

#[test]
fn an_installation_whose_program_was_stopped_before_it_could_be_remembered_is_there_before_its_trial() {
    let fixture = Fixture::new();
    let mut site = fixture.device();
    site.stopped(Moment::Written, |site| drop(site.visit(Visit::Timer)));
    assert_eq!(fates(&site), []);
    site.refuses_restart = true;
    site.tick(5);
    assert_eq!(fates(&site), of_second(&[Fate::Installed]));
}

#[test]
fn what_the_agent_has_written_and_somebody_starts_was_installed_once() {
    let fixture = Fixture::new();
    let mut site = fixture.device();
    site.objection = Some("not now".to_owned());
    site.tick(0);
    site.install_what_is_written("1.2.0");
    assert_eq!(fates(&site), of_second(&[Fate::Installed]));
    // Also when whoever wrote it was stopped before it could be remembered.
    let fixture = Fixture::new();
    let mut site = fixture.device();
    site.stopped(Moment::Written, |site| drop(site.visit(Visit::Timer)));
    for _ in 0..2 {
        site.install_what_is_written("1.2.0");
        assert_eq!(fates(&site), of_second(&[Fate::Installed]));
    }
}
