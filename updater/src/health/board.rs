//! What is known of all checks at a moment, and what follows. Pure: looks go in, a verdict comes out.

use std::time::Duration;

use serde::Serialize;

use super::definition::{Check, Need};

/// What one look at a check showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It holds.
    Holds,
    /// It doesn't, for this reason; that may change.
    Not(String),
    /// It doesn't, and never will.
    Never(String),
}

/// What all checks together say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Pending,
    /// All required checks have held long enough.
    Healthy,
    /// A required check won't hold; why.
    Failed(String),
}

/// The state of a check, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckState {
    /// Its name.
    pub name: String,
    /// Whether it is required.
    pub required: bool,
    /// Whether it holds, and has held long enough.
    pub holds: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    need: Need,
    hold: Duration,
    last: Option<Look>,
    /// Since when it has held without a break.
    since: Option<Duration>,
}

/// All checks.
#[derive(Debug, Clone)]
pub struct Board {
    entries: Vec<Entry>,
}

impl Board {
    /// Nothing has been looked at.
    #[must_use]
    pub fn new(checks: &[Check]) -> Self {
        let entry = |check: &Check| Entry {
            name: check.name.clone(),
            need: check.need,
            hold: check.hold,
            last: None,
            since: None,
        };
        Self {
            entries: checks.iter().map(entry).collect(),
        }
    }

    /// Notes what a look at the check with `index` showed at `now` (any clock that never goes back).
    pub fn note(&mut self, index: usize, look: Look, now: Duration) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.since = match look {
                Look::Holds => Some(entry.since.unwrap_or(now)),
                Look::Not(_) | Look::Never(_) => None,
            };
            entry.last = Some(look);
        }
    }

    /// What follows at `now`.
    #[must_use]
    pub fn verdict(&self, now: Duration) -> Verdict {
        let required = || self.entries.iter().filter(|entry| entry.need == Need::Required);
        let never = required().find_map(|entry| match &entry.last {
            Some(Look::Never(why)) => Some(format!("{}: {why}", entry.name)),
            _ => None,
        });
        match never {
            Some(why) => Verdict::Failed(why),
            None if required().all(|entry| entry.holds(now)) => Verdict::Healthy,
            None => Verdict::Pending,
        }
    }

    /// The required checks that don't hold at `now`, and why: for a deadline that passes.
    #[must_use]
    pub fn missing(&self, now: Duration) -> String {
        let missing = self
            .entries
            .iter()
            .filter(|entry| entry.need == Need::Required && !entry.holds(now))
            .map(|entry| format!("{}: {}", entry.name, entry.reason(now)));
        missing.collect::<Vec<_>>().join("; ")
    }

    /// Every check's state at `now`.
    #[must_use]
    pub fn states(&self, now: Duration) -> Vec<CheckState> {
        let state = |entry: &Entry| CheckState {
            name: entry.name.clone(),
            required: entry.need == Need::Required,
            holds: entry.holds(now),
            reason: (!entry.holds(now)).then(|| entry.reason(now)),
        };
        self.entries.iter().map(state).collect()
    }
}

impl Entry {
    fn holds(&self, now: Duration) -> bool {
        self.since
            .is_some_and(|since| now.saturating_sub(since) >= self.hold)
    }

    fn reason(&self, now: Duration) -> String {
        match (&self.last, self.since) {
            (Some(Look::Not(why) | Look::Never(why)), _) => why.clone(),
            (Some(Look::Holds), Some(since)) => format!(
                "it has held for {} of {} s",
                now.saturating_sub(since).as_secs(),
                self.hold.as_secs()
            ),
            _ => "no look at it has ended yet".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn board(definitions: &[&str]) -> Board {
        let checks: Vec<Check> = definitions
            .iter()
            .zip(["a", "b", "c"])
            .map(|(text, name)| Check::parse(name, text).unwrap())
            .collect();
        Board::new(&checks)
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_required_checks_a_device_is_healthy() {
        assert_eq!(board(&[]).verdict(at(0)), Verdict::Healthy);
        let wanted = board(&["kind = 'clock'\nneed = 'wanted'"]);
        assert_eq!(wanted.verdict(at(0)), Verdict::Healthy);
    }

    #[test]
    fn a_check_must_hold_without_a_break() {
        let mut board = board(&["kind = 'clock'\nhold = '10s'"]);
        board.note(0, Look::Holds, at(0));
        board.note(0, Look::Holds, at(5));
        assert_eq!(board.verdict(at(9)), Verdict::Pending);
        board.note(0, Look::Not("off".to_owned()), at(9));
        board.note(0, Look::Holds, at(11));
        assert_eq!(board.verdict(at(20)), Verdict::Pending);
        assert!(board.missing(at(20)).contains("held for 9 of 10 s"));
        assert_eq!(board.verdict(at(21)), Verdict::Healthy);
    }

    #[test]
    fn a_required_check_that_never_will_hold_fails_at_once_and_a_wanted_one_doesnt() {
        let mut board = board(&["kind = 'clock'", "kind = 'clock'\nneed = 'wanted'"]);
        board.note(0, Look::Holds, at(1));
        board.note(1, Look::Never("broken".to_owned()), at(1));
        assert_eq!(board.verdict(at(1)), Verdict::Healthy);
        board.note(0, Look::Never("gone".to_owned()), at(2));
        assert_eq!(board.verdict(at(2)), Verdict::Failed("a: gone".to_owned()));
    }

    #[test]
    fn what_is_missing_names_each_check_with_its_reason() {
        let mut board = board(&[
            "kind = 'clock'",
            "kind = 'clock'",
            "kind = 'clock'\nneed = 'wanted'",
        ]);
        board.note(0, Look::Not("no clock".to_owned()), at(1));
        assert_eq!(
            board.missing(at(2)),
            "a: no clock; b: no look at it has ended yet"
        );
        let states = board.states(at(2));
        assert_eq!(states.len(), 3);
        assert!(!states[2].required && !states[2].holds);
    }

    proptest! {
        #[test]
        fn a_healthy_board_has_every_required_check_holding_at_its_last_look(
            looks in proptest::collection::vec((0..2_usize, any::<bool>(), 0..50_u64), 0..40),
        ) {
            let mut board = board(&["kind = 'clock'", "kind = 'clock'"]);
            let (mut last, mut now) = ([false; 2], 0);
            for (index, holds, wait) in looks {
                now += wait;
                last[index] = holds;
                let look = if holds { Look::Holds } else { Look::Not("x".to_owned()) };
                board.note(index, look, at(now));
                prop_assert_eq!(board.verdict(at(now)) == Verdict::Healthy, last == [true, true]);
            }
        }
    }
}
