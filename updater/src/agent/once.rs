//! What the history is told of the agent's decisions: each once, wherever the power goes.
//!
//! A decision and that it is to be told are kept in one write (`agent.json`); then the history gets it, then what follows from it is done. A run that
//! finds something untold looks whether the history has it. Only where nothing can be kept, on a full disk, does a power cut at that moment
//! cost an event, or tell it twice.

use outcrop_release::{
    bootrec::SlotState,
    digest::FileDigest,
    journal::{Deed, Event},
    slot::Slot,
};
use serde::{Deserialize, Serialize};

use super::{run::Run, site::Site, way_back::known};

/// An event on its way to the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Untold {
    /// The number of the history's newest event before it.
    after: u64,
    event: Event,
    /// It holds only if the trial of the release with this manifest isn't armed any more, and hasn't begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once_disarmed: Option<String>,
}

impl<S: Site> Run<'_, S> {
    /// Tells the history. What follows from it, or has led to it, is in the memory already.
    pub(super) fn note(&mut self, event: Event) {
        self.will_note(event, None);
        self.settle_untold();
    }

    /// The same of a decision.
    pub(super) fn decided(&mut self, deed: Deed, version: String, reason: Option<String>) {
        self.note(Event::Decided {
            deed,
            version,
            reason,
        });
    }

    /// The trial of this release in `slot` will be taken back, and then the history is to be told.
    pub(super) fn will_take_back(&mut self, slot: Slot, release: FileDigest, why: &str) {
        let event = Event::Decided {
            deed: Deed::TakenBack,
            version: known(&self.site.state(), slot, release).version,
            reason: Some(why.to_owned()),
        };
        self.will_note(event, Some(release));
    }

    fn will_note(&mut self, event: Event, once_disarmed: Option<FileDigest>) {
        // One that a failure has left.
        self.settle_untold();
        self.memory.untold = Some(Untold {
            after: self.site.newest_event(),
            event,
            once_disarmed: once_disarmed.map(|release| release.to_string()),
        });
        self.keep();
    }

    /// Tells what an earlier moment left untold.
    pub(super) fn settle_untold(&mut self) {
        let Some(untold) = self.memory.untold.take() else {
            return;
        };
        let holds = untold
            .once_disarmed
            .as_ref()
            .is_none_or(|release| self.is_disarmed(release));
        if holds && !self.site.has_noted(untold.after, &untold.event) {
            self.site.note(untold.event);
        }
    }

    /// Whether a release waits in the other slot, and isn't tried.
    fn is_disarmed(&mut self, release: &str) -> bool {
        self.site.record().is_ok_and(|(record, running)| {
            let there = record.slot(running.other());
            record.trial.is_none()
                && there.state == SlotState::Written
                && there.release.to_string() == release
        })
    }
}
