//! Getting the boot disk: drivers for what is there, then waiting for what comes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    disk::{Certainty, Choice, Disks, OutcropDisk, Refusal, Survey, Waited, choose, survey},
    efi::FirmwareFacts,
    kmod::{self, Loader, Modules},
    uevent::{Heard, Uevents},
};
use crate::chain;

/// How long the boot disk is waited for. USB disks behind hubs take up to ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After so long without a new device no twin of a disk is expected any more. USB storage waits a second by itself.
pub const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The boot disk can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The kernel's list of disks or its messages can't be read.
    #[error("look for disks")]
    Look(#[source] io::Error),
    /// None, or several.
    #[error("choose the boot disk after {} s{}", after.as_secs(), list(others))]
    Choose {
        /// How long devices were waited for.
        after: Duration,
        /// The disks that aren't Outcrop's, each with the reason.
        others: Vec<String>,
        /// Why.
        source: Refusal,
    },
}

fn list(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!(" (passed over {})", others.join("; "))
}

/// Where the modaliases of devices come from.
pub trait Modaliases {
    /// Those of all devices that are there now.
    ///
    /// # Errors
    /// When the kernel's list can't be read.
    fn all(&self) -> io::Result<Vec<String>>;
}

/// `/sys`
#[derive(Debug)]
pub struct SysModaliases(PathBuf);

impl SysModaliases {
    /// Devices below `sys`.
    pub fn new(sys: impl Into<PathBuf>) -> Self {
        Self(sys.into())
    }
}

impl Modaliases for SysModaliases {
    fn all(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        // Features of the processor: not a device of any bus.
        found.extend(read_modalias(&self.0.join("devices/system/cpu")));
        for bus in fs::read_dir(self.0.join("bus"))? {
            let Ok(devices) = fs::read_dir(bus?.path().join("devices")) else {
                continue;
            };
            for device in devices {
                found.extend(read_modalias(&device?.path()));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

fn read_modalias(device: &Path) -> Option<String> {
    let text = fs::read_to_string(device.join("modalias")).ok()?;
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Everything that finding the boot disk touches.
pub struct Search<'a, L> {
    /// The kernel's modules.
    pub modules: &'a mut Modules<L>,
    /// The kernel's messages.
    pub events: &'a mut dyn Uevents,
    /// Devices that are there.
    pub modaliases: &'a dyn Modaliases,
    /// Disks that are there.
    pub disks: &'a dyn Disks,
    /// Time since any fixed moment.
    pub now: &'a dyn Fn() -> Duration,
    /// Takes what should be told and doesn't stop the search.
    pub warn: &'a mut dyn FnMut(&str),
}

impl<L: Loader> Search<'_, L> {
    /// Loads drivers for all devices that are there now.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn load_drivers(&mut self) -> Result<(), DiskError> {
        for modalias in self.modaliases.all().map_err(DiskError::Look)? {
            self.load_for(&modalias);
        }
        Ok(())
    }

    fn load_for(&mut self, modalias: &str) {
        for error in self.modules.load_for(modalias) {
            if !kmod::is_absent_hardware(&error) {
                (self.warn)(&format!("device {modalias}: {}", chain::describe(&error)));
            }
        }
    }

    /// Waits for the disk that `facts` speak of, loading drivers for whatever appears.
    ///
    /// # Errors
    /// When it doesn't come within [`PATIENCE`], or several would do.
    pub fn boot_disk(&mut self, facts: &FirmwareFacts) -> Result<(OutcropDisk, Certainty), DiskError> {
        let start = (self.now)();
        let mut last_news = start;
        loop {
            let now = (self.now)();
            let (time, quiet) = (now.saturating_sub(start), now.saturating_sub(last_news));
            let waited = match () {
                () if time >= PATIENCE => Waited::Fully,
                () if quiet >= SETTLED_AFTER => Waited::UntilQuiet,
                () => Waited::Briefly,
            };
            let Survey {
                ours: mut disks,
                others,
            } = survey(self.disks).map_err(DiskError::Look)?;
            let firmware = facts.firmware_path.as_ref();
            match choose(&disks, facts.loader_partition, firmware, waited) {
                Ok(Choice::Take(index, certainty)) if index < disks.len() => {
                    return Ok((disks.swap_remove(index), certainty));
                }
                Ok(_) => {}
                Err(source) => {
                    return Err(DiskError::Choose {
                        after: time,
                        others,
                        source,
                    });
                }
            }
            let left = PATIENCE.saturating_sub(time);
            let patience = SETTLED_AFTER.saturating_sub(quiet);
            let patience = if patience.is_zero() {
                left
            } else {
                patience.min(left)
            };
            if self.hear(patience)? {
                last_news = (self.now)();
            }
        }
    }

    /// Handles messages until one is about a disk, or `patience` is over. Returns whether any came.
    fn hear(&mut self, patience: Duration) -> Result<bool, DiskError> {
        let end = (self.now)() + patience;
        let mut any = false;
        loop {
            let left = end.saturating_sub((self.now)());
            match self.events.next(left).map_err(DiskError::Look)? {
                Heard::Nothing => return Ok(any),
                Heard::Lost => {
                    self.load_drivers()?;
                    return Ok(true);
                }
                Heard::Event(event) => {
                    any = true;
                    if let Some(modalias) = &event.modalias {
                        self.load_for(modalias);
                    }
                    if event.is_block || left.is_zero() {
                        return Ok(true);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
