//! The power goes at each moment of a run: what was decided is in the history once, and what wasn't is not.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
};

use jiff::Zoned;
use outcrop_release::{
    agent::{AgentDefinition, Windows},
    bootrec::{BootRecord, LastEnd},
    channel::{Accepted, Offer},
    digest::FileDigest,
    journal::{Deed, Event},
    report::Standing,
    slot::Slot,
};

use super::{Fixture, after, decisions, offered};
use crate::{
    agent::{Site, StageEnd, Trouble, Visit, Who, run},
    channel::{FollowError, Followed},
    install::Limits,
    testing::site::{Fault, PlayedSite, Published},
};

/// How a run is cut off: no panic that anybody should read about.
struct PowerCut;

/// A device whose power goes before or after something was asked of it for the so many-th time.
struct UntilThePowerGoes<'s, 'p> {
    site: &'s mut PlayedSite<'p>,
    left: Cell<u32>,
}

impl<'p> UntilThePowerGoes<'_, 'p> {
    fn moment(&self) {
        match self.left.get() {
            0 => resume_unwind(Box::new(PowerCut)),
            left => self.left.set(left - 1),
        }
    }

    fn does<T>(&mut self, what: impl FnOnce(&mut PlayedSite<'p>) -> T) -> T {
        self.moment();
        let done = what(self.site);
        self.moment();
        done
    }
}

impl Site for UntilThePowerGoes<'_, '_> {
    fn now(&self) -> Zoned {
        Site::now(self.site)
    }

    fn definition(&self) -> &AgentDefinition {
        self.site.definition()
    }

    // Asked for before each write of what the agent keeps.
    fn state(&self) -> PathBuf {
        self.moment();
        self.site.state()
    }

    fn run_folder(&self) -> PathBuf {
        self.moment();
        self.site.run_folder()
    }

    fn who(&mut self) -> Result<Who, Trouble> {
        self.site.who()
    }

    fn record(&mut self) -> Result<(BootRecord, Slot), Trouble> {
        self.site.record()
    }

    fn has_tree(&self) -> bool {
        self.site.has_tree()
    }

    fn ask(&mut self) -> Result<Followed, FollowError> {
        self.does(PlayedSite::ask)
    }

    fn recall(&mut self) -> Option<Accepted> {
        self.site.recall()
    }

    fn is_free(&self) -> bool {
        self.site.is_free()
    }

    fn stage(&mut self, offer: &Offer, limits: Limits) -> (u64, Result<(), StageEnd>) {
        self.does(|site| site.stage(offer, limits))
    }

    fn objection(&mut self) -> Option<String> {
        self.site.objection()
    }

    fn restart(&mut self) -> Result<(), Trouble> {
        self.does(PlayedSite::restart)
    }

    fn disarm(&mut self) -> Result<(), Trouble> {
        self.does(PlayedSite::disarm)
    }

    fn take_up(&mut self, release: FileDigest) -> Result<(), Trouble> {
        self.does(|site| site.take_up(release))
    }

    fn note(&mut self, event: Event) {
        self.does(|site| site.note(event));
    }

    fn newest_event(&self) -> u64 {
        self.site.newest_event()
    }

    fn has_noted(&self, after: u64, event: &Event) -> bool {
        self.site.has_noted(after, event)
    }

    fn report(&mut self, standing: &Standing) -> Result<(), Trouble> {
        self.does(|site| site.report(standing))
    }

    fn send(&mut self) -> Result<(), Trouble> {
        self.does(PlayedSite::send)
    }

    fn tell(&mut self, line: &str) {
        self.site.tell(line);
    }
}

/// Runs the agent, and cuts the power at its `moment`; whether the run ended before that.
fn cut(site: &mut PlayedSite<'_>, visit: Visit, moment: u32) -> bool {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut cut = UntilThePowerGoes {
            site,
            left: Cell::new(moment),
        };
        run(&mut cut, visit);
    }));
    match ended {
        Ok(()) => true,
        Err(why) if why.is::<PowerCut>() => false,
        Err(why) => resume_unwind(why),
    }
}

/// Cuts the power at each moment of a run that `begin` has led to; `check` looks at what has become of the device.
fn at_each_moment(
    published: &dyn Fn() -> Published,
    begin: &dyn Fn(&mut PlayedSite<'_>) -> Visit,
    check: &dyn Fn(&mut PlayedSite<'_>, u32),
) {
    for moment in 0.. {
        assert!(moment < 200, "the run has no end");
        let fixture = Fixture::new(published());
        let mut site = fixture.device();
        site.definition.windows = Windows::default();
        let visit = begin(&mut site);
        let has_ended = cut(&mut site, visit, moment);
        // The next run ends like this one, or a moment later.
        if !has_ended {
            site.start(LastEnd::PowerLost);
            if visit == Visit::Timer && !cut(&mut site, visit, moment + 1) {
                site.start(LastEnd::PowerLost);
            }
        }
        check(&mut site, moment);
        if has_ended {
            assert!(moment > 5, "there were moments: {moment}");
            return;
        }
    }
}

fn refused(site: &PlayedSite<'_>) -> usize {
    let is_refused = |event: &Event| matches!(event, Event::Refused { .. });
    site.events().iter().filter(|event| is_refused(event)).count()
}

#[test]
fn a_restart_is_decided_once() {
    at_each_moment(&offered, &|_| Visit::Timer, &|site, moment| {
        for _ in 0..4 {
            site.tick(60);
        }
        assert_eq!(site.version(), "1.2.0", "{moment}");
        assert_eq!(decisions(site), [Deed::Restart], "{moment}");
    });
}

#[test]
fn a_trial_is_taken_back_once_and_only_if_it_never_began() {
    let paused = || {
        let mut published = offered();
        published.change(after(3), |channel, lifetime| {
            channel.pause("1.2.0", lifetime).unwrap()
        });
        published
    };
    let armed = |site: &mut PlayedSite<'_>| {
        site.refuses_restart = true;
        site.tick(0);
        site.now = after(4).to_zoned(jiff::tz::TimeZone::UTC);
        Visit::Timer
    };
    let outcomes = Cell::new([0, 0]);
    at_each_moment(&paused, &armed, &|site, moment| {
        site.refuses_restart = false;
        for _ in 0..4 {
            site.tick(60);
        }
        let has_begun = site.version() == "1.2.0";
        let taken_back = decisions(site)
            .into_iter()
            .filter(|deed| *deed == Deed::TakenBack)
            .count();
        assert_eq!(taken_back, usize::from(!has_begun), "{moment}");
        let mut counts = outcomes.get();
        counts[usize::from(has_begun)] += 1;
        outcomes.set(counts);
    });
    assert!(outcomes.get().iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn what_was_put_off_is_told_once_for_each_reason() {
    let broken = |site: &mut PlayedSite<'_>| {
        site.fault = Fault::BadDisk;
        Visit::Timer
    };
    at_each_moment(&offered, &broken, &|site, moment| {
        for _ in 0..4 {
            site.tick(90);
        }
        assert_eq!(decisions(site), [Deed::PutOff], "{moment}");
    });
}

#[test]
fn a_list_that_is_refused_is_told_once() {
    // Nobody has signed another one since: what was good for a while is old.
    let expired = |site: &mut PlayedSite<'_>| {
        site.objection = Some("not now".to_owned());
        site.tick(0);
        site.now = after(24 * 90).to_zoned(jiff::tz::TimeZone::UTC);
        Visit::Timer
    };
    at_each_moment(&offered, &expired, &|site, moment| {
        for _ in 0..4 {
            site.tick(90);
        }
        assert_eq!(refused(site), 1, "{moment}");
    });
}
