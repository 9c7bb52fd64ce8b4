//! Two memories in step: what is remembered of releases (`history`), and the journal's chain of events.
//!
//! What is remembered goes first, and counts its fates; the journal counts them, too. So whatever a power cut keeps from the journal is told
//! to it the next time, once: none is lost, none is there twice.
//!
//! What the journal can't be told for so long that it is forgotten (a TPM that unseals nothing for a hundred updates) is given up, and the next event says so.
//!
//! One program at a time changes either: several do, the agent, a commit, somebody who types ([`turn`]).
//!
//! On a full disk the history's reserve is given up for both of them. When that is gone, too, what happens isn't remembered: that is told, and stops
//! nothing. What the boot record knows is made up for at the next boot that finds room.

#[cfg(test)]
mod at_once;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod tests;
mod turn;

use std::{error::Error, path::Path, time::Duration};

use jiff::Timestamp;
use outcrop_release::journal::{Event, Head, Verified};

use crate::{
    chain,
    device_key::{DeviceKey, DeviceKeyError},
    durable::DurableError,
    history::History,
    journal::{self, Journal, KeepError, give_up_reserve},
    medium::{DataPartition, Medium, is_full},
};
use turn::{PATIENCE, Turn};

/// The device's key, as far as it can be had. A key that can't be had, or can't sign, costs events as a full disk does: what becomes of
/// releases is told to the journal once it can.
pub type Key<'a> = Result<&'a DeviceKey, DeviceKeyError>;

/// Changes and keeps what is remembered in Outcrop's folder `state`, and tells the journal. What couldn't be done, for people: nothing of
/// it stops an update or a way back.
#[must_use]
pub fn remember(state: &Path, key: Key<'_>, change: impl FnOnce(&mut History)) -> Vec<String> {
    Recorder::new(state, key, &DataPartition).remember(change)
}

/// Appends an event that is no release's fate. What couldn't be done, for people.
#[must_use]
pub fn record(state: &Path, key: Key<'_>, event: Event) -> Vec<String> {
    Recorder::new(state, key, &DataPartition).record(event)
}

/// Both memories in a folder.
pub struct Recorder<'a> {
    state: &'a Path,
    key: Option<&'a DeviceKey>,
    medium: &'a dyn Medium,
    problems: Vec<String>,
    /// For another program's turn.
    patience: Duration,
}

impl<'a> Recorder<'a> {
    /// Those in Outcrop's folder `state`, kept on `medium`.
    #[must_use]
    pub fn new(state: &'a Path, key: Key<'a>, medium: &'a dyn Medium) -> Self {
        let mut recorder = Self {
            state,
            key: None,
            medium,
            problems: Vec::new(),
            patience: PATIENCE,
        };
        match key {
            Ok(key) => recorder.key = Some(key),
            Err(error) => recorder.not_kept(&error),
        }
        recorder
    }

    /// See [`remember`].
    #[must_use]
    pub fn remember(mut self, change: impl FnOnce(&mut History)) -> Vec<String> {
        let done = self.try_remember(change);
        self.problems_of(done)
    }

    /// See [`record`].
    #[must_use]
    pub fn record(mut self, event: Event) -> Vec<String> {
        let done = self.try_record(event);
        self.problems_of(done)
    }

    fn try_remember(&mut self, change: impl FnOnce(&mut History)) -> Result<(), DurableError> {
        let _turn = self.turn();
        let mut history = self.before()?;
        let before = history.clone();
        change(&mut history);
        if history != before {
            save(&mut history, self.state, self.medium)?;
            self.catch_up(&mut history)?;
        }
        Ok(())
    }

    fn try_record(&mut self, event: Event) -> Result<(), DurableError> {
        let _turn = self.turn();
        let history = self.before()?;
        self.with_journal(|journal| {
            journal.fates(history.forgotten());
            journal.append(Timestamp::now(), event)
        });
        Ok(())
    }

    /// Where another program has its turn for too long, nothing is appended behind its back. What becomes of releases is remembered all the same,
    /// and told later.
    fn turn(&mut self) -> Option<Turn> {
        turn::to_write(self.state, self.patience)
            .inspect_err(|error| {
                self.key = None;
                self.not_kept(error);
            })
            .ok()
    }

