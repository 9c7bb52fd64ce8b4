//! How the last boot ended, and what that means for the slots: recorded in this boot, which goes on or restarts.

use std::path::Path;

use outcrop_release::{bootrec::StartReason, slot::Slot};
use rustix::system::{RebootCommand, reboot};

use super::{
    console::Console,
    disk::OutcropDisk,
    efi::EfiVariables,
    error::InitError,
    last_end::{Traces, has_panic},
    mounts,
    steps::{PSTORE, State, device_path},
};
use crate::{
    block_disk::{Access, BlockDisk},
    boot_control::{BootControl as _, DeviceBootControl, UbootControl},
    chain, durable, facts, history,
    lifecycle::{Lifecycle, Next, Why},
};

/// What the loader says it started, while it isn't known yet whether that is whole.
pub(super) struct Started<'a> {
    /// The boot disk.
    pub(super) disk: &'a OutcropDisk,
    /// None when the loader doesn't say.
    pub(super) slot: Option<Slot>,
    /// The boot loader.
    pub(super) control: DeviceBootControl<EfiVariables>,
}

impl Started<'_> {
    /// Counts a panic of the last boot before the slot is entered: one that panics then would never be counted. None when there
    /// was none: the last boot is judged later, once `/var` can tell how it ended.
    pub(super) fn count_panic(&mut self, console: &mut Console) -> Result<Option<Next>, InitError> {
        if let Err(error) = mounts::mount_pstore(Path::new(PSTORE)) {
            console.info(&chain::describe(&error));
        }
        match self.slot {
            Some(slot) if has_panic(Path::new(PSTORE)) => {
                let traces = Traces {
                    panic: true,
                    ..Traces::default()
                };
                self.judge(console, slot, traces, None).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Counts a slot that can't be entered as if its kernel had panicked: after some of these, the other slot has its turn.
    pub(super) fn count_failure(&mut self, console: &mut Console) {
        let Some(slot) = self.slot else { return };
        let traces = Traces {
            panic: true,
            ..Traces::default()
        };
        // The machine restarts in any case.
        if let Err(error) = self.judge(console, slot, traces, None) {
            console.warn(&chain::describe(&error));
        }
    }

    /// Records this boot, repairs what the last power cut left undone, and decides how to go on. A disk that can't be changed is told
    /// and stops nothing.
    pub(super) fn judge(
        &mut self,
        console: &mut Console,
        running: Slot,
        traces: Traces,
        state: Option<&State>,
    ) -> Result<Next, InitError> {
        let device = device_path(&self.disk.disk.name);
        let verdict = BlockDisk::open(Path::new(&device), Access::Write)
            .map_err(|error| chain::describe(&error))
            .and_then(|mut disk| {
                let mut lifecycle = Lifecycle {
                    disk: &mut disk,
                    control: &mut self.control,
                    running,
                };
                lifecycle
                    .after_boot(traces.last_end())
                    .map_err(|error| chain::describe(&error))
            });
        if self.control.reads_record().is_some() {
            // What the loader counted is put right once; whatever this boot is blamed for from here on counts as it is.
            self.control = DeviceBootControl::Uboot(UbootControl::started(StartReason::Unwritten));
        }
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(why) => {
                console.warn(&format!("this boot can't be recorded: {why}"));
                return Ok(Next::Start);
            }
        };
        verdict.notes.iter().for_each(|note| console.warn(note));
        if let Some((slot, reason)) = verdict.failed {
            console.warn(&format!(
                "the trial of slot {slot} failed: {}",
                history::describe(reason)
            ));
        }
        match verdict.next {
            Next::Start => {}
            Next::Trial => console.warn(&format!("slot {running} is on trial")),
            Next::Reboot(why) => {
                console.warn(&match why {
                    Why::TrialAgain(slot) => {
                        format!("restart: the trial of slot {slot} ended without a verdict, once more")
                    }
                    Why::Switched(slot) => {
                        format!("restart: slot {running} failed too often, slot {slot} is the default now")
                    }
                    Why::DefaultAgain(slot) => {
                        format!("restart: slot {slot} is the default and didn't start, once more")
                    }
                });
                restart(state)?;
            }
        }
        Ok(verdict.next)
    }
}

/// Starts the machine again. The next boot shall not count this end against anybody.
fn restart(state: Option<&State>) -> Result<(), InitError> {
    if state.is_some_and(|state| state.device.is_some()) {
        // Without it, the next boot takes this for lost power: no verdict, one attempt.
        let _ = durable::replace(&Path::new("/").join(facts::ORDERLY), b"");
    }
    rustix::fs::sync();
    // The journal of ext4 makes good what isn't unmounted.
    let _ = rustix::mount::unmount("/var", rustix::mount::UnmountFlags::empty());
    reboot(RebootCommand::Restart).map_err(|errno| InitError::Restart(errno.into()))
}
