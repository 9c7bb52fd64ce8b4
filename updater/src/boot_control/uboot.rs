//! U-Boot with Outcrop's script: it reads the boot record itself, and writes it. There is nothing to tell it.

use outcrop_release::{
    bootrec::StartReason,
    cmdline::{CommandLine, START_OPTION},
    slot::Slot,
};

use super::{BootControl, ControlError};
use crate::{disk::Disk, record};

/// Outcrop's script in U-Boot.
#[derive(Debug, Clone, Copy)]
pub struct UbootControl {
    /// Why it started what runs.
    start: StartReason,
}

impl UbootControl {
    /// The loader that left its reason on the command line; none when another one did, or none.
    #[must_use]
    pub fn of(command_line: &CommandLine) -> Option<Self> {
        let reason = command_line.value(START_OPTION)?;
        // A script of another version: nothing of this boot is counted.
        let start = reason.parse().unwrap_or(StartReason::Unwritten);
        Some(Self { start })
    }

    /// The same loader, of a boot that was started for `start`.
    #[must_use]
    pub const fn started(start: StartReason) -> Self {
        Self { start }
    }
}

impl BootControl for UbootControl {
    fn reads_record(&self) -> Option<StartReason> {
        Some(self.start)
    }

    fn probe(&mut self) -> Result<(), ControlError> {
        Ok(())
    }

    fn armed(&self) -> Result<Option<Slot>, ControlError> {
        Ok(None)
    }

    fn arm(&mut self, _: Slot) -> Result<(), ControlError> {
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), ControlError> {
        Ok(())
    }

    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
        // What can't be read is no slot.
        Ok(record::load(disk).ok().map(|record| record.default))
    }

    fn set_default(&mut self, _: &mut impl Disk, _: Slot) -> Result<(), ControlError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_s_reason_is_on_the_command_line_and_an_unknown_one_counts_nothing() {
        let reason = |line: &str| {
            UbootControl::of(&CommandLine::parse(line)).and_then(|control| control.reads_record())
        };
        assert_eq!(
            reason("ro outcrop.start=trial outcrop.slot=b"),
            Some(StartReason::Trial)
        );
        assert_eq!(reason("ro outcrop.start=moon"), Some(StartReason::Unwritten));
        assert_eq!(reason("ro outcrop.slot=b"), None);
    }
}
