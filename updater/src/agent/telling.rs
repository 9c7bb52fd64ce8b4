//! What a run says: a line to the journal when something has changed, and reports to the operator.

use jiff::SignedDuration;
use outcrop_release::{
    agent::{is_due, next_after_failure},
    report::Standing,
};

use super::{
    run::{Outcome, Run},
    site::Site,
};

/// A report is made after that time also when nothing has changed.
const REPORT_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// And not sooner after the last one, whatever has changed.
const REPORT_GAP: SignedDuration = SignedDuration::from_mins(10);

impl<S: Site> Run<'_, S> {
    pub(super) fn tell(&mut self, outcome: &Outcome) {
        let standing = &outcome.standing;
        if self.before.standing.as_ref() != Some(standing) {
            let line = describe(standing);
            self.site.tell(&line);
        }
        self.memory.standing = Some(standing.clone());
    }

    /// Reports when there is news, once a day, and when the last one hasn't arrived.
    pub(super) fn report(&mut self, standing: &Standing) {
        if self.site.definition().report_url.is_none() {
            return;
        }
        let Ok(who) = self.site.who() else { return };
        let (now, interval) = (self.now(), self.site.definition().poll);
        let about = format!(
            "{} {} {:?} {:?} {}",
            who.manifest,
            who.fates,
            standing.waits,
            standing.reason,
            standing.version.as_deref().unwrap_or_default()
        );
        let reported = &self.memory.reported;
        let age = reported.at.map(|at| now.duration_since(at));
        let is_new = reported.about != about && age.is_none_or(|age| age >= REPORT_GAP || age.is_negative());
        let is_old = age.is_none_or(|age| age >= REPORT_EVERY || age.is_negative());
        let sent = if is_new || is_old {
            self.memory.reported.at = Some(now);
            self.memory.reported.about = about;
            self.site.report(standing)
        } else if reported
            .next
            .is_some_and(|next| is_due(Some(next), now, interval))
        {
            self.site.send()
        } else {
            return;
        };
        let reported = &mut self.memory.reported;
        match sent {
            Ok(()) => {
                reported.failures = 0;
                reported.next = None;
            }
            Err(trouble) => {
                reported.failures = reported.failures.saturating_add(1);
                reported.next = Some(next_after_failure(who.device, now, interval, reported.failures));
                if reported.failures == 1 {
                    self.site.tell(&trouble.detail);
                }
            }
        }
    }
}

/// How a device stands, in a line.
#[must_use]
pub fn describe(standing: &Standing) -> String {
    let Standing {
        waits,
        version,
        reason,
        detail,
    } = standing;
    let mut line = waits.as_str().to_owned();
    if let Some(version) = version {
        line = format!("{version}: {line}");
    }
    if let Some(reason) = reason {
        line += &format!(" ({})", reason.as_str());
    }
    if let Some(detail) = detail {
        line += &format!(": {detail}");
    }
    line
}
