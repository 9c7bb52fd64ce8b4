//! The channel's list: from the web when it is time, from a stick that somebody has brought, else the one that is remembered.

use outcrop_release::{
    agent::{is_due, next_after_failure, next_after_success},
    channel::Accepted,
    journal::Event,
    report::Reason,
};

use super::{
    memory::Failing,
    run::{Rest, Run, Visit, short},
    site::{Site, Who},
};
use crate::{
    chain,
    channel::{FollowError, Followed},
};

impl<S: Site> Run<'_, S> {
    /// Says why the stick that somebody has brought gave no list that counts, where nothing else keeps the device.
    pub(super) fn add_stick(&self, rest: &mut Rest) {
        if let Some(failing) = &self.stick_trouble
            && rest.reason.is_none()
        {
            rest.reason = Some(failing.reason);
            rest.detail = Some(failing.detail.clone());
        }
    }

    /// The channel's list: asked for when it is time, else the one that is remembered.
    pub(super) fn list(&mut self, who: &Who) -> Option<Accepted> {
        let (now, interval) = (self.now(), self.site.definition().poll);
        let asks = match self.visit {
            Visit::Stick => true,
            Visit::Timer => self.site.has_tree() && is_due(self.memory.next_poll, now, interval),
        };
        if !asks {
            return self.unkept.clone().or_else(|| self.site.recall());
        }
        let asked = self.site.ask();
        if self.visit == Visit::Stick {
            // What a stick has or hasn't says nothing about the next day, nor about the list that is known.
            return match asked {
                Ok(followed) => {
                    let _told = self.taken(&followed);
                    Some(followed.list)
                }
                Err(error) => {
                    let failing = list_failing(&error);
                    self.list_failed(&error, &failing);
                    self.stick_trouble = Some(failing);
                    self.site.recall()
                }
            };
        }
        match asked {
            Ok(followed) => {
                self.memory.poll_failures = 0;
                self.memory.list_trouble = self.taken(&followed);
                self.memory.next_poll = Some(next_after_success(who.device, now, interval));
                Some(followed.list)
            }
            Err(error) => {
                let failures = self.memory.poll_failures.saturating_add(1);
                self.memory.poll_failures = failures;
                self.memory.next_poll = Some(next_after_failure(who.device, now, interval, failures));
                let failing = list_failing(&error);
                self.memory.list_trouble = Some(failing.clone());
                self.list_failed(&error, &failing);
                self.site.recall()
            }
        }
    }

    /// A list that counts. Where it couldn't be kept, the operator learns that there is no room, and this run goes by it all the same.
    fn taken(&mut self, followed: &Followed) -> Option<Failing> {
        let why = followed.unkept.as_deref()?;
        self.unkept = Some(followed.list.clone());
        let failing = Failing {
            reason: Reason::Storage,
            version: None,
            detail: short(why),
        };
        let known = self.before.list_trouble.as_ref();
        if !known.is_some_and(|known| known.is_like(&failing)) {
            self.site.tell(&failing.detail);
        }
        Some(failing)
    }

    /// A list that doesn't count: refused ones are in the history, each kind once in a row.
    fn list_failed(&mut self, error: &FollowError, failing: &Failing) {
        if self
            .before
            .list_trouble
            .as_ref()
            .is_some_and(|known| known.is_like(failing))
        {
            return;
        }
        if let FollowError::Refused { channel, .. } = error {
            self.note(Event::Refused {
                what_was: format!("a list of the channel {channel}"),
                reason: failing.detail.clone(),
            });
        }
        self.site.tell(&failing.detail);
    }
}

fn list_failing(error: &FollowError) -> Failing {
    Failing {
        reason: match error {
            FollowError::Fetch { .. } => Reason::Network,
            FollowError::Refused { .. } => Reason::Refused,
            FollowError::State(_) => Reason::Storage,
        },
        version: None,
        detail: short(&chain::describe(error)),
    }
}
