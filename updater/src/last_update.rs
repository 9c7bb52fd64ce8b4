//! How the last update went, as reports have it: one of few reasons, so that it can be counted.

use outcrop_release::{
    bootrec::{BadReason, BootRecord, SlotState},
    journal::Fate,
    report::{LastUpdate, Reason},
    slot::Slot,
};

use crate::history::Outcome;

/// Longest text of a reason, in characters.
const DETAIL_CHARACTERS: usize = 300;

/// What a report says of the last thing that became of a release; the boot record knows why one failed.
#[must_use]
pub fn last_update(last: &Outcome, record: &BootRecord) -> LastUpdate {
    let detail = last
        .reason
        .clone()
        .map(|text| text.replace(char::is_control, " "));
    let reason = match last.fate {
        Fate::Installed | Fate::Committed => None,
        Fate::RolledBack => Some(Reason::Operator),
        Fate::Failed => Some(reason_of(bad_reason(last, record), detail.as_deref())),
    };
    LastUpdate {
        fate: last.fate,
        version: last.version.clone(),
        reason,
        detail: detail.map(|text| text.chars().take(DETAIL_CHARACTERS).collect()),
    }
}

/// What the boot record says of the slot that failed.
fn bad_reason(last: &Outcome, record: &BootRecord) -> Option<BadReason> {
    let slots = Slot::ALL.into_iter();
    let mut bad = slots
        .filter(|slot| slot.to_string() == last.slot)
        .filter_map(|slot| match record.slot(slot).state {
            SlotState::Bad(reason) => Some(reason),
            _ => None,
        });
    bad.next()
}

/// One of the few reasons that can be counted.
fn reason_of(bad: Option<BadReason>, detail: Option<&str>) -> Reason {
    let is_kubernetes = detail.is_some_and(|text| text.to_lowercase().contains("kubernetes"));
    match bad {
        Some(BadReason::CheckFailed | BadReason::Deadline) if is_kubernetes => Reason::Kubernetes,
        Some(BadReason::Panic | BadReason::Watchdog | BadReason::Damaged | BadReason::TooManyAttempts) => {
            Reason::BootFailed
        }
        Some(BadReason::TooManyTries) => Reason::Power,
        Some(BadReason::Operator) => Reason::Operator,
        Some(BadReason::CheckFailed | BadReason::Deadline) | None => Reason::CheckFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_its_reason() {
        for (bad, detail, reason) in [
            (
                Some(BadReason::CheckFailed),
                Some("the check ssh didn't hold"),
                Reason::CheckFailed,
            ),
            (
                Some(BadReason::Deadline),
                Some("kubernetes-node: not ready"),
                Reason::Kubernetes,
            ),
            (Some(BadReason::Panic), None, Reason::BootFailed),
            (Some(BadReason::Watchdog), None, Reason::BootFailed),
            (Some(BadReason::Damaged), None, Reason::BootFailed),
            (Some(BadReason::TooManyTries), None, Reason::Power),
            (Some(BadReason::Operator), None, Reason::Operator),
            (None, None, Reason::CheckFailed),
        ] {
            assert_eq!(reason_of(bad, detail), reason, "{bad:?}");
        }
    }
}
