//! `outcrop-updater state`

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use outcrop_release::{
    bootrec::{BadReason, BootRecord, SlotState},
    slot::Slot,
    state::Hook,
};
use serde_json::json;

use super::{CommandError, Opened, announce, commit::give_up, on_trial, say};
use crate::{
    block_disk::Access,
    chain,
    device::Device,
    facts, process,
    state::{self, About, Hooks, Keeper, Kind, Memory, Now, Owner, Phase, SnapshotId, StateError, TrialFate},
};

/// The machine's identity, below the root.
const MACHINE_ID: &str = "etc/machine-id";

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum StateCommand {
    /// Says whose state is on the device, which snapshots there are, and what happened to them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Has Kubernetes start with the state that is there, after it was held back; at the next restart.
    Keep,
    /// Brings a snapshot back at the next restart. What it replaces becomes a snapshot.
    Restore {
        /// Its number.
        #[arg(value_name = "NUMBER")]
        snapshot: SnapshotId,
    },
    /// Removes a snapshot.
    Remove {
        /// Its number.
        #[arg(value_name = "NUMBER")]
        snapshot: SnapshotId,
    },
    /// Does what this boot needs before Kubernetes may start.
    #[command(hide = true)]
    Prepare,
}

/// Hooks as programs.
struct Programs;

impl Hooks for Programs {
    fn run(&self, hook: &Hook) -> Result<(), String> {
        process::succeed(&hook.command, hook.deadline)
    }
}

/// Acts on the state.
///
/// # Errors
/// See [`CommandError`].
pub fn state(root: &Path, command: &StateCommand) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    if *command == StateCommand::Prepare {
        return prepare(&device);
    }
    let listed = |keeper: &Keeper<'_>| -> Result<(), CommandError> {
        match command {
            StateCommand::List { json } => return list(keeper, *json),
            StateCommand::Keep => keeper.keep(&now(&device, &keeper.memory()?)?)?,
            StateCommand::Restore { snapshot } => {
                keeper.choose(&now(&device, &keeper.memory()?)?, *snapshot)?;
            }
            StateCommand::Remove { snapshot } => keeper.remove(*snapshot)?,
            StateCommand::Prepare => {}
        }
        if matches!(command, StateCommand::Keep | StateCommand::Restore { .. }) {
            say("noted: restart the device");
        }
        Ok(())
    };
    with_keeper(&device, listed)?.ok_or(StateError::NoDefinition)?
}

/// Has `act` act on the device's state; none when the running release binds none.
pub(super) fn with_keeper<T>(
    device: &Device,
    act: impl FnOnce(&Keeper<'_>) -> T,
) -> Result<Option<T>, StateError> {
    let Some(definition) = state::definition(&device.path("/"))? else {
        return Ok(None);
    };
    let path = device.path(MACHINE_ID);
    let machine = fs::read_to_string(&path).map_err(|source| StateError::Machine { path, source })?;
    Ok(Some(act(&Keeper {
        folder: device.state_folder().join(state::FOLDER),
        root: device.path("/"),
        definition,
        machine: machine.trim().to_owned(),
        clock: &|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs())
        },
        hooks: &Programs,
        tell: &|line| announce(&format!("state: {line}")),
        step: &|| Ok(()),
    })))
}

/// The running release as an owner of state.
pub(super) fn owner(device: &Device, record: &BootRecord) -> Owner {
    Owner {
        release: device.running_release(record),
        kubernetes: device.release.kubernetes.clone(),
    }
}

fn now(device: &Device, memory: &Memory) -> Result<Now, CommandError> {
    let record = Opened::open(device, Access::Read)?.lifecycle(device).record()?;
    let trial = match &memory.phase {
        Phase::Trial { of, .. } => fate(&record, &of.release.digest),
        _ => TrialFate::Unknown,
    };
    Ok(Now {
        running: owner(device, &record),
        on_trial: on_trial(device),
        trial,
    })
}

/// What became of the release with this digest.
fn fate(record: &BootRecord, digest: &str) -> TrialFate {
    let slot = Slot::ALL
        .into_iter()
        .find(|slot| record.slot(*slot).release.to_string() == digest);
    let Some(slot) = slot else {
        return TrialFate::Unknown;
    };
    match record.slot(slot).state {
        _ if record.default == slot => TrialFate::Committed,
        // Only what was committed can have failed so, or be the fallback that was found damaged.
        SlotState::Good | SlotState::Bad(BadReason::TooManyAttempts | BadReason::Damaged) => {
            TrialFate::Committed
        }
        SlotState::Empty | SlotState::Written | SlotState::Bad(_) => TrialFate::NotCommitted,
    }
}

