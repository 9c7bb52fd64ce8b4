//! What tells the boot loader which slot to start: once, and by itself.

pub(crate) mod efi;
mod uboot;

use std::io;

use outcrop_release::{bootrec::StartReason, cmdline::CommandLine, slot::Slot};

pub use efi::EfiBootControl;
pub use uboot::UbootControl;

use crate::{
    disk::{Disk, DiskError},
    init::efi::VariableStore,
};

/// The boot loader can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A variable of the firmware.
    #[error("{doing} the firmware's variable {name}")]
    Variable {
        /// What was being done.
        doing: &'static str,
        /// The variable.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The firmware takes a variable and doesn't keep it.
    #[error(
        "the firmware doesn't keep the variable {0}: it can't start a slot just once, so no release can be tried"
    )]
    Forgotten(&'static str),
    /// The disk.
    #[error("the boot loader's configuration")]
    Disk(#[from] DiskError),
    /// What was written isn't what is on the medium.
    #[error("the boot loader's configuration can't be read back as it was written: the disk is failing")]
    Medium,
}

/// A boot loader. Nothing here knows the boot record; [`crate::lifecycle`] keeps both in step.
pub trait BootControl {
    /// Why the loader started what runs, where it reads the boot record itself and needn't be told anything. None where it must be told.
    fn reads_record(&self) -> Option<StartReason> {
        None
    }

    /// Tries whether the firmware can be told to start a slot once. Leaves everything as it was.
    ///
    /// # Errors
    /// When it can't: then no release can be tried on this device.
    fn probe(&mut self) -> Result<(), ControlError>;

    /// The slot that is started next and then no more; none when the default is.
    ///
    /// # Errors
    /// When the firmware can't be asked.
    fn armed(&self) -> Result<Option<Slot>, ControlError>;

    /// Has `slot` started at the next boot, and only then; read back.
    ///
    /// # Errors
    /// When the firmware refuses or forgets it.
    fn arm(&mut self, slot: Slot) -> Result<(), ControlError>;

    /// Takes that back.
    ///
    /// # Errors
    /// When the firmware refuses.
    fn disarm(&mut self) -> Result<(), ControlError>;

    /// The slot that is started by itself; none when the configuration isn't one of Outcrop's.
    ///
    /// # Errors
    /// When it can't be read.
    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError>;

    /// Has `slot` started by itself from the next boot on. A power cut leaves the old default or the new one.
    ///
    /// # Errors
    /// When the disk fails.
    fn set_default(&mut self, disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError>;
}

/// The boot loader of this device.
#[derive(Debug)]
pub enum DeviceBootControl<V> {
    /// systemd-boot.
    Efi(EfiBootControl<V>),
    /// U-Boot with Outcrop's script.
    Uboot(UbootControl),
}

impl<V: VariableStore> DeviceBootControl<V> {
    /// The loader that `command_line` speaks of; `variables` are the firmware's.
    pub fn of(command_line: &CommandLine, variables: V) -> Self {
        UbootControl::of(command_line).map_or_else(|| Self::Efi(EfiBootControl::new(variables)), Self::Uboot)
    }
}

impl<V: VariableStore> BootControl for DeviceBootControl<V> {
    fn reads_record(&self) -> Option<StartReason> {
        match self {
            Self::Efi(efi) => efi.reads_record(),
            Self::Uboot(uboot) => uboot.reads_record(),
        }
    }

    fn probe(&mut self) -> Result<(), ControlError> {
        match self {
            Self::Efi(efi) => efi.probe(),
            Self::Uboot(uboot) => uboot.probe(),
        }
    }

    fn armed(&self) -> Result<Option<Slot>, ControlError> {
        match self {
            Self::Efi(efi) => efi.armed(),
            Self::Uboot(uboot) => uboot.armed(),
        }
    }

    fn arm(&mut self, slot: Slot) -> Result<(), ControlError> {
        match self {
            Self::Efi(efi) => efi.arm(slot),
            Self::Uboot(uboot) => uboot.arm(slot),
        }
    }

    fn disarm(&mut self) -> Result<(), ControlError> {
        match self {
            Self::Efi(efi) => efi.disarm(),
            Self::Uboot(uboot) => uboot.disarm(),
        }
    }

    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
        match self {
            Self::Efi(efi) => efi.default_slot(disk),
            Self::Uboot(uboot) => uboot.default_slot(disk),
        }
    }

    fn set_default(&mut self, disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
        match self {
            Self::Efi(efi) => efi.set_default(disk, slot),
            Self::Uboot(uboot) => uboot.set_default(disk, slot),
        }
    }
}