    /// What is remembered, with the journal told what it missed; where the journal knows more, that counts.
    fn before(&mut self) -> Result<History, DurableError> {
        let loaded = History::load(self.state)?;
        let aside = loaded.set_aside;
        self.problems
            .extend(aside.map(|aside| format!("what was remembered is damaged, now in {}", aside.display())));
        let mut history = loaded.history;
        self.catch_up(&mut history)?;
        Ok(history)
    }

    fn catch_up(&mut self, history: &mut History) -> Result<(), DurableError> {
        let Some(told) = self.with_journal(|journal| Ok(journal.fates(history.forgotten()))) else {
            return Ok(());
        };
        history.at_least(told);
        if history.give_up_missing(told) {
            save(history, self.state, self.medium)?;
        }
        self.with_journal(|journal| {
            journal.fates(history.forgotten());
            for outcome in history.since(told) {
                journal.append(Timestamp::now(), outcome.event())?;
            }
            history.forget_told();
            Ok(())
        });
        Ok(())
    }

    fn with_journal<T>(&mut self, work: impl FnOnce(&mut Journal<'_>) -> Result<T, KeepError>) -> Option<T> {
        let opened = Journal::open_on(self.state, self.key?, self.medium);
        let done = opened.and_then(|mut journal| work(&mut journal));
        done.inspect_err(|error| self.not_kept(error)).ok()
    }

    fn not_kept(&mut self, error: &dyn Error) {
        let problem = format!("the history can't be kept: {}", chain::describe(error));
        // What was missed is tried first, and fails in the same way.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn problems_of(mut self, done: Result<(), DurableError>) -> Vec<String> {
        self.problems.extend(
            done.err()
                .map(|error| format!("what happened can't be remembered: {}", chain::describe(&error))),
        );
        self.problems
    }
}

/// Changes and keeps what is remembered in Outcrop's folder `state`, where that is nothing that the journal has to hear of.
///
/// # Errors
/// When the disk fails, or there is no room.
pub fn amend(state: &Path, change: impl FnOnce(&mut History)) -> Result<(), DurableError> {
    amend_on(state, &DataPartition, change)
}

/// The same on a medium.
///
/// # Errors
/// As [`amend`].
pub fn amend_on(
    state: &Path,
    medium: &dyn Medium,
    change: impl FnOnce(&mut History),
) -> Result<(), DurableError> {
    let _turn_or_none = turn::to_write(state, PATIENCE);
    let mut history = History::load(state)?.history;
    change(&mut history);
    save(&mut history, state, medium)
}

/// Keeps what is remembered; on a full disk, in the room of the reserve.
fn save(history: &mut History, state: &Path, medium: &dyn Medium) -> Result<(), DurableError> {
    match history.save_on(state, medium) {
        Err(error) if is_full(&error.source) && give_up_reserve(state) => history.save_on(state, medium),
        saved => saved,
    }
}

/// The history in Outcrop's folder `state`, checked whole.
///
/// # Errors
/// When it can't be read, or was tampered with.
pub fn verified(state: &Path, key: &DeviceKey) -> Result<Verified, KeepError> {
    let _turn = turn::to_read(state);
    journal::verified(state, key)
}

/// The newest event of the history in Outcrop's folder `state`; none before the first, and where it is damaged: the next event sets it aside.
///
/// # Errors
/// When it can't be read.
pub fn head(state: &Path, key: &DeviceKey) -> Result<Option<Head>, KeepError> {
    let _turn = turn::to_read(state);
    match journal::newest(state, key) {
        Err(KeepError::Damaged { .. }) => Ok(None),
        newest => Ok(newest?.map(|last| last.head)),
    }
}

/// The number of the history's newest event; 0 before the first, and where it can't be told.
#[must_use]
pub fn newest(state: &Path, key: Key<'_>) -> u64 {
    // What is wrong with it is told when something is appended.
    let head = key.ok().and_then(|key| head(state, key).ok().flatten());
    head.map_or(0, |head| head.number)
}

/// Whether the history has `event` behind the event with that number.
#[must_use]
pub fn has_since(state: &Path, key: Key<'_>, number: u64, event: &Event) -> bool {
    let Ok(key) = key else {
        return false;
    };
    // One that is damaged has nothing that counts: the next event sets it aside.
    verified(state, key).is_ok_and(|verified| {
        let mut entries = verified.entries.iter();
        entries.any(|entry| entry.number > number && entry.event == *event)
    })
}