fn prepare(device: &Device) -> Result<(), CommandError> {
    let prepared = match device.boot.data {
        None => Err(StateError::NoData.into()),
        Some(_) => with_keeper(device, |keeper| {
            let now = now(device, &keeper.memory()?)?;
            Ok(keeper.prepare(&now)?)
        })
        .map_err(CommandError::from)
        .and_then(|done| done.unwrap_or(Ok(()))),
    };
    let Err(error) = prepared else { return Ok(()) };
    let why = chain::describe(&error);
    if on_trial(device) {
        give_up(device, BadReason::CheckFailed, Some(&format!("state: {why}")))?;
    } else {
        announce(&format!("state: {why}"));
        note_degraded(device, &why);
    }
    Err(error)
}

/// Has `status` and the line about this boot tell it.
fn note_degraded(device: &Device, why: &str) {
    if let Err(error) = facts::add_degraded_reason(&device.run_folder(), why) {
        super::warn(&format!("what is wrong can't be noted: {error}"));
    }
}

fn list(keeper: &Keeper<'_>, as_json: bool) -> Result<(), CommandError> {
    let memory = keeper.memory()?;
    let snapshots = keeper.snapshots().list().map_err(StateError::from)?;
    if as_json {
        let rows: Vec<_> = snapshots
            .iter()
            .map(|(id, about)| match about {
                Ok(about) => json!({"number": id, "snapshot": about}),
                Err(error) => json!({"number": id, "error": chain::describe(error)}),
            })
            .collect();
        let all = json!({
            "owner": memory.owner,
            "phase": memory.phase,
            "snapshots": rows,
            "events": memory.events,
        });
        // Texts and numbers: nothing here can fail to be JSON.
        say(&serde_json::to_string_pretty(&all).unwrap_or_default());
        return Ok(());
    }
    match &memory.owner {
        Some(owner) => say(&format!("state of {}", title(owner))),
        None => say("no release has had state here"),
    }
    match &memory.phase {
        Phase::Settled => {}
        Phase::Trial { snapshot, of, .. } => say(&format!(
            "on trial with {}; snapshot {snapshot} comes back when it fails",
            title(of)
        )),
        Phase::Restoring { snapshot, .. } => {
            say(&format!("snapshot {snapshot} comes back at the next restart"));
        }
    }
    for (id, about) in &snapshots {
        match about {
            Ok(about) => say(&format!("snapshot {id}: {}", line(about))),
            Err(error) => say(&format!("snapshot {id}: {}", chain::describe(error))),
        }
    }
    for event in &memory.events {
        say(&format!("{}  {}", event.at, event.what));
    }
    Ok(())
}

fn title(owner: &Owner) -> String {
    match &owner.kubernetes {
        Some(kubernetes) => format!("release {} (Kubernetes {kubernetes})", owner.release.version),
        None => format!("release {}", owner.release.version),
    }
}

fn line(about: &About) -> String {
    let whose = about.owner.as_ref().map_or_else(|| "nobody's".to_owned(), title);
    let why = match &about.kind {
        Kind::Before { version } => format!("taken before release {version}"),
        Kind::Replaced => "replaced by another".to_owned(),
    };
    format!("{whose}, {why}, {} KiB", about.bytes >> 10)
}

#[cfg(test)]
mod tests {
    use outcrop_release::{bootrec::SlotRecord, digest::FileDigest};

    use super::*;

    #[test]
    fn the_boot_record_tells_what_became_of_a_trial() {
        let digest = FileDigest::of(b"release 2");
        let fate_of = |state, default| {
            let mut record = BootRecord::fresh(SlotRecord::EMPTY);
            record.default = default;
            record.slot_mut(Slot::B).release = digest;
            record.slot_mut(Slot::B).state = state;
            fate(&record, &digest.to_string())
        };
        for (state, committed) in [
            (SlotState::Written, false),
            (SlotState::Empty, false),
            (SlotState::Good, true),
            (SlotState::Bad(BadReason::CheckFailed), false),
            (SlotState::Bad(BadReason::Deadline), false),
            (SlotState::Bad(BadReason::Panic), false),
            (SlotState::Bad(BadReason::Watchdog), false),
            (SlotState::Bad(BadReason::TooManyTries), false),
            (SlotState::Bad(BadReason::Operator), false),
            (SlotState::Bad(BadReason::TooManyAttempts), true),
            (SlotState::Bad(BadReason::Damaged), true),
        ] {
            let expected = match committed {
                true => TrialFate::Committed,
                false => TrialFate::NotCommitted,
            };
            assert_eq!(fate_of(state, Slot::A), expected, "{state:?}");
        }
        assert_eq!(fate_of(SlotState::Written, Slot::B), TrialFate::Committed);
        let record = BootRecord::fresh(SlotRecord::EMPTY);
        assert_eq!(fate(&record, "another"), TrialFate::Unknown);
    }
}
