//! `outcrop-updater rollback`

use std::path::Path;

use outcrop_release::bootrec::{BadReason, SlotState, TrialStage};

use super::{
    CommandError, OnlyOne, Opened, announce,
    commit::{give_up, settle_state},
    key, reboot, remember, say, warn,
};
use crate::{
    agent::{revoke, take_back},
    block_disk::Access,
    chain,
    device::Device,
    state::{MemoryError, StateError},
};

/// Goes back: takes back a trial that is armed, gives up one that runs, else returns to the release in the other slot.
///
/// # Errors
/// See [`CommandError`].
pub fn rollback(root: &Path, restart: bool) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let record = Opened::open(&device, Access::Read)?.lifecycle(&device).record()?;
    if record.trial.is_some_and(|trial| trial.slot == device.slot()) {
        revoke_approval(&device);
        return give_up(&device, BadReason::Operator, None);
    }
    let _only_one = OnlyOne::new(&device)?;
    let mut opened = Opened::open(&device, Access::Write)?;
    let mut lifecycle = opened.lifecycle(&device);
    let record = lifecycle.record()?;
    let armed = record
        .trial
        .filter(|trial| trial.slot != device.slot() && trial.stage != TrialStage::Running);
    if let Some(trial) = armed {
        let problems = take_back(
            &mut lifecycle,
            &device.state_folder(),
            &device.run_folder(),
            || key(&device),
        )?;
        problems.iter().for_each(|problem| warn(problem));
        say(&format!(
            "the trial of slot {} is taken back; slot {} goes on, and the agent leaves that release alone until it is approved",
            trial.slot,
            device.slot()
        ));
        return Ok(());
    }
    let other = device.slot().other();
    if record.slot(other).state != SlotState::Good {
        return Err(CommandError::NothingBack(other));
    }
    // What was committed stays so for the state: it must not be taken for the work of a trial that failed.
    match settle_state(&device) {
        // Nothing is brought back by what can't be understood.
        Err(CommandError::State(StateError::Memory(
            error @ (MemoryError::Damaged(_) | MemoryError::Format(_)),
        ))) => warn(&chain::describe(&error)),
        settled => settled?,
    }
    let release = device.running_release(&record);
    revoke_approval(&device);
    let back = lifecycle.roll_back()?;
    remember(&device, |history| {
        history.settle(&record);
        history.rolled_back(device.slot(), release);
    });
    let next = if restart {
        "restarting into it"
    } else {
        "it starts at the next restart"
    };
    announce(&format!(
        "rolled back: {}: slot {back} is the default, {next}",
        device.title()
    ));
    drop(opened);
    if restart {
        reboot()?;
    }
    Ok(())
}

/// Whoever goes back from a release doesn't want it any more.
fn revoke_approval(device: &Device) {
    revoke(&device.state_folder())
        .iter()
        .for_each(|problem| warn(problem));
}
