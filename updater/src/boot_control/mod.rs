//! What tells the boot loader which slot to start: once, and by itself.

pub(crate) mod efi;

use std::io;

use outcrop_release::slot::Slot;

pub use efi::EfiBootControl;

use crate::disk::{Disk, DiskError};

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
