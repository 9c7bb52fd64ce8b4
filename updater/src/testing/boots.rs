//! How a played device starts, what becomes of a trial then, and where its power goes.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use outcrop_release::{
    bootrec::{BadReason, LastEnd},
    manifest::RollbackIndex,
};

use super::{
    fault::{Fault, Moment, PowerCut},
    site::PlayedSite,
};
use crate::{history::Seen, lifecycle::Next};

/// Restarts in a row that a device makes by itself at most.
const MOST_RESTARTS: usize = 12;

impl PlayedSite<'_> {
    /// Switched on after a boot that ended so, until it stays up.
    pub(crate) fn start(&mut self, last: LastEnd) {
        // What isn't there needn't go.
        let _gone = fs::remove_dir_all(&self.run);
        let mut last = last;
        for _ in 0..MOST_RESTARTS {
            let booted = self.world.boot(last).unwrap();
            self.catch_up();
            if booted.next == Next::Start {
                return;
            }
            last = match self.fault {
                Fault::Panics => LastEnd::Panic,
                Fault::LosesPower => LastEnd::PowerLost,
                Fault::FailsCheck => self.give_up("the check till-software didn't hold: exit status: 1"),
                Fault::FailsKubernetes => {
                    self.give_up("the check kubernetes-node didn't hold: the node isn't ready")
                }
                _ => {
                    self.commit();
                    return;
                }
            };
        }
        panic!("{} restarts for ever", self.hostname);
    }

    /// Does something in which the power goes at this moment, and is switched on again.
    pub(crate) fn cut(&mut self, moment: Moment, what: impl FnOnce(&mut Self)) {
        self.stopped(moment, what);
        self.start(LastEnd::PowerLost);
    }

    /// Does something that is stopped at this moment; the device goes on.
    pub(crate) fn stopped(&mut self, moment: Moment, what: impl FnOnce(&mut Self)) {
        self.power_goes = Some(moment);
        let ended = catch_unwind(AssertUnwindSafe(|| what(&mut *self)));
        let why = ended.expect_err("the moment comes");
        if !why.is::<PowerCut>() {
            resume_unwind(why);
        }
        self.restarting = false;
    }

    pub(super) fn moment(&mut self, moment: Moment) {
        if self.power_goes.take_if(|there| *there == moment).is_some() {
            resume_unwind(Box::new(PowerCut));
        }
    }

    fn commit(&mut self) {
        let slot = self.world.running();
        let before = self.boot_record();
        self.world.lifecycle(slot).commit().unwrap();
        self.moment(Moment::Committed);
        let version = self.version();
        let release = self.known(slot, version);
        self.remember(|history| {
            history.settle(&before);
            history.committed(slot, &release, RollbackIndex(0));
        });
    }

    fn give_up(&mut self, why: &str) -> LastEnd {
        let slot = self.world.running();
        self.world.lifecycle(slot).fail(BadReason::CheckFailed).unwrap();
        self.moment(Moment::Failed);
        let version = self.version();
        let release = self.known(slot, version);
        self.remember(|history| history.failed(slot, release, why));
        LastEnd::Orderly
    }

    /// What couldn't be remembered before.
    fn catch_up(&mut self) {
        let (record, running, version) = (self.boot_record(), self.world.running(), self.version());
        let seen = Seen {
            record: &record,
            running,
            release: &self.known(running, version),
            index: RollbackIndex(0),
        };
        let known = self.history();
        let mut caught_up = known.clone();
        caught_up.catch_up(&seen);
        if caught_up != known {
            self.remember(|history| history.catch_up(&seen));
        }
    }
}
