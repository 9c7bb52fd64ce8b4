//! What somebody at the device doesn't want: an armed trial that is taken back, and a release that is wanted again after that.
//!
//! The boot record has it, where no full data partition keeps it from being known; what is remembered of releases has it too, for the day when another
//! release is written over that slot.

use std::path::Path;

use outcrop_release::{
    bootrec::TakenBackBy,
    digest::FileDigest,
    journal::{Deed, Event},
    slot::Slot,
};

use super::{approval::Approval, armed::ArmedBy};
use crate::{
    boot_control::BootControl,
    chain,
    disk::Disk,
    durable::DurableError,
    history::{History, KnownRelease},
    lifecycle::{Lifecycle, LifecycleError},
    recorder::{self, Key},
};

/// Why the history has that a trial was taken back.
const BY_SOMEBODY: &str = "somebody at the device";

/// A release can't be wanted again.
#[derive(Debug, thiserror::Error)]
pub enum TakeUpError {
    /// The boot record.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// What is remembered of releases.
    #[error(transparent)]
    History(#[from] DurableError),
}

/// Takes back the trial that is armed, for somebody who doesn't want its release. `state` and `run` are Outcrop's folders, `key` gives the device's key. What couldn't be done
/// beside that, for people.
///
/// # Errors
/// When no trial is armed, or the firmware or the disk fails.
pub fn take_back<'k>(
    lifecycle: &mut Lifecycle<'_, impl Disk, impl BootControl>,
    state: &Path,
    run: &Path,
    key: impl Fn() -> Key<'k>,
) -> Result<Vec<String>, LifecycleError> {
    let slot = lifecycle.running.other();
    let digest = lifecycle.record()?.slot(slot).release;
    // Before, so that no approval of earlier makes it wanted again.
    let mut problems = revoke(state);
    lifecycle.disarm(TakenBackBy::Operator)?;
    let forgotten = ArmedBy::forget(run).err();
    problems.extend(forgotten.map(|error| chain::describe(&error)));
    let release = known(state, slot, digest);
    let version = release.version.clone();
    problems.extend(recorder::remember(state, key(), |history| {
        history.given_up(release);
    }));
    let event = Event::Decided {
        deed: Deed::TakenBack,
        version,
        reason: Some(BY_SOMEBODY.to_owned()),
    };
    problems.extend(recorder::record(state, key(), event));
    Ok(problems)
}

/// Takes back what was approved: whoever goes back from a release doesn't want it any more. What couldn't be done, for people.
#[must_use]
pub fn revoke(state: &Path) -> Vec<String> {
    let error = Approval::remove(state).err();
    error.iter().map(|error| chain::describe(error)).collect()
}

/// Has the release with the manifest `digest` be wanted again, where somebody went back from it or took its trial back. Nothing changes
/// where nobody did.
///
/// # Errors
/// When the disk fails, or there is no room. Doing it again then does what is left.
pub fn take_up(
    lifecycle: &mut Lifecycle<'_, impl Disk, impl BootControl>,
    state: &Path,
    digest: FileDigest,
) -> Result<(), TakeUpError> {
    let record = lifecycle.record()?;
    let history = History::load(state)?.history;
    if !history.unwanted_by_somebody(&record).contains(&digest) {
        return Ok(());
    }
    let has_it = History::slot_given_up(&record, lifecycle.running.other()) == Some(digest);
    recorder::amend(state, |history| history.wanted_again(&digest))?;
    if has_it {
        lifecycle.take_up()?;
    }
    Ok(())
}

/// What is known of the release in a slot.
pub(super) fn known(state: &Path, slot: Slot, digest: FileDigest) -> KnownRelease {
    let loaded = History::load(state).ok();
    let known = loaded.and_then(|loaded| loaded.history.release(slot, &digest).cloned());
    known.unwrap_or_else(|| KnownRelease {
        version: "unknown".to_owned(),
        digest: digest.to_string(),
    })
}
