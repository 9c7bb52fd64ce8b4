//! `outcrop-updater commit`, and what happens when a trial can't be committed.

use std::{path::Path, thread, time::Duration};

use outcrop_release::bootrec::BadReason;

use super::{
    CommandError, Opened, announce,
    drain::when_healthy,
    on_trial, reboot, remember, remembered, say,
    state::{owner, with_keeper},
    warn,
};
use crate::{
    block_disk::Access,
    boot_report::{Systemctl, Systemd as _},
    chain,
    device::Device,
    history::{self, Seen},
};

/// What the health gate gets beyond the deadline, to say why.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether the trial is over.
const STEP: Duration = Duration::from_secs(20);

/// Says that what runs is healthy: it is the default from now on. Then looks whether the release before can still be started.
///
/// # Errors
/// See [`CommandError`].
pub fn commit(root: &Path) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    commit_running(&device)?;
    close_state(&device);
    when_healthy(root);
    check_fallback(&device)
}

/// The state is the committed release's. Where that can't be noted, the next boot does it.
fn close_state(device: &Device) {
    if let Err(error) = settle_state(device) {
        warn(&format!(
            "the state can't be noted as committed: {}",
            chain::describe(&error)
        ));
    }
}

/// Says that the state is what runs' own, where its trial is committed.
pub(super) fn settle_state(device: &Device) -> Result<(), CommandError> {
    let record = Opened::open(device, Access::Read)?.lifecycle(device).record()?;
    if record.default != device.slot() {
        return Ok(());
    }
    let owner = owner(device, &record);
    Ok(with_keeper(device, |keeper| keeper.committed(&owner))?.unwrap_or(Ok(()))?)
}

fn check_fallback(device: &Device) -> Result<(), CommandError> {
    if Opened::open(device, Access::Read)?
        .lifecycle(device)
        .fallback_is_whole()?
    {
        return Ok(());
    }
    let slot = Opened::open(device, Access::Write)?
        .lifecycle(device)
        .drop_fallback()?;
    announce(&format!(
        "slot {slot} is damaged on the disk: until the next update there is no release to go back to"
    ));
    Ok(())
}

fn commit_running(device: &Device) -> Result<(), CommandError> {
    // At most boots there is nothing to write, and a disk that is opened for writing wakes udev.
    if Opened::open(device, Access::Read)?
        .lifecycle(device)
        .is_committed()?
    {
        say("healthy, and the default already");
        return Ok(());
    }
    let mut opened = Opened::open(device, Access::Write)?;
    let before = opened.lifecycle(device).record()?;
    let is_new = opened.lifecycle(device).commit()?;
    if !is_new {
        say("healthy, and the default already");
        return Ok(());
    }
    let record = opened.lifecycle(device).record()?;
    let release = device.running_release(&record);
    let index = device.release.rollback_index;
    remember(device, |history| {
        history.settle(&before);
        history.committed(device.slot(), &release, index);
    });
    announce(&format!("committed: {}", device.title()));
    Ok(())
}

/// Gives up the trial of what runs: a unit that `boot-complete.target` requires has failed. Nothing happens when what runs isn't
/// on trial.
///
/// # Errors
/// See [`CommandError`].
pub fn trial_vetoed(root: &Path) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    if !on_trial(&device) {
        return Ok(());
    }
    let why = format!("boot-complete.target wasn't reached: {}", failed_units());
    give_up(&device, BadReason::CheckFailed, Some(&why))
}

/// Names of the units that have failed.
fn failed_units() -> String {
    match Systemctl.failed_units() {
        Ok(units) if !units.is_empty() => format!("failed: {}", units.join(", ")),
        _ => "a unit that it requires has failed".to_owned(),
    }
}

/// Waits for the deadline of a trial, and gives it up when it isn't committed by then.
///
/// # Errors
/// See [`CommandError`].
pub fn trial_deadline(root: &Path) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    if !on_trial(&device) {
        return Ok(());
    }
    // The health gate has the same deadline and the better reason: it goes first.
    let limit = device.release.health_deadline + GRACE;
    loop {
        let left = limit.saturating_sub(super::uptime());
        if left.is_zero() {
            return give_up(&device, BadReason::Deadline, None);
        }
        thread::sleep(left.min(STEP));
        let record = Opened::open(&device, Access::Read)
            .and_then(|mut opened| Ok(opened.lifecycle(&device).record()?));
        if record.is_ok_and(|record| record.default == device.slot()) {
            return Ok(());
        }
    }
}

/// Remembers what couldn't be remembered before: how a release failed that could say nothing itself, since its kernel panicked or it hung, and what
/// the power kept from being remembered. The boot record knows.
///
/// # Errors
/// When the device isn't one of Outcrop's. What can't be read from the disk is left to the next boot.
pub fn catch_up(root: &Path) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let Ok(mut opened) = Opened::open(&device, Access::Read) else {
        return Ok(());
    };
    let Ok(record) = opened.lifecycle(&device).record() else {
        return Ok(());
    };
    let Ok(known) = remembered(&device) else {
        return Ok(());
    };
    let seen = Seen {
        record: &record,
        running: device.slot(),
        release: &device.running_release(&record),
        index: device.release.rollback_index,
    };
    let mut caught_up = known.clone();
    caught_up.catch_up(&seen);
    // At most boots there is nothing to write.
    if caught_up != known {
        remember(&device, |history| history.catch_up(&seen));
    }
    Ok(())
}

/// Records that the trial of what runs has failed, and restarts.
pub(super) fn give_up(device: &Device, reason: BadReason, detail: Option<&str>) -> Result<(), CommandError> {
    let why = detail.unwrap_or(history::describe(reason));
    match record_failure(device, reason, why) {
        Ok(Given::Up) => {}
        Ok(Given::NotOnTrial) => return Ok(()),
        // The loader starts the release before anyway: nothing has made this one the default.
        Err(error) => warn(&format!(
            "the failure can't be recorded: {}",
            chain::describe(&error)
        )),
    }
    announce(&format!(
        "trial failed: {}: {why}; restarting into the release before",
        device.title()
    ));
    reboot()
}

enum Given {
    Up,
    /// It is the default: committed, a moment ago.
    NotOnTrial,
}

fn record_failure(device: &Device, reason: BadReason, why: &str) -> Result<Given, CommandError> {
    let mut opened = Opened::open(device, Access::Write)?;
    let record = opened.lifecycle(device).record()?;
    if record.default == device.slot() {
        return Ok(Given::NotOnTrial);
    }
    if record.trial.is_some() {
        let release = device.running_release(&record);
        opened.lifecycle(device).fail(reason)?;
        remember(device, |history| {
            history.settle(&record);
            if reason == BadReason::Operator {
                history.given_up(release.clone());
            }
            history.failed(device.slot(), release, why);
        });
    }
    Ok(Given::Up)
}
