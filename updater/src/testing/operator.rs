//! What somebody at a played device types, and what the device says of itself.

use std::collections::BTreeMap;

use outcrop_release::{
    bootrec::LastEnd,
    digest::FileDigest,
    report::{Drift, Health, Report, Standing},
};

use super::{
    fault::{Fault, Moment},
    site::PlayedSite,
};
use crate::{
    agent::{Approval, ArmedBy, Armer, revoke, settle, take_back},
    last_update::last_update,
    recorder,
    reports::{ReportsError, next_sequence_on},
};

impl PlayedSite<'_> {
    /// `outcrop-updater rollback --reboot`, when no trial is armed.
    pub(crate) fn roll_back(&mut self) {
        let running = self.world.running();
        let version = self.version();
        let release = self.known(running, version);
        assert_eq!(revoke(&self.state), [""; 0]);
        self.world.lifecycle(running).roll_back().unwrap();
        self.moment(Moment::RolledBack);
        self.remember(|history| history.rolled_back(running, release));
        self.start(LastEnd::Orderly);
    }

    /// `outcrop-updater rollback`, when a trial is armed. What couldn't be done beside that.
    pub(crate) fn take_back(&mut self) -> Vec<String> {
        let running = self.world.running();
        let (state, run) = (self.state.clone(), self.run.clone());
        take_back(&mut self.world.lifecycle(running), &state, &run, || Ok(&self.key)).unwrap()
    }

    /// `outcrop-updater approve`
    pub(crate) fn approve(&mut self, release: FileDigest, version: &str) {
        let newest = recorder::newest(&self.state, Ok(&self.key));
        Approval::new(release, version.to_owned(), newest)
            .save(&self.state)
            .unwrap();
        settle(self).unwrap();
    }

    /// `outcrop-updater install`, when the release is written already.
    pub(crate) fn install_what_is_written(&mut self, version: &str) {
        let record = self.boot_record();
        let other = self.world.running().other();
        let release = self.known(other, version.to_owned());
        self.remember(|history| history.is_written(&record, other, release));
        self.arm();
    }

    /// What `outcrop-updater install` does when the release is written.
    pub(crate) fn arm(&mut self) {
        let running = self.world.running();
        let release = self.boot_record().slot(running.other()).release;
        let armed = ArmedBy {
            who: Armer::Somebody,
            release,
        };
        armed.save(&self.run).unwrap();
        self.world.lifecycle(running).arm().unwrap();
    }

    /// What it says of itself.
    pub(super) fn reported(&mut self, standing: &Standing) -> Result<Report, ReportsError> {
        let record = self.boot_record();
        let slot = self.world.running();
        let history = self.history();
        let drift = match self.fault {
            Fault::Drifted => (2, "a file in /etc"),
            _ => (0, ""),
        };
        Ok(Report {
            key: *self.key.public(),
            sequence: next_sequence_on(&self.state, &self.medium)?,
            at: self.now.timestamp(),
            hostname: Some(self.hostname.clone()),
            labels: BTreeMap::new(),
            running: self.running_release(),
            manifest: record.slot(slot).release,
            slot: slot.to_string(),
            channel: None,
            last: history.last.as_ref().map(|last| last_update(last, &record)),
            agent: Some(standing.clone()),
            health: Health::Healthy,
            drift: Some(Drift {
                differences: drift.0,
                fingerprint: FileDigest::of(drift.1.as_bytes()),
            }),
            history: recorder::head(&self.state, &self.key).unwrap(),
        })
    }
}
